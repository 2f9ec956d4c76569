//! One run: training, evaluation, and the line that it leaves.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};

use super::list::{Budget, List, Row};
use crate::command::call;

/// Result of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// Identity of its row.
    pub key: String,
    /// Seed of the run.
    pub seed: u64,
    /// Everything, as JSON.
    pub value: Value,
}

impl Line {
    /// Parses a line of a file.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_str(text)?;
        let key = value["key"].as_str().context("no `key`")?.to_owned();
        let seed = value["seed"].as_u64().context("no `seed`")?;
        Ok(Self { key, seed, value })
    }

    /// Returns the line without its end.
    pub fn json(&self) -> String {
        self.value.to_string()
    }

    /// Returns a metric, `seconds`, `updates`, or a monitor of the bin that holds a noise level:
    /// `advantage@0.5`.
    pub fn metric(&self, name: &str) -> Option<f64> {
        if let Some((name, level)) = name.split_once('@') {
            let level: f64 = level.parse().ok()?;
            let holds = |bin: &&Value| {
                let edge = |i: usize| bin["sigma"][i].as_f64();
                edge(0).zip(edge(1)).is_some_and(|(low, high)| low <= level && level < high)
            };
            return self.value["monitors"].as_array()?.iter().find(holds)?[name].as_f64();
        }
        match name {
            "seconds" | "updates" => self.value[name].as_f64(),
            _ => self.value["metrics"][name].as_f64(),
        }
    }
}

/// Compiles the program and returns its path.
///
/// # Errors
///
/// If it does not compile.
pub fn build(root: &Path) -> anyhow::Result<PathBuf> {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--release", "--locked", "--package", "uni-instruct"]).current_dir(root);
    call(&mut command)?;
    Ok(root.join("target/release/uni-instruct"))
}

/// Trains and evaluates one run in a folder, from its checkpoint if there is one.
///
/// # Errors
///
/// If a command fails or leaves no results.
pub fn measure(
    root: &Path,
    program: &Path,
    list: &List,
    row: &Row,
    seed: u64,
    folder: &Path,
) -> anyhow::Result<Line> {
    let Resolved { images_per_update, data } = Resolved::of(root, program, list, row)?;
    let mut command = Command::new(program);
    command.current_dir(root).arg("distill").arg(&list.config);
    for (option, value) in [("--method", &row.method), ("--divergence", &row.divergence)] {
        if let Some(value) = value {
            command.args([option, value]);
        }
    }
    command.args(["--seed", &seed.to_string(), "--eval-images", "0"]);
    for assignment in list.set.iter().chain(&row.set) {
        command.args(["--set", assignment]);
    }
    match list.budget(row) {
        Budget::Updates(updates) => {
            let images = updates * images_per_update;
            command.args(["--set", &format!("phase.0.images={images}")]);
        }
        Budget::Seconds(seconds) => {
            command.args(["--minutes", &(seconds / 60.0).to_string()]);
            // More than any number of seconds needs.
            command.args(["--set", "phase.0.images=1000000000"]);
        }
    }
    call(command.arg("--out").arg(folder))?;

    let generator = folder.join("generator.safetensors");
    let mut command = Command::new(program);
    command.current_dir(root).arg("eval").arg(&generator).args(["--bootstrap", "0", "--json"]);
    command.args(["--data", &data]);
    command.args(["--count", &list.eval_images.to_string(), "--seed", &seed.to_string()]);
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    let error = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed:\n{error}");
    let evaluation: Value =
        serde_json::from_slice(&output.stdout).context("the evaluation's JSON")?;
    let metrics = metrics_of(&evaluation)?;
    let path = folder.join("stats.jsonl");
    let stats = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let last = stats.lines().last().with_context(|| format!("{}: no tick", path.display()))?;
    let last: Value = serde_json::from_str(last).with_context(|| path.display().to_string())?;
    let images = last["Progress/kimg"]["mean"].as_f64().context("no progress")? * 1e3;
    let value = json!({
        "key": list.key(row),
        "row": row.name,
        "seed": seed,
        "method": row.method,
        "divergence": row.divergence,
        "set": row.set,
        "updates": (images / images_per_update as f64).round(),
        "seconds": last["Timing/total_sec"]["mean"],
        "metrics": metrics,
        "monitors": last["Monitor"],
    });
    Line::parse(&value.to_string())
}

