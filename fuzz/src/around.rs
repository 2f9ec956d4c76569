//! Files made around an input, so that the input is reached past the checksums of its format.

use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// Writes a zip file of these entries, stored.
pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        writer.start_file(*name, options).expect("the names are valid");
        writer.write_all(bytes).expect("a vector accepts all bytes");
    }
    writer.finish().expect("a vector accepts all bytes").into_inner()
}
