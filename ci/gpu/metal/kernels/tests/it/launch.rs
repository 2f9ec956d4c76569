//! Runs a kernel under every schedule and checks its outputs and canaries.

use half::{bf16, f16};
use metal_kernels::{Binding, kernel};

/// Type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    F32,
    F16,
    Bf16,
}

impl Type {
    pub fn all() -> &'static [Self] {
        cases(&[Self::F32, Self::F16, Self::Bf16])
    }

    pub fn suffix(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    fn size(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }

    /// Returns the tolerance for a result of this type, relative to the largest: several roundings
    /// of float in the sums, and one rounding to the type.
    pub fn tolerance(self) -> f64 {
        match self {
            Self::F32 => 4e-6,
            Self::F16 => 1e-3,
            Self::Bf16 => 8e-3,
        }
    }

    fn bytes(self, x: f64) -> Vec<u8> {
        match self {
            Self::F32 => (x as f32).to_ne_bytes().to_vec(),
            Self::F16 => f16::from_f64(x).to_ne_bytes().to_vec(),
            Self::Bf16 => bf16::from_f64(x).to_ne_bytes().to_vec(),
        }
    }

    fn value(self, bytes: &[u8]) -> f64 {
        match self {
            Self::F32 => f64::from(f32::from_ne_bytes(bytes.try_into().unwrap())),
            Self::F16 => f16::from_ne_bytes(bytes.try_into().unwrap()).to_f64(),
            Self::Bf16 => bf16::from_ne_bytes(bytes.try_into().unwrap()).to_f64(),
        }
    }
}

/// Bytes on both sides of a buffer that no kernel may write.
const CANARY: usize = 64;
const POISON: u8 = 0xa5;

/// Memory of the device: values between canaries.
#[derive(Clone)]
struct Buffer {
    ty: Type,
    bytes: Vec<u8>,
}

impl Buffer {
    fn new(ty: Type, values: &[f64]) -> Self {
        let mut bytes = vec![POISON; CANARY];
        bytes.extend(values.iter().flat_map(|it| ty.bytes(*it)));
        bytes.resize(bytes.len() + CANARY, POISON);
        Self { ty, bytes }
    }

    fn length(&self) -> usize {
        self.bytes.len() - 2 * CANARY
    }

    fn values(&self) -> Vec<f64> {
        let inside = &self.bytes[CANARY..CANARY + self.length()];
        inside.chunks_exact(self.ty.size()).map(|it| self.ty.value(it)).collect()
    }

    fn is_intact(&self) -> bool {
        let end = CANARY + self.length();
        self.bytes[..CANARY].iter().chain(&self.bytes[end..]).all(|it| *it == POISON)
    }
}

/// Argument bound at an index.
pub enum Argument {
    /// Values that must not change.
    Input(Type, Vec<f64>),
    /// Output of this many values; NaN until written.
    Output(Type, usize),
    /// Values that the kernel changes in place.
    InPlace(Type, Vec<f64>),
    /// A constant, as the words that the host sends.
    Constant(Vec<u32>),
}

/// Returns the cases of a test: all, or only the first if the kernel's threads are threads of the
/// operating system, which take a tenth of a second per threadgroup.
pub fn cases<T>(all: &[T]) -> &[T] {
    if cfg!(feature = "threads") { &all[..1] } else { all }
}

/// Sizes of a launch.
pub struct Grid {
    pub groups: [u32; 3],
    pub threads: u32,
    /// Number of floats of threadgroup memory.
    pub shared: usize,
}

impl Grid {
    /// Returns a grid with a thread for each of `count` values.
    pub fn each(count: usize) -> Self {
        Self { groups: [count.div_ceil(256) as u32, 1, 1], threads: 256, shared: 0 }
    }
}

/// Schedules of a test; see `launch` in `gpu_rt.h`.
const SCHEDULES: u64 = 6;

