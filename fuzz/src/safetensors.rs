//! Safetensors files: networks, feature networks, checkpoints.

use metrics::FeatureNetFile;
use models::{NetworkFile, TensorFile};

/// Bytes of a value of the smallest type.
const MIN_WIDTH: usize = 1;

/// Target for safetensors files.
///
/// Properties of an accepted file: its tensors have at most the bytes of the file, and tensors and
/// metadata are the same after they are written and read again, unless they have half-precision
/// values, which are not written. A network is the same after it is written and read again.
pub fn safetensors(data: &[u8]) {
    if let Ok(file) = TensorFile::from_bytes("input", data) {
        let values = file.tensors.values().map(|it| it.elem_count()).sum::<usize>();
        assert!(values * MIN_WIDTH <= data.len(), "{values} values");
        if let Ok(written) = file.to_bytes() {
            let read = TensorFile::from_bytes("written", &written).expect("we wrote it");
            assert_eq!(read.metadata, file.metadata);
            assert!(read.tensors.keys().eq(file.tensors.keys()));
            // Bytes are compared, because NaN is not equal to itself.
            assert!(read.to_bytes().expect("it was written before") == written, "other bytes");
        }
    }
    if let Ok(file) = NetworkFile::from_bytes("input", data) {
        let written = file.to_bytes().expect("a network can be written");
        let read = NetworkFile::from_bytes("written", &written).expect("we wrote it");
        assert_eq!((&read.config, &read.provenance), (&file.config, &file.provenance));
        assert!(read.to_bytes().expect("it was written before") == written, "other bytes");
    }
    if let Ok(file) = FeatureNetFile::from_bytes("input", data) {
        let hash = file.hash().expect("it has been hashed before");
        assert!(data.windows(hash.len()).any(|it| it == hash.as_bytes()), "another hash");
    }
}
