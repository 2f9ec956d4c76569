//! Lists of runs.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use toml::{Table, Value};

/// Runs that are compared: rows, each with every seed.
#[derive(Clone, Debug, PartialEq)]
pub struct List {
    /// Name of the file, and of its table.
    pub name: String,
    /// Configuration that all rows change.
    pub config: String,
    /// Length of a run.
    pub budget: Budget,
    /// Seeds of the runs.
    pub seeds: Vec<u64>,
    /// Images that are evaluated after a run.
    pub eval_images: u64,
    /// Row that differences are computed to.
    pub baseline: Option<String>,
    /// Columns of the table: metrics, as `eval --json` names them, and monitors at a noise level, as
    /// `advantage@0.5`.
    pub metrics: Vec<String>,
    /// Assignments `KEY=VALUE` of all rows.
    pub set: Vec<String>,
    /// The rows.
    pub rows: Vec<Row>,
}

/// Length of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// Updates of the generator.
    Updates(u64),
    /// Seconds spent in updates.
    Seconds(f64),
}

/// A row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// Name in the table.
    pub name: String,
    /// Method in place of the configuration's.
    pub method: Option<String>,
    /// Divergence in place of the method's.
    pub divergence: Option<String>,
    /// Assignments `KEY=VALUE`, after the assignments of the list.
    pub set: Vec<String>,
    /// Updates of the generator in place of the list's budget, for rows of equal cost.
    pub updates: Option<u64>,
}

impl List {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or a key is missing, unknown or of another type.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::parse(&name, &text).with_context(|| path.display().to_string())
    }

    /// Parses a list of this name.
    fn parse(name: &str, text: &str) -> anyhow::Result<Self> {
        let mut table: Table = toml::from_str(text)?;
        let budget = match (table.remove("updates"), table.remove("seconds")) {
            (Some(Value::Integer(updates)), None) if 0 < updates => {
                Budget::Updates(updates.cast_unsigned())
            }
            (None, Some(Value::Integer(seconds))) if 0 < seconds => Budget::Seconds(seconds as f64),
            _ => bail!("give `updates` or `seconds`, a positive whole number"),
        };
        let seeds = numbers(&mut table, "seeds")?;
        ensure!(!seeds.is_empty(), "`seeds` is empty");
        let eval_images = table.remove("eval_images").and_then(|it| it.as_integer());
        let rows = match table.remove("row") {
            Some(Value::Array(rows)) => rows,
            _ => bail!("give at least one [[row]]"),
        };
        let rows: Vec<Row> = rows.into_iter().map(Row::parse).collect::<Result<_, _>>()?;
        for (index, row) in rows.iter().enumerate() {
            let again = rows[..index].iter().any(|it| it.name == row.name);
            ensure!(!again, "two rows are called `{}`", row.name);
        }
        let baseline = optional(&mut table, "baseline")?;
        if let Some(name) = &baseline {
            ensure!(rows.iter().any(|it| it.name == *name), "baseline: no row is called `{name}`");
        }
        let list = Self {
            name: name.to_owned(),
            config: optional(&mut table, "config")?.context("`config` is missing")?,
            budget,
            seeds,
            eval_images: eval_images.unwrap_or(1000).try_into().context("`eval_images`")?,
            baseline,
            metrics: strings(&mut table, "metrics")?,
            set: strings(&mut table, "set")?,
            rows,
        };
        ensure!(!list.metrics.is_empty(), "`metrics` is empty");
        no_more(&table)?;
        Ok(list)
    }

    /// Length of a row's runs.
    pub fn budget(&self, row: &Row) -> Budget {
        row.updates.map_or(self.budget, Budget::Updates)
    }

    /// Identity of a row: a hash of everything that its runs depend on but the seed.
    pub fn key(&self, row: &Row) -> String {
        let Row { name: _, method, divergence, set, updates: _ } = row;
        let text = format!(
            "{} {:?} {} {:?} {method:?} {divergence:?} {set:?}",
            self.config,
            self.budget(row),
            self.eval_images,
            self.set
        );
        // FNV-1a, which a line of the file can be checked with anywhere.
        let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        format!("{hash:016x}")
    }
}

