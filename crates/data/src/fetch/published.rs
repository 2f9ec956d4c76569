//! Files and hashes of the published data sets, and of the network of FID.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::dataset::hex;
use crate::{Error, bounded};

/// File of a data set, and the hash of its content.
pub(super) struct File {
    /// Name; `.gz` at the end stands for compression.
    pub(super) name: &'static str,
    /// Uncompressed size, in bytes.
    pub(super) size: u64,
    /// SHA-256 of the uncompressed content.
    pub(super) sha256: &'static str,
}

/// A published data set.
pub(super) struct Published {
    /// Name for [`super::fetch`].
    pub(super) name: &'static str,
    /// All of its files.
    pub(super) files: &'static [File],
}

pub(super) const FASHION_MNIST: Published = Published {
    name: "fashion-mnist",
    files: &[
        File {
            name: "train-images-idx3-ubyte.gz",
            size: 47_040_016,
            sha256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        },
        File {
            name: "train-labels-idx1-ubyte.gz",
            size: 60_008,
            sha256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        },
        File {
            name: "t10k-images-idx3-ubyte.gz",
            size: 7_840_016,
            sha256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        },
        File {
            name: "t10k-labels-idx1-ubyte.gz",
            size: 10_008,
            sha256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    ],
};

/// Bytes of a batch of CIFAR-10: 10,000 records of a label and 3 x 32 x 32 bytes.
const CIFAR10_BATCH: u64 = 10_000 * 3073;

pub(super) const CIFAR10: Published = Published {
    name: "cifar10",
    files: &[
        File {
            name: "data_batch_1.bin",
            size: CIFAR10_BATCH,
            sha256: "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
        },
        File {
            name: "data_batch_2.bin",
            size: CIFAR10_BATCH,
            sha256: "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
        },
        File {
            name: "data_batch_3.bin",
            size: CIFAR10_BATCH,
            sha256: "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
        },
        File {
            name: "data_batch_4.bin",
            size: CIFAR10_BATCH,
            sha256: "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
        },
        File {
            name: "data_batch_5.bin",
            size: CIFAR10_BATCH,
            sha256: "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
        },
        File {
            name: "test_batch.bin",
            size: CIFAR10_BATCH,
            sha256: "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
        },
    ],
};

pub(super) const INCEPTION: Published = Published {
    name: "inception",
    files: &[File {
        name: "default_1.pt",
        size: 87_335_461,
        sha256: "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
    }],
};

impl Published {
    /// Checks that all files are in `folder` with the published content.
    pub(super) fn check(&self, folder: &Path) -> Result<(), Error> {
        self.files.iter().try_for_each(|file| file.check(&folder.join(file.name)))
    }
}

impl File {
    fn check(&self, path: &Path) -> Result<(), Error> {
        let file = path.display().to_string();
        let content = bounded::read_all(bounded::open_plain_or_gzip(path)?, self.size, &file)?;
        let found = hex(&Sha256::digest(&content));
        if found == self.sha256 {
            Ok(())
        } else {
            Err(Error::Digest { file, expected: self.sha256, found })
        }
    }
}
