//! Files of tensors and metadata: networks, feature networks, checkpoints.

use metrics::FeatureNetFile;
use models::{NetworkFile, TensorFile};

/// Bytes of a number of the smallest type.
const MIN_WIDTH: usize = 1;

/// Safetensors files.
///
/// Of a file that is accepted: its tensors have no more bytes than the file; written again, unless
/// it has half-precision numbers, which are not written, it is read as the same tensors and
/// metadata. A network comes back the same from the bytes that are made of it.
pub fn safetensors(data: &[u8]) {
    if let Ok(file) = TensorFile::from_bytes("input", data) {
        let numbers = file.tensors.values().map(|it| it.elem_count()).sum::<usize>();
        assert!(numbers * MIN_WIDTH <= data.len(), "{numbers} numbers");
        if let Ok(written) = file.to_bytes() {
            let read = TensorFile::from_bytes("written", &written).expect("we wrote it");
            assert_eq!(read.metadata, file.metadata);
            assert!(read.tensors.keys().eq(file.tensors.keys()));
            // Bytes, for NaN is not equal to itself.
            assert!(read.to_bytes().expect("it was written before") == written, "other bytes");
        }
    }
    if let Ok(file) = NetworkFile::from_bytes("input", data) {
        let written = file.to_bytes().expect("our own network can be written");
        let read = NetworkFile::from_bytes("written", &written).expect("we wrote it");
        assert_eq!((&read.config, &read.provenance), (&file.config, &file.provenance));
        assert!(read.to_bytes().expect("it was written before") == written, "other bytes");
    }
    if let Ok(file) = FeatureNetFile::from_bytes("input", data) {
        let hash = file.hash().expect("it has been hashed before");
        assert!(data.windows(hash.len()).any(|it| it == hash.as_bytes()), "another hash");
    }
}
