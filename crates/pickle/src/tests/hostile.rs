//! Files made to run code, or to exhaust memory or time. All are rejected quickly.

use std::time::{Duration, Instant};

use super::files::{edm_file, global, open_bytes, program, refusal};
use super::round_trip::read;
use crate::machine::parse;
use crate::writer::{Pickler, Protocol, write_edm};
use crate::{FileBytes, Limits, PickleError, open, scan};

/// Fails if `run` takes long.
#[track_caller]
fn soon<T>(run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    let took = start.elapsed();
    assert!(took < Duration::from_secs(10), "took {took:?}");
    result
}

#[track_caller]
fn assert_limit(bytes: Vec<u8>, what: &str) {
    let (error, message) = soon(|| refusal(bytes));
    assert!(matches!(error, PickleError::Limit { .. }), "{message}");
    assert!(message.contains(what), "{message}");
}

#[test]
fn rejects_code_without_running_it() {
    let marker = tempfile::tempdir().unwrap();
    let touch = format!("touch {}/ran", marker.path().display());
    let text = |text: &str| [&[0x8c, text.len() as u8][..], text.as_bytes()].concat();
    let stack_global =
        |module: &str, name: &str| [text(module), text(name), b"\x93".to_vec()].concat();
    #[rustfmt::skip]
    let table = [
        (program(&[&global("os", "system"), &text(&touch), b"\x85R"]),                        "os.system", 2),
        (program(&[&global("posix", "system"), &text(&touch), b"\x85R"]),                     "posix.system", 2),
        (program(&[&stack_global("builtins", "eval"), &text("1"), b"\x85R"]),                 "builtins.eval", 18),
        (program(&[&stack_global("builtins", "getattr"), &text("1"), b"\x85R"]),              "builtins.getattr", 21),
        (program(&[&stack_global("builtins", "exec"), &text(&touch), b"\x85R"]),              "builtins.exec", 18),
        (program(&[&global("subprocess", "Popen"), b"]", &text("sh"), b"a\x85R"]),            "subprocess.Popen", 2),
        (program(&[&global("torch", "load"), &text("x"), b"\x85R"]),                          "torch.load", 2),
        (program(&[&stack_global("torch", "serialization.load"), b")R"]),                     "torch.serialization.load", 29),
        (program(&[&global("numpy.f2py.crackfortran", "getlincoef"), b")R"]),                 "numpy.f2py.crackfortran.getlincoef", 2),
        (program(&[&global("collections", "OrderedDict.__class__"), b")R"]),                  "collections.OrderedDict.__class__", 2),
        // A call of the result of a harmless call.
        (program(&[&global("torch", "Size"), b")R}b", &global("nt", "system"), b")R"]),       "nt.system", 18),
        (program(&[b"}", &text("ema"), &global("a\x1b[31m", "b"), b"s"]),                     "a\\u{1b}[31m.b", 8),
    ];
    for (bytes, name, at) in table {
        let (error, message) = refusal(bytes);
        assert!(matches!(error, PickleError::Global { .. }), "{message}");
        assert_eq!(
            message,
            format!("x: byte {at}: global `{name}` is refused; do not open this file with Python")
        );
    }
    assert_eq!(std::fs::read_dir(marker.path()).unwrap().count(), 0, "something was run");
}

#[test]
fn rejects_calls_of_calls() {
    let (_, message) = refusal(program(&[&global("torch", "Size"), b")R)R"]));
    assert!(message.contains("a call of a value that is not a name"), "{message}");
}

/// A nested storage is read by the same rules as its file.
#[test]
fn rejects_code_inside_a_storage() {
    let evil = program(&[&global("os", "system"), b"\x8c\x02id\x85R"]);
    let loaded = [&[b'C', evil.len() as u8], &evil[..]].concat();
    let tensor = program(&[
        b"}\x8c\x01a",
        &global("torch._utils", "_rebuild_tensor_v2"),
        b"(",
        &global("torch.storage", "_load_from_bytes"),
        &loaded,
        b"\x85RK\x00))\x89}tRs",
    ]);
    let at = tensor.windows(3).position(|it| it == b"cos").unwrap();
    let (error, message) = refusal(tensor);
    assert!(matches!(error, PickleError::Global { .. }), "{message}");
    assert!(message.starts_with(&format!("x: byte {at}: global `os.system`")), "{message}");
}