impl Row {
    fn parse(value: Value) -> anyhow::Result<Self> {
        let Value::Table(mut table) = value else { bail!("a row must be a table") };
        let row = Self {
            name: optional(&mut table, "name")?.context("a row has no `name`")?,
            method: optional(&mut table, "method")?,
            divergence: optional(&mut table, "divergence")?,
            set: strings(&mut table, "set")?,
            updates: match table.remove("updates") {
                None => None,
                Some(Value::Integer(updates)) if 0 < updates => Some(updates.cast_unsigned()),
                Some(other) => bail!("`updates` must be a positive whole number, not {other}"),
            },
        };
        no_more(&table).with_context(|| format!("row `{}`", row.name))?;
        Ok(row)
    }
}

fn no_more(table: &Table) -> anyhow::Result<()> {
    match table.keys().next() {
        Some(key) => bail!("unknown key `{key}`"),
        None => Ok(()),
    }
}

fn optional(table: &mut Table, key: &str) -> anyhow::Result<Option<String>> {
    match table.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => bail!("`{key}` must be a text, not {other}"),
    }
}

fn strings(table: &mut Table, key: &str) -> anyhow::Result<Vec<String>> {
    match table.remove(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(items)) => items
            .into_iter()
            .map(|it| match it {
                Value::String(text) => Ok(text),
                other => bail!("`{key}` must hold texts, not {other}"),
            })
            .collect(),
        Some(other) => bail!("`{key}` must be an array, not {other}"),
    }
}

fn numbers(table: &mut Table, key: &str) -> anyhow::Result<Vec<u64>> {
    let Some(Value::Array(items)) = table.remove(key) else {
        bail!("`{key}` must be an array of whole numbers");
    };
    let number = |it: Value| it.as_integer().and_then(|it| u64::try_from(it).ok());
    let numbers: Option<Vec<u64>> = items.into_iter().map(number).collect();
    numbers.with_context(|| format!("`{key}` must hold whole numbers"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A list of two rows and two seeds.
    pub const LIST: &str = r#"
        config = "configs/x.toml"
        updates = 300
        seeds = [1, 2]
        baseline = "b"
        metrics = ["fd", "recall"]
        set = ["batch=4"]

        [[row]]
        name = "a"
        method = "sid"

        [[row]]
        name = "b"
        divergence = "js"
        set = ["fake.learning_rate=1e-4"]
    "#;

    pub fn list() -> List {
        List::parse("small", LIST).unwrap()
    }

    #[test]
    fn reads_rows_and_budget() {
        let list = list();
        assert_eq!((list.budget, list.eval_images), (Budget::Updates(300), 1000));
        assert_eq!(list.rows[0].method.as_deref(), Some("sid"));
        assert_eq!(list.rows[1].set, ["fake.learning_rate=1e-4"]);
    }

    #[test]
    fn rejects_invalid_lists() {
        for (from, to, expected) in [
            ("updates = 300", "", "give `updates` or `seconds`"),
            ("updates = 300", "updates = 300\nseconds = 3", "give `updates` or `seconds`"),
            ("updates = 300", "updates = 0", "give `updates` or `seconds`"),
            ("seeds = [1, 2]", "seeds = [-1]", "`seeds` must hold whole numbers"),
            ("seeds = [1, 2]", "seeds = []", "`seeds` is empty"),
            ("baseline = \"b\"", "baseline = \"c\"", "no row is called `c`"),
            ("name = \"b\"", "name = \"a\"", "two rows are called `a`"),
            ("method", "mehtod", "unknown key `mehtod`"),
            ("method = \"sid\"", "updates = -3", "`updates` must be a positive"),
            ("batch=4\"]", "batch=4\", 3]", "`set` must hold texts"),
            ("metrics = [\"fd\", \"recall\"]", "", "`metrics` is empty"),
            ("config", "cofig", "`config` is missing"),
        ] {
            assert!(LIST.contains(from), "{from}");
            let error = List::parse("x", &LIST.replacen(from, to, 1)).unwrap_err();
            assert!(format!("{error:#}").contains(expected), "{expected}: {error:#}");
        }
    }

    #[test]
    fn the_key_of_a_row_is_its_content() {
        let list = list();
        let [a, b] = [&list.rows[0], &list.rows[1]];
        assert_ne!(list.key(a), list.key(b));
        let renamed = Row { name: "other".into(), ..a.clone() };
        assert_eq!(list.key(&renamed), list.key(a));
        let longer = List { budget: Budget::Updates(301), ..list.clone() };
        assert_ne!(longer.key(a), list.key(a));
        let own = Row { updates: Some(301), ..a.clone() };
        assert_eq!(list.key(&own), longer.key(a));
    }
}
