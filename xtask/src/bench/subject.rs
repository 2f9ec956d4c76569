//! The timed program of `benches`, and its table of cases.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

/// A row of the table in `benches/src/case.rs`, without the columns that are not needed here.
#[derive(Clone, Debug)]
pub struct Case {
    /// Name.
    pub name: String,
    /// `product`, `features`, `frechet`, or the work of a network: `forward`, `weights`, `step`,
    /// ...
    pub kind: String,
    /// Floating-point operations per iteration.
    pub flop: f64,
    /// Set if the short run includes the case.
    pub quick: bool,
    /// Targets for our time relative to PyTorch's.
    pub time: Option<Target>,
    /// Targets for our peak memory relative to PyTorch's.
    pub memory: Option<Target>,
    /// Axis and position in a scaling plot.
    pub scaling: Option<(String, usize)>,
}

/// Limit and goal of a ratio.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Largest ratio that passes.
    pub floor: f64,
    /// Ratio to aim for.
    pub goal: f64,
}

/// Prefixes of the variables that cargo sets for the programs that it runs.
const CARGO_VARIABLES: [&str; 2] = ["CARGO_MANIFEST_", "CARGO_PKG_"];

/// The built program.
#[derive(Clone, Debug)]
pub struct Subject {
    program: PathBuf,
}

impl Subject {
    /// Builds the program with optimizations.
    ///
    /// # Errors
    ///
    /// If the program does not compile.
    pub fn build(root: &Path, name: &str) -> anyhow::Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        // Cargo's variables for this program would make build scripts run again, here and in the
        // next build by hand.
        let inherited = std::env::vars_os().map(|(key, _)| key);
        for key in inherited.filter(|key| {
            CARGO_VARIABLES.iter().any(|prefix| key.to_string_lossy().starts_with(prefix))
        }) {
            command.env_remove(key);
        }
        let output = command
            .args(["build", "--release", "--package", "benches", "--bin", name])
            .args(["--message-format", "json-render-diagnostics", "--locked"])
            .current_dir(root)
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        ensure!(output.status.success(), "`{name}` does not compile");
        let text = String::from_utf8_lossy(&output.stdout);
        let messages = text.lines().filter_map(|it| serde_json::from_str::<Value>(it).ok());
        let mut programs = messages.filter_map(|it| it["executable"].as_str().map(PathBuf::from));
        let program = programs.next_back().context("cargo reported no program")?;
        Ok(Self { program })
    }

    /// Returns the program with its first arguments.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        command
    }

    /// Returns the table of cases.
    ///
    /// # Errors
    ///
    /// If the program fails.
    pub fn cases(&self) -> anyhow::Result<Vec<Case>> {
        let output = self.command(&["list"]).output().context("subject list")?;
        ensure!(output.status.success(), "subject list: {}", output.status);
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).context("subject list")?;
        rows.iter().map(case).collect()
    }

    /// Writes weights, inputs and results for the peer.
    ///
    /// # Errors
    ///
    /// If the program fails.
    pub fn record(&self, case: &str, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        let status = self.command(&["record", case]).arg(folder).status().context("subject")?;
        ensure!(status.success(), "subject record {case}: {status}");
        Ok(())
    }
}

fn case(row: &Value) -> anyhow::Result<Case> {
    let (Some(name), Some(flop)) = (row["name"].as_str(), row["flop"].as_f64()) else {
        bail!("subject list: a row has no name or no operations: {row}");
    };
    let target = |key: &str| {
        let [floor, goal] = ["floor", "goal"].map(|it| row[key][it].as_f64());
        Some(Target { floor: floor?, goal: goal? })
    };
    let kind = |value: &Value| value["kind"].as_str().map(str::to_owned);
    let act = kind(&row["work"]["task"]).or_else(|| kind(&row["work"]));
    let scaling = row["scaling"]["axis"].as_str().zip(row["scaling"]["at"].as_u64());
    Ok(Case {
        name: name.to_owned(),
        kind: act.with_context(|| format!("subject list: `{name}` has no kind"))?,
        flop,
        quick: row["quick"] == true,
        time: target("time"),
        memory: target("memory"),
        scaling: scaling.map(|(axis, at)| (axis.to_owned(), at as usize)),
    })
}

/// Returns the cases with these names, in the order of the table.
///
/// # Errors
///
/// If a name is unknown.
pub fn named(cases: Vec<Case>, names: &[String]) -> anyhow::Result<Vec<Case>> {
    if let Some(name) = names.iter().find(|name| cases.iter().all(|it| it.name != **name)) {
        let known: Vec<&str> = cases.iter().map(|it| it.name.as_str()).collect();
        bail!("unknown case `{name}`; expected one of {}", known.join(", "));
    }
    Ok(cases.into_iter().filter(|it| names.contains(&it.name)).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_row_and_rejects_unknown_name() {
        let row = json!({
            "name": "a", "flop": 2e9, "quick": true,
            "work": {"kind": "network", "task": {"kind": "weights"}},
            "time": {"floor": 0.7, "goal": 0.5},
            "scaling": {"axis": "batch", "at": 4},
        });
        let case = case(&row).unwrap();
        assert_eq!((case.name.as_str(), case.kind.as_str(), case.quick), ("a", "weights", true));
        assert_eq!(case.time.map(|it| (it.floor, it.goal)), Some((0.7, 0.5)));
        assert!(case.memory.is_none());
        assert_eq!(case.scaling, Some(("batch".to_owned(), 4)));

        let error = named(vec![case], &["b".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("`b`") && error.contains("a"), "{error}");
    }
}
