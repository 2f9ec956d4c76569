//! Settings of the process that must be made before the first tensor operation.

/// Prepares this process; call it first thing in `main`.
///
/// - glibc returns large blocks to the kernel on `free` and gets them back page by page. Tensors
///   of a training step are large and short-lived, so page faults took 12 to 23 % of a step; the
///   thresholds above which glibc does so are raised to their maximum.
/// - candle's pool for element-wise operations spins before it sleeps, which takes the cores from
///   the pool of everything else. Unless the user has set it, the limit is set to 1. That writes
///   the environment, and is left out unless the process can be seen to have one thread (on
///   Linux).
///
/// ```
/// models::ops::runtime::configure();
/// ```
pub fn configure() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes any parameter and value; it reports what it does not know.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
    const SPIN_LIMIT: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";
    if std::env::var_os(SPIN_LIMIT).is_none() && is_single_threaded() {
        // SAFETY: there is no other thread that could read or write the environment.
        unsafe { std::env::set_var(SPIN_LIMIT, "1") };
    }
}

/// Lets a write to a closed pipe end the process silently, as `program | head` expects of it,
/// instead of failing with an error. For programs only, and only from where on nothing is lost by
/// ending.
pub fn end_on_closed_pipe() {
    #[cfg(unix)]
    // SAFETY: the default action of a signal is always a valid handler.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// Whether the kernel lists one thread of this process; false where it lists none at all.
fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}
