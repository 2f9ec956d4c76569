//! Shared shapes of the benchmarks.
