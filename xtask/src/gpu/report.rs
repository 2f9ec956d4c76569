//! Parsers for the output of the tools of the CUDA checks.

use std::collections::BTreeSet;

use anyhow::{Context, ensure};

/// Resources of a kernel as `ptxas -v` reports them.
#[derive(Debug, PartialEq, Eq)]
pub struct Usage {
    /// Name of the kernel.
    pub kernel: String,
    /// Registers per thread.
    pub registers: u32,
    /// Bytes per thread that are stored and loaded because of spilled registers.
    pub spilled: u64,
}

/// Reads the kernels' resources from the output of `ptxas -v`.
///
/// # Errors
///
/// If the output names no kernel, or a kernel's entry is incomplete.
pub fn usage(text: &str) -> anyhow::Result<Vec<Usage>> {
    let parts = text.split("Compiling entry function '").skip(1);
    let all: Vec<Usage> = parts.map(of_kernel).collect::<anyhow::Result<_>>()?;
    ensure!(!all.is_empty(), "ptxas names no kernel:\n{text}");
    Ok(all)
}

fn of_kernel(text: &str) -> anyhow::Result<Usage> {
    let kernel = text.split('\'').next().unwrap_or_default().to_owned();
    // A function that is not inlined has separate entries within the kernel's part.
    let before = |words: &str| -> Vec<u64> {
        let numbers = text.match_indices(words).map(|(at, _)| &text[..at]);
        numbers
            .filter_map(|it| it.trim_end().rsplit([' ', '\t', '\n']).next()?.parse().ok())
            .collect()
    };
    let spills = [before("bytes spill stores"), before("bytes spill loads")].concat();
    let registers = text.split("Used ").nth(1).and_then(|it| it.split(' ').next()?.parse().ok());
    ensure!(2 <= spills.len(), "ptxas reports no spills of `{kernel}`");
    let registers =
        registers.with_context(|| format!("ptxas reports no registers of `{kernel}`"))?;
    Ok(Usage { kernel, registers, spilled: spills.iter().sum() })
}

/// Splits the mock driver's output into the launched kernels and the other lines.
pub fn launches(text: &str) -> (BTreeSet<String>, String) {
    let mut names = BTreeSet::new();
    let mut rest = String::new();
    for line in text.lines() {
        match line.split_once("<<<(") {
            Some((name, _)) => _ = names.insert(name.to_owned()),
            None => rest += &format!("{line}\n"),
        }
    }
    (names, rest)
}

/// Returns the kernels of a preprocessed source, in which `GPU_KERNEL_HERE` stands for
/// `__global__`.
pub fn kernel_names(text: &str) -> BTreeSet<String> {
    text.split("GPU_KERNEL_HERE").skip(1).filter_map(kernel_name).collect()
}

/// Returns the name before the first argument list, except for `__launch_bounds__`.
fn kernel_name(text: &str) -> Option<String> {
    let mut text = text;
    loop {
        let (before, after) = text.split_once('(')?;
        match before.split_whitespace().next_back()? {
            "__launch_bounds__" => text = after.split_once(')')?.1,
            name => return Some(name.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTXAS: &str = "\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'silu_f32' for 'sm_80'
ptxas info    : Function properties for silu_f32
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 18 registers, used 0 barriers, 384 bytes cmem[0]
ptxas info    : Compiling entry function 'conv_f32' for 'sm_80'
ptxas info    : Function properties for conv_f32
    16 bytes stack frame, 12 bytes spill stores, 8 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 384 bytes cmem[0]
";

    #[test]
    fn reads_registers_and_spills_by_kernel() {
        let row =
            |kernel: &str, registers, spilled| Usage { kernel: kernel.into(), registers, spilled };
        assert_eq!(usage(PTXAS).unwrap(), [row("silu_f32", 18, 0), row("conv_f32", 255, 20)]);
    }

    #[test]
    fn rejects_unknown_output() {
        assert!(usage("").is_err());
        assert!(usage(&PTXAS.replace("spill", "lost")).is_err());
        assert!(usage(&PTXAS.replace("Used", "Has")).is_err());
    }

    #[test]
    fn separates_launches_from_other_lines() {
        let text = "a_f32<<<(1,1,1), (32,1,1), 0>>>\nwarning: b\na_f32<<<(2,1,1), (32,1,1), 0>>>\n";
        let (names, rest) = launches(text);
        assert_eq!(names, BTreeSet::from(["a_f32".to_owned()]));
        assert_eq!(rest, "warning: b\n");
    }

    #[test]
    fn finds_kernels_after_launch_bounds() {
        let text = "void f(int); GPU_KERNEL_HERE void a_f32(float* x) {} GPU_KERNEL_HERE\n void \
                    __launch_bounds__(256) b_f16(half* x) { g(x); }";
        assert_eq!(kernel_names(text), BTreeSet::from(["a_f32".to_owned(), "b_f16".to_owned()]));
    }
}
