//! The parts of EDM around the network (Karras et al. 2022, arXiv:2206.00364): preconditioning,
//! noise schedule, sampler.

pub mod precond;
pub mod sampler;
pub mod schedule;

#[cfg(test)]
mod tests;
