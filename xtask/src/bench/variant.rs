//! The ways in which a case is run.

use anyhow::bail;

/// The act of the case that measures the machine.
pub const PRODUCT: &str = "product";
/// The act of the case whose peer is SciPy.
pub const FRECHET: &str = "frechet";

/// Ours, or one of PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// This workspace, with the best kernels for this processor.
    Kernels,
    /// The same without AVX-512.
    Avx2,
    /// The same networks on candle's own operations.
    Candle,
    /// PyTorch as it comes.
    Eager,
    /// The same with tcmalloc in place of the C library's allocator.
    Tcmalloc,
    /// Feature maps with their channels innermost.
    ChannelsLast,
    /// `torch.compile`.
    Compile,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Kernels,
        Self::Avx2,
        Self::Candle,
        Self::Eager,
        Self::Tcmalloc,
        Self::ChannelsLast,
        Self::Compile,
    ];

    /// What it is called.
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

    /// The mode of the peer, if it is one.
    pub fn mode(self) -> Option<&'static str> {
        match self {
            Self::Kernels | Self::Avx2 | Self::Candle => None,
            Self::Eager | Self::Tcmalloc => Some("eager"),
            Self::ChannelsLast => Some("channels_last"),
            Self::Compile => Some("compile"),
        }
    }

    /// The limit on our kernels, if it is ours.
    pub fn kernels(self) -> Option<&'static str> {
        match self {
            Self::Kernels => Some("best"),
            Self::Avx2 => Some("avx2"),
            Self::Candle => Some("off"),
            _ => None,
        }
    }

    /// Whether it has a meaning for this act: a product and a distance have neither kernels of ours, nor
    /// channels, nor a graph, and the latter allocates little. An update of three networks is no single
    /// graph.
    pub fn fits(self, act: &str) -> bool {
        match self {
            Self::Kernels | Self::Eager => true,
            Self::Tcmalloc => act != FRECHET,
            Self::Avx2 | Self::Candle | Self::ChannelsLast => ![PRODUCT, FRECHET].contains(&act),
            Self::Compile => ![PRODUCT, FRECHET, "step"].contains(&act),
        }
    }

    /// Whether an iteration of so many operations ends within seconds and some gigabytes: plain
    /// candle is ten times slower than the rest, at four times the memory.
    pub fn is_affordable(self, flop: f64) -> bool {
        const MOST: f64 = 550e9;
        self != Self::Candle || flop < MOST
    }
}

/// The variants of these names, in the order of the table.
///
/// # Errors
///
/// If a name is unknown.
pub fn named(names: &[String]) -> anyhow::Result<Vec<Variant>> {
    if let Some(name) = names.iter().find(|name| Variant::ALL.iter().all(|it| it.name() != **name))
    {
        bail!("no variant `{name}`; there are: {}", Variant::ALL.map(Variant::name).join(", "));
    }
    Ok(Variant::ALL.into_iter().filter(|it| names.iter().any(|name| name == it.name())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variant_is_either_ours_or_the_peers() {
        for variant in Variant::ALL {
            assert!(variant.mode().is_some() != variant.kernels().is_some(), "{variant:?}");
        }
    }

    #[test]
    fn variants_are_found_by_name() {
        let names = ["eager".to_owned(), "kernels".to_owned()];
        assert_eq!(named(&names).unwrap(), [Variant::Kernels, Variant::Eager]);
        assert!(named(&["fast".to_owned()]).unwrap_err().to_string().contains("`fast`"));
    }
}
