//! Jobs: the engine of a distillation, the training of teachers and feature networks, and their loop.

mod accumulation;
mod advantage;
mod check;
mod construct;
mod distillation;
mod engine;
mod feature_check;
mod networks;
mod path_training;
mod reference;

pub mod assemble;
pub mod classifier;
pub mod estimate;
pub mod quickstart;
pub mod run;
pub mod teacher;

pub use engine::Engine;
pub use networks::{NetworkViews, Networks};
