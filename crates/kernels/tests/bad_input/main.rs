//! What the operations make of input that a network never gives them: right, or a clear error.
//!
//! Every row of [`table`] runs in f32 by each set of kernels that this processor has, and in f64 by
//! the composed form, at odd sizes and empty ones, on views of every kind, with NaN and infinities.

mod misfits;
mod noise;
mod non_finite;
mod run;
mod scratch;
mod sizes;
mod table;
mod updates;
mod views;
