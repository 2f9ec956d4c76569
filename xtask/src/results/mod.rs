//! `cargo xtask results LIST.toml`: trains the runs of a list, and writes their table.
//!
//! One run is one row of the list with one seed. Its line of JSON, with all metrics and the last
//! monitors, goes to `docs/results/NAME.jsonl`. A run with a line there is not repeated, and an
//! interrupted one resumes from its checkpoint, so the command continues where it was stopped.

mod chart;
mod list;
mod run;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use list::List;
use run::Line;

/// Folder of the checkpoints, which git ignores.
const CACHE: &str = "results-cache";
/// Folder of lines and plots.
const RESULTS: &str = "docs/results";
/// Page with the tables.
const PAGE: &str = "docs/results.md";

/// Runs what is missing of the lists, and writes their tables.
///
/// # Errors
///
/// If a list is invalid, a run fails, or the page has no place for a table.
pub fn run(root: &Path, words: &[&str]) -> anyhow::Result<()> {
    let only_tables = words.contains(&"--table");
    let paths: Vec<&str> = words.iter().copied().filter(|it| *it != "--table").collect();
    ensure!(!paths.is_empty(), "give at least one list, as benches/results/NAME.toml");
    if let Some(option) = paths.iter().find(|it| it.starts_with('-')) {
        anyhow::bail!("unknown option `{option}`; there is --table");
    }
    let lists: Vec<List> =
        paths.iter().map(|it| List::read(it.as_ref())).collect::<Result<_, _>>()?;
    for list in &lists {
        // Before hours of training.
        table::check_place(&root.join(PAGE), &list.name)?;
    }
    let program = if only_tables { None } else { Some(run::build(root)?) };
    for list in &lists {
        let path = lines_path(root, list);
        let mut lines = read(&path)?;
        if let Some(program) = &program {
            // Seed by seed, so that an interrupted list has whole pairs.
            for &seed in &list.seeds {
                for row in &list.rows {
                    let key = list.key(row);
                    if lines.iter().any(|it| it.key == key && it.seed == seed) {
                        continue;
                    }
                    println!("==> {}: {}, seed {seed}", list.name, row.name);
                    let folder = root.join(CACHE).join(&list.name).join(format!("{key}-{seed}"));
                    let line = run::measure(root, program, list, row, seed, &folder)?;
                    append(&path, &line)?;
                    lines.push(line);
                }
            }
        }
        // Lines of rows that the list no longer has stay in the file and out of the table.
        let text = table::markdown(list, &lines);
        println!("{text}");
        let chart = root.join(RESULTS).join(format!("{}.svg", list.name));
        fs::write(&chart, chart::svg(list, &lines)).with_context(|| chart.display().to_string())?;
        table::insert(&root.join(PAGE), &list.name, &text)?;
    }
    Ok(())
}

fn lines_path(root: &Path, list: &List) -> PathBuf {
    root.join(RESULTS).join(format!("{}.jsonl", list.name))
}

fn read(path: &Path) -> anyhow::Result<Vec<Line>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    text.lines()
        .enumerate()
        .map(|(number, line)| {
            Line::parse(line).with_context(|| format!("{}, line {}", path.display(), number + 1))
        })
        .collect()
}

fn append(path: &Path, line: &Line) -> anyhow::Result<()> {
    use std::io::Write;
    let folder = path.parent().context("a path without a folder")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| path.display().to_string())?;
    writeln!(file, "{}", line.json()).with_context(|| path.display().to_string())
}
