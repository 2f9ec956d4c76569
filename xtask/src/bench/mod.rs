//! `cargo xtask bench`: this workspace compared with PyTorch.
//!
//! For each case of `benches/src/case.rs`, the subject writes weights, inputs and results, and the
//! peer proves that it computes the same values. All variants of the case then run interleaved, A B
//! C A B C ..., and ratios are taken within a round. Rounds in which other processes were busy are
//! dropped.

mod accuracy;
mod instructions;
mod machine;
mod options;
mod page;
mod peer;
mod plot;
mod report;
mod rounds;
mod scaling;
mod session;
mod statistics;
mod subject;
mod variant;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use self::options::Options;
use self::page::Part;
use self::peer::{Mode, Peer};
use self::report::{Entry, Verdict};
use self::rounds::{Effort, measure};
use self::session::Session;
use self::subject::{Case, Subject};
use self::variant::{FRECHET, Variant};

/// Page with the table.
const PAGE: &str = "docs/performance.md";
/// Packages of the peer.
const REQUIREMENTS: &str = "benches/peer/requirements.txt";
/// Folder of the plots.
const PLOTS: &str = "docs";
/// Variable that limits the kernels of the subject; see `kernels::runtime`.
const KERNELS_VARIABLE: &str = "UNI_INSTRUCT_KERNELS";

/// Effort per case of a full run.
const FULL: Effort = Effort {
    warmup: 2,
    min_rounds: 5,
    max_rounds: 11,
    budget: Duration::from_secs(40),
    max_wait: Duration::from_secs(120),
};
/// Effort per case of the short run and of the scaling plots.
const QUICK: Effort = Effort {
    warmup: 2,
    min_rounds: 3,
    max_rounds: 7,
    budget: Duration::from_secs(15),
    max_wait: Duration::from_secs(15),
};

/// Runs the benchmarks that the arguments select.
///
/// # Errors
///
/// If an argument is invalid, something cannot be built or run, the peer computes other values, or
/// a ratio exceeds its limit under `--check`.
pub fn run(root: &Path, words: &[&str]) -> anyhow::Result<()> {
    let options = Options::parse(words)?;
    if options.instructions {
        return instructions::run(root, options.write);
    }
    let subject = Subject::build(root, "subject")?;
    if options.accuracy {
        let text = accuracy::table(&subject)?;
        println!("{text}");
        return if options.write { write_part(root, Part::Accuracy, &text) } else { Ok(()) };
    }
    let cases = subject.cases()?;
    let cases = match options.cases.as_slice() {
        [] => cases.into_iter().filter(|it| is_selected(it, &options)).collect(),
        names => subject::named(cases, names)?,
    };
    let variants = match options.variants.as_slice() {
        [] if options.scaling => vec![Variant::Kernels, Variant::Eager],
        [] if options.quick => vec![Variant::Kernels, Variant::Eager, Variant::Tcmalloc],
        [] => Variant::ALL.into_iter().filter(|it| *it != Variant::Avx2).collect(),
        names => variant::named(names)?,
    };
    let bench = Bench {
        peer: if variants.iter().any(|it| it.mode().is_some()) {
            Some(Peer::find(root)?)
        } else {
            None
        },
        tcmalloc: peer::tcmalloc(),
        folder: root.join("target").join("peer").join("cases"),
        subject,
        variants,
        by_name: !options.variants.is_empty(),
        threads: options.threads,
        effort: if options.quick || options.scaling { QUICK } else { FULL },
    };
    if bench.tcmalloc.is_none() {
        println!(
            "bench: tcmalloc is missing, so its variant is skipped; install libtcmalloc-minimal4 (Debian)"
        );
    }
    let start = Instant::now();
    let mut entries = Vec::new();
    for case in cases {
        let entry = bench.entry(case)?;
        println!("{}", report::measurements(std::slice::from_ref(&entry)).trim_end());
        entries.push(entry);
    }
    let text = describe(root, &bench, &entries, start.elapsed())?;
    println!("\n{text}");
    if options.scaling {
        scaling::write(&entries, &bench.folder)?;
        if options.write {
            let noisy = scaling::noisy(&entries);
            ensure!(
                noisy.is_empty(),
                "other processes disturbed {noisy:?}, so {PLOTS} is unchanged; run again on an idle machine"
            );
            scaling::write(&entries, &root.join(PLOTS))?;
        }
    } else if options.write {
        write_part(root, Part::Times, &text)?;
        write_part(root, Part::Accuracy, &accuracy::table(&bench.subject)?)?;
    }
    if options.check {
        check(&entries)?;
    }
    Ok(())
}

fn write_part(root: &Path, part: Part, text: &str) -> anyhow::Result<()> {
    let path = root.join(PAGE);
    let page = std::fs::read_to_string(&path).context(PAGE)?;
    let page = page::with_part(&page, part, text).context(PAGE)?;
    std::fs::write(&path, page).context(PAGE)
}

fn is_selected(case: &Case, options: &Options) -> bool {
    options.scaling == case.scaling.is_some() && (case.quick || !options.quick)
}

