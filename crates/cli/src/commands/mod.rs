//! One verb per file: its arguments, and the function that runs it.

pub mod completions;
pub mod convert;
pub mod dataset;
pub mod distill;
pub mod eval;
pub mod features;
mod foreign;
pub mod inspect;
pub mod list;
pub mod quickstart;
pub mod ref_stats;
pub mod sample;
pub mod teacher;
pub mod verify;