/// Runs `name` under all schedules, which must give the same bits; returns the values written to
/// the outputs and in place.
#[track_caller]
pub fn run(name: &str, arguments: &[Argument], grid: &Grid) -> Vec<Vec<f64>> {
    let kernel = kernel(name).unwrap_or_else(|| panic!("no kernel {name}"));
    // Threads of the operating system have no schedule.
    let schedules = if cfg!(feature = "threads") { 1 } else { SCHEDULES };
    let mut first: Option<Vec<Vec<u8>>> = None;
    let mut written = Vec::new();
    for schedule in 0..schedules {
        let mut buffers: Vec<Buffer> = arguments.iter().map(buffer).collect();
        let bindings: Vec<_> = buffers.iter_mut().map(binding).collect();
        // SAFETY: the canaries reveal accesses of the tested kernel outside its buffers.
        let outcome = unsafe {
            kernel.launch(&bindings, grid.groups, [grid.threads, 1, 1], 4 * grid.shared, schedule)
        };
        outcome.unwrap_or_else(|error| panic!("schedule {schedule}: {error}"));
        written.clear();
        let mut bits = Vec::new();
        for (index, (argument, after)) in arguments.iter().zip(&buffers).enumerate() {
            assert!(
                after.is_intact(),
                "{name}, schedule {schedule}: wrote past the end of buffer {index}"
            );
            match argument {
                Argument::Output(..) | Argument::InPlace(..) => {
                    written.push(after.values());
                    bits.push(after.bytes.clone());
                }
                _ => {
                    assert!(after.bytes == buffer(argument).bytes, "{name} changed buffer {index}")
                }
            }
        }
        let expected = first.get_or_insert_with(|| bits.clone());
        assert!(
            *expected == bits,
            "{name}: schedule {schedule} gives different bits, so there is a race"
        );
    }
    written
}

fn buffer(argument: &Argument) -> Buffer {
    match argument {
        Argument::Input(ty, values) | Argument::InPlace(ty, values) => Buffer::new(*ty, values),
        Argument::Output(ty, count) => Buffer::new(*ty, &vec![f64::NAN; *count]),
        Argument::Constant(words) => {
            let mut bytes = vec![POISON; CANARY];
            bytes.extend(words.iter().flat_map(|it| it.to_ne_bytes()));
            bytes.resize(bytes.len() + CANARY, POISON);
            Buffer { ty: Type::F32, bytes }
        }
    }
}

fn binding(buffer: &mut Buffer) -> Binding {
    let length = buffer.length();
    // SAFETY: the canary is part of the buffer.
    Binding { address: unsafe { buffer.bytes.as_mut_ptr().add(CANARY) }, length }
}

/// Returns values around 0 that depend on `seed`, rounded to type `ty`.
pub fn values(ty: Type, seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(1);
    let mut uniform = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..8).for_each(|_| _ = uniform());
    // Approximately normal, with a mean that is not zero.
    let value = |_| 2.0 * (uniform() + uniform() + uniform() + uniform() - 1.9);
    (0..count).map(value).map(|it| ty.value(&ty.bytes(it))).collect()
}

/// Asserts that `got` is within `tolerance` of `expected`, relative to its largest magnitude.
#[track_caller]
pub fn assert_close(what: &str, tolerance: f64, got: &[f64], expected: &[f64]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(0.5f64, |max, it| max.max(it.abs()));
    for (i, (got, expected)) in got.iter().zip(expected).enumerate() {
        let error = (got - expected).abs() / scale;
        // NaN must fail.
        assert!(
            error <= tolerance,
            "{what}: value {i} is {got}, expected {expected}: off by {error:.1e}"
        );
    }
}

/// Returns the words of a constant.
pub fn word(x: usize) -> u32 {
    u32::try_from(x).unwrap()
}

/// Returns the word of a float.
pub fn float(x: f64) -> u32 {
    (x as f32).to_bits()
}
