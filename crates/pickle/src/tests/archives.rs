//! Zip files and legacy files of PyTorch.

use zip::CompressionMethod::{Deflated, Stored};

use super::files::{
    archive_bytes, archive_entries, legacy_bytes, open_bytes, refusal, script_bytes, tensors, zip,
};
use crate::writer::{Pickler, Protocol, StateDictWriter};
use crate::{Choice, FileBytes, Kind, Limits, PickleError, kind, open};

fn with_entries(entries: &[(String, Vec<u8>)], method: zip::CompressionMethod) -> Vec<u8> {
    let entries: Vec<(&str, &[u8])> =
        entries.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    zip(&entries, method)
}

/// Replaces every occurrence of `from` by `to`, of the same length.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = bytes.to_vec();
    let mut count = 0;
    for at in 0..=bytes.len() - from.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + from.len()].copy_from_slice(to);
            count += 1;
        }
    }
    assert_ne!(count, 0, "nothing to replace");
    bytes
}

#[test]
fn reads_state_dicts_of_zip_files() {
    let entries = archive_entries();
    let mut stream = StateDictWriter::streaming(Vec::new(), "x");
    for (name, tensor) in tensors() {
        stream.tensor(&name, tensor.dtype, &tensor.shape, &tensor.storage).unwrap();
    }
    for (bytes, is_stored) in [
        (archive_bytes(), true),
        (stream.finish().unwrap().into_inner(), true),
        (with_entries(&entries, Stored), true),
        (with_entries(&entries, Deflated), false),
    ] {
        let contents = open_bytes(bytes).unwrap();
        assert_eq!(contents.kind, Kind::Archive);
        let (dict, choice) = contents.state_dict(None).unwrap();
        assert_eq!((dict.path.as_str(), choice), ("", Choice::Only));
        assert_eq!(dict.tensors.len(), tensors().len());
        for (read, (name, written)) in dict.tensors.iter().zip(tensors()) {
            assert_eq!(read.name, name);
            assert_eq!((read.dtype(), read.shape()), (written.dtype, &*written.shape));
            assert_eq!(*read.bytes().unwrap(), *written.storage);
            assert_eq!(read.storage().range().is_some(), is_stored);
        }
    }
}

#[test]
fn storages_of_a_zip_file_are_aligned() {
    let contents = open_bytes(archive_bytes()).unwrap();
    for tensor in &contents.state_dicts[0].tensors {
        assert_eq!(tensor.storage().range().unwrap().start % 64, 0);
    }
}

#[test]
fn detects_kinds_from_content() {
    for (bytes, expected) in [
        (super::files::edm_bytes(), Kind::Pickle),
        (legacy_bytes(), Kind::Legacy),
        (archive_bytes(), Kind::Archive),
        (script_bytes(), Kind::Script),
    ] {
        let file = FileBytes::new("misleading.txt", bytes);
        assert_eq!(kind(&file, &Limits::default()).unwrap(), expected);
    }
}

#[test]
fn orders_storages_of_a_script_by_number() {
    let contents = open_bytes(script_bytes()).unwrap();
    let storages: Vec<_> = contents
        .storages
        .iter()
        .map(|it| (it.number, it.entry.as_str(), it.storage.content().unwrap().len()))
        .collect();
    assert_eq!(storages, [(2, "net/data/2", 4), (10, "net/data/10", 8)]);
}

/// A file with nested dictionaries; the given ones contain tensors.
fn nested(paths: &[&str]) -> Vec<u8> {
    let tensor = &tensors()[1].1;
    let mut pickler = Pickler::new(Protocol::Four);
    pickler.dict();
    pickler
        .entries(paths.len(), |pickler, index| {
            let (outer, inner) = paths[index].split_once('.').unwrap_or((paths[index], ""));
            pickler.text(outer);
            pickler.dict();
            let weight = |pickler: &mut Pickler| {
                pickler.entries(2, |pickler, index| {
                    pickler.text(["weight", "epoch"][index]);
                    if index == 1 {
                        pickler.int(7);
                        return Ok(());
                    }
                    tensor.write(pickler, |pickler| {
                        let bytes = crate::writer::legacy_storage(tensor.dtype, &tensor.storage)?;
                        pickler.call(("torch.storage", "_load_from_bytes"), 1, |pickler| {
                            pickler.bytes(&bytes);
                            Ok(())
                        })
                    })
                })
            };
            if inner.is_empty() {
                return weight(pickler);
            }
            pickler.entries(1, |pickler, _| {
                pickler.text(inner);
                pickler.dict();
                weight(pickler)
            })
        })
        .unwrap();
    pickler.finish()
}

