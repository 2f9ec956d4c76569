//! Tests of the statistics: other tools' figures, closed forms, invariances, bad input.
mod golden;
