//! One verb a file: its arguments, and what it does.

pub mod list;
