//! The network that a configuration expects of the teacher.

use models::{NetworkConfig, network::NAMED};
use serde::{Deserialize, Serialize};

use crate::Error;

/// The network of a teacher: a name of [`NAMED`], or a table as a teacher's configuration has it.
///
/// It determines the run, including its memory, before the teacher's file exists. A file of another
/// network is an error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct TeacherArchitecture {
    name: Option<String>,
    network: NetworkConfig,
}

/// An architecture as written in a file.
#[derive(Serialize, Deserialize)]
#[serde(
    untagged,
    expecting = "expected the name of a network, or a table as teacher.toml's [network]"
)]
enum Written {
    Name(String),
    Table(Box<NetworkConfig>),
}

impl TryFrom<Written> for TeacherArchitecture {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let (name, network) = match written {
            Written::Table(network) => (None, *network),
            Written::Name(name) => {
                let names = NAMED.map(|it| it.name).join(", ");
                let network = NetworkConfig::named(&name)
                    .ok_or_else(|| format!("no network named `{name}`; choose one of {names}"))?;
                (Some(name), network)
            }
        };
        network.validate().map_err(|err| err.to_string())?;
        Ok(Self { name, network })
    }
}

impl From<TeacherArchitecture> for Written {
    fn from(architecture: TeacherArchitecture) -> Self {
        match architecture.name {
            Some(name) => Self::Name(name),
            None => Self::Table(Box::new(architecture.network)),
        }
    }
}

impl TeacherArchitecture {
    /// The network.
    pub fn network(&self) -> &NetworkConfig {
        &self.network
    }

    /// Its name, or a placeholder if it has none.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("of the configuration")
    }

    /// Checks that a teacher's file, called `file` in errors, holds such a network.
    ///
    /// # Errors
    ///
    /// Naming both and what differs.
    pub fn check(&self, file: &str, found: &NetworkConfig) -> Result<(), Error> {
        let [expected, found] = [&self.network, found].map(|it| {
            serde_json::to_value(it.of_weights()).expect("a configuration is plain data")
        });
        let differences = differences("", &expected, &found);
        if differences.is_empty() {
            return Ok(());
        }
        let reason = format!(
            "`{file}` holds another network than the architecture {}: {}; name the teacher's own \
             architecture, or another teacher",
            self.name(),
            differences.join(", ")
        );
        Err(Error::unusable("teacher", reason))
    }
}

/// The keys under which two values differ, with both values.
fn differences(path: &str, expected: &serde_json::Value, found: &serde_json::Value) -> Vec<String> {
    use serde_json::Value::Object;
    match (expected, found) {
        (Object(expected), Object(found)) => {
            let keys = expected.keys().chain(found.keys().filter(|it| !expected.contains_key(*it)));
            let nothing = serde_json::Value::Null;
            keys.flat_map(|key| {
                let [expected, found] = [expected, found].map(|it| it.get(key).unwrap_or(&nothing));
                let dot = if path.is_empty() { "" } else { "." };
                differences(&format!("{path}{dot}{key}"), expected, found)
            })
            .collect()
        }
        _ if expected == found => Vec::new(),
        _ => vec![format!("{path} is {found}, not {expected}")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> TeacherArchitecture {
        TeacherArchitecture::try_from(Written::Name(name.into())).unwrap()
    }

    #[test]
    fn rejects_a_file_of_another_network_and_names_the_difference() {
        let architecture = named("cifar10-ddpmpp-cond");
        let mut file = NetworkConfig::cifar10_ddpmpp(10);
        if let models::Architecture::Song(song) = &mut file.architecture {
            song.dropout = 0.4;
        }
        architecture.check("a.safetensors", &file).unwrap();
        file.label_dim = 0;
        if let models::Architecture::Song(song) = &mut file.architecture {
            song.num_blocks = 2;
        }
        let message = architecture.check("a.safetensors", &file).unwrap_err().to_string();
        for part in [
            "`a.safetensors`",
            "cifar10-ddpmpp-cond",
            "label_dim is 0, not 10",
            "architecture.num_blocks is 2, not 4",
        ] {
            assert!(message.contains(part), "`{part}` is not in: {message}");
        }
        assert!(!message.contains("dropout"), "{message}");
        let other = NetworkConfig::imagenet64_adm();
        let message = architecture.check("b", &other).unwrap_err().to_string();
        assert!(message.contains("architecture.kind is \"dhariwal\", not \"song\""), "{message}");
    }

    #[test]
    fn names_and_tables_round_trip() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct Run {
            architecture: TeacherArchitecture,
        }
        let by_name = Run { architecture: named("imagenet64-adm-cond") };
        let text = toml::to_string(&by_name).unwrap();
        assert_eq!(text.trim(), "architecture = \"imagenet64-adm-cond\"");
        let network = NetworkConfig::cifar10_ncsnpp(0);
        let by_table = Run { architecture: Written::Table(Box::new(network)).try_into().unwrap() };
        for run in [by_name, by_table] {
            let text = toml::to_string(&run).unwrap();
            assert_eq!(toml::from_str::<Run>(&text).unwrap(), run, "{text}");
        }
        for (text, expected) in [
            ("architecture = \"adm\"", "choose one of cifar10-ddpmpp, cifar10-ddpmpp-cond"),
            ("architecture = 3", "the name of a network"),
        ] {
            let message = toml::from_str::<Run>(text).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
