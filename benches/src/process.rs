//! Time and memory of this process, as the operating system counts them.

use std::fs;

/// Processor time of all threads so far, in seconds; `None` if the system does not report it.
pub fn cpu_seconds() -> Option<f64> {
    const NANO: f64 = 1e-9;
    let threads = fs::read_dir("/proc/self/task").ok()?;
    let mut total = 0.0;
    for thread in threads {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        total += text.split_whitespace().next()?.parse::<f64>().ok()? * NANO;
    }
    Some(total)
}

/// Largest resident memory so far, in bytes; `None` if the system does not report it.
pub fn peak_memory() -> Option<u64> {
    const KIBI: u64 = 1024;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * KIBI)
}
