//! Operations on input that networks do not produce: a correct result or a clear error.
//!
//! Every row of [`table`] runs in f32 by each set of kernels of this processor, and in f64 by
//! the composed form, at odd and empty sizes, on views of every kind, with NaN and infinities.

mod misfits;
mod noise;
mod non_finite;
mod run;
mod scratch;
mod sizes;
mod table;
mod updates;
mod views;
