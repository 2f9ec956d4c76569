//! Gzip, tar and zip: the feature `archives`. Without it each of these is an error that names the
//! feature.

#[cfg(not(feature = "archives"))]
mod disabled;
#[cfg(feature = "archives")]
mod enabled;

#[cfg(not(feature = "archives"))]
pub(crate) use disabled::{ZipFiles, gunzip, read_tar, write_zip};
#[cfg(feature = "archives")]
pub(crate) use enabled::{ZipFiles, gunzip, read_tar, write_zip};