#[test]
fn prefers_state_dicts_with_usual_names() {
    #[rustfmt::skip]
    let table: [(&[&str], &str, Choice); 5] = [
        // dictionaries with tensors            choice
        (&["weights"],                          "weights",        Choice::Only),
        (&["model", "ema"],                     "ema",            Choice::Preferred),
        (&["optimizer", "state_dict"],          "state_dict",     Choice::Preferred),
        (&["checkpoint.model", "other"],        "checkpoint.model", Choice::Preferred),
        (&["net", "a.ema"],                     "a.ema",          Choice::Preferred),
    ];
    for (paths, expected, choice) in table {
        let contents = open_bytes(nested(paths)).unwrap();
        let (dict, why) = contents.state_dict(None).unwrap();
        assert_eq!((dict.path.as_str(), why), (expected, choice), "{paths:?}");
        assert_eq!(dict.tensors[0].name, "weight");
        assert_eq!(dict.skipped, ["epoch"]);
        assert!(contents.values.is_empty(), "weights are not listed twice");
    }
    let contents = open_bytes(nested(&["a", "b"])).unwrap();
    assert_eq!(contents.state_dict(Some("b")).unwrap().0.path, "b");
    let message = contents.state_dict(None).unwrap_err().to_string();
    assert_eq!(message, "x: more than one state dict; name one of: `a`, `b`");
    let message = contents.state_dict(Some("c")).unwrap_err().to_string();
    assert_eq!(message, "x: no state dict `c`; name one of: `a`, `b`");
    let message = open_bytes(b"\x80\x04}.".to_vec()).unwrap().state_dict(None).unwrap_err();
    assert_eq!(message.to_string(), "x: no state dict in this file");
}

#[test]
fn rejects_big_endian_files() {
    let mut entries = archive_entries();
    entries.iter_mut().find(|(name, _)| name == "archive/byteorder").unwrap().1 = b"big".to_vec();
    let (error, message) = refusal(with_entries(&entries, Stored));
    assert!(matches!(error, PickleError::BigEndian { .. }), "{message}");
    assert_eq!(
        message,
        "x: archive/byteorder: byte 0: big-endian values; save it again on a little-endian machine"
    );
    entries.iter_mut().find(|(name, _)| name == "archive/byteorder").unwrap().1 = b"mid".to_vec();
    assert!(refusal(with_entries(&entries, Stored)).1.contains("neither `little` nor `big`"));

    // Memo numbers 1 and 2, then NEWTRUE.
    let bytes = replaced(&legacy_bytes(), b"little_endianq\x02\x88", b"little_endianq\x02\x89");
    let (error, message) = refusal(bytes);
    assert!(matches!(error, PickleError::BigEndian { .. }), "{message}");
}

#[test]
fn rejects_names_that_lead_out() {
    for name in ["/etc/passwd", "../../evil", "a/../../b", "C:/x", "a\\..\\b"] {
        let mut entries = archive_entries();
        entries.push((name.to_owned(), b"x".to_vec()));
        let (error, message) = refusal(with_entries(&entries, Stored));
        assert!(matches!(error, PickleError::Entry { .. }), "{name}: {message}");
        assert!(message.contains("the name leads out of its folder"), "{message}");
    }
}

#[test]
fn rejects_duplicate_entries() {
    let entries = archive_entries();
    let mut twice = entries.clone();
    twice.push(("archive/data/Z".to_owned(), vec![0; 12]));
    let bytes = replaced(&with_entries(&twice, Stored), b"archive/data/Z", b"archive/data/0");
    let (_, message) = refusal(bytes);
    assert!(message.contains("two entries have the same name"), "{message}");
}

#[test]
fn rejects_missing_and_resized_entries() {
    let entries = archive_entries();
    let mut short = entries.clone();
    short.iter_mut().find(|(name, _)| name == "archive/data/0").unwrap().1.pop();
    let (_, message) = refusal(with_entries(&short, Stored));
    assert!(message.contains("entry `data/0`: 47 bytes, but the object states 48"), "{message}");

    let missing: Vec<_> =
        entries.into_iter().filter(|(name, _)| name != "archive/data/0").collect();
    let (_, message) = refusal(with_entries(&missing, Stored));
    assert_eq!(message, "x: no entry `data/0`; fetch the file again");

    let (_, message) = refusal(zip(&[("a/readme.txt", b"x")], Stored));
    assert_eq!(message, "x: no `data.pkl` in this zip file; give a file of torch.save");
    let two: [(&str, &[u8]); 2] = [("a/data.pkl", b"\x80\x02}."), ("b/data.pkl", b"\x80\x02}.")];
    let (_, message) = refusal(zip(&two, Stored));
    assert_eq!(message, "x: 2 folders contain `data.pkl`; expected one");
}

/// A directory may list the same bytes many times; reading a file of a megabyte would then take
/// unbounded time.
#[test]
fn rejects_overlapping_entries() {
    let bytes = zip(&[("a/0.pkl", &[b'N'; 200])], Stored);
    let place = |magic: &[u8]| bytes.windows(4).position(|it| it == magic).unwrap();
    let (directory, end) = (place(b"PK\x01\x02"), place(b"PK\x05\x06"));
    let entry = |name: &[u8]| replaced(&bytes[directory..end], b"a/0", name);
    let directory_bytes = [entry(b"a/0"), entry(b"a/1"), entry(b"a/2")].concat();
    let mut last = bytes[end..].to_vec();
    (last[8], last[10], last[12]) = (3, 3, directory_bytes.len() as u8);
    let (_, message) = refusal([&bytes[..directory], &directory_bytes, &last].concat());
    assert_eq!(message, "x: byte 0: entry `a/2.pkl`: overlaps other entries; do not use this file");
}

