//! What `cargo xtask bench` measures: whole networks, steps and samplers, as data, and their
//! execution by this workspace.
//!
//! A [`case::Case`] is a row of a table. The program `subject` of this crate prepares one case and
//! runs it once for each line that it is sent; `peer/peer.py` does the same in PyTorch, from the
//! weights and inputs that `subject record` wrote, after it has found the same numbers. Who is timed
//! when, and what becomes of the figures, is `xtask`'s business.
//!
//! # Map
//!
//! - [`case`], [`networks`]: the table of cases. [`flop`]: what a case costs on paper.
//! - [`prepare`]: a case made ready to run; [`pass`], [`step`], [`sampling`], [`matrix`],
//!   [`features`]: each kind of work. [`record`]: what the peer is given and must find.
//! - [`operation`]: every operation at the shapes of the three recipes; [`accuracy`]: its error
//!   against f64. [`kernels`]: the hot kernels one by one, for counting instructions.
//! - [`process`]: time and memory of this process.

pub mod accuracy;
pub mod case;
pub mod features;
pub mod flop;
pub mod kernels;
pub mod matrix;
pub mod networks;
pub mod operation;
pub mod pass;
pub mod prepare;
pub mod process;
pub mod record;
pub mod sampling;
pub mod step;

/// An error of a benchmark: text for a person at a terminal.
pub type Error = Box<dyn std::error::Error>;
/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
