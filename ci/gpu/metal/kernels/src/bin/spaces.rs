//! Checks the kernels with Metal's address spaces, using clang. Pointers into device memory and
//! into threadgroup memory have different types there, which the build for the CPU cannot
//! distinguish.
//!
//! `cargo run --bin spaces [clang++]`

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let clang = std::env::args().nth(1).unwrap_or_else(|| "clang++".to_owned());
    let shim = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shim");
    for (name, _, kernels) in metal_kernels::libraries() {
        let status = Command::new(&clang)
            .args(["-fsyntax-only", "-x", "c++", "-std=c++17", "-Wall", "-Wextra", "-Werror"])
            .arg("-Wdouble-promotion")
            .args(["-D__HAVE_BFLOAT__", "-Wno-unused-function", "-I", shim, "-I"])
            .args([format!("{shim}/msl"), format!("{}/{name}_spaces.cpp", env!("OUT_DIR"))])
            .status();
        match status {
            Ok(status) if status.success() => println!("{name}: {} kernels", kernels.len()),
            Ok(_) => return ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: cannot start `{clang}`: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
