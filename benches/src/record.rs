//! Inputs and expected results for the peer: two files for each case.
//!
//! `inputs.safetensors` has weights and inputs, with the case and the configuration of its step as
//! JSON in the metadata; `expected.safetensors` has the results of this workspace. The files are
//! separate, so that a timed peer does not hold the results in memory.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use metrics::Inception;
use models::{ParamSet, TensorFile};

use crate::case::{Case, Task, Work};
use crate::pass::Pass;
use crate::{Result, features, matrix, sampling, step};

/// File of weights and inputs.
pub const INPUTS: &str = "inputs.safetensors";
/// File of results.
pub const EXPECTED: &str = "expected.safetensors";

type Tensors = BTreeMap<String, Tensor>;

/// Writes both files into `folder`.
///
/// # Errors
///
/// If the case cannot be built or run, or the folder cannot be written.
pub fn record(case: &Case, folder: &Path) -> Result<()> {
    let (mut inputs, mut expected) = (TensorFile::default(), TensorFile::default());
    inputs.metadata.insert("case".into(), serde_json::to_string(case)?);
    match &case.work {
        Work::Product { size } => {
            let [a, b] = matrix::factors(*size)?;
            expected.tensors.insert("output".into(), a.matmul(&b)?);
            inputs.tensors = [("input/a".to_owned(), a), ("input/b".to_owned(), b)].into();
        }
        Work::Features { images } => {
            let (weights, images) = (features::weights()?, features::images(*images)?);
            for (index, [kernel, bias]) in weights.iter().enumerate() {
                for (name, tensor) in [("weight", kernel), ("bias", bias)] {
                    let name = format!("weight/inception/{index:03}.{name}");
                    inputs.tensors.insert(name, tensor.clone());
                }
            }
            let found = features::extract(&Inception::new(weights)?, &images)?;
            expected.tensors.insert("output".into(), found);
            inputs.tensors.insert("input/x".into(), images);
        }
        Work::Frechet { rows, dim } => {
            let sets = features::sets(*rows, *dim)?;
            let distance = features::distance(&features::rows(&sets)?)?;
            expected.tensors.insert("output".into(), Tensor::new(distance, &Device::Cpu)?);
            let [a, b] = sets;
            inputs.tensors = [("input/a".to_owned(), a), ("input/b".to_owned(), b)].into();
        }
        Work::Network { network, batch, task: Task::Step { preset } } => {
            let mut engine = step::engine(network, *batch, preset)?;
            let config = serde_json::to_string(&engine.config)?;
            inputs.metadata.insert("config".into(), config);
            let draws = step::first_draws(&engine)?.into_iter();
            inputs.tensors.extend(draws.map(|(name, it)| (format!("input/{name}"), it)));
            record_step(&mut engine, &mut inputs.tensors, &mut expected.tensors)?;
            // The engine's state does not include the teacher, which is a function of its seed.
            let teacher = crate::pass::weights(network, step::TEACHER_SEED)?;
            insert("weight/teacher", &teacher, &mut inputs.tensors)?;
        }
        Work::Network { network, batch, task } => {
            let pass = Pass::new(network, *batch)?;
            insert("weight/network", &pass.params, &mut inputs.tensors)?;
            let crate::pass::Inputs { x, sigma, cotangent } = &pass.inputs;
            for (name, tensor) in [("x", x), ("sigma", sigma), ("cotangent", cotangent)] {
                inputs.tensors.insert(format!("input/{name}"), tensor.clone());
            }
            record_pass(&pass, task, &mut expected.tensors)?;
        }
    }
    inputs.save(folder.join(INPUTS))?;
    expected.save(folder.join(EXPECTED))?;
    Ok(())
}

fn record_pass(pass: &Pass, task: &Task, expected: &mut Tensors) -> Result<()> {
    match task {
        Task::Generate => {
            expected.insert("output".into(), sampling::one_step(pass)?);
        }
        Task::Heun { steps } => {
            expected.insert("output".into(), sampling::heun(pass, *steps)?);
        }
        Task::Forward | Task::Weights | Task::Input | Task::Step { .. } => {
            expected.insert("output".into(), pass.forward()?);
        }
    }
    if *task == Task::Input {
        expected.insert("gradient/x".into(), pass.grad_input()?);
    }
    if *task == Task::Weights {
        let store = pass.grad_weights()?;
        for (name, var) in pass.params.vars() {
            let gradient = store.get(var).ok_or_else(|| format!("`{name}` has no gradient"))?;
            expected.insert(format!("gradient/{name}"), gradient.clone());
        }
    }
    Ok(())
}

/// Records weights before an update, and gradients and weights after it.
///
/// The methods' Adam has β₁ = 0, so that its first moment is the gradient.
fn record_step(
    engine: &mut train::Engine,
    inputs: &mut Tensors,
    expected: &mut Tensors,
) -> Result<()> {
    insert("weight/generator", &engine.state.generator.params, inputs)?;
    insert("weight/fake", &engine.state.fake.params, inputs)?;
    step::run(engine)?;
    let state = &engine.state;
    for (player, trained) in [("generator", &state.generator), ("fake", &state.fake)] {
        let gradients = trained.first.iter();
        expected.extend(gradients.map(|(name, gradient)| {
            (format!("gradient/{player}/{name}"), gradient.as_detached_tensor())
        }));
        insert(&format!("updated/{player}"), &trained.params, expected)?;
    }
    insert("updated/average", &state.ema, expected)
}

/// Inserts copies of the parameters, which an update does not change.
fn insert(place: &str, params: &ParamSet, into: &mut Tensors) -> Result<()> {
    let copies = params.deep_copy()?.tensors();
    into.extend(copies.into_iter().map(|(name, tensor)| (format!("{place}/{name}"), tensor)));
    Ok(())
}
