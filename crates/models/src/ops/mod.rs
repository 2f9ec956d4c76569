//! Operations with kernels of their own.

pub mod noise;
