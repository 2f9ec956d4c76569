//! Compiles the examples in the README of the repository.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
