//! The arguments of `cargo xtask bench`.

use anyhow::{Context, bail, ensure};

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Names of cases; empty for all of the selection below.
    pub cases: Vec<String>,
    /// Only the cases of the short run, and fewer rounds.
    pub quick: bool,
    /// The points of the scaling plots instead of the table.
    pub scaling: bool,
    /// Fail when a ratio is over its floor.
    pub check: bool,
    /// Write table or plots into the documentation.
    pub write: bool,
    /// Instruction counts of the kernels instead of times.
    pub instructions: bool,
    /// Errors of the kernels instead of times.
    pub accuracy: bool,
    /// Only these variants; empty for those that fit.
    pub variants: Vec<String>,
    /// Threads of every variant.
    pub threads: usize,
}

/// Threads unless told otherwise: what a small machine has.
const THREADS: usize = 2;

impl Default for Options {
    /// The whole table, printed.
    fn default() -> Self {
        Self {
            cases: Vec::new(),
            quick: false,
            scaling: false,
            check: false,
            write: false,
            instructions: false,
            accuracy: false,
            variants: Vec::new(),
            threads: THREADS,
        }
    }
}

impl Options {
    /// Reads the words after `bench`.
    ///
    /// # Errors
    ///
    /// Naming the word that is not understood.
    pub fn parse(words: &[&str]) -> anyhow::Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            match word {
                "--quick" => options.quick = true,
                "--scaling" => options.scaling = true,
                "--check" => options.check = true,
                "--write" => options.write = true,
                "--instructions" => options.instructions = true,
                "--accuracy" => options.accuracy = true,
                "--variants" => {
                    let names = words.next().context("--variants: expected a,b,c")?;
                    options.variants = names.split(',').map(str::to_owned).collect();
                }
                "--threads" => {
                    let number = words.next().and_then(|it| it.parse().ok());
                    options.threads = number.context("--threads: expected a number")?;
                    ensure!(options.threads != 0, "--threads: expected at least 1");
                }
                name if !name.starts_with('-') => options.cases.push(name.to_owned()),
                other => bail!("bench: no option `{other}`; `cargo xtask help` lists all"),
            }
        }
        let Self { instructions, accuracy, write, .. } = options;
        if instructions || accuracy {
            let name = if instructions { "--instructions" } else { "--accuracy" };
            let one = Self { instructions, accuracy: !instructions, write, ..Self::default() };
            ensure!(options == one, "bench: {name} goes with --write alone");
        }
        ensure!(!(options.scaling && options.quick), "bench: no point of --scaling is in --quick");
        // What the ratios on the page are made of.
        const NEEDED: [&str; 3] = ["kernels", "eager", "tcmalloc"];
        let has = |name: &&str| options.variants.iter().any(|it| it == name);
        let partial = options.quick
            || !options.cases.is_empty()
            || !(options.variants.is_empty() || NEEDED.iter().all(has));
        ensure!(
            !(options.write && partial),
            "bench: --write puts the whole table on the page; leave out --quick and names, and let \
             --variants have {}",
            NEEDED.join(", ")
        );
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_options() {
        let words = ["small-forward", "--check", "--variants", "kernels,eager", "--threads", "1"];
        let options = Options::parse(&words).unwrap();
        assert_eq!(options.cases, ["small-forward"]);
        assert_eq!(options.variants, ["kernels", "eager"]);
        assert!(options.check && !options.quick && options.threads == 1);
        assert!(Options::parse(&["--write", "--variants", "eager,tcmalloc,kernels"]).is_ok());
    }

    #[test]
    fn what_is_not_understood_or_would_be_ignored_is_named() {
        for (words, expected) in [
            (vec!["--fast"], "--fast"),
            (vec!["--threads", "0"], "at least 1"),
            (vec!["--threads", "many"], "number"),
            (vec!["--write", "--quick"], "--quick"),
            (vec!["--write", "--variants", "kernels,eager"], "tcmalloc"),
            (vec!["--scaling", "--quick"], "--scaling"),
            (vec!["--instructions", "--check"], "--write alone"),
            (vec!["--instructions", "--threads", "1"], "--write alone"),
            (vec!["--instructions", "small-forward"], "--write alone"),
            (vec!["--accuracy", "--quick"], "--write alone"),
            (vec!["--accuracy", "--instructions"], "--write alone"),
        ] {
            let error = Options::parse(&words).unwrap_err().to_string();
            assert!(error.contains(expected), "{words:?}: {error}");
        }
    }
}
