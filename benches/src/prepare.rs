//! A case made ready: all that is left is to run it.

use std::hint::black_box;

use metrics::Inception;

use crate::case::{Act, Case, Work};
use crate::pass::{Pass, discard};
use crate::{Result, features, matrix, sampling, step};

/// One iteration.
pub type Iteration = Box<dyn FnMut() -> Result<()>>;

/// Builds networks and inputs.
///
/// # Errors
///
/// If the case cannot be built.
pub fn prepare(case: &Case) -> Result<Iteration> {
    let (network, batch, act) = match &case.work {
        Work::Product { size } => {
            let factors = matrix::factors(*size)?;
            return Ok(Box::new(move || Ok(matrix::run(&factors)?)));
        }
        Work::Features { images } => {
            let (network, images) =
                (Inception::new(features::weights()?)?, features::images(*images)?);
            return Ok(Box::new(move || {
                black_box(features::extract(&network, &images)?);
                Ok(())
            }));
        }
        Work::Frechet { rows, dim } => {
            let sets = features::rows(&features::sets(*rows, *dim)?)?;
            return Ok(Box::new(move || {
                black_box(features::distance(&sets)?);
                Ok(())
            }));
        }
        Work::Network { network, batch, act } => (network, *batch, act),
    };
    if let Act::Step { preset } = act {
        let mut engine = step::engine(network, batch, preset)?;
        return Ok(Box::new(move || step::run(&mut engine)));
    }
    let (pass, act) = (Pass::new(network, batch)?, act.clone());
    Ok(Box::new(move || {
        Ok(match &act {
            Act::Forward => discard(pass.forward()),
            Act::Weights => discard(pass.grad_weights()),
            Act::Input => discard(pass.grad_input()),
            Act::Generate => discard(sampling::one_step(&pass)),
            Act::Heun { steps } => discard(sampling::heun(&pass, *steps)),
            Act::Step { .. } => unreachable!("taken above"),
        }?)
    }))
}
