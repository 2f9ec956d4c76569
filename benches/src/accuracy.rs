//! The error of every kernel against f64, and beside it that of candle's own operations in f32.
//!
//! An error is the largest difference over the largest magnitude, of the output or of one gradient.
//! Inputs are standard normal in f32; what they should give is computed by the composed form in f64
//! from the same numbers. The gradient that is passed back is standard normal, too.

use candle_core::{DType, Device, Result, Tensor, Var};
use kernels::adam::{AdamConfig, step};
use kernels::ema_update;
use kernels::noise::NoiseStream;
use kernels::runtime::{Kernels, kernels, limit_kernels};
use serde::Serialize;

use crate::operation::{NOISES, OPERATIONS, Operation, WEIGHTS, normal};

/// Most samples of a batch: with all of them, candle's gradients in f64 would take minutes.
const BATCH: usize = 2;

/// One row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Which network has it.
    pub recipe: &'static str,
    /// The operation.
    pub name: &'static str,
    /// Shape of the first operand.
    pub shape: Vec<usize>,
    /// Error of the output, by the fastest kernels.
    pub output: f64,
    /// Errors of the gradients by every operand, by the fastest kernels.
    pub gradients: Vec<f64>,
    /// The largest of all these by the kernels that any processor has.
    pub portable: f64,
    /// The largest of all these by candle's own operations in f32; none where there are none.
    pub candle: Option<f64>,
}

/// Output and gradients, or whatever tensors an update changes.
type Outcome = Vec<Tensor>;

/// The whole table. Changes the limit on the kernels meanwhile.
///
/// # Errors
///
/// If memory is short.
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

/// Runs `f` in f64, then in f32 by each form.
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

/// Output and the gradient by every operand.
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

/// Parameter and moments after a third update.
fn adam(len: usize, dtype: DType) -> Result<Outcome> {
    let numbers = |stream| normal(stream, &[1, len]);
    let var = |it: Tensor| Var::from_tensor(&it.to_dtype(dtype)?);
    let (param, m, v) = (var(numbers(0)?)?, var(numbers(1)?)?, var(numbers(2)?.sqr()?)?);
    step(&AdamConfig::default(), 3, &param, &m, &v, &numbers(3)?.to_dtype(dtype)?)?;
    Ok([param, m, v].map(|it| it.as_detached_tensor()).to_vec())
}

fn average(len: usize, dtype: DType) -> Result<Outcome> {
    let ema = Var::from_tensor(&normal(0, &[1, len])?.to_dtype(dtype)?)?;
    ema_update(&ema, &normal(1, &[1, len])?.to_dtype(dtype)?, 0.999)?;
    Ok(vec![ema.as_detached_tensor()])
}

/// The batch of noise against its numbers one by one.
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

/// The largest difference over the largest magnitude; a NaN is an infinite error.
fn error(got: &Tensor, expected: &Tensor) -> Result<f64> {
    let numbers = |it: &Tensor| it.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let (got, expected) = (numbers(got)?, numbers(expected)?);
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
        let tensor = |numbers: &[f64]| Tensor::new(numbers, &Device::Cpu).unwrap();
        let of = |got: &[f64], expected: &[f64]| error(&tensor(got), &tensor(expected)).unwrap();
        assert_eq!(of(&[1.0, -3.5], &[1.0, -4.0]), 0.125);
        assert_eq!(of(&[1.0, f64::NAN], &[1.0, 1.0]), f64::INFINITY);
        assert_eq!(of(&[0.0], &[0.0]), 0.0);
    }

    /// The kernels round in other places than candle, so that neither error is zero, and both are
    /// some units in the last place of the largest number.
    #[test]
    fn a_convolution_is_off_by_rounding_in_every_form() {
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
    fn updates_and_noise_are_off_by_rounding() {
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
