//! The networks against the reference implementation, and their files.

mod golden;
mod networks;
mod sampler;
