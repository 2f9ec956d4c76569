//! Writes the seeds of the corpus: small files of every kind, and hostile files.
//!
//! `cargo run -p fuzz --example seeds` writes `fuzz/corpus/<target>/<name>`, with the same bytes
//! each time. Files whose names are hashes come from libFuzzer and are not changed.

mod archives;
mod arrays;
mod hostile;
mod images;
mod pickles;
mod weights;

use std::fs;
use std::io;
use std::path::Path;

/// Name and content of a file.
type Seed = (&'static str, Vec<u8>);

fn main() -> io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let pickles = [pickles::seeds(), hostile::seeds()].concat();
    let targets = [
        ("pickle", pickles),
        ("archive", archives::seeds()),
        ("safetensors", weights::seeds()),
        ("npz", arrays::seeds()),
        ("png", images::pngs()),
        ("idx", images::idx()),
        ("dataset", images::datasets()),
    ];
    for (target, seeds) in targets {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (name, bytes) in seeds {
            fs::write(folder.join(name), bytes)?;
        }
    }
    Ok(())
}
