//! Settings of the process that must be made before the first tensor operation.

/// Prepares this process; call it first thing in `main`.
///
/// - glibc returns large blocks to the kernel on `free` and gets them back page by page. Tensors
///   of a training step are large and short-lived, so page faults took 12 to 23 % of a step; the
///   thresholds above which glibc does so are raised to their maximum.
/// - candle's pool for element-wise operations spins before it sleeps, which takes the cores from
///   the pool of everything else. Unless the user has set it, the limit is set to 1.
///
/// # Safety
///
/// No other thread may run yet: the environment is written.
///
/// ```
/// // SAFETY: nothing has run yet.
/// unsafe { models::ops::runtime::configure() };
/// assert!(std::env::var_os("CANDLE_BARRIER_POOL_SPIN_LIMIT").is_some());
/// ```
pub unsafe fn configure() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes any parameter and value; it reports what it does not know.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
    const SPIN_LIMIT: &str = "CANDLE_BARRIER_POOL_SPIN_LIMIT";
    if std::env::var_os(SPIN_LIMIT).is_none() {
        // SAFETY: the caller vouches that no other thread reads or writes the environment.
        unsafe { std::env::set_var(SPIN_LIMIT, "1") };
    }
}
