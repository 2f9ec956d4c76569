//! Counters of a run, and the outcome of an update.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Error;

/// Statistics of one update, by name.
pub type Stats = BTreeMap<&'static str, f64>;

/// Outcome of an update.
#[derive(Debug)]
pub enum Outcome {
    /// The update was applied.
    Applied(Stats),
    /// The named quantity was not finite, and its step was not applied. Steps of the fake score
    /// earlier in the same update were applied.
    Skipped(&'static str),
}

/// Progress of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Images shown to the generator, or to the one network that is trained.
    pub images: u64,
    /// Images shown to the fake score.
    pub fake_images: u64,
    /// Updates skipped because of a non-finite loss or gradient, in total.
    pub skipped: u64,
    /// Consecutive skipped updates, up to now.
    pub skipped_in_a_row: u32,
    /// Seconds spent in updates, over all sessions of the run.
    pub seconds: f64,
}

impl Progress {
    /// Counts one update of `images` images.
    ///
    /// # Errors
    ///
    /// If more than `max_skipped` consecutive updates were skipped.
    pub fn record(
        &mut self,
        outcome: &Outcome,
        images: u64,
        seconds: f64,
        max_skipped: u32,
    ) -> Result<(), Error> {
        self.images += images;
        self.seconds += seconds;
        let Outcome::Skipped(what) = outcome else {
            self.skipped_in_a_row = 0;
            return Ok(());
        };
        self.skipped += 1;
        self.skipped_in_a_row += 1;
        if max_skipped < self.skipped_in_a_row {
            let (images, times) = (self.images, self.skipped_in_a_row);
            return Err(Error::NonFinite { images, what, times });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_skipped_updates_in_a_row_end_the_run() {
        let mut progress = Progress::default();
        let skipped = Outcome::Skipped("Loss/fake");
        let applied = Outcome::Applied(Default::default());
        for outcome in [&skipped, &skipped, &applied, &skipped, &skipped] {
            progress.record(outcome, 10, 0.5, 2).unwrap();
        }
        let expected = Progress {
            images: 50,
            skipped: 4,
            skipped_in_a_row: 2,
            seconds: 2.5,
            ..Progress::default()
        };
        assert_eq!(progress, expected);
        let Err(Error::NonFinite { images: 60, what: "Loss/fake", times: 3 }) =
            progress.record(&skipped, 10, 0.5, 2)
        else {
            panic!("the third skip in a row must end the run");
        };
    }
}