#[test]
fn rejects_and_drops_deep_nesting() {
    // Tuples in tuples, lists in lists, open marks.
    assert_limit(program(&[b")", &b"\x85".repeat(1_000_000)]), "levels of nesting");
    assert_limit(
        program(&[b"]", &b"]".repeat(300), &b"a".repeat(300), &b"(".repeat(500)]),
        "open marks",
    );
    assert_limit(program(&[&b"]".repeat(1_000_000), &b"a".repeat(999_999)]), "levels of nesting");
    assert_limit(program(&[&b"(".repeat(1_000_000)]), "open marks");
}

/// Each list is put into the next while it is empty, so the interpreter measures no depth.
#[test]
fn conversion_rejects_depth_that_grows_from_below() {
    let mut chain = b"\x80\x04]q\x00".to_vec();
    for _ in 0..2000 {
        // A new list is appended to the last one of the chain and replaces it in the memo.
        chain.extend(b"h\x00]q\x00a0");
    }
    // The first list is no longer on the stack; memo entry 1 holds the chain.
    let mut rooted = b"\x80\x04]q\x01q\x00".to_vec();
    rooted.extend(&chain[5..]);
    rooted.extend(b"h\x01.");
    let limits = Limits::default();
    let document = parse("x", &rooted, 0..rooted.len(), &limits).unwrap();
    drop(document);
    let error = read(&rooted).unwrap_err().to_string();
    assert!(error.contains("levels of nesting (or a cycle)"), "{error}");
}

#[test]
fn cycles_are_harmless() {
    // A list in itself, a dictionary in itself, a tuple in a list in the tuple.
    for bytes in
        [&b"\x80\x04]q\x00h\x00a."[..], b"\x80\x04}q\x00K\x01h\x00s.", b"\x80\x04]q\x00h\x00\x85a."]
    {
        let limits = Limits::default();
        let document = parse("x", bytes, 0..bytes.len(), &limits).unwrap();
        assert!(!format!("{document:?}").is_empty());
        let error = soon(|| read(bytes)).unwrap_err();
        assert!(matches!(error, PickleError::Limit { .. }), "{error}");
    }
    // In the outermost dictionary, where state dicts and networks are searched.
    let bytes = program(&[b"}q\x00U\x01ah\x00s"]);
    let (error, _) = soon(|| refusal(bytes));
    assert!(matches!(error, PickleError::Limit { .. }), "{error}");
}

#[test]
fn rejects_a_module_inside_itself() {
    // An object of `ModuleDict` whose modules hold the object.
    let bytes = program(&[
        &global("torch.nn.modules.container", "ModuleDict"),
        b")\x81q\x00}(U\x0b_parameters}U\x08_modules}U\x01mh\x00sub",
    ]);
    assert_limit(bytes, "modules inside each other (or a cycle)");
}

/// 60 lists, each of two references to the one before: 2⁶⁰ leaves in 500 bytes.
#[test]
fn references_do_not_multiply() {
    let mut bytes = b"\x80\x04}U\x01a]q\x00".to_vec();
    for level in 1..60u8 {
        bytes.extend([b'0', b']', b'q', level, b'(', b'h', level - 1, b'h', level - 1, b'e']);
    }
    bytes.extend(b"s.");
    assert_limit(bytes, "steps of interpretation");

    // The same for modules.
    let mut bytes = b"\x80\x04".to_vec();
    bytes.extend(global("torch.nn.modules.container", "ModuleDict"));
    bytes.extend(b"q\xff0");
    for level in 0..60u8 {
        bytes.extend(b"h\xff)\x81q");
        bytes.push(level);
        bytes.extend(b"}(U\x0b_parameters}U\x08_modules}");
        for name in [b'a', b'b'].into_iter().filter(|_| level != 0) {
            bytes.extend([b'U', 1, name, b'h', level - 1, b's']);
        }
        bytes.extend(b"ub");
    }
    bytes.push(b'.');
    assert_limit(bytes, "steps of interpretation");
}

