//! The networks against the reference implementation, and their files.

mod files;
mod golden;
mod heads;
mod import;
mod layouts;
mod networks;
mod reverse;
mod sampler;
mod variants;
