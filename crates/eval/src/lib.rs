#![doc = include_str!("../README.md")]

mod error;
mod event;
mod feature_cache;
mod fit;
mod gate;
mod metric;
pub mod metric_log;
mod picture;
mod plan;
mod protocol;
mod row;
mod run;

pub use data;
pub use metrics;
pub use models;

pub use error::{Error, Result};
pub use event::{Event, OnEvent};
pub use feature_cache::features;
pub use fit::{FEWEST, check_count, check_shape, dataset_id, pad_for, pad_to};
pub use gate::{Gate, GateNotMet};
pub use metric::{by_name, is_fid, list};
pub use picture::grid;
pub use plan::{Images, Plan, RealImageSet, Request, Subject};
pub use protocol::{EvalProtocol, Quoted};
pub use row::{Row, table};

/// Images in one forward pass of an evaluation.
pub const BATCH: usize = 100;
