//! Sources are tried one after the other, content is checked, and no partial file is left behind.
//!
//! The servers here are on this machine: the tests need no network.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::published::{File, Published};
use super::source::{Source, TABLE};
use super::{FetchProgress, fetch, names, obtain, package};
use crate::Error;

const TEXT: &[u8] = b"hello";
/// A published set of one file with the text `hello`.
const SET: Published = Published {
    name: "greeting",
    files: &[File {
        name: "hello.bin",
        size: 5,
        sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    }],
};

/// Starts a server that sends these answers one after the other; returns its address.
fn serve(answers: Vec<&'static str>) -> Source {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.map_while(Result::ok).take_while(|it| !it.is_empty()).for_each(drop);
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    Source::Files { base }
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";

fn folder_with(content: &[u8]) -> (tempfile::TempDir, Source) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hello.bin"), content).unwrap();
    let source = Source::Installed { folder: folder.path().to_owned() };
    (folder, source)
}

fn ignore(_: FetchProgress<'_>) {}

#[track_caller]
fn assert_holds_only_the_set(dir: &Path, folder: &Path) {
    assert_eq!(folder, dir.join("greeting"));
    assert_eq!(fs::read(folder.join("hello.bin")).unwrap(), TEXT);
    let names: Vec<_> = fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(names, ["greeting"]);
}

#[test]
fn downloads_and_reports_progress() {
    let dir = tempfile::tempdir().unwrap();
    let mut reports = Vec::new();
    let mut record = |it: FetchProgress<'_>| reports.push((it.bytes, it.total));
    let folder = obtain(&SET, &[serve(vec![GOOD])], dir.path(), &mut record).unwrap();
    assert_holds_only_the_set(dir.path(), &folder);
    assert_eq!(reports, [(0, None), (5, Some(5))]);
}

#[test]
fn tries_the_next_source_after_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    let (_wrong, wrong) = folder_with(b"hullo");
    let (_good, good) = folder_with(TEXT);
    let missing = Source::Installed { folder: PathBuf::from("no/such/folder") };
    let mut sources = vec![
        serve(vec!["HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"]),
        serve(vec!["HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhel"]),
        serve(vec!["HTTP/1.1 200 OK\r\nContent-Length: 99999\r\nConnection: close\r\n\r\n"]),
        serve(vec!["not HTTP at all\r\n\r\n"]),
        wrong,
        missing,
    ];
    let error = obtain(&SET, &sources, dir.path(), &mut ignore).unwrap_err();
    let Error::Fetch { name: "greeting", tried } = &error else { panic!("{error}") };
    let reasons: Vec<_> = tried.iter().map(|it| it.reason.as_str()).collect();
    for (reason, part) in
        reasons.iter().zip(["404", "truncated", "more than", "http", "SHA-256", "no/such"])
    {
        assert!(reason.contains(part), "{reason:?} without {part:?}");
    }
    assert_eq!(tried.len(), 6);
    assert!(error.to_string().contains("no/such/folder ("), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "something is left behind");

    sources.drain(..4);
    sources.push(good);
    let folder = obtain(&SET, &sources, dir.path(), &mut ignore).unwrap();
    assert_holds_only_the_set(dir.path(), &folder);
}

#[test]
fn checks_an_existing_folder_without_changing_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("greeting/hello.bin");
    fs::create_dir(dir.path().join("greeting")).unwrap();
    fs::write(&file, TEXT).unwrap();
    obtain(&SET, &[], dir.path(), &mut |_| panic!("a source was tried")).unwrap();
    fs::write(&file, b"other").unwrap();
    let (_good, good) = folder_with(TEXT);
    let error = obtain(&SET, &[good], dir.path(), &mut ignore).unwrap_err();
    assert!(matches!(error, Error::Digest { .. }), "{error}");
    assert!(error.to_string().contains("move it away and fetch it again"));
    assert_eq!(fs::read(&file).unwrap(), b"other");
}

#[test]
fn rejects_an_unknown_name_and_lists_the_table() {
    let error = fetch("mnist", Path::new("."), &mut ignore).unwrap_err().to_string();
    assert!(error.starts_with("\"mnist\" cannot be fetched; give one of "), "{error}");
    for name in names() {
        assert!(error.contains(name), "{error} without {name}");
    }
    // Every name in the list is one that the table has sources for.
    assert!(TABLE.iter().all(|(_, sources)| !sources().is_empty()));
}

#[test]
fn names_a_missing_or_failed_client_and_its_last_message() {
    let dir = tempfile::tempdir().unwrap();
    let run = |command| package::run(command, dir.path(), &mut |_, _| ()).unwrap_err();
    let error = run(Command::new("no-such-client")).to_string();
    assert!(error.starts_with("no-such-client failed: "), "{error}");
    let mut shell = Command::new("sh");
    shell.args(["-c", "echo first >&2; echo 'no such package' >&2; echo >&2; exit 3"]);
    let error = run(shell).to_string();
    assert_eq!(error, "sh failed: exit status: 3: no such package");
}

#[test]
fn unpacks_png_and_json_files_into_one_folder() {
    let dir = tempfile::tempdir().unwrap();
    let mut archive = tar::Builder::new(Vec::new());
    for name in ["package/a.png", "package/deep/b.json", "package/run.js"] {
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        header.set_cksum();
        archive.append_data(&mut header, name, &b"x"[..]).unwrap();
    }
    // A name that leaves the folder, which the builder would not write.
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..12].copy_from_slice(b"../../c.json");
    header.set_size(1);
    header.set_cksum();
    archive.append(&header, &b"x"[..]).unwrap();
    let path = dir.path().join("p.tgz");
    fs::write(&path, archive.into_inner().unwrap()).unwrap();

    let folder = dir.path().join("one/two");
    fs::create_dir_all(&folder).unwrap();
    package::unpack(&path, &folder).unwrap();
    let mut names: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.png", "b.json", "c.json"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);

    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..700]).unwrap();
    let error = package::unpack(&path, &folder).unwrap_err();
    assert!(matches!(error, Error::Unreadable { .. }), "{error}");
}
