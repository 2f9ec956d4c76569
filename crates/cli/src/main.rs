//! The command line of Uni-Instruct.

fn main() {}
