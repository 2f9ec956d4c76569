//! Tests that need more than one module.

mod configuration;
mod engine;
mod teacher;
mod terms;
