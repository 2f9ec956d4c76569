//! Training through the public API of the crate.

mod configuration;
mod engine;
mod estimates;
mod estimators;
mod few_steps;
mod fixed_points;
mod own_networks;
mod teacher;
mod trained_estimators;
