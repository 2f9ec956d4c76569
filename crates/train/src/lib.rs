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

pub mod config;
pub mod events;
pub mod source;
pub mod state;
pub mod step;

mod error;
mod job;

pub mod evaluate;
pub mod labels;

#[cfg(test)]
mod tests;

pub use config::{Config, architecture, numbers, phases, streams};
pub use error::Error;
pub use job::{
    assemble, classifier, distillation, engine, engine::Engine, estimate, quickstart, run, teacher,
};
pub use source::{pairs, placeholder, placeholder as stand_in};
pub use state::{TrainState, checkpoint, ema, optim};
