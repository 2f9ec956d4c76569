//! The distillation loop: configuration, step, state, events.
//!
//! # What flows
//!
//! A [`config::Config`] says what to do; an [`engine::Engine`] does one update at a time on a
//! [`state::TrainState`]; [`run`] repeats it, writes checkpoints and emits [`events::Event`]s.
//! The engine asks of networks only what [`models::Denoiser`] and [`models::LogRatio`] promise,
//! and of a method only what [`divergence::Method`] says, so closed-form worlds and images, and
//! all published methods, run through the same lines.
//!
//! # A run is a pure function
//!
//! Of (configuration, seed, images shown). All randomness is read off counter-based streams
//! ([`streams`]) at the progress counters, so a checkpoint holds counters and tensors only, and a
//! resumed run goes on as if it had never stopped.
//!
//! # Map
//!
//! - [`config`], [`phases`], [`architecture`], [`numbers`]: what a run is; types that validate while
//!   they are parsed.
//! - [`step`]: one update, an arrow of the data flow a file.
//! - [`optim`], [`ema`], [`state`], [`checkpoint`]: what is trained, averaged, kept.
//! - [`engine`], [`run`], [`events`]: the loop. [`assemble`]: networks from files;
//!   [`estimate`]: what they will take.
//! - [`source`], [`pairs`], [`labels`]: where real images, the teacher's own samples and classes come
//!   from; [`stand_in`]: what takes their place where a run is only tried.
//! - [`teacher`], [`classifier`]: training of the teacher and of the feature network.
//!
//! No network and no kernel is defined here, and nothing is printed.

pub mod architecture;
pub mod config;
pub mod numbers;
pub mod phases;
pub mod streams;

pub mod step;

pub mod ema;
pub mod optim;
pub mod state;

pub mod checkpoint;
pub mod distillation;
pub mod engine;
pub mod error;
pub mod events;
pub mod run;

pub mod assemble;
pub mod estimate;
pub mod labels;
pub mod pairs;
pub mod source;
pub mod stand_in;

pub mod classifier;
pub mod quickstart;
pub mod teacher;

#[cfg(test)]
mod tests;

pub use config::Config;
pub use engine::Engine;
pub use error::Error;
pub use state::TrainState;
