//! What trains: the engine of a distillation, teachers and feature networks, and the loop over them.

pub mod assemble;
pub mod classifier;
pub mod distillation;
pub mod engine;
pub mod estimate;
pub mod quickstart;
pub mod run;
pub mod teacher;
