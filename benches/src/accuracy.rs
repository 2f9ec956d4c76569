//! Error of every kernel, and of candle's operations in f32, against f64.
//!
//! The error is the largest difference divided by the largest magnitude, of the output or of one
//! gradient. Inputs and the gradient with respect to the output are standard normal in f32. The
//! expected values are computed by the composed form in f64 from the same inputs.

use candle_core::{DType, Device, Result, Tensor, Var};
use kernels::adam::{AdamConfig, step};
use kernels::ema_update;
use kernels::noise::NoiseStream;
use kernels::runtime::{Kernels, kernels, limit_kernels};
use serde::Serialize;

use crate::operation::{NOISES, OPERATIONS, Operation, WEIGHTS, normal};

/// Largest batch: candle's gradients in f64 of the whole batch would take minutes.
const BATCH: usize = 2;

/// Row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Recipe whose network has the operation.
    pub recipe: &'static str,
    /// Name of the operation.
    pub name: &'static str,
    /// Shape of the first operand.
    pub shape: Vec<usize>,
    /// Error of the output with the fastest kernels.
    pub output: f64,
    /// Errors of the gradients with respect to each operand, with the fastest kernels.
    pub gradients: Vec<f64>,
    /// Largest of these errors with the portable kernels.
    pub portable: f64,
    /// Largest of these errors with candle's operations in f32; `None` if candle has no such
    /// operation.
    pub candle: Option<f64>,
}

/// Output and gradients, or the tensors that an update changes.
type Outcome = Vec<Tensor>;

/// Computes the table. Changes the limit on the kernels meanwhile.
///
/// # Errors
///
/// If a tensor operation fails.
pub fn rows() -> Result<Vec<Row>> {
    let before = kernels();
    let rows = of_all();
    limit_kernels(before);
    rows
}

fn of_all() -> Result<Vec<Row>> {
    let mut rows = OPERATIONS.iter().map(of_operation).collect::<Result<Vec<_>>>()?;
    for (recipe, len) in WEIGHTS {
        rows.push(compare(recipe, "adam", vec![len], |dtype| adam(len, dtype))?);
        rows.push(compare(recipe, "ema_update", vec![len], |dtype| average(len, dtype))?);
    }
    for (recipe, shape) in NOISES {
        rows.push(of_noise(recipe, shape)?);
    }
    Ok(rows)
}

fn of_operation(row: &Operation) -> Result<Row> {
    let operands = row.operands(BATCH)?;
    let shape = operands[0].dims().to_vec();
    compare(row.recipe, row.name, shape, |dtype| run(row, &operands, dtype))
}

/// Runs `f` in f64, then in f32 with each kind of kernels.
fn compare(
    recipe: &'static str,
    name: &'static str,
    shape: Vec<usize>,
    f: impl Fn(DType) -> Result<Outcome>,
) -> Result<Row> {
    let expected = f(DType::F64)?;
    let errors = |limit| -> Result<Vec<f64>> {
        limit_kernels(limit);
        let got = f(DType::F32)?;
        got.iter().zip(&expected).map(|(got, expected)| error(got, expected)).collect()
    };
    let worst = |errors: Vec<f64>| errors.into_iter().fold(0.0, f64::max);
    let portable = worst(errors(Kernels::Portable)?);
    let candle = Some(worst(errors(Kernels::Off)?));
    let mut gradients = errors(Kernels::Best)?;
    let output = gradients.remove(0);
    Ok(Row { recipe, name, shape, output, gradients, portable, candle })
}

/// Computes the output and the gradient with respect to each operand.
fn run(row: &Operation, operands: &[Tensor], dtype: DType) -> Result<Outcome> {
    let tracked = |it: &Tensor| Var::from_tensor(&it.to_dtype(dtype)?);
    let vars = operands.iter().map(tracked).collect::<Result<Vec<Var>>>()?;
    let y = (row.op)(&vars.iter().map(|it| it.as_tensor().clone()).collect::<Vec<_>>())?;
    let cotangent = normal(99, y.dims())?.to_dtype(dtype)?;
    let store = (&y * cotangent)?.sum_all()?.backward()?;
    let mut outcome = vec![y.detach()];
    for var in &vars {
        match store.get(var) {
            Some(gradient) => outcome.push(gradient.clone()),
            None => candle_core::bail!("{} {}: an operand has no gradient", row.recipe, row.name),
        }
    }
    Ok(outcome)
}

