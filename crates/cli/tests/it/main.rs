//! The program as users run it: verbs, exit codes, interruptions, bad input.

mod bad_input;
mod convert;
mod embedded;
mod measure;
mod program;
mod recipes;
mod runs;
