//! Gzip, tar and zip files are read, or without default features the error names the feature that reads
//! them, as `ci/outside/data` also checks.

use std::fmt::Debug;
use std::path::Path;

use uni_instruct_data::{Dataset, Error, Labels, edm_zip};

/// Checks for a result of the reader, or for an error that names the feature.
#[track_caller]
fn check<T: Debug>(result: Result<T, Error>, is_read: impl Fn(&Result<T, Error>) -> bool) {
    if is_read(&result) {
        return;
    }
    let error = result.unwrap_err();
    assert!(matches!(error, Error::Disabled { feature: "archives", .. }), "{error}");
    assert!(error.to_string().ends_with("build with the feature `archives`"), "{error}");
}

#[test]
fn gzip_is_read_or_named() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/fashion-mnist");
    let spec = format!("{}#test", folder.display());
    check(Dataset::open(spec.as_ref()), |it| it.as_ref().is_ok_and(|it| it.len() == 10_000));
}

#[test]
fn zip_is_read_and_written_or_named() {
    let empty = [&b"PK\x05\x06"[..], &[0; 18]].concat();
    check(edm_zip::from_bytes(&empty, "x.zip"), |it| matches!(it, Err(Error::Empty { .. })));
    let dataset = Dataset::new("x", [1, 1, 1], vec![7], Labels::None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.zip");
    check(edm_zip::write(&dataset, &path), |it| it.is_ok() && path.is_file());
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, usize::from(path.is_file()), "a partial file is left");
}

#[test]
fn tar_is_read_or_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.tar");
    let mut header = vec![0; 1024];
    header[257..262].copy_from_slice(b"ustar");
    std::fs::write(&path, header).unwrap();
    // The reader finds a header with a wrong checksum.
    check(Dataset::open(&path), |it| matches!(it, Err(Error::Unreadable { .. })));
}

#[test]
fn plain_files_need_no_feature() {
    let dataset = Dataset::new("x", [3, 2, 2], (0..24).collect(), Labels::None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    edm_zip::write(&dataset, &folder.path().join("set")).unwrap();
    assert_eq!(Dataset::open(&folder.path().join("set")).unwrap(), dataset);
}
