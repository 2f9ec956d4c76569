//! Arguments of `cargo xtask bench`.

use anyhow::{Context, bail, ensure};

/// Parsed arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Names of cases; empty for all cases that the options below select.
    pub cases: Vec<String>,
    /// Runs only the cases of the short run, with fewer rounds.
    pub quick: bool,
    /// Measures the points of the scaling plots instead of the table.
    pub scaling: bool,
    /// Fails if a ratio exceeds its limit.
    pub check: bool,
    /// Writes the table or the plots into the documentation.
    pub write: bool,
    /// Counts the instructions of the kernels instead of measuring times.
    pub instructions: bool,
    /// Measures the errors of the kernels instead of times.
    pub accuracy: bool,
    /// Names of variants; empty for all that apply.
    pub variants: Vec<String>,
    /// Threads per variant.
    pub threads: usize,
}

/// Default number of threads, which a small machine has.
const THREADS: usize = 2;

impl Default for Options {
    /// Returns the options that measure and print the whole table.
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
    /// Parses the arguments after `bench`.
    ///
    /// # Errors
    ///
    /// If an argument is unknown or excludes another; the message names it.
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
                other => bail!("bench: unknown option `{other}`; `cargo xtask help` lists all"),
            }
        }
        let Self { instructions, accuracy, write, .. } = options;
        if instructions || accuracy {
            let name = if instructions { "--instructions" } else { "--accuracy" };
            let one = Self { instructions, accuracy: !instructions, write, ..Self::default() };
            ensure!(options == one, "bench: {name} can be combined with --write alone");
        }
        ensure!(
            !(options.scaling && options.quick),
            "bench: --scaling cannot be combined with --quick"
        );
        // The ratios on the page are computed from these variants.
        const NEEDED: [&str; 3] = ["kernels", "eager", "tcmalloc"];
        let has = |name: &&str| options.variants.iter().any(|it| it == name);
        let partial = options.quick
            || !options.cases.is_empty()
            || !(options.variants.is_empty() || NEEDED.iter().all(has));
        ensure!(
            !(options.write && partial),
            "bench: --write requires the whole table; leave out --quick and names, and include \
             {} in --variants",
            NEEDED.join(", ")
        );
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_options() {
        let words = ["small-forward", "--check", "--variants", "kernels,eager", "--threads", "1"];
        let options = Options::parse(&words).unwrap();
        assert_eq!(options.cases, ["small-forward"]);
        assert_eq!(options.variants, ["kernels", "eager"]);
        assert!(options.check && !options.quick && options.threads == 1);
        assert!(Options::parse(&["--write", "--variants", "eager,tcmalloc,kernels"]).is_ok());
    }

    #[test]
    fn rejects_unknown_and_ignored_options() {
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
