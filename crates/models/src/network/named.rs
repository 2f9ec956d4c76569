//! Networks of published teachers, by name.

use super::NetworkConfig;

/// A network with published weights.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct NamedNetwork {
    /// Name in a configuration.
    pub name: &'static str,
    /// Its configuration.
    pub config: fn() -> NetworkConfig,
}

/// The networks of EDM's published files (Karras et al. 2022, arXiv:2206.00364, Table 7).
pub const NAMED: [NamedNetwork; 6] = [
    NamedNetwork { name: "cifar10-ddpmpp", config: || NetworkConfig::cifar10_ddpmpp(0) },
    NamedNetwork { name: "cifar10-ddpmpp-cond", config: || NetworkConfig::cifar10_ddpmpp(10) },
    NamedNetwork { name: "cifar10-ncsnpp", config: || NetworkConfig::cifar10_ncsnpp(0) },
    NamedNetwork { name: "cifar10-ncsnpp-cond", config: || NetworkConfig::cifar10_ncsnpp(10) },
    NamedNetwork { name: "ffhq64-ddpmpp", config: NetworkConfig::ffhq64_ddpmpp },
    NamedNetwork { name: "imagenet64-adm-cond", config: NetworkConfig::imagenet64_adm },
];

impl NetworkConfig {
    /// The network of this name, one of [`NAMED`].
    pub fn named(name: &str) -> Option<Self> {
        NAMED.iter().find(|it| it.name == name).map(|it| (it.config)())
    }

    /// The part of the configuration that decides which weights fit: without dropout, which differs
    /// between training and use, and without the range of noise levels, which concerns samplers.
    #[must_use]
    pub fn of_weights(&self) -> Self {
        let mut config = self.clone();
        let (dropout, label_dropout) = match &mut config.architecture {
            super::Architecture::Song(song) => (&mut song.dropout, &mut song.label_dropout),
            super::Architecture::Dhariwal(adm) => (&mut adm.dropout, &mut adm.label_dropout),
        };
        (*dropout, *label_dropout) = (0.0, 0.0);
        let Self { sigma_min, sigma_max, .. } = Self::cifar10_ddpmpp(0);
        Self { sigma_min, sigma_max, ..config }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_networks_have_the_published_sizes() {
        for NamedNetwork { name, config } in NAMED {
            assert_eq!(NetworkConfig::named(name), Some(config()));
            config().validate().unwrap_or_else(|err| panic!("{name}: {err}"));
        }
        // EDM's own count of its files, in millions (arXiv:2206.00364, Table 7).
        for (name, expected) in [
            ("cifar10-ddpmpp", 55.7),
            ("cifar10-ddpmpp-cond", 55.7),
            ("imagenet64-adm-cond", 295.9),
        ] {
            let config = NetworkConfig::named(name).unwrap();
            let millions = config.parameter_count().unwrap() as f64 / 1e6;
            assert!((millions - expected).abs() < 0.06, "{name}: {millions}");
        }
        assert!(NetworkConfig::named("cifar10").is_none());
    }

    #[test]
    fn weights_fit_for_any_dropout_and_range_of_noise_levels() {
        let config = NetworkConfig::cifar10_ddpmpp(10);
        let mut trained = NetworkConfig { sigma_min: 0.01, sigma_max: 50.0, ..config.clone() };
        if let super::super::Architecture::Song(song) = &mut trained.architecture {
            (song.dropout, song.label_dropout) = (0.05, 0.1);
        }
        assert_eq!(trained.of_weights(), config.of_weights());
        assert_ne!(config.of_weights(), NetworkConfig::cifar10_ddpmpp(0).of_weights());
    }
}
