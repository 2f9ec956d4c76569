//! Double precision, which the kernels leave to candle.

use candle_core::DType;

use crate::comparing::{device, error, normal};

#[test]
fn double_precision_is_composed() {
    let x = normal(1, &[2, 4, 3, 3]).to_dtype(DType::F64).unwrap();
    let weight = normal(2, &[4]).to_dtype(DType::F64).unwrap();
    let expected = kernels::group_norm(&x, &weight, &weight, 2, 1e-5).unwrap();
    let [x, weight] = [x, weight].map(|it| it.to_device(&device()).unwrap());
    let got = kernels::group_norm(&x, &weight, &weight, 2, 1e-5).unwrap();
    assert!(error(&got, &expected) < 1e-12);
}
