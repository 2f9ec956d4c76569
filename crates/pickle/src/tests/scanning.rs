//! Listing of the names and sources that Python's loader would use.

use super::files::{
    archive_bytes, edm_bytes, edm_file, global, legacy_bytes, program, script_bytes,
};
use crate::{FileBytes, Limits, ScanReport, scan};

fn report(bytes: Vec<u8>) -> ScanReport {
    scan(&FileBytes::new("x", bytes), &Limits::default()).unwrap()
}

fn names(report: &ScanReport) -> Vec<(&str, usize, usize, bool)> {
    report.globals.iter().map(|it| (it.name.as_str(), it.imports, it.calls, it.allowed)).collect()
}

#[test]
fn lists_names_of_a_network_with_counts() {
    let report = report(edm_bytes());
    assert_eq!(
        names(&report),
        [
            ("collections.OrderedDict", 1, 28, true),
            ("torch.FloatStorage", 4, 0, true),
            ("torch.HalfStorage", 1, 0, true),
            ("torch._utils._rebuild_parameter", 1, 4, true),
            ("torch._utils._rebuild_tensor_v2", 1, 6, true),
            ("torch.nn.modules.container.ModuleDict", 1, 1, true),
            ("torch.storage._load_from_bytes", 1, 5, true),
            ("torch_utils.persistence._reconstruct_persistent_obj", 1, 6, true),
        ]
    );
    assert!(report.is_allowed() && report.runs_own_code());
    let source = edm_file().module_src;
    assert_eq!(report.sources.len(), 1);
    assert_eq!(report.sources[0].bytes, source.len());
    assert_eq!(report.sources[0].hash, blake3::hash(source.as_bytes()).to_hex().to_string());
    // The file, and five pickles for each storage.
    assert_eq!(report.pickles, 1 + 5 * 5);
}

#[test]
fn lists_forbidden_names_to_the_end() {
    let bytes = program(&[
        b"(ios\nsystem\n0(",
        &global("builtins", "eval"),
        b"N\x85R",
        &global("torch", "Size"),
        b"(",
        &global("builtins", "getattr"),
        b"No)R\x82\x07\x8c\x02nt\x8c\x06system\x93)R",
    ]);
    let report = report(bytes);
    assert_eq!(
        names(&report),
        [
            ("builtins.eval", 1, 1, false),
            ("builtins.getattr", 1, 1, false),
            ("copyreg.extension 7", 1, 0, false),
            ("nt.system", 1, 1, false),
            ("os.system", 1, 1, false),
            ("torch.Size", 1, 0, true),
        ]
    );
    assert!(!report.is_allowed() && report.stopped.is_empty());
    assert_eq!(report.globals[4].first, ("x".to_owned(), 3));
}

#[test]
fn lists_nested_pickles() {
    let evil = program(&[&global("os", "system"), b"\x8c\x02id\x85R"]);
    let bytes = [b'C', evil.len() as u8];
    let outer = program(&[&global("pickle", "loads"), &bytes, &evil, b"\x85R"]);
    let report = report(outer);
    assert_eq!(names(&report), [("os.system", 1, 1, false), ("pickle.loads", 1, 1, false)]);
    assert_eq!(report.pickles, 2);
}

#[test]
fn lists_a_damaged_file_up_to_the_damage() {
    let mut bytes = program(&[&global("os", "system"), b"N"]);
    bytes.pop();
    let report = report(bytes);
    assert_eq!(names(&report), [("os.system", 1, 0, false)]);
    assert!(report.stopped[0].to_string().contains("byte 14: cut short"));
    assert!(!report.is_allowed());
}

#[test]
fn lists_files_of_pytorch() {
    for bytes in [legacy_bytes(), archive_bytes()] {
        let report = report(bytes);
        assert!(report.is_allowed() && !report.runs_own_code());
        assert_eq!(report.globals.len(), 10, "OrderedDict, the tensor's, eight storages");
    }
    let report = report(script_bytes());
    assert_eq!(report.script_files, 1);
    assert!(report.runs_own_code() && !report.is_allowed());
    assert_eq!(report.globals[0].first, ("x: net/data.pkl".to_owned(), 2));
}
