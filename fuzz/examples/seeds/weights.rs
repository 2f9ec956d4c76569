//! Safetensors files.

use models::{NetworkFile, Provenance, Role, TensorFile};

use crate::Seed;

/// Encodes a file with this header and data.
fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

/// Encodes a file of one tensor.
fn tensor(dtype: &str, shape: &str, bytes: usize) -> Vec<u8> {
    let header =
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{bytes}]}}}}"#);
    file(&header, &vec![1; bytes])
}

/// Encodes the smallest network with a part of its configuration replaced.
fn network(from: &str, to: &str) -> Vec<u8> {
    let config = fuzz::network_config();
    let params = config.init(1).expect("a small network");
    let provenance = Provenance { entries: [("licence".to_owned(), "none".to_owned())].into() };
    let network = NetworkFile { config, params, role: Role::Teacher, provenance };
    let bytes = network.to_bytes().expect("values in memory");
    let mut file = TensorFile::from_bytes("seed", &bytes).expect("we wrote it");
    let config = file.metadata.get_mut("config").expect("we wrote it");
    assert!(config.contains(from), "{config}");
    *config = config.replace(from, to);
    file.to_bytes().expect("values in memory")
}

pub fn seeds() -> Vec<Seed> {
    let deep = format!(r#"{{"__metadata__":{}{}}}"#, "[".repeat(300), "]".repeat(300));
    let whole = network("", "");
    let torn = whole[..whole.len() - 1].to_vec();
    vec![
        ("network", whole),
        ("torn", torn),
        ("f32", tensor("F32", "[2,2]", 16)),
        ("f64", tensor("F64", "[1]", 8)),
        ("f16", tensor("F16", "[2]", 4)),
        ("u8", tensor("U8", "[3]", 3)),
        ("u32", tensor("U32", "[1]", 4)),
        ("i64", tensor("I64", "[]", 8)),
        ("nan", file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#, &[0xff; 4])),
        (
            "metadata",
            file(r#"{"__metadata__":{"kind":"feature-network","architecture":"x"}}"#, &[]),
        ),
        ("hostile-dtype", tensor("I16", "[2]", 4)),
        ("hostile-shape", tensor("F32", "[3]", 16)),
        ("hostile-empty", tensor("F32", "[0,9223372036854775807,9223372036854775807]", 0)),
        ("hostile-product", tensor("F32", "[4294967296,4294967296]", 16)),
        (
            "hostile-offsets",
            file(r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[8,4]}}"#, &[0; 8]),
        ),
        ("hostile-length", [&u64::MAX.to_le_bytes()[..], b"{}"].concat()),
        ("hostile-deep", file(&deep, &[])),
        ("hostile-blocks", network(r#""num_blocks":1"#, r#""num_blocks":16384"#)),
        ("hostile-width", network(r#""model_channels":4"#, r#""model_channels":16384"#)),
        ("hostile-levels", network(r#""channel_mult":[1]"#, r#""channel_mult":[1,1,16384]"#)),
        ("hostile-resolution", network(r#""img_resolution":4"#, r#""img_resolution":0"#)),
        ("hostile-sigma", network(r#""sigma_data":0.5"#, r#""sigma_data":1e999"#)),
    ]
}