/// One large dictionary is the state of many objects, and is searched for each.
#[test]
fn searches_do_not_multiply() {
    let mut bytes = b"\x80\x04}q\x00(".to_vec();
    for key in 0..60_000u32 {
        bytes.push(b'J');
        bytes.extend(key.to_le_bytes());
        bytes.push(b'N');
    }
    bytes.extend(b"u0}(");
    bytes.extend(global("torch.nn.modules.linear", "Linear"));
    bytes.extend(b"q\x010");
    for key in 0..60_000u32 {
        bytes.extend(format!("X\x06\0\0\0{key:06}").bytes());
        bytes.extend(b"h\x01)\x81h\x00b");
    }
    bytes.extend(b"u.");
    assert_limit(bytes, "steps of interpretation");
}

#[test]
fn sizes_beyond_the_file_allocate_nothing() {
    let huge = [0xff; 8];
    for opcode in [0x8du8, 0x8e, 0x96] {
        let (error, message) = refusal(program(&[&[opcode], &huge]));
        assert!(matches!(error, PickleError::Truncated { .. }), "{message}");
    }
    let (_, message) = refusal(program(&[b"\x8b\xff\xff\xff\x7f", &[1; 100]]));
    assert!(message.contains("an integer of 2147483647 bytes, at most 16"), "{message}");
    let (_, message) = refusal(program(&[b"\x8b\xff\xff\xff\xff", &[1; 100]]));
    assert!(message.contains("an integer of 4294967295 bytes, at most 16"), "{message}");
    let (_, message) = refusal(program(&[b"L", &b"9".repeat(1_000_000), b"L\n"]));
    assert!(message.contains("text that is not an integer"), "{message}");
}

#[test]
fn a_huge_memo_index_allocates_nothing() {
    for index in [1u32 << 20, 1 << 31, u32::MAX] {
        assert_limit(program(&[b"Nr", &index.to_le_bytes()]), "memo entries");
    }
    assert_limit(program(&[b"Np2147483648\n"]), "memo entries");
    let (_, message) = refusal(program(&[b"Np99999999999999999999999\n"]));
    assert!(message.contains("a memo index that is not a number"), "{message}");
}

#[test]
fn opcodes_and_bytes_are_bounded() {
    let limits = Limits { opcodes: 1000, ..Limits::default() };
    let file = FileBytes::new("x", program(&[&b"N0".repeat(1000)]));
    let message = open(&file, &limits).unwrap_err().to_string();
    assert_eq!(
        message,
        "x: byte 1001: more than 1000 opcodes; if you trust the file, raise the limit"
    );
    // Each byte of the file makes a value of tens of bytes.
    assert_limit(program(&[&b"]".repeat(8_000_000)]), "bytes of values");
    let (error, _) = soon(|| refusal(program(&[&b"N0".repeat(8_000_000)])));
    assert!(matches!(error, PickleError::Limit { .. }), "{error}");
}

/// Ten thousand objects have the same source of 32 megabytes.
#[test]
fn one_source_of_many_objects_is_hashed_once() {
    let text = |text: &[u8]| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text].concat();
    let mut bytes = b"\x80\x04".to_vec();
    bytes.extend(global("torch_utils.persistence", "_reconstruct_persistent_obj"));
    bytes.extend(b"q\x000");
    bytes.extend(text(&[b's'; 32 << 20]));
    bytes.extend(b"q\x010}(");
    for key in 0..10_000 {
        bytes.extend(text(format!("object{key}").as_bytes()));
        bytes.extend(b"h\x00}(U\x04typeU\x05classU\x0aclass_nameU\x01AU\x0amodule_srch\x01");
        bytes.extend(b"U\x05state}u\x85R");
    }
    bytes.extend(b"u.");
    let contents = soon(|| open_bytes(bytes.clone())).unwrap();
    assert_eq!(contents.objects.len(), 10_000);
    let file = FileBytes::new("x", bytes);
    assert_eq!(soon(|| scan(&file, &Limits::default())).unwrap().sources.len(), 1);
}

/// A name of a megabyte is the name of each of ten thousand modules in a chain.
#[test]
fn names_do_not_multiply() {
    let mut bytes = b"\x80\x04".to_vec();
    bytes.extend(global("torch.nn.modules.container", "ModuleDict"));
    bytes.extend(b"q\x000X\0\0\x10\0");
    bytes.extend(vec![b'n'; 1 << 20]);
    bytes.extend(b"q\x020");
    for _ in 0..70 {
        bytes.extend(b"h\x00)\x81}(U\x0b_parameters}U\x08_modules}h\x02");
    }
    bytes.extend(b"h\x00)\x81}(U\x0b_parameters}U\x08_modules}ub");
    bytes.extend(b"sub".repeat(70));
    bytes.push(b'.');
    assert_limit(bytes, "steps of interpretation");
}

