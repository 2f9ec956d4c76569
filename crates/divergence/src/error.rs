//! Errors in the description of a divergence, a method or a mixture.

/// An invalid description. Messages name the input at fault and say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No divergence has this name.
    #[error("no divergence is called \"{name}\"; {hint}")]
    UnknownDivergence {
        /// Requested name.
        name: String,
        /// Accepted names.
        hint: String,
    },
    /// Parameters or weights of a divergence are out of range.
    #[error("divergence \"{text}\": {problem}")]
    InvalidDivergence {
        /// The divergence, as written.
        text: String,
        /// Problem with it.
        problem: String,
    },
    /// A field of a method is out of range, or does not fit the other fields.
    #[error("{field}: {problem}")]
    InvalidMethod {
        /// The field, with dots: `ratio.clamp`.
        field: &'static str,
        /// Problem, and what to do.
        problem: String,
    },
    /// The components of a Gaussian mixture are invalid, or do not fit each other.
    #[error("mixture: {problem}")]
    InvalidMixture {
        /// Problem with it.
        problem: String,
    },
}

impl Error {
    pub(crate) fn method(field: &'static str, problem: impl Into<String>) -> Self {
        Self::InvalidMethod { field, problem: problem.into() }
    }

    pub(crate) fn mixture(problem: impl Into<String>) -> Self {
        Self::InvalidMixture { problem: problem.into() }
    }
}
