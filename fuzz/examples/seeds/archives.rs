//! PyTorch's zip files: state dicts, programs, and archives with unsafe or oversized content.

use std::io::{Cursor, Write};

use pickle::writer::{StateDictWriter, TensorSpec};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::Seed;
use crate::hostile::program;
use crate::pickles::{tensors, weights};

/// Writes a zip file of these entries.
pub fn zip(entries: &[(&str, &[u8])], method: CompressionMethod) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    for (name, bytes) in entries {
        writer.start_file(*name, options).expect("a new name");
        writer.write_all(bytes).expect("a vector accepts all bytes");
    }
    writer.finish().expect("a vector accepts all bytes").into_inner()
}

fn state_dict(tensors: Vec<(String, TensorSpec)>) -> Vec<u8> {
    let mut writer = StateDictWriter::new(Cursor::new(Vec::new()), "seed");
    for (name, it) in tensors {
        writer.tensor(&name, it.dtype, &it.shape, &it.storage).expect("whole tensors");
    }
    writer.finish().expect("a vector accepts all bytes").into_inner()
}

/// Replaces all occurrences of `from` by `to`, which has the same length.
pub fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    for at in 0..(bytes.len() + 1).saturating_sub(from.len()) {
        if bytes[at..].starts_with(from) {
            bytes[at..at + to.len()].copy_from_slice(to);
        }
    }
    bytes
}

pub fn seeds() -> Vec<Seed> {
    use CompressionMethod::{Deflated, Stored};
    let two = [1f32, 2.0].map(f32::to_le_bytes).concat();
    let object: (&str, &[u8]) = ("a/data.pkl", b"\x80\x02}.");
    let script: [(&str, &[u8]); 5] = [
        ("net/data.pkl", b"\x80\x02c__torch__.Net\nNet\n."),
        ("net/code/__torch__.py", b"class Net(Module):\n"),
        ("net/constants.pkl", b"\x80\x02)."),
        ("net/data/10", &two),
        ("net/data/2", &two[..4]),
    ];
    let storage = |class: &str, numbers: u8| {
        let class = format!("ctorch\n{class}\n");
        let id = [b"(U\x07storage", class.as_bytes(), b"U\x010U\x03cpuK", &[numbers], b"tQ"];
        let tensor = b"}U\x01actorch._utils\n_rebuild_tensor_v2\n(";
        program(&[tensor, &id.concat(), b"K\x00K\x02\x85K\x01\x85\x89}tRs"])
    };
    let float = storage("FloatStorage", 2);
    let with_data = |object: &[u8], data: &[u8], method| {
        zip(&[("a/data.pkl", object), ("a/byteorder", b"little"), ("a/data/0", data)], method)
    };
    let zeros = vec![0; 1 << 20];
    let whole = state_dict(tensors());
    let mut torn = whole.clone();
    torn.truncate(whole.len() - 30);
    let system = program(&[b"cos\nsystem\n\x8c\x02id\x85R"]);
    let named = |name: &str| zip(&[object, (name, b"x")], Stored);
    vec![
        ("state-dict", whole),
        ("network", state_dict(weights(&fuzz::network_config(), None))),
        ("network-nan", state_dict(weights(&fuzz::network_config(), Some(f32::NAN)))),
        ("script", zip(&script, Stored)),
        ("script-deflated", zip(&script, Deflated)),
        ("stored", with_data(&float, &two, Stored)),
        ("deflated", with_data(&float, &two, Deflated)),
        ("untyped", with_data(&storage("UntypedStorage", 8), &two, Stored)),
        ("big-endian", zip(&[object, ("a/byteorder", b"big")], Stored)),
        ("hostile-system", zip(&[("a/data.pkl", &system)], Stored)),
        ("hostile-dtype", with_data(&storage("ShortStorage", 4), &two, Stored)),
        ("hostile-length", with_data(&float, &two[..7], Stored)),
        // A megabyte of zeros in a kilobyte.
        ("hostile-bomb", with_data(&float, &zeros, Deflated)),
        ("hostile-bomb-object", zip(&[("a/data.pkl", &zeros)], Deflated)),
        ("hostile-up", named("a/../../x")),
        ("hostile-absolute", named("/etc/x")),
        ("hostile-drive", named("c:x")),
        ("hostile-twice", replaced(named("b/data.pkl"), b"b/data", b"a/data")),
        ("hostile-two-objects", named("b/data.pkl")),
        ("hostile-overlap", overlapping("a/0.pkl", &[&system[..], &[0; 600]].concat())),
        ("torn", torn),
        ("torn-empty", zip(&[], Stored)),
    ]
}

/// Writes a zip file of one entry that its directory lists under nine names: `name` with `0` to
/// `8`.
pub fn overlapping(name: &str, content: &[u8]) -> Vec<u8> {
    const ENTRIES: u8 = 9;
    let one = zip(&[(name, content)], CompressionMethod::Stored);
    let place = |magic: &[u8]| one.windows(4).rposition(|it| it == magic).expect("a zip file");
    let (directory, end) = (place(b"PK\x01\x02"), place(b"PK\x05\x06"));
    let mut bytes = one[..directory].to_vec();
    for number in 0..ENTRIES {
        let new = name.replace('0', &number.to_string());
        bytes.extend(replaced(one[directory..end].to_vec(), name.as_bytes(), new.as_bytes()));
    }
    let mut last = one[end..].to_vec();
    (last[8], last[10]) = (ENTRIES, ENTRIES);
    let length = u32::from(ENTRIES) * (end - directory) as u32;
    last[12..16].copy_from_slice(&length.to_le_bytes());
    bytes.extend(last);
    bytes
}
