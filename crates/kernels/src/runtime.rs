//! Settings of the process that must be made before the first tensor operation.

use std::sync::atomic::{AtomicU8, Ordering};

/// Which kernels the operations on the CPU may use.
///
/// For measurements and for tracking down a difference: the default is the fastest, and all give
/// the same numbers to within rounding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernels {
    /// The fastest that the processor has.
    Best,
    /// At most AVX2 with fused multiply-adds.
    Avx2,
    /// Those that any processor has.
    Portable,
    /// None: every operation is composed of candle's own.
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

    /// `best`, `avx2`, `portable` or `off`.
    fn from_str(name: &str) -> Result<Self, String> {
        let found = KERNELS.iter().find(|it| it.0 == name).map(|it| it.1);
        found.ok_or_else(|| format!("no kernels `{name}`: say best, avx2, portable or off"))
    }
}

/// Limits the kernels of every operation from here on, in all threads.
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

/// The limit in force.
pub fn kernels() -> Kernels {
    KERNELS[usize::from(LIMIT.load(Ordering::Relaxed))].1
}

/// Environment variable with the name of a limit on the kernels.
pub const KERNELS_VARIABLE: &str = "UNI_INSTRUCT_KERNELS";

/// Takes the limit on the kernels from [`KERNELS_VARIABLE`], if it is set.
///
/// # Errors
///
/// Naming the variable, if its value is no name of [`Kernels`].
pub fn limit_kernels_from_environment() -> Result<(), String> {
    if let Some(name) = std::env::var_os(KERNELS_VARIABLE) {
        let name = name.to_string_lossy();
        limit_kernels(name.parse().map_err(|error| format!("{KERNELS_VARIABLE}: {error}"))?);
    }
    Ok(())
}

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
/// uni_instruct_kernels::runtime::configure();
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
