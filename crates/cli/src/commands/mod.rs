//! One verb a file: its arguments, and what it does.

pub mod completions;
pub mod dataset;
pub mod features;
pub mod list;
pub mod teacher;
