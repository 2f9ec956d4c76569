#![doc = include_str!("../README.md")]

mod error;
mod job;

pub mod config;
pub mod events;
pub mod source;
pub mod state;
pub mod step;

mod labels;

pub use config::{Config, Phase};
pub use error::Error;
pub use job::{
    Engine, NetworkViews, Networks, assemble, classifier, estimate, quickstart, run, teacher,
};
pub use source::{RealImages, Source, placeholder};
pub use state::{Outcome, Progress, TrainState};
