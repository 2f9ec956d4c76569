//! Settings of the process, for use before the first tensor operation.

use std::sync::atomic::{AtomicU8, Ordering};

/// Limit on the kernels of operations on the CPU.
///
/// For measurements and for locating differences. The default is the fastest; all give the same
/// results up to rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// The fastest kernels of the processor.
    Best,
    /// At most AVX2 with fused multiply-adds.
    Avx2,
    /// Kernels for any processor.
    Portable,
    /// No kernels: every operation is composed of candle's operations.
    Off,
}

/// [`Kernels`] and their names; [`LIMIT`] is an index.
const KERNELS: [(&str, Kernels); 4] = [
    ("best", Kernels::Best),
    ("avx2", Kernels::Avx2),
    ("portable", Kernels::Portable),
    ("off", Kernels::Off),
];

/// Index into [`KERNELS`].
static LIMIT: AtomicU8 = AtomicU8::new(0);

impl std::str::FromStr for Kernels {
    type Err = String;

    /// Parses `best`, `avx2`, `portable` or `off`.
    fn from_str(name: &str) -> Result<Self, String> {
        let found = KERNELS.iter().find(|it| it.0 == name).map(|it| it.1);
        found.ok_or_else(|| format!("unknown kernels `{name}`; use best, avx2, portable or off"))
    }
}

/// Limits the kernels of all following operations, in all threads.
///
/// ```
/// use uni_instruct_kernels::runtime::{Kernels, kernels, limit_kernels};
/// limit_kernels("portable".parse()?);
/// assert_eq!(kernels(), Kernels::Portable);
/// # Ok::<(), String>(())
/// ```
pub fn limit_kernels(kernels: Kernels) {
    let index = KERNELS.iter().position(|it| it.1 == kernels).unwrap_or_default();
    LIMIT.store(index as u8, Ordering::Relaxed);
}

/// The current limit.
pub fn kernels() -> Kernels {
    KERNELS[usize::from(LIMIT.load(Ordering::Relaxed))].1
}

/// Environment variable with the name of a limit on the kernels.
pub const KERNELS_VARIABLE: &str = "UNI_INSTRUCT_KERNELS";

/// Sets the limit on the kernels to the value of [`KERNELS_VARIABLE`], if it is set.
///
/// # Errors
///
/// If the value is not a name of [`Kernels`]. The error names the variable.
pub fn limit_kernels_from_environment() -> Result<(), String> {
    if let Some(name) = std::env::var_os(KERNELS_VARIABLE) {
        let name = name.to_string_lossy();
        limit_kernels(name.parse().map_err(|error| format!("{KERNELS_VARIABLE}: {error}"))?);
    }
    Ok(())
}

/// Prepares this process. Call it first in `main`.
///
/// - Raises the thresholds above which glibc returns blocks to the operating system on `free`.
///   Tensors of a training step are large and short-lived, and page faults took 12 to 23 % of a
///   step.
/// - Sets the spin limit of candle's pool for element-wise operations to 1, unless the user has set
///   it. The pool spins before it sleeps, which takes the cores from other threads. This writes to
///   the environment, and is skipped unless the process has only one thread, as far as Linux shows.
///
/// ```
/// uni_instruct_kernels::runtime::configure();
/// ```
pub fn configure() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` accepts any parameter and value, and reports unknown ones.
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

/// Makes a write to a closed pipe end the process silently, as in `program | head`, instead of
/// failing with an error. For programs only, once nothing is lost by ending.
pub fn end_on_closed_pipe() {
    #[cfg(unix)]
    // SAFETY: the default action of a signal is always a valid handler.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
    }
}

/// True if the operating system lists exactly one thread of this process; false without such a
/// list.
fn is_single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}
