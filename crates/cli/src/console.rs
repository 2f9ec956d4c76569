//! Progress on standard error: a bar on a terminal, a line every ten seconds elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use train::{
    events::{Event, Sink, Tick},
    step::BinMonitor,
};

use crate::output::note;

/// Progress of a run.
pub struct Console {
    bar: Option<ProgressBar>,
    last: Instant,
    /// Start of the current preparation.
    begun: Instant,
    /// Images and seconds at the start of the session, for the speed.
    start: Option<(u64, f64)>,
}

/// Time between two lines without a terminal.
const EVERY: Duration = Duration::from_secs(10);

impl Console {
    /// A bar if standard error is a terminal.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{wide_bar} {percent}% {msg}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(0).with_style(style)
        });
        Self { bar, last: Instant::now() - EVERY, begun: Instant::now(), start: None }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => note!("{line}"),
        }
    }

    /// Progress of a preparation: `done` of `total` units.
    fn prepare(&mut self, step: &str, done: u64, total: u64) {
        if self.last.elapsed() < EVERY {
            return;
        }
        self.last = Instant::now();
        let left = self.begun.elapsed().as_secs_f64() * (total as f64 / done as f64 - 1.0);
        let left = if left.is_finite() { format!(", {} left", clock(left)) } else { String::new() };
        self.say(&format!("{step}: {} %{left}", 100 * done / total.max(1)));
    }

    fn update(&mut self, images: u64, total: u64, seconds: f64) {
        let (first, began) = *self.start.get_or_insert((images, seconds));
        let mut message = format!("{images} of {total} images");
        // The first update starts the clock: one update alone gives no speed.
        let speed = (images - first) as f64 / (seconds - began);
        if speed.is_finite() && 0.0 < speed {
            let left = clock(total.saturating_sub(images) as f64 / speed);
            message += &format!(", {speed:.0} per second, {left} left");
        }
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(images);
                bar.set_message(message);
            }
            None if EVERY <= self.last.elapsed() => {
                note!("{message}");
                self.last = Instant::now();
            }
            None => (),
        }
    }
}

impl Sink for Console {
    fn emit(&mut self, event: &Event) -> Result<(), train::Error> {
        match event {
            Event::Started { images, resumed: true, .. } => {
                self.say(&format!("resuming after {images} images"));
            }
            Event::Preparing { what, done, total } => self.prepare(what, *done, *total),
            Event::Phase { number, method } => self.say(&format!("phase {number}: {method}")),
            Event::Update { images, total, seconds } => self.update(*images, *total, *seconds),
            Event::Tick(tick) => self.say(&line(tick)),
            Event::Warning { images, text } => {
                self.say(&format!("warning: after {images} images: {text}"));
            }
            Event::NonFinite { images, what } => {
                self.say(&format!("after {images} images: {what} is not finite, update skipped"));
            }
            Event::Wrote { what, path } => self.say(&format!("{what}: {}", path.display())),
            Event::Finished { .. } | Event::Interrupted { .. } => {
                if let Some(bar) = self.bar.take() {
                    bar.finish_and_clear();
                }
            }
            _ => (),
        }
        Ok(())
    }
}

/// Reports the progress of a preparation.
pub fn preparation(step: &'static str) -> impl FnMut(u64, u64) -> Result<(), train::Error> {
    let mut console = Console::new();
    move |done, total| {
        console.prepare(step, done, total);
        Ok(())
    }
}

/// Reports the events of an evaluation.
pub fn evaluation() -> impl FnMut(eval::Event<'_>) {
    let mut current: Option<(&'static str, Console)> = None;
    move |event| match event {
        eval::Event::Progress { step, done, total } => {
            // Each step has its own clock.
            let (_, console) = match &mut current {
                Some(it) if it.0 == step => it,
                other => other.insert((step, Console::new())),
            };
            console.prepare(step, done, total);
        }
        eval::Event::CacheNotRead(err) => {
            note!("cached features are not usable, computing them again: {err:#}");
        }
        eval::Event::CacheNotWritten(err) => note!("features are not cached: {err:#}"),
        _ => (),
    }
}

fn line(tick: &Tick) -> String {
    let stats = tick.stats.iter().map(|(name, stat)| format!(" {name} {:.4}", stat.mean));
    let (stats, monitors) = (stats.collect::<String>(), monitors(&tick.monitors));
    format!("{} images, {}:{stats}{monitors}", tick.images, clock(tick.seconds))
}

/// Smallest and largest value of each monitor over the noise levels.
fn monitors(bins: &[BinMonitor]) -> String {
    type Value = fn(&BinMonitor) -> Option<f64>;
    let named: [(&str, Value); 3] = [
        ("advantage", |it| it.advantage),
        ("std_log_ratio", |it| it.std_log_ratio),
        ("auc", |it| it.auc),
    ];
    let range = |(name, value): (&str, Value)| {
        let values = bins.iter().filter_map(value);
        let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), it| {
            (low.min(it), high.max(it))
        });
        if low <= high { format!(" {name} {low:.2}..{high:.2}") } else { String::new() }
    };
    named.into_iter().map(range).collect()
}

/// Seconds as `1:02:03` or `2:03`.
pub fn clock(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{clock, monitors};
    use train::step::BinMonitor;

    #[test]
    fn formats_the_range_of_each_monitor() {
        let bin = |advantage, auc| BinMonitor { advantage, auc, ..BinMonitor::default() };
        let bins = [bin(Some(0.5), None), bin(Some(-0.25), Some(0.6))];
        assert_eq!(monitors(&bins), " advantage -0.25..0.50 auc 0.60..0.60");
        assert_eq!(monitors(&[]), "");
    }

    #[test]
    fn formats_times() {
        for (seconds, expected) in [(-1.0, "0:00"), (65.9, "1:05"), (3723.0, "1:02:03")] {
            assert_eq!(clock(seconds), expected);
        }
    }
}
