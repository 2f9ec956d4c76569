//! What a person sees of a run: a bar on a terminal, a line now and then elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use train::events::{Event, Sink, Tick};

use crate::output::note;

/// Shows a run on stderr.
pub struct Console {
    bar: Option<ProgressBar>,
    last: Instant,
    /// When what is prepared was begun.
    begun: Instant,
    /// Images and seconds when the session began, for the speed.
    start: Option<(u64, f64)>,
}

/// Time between two lines where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);

impl Console {
    /// A bar if stderr is a terminal.
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

    fn update(&mut self, images: u64, total: u64, seconds: f64) {
        let (first, began) = *self.start.get_or_insert((images, seconds));
        let mut message = format!("{images} of {total} images");
        // The first update is the start of the clock: of one alone no speed is known.
        let speed = (images - first) as f64 / (seconds - began);
        if speed.is_finite() && 0.0 < speed {
            let left = clock(total.saturating_sub(images) as f64 / speed);
            message += &format!(", {speed:.0} a second, {left} left");
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
                self.say(&format!("going on after {images} images"));
            }
            Event::Preparing { what, done, total } if EVERY <= self.last.elapsed() => {
                self.last = Instant::now();
                let left =
                    self.begun.elapsed().as_secs_f64() * (*total as f64 / *done as f64 - 1.0);
                let left = if left.is_finite() { clock(left) } else { "-".into() };
                self.say(&format!("{what}: {} %, {left} left", 100 * done / (*total).max(1)));
            }
            Event::Phase { number, method } => self.say(&format!("phase {number}: {method}")),
            Event::Update { images, total, seconds } => self.update(*images, *total, *seconds),
            Event::Tick(tick) => self.say(&line(tick)),
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

fn line(tick: &Tick) -> String {
    let stats = tick.stats.iter().map(|(name, stat)| format!(" {name} {:.4}", stat.mean));
    format!("{} images, {}:{}", tick.images, clock(tick.seconds), stats.collect::<String>())
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
    use super::clock;

    #[test]
    fn times_read_as_on_a_clock() {
        for (seconds, expected) in [(-1.0, "0:00"), (65.9, "1:05"), (3723.0, "1:02:03")] {
            assert_eq!(clock(seconds), expected);
        }
    }
}