/// 200 MB of zeros in 200 kB are rejected from the directory, before anything is inflated.
#[test]
fn rejects_zip_bombs() {
    let zeros = vec![0; 100 << 20];
    let entries: [(&str, &[u8]); 3] =
        [("a/data.pkl", b"\x80\x02}."), ("a/data/0", &zeros), ("a/data/1", &zeros)];
    let bytes = zip(&entries, Deflated);
    assert!(bytes.len() < 1 << 20);
    let (error, message) = refusal(bytes);
    assert!(matches!(error, PickleError::Limit { .. }), "{message}");
    assert!(message.contains("bytes inflated"), "{message}");
}

/// The directory states 48 bytes, but the entry inflates to more.
#[test]
fn rejects_entries_that_inflate_to_another_size() {
    let mut entries = archive_entries();
    let storage = entries.iter_mut().find(|(name, _)| name == "archive/data/0").unwrap();
    storage.1 = vec![0; 5003];
    let bytes = with_entries(&entries, Deflated);
    // Both headers state the inflated size in 4 bytes, which occur nowhere else.
    let bytes = replaced(&bytes, &5003u32.to_le_bytes(), &48u32.to_le_bytes());
    let contents = open_bytes(bytes).unwrap();
    let message = contents.state_dicts[0].tensors[0].bytes().unwrap_err().to_string();
    assert!(message.contains("entry `archive/data/0`: "), "{message}");
}

#[test]
fn detects_damage_in_a_deflated_entry() {
    let bytes = with_entries(&archive_entries(), Deflated);
    let whole = open_bytes(bytes.clone()).unwrap();
    let expected: Vec<_> =
        whole.state_dicts[0].tensors.iter().map(|it| it.bytes().unwrap().into_owned()).collect();
    let name = b"archive/data/1";
    let at = bytes.windows(name.len()).position(|it| it == name).unwrap() + name.len();
    let mut damaged = bytes;
    damaged[at + 3] ^= 0x10;
    let contents = open_bytes(damaged).unwrap();
    for (index, tensor) in contents.state_dicts[0].tensors.iter().enumerate() {
        match index {
            1 => assert!(tensor.bytes().unwrap_err().to_string().contains("damaged")),
            _ => assert_eq!(*tensor.bytes().unwrap(), *expected[index]),
        }
    }
}

#[test]
fn errors_name_file_entry_and_byte() {
    let mut entries = archive_entries();
    entries[0].1.clear();
    let object = entries.iter_mut().find(|(name, _)| name == "archive/data.pkl").unwrap();
    object.1 = b"\x80\x02cos\nsystem\n.".to_vec();
    let file = FileBytes::new("model.pt", with_entries(&entries, Stored));
    let message = open(&file, &Limits::default()).unwrap_err().to_string();
    assert_eq!(
        message,
        "model.pt: archive/data.pkl: byte 2: global `os.system` is refused; do not open this file \
         with Python"
    );
}

/// `torch.save` of a whole module wraps its class to detect changes of its source.
#[test]
fn unwraps_classes_of_legacy_modules() {
    let mut object = b"\x80\x02(U\x06moduleq\x00".to_vec();
    object.extend(super::files::global("torch.nn.modules.linear", "Linear"));
    object.extend(b"U\x01fU\x01stQ)\x81}(U\x0b_parameters}U\x08_modules}ub.");
    let whole = legacy_bytes();
    let is_object = |at: &usize| whole[*at..].starts_with(b"\x80\x02ccollections");
    let start = (0..whole.len()).find(is_object).unwrap();
    let bytes = [&whole[..start], &object, b"\x80\x02]."].concat();
    let contents = open_bytes(bytes).unwrap();
    assert_eq!(contents.networks[0].root().class_name, "torch.nn.modules.linear.Linear");
}

#[test]
fn rejects_legacy_storages_that_the_object_lacks() {
    let bytes = legacy_bytes();
    // The count of the first storage: 6 elements of 8 bytes.
    let at = bytes.len() - tensors().iter().map(|(_, it)| it.storage.len() + 8).sum::<usize>();
    let mut other = bytes.clone();
    other[at] = 7;
    let (_, message) = refusal(other);
    let expected = format!("x: byte {at}: storage of 7 elements, but the object states 48 bytes");
    assert!(message.starts_with(&expected), "{message}");
    let mut negative = bytes;
    negative[at..at + 8].fill(0xff);
    assert!(refusal(negative).1.contains("storage of -1 elements"));
}