/// Computes parameter and moments after a third update.
fn adam(len: usize, dtype: DType) -> Result<Outcome> {
    let values = |stream| normal(stream, &[1, len]);
    let var = |it: Tensor| Var::from_tensor(&it.to_dtype(dtype)?);
    let (param, m, v) = (var(values(0)?)?, var(values(1)?)?, var(values(2)?.sqr()?)?);
    step(&AdamConfig::default(), 3, &param, &m, &v, &values(3)?.to_dtype(dtype)?)?;
    Ok([param, m, v].map(|it| it.as_detached_tensor()).to_vec())
}

fn average(len: usize, dtype: DType) -> Result<Outcome> {
    let ema = Var::from_tensor(&normal(0, &[1, len])?.to_dtype(dtype)?)?;
    ema_update(&ema, &normal(1, &[1, len])?.to_dtype(dtype)?, 0.999)?;
    Ok(vec![ema.as_detached_tensor()])
}

/// Compares a batch of noise with its values, computed one by one.
fn of_noise(recipe: &'static str, shape: [usize; 4]) -> Result<Row> {
    let stream = NoiseStream::new(3, 4);
    let got = stream.normal_tensor(0, &shape, &Device::Cpu)?;
    let sample = shape[1..].iter().product::<usize>();
    let expected: Vec<f64> = (0..shape[0] as u64)
        .flat_map(|position| (0..sample as u32).map(move |it| stream.normal(position, it)))
        .collect();
    let output = error(&got, &Tensor::from_vec(expected, &shape, &Device::Cpu)?)?;
    let (gradients, shape) = (Vec::new(), shape.to_vec());
    Ok(Row { recipe, name: "noise", shape, output, gradients, portable: output, candle: None })
}

/// Computes the largest difference over the largest magnitude; NaN counts as an infinite error.
fn error(got: &Tensor, expected: &Tensor) -> Result<f64> {
    let values = |it: &Tensor| it.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (got, expected) = (values(got)?, values(expected)?);
    let scale = expected.iter().fold(f64::MIN_POSITIVE, |max, it| max.max(it.abs()));
    let largest = got.iter().zip(&expected).fold(0.0, |max: f64, (got, expected)| {
        let error = (got - expected).abs() / scale;
        if error.is_nan() { f64::INFINITY } else { max.max(error) }
    });
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_relative_to_the_largest_magnitude() {
        let tensor = |values: &[f64]| Tensor::new(values, &Device::Cpu).unwrap();
        let of = |got: &[f64], expected: &[f64]| error(&tensor(got), &tensor(expected)).unwrap();
        assert_eq!(of(&[1.0, -3.5], &[1.0, -4.0]), 0.125);
        assert_eq!(of(&[1.0, f64::NAN], &[1.0, 1.0]), f64::INFINITY);
        assert_eq!(of(&[0.0], &[0.0]), 0.0);
    }

    /// The kernels and candle round in different places, so that both errors are some units in the
    /// last place of the largest value.
    #[test]
    fn every_kind_of_kernels_has_only_rounding_errors() {
        let small = OPERATIONS.iter().find(|it| it.name == "conv2d 3x3, quarter").unwrap();
        let row = of_operation(small).unwrap();
        limit_kernels(Kernels::Best);
        let errors = row.gradients.iter().chain([&row.output, &row.portable]).chain(&row.candle);
        for error in errors {
            assert!((1e-9..5e-6).contains(error), "{row:?}");
        }
        assert_eq!(row.gradients.len(), 3);
    }

    #[test]
    fn updates_and_noise_have_only_rounding_errors() {
        let rows = [
            compare("test", "adam", vec![5000], |dtype| adam(5000, dtype)).unwrap(),
            compare("test", "ema_update", vec![5000], |dtype| average(5000, dtype)).unwrap(),
            of_noise("test", [2, 1, 9, 9]).unwrap(),
        ];
        limit_kernels(Kernels::Best);
        for row in rows {
            assert!((1e-9..1e-6).contains(&row.output), "{row:?}");
        }
    }
}