/// Returns the metrics that `eval --json` printed, by name.
fn metrics_of(evaluation: &Value) -> anyhow::Result<Map<String, Value>> {
    let metrics = evaluation["quoted"]["figures"].as_object().cloned().unwrap_or_default();
    ensure!(metrics.contains_key("fd"), "the evaluation printed no metrics");
    Ok(metrics)
}

/// Parts of a row's resolved configuration that its runs need.
#[derive(Debug, PartialEq)]
struct Resolved {
    images_per_update: u64,
    /// Images of the run, which the evaluation compares with.
    data: String,
}

impl Resolved {
    fn of(root: &Path, program: &Path, list: &List, row: &Row) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.current_dir(root).arg("distill").arg(&list.config).arg("--dry-run");
        for assignment in list.set.iter().chain(&row.set) {
            command.args(["--set", assignment]);
        }
        if let Some(method) = &row.method {
            command.args(["--method", method]);
        }
        let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?} failed:\n{error}");
        Self::parse(&String::from_utf8_lossy(&output.stdout))
    }

    /// Reads a resolved configuration. Its budget is the length of one phase.
    fn parse(text: &str) -> anyhow::Result<Self> {
        let config: toml::Table = toml::from_str(text)?;
        let phases = config.get("phase").and_then(|it| it.as_array()).map_or(0, Vec::len);
        ensure!(phases == 1, "a budget needs a configuration of one phase, this has {phases}");
        let number = |key: &str| config.get(key).and_then(toml::Value::as_integer);
        let images = number("batch").zip(number("accumulation")).map(|(a, b)| a * b);
        let data = config.get("data").and_then(toml::Value::as_str);
        Ok(Self {
            images_per_update: images.context("the configuration has no batch")?.unsigned_abs(),
            data: data.context("the configuration has no data")?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_come_from_the_report_of_the_evaluation() {
        let printed = json!({ "quoted": { "figures": { "fd": 0.5, "recall": 0.75 } }, "rows": [] });
        assert_eq!(metrics_of(&printed).unwrap()["recall"], 0.75);
        assert!(metrics_of(&json!({ "rows": [] })).is_err());
        let monitors = json!([
            { "sigma": [0.1, 0.4], "advantage": 0.9 },
            { "sigma": [0.4, 2.0], "advantage": -0.25 },
        ]);
        let metrics = json!({ "fd": 0.5 });
        let line = json!({ "key": "k", "seed": 3, "seconds": 7.5, "metrics": metrics, "monitors": monitors });
        let line = Line::parse(&line.to_string()).unwrap();
        let found = ["fd", "seconds", "recall"].map(|it| line.metric(it));
        assert_eq!(found, [Some(0.5), Some(7.5), None]);
        let found = ["advantage@0.4", "advantage@3", "auc@0.2"].map(|it| line.metric(it));
        assert_eq!(found, [Some(-0.25), None, None]);
        assert!(Line::parse("{}").is_err());
    }

    #[test]
    fn a_budget_needs_one_phase() {
        let text = "data = \"set\"\nbatch = 8\naccumulation = 2\n[[phase]]\nimages = 3\n";
        let expected = Resolved { images_per_update: 16, data: "set".to_owned() };
        assert_eq!(Resolved::parse(text).unwrap(), expected);
        let error = Resolved::parse(&format!("{text}[[phase]]\n")).unwrap_err().to_string();
        assert!(error.contains("this has 2"), "{error}");
    }
}
