//! Options of the command line that change keys of a run's configuration.

use divergence::Divergence;
use toml::{Table, Value};
use train::{Config, Error};

/// Values that replace a configuration's own; `None` keeps them.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The teacher.
    pub teacher: Option<String>,
    /// The images.
    pub data: Option<String>,
    /// The seed.
    pub seed: Option<u64>,
    /// Method of every phase, in place of the configuration's method and all its options.
    pub method: Option<String>,
    /// Divergence of every phase.
    pub divergence: Option<Divergence>,
}

impl Overrides {
    /// Parses the configuration `text` of `origin` with these values. Assignments `KEY=VALUE` of
    /// `set` come last.
    ///
    /// # Errors
    ///
    /// If the text, a value or an assignment is invalid.
    pub fn parse(&self, origin: &str, text: &str, set: &[String]) -> Result<Config, Error> {
        let Self { teacher, data, seed, method, divergence } = self;
        if teacher.is_none() && data.is_none() && seed.is_none() && !self.change_phases() {
            return Config::parse(origin, text, set);
        }
        let fault = |source| Error::Config { name: origin.into(), source: Box::new(source) };
        let mut table: Table = toml::from_str(text).map_err(fault)?;
        for (key, value) in [("teacher", teacher), ("data", data)] {
            if let Some(value) = value {
                table.insert(key.into(), Value::String(value.clone()));
            }
        }
        if let Some(seed) = seed {
            table.insert("seed".into(), value("--seed", seed)?);
        }
        if self.change_phases() {
            let divergence = divergence.as_ref().map(|it| value("--divergence", it)).transpose()?;
            // A configuration without phases has one, with the default values.
            let phases = table
                .entry("phase")
                .or_insert_with(|| Value::Array(vec![Value::Table(Table::new())]));
            // Anything else than tables is an error of the parser.
            for phase in phases.as_array_mut().into_iter().flatten() {
                if let Some(phase) = phase.as_table_mut() {
                    change_phase(phase, method.as_deref(), divergence.as_ref());
                }
            }
        }
        // As text again, so that errors in the values show a line.
        let origin = self.described(origin);
        let text =
            toml::to_string(&table).map_err(|err| Error::unusable(&origin, err.to_string()))?;
        Config::parse(&origin, &text, set)
    }

    /// The origin with the options that change its text, for errors.
    fn described(&self, origin: &str) -> String {
        let method = self.method.as_ref().map(|it| format!(" --method {it}"));
        let divergence = self.divergence.as_ref().map(|it| format!(" --divergence {it}"));
        format!("{origin}{}{}", method.unwrap_or_default(), divergence.unwrap_or_default())
    }

    fn change_phases(&self) -> bool {
        self.method.is_some() || self.divergence.is_some()
    }
}

fn value(option: &str, from: &impl serde::Serialize) -> Result<Value, Error> {
    Value::try_from(from).map_err(|err| Error::unusable(option, err.to_string()))
}

fn change_phase(phase: &mut Table, method: Option<&str>, divergence: Option<&Value>) {
    if let Some(method) = method {
        // The file's divergence and noise levels belong to the file's method.
        phase.retain(|key, _| ["images", "train_generator"].contains(&key));
        phase.insert("preset".into(), Value::String(method.into()));
    }
    if let Some(divergence) = divergence {
        // A file may hold it in either place.
        phase.insert("divergence".into(), divergence.clone());
        let method = phase.entry("method").or_insert_with(|| Value::Table(Table::new()));
        if let Some(method) = method.as_table_mut() {
            method.insert("divergence".into(), divergence.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "teacher = \"a\"\n[[phase]]\nimages = 7\npreset = \"sid\"\nalpha = 0.5\n\
                        [[phase]]\nimages = 9\ntrain_generator = false\n\
                        method.divergence = \"pearson\"\n";

    fn parse(overrides: &Overrides, set: &[&str]) -> Result<Config, Error> {
        let set: Vec<String> = set.iter().map(|it| (*it).to_owned()).collect();
        overrides.parse("test", TEXT, &set)
    }

    #[test]
    fn no_override_changes_nothing() {
        let config = parse(&Overrides::default(), &[]).unwrap();
        assert_eq!(config, Config::parse("test", TEXT, &[]).unwrap());
    }

    #[test]
    fn a_method_replaces_the_options_of_the_files_method() {
        let overrides = Overrides { method: Some("dmd".into()), ..Overrides::default() };
        let config = parse(&overrides, &[]).unwrap();
        let expected = &divergence::preset("dmd").unwrap().method;
        assert!(config.phase.iter().all(|phase| phase.method == *expected));
        let lengths: Vec<_> =
            config.phase.iter().map(|it| (it.images, it.train_generator)).collect();
        assert_eq!(lengths, [(7, true), (9, false)]);
    }

    #[test]
    fn values_reach_every_phase_and_assignments_come_last() {
        let overrides = Overrides {
            teacher: Some("7".into()),
            data: Some("b".into()),
            seed: Some(5),
            divergence: Some("jeffreys(0.6,0.4)".parse().unwrap()),
            ..Overrides::default()
        };
        let config = parse(&overrides, &["seed=6", "phase.0.images=8"]).unwrap();
        assert_eq!((config.teacher.as_str(), config.data.as_str(), config.seed), ("7", "b", 6));
        assert_eq!((config.phase[0].images, config.phase[1].images), (8, 9));
        let expected: Divergence = "jeffreys(0.6,0.4)".parse().unwrap();
        assert!(config.phase.iter().all(|phase| phase.method.divergence == expected));
        let one = Overrides { divergence: Some(expected.clone()), ..Overrides::default() };
        let bare = one.parse("test", "", &[]).unwrap();
        assert_eq!(bare.phase.len(), 1);
        assert_eq!(bare.phase[0].method.divergence, expected);
    }

    #[test]
    fn rejects_what_the_configuration_cannot_hold() {
        let seed = Overrides { seed: Some(u64::MAX), ..Overrides::default() };
        assert!(parse(&seed, &[]).unwrap_err().to_string().starts_with("--seed"));
        let method = Overrides { method: Some("didi".into()), ..Overrides::default() };
        let message = parse(&method, &["seed=x"]).unwrap_err().to_string();
        assert!(message.starts_with("test --method didi --set seed=x: "), "{message}");
        assert!(method.parse("test", "phase = 3", &[]).is_err());
        assert!(method.parse("test", "phase = [", &[]).is_err());
    }
}
