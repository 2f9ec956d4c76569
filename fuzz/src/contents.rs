//! Properties of an accepted pickle or PyTorch file.

use std::io::Cursor;

use models::import::Import;
use models::unet::config::SongConfig;
use models::{Architecture, NetworkConfig, NetworkFile};
use pickle::writer::{Pickler, Protocol, StateDictWriter, TensorSpec, legacy_state_dict};
use pickle::{Contents, Dtype, FileBytes, Kind, Limits, Plain, StoredTensor, kind, open, scan};

/// Largest number of bytes that are written again: more would test the same code, slowly.
const MAX_REWRITTEN: usize = 1 << 20;

/// Configuration of the smallest network, as which state dicts are imported.
pub fn network_config() -> NetworkConfig {
    let song = SongConfig {
        model_channels: 4,
        channel_mult: vec![1],
        channel_mult_emb: 1,
        num_blocks: 1,
        attn_resolutions: Vec::new(),
        ..SongConfig::default()
    };
    NetworkConfig::new(Architecture::Song(song), 4, 1)
}

/// Checks a file of any kind that [`open`] accepts.
pub fn check(bytes: Vec<u8>) {
    let file = FileBytes::new("input", bytes);
    // Instrumented, the default number of steps takes seconds.
    let limits = Limits { walk: 1 << 22, ..Limits::default() };
    let report = scan(&file, &limits);
    let Ok(contents) = open(&file, &limits) else { return };
    assert_eq!(kind(&file, &limits).expect("the file was opened"), contents.kind);
    assert!(!format!("{contents:?}").is_empty());
    let is_one_file = matches!(contents.kind, Kind::Pickle | Kind::Legacy);
    if is_one_file {
        let report = report.expect("an accepted file can be scanned");
        // Nested pickles are read only in place of a storage.
        let whole = if contents.kind == Kind::Pickle { 1 } else { 5 };
        assert!(report.pickles != whole || report.is_allowed(), "{report:?}");
    }

    let groups = contents
        .networks
        .iter()
        .map(|it| &it.tensors)
        .chain(contents.state_dicts.iter().map(|it| &it.tensors));
    let mut total = 0u64;
    for tensors in groups.clone() {
        total += tensors.iter().map(bytes_of).sum::<usize>() as u64;
    }
    assert!(total <= limits.expanded(file.bytes().len()), "{total} bytes of tensors");
    for tensors in groups {
        check_tensors(tensors);
    }
    for storage in contents.storages.iter().map(|it| &it.storage) {
        match storage.content() {
            Ok(content) => assert_eq!(content.len(), storage.len()),
            Err(_) => assert!(storage.range().is_none(), "a part of the file is missing"),
        }
    }
    plain_values(&contents).for_each(check_plain);
    check_imports(&contents);
}

/// Number of bytes of the shape.
fn bytes_of(tensor: &StoredTensor) -> usize {
    tensor.count() * tensor.dtype().bytes()
}

fn check_tensors(tensors: &[StoredTensor]) {
    let mut written = Vec::new();
    for tensor in tensors {
        let Ok(bytes) = tensor.bytes() else {
            assert!(tensor.storage().range().is_none(), "a part of the file is missing");
            return;
        };
        assert_eq!(bytes.len(), bytes_of(tensor), "{tensor:?}");
        if let Ok(values) = tensor.to_f32() {
            assert_eq!(values.len(), tensor.count(), "{tensor:?}");
        }
        if MAX_REWRITTEN < bytes.len() {
            return;
        }
        let spec = TensorSpec::new(tensor.dtype(), tensor.shape(), &*bytes);
        written.push((tensor.name.clone(), spec));
    }
    let total = written.iter().map(|(_, it)| it.storage.len()).sum::<usize>();
    if written.is_empty() || MAX_REWRITTEN < total {
        return;
    }
    let mut zip = StateDictWriter::new(Cursor::new(Vec::new()), "written");
    for (name, it) in &written {
        zip.tensor(name, it.dtype, &it.shape, &it.storage).expect("what was read can be written");
    }
    assert_same(&written, zip.finish().expect("a vector accepts all bytes").into_inner());
    assert_same(&written, legacy_state_dict(&written).expect("what was read can be written"));
}

/// Checks that the file holds these tensors and no others.
fn assert_same(written: &[(String, TensorSpec)], bytes: Vec<u8>) {
    let contents = open(&FileBytes::new("written", bytes), &raised()).expect("we wrote it");
    let [dict] = &contents.state_dicts[..] else { panic!("not one state dict: {contents:?}") };
    let read: Vec<_> = dict.tensors.iter().map(parts).collect();
    let expected = written
        .iter()
        .map(|(name, it)| (name.as_str(), it.dtype, it.shape.as_slice(), it.storage.to_vec()));
    assert_eq!(read, expected.collect::<Vec<_>>());
}

fn parts(tensor: &StoredTensor) -> (&str, Dtype, &[usize], Vec<u8>) {
    let bytes = tensor.bytes().expect("we stored it").into_owned();
    (&tensor.name, tensor.dtype(), tensor.shape(), bytes)
}

/// Limits for a wrapped value, which is a level deeper than a value read under the default limits.
fn raised() -> Limits {
    let usual = Limits::default();
    Limits { depth: 2 * usual.depth, walk: 4 * usual.walk, ..usual }
}

fn plain_values(contents: &Contents) -> impl Iterator<Item = &Plain> {
    let values = contents.values.iter().map(|(_, value)| value);
    let objects = contents.objects.iter().map(|it| &it.state);
    let modules = contents.networks.iter().flat_map(|it| &it.modules);
    let modules = modules.flat_map(|it| [&it.init_args, &it.init_kwargs, &it.attributes]);
    values.chain(objects).chain(modules)
}

fn check_plain(value: &Plain) {
    let text = value.to_string();
    if MAX_REWRITTEN < text.len() {
        return;
    }
    let mut pickler = Pickler::new(Protocol::Four);
    pickler.dict();
    let written = pickler.entries(1, |pickler, _| {
        pickler.text("value");
        pickler.plain(value)
    });
    // Only objects cannot be written.
    if written.is_err() {
        assert!(text.contains('<'), "{text}");
        return;
    }
    let bytes = pickler.finish();
    let contents = open(&FileBytes::new("written", bytes), &raised()).expect("we wrote it");
    let [(name, read)] = &contents.values[..] else { panic!("not one value: {contents:?}") };
    assert_eq!(name, "value");
    // Text is compared, because NaN is not equal to itself.
    assert_eq!(format!("{read:?}"), format!("{value:?}"));
}

fn check_imports(contents: &Contents) {
    let networks = contents.networks.iter().map(Import::of_network);
    let config = network_config();
    let dicts = contents.state_dicts.iter().map(|it| Import::of_state_dict(it, config.clone()));
    for import in networks.chain(dicts).flatten() {
        // Values that are not finite are rejected only here.
        let Ok(file) = import.to_file() else { continue };
        let bytes = file.to_bytes().expect("a network can be written");
        let read = NetworkFile::from_bytes("written", &bytes).expect("we wrote it");
        assert_eq!(read.config, file.config);
        assert!(read.to_bytes().expect("it was written before") == bytes, "other bytes");
    }
}
