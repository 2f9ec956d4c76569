//! Tests that need more than one module.

mod configuration;
mod engine;
mod estimates;
mod teacher;
mod terms;
