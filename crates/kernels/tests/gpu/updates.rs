//! Adam and the moving average, over several updates.

use candle_core::{DType, Device, Tensor, Var};
use kernels::adam::{AdamConfig, step};
use kernels::ema_update;

use crate::comparing::{TYPES, device, error, normal};

const SHAPE: [usize; 2] = [37, 31];

/// Parameter, moments and average after four updates.
fn updated(device: &Device, dtype: DType, rounded: DType) -> [Tensor; 4] {
    // In half precision, the second moments of small gradients are zero, so `eps` must matter.
    let config =
        AdamConfig { learning_rate: 0.1, weight_decay: 0.01, eps: 0.1, ..AdamConfig::default() };
    let start = |x: Tensor| {
        let x = x.to_dtype(rounded).unwrap().to_dtype(dtype).unwrap();
        x.to_device(device).unwrap()
    };
    let var = |x: Tensor| Var::from_tensor(&start(x)).unwrap();
    let zeros = || Tensor::zeros(&SHAPE, DType::F32, &Device::Cpu).unwrap();
    let (param, ema) = (var(normal(1, &SHAPE)), var(normal(2, &SHAPE)));
    let (m, v) = (var(zeros()), var(zeros()));
    for t in 1..=4 {
        let grad = start(normal(10 + t, &[SHAPE[1], SHAPE[0]])).t().unwrap();
        step(&config, t, &param, &m, &v, &grad).unwrap();
        ema_update(&ema, &param, 0.9).unwrap();
    }
    [param, m, v, ema].map(|it| it.as_detached_tensor())
}

#[test]
fn updates_agree() {
    for (dtype, tolerance) in TYPES {
        let expected = updated(&Device::Cpu, DType::F64, dtype);
        let got = updated(&device(), dtype, dtype);
        for (name, (got, expected)) in
            ["param", "m", "v", "ema"].iter().zip(got.iter().zip(&expected))
        {
            let e = error(got, expected);
            assert!(e < tolerance, "{name}, {dtype:?}: off by {e:.1e}");
        }
    }
}

/// Updating a variable that is a view of a larger one changes only the view.
#[test]
fn neighbors_do_not_change() {
    let whole = Var::from_tensor(&normal(1, &[4, 5]).to_device(&device()).unwrap()).unwrap();
    let before = normal(1, &[4, 5]);
    let part = Var::from_tensor(&whole.narrow(0, 1, 2).unwrap()).unwrap();
    ema_update(&part, &normal(2, &[2, 5]).to_device(&device()).unwrap(), 0.5).unwrap();
    let expected = ((before.narrow(0, 1, 2).unwrap() + normal(2, &[2, 5])).unwrap() * 0.5).unwrap();
    assert!(error(&part, &expected) < 1e-6);
    assert_eq!(error(&whole, &before), 0.0);
}