/// The same name is an attribute of ten thousand modules that share their state.
#[test]
fn names_of_values_do_not_multiply() {
    let mut bytes = b"\x80\x04".to_vec();
    bytes.extend(global("torch.nn.modules.container", "ModuleDict"));
    bytes.extend(b"q\x000}(U\x0b_parameters}U\x08_modules}X\0\0\x10\0");
    bytes.extend(vec![b'n'; 1 << 20]);
    bytes.extend(b"Nuq\x010h\x00)\x81}(U\x0b_parameters}U\x08_modules}(");
    for module in 0..10_000 {
        bytes.extend(format!("U\x05{module:05}h").bytes());
        bytes.extend(b"\x00)\x81h\x01b");
    }
    bytes.extend(b"uub.");
    assert_limit(bytes, "steps of interpretation");
}

#[test]
fn rejects_long_keys_of_storages() {
    let key = [&b"X\xe8\x03\0\0"[..], &[b'k'; 1000]].concat();
    let storage =
        [b"(U\x07storage", &global("torch", "FloatStorage")[..], &key, b"U\x03cpuK\x01tQ"];
    let tensor = program(&[
        b"}U\x01a",
        &global("torch._utils", "_rebuild_tensor_v2"),
        b"(",
        &storage.concat(),
        b"K\x00))\x89}tRs",
    ]);
    let (_, message) = refusal(tensor);
    assert!(message.contains("a storage whose key is longer than any of PyTorch's"), "{message}");
}

#[test]
fn messages_quote_little_of_a_file() {
    let name = "n".repeat(1_000_000);
    let (_, message) = refusal(program(&[&global("os", &name)]));
    assert!(message.len() < 300, "{} bytes", message.len());
}

#[test]
fn rejects_a_tensor_named_twice() {
    let mut file = edm_file();
    let weight = file.networks[0].1.modules[0].1.modules[0].1.parameters[0].clone();
    file.networks[0].1.parameters = vec![weight.clone(), weight];
    let (_, message) = refusal(write_edm(&file).unwrap());
    assert!(message.contains("tensor `weight`: named twice"), "{message}");
}

#[test]
fn views_of_one_storage_do_not_multiply() {
    let mut pickler = Pickler::new(Protocol::Four);
    let tensor = crate::writer::TensorSpec::new(crate::Dtype::U8, &[1 << 20], vec![0; 1 << 20]);
    let mut storage = None;
    pickler.dict();
    pickler
        .entries(2000, |pickler, index| {
            pickler.text(&index.to_string());
            tensor.write(pickler, |pickler| {
                if let Some(index) = storage {
                    pickler.get(index);
                    return Ok(());
                }
                let bytes = crate::writer::legacy_storage(tensor.dtype, &tensor.storage)?;
                pickler.call(("torch.storage", "_load_from_bytes"), 1, |pickler| {
                    pickler.bytes(&bytes);
                    Ok(())
                })?;
                storage = Some(pickler.last());
                Ok(())
            })
        })
        .unwrap();
    assert_limit(pickler.finish(), "bytes of tensors");
}

#[test]
fn names_other_kinds_of_files() {
    #[rustfmt::skip]
    let table: [(&[u8], &str); 6] = [
        (b"",                                   "an empty file"),
        (b"<!DOCTYPE html>",                    "a web page, not the file it links to"),
        (b"\x08\0\0\0\0\0\0\0{\"a\":{}}",       "a safetensors file"),
        (b"\x89HDF\r\n\x1a\n",                  "an HDF5 file"),
        (b"\x80\x09N.",                         "neither a pickle nor a zip file"),
        (b"hello",                              "neither a pickle nor a zip file"),
    ];
    for (bytes, found) in table {
        let (_, message) = refusal(bytes.to_vec());
        let expected =
            format!("x: byte 0: {found}; give a pickle or PyTorch file (.pkl, .pt, .pth)");
        assert_eq!(message, expected);
    }
    assert!(open_bytes(b"\x80\x04N.".to_vec()).unwrap().networks.is_empty());
}
