//! The machine of a measurement, and its load from other processes.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Returns the processor time of all processes of this machine in seconds, if the system reports
/// it.
pub fn busy_seconds() -> Option<f64> {
    busy_seconds_in(&fs::read_to_string("/proc/stat").ok()?)
}

/// Reads the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal, in
/// ticks.
fn busy_seconds_in(text: &str) -> Option<f64> {
    /// Linux reports hundredths of a second, independent of its internal clock.
    const TICKS: f64 = 100.0;
    const BUSY: [usize; 6] = [0, 1, 2, 5, 6, 7];
    let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<f64> = line.split_whitespace().map_while(|it| it.parse().ok()).collect();
    let busy: Option<Vec<f64>> = BUSY.iter().map(|&at| ticks.get(at).copied()).collect();
    Some(busy?.iter().sum::<f64>() / TICKS)
}

/// Describes the processor and its instruction sets.
pub fn describe() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let model = field(&info, "model name").unwrap_or(std::env::consts::ARCH);
    let flags = field(&info, "flags").unwrap_or_default();
    let has = |name: &&str| flags.split(' ').any(|it| it == *name);
    let known: Vec<&str> = ["avx2", "fma", "avx512f"].into_iter().filter(has).collect();
    let numbers = ["cpu family", "model"].map(|key| field(&info, key).unwrap_or("?"));
    format!(
        "{model} (family {}, model {}), {cores} cores, {}",
        numbers[0],
        numbers[1],
        known.join(", ")
    )
}

/// Returns the value of the first line `key : value`.
fn field<'a>(info: &'a str, key: &str) -> Option<&'a str> {
    info.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

/// Returns the commit of the working tree, with a mark if files were changed since; `unknown`
/// without git.
pub fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(hash) = git(&["rev-parse", "--short=10", "HEAD"]) else { return "unknown".into() };
    match git(&["status", "--porcelain", "--untracked-files=no"]) {
        Some(changes) if changes.is_empty() => hash,
        _ => format!("{hash} and changes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_does_not_count_as_busy() {
        let text = "cpu  100 0 50 9999 8888 1 2 3 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(busy_seconds_in(text), Some(1.56));
        assert_eq!(busy_seconds_in("cpu  100 0\n"), None);
    }

    #[test]
    fn finds_field_by_whole_name() {
        let info = "model\t\t: 17\nmodel name\t: A CPU\n";
        assert_eq!(field(info, "model name"), Some("A CPU"));
        assert_eq!(field(info, "model"), Some("17"));
    }
}
