//! The ways in which a case is run.

use anyhow::bail;

/// Ours, or one of PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// This workspace, with its kernels.
    Kernels,
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
    pub const ALL: [Self; 5] =
        [Self::Kernels, Self::Eager, Self::Tcmalloc, Self::ChannelsLast, Self::Compile];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kernels => "kernels",
            Self::Eager => "eager",
            Self::Tcmalloc => "tcmalloc",
            Self::ChannelsLast => "channels_last",
            Self::Compile => "compile",
        }
    }

    /// The mode of the peer, if it is one.
    pub fn mode(self) -> Option<&'static str> {
        match self {
            Self::Kernels => None,
            Self::Eager | Self::Tcmalloc => Some("eager"),
            Self::ChannelsLast => Some("channels_last"),
            Self::Compile => Some("compile"),
        }
    }

    /// Whether it has a meaning for this act: a product has neither channels nor a graph.
    pub fn fits(self, act: &str) -> bool {
        !(act == super::report::PRODUCT && matches!(self, Self::ChannelsLast | Self::Compile))
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
    fn variants_are_found_by_name() {
        let names = ["eager".to_owned(), "kernels".to_owned()];
        assert_eq!(named(&names).unwrap(), [Variant::Kernels, Variant::Eager]);
        assert!(named(&["fast".to_owned()]).unwrap_err().to_string().contains("`fast`"));
    }
}