/// Everything that measuring a case requires.
struct Bench {
    subject: Subject,
    peer: Option<Peer>,
    tcmalloc: Option<std::path::PathBuf>,
    folder: std::path::PathBuf,
    variants: Vec<Variant>,
    /// Tests whether the variants were selected by name. Then even variants that run for minutes
    /// are included.
    by_name: bool,
    threads: usize,
    effort: Effort,
}

impl Bench {
    fn entry(&self, case: Case) -> anyhow::Result<Entry> {
        println!("bench: {}", case.name);
        let folder = self.folder.join(&case.name);
        let is_here = |it: &Variant| *it != Variant::Tcmalloc || self.tcmalloc.is_some();
        let supported = self.peer.as_ref().is_none_or(|it| it.supports(&case.kind));
        if !supported {
            println!(
                "  the peer has no SciPy, so this case runs without it; install {REQUIREMENTS}"
            );
        }
        let applies = |it: &Variant| {
            it.applies_to(&case.kind)
                && is_here(it)
                && (supported || it.mode().is_none())
                && (self.by_name || it.is_affordable(case.flop))
        };
        let variants: Vec<Variant> = self.variants.iter().copied().filter(applies).collect();
        if let Some(peer) = &self.peer {
            self.subject.record(&case.name, &folder)?;
            for variant in variants.iter().filter(|it| **it != Variant::Tcmalloc) {
                let threads = self.threads_of(&case);
                let Some(mode) = self.mode(*variant, threads) else { continue };
                println!("  {} agrees: {}", variant.name(), peer.verify(&folder, mode)?);
            }
        }
        let sessions = variants.iter().map(|it| self.session(&case, &folder, *it));
        let measured = measure(sessions.collect::<anyhow::Result<_>>()?, self.effort(&case))?;
        if measured.disturbed != 0 {
            println!("  dropped {} rounds that other processes disturbed", measured.disturbed);
        }
        if self.peer.is_some() {
            // The files of a larger network occupy half a gigabyte.
            std::fs::remove_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        }
        Ok(Entry { case, variants, measured })
    }

    /// Returns fewer rounds for SciPy's distance, which needs half a minute and hardly varies.
    fn effort(&self, case: &Case) -> Effort {
        match case.kind.as_str() {
            FRECHET => Effort { warmup: 1, min_rounds: 3, ..self.effort },
            _ => self.effort,
        }
    }

    /// Returns the threads of a case; a point of the plot over threads has a separate number.
    fn threads_of(&self, case: &Case) -> usize {
        let own = case.scaling.as_ref().filter(|it| it.0 == "threads").map(|it| it.1);
        own.unwrap_or(self.threads)
    }

    fn mode(&self, variant: Variant, threads: usize) -> Option<Mode<'_>> {
        let preload = self.tcmalloc.as_deref().filter(|_| variant == Variant::Tcmalloc);
        Some(Mode { name: variant.mode()?, preload, threads })
    }

    fn session(&self, case: &Case, folder: &Path, variant: Variant) -> anyhow::Result<Session> {
        let threads = self.threads_of(case);
        let mut command = match (self.mode(variant, threads), &self.peer) {
            (Some(mode), Some(peer)) => peer.command("run", folder, mode),
            _ => {
                let mut command = self.subject.command(&["run", &case.name]);
                command.env("RAYON_NUM_THREADS", threads.to_string());
                command.env(KERNELS_VARIABLE, variant.kernels().unwrap_or_default());
                command
            }
        };
        Session::start(&format!("{} ({})", case.name, variant.name()), &mut command)
    }
}

/// Describes a run: commit, machine, versions, duration and the tables.
fn describe(
    root: &Path,
    bench: &Bench,
    entries: &[Entry],
    took: Duration,
) -> anyhow::Result<String> {
    let torch = match &bench.peer {
        Some(peer) => format!("PyTorch {}", peer.version()?),
        None => "no peer".to_owned(),
    };
    Ok(format!(
        "Commit {}; {}; {torch}; {} threads; {:.0} minutes.\n\n{}\n{}",
        machine::commit(root),
        machine::describe(),
        bench.threads,
        took.as_secs_f64() / 60.0,
        report::ratios(entries),
        report::measurements(entries),
    ))
}

fn check(entries: &[Entry]) -> anyhow::Result<()> {
    let verdicts: Vec<Verdict> = entries.iter().flat_map(Entry::verdicts).collect();
    ensure!(
        verdicts.iter().any(|it| it.target.is_some()),
        "bench: --check requires a case with a limit, measured together with `eager`"
    );
    let over: Vec<String> = verdicts
        .iter()
        .filter(|it| !it.passes())
        .map(|it| {
            let floor = it.target.map_or(f64::NAN, |it| it.floor);
            format!(
                "{}: {} is {:.2} of PyTorch eager's, at most {floor:.2}",
                it.case, it.quantity, it.of_eager
            )
        })
        .collect();
    ensure!(over.is_empty(), "over the limit:\n  {}", over.join("\n  "));
    Ok(())
}
