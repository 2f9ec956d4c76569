//! Variants in which a case runs.

use anyhow::bail;

/// Kind of the case that measures the machine's peak rate.
pub const PRODUCT: &str = "product";
/// Kind of the case whose peer is SciPy.
pub const FRECHET: &str = "frechet";

/// Implementation and settings: ours or PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// This workspace, with the best kernels for this processor.
    Kernels,
    /// As `Kernels`, without AVX-512.
    Avx2,
    /// The same networks with candle's own operations.
    Candle,
    /// PyTorch with its default settings.
    Eager,
    /// As `Eager`, with tcmalloc in place of the C library's allocator.
    Tcmalloc,
    /// As `Eager`, with channels-last feature maps.
    ChannelsLast,
    /// As `Eager`, with `torch.compile`.
    Compile,
}

impl Variant {
    /// All variants.
    pub const ALL: [Self; 7] = [
        Self::Kernels,
        Self::Avx2,
        Self::Candle,
        Self::Eager,
        Self::Tcmalloc,
        Self::ChannelsLast,
        Self::Compile,
    ];

    /// Returns the variant's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernels => "kernels",
            Self::Avx2 => "avx2",
            Self::Candle => "candle",
            Self::Eager => "eager",
            Self::Tcmalloc => "tcmalloc",
            Self::ChannelsLast => "channels_last",
            Self::Compile => "compile",
        }
    }

    /// Returns the peer's mode, or `None` for our variants.
    pub fn mode(self) -> Option<&'static str> {
        match self {
            Self::Kernels | Self::Avx2 | Self::Candle => None,
            Self::Eager | Self::Tcmalloc => Some("eager"),
            Self::ChannelsLast => Some("channels_last"),
            Self::Compile => Some("compile"),
        }
    }

    /// Returns the limit on our kernels, or `None` for the peer's variants.
    pub fn kernels(self) -> Option<&'static str> {
        match self {
            Self::Kernels => Some("best"),
            Self::Avx2 => Some("avx2"),
            Self::Candle => Some("off"),
            _ => None,
        }
    }

    /// Tests whether the variant applies to this kind of case.
    ///
    /// A matrix product and a distance have no kernels of ours, no channels and no graph, and a
    /// distance allocates little. A training step of three networks is not a single graph.
    pub fn applies_to(self, kind: &str) -> bool {
        match self {
            Self::Kernels | Self::Eager => true,
            Self::Tcmalloc => kind != FRECHET,
            Self::Avx2 | Self::Candle | Self::ChannelsLast => ![PRODUCT, FRECHET].contains(&kind),
            Self::Compile => ![PRODUCT, FRECHET, "step"].contains(&kind),
        }
    }

    /// Tests whether an iteration with so many operations ends within seconds and some gigabytes.
    /// Candle's own operations take ten times the time and four times the memory of the others.
    pub fn is_affordable(self, flop: f64) -> bool {
        const MAX_FLOP: f64 = 550e9;
        self != Self::Candle || flop < MAX_FLOP
    }
}

/// Returns the variants with these names, in the order of the table.
///
/// # Errors
///
/// If a name is unknown.
pub fn named(names: &[String]) -> anyhow::Result<Vec<Variant>> {
    if let Some(name) = names.iter().find(|name| Variant::ALL.iter().all(|it| it.name() != **name))
    {
        bail!(
            "unknown variant `{name}`; expected one of {}",
            Variant::ALL.map(Variant::name).join(", ")
        );
    }
    Ok(Variant::ALL.into_iter().filter(|it| names.iter().any(|name| name == it.name())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variant_is_ours_or_the_peers() {
        for variant in Variant::ALL {
            assert!(variant.mode().is_some() != variant.kernels().is_some(), "{variant:?}");
        }
    }

    #[test]
    fn selects_variants_by_name() {
        let names = ["eager".to_owned(), "kernels".to_owned()];
        assert_eq!(named(&names).unwrap(), [Variant::Kernels, Variant::Eager]);
        assert!(named(&["fast".to_owned()]).unwrap_err().to_string().contains("`fast`"));
    }
}
