//! Construction of an engine from its parts, which are checked against each other.

use candle_core::Device;

use super::{check, engine::Engine, networks::Networks};
use crate::{Config, Error, source::Source, state::TrainState, step::Monitors};

impl Engine {
    /// Builds an engine from its parts and checks that they fit each other. The generator's parameters
    /// determine the data type.
    ///
    /// [`crate::assemble`] does the same from a teacher's file. Use this constructor for your own
    /// networks: `networks` are views of the parameters in `state`.
    ///
    /// # Errors
    ///
    /// If a phase is invalid, a network returns another shape than it must, or `source` lacks images
    /// that a method needs; the message names the part.
    pub fn new(
        config: Config,
        networks: Networks,
        state: TrainState,
        source: Source,
        device: Device,
    ) -> Result<Self, Error> {
        check::phases(&config)?;
        check::sizes(config.batch.get(), config.accumulation.get())?;
        let Some(parameter) = state.generator.params.vars().values().next() else {
            let reason = "it has no parameters to train; give TrainState::new its ParamSet";
            return Err(Error::unusable("generator", reason));
        };
        let dtype = parameter.dtype();
        let monitors = Monitors::new(&config.phase_at(0)?.1.method);
        let engine =
            Self { config, networks, state, source, device, dtype, monitors, reference: None };
        check::fake_average(&engine)?;
        check::shapes(&engine)?;
        engine.prepared()
    }
}
