//! Files made around an input, so that what is inside a format is reached past its checksums.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// A zip file of these entries, stored.
pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        writer.start_file(*name, options).expect("the names are ours");
        writer.write_all(bytes).expect("memory takes all bytes");
    }
    writer.finish().expect("memory takes all bytes").into_inner()
}
