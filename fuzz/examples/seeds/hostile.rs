//! Pickles that try to run code, or to exhaust memory or time.

use pickle::Dtype;
use pickle::writer::legacy_storage;

use crate::Seed;

/// Makes a pickle of protocol 4 of these opcodes.
pub fn program(opcodes: &[&[u8]]) -> Vec<u8> {
    [&b"\x80\x04"[..], &opcodes.concat(), b"."].concat()
}

fn global(module: &str, name: &str) -> Vec<u8> {
    format!("c{module}\n{name}\n").into_bytes()
}

pub fn seeds() -> Vec<Seed> {
    [code(), shapes(), tensors(), torn()].concat()
}

/// Calls of functions that run code.
fn code() -> Vec<Seed> {
    let system = program(&[&global("os", "system"), b"\x8c\x02id\x85R"]);
    let nested = [&[b'C', system.len() as u8], &system[..]].concat();
    let loader = [&global("torch.storage", "_load_from_bytes"), &nested[..], b"\x85R"].concat();
    vec![
        ("hostile-system", system),
        ("hostile-eval", program(&[b"\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R"])),
        ("hostile-getattr", program(&[b"\x8c\x08builtins\x8c\x07getattr\x93\x8c\x01a\x85R"])),
        ("hostile-inst", b"(S'id'\nios\nsystem\n.".to_vec()),
        ("hostile-obj", program(&[b"(", &global("os", "system"), b"\x8c\x02ido"])),
        ("hostile-extension", program(&[b"\x82\x01"])),
        ("hostile-loads", program(&[&global("pickle", "loads"), &nested, b"\x85R"])),
        ("hostile-nested", program(&[b"}\x8c\x01a", &loader, b"s"])),
        // Calls of returned values, and states set on values that are not objects.
        ("hostile-chain", program(&[&global("torch", "Size"), b")R)R)R"])),
        ("hostile-state", program(&[&global("torch", "Size"), b")R}b}b"])),
        ("hostile-name", program(&[&global("collections", "OrderedDict.__class__"), b")R"])),
    ]
}

/// Values nested deeply, in themselves, or by many references.
fn shapes() -> Vec<Seed> {
    let mut tree = b"\x80\x04}U\x01a]q\x00".to_vec();
    for level in 1..40u8 {
        tree.extend([b'0', b']', b'q', level, b'(', b'h', level - 1, b'h', level - 1, b'e']);
    }
    tree.extend(b"s.");
    let mut chain = b"\x80\x04}U\x01a]q\x01q\x00".to_vec();
    for _ in 0..450 {
        chain.extend(b"h\x00]q\x00a0");
    }
    chain.extend(b"h\x01s.");
    let module = global("torch.nn.modules.container", "ModuleDict");
    vec![
        ("hostile-list-in-itself", b"\x80\x04]q\x00h\x00a.".to_vec()),
        ("hostile-dict-in-itself", program(&[b"}q\x00U\x01ah\x00s"])),
        ("hostile-tuple-in-itself", b"\x80\x04]q\x00h\x00\x85a.".to_vec()),
        (
            "hostile-module-in-itself",
            program(&[&module, b")\x81q\x00}(U\x0b_parameters}U\x08_modules}U\x01mh\x00sub"]),
        ),
        ("hostile-tree", tree),
        ("hostile-chain-from-below", chain),
        ("hostile-deep", program(&[b")", &b"\x85".repeat(450)])),
        ("hostile-marks", program(&[&b"(".repeat(450)])),
        ("hostile-memo", program(&[b"Nr\xff\xff\x0f\0"])),
        ("hostile-memo-beyond", program(&[b"Nr\xff\xff\xff\xff"])),
        ("hostile-long", program(&[b"\x8b\xff\xff\xff\x7f", &[1; 20]])),
        ("hostile-text", program(&[b"\x8d", &[0xff; 8]])),
        ("hostile-frame", program(&[b"\x95", &[0xff; 8]])),
    ]
}

/// Tensors beyond their storages.
fn tensors() -> Vec<Seed> {
    let storage = legacy_storage(Dtype::F32, &[0; 32]).expect("complete values");
    let storage = [
        &global("torch.storage", "_load_from_bytes"),
        &[b'B', storage.len() as u8, 0, 0, 0][..],
        &storage[..],
        b"\x85R",
    ]
    .concat();
    // Offset, shape and strides as opcodes.
    let tensor = |view: &[u8]| {
        let class = global("torch._utils", "_rebuild_tensor_v2");
        program(&[b"}\x8c\x01a", &class, b"(", &storage, view, b"\x89}tRs"])
    };
    let short = program(&[
        b"}\x8c\x01a",
        &global("torch._utils", "_rebuild_tensor_v2"),
        b"((\x8c\x07storage",
        &global("torch", "ShortStorage"),
        b"\x8c\x010\x8c\x03cpuK\x20tQK\x00K\x02\x85K\x01\x85\x89}tRs",
    ]);
    vec![
        ("tensor-whole", tensor(b"K\x00K\x02K\x04\x86K\x04K\x01\x86")),
        ("tensor-overlapping", tensor(b"K\x00K\x02K\x03\x86K\x00K\x01\x86")),
        ("hostile-strides", tensor(b"K\x00K\x02K\x04\x86K\x05K\x01\x86")),
        ("hostile-overlap", tensor(b"K\x00M\xff\xffK\x02\x86K\x00K\x00\x86")),
        ("hostile-offset", tensor(b"K\x09K\x01\x85K\x01\x85")),
        ("hostile-negative", tensor(b"J\xff\xff\xff\xffK\x01\x85K\x01\x85")),
        (
            "hostile-product",
            tensor(
                b"K\x00\x8a\x08\0\0\0\0\0\0\0\x40\x8a\x08\0\0\0\0\0\0\0\x40K\x08\x87K\x01K\x01K\x01\x87",
            ),
        ),
        (
            "hostile-empty",
            tensor(
                b"K\x00K\x00\x8a\x08\0\0\0\0\0\0\0\x40\x8a\x08\0\0\0\0\0\0\0\x40\x87K\x01K\x01K\x01\x87",
            ),
        ),
        ("hostile-dtype", short),
    ]
}

/// Files cut short.
fn torn() -> Vec<Seed> {
    let storage = legacy_storage(Dtype::F32, &[0; 8]).expect("complete values");
    vec![
        ("torn-empty", Vec::new()),
        ("torn-storage", storage[..storage.len() - 1].to_vec()),
        ("torn-object", storage[..storage.len() / 2].to_vec()),
        ("torn-start", b"\x80".to_vec()),
    ]
}
