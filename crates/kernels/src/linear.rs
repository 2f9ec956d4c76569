//! Fully connected layers.

use candle_core::{Result, Tensor, bail};

use super::operand::check_kind;

/// `x · weightᵀ + bias`.
///
/// # Shapes
///
/// - `x`: `[B, N]`; `weight`: `[M, N]`; `bias`: `[M]`
/// - returns: `[B, M]`
///
/// # Errors
///
/// If the shapes do not fit.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (&[_, inputs], &[outputs, weight_inputs]) = (x.dims(), weight.dims()) else {
        bail!("linear: x {:?} and weight {:?} are not [B, N] and [M, N]", x.dims(), weight.dims())
    };
    if inputs != weight_inputs {
        bail!("linear: weight {:?} does not fit x {:?}", weight.shape(), x.shape());
    }
    check_kind("linear", &[("x", x), ("weight", weight), ("bias", bias.unwrap_or(x))])?;
    let y = x.matmul(&weight.t()?)?;
    match bias {
        Some(bias) if bias.dims() != [outputs] => {
            bail!("linear: bias {:?} does not fit weight {:?}", bias.shape(), weight.shape())
        }
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_agrees, normal};

    #[test]
    fn computes_a_product_and_a_sum() {
        let args = [normal(1, &[3, 4]), normal(2, &[5, 4]), normal(3, &[5])];
        assert_agrees(
            "linear",
            1e-5,
            &args,
            |it| linear(&it[0], &it[1], Some(&it[2])),
            |it| {
                let (x, weight) = (it[0].unsqueeze(1)?, it[1].unsqueeze(0)?);
                x.broadcast_mul(&weight)?.sum(2)?.broadcast_add(&it[2].unsqueeze(0)?)
            },
        );
    }

    #[test]
    fn rejects_invalid_shapes() {
        let (x, weight) = (normal(1, &[3, 4]), normal(2, &[5, 4]));
        assert!(linear(&x, &weight.t().unwrap(), None).unwrap_err().to_string().contains("weight"));
        assert!(linear(&x, &weight, Some(&normal(3, &[4]))).is_err());
    }
}
