//! Values of the command line that have the right form and still cannot be used.

use std::fmt;

/// An option, or a name on the command line, that does not fit the rest of the command line, the files
/// that it names, or this build of the program.
#[derive(Debug)]
pub struct Usage {
    /// The option, or the name.
    subject: String,
    /// Reason, and what to do.
    reason: String,
}

impl Usage {
    /// An error about `subject`.
    pub fn new(subject: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { subject: subject.into(), reason: reason.into() }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.reason)
    }
}

impl std::error::Error for Usage {}
