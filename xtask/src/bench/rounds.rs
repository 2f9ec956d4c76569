//! Interleaved variants of a case, A B C A B C ..., so that a disturbance affects all of them.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::machine::busy_seconds;
use super::session::{Iteration, Session};

/// Duration of the measurement of a case.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds before the first counted one.
    pub warmup: usize,
    /// Minimum of counted rounds.
    pub min_rounds: usize,
    /// Maximum of counted rounds.
    pub max_rounds: usize,
    /// Time after which no round beyond the minimum begins.
    pub budget: Duration,
    /// Total time for which the case may wait for other processes.
    pub max_wait: Duration,
}

/// Times of a variant in the counted rounds, and its peak memory.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Seconds per iteration, by round.
    pub wall: Vec<f64>,
    /// Seconds of processor time per iteration, by round.
    pub cpu: Vec<f64>,
    /// Peak memory in bytes.
    pub peak: Option<f64>,
}

/// Measurements of all variants.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// One per session, in their order.
    pub series: Vec<Series>,
    /// Number of rounds that other processes disturbed and that were dropped.
    pub disturbed: usize,
    /// Set if too few rounds were undisturbed; all rounds count then.
    pub noisy: bool,
}

/// Pause between turns, in which the threads of the last turn go to sleep.
const PAUSE: Duration = Duration::from_millis(40);
/// Seconds for which a turn repeats short iterations. The system's accounting has a coarse clock,
/// and the first iteration fills the caches.
const TURN: f64 = 0.5;
/// Maximum of iterations per turn.
const MAX_ITERATIONS: f64 = 5.0;
/// Time over which the load of other processes is measured: several ticks of the system's
/// accounting.
const SAMPLE: Duration = Duration::from_millis(200);
/// Share of one core. A turn in which other processes used more is disturbed.
const DISTURBED: f64 = 0.2;

/// One turn of one variant.
#[derive(Clone, Copy, Debug)]
struct Turn {
    wall: f64,
    cpu: Option<f64>,
    /// Cores that other processes used meanwhile, if the system reports them.
    others: Option<f64>,
}

/// Runs all sessions interleaved and ends them.
///
/// # Errors
///
/// If a session fails.
pub fn measure(mut sessions: Vec<Session>, effort: Effort) -> anyhow::Result<Measured> {
    for session in &mut sessions {
        session.wait_ready()?;
    }
    let mut repeats = vec![1; sessions.len()];
    for _ in 0..effort.warmup {
        for (session, repeats) in sessions.iter_mut().zip(&mut repeats) {
            let wall = turn(session, 1)?.wall;
            *repeats = (TURN / wall).ceil().clamp(1.0, MAX_ITERATIONS) as usize;
        }
    }
    let mut remaining = effort.max_wait;
    let (mut rounds, start) = (Vec::<Vec<Turn>>::new(), Instant::now());
    while rounds.len() < effort.min_rounds
        || (start.elapsed() < effort.budget
            && rounds.iter().filter(|it| is_quiet(it)).count() < effort.max_rounds)
    {
        remaining = wait_for_quiet(remaining);
        let turns = sessions.iter_mut().zip(&repeats).map(|(it, &repeats)| turn(it, repeats));
        rounds.push(turns.collect::<anyhow::Result<Vec<Turn>>>()?);
    }
    let mut measured = choose(&rounds, effort.min_rounds, sessions.len());
    for (session, series) in sessions.into_iter().zip(&mut measured.series) {
        series.peak = session.end()?;
    }
    Ok(measured)
}

/// Waits until other processes are idle, at most for `max_wait`; returns the remaining time.
fn wait_for_quiet(max_wait: Duration) -> Duration {
    let start = Instant::now();
    while start.elapsed() < max_wait {
        let (before, sampled) = (busy_seconds(), Instant::now());
        sleep(SAMPLE);
        let Some(busy) = busy_seconds().zip(before).map(|(after, before)| after - before) else {
            break;
        };
        if busy / sampled.elapsed().as_secs_f64() < DISTURBED {
            break;
        }
    }
    max_wait.saturating_sub(start.elapsed())
}

fn turn(session: &mut Session, repeats: usize) -> anyhow::Result<Turn> {
    sleep(PAUSE);
    let (busy, start) = (busy_seconds(), Instant::now());
    let iterations = (0..repeats).map(|_| session.go()).collect::<anyhow::Result<Vec<_>>>()?;
    let elapsed = start.elapsed().as_secs_f64();
    let all_busy = busy_seconds().zip(busy).map(|(after, before)| after - before);
    let mean = |of: &dyn Fn(&Iteration) -> f64| {
        iterations.iter().map(of).sum::<f64>() / iterations.len() as f64
    };
    let known = iterations.iter().all(|it| it.cpu.is_some());
    let cpu = known.then(|| mean(&|it| it.cpu.unwrap_or_default()));
    let own = cpu.map(|cpu| cpu * repeats as f64);
    let others = all_busy.zip(own).map(|(all, own)| (all - own) / elapsed);
    Ok(Turn { wall: mean(&|it| it.wall), cpu, others })
}

fn is_quiet(round: &[Turn]) -> bool {
    round.iter().all(|turn| turn.others.is_none_or(|others| others < DISTURBED))
}

/// Returns the quiet rounds, or all rounds if there are too few.
fn choose(rounds: &[Vec<Turn>], min_rounds: usize, variants: usize) -> Measured {
    let quiet: Vec<&Vec<Turn>> = rounds.iter().filter(|it| is_quiet(it)).collect();
    // Half of the minimum still gives a median.
    let noisy = quiet.len() < min_rounds.div_ceil(2);
    let (counted, disturbed) = if noisy {
        (rounds.iter().collect(), 0)
    } else {
        (quiet.clone(), rounds.len() - quiet.len())
    };
    let mut series = vec![Series::default(); variants];
    for round in counted {
        for (series, turn) in series.iter_mut().zip(round) {
            series.wall.push(turn.wall);
            series.cpu.extend(turn.cpu);
        }
    }
    Measured { series, disturbed, noisy }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(wall: f64, others: f64) -> Vec<Turn> {
        vec![Turn { wall, cpu: Some(2.0 * wall), others: Some(others) }]
    }

    #[test]
    fn drops_disturbed_rounds() {
        let rounds = [round(1.0, 0.0), round(9.0, 0.9), round(2.0, 0.1)];
        let measured = choose(&rounds, 3, 1);
        assert_eq!(measured.series[0].wall, [1.0, 2.0]);
        assert_eq!(measured.series[0].cpu, [2.0, 4.0]);
        assert_eq!((measured.disturbed, measured.noisy), (1, false));
    }

    #[test]
    fn counts_all_rounds_as_noisy_if_all_are_disturbed() {
        let rounds = [round(1.0, 0.5), round(9.0, 0.9), round(2.0, 0.1)];
        let measured = choose(&rounds, 3, 1);
        assert_eq!(measured.series[0].wall.len(), 3);
        assert!(measured.noisy);
    }
}
