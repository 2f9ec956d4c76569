//! Preparation of a case, so that only the run is timed.

use std::hint::black_box;

use metrics::Inception;

use crate::case::{Case, Task, Work};
use crate::pass::{Pass, discard};
use crate::{Result, features, matrix, sampling, step};

/// One iteration of a case.
pub type Iteration = Box<dyn FnMut() -> Result<()>>;

/// Builds networks and inputs of a case.
///
/// # Errors
///
/// If the case cannot be built.
pub fn prepare(case: &Case) -> Result<Iteration> {
    let (network, batch, task) = match &case.work {
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
        Work::Network { network, batch, task } => (network, *batch, task),
    };
    if let Task::Step { preset } = task {
        let mut engine = step::engine(network, batch, preset)?;
        return Ok(Box::new(move || step::run(&mut engine)));
    }
    let (pass, task) = (Pass::new(network, batch)?, task.clone());
    Ok(Box::new(move || {
        Ok(match &task {
            Task::Forward => discard(pass.forward()),
            Task::Weights => discard(pass.grad_weights()),
            Task::Input => discard(pass.grad_input()),
            Task::Generate => discard(sampling::one_step(&pass)),
            Task::Heun { steps } => discard(sampling::heun(&pass, *steps)),
            Task::Step { .. } => unreachable!("handled above"),
        }?)
    }))
}
