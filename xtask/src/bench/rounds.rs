//! Variants of a case in turn, A B C A B C ..., so that what disturbs one disturbs all.

use std::thread::sleep;
use std::time::{Duration, Instant};

use super::machine::busy_seconds;
use super::session::{Iteration, Session};

/// How long a case is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Rounds before the first that counts.
    pub warmup: usize,
    /// Fewest rounds that count.
    pub least: usize,
    /// Most rounds that count.
    pub most: usize,
    /// After so long no round beyond the fewest is begun.
    pub budget: Duration,
    /// How long the case may wait for others to be done, in all.
    pub patience: Duration,
}

/// What a variant took in the rounds that count, and its peak memory.
#[derive(Clone, Debug, Default)]
pub struct Series {
    /// Seconds an iteration, by round.
    pub wall: Vec<f64>,
    /// Seconds of processor time an iteration, by round.
    pub cpu: Vec<f64>,
    /// Bytes.
    pub peak: Option<f64>,
}

/// What all variants took.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// In the order of the sessions.
    pub series: Vec<Series>,
    /// Rounds that others disturbed and that were left out.
    pub disturbed: usize,
    /// Whether too few rounds were undisturbed, so that all of them count.
    pub noisy: bool,
}

/// Between turns, until the threads of the last one sleep.
const PAUSE: Duration = Duration::from_millis(40);
/// A turn repeats short iterations for so long: the clock of the kernel's accounts ticks slowly, and
/// the caches belong to the variant after its first.
const TURN: f64 = 0.5;
/// Most iterations of a turn.
const MOST_IN_TURN: f64 = 5.0;
/// How long one looks whether others are busy: some ticks of the kernel's accounts.
const LOOK: Duration = Duration::from_millis(200);
/// A turn is disturbed when others used more than this share of one core.
const DISTURBED: f64 = 0.2;

/// One turn of one variant.
#[derive(Clone, Copy, Debug)]
struct Turn {
    wall: f64,
    cpu: Option<f64>,
    /// Cores that others used meanwhile, where the kernel tells.
    others: Option<f64>,
}

/// Runs all sessions in turn and ends them.
///
/// # Errors
///
/// If one of them fails.
pub fn measure(mut sessions: Vec<Session>, effort: Effort) -> anyhow::Result<Measured> {
    for session in &mut sessions {
        session.wait_ready()?;
    }
    let mut repeats = vec![1; sessions.len()];
    for _ in 0..effort.warmup {
        for (session, repeats) in sessions.iter_mut().zip(&mut repeats) {
            let wall = turn(session, 1)?.wall;
            *repeats = (TURN / wall).ceil().clamp(1.0, MOST_IN_TURN) as usize;
        }
    }
    let mut patience = effort.patience;
    let (mut rounds, start) = (Vec::<Vec<Turn>>::new(), Instant::now());
    while rounds.len() < effort.least
        || (start.elapsed() < effort.budget
            && rounds.iter().filter(|it| is_quiet(it)).count() < effort.most)
    {
        patience = wait_for_quiet(patience);
        let turns = sessions.iter_mut().zip(&repeats).map(|(it, &repeats)| turn(it, repeats));
        rounds.push(turns.collect::<anyhow::Result<Vec<Turn>>>()?);
    }
    let mut measured = choose(&rounds, effort.least, sessions.len());
    for (session, series) in sessions.into_iter().zip(&mut measured.series) {
        series.peak = session.end()?;
    }
    Ok(measured)
}

/// Waits until others leave the machine alone, at most for so long; returns what is left of it.
fn wait_for_quiet(patience: Duration) -> Duration {
    let start = Instant::now();
    while start.elapsed() < patience {
        let (before, looked) = (busy_seconds(), Instant::now());
        sleep(LOOK);
        let Some(busy) = busy_seconds().zip(before).map(|(after, before)| after - before) else {
            break;
        };
        if busy / looked.elapsed().as_secs_f64() < DISTURBED {
            break;
        }
    }
    patience.saturating_sub(start.elapsed())
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

/// The quiet rounds, or all of them if those are too few.
fn choose(rounds: &[Vec<Turn>], least: usize, variants: usize) -> Measured {
    let quiet: Vec<&Vec<Turn>> = rounds.iter().filter(|it| is_quiet(it)).collect();
    // Half of what was asked for gives a median all the same.
    let noisy = quiet.len() < least.div_ceil(2);
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
    fn disturbed_rounds_are_left_out() {
        let rounds = [round(1.0, 0.0), round(9.0, 0.9), round(2.0, 0.1)];
        let measured = choose(&rounds, 3, 1);
        assert_eq!(measured.series[0].wall, [1.0, 2.0]);
        assert_eq!(measured.series[0].cpu, [2.0, 4.0]);
        assert_eq!((measured.disturbed, measured.noisy), (1, false));
    }

    #[test]
    fn where_all_is_disturbed_all_counts_and_is_said_to() {
        let rounds = [round(1.0, 0.5), round(9.0, 0.9), round(2.0, 0.1)];
        let measured = choose(&rounds, 3, 1);
        assert_eq!(measured.series[0].wall.len(), 3);
        assert!(measured.noisy);
    }
}
