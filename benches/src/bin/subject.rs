//! The timed program: prepares one case, then runs it once for each line on standard input.
//!
//! ```text
//! subject list                  the table of cases, as JSON
//! subject record CASE FOLDER    writes weights, inputs and results for the peer
//! subject run CASE              prints {"ready":true}; for each line `go` runs the case and prints
//!                               {"wall":seconds,"cpu":seconds}; on `end` prints {"peak":bytes}
//! subject accuracy              errors of the kernels against f64, as JSON
//! subject kernels               the names of the kernels, as JSON
//! subject kernel NAME TIMES     runs one kernel so many times and prints nothing
//! ```
//!
//! Peers use the same protocol, so that the timing program treats all alike.

use std::io::{BufRead, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use benches::case::{Case, cases, find};
use benches::prepare::prepare;
use benches::process::{cpu_seconds, peak_memory};
use benches::record::record;
use benches::{Result, accuracy, flop, hot_kernels};
use serde_json::json;

const USAGE: &str =
    "usage: subject list | record CASE FOLDER | run CASE | accuracy | kernels | kernel NAME TIMES";

fn main() -> ExitCode {
    ::kernels::runtime::configure();
    if let Err(error) = ::kernels::runtime::limit_kernels_from_environment() {
        eprintln!("error: {error}");
        return ExitCode::FAILURE;
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["list"] => list(),
        ["record", name, folder] => find(name).and_then(|case| record(&case, Path::new(folder))),
        ["run", name] => find(name).and_then(|case| serve(&case)),
        ["accuracy"] => accuracy::rows().map_err(Into::into).and_then(|rows| print(&json!(rows))),
        ["kernels"] => print(&json!(hot_kernels::names())),
        ["kernel", name, times] => repeat(name, times),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn list() -> Result<()> {
    let rows = cases().into_iter().map(|case| {
        let mut row = serde_json::to_value(&case)?;
        row["flop"] = json!(flop::of(&case.work)?);
        Ok(row)
    });
    let rows: Vec<_> = rows.collect::<Result<_>>()?;
    println!("{}", serde_json::to_string(&rows)?);
    Ok(())
}

/// Runs a kernel on this thread alone, because the instructions of a waiting worker vary between
/// runs.
fn repeat(name: &str, times: &str) -> Result<()> {
    rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build_global()?;
    let times: usize =
        times.parse().map_err(|_| format!("TIMES is `{times}`, expected a number"))?;
    let mut iteration = hot_kernels::prepare(name)?;
    (0..times).try_for_each(|_| iteration())
}

fn serve(case: &Case) -> Result<()> {
    let mut iteration = prepare(case)?;
    print(&json!({"ready": true}))?;
    for line in std::io::stdin().lock().lines() {
        match line?.as_str() {
            "go" => {
                let (cpu, start) = (cpu_seconds(), Instant::now());
                iteration()?;
                let wall = start.elapsed().as_secs_f64();
                let cpu = cpu_seconds().zip(cpu).map(|(after, before)| after - before);
                print(&json!({"wall": wall, "cpu": cpu}))?;
            }
            "end" => return print(&json!({"peak": peak_memory()})),
            other => {
                return Err(format!("`{other}` is not a command; expected `go` or `end`").into());
            }
        }
    }
    Ok(())
}

/// Prints a line and flushes it.
fn print(value: &serde_json::Value) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}
