//! What can be wrong with a description of a divergence, a method or a mixture.

/// A description that means nothing. Messages name the input at fault and say what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No divergence has this name.
    #[error("no divergence is called \"{name}\"; {hint}")]
    UnknownDivergence {
        /// What was asked for.
        name: String,
        /// What there is.
        hint: String,
    },
    /// A divergence with parameters or weights that it cannot have.
    #[error("divergence \"{text}\": {problem}")]
    InvalidDivergence {
        /// The divergence, as written.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A field of a method has a value that it cannot have, alone or beside the others.
    #[error("{field}: {problem}")]
    InvalidMethod {
        /// The field, with dots: `ratio.clamp`.
        field: &'static str,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A Gaussian mixture that is none, or a point or grid that does not fit it.
    #[error("mixture: {problem}")]
    InvalidMixture {
        /// What is wrong.
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
