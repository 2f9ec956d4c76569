//! Benchmarks of `cargo xtask bench`: a table of whole networks, steps and samplers, and their
//! execution by this workspace.
//!
//! A [`case::Case`] is a row of the table. The program `subject` prepares one case and runs it once
//! for each line that it receives. `peer/peer.py` does the same in PyTorch, from the weights and
//! inputs that `subject record` wrote, after it has verified that it computes the same values.
//! `xtask` schedules the measurements and evaluates the times.
//!
//! # Map
//!
//! - [`case`], [`networks`]: the table of cases. [`flop`]: the number of operations of a case.
//! - [`prepare`]: preparation of a case; [`pass`], [`step`], [`sampling`], [`matrix`], [`features`]:
//!   each kind of work. [`record`]: inputs and expected results for the peer.
//! - [`operation`]: every operation at the shapes of the three recipes; [`accuracy`]: its error
//!   against f64. [`hot_kernels`]: the hot kernels one by one, for counting instructions.
//! - [`process`]: time and memory of this process.

pub mod accuracy;
pub mod case;
pub mod features;
pub mod flop;
pub mod hot_kernels;
pub mod matrix;
pub mod networks;
pub mod operation;
pub mod pass;
pub mod prepare;
pub mod process;
pub mod record;
pub mod sampling;
pub mod step;

/// Error of a benchmark, with a message for the terminal.
pub type Error = Box<dyn std::error::Error>;
/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
