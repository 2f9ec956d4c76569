//! Checks of the feature network of the terms `frechet` and `reward`.

use divergence::Method;
use metrics::FeatureNet;
use models::NetworkConfig;

use super::engine::Engine;
use crate::{Config, Error, config::streams::Use};

/// Checks that the feature network of files fits a teacher's images and labels, if a method has a term of
/// it.
pub(super) fn of_files(config: &Config, network: &NetworkConfig) -> Result<(), Error> {
    let side = network.img_resolution;
    let found = [network.img_channels, side, side];
    for (index, phase) in config.phase.iter().enumerate() {
        let Some(term) = term(&phase.method) else { continue };
        if found != FeatureNet::IMAGE {
            let reason = format!(
                "the feature network takes images {:?}, and the teacher makes {found:?}; switch the \
                 term off",
                FeatureNet::IMAGE,
            );
            return Err(Error::unusable(format!("phase.{index}.method.{term}"), reason));
        }
        labels(index, &phase.method, FeatureNet::CLASSES, network.label_dim)?;
    }
    Ok(())
}

/// Checks that there is a feature network that takes the generator's images, if a method has a term of it.
pub(super) fn of_engine(engine: &Engine) -> Result<(), Error> {
    for (index, phase) in engine.config.phase.iter().enumerate() {
        let Some(term) = term(&phase.method) else { continue };
        let key = format!("phase.{index}.method.{term}");
        let Some(network) = &engine.networks.features else {
            let reason = "it needs a feature network, and the run has no such network; give RunInputs::features or \
                          Networks::with_features";
            return Err(Error::unusable(key, reason));
        };
        let z = engine.random_inputs(0, 2).normal(Use::GeneratorLatent)?;
        let logits =
            network.features(&z).and_then(|rows| network.logits(&rows)).map_err(|err| {
                let reason =
                    format!("its feature network does not take the generator's images: {err}");
                Error::unusable(key, reason)
            })?;
        labels(index, &phase.method, logits.dim(1)?, engine.source.label_dim)?;
    }
    Ok(())
}

/// Key of a term of the feature network, if the method has one.
fn term(method: &Method) -> Option<&'static str> {
    match (&method.frechet, &method.reward) {
        (Some(_), _) => Some("frechet"),
        (None, Some(_)) => Some("reward"),
        (None, None) => None,
    }
}

/// Checks that a reward has the labels that it is of.
fn labels(phase: usize, method: &Method, classes: usize, labels: usize) -> Result<(), Error> {
    if method.reward.is_none() || (1..=classes).contains(&labels) {
        return Ok(());
    }
    let reason = format!(
        "the reward is of one of {classes} classes, and the generator has {labels}; switch it off by \
         reward = false"
    );
    Err(Error::unusable(format!("phase.{phase}.method.reward"), reason))
}
