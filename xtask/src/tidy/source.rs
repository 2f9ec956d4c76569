//! Rules on the text of one file.

use super::lexer::{self, is_word};

/// Maximum length of a Rust file, in lines.
const MAX_LINES: usize = 400;

/// Module names that do not describe the contents.
const VAGUE_NAMES: [&str; 6] = ["utils", "util", "helpers", "common", "types", "base"];

/// Top-level folders of one machine. A path in a committed file that begins with one exists nowhere
/// else.
const MACHINE_FOLDERS: [&str; 4] = ["home", "root", "tmp", "work"];

/// Macros of unfinished code and of debugging.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Macros that print and panic if the output is closed. Libraries emit events instead, and the
/// command line has separate macros.
const PRINTING: [&str; 4] = ["println", "eprintln", "print", "eprint"];

/// Programs that may print with them.
const PROGRAMS: [&str; 4] = ["xtask/", "benches/", "examples/", "ci/outside/"];

/// The only folder for kernels, `unsafe` and features.
const KERNELS: &str = "crates/kernels/src/";

/// Emulation of GPU drivers, which runs GPU kernels on the CPU. These separate packages print their
/// results and use raw memory and foreign functions.
pub const EMULATION: &str = "ci/gpu/";

/// A feature outside [`KERNELS`], and the files whose conditions may name it.
struct Feature {
    name: &'static str,
    files: &'static [&'static str],
}

/// All features outside [`KERNELS`]. A feature is decided in few files, never inside a function.
const FEATURES: [Feature; 3] = [
    // Without it `divergence` is pure `f64`.
    Feature { name: "tensor", files: &["crates/divergence/"] },
    // Without it each item of `archive/disabled.rs` is an error that names the feature.
    Feature { name: "archives", files: &["crates/data/src/archive/mod.rs"] },
    Feature { name: "fetch", files: &["crates/data/src/lib.rs"] },
];

/// The first line of a library whose documentation is its README.
const README: &str = "#![doc = include_str!(\"../README.md\")]";

/// Names of single methods, which the training loop must not mention.
const METHODS: [&str; 3] = ["sid", "sida", "dmd"];

/// Rules for every text file.
pub fn check_text(path: &str, text: &str, faults: &mut Vec<String>) {
    for (number, line) in numbered(text) {
        if let Some(folder) = MACHINE_FOLDERS.iter().find(|it| names_folder(line, it)) {
            faults.push(format!(
                "{path}:{number}: `/{folder}` is a path of one machine; use a relative path"
            ));
        }
        if line.contains(concat!("../", "shared")) {
            faults
                .push(format!("{path}:{number}: the path leads out of the repository; remove it"));
        }
        if line.ends_with([' ', '\t', '\r']) && !path.ends_with(".json") {
            faults.push(format!("{path}:{number}: blanks at the end of the line; remove them"));
        }
    }
    if !text.is_empty() && !text.ends_with('\n') && !path.ends_with(".json") {
        faults.push(format!("{path}: the final line break is missing"));
    }
}

/// Rules for Rust files.
pub fn check_rust(path: &str, text: &str, faults: &mut Vec<String>) {
    let lines = text.lines().count();
    if MAX_LINES < lines {
        faults.push(format!("{path}: {lines} lines, at most {MAX_LINES}; split the file"));
    }
    let has_readme =
        ["/lib.rs", "/main.rs"].iter().any(|it| path.ends_with(it)) && text.starts_with(README);
    if !text.starts_with("//!") && !has_readme {
        faults.push(format!("{path}: no module doc (`//!`) on line 1"));
    }
    let is_vague = |part: &str| VAGUE_NAMES.contains(&part.trim_end_matches(".rs"));
    if let Some(part) = path.split('/').find(|it| is_vague(it)) {
        faults.push(format!("{path}: `{part}` does not describe the contents; rename it"));
    }
    let views = lexer::views(text);
    for (number, line) in numbered(&views.bare) {
        check_code(path, number, line, faults);
    }
    check_features(path, &views, faults);
    if path.starts_with("crates/train/src/") && !is_test(path) {
        for (number, line) in numbered(&views.without_comments) {
            if let Some(word) = segments(line).find(|it| is_method(it)) {
                let advice = "the loop must not name a method; add a row to `divergence`";
                faults.push(format!("{path}:{number}: `{word}`: {advice}"));
            }
        }
    }
}

/// Rules for one line of code, with blanks in place of comments and literals.
fn check_code(path: &str, number: usize, line: &str, faults: &mut Vec<String>) {
    if let Some(name) = UNFINISHED.iter().find(|it| calls_macro(line, it)) {
        faults.push(format!("{path}:{number}: `{name}!`; finish or remove it"));
    }
    let prints = PRINTING.iter().find(|it| calls_macro(line, it));
    let is_program = PROGRAMS.iter().chain([&EMULATION]).any(|it| path.starts_with(it));
    let may_print = path.ends_with("/build.rs") || is_program;
    if let Some(name) = prints.filter(|_| !may_print) {
        faults.push(format!(
            "{path}:{number}: `{name}!` outside a program; emit an event or an error, in `cli` use `say!` or `note!`"
        ));
    }
    for attribute in ["ignore", "should_panic"] {
        let open = line.find("#[").is_some_and(|at| has_word(&line[at..], attribute));
        if open {
            faults.push(format!("{path}:{number}: `#[{attribute}]`; remove it"));
        }
    }
    if has_word(line, "unsafe") && ![KERNELS, EMULATION].iter().any(|it| path.starts_with(it)) {
        faults.push(format!("{path}:{number}: `unsafe` outside {KERNELS}; move it there"));
    }
}

/// Rejects conditions on features outside the kernels.
fn check_features(path: &str, views: &lexer::Views, faults: &mut Vec<String>) {
    if [KERNELS, EMULATION].iter().any(|it| path.starts_with(it)) {
        return;
    }
    let bytes = views.bare.as_bytes();
    for (at, _) in views.bare.match_indices("cfg") {
        let (Some(open), false) = (views.bare[at..].find('('), at > 0 && is_word(bytes[at - 1]))
        else {
            continue;
        };
        // Only `cfg(`, `cfg!(` and `cfg_attr(` count, no longer word.
        if !["cfg", "cfg!", "cfg_attr"].contains(&views.bare[at..at + open].trim_end()) {
            continue;
        }
        let end = at + open + closing(&bytes[at + open..]);
        let (inside, with_names) = (&views.bare[at..end], &views.without_comments[at..end]);
        let is_allowed = |it: &Feature| {
            it.files.iter().any(|file| path.starts_with(file))
                && with_names.contains(&format!("feature = \"{}\"", it.name))
        };
        if has_word(inside, "feature") && !FEATURES.iter().any(is_allowed) {
            let number = 1 + views.bare[..at].matches('\n').count();
            faults.push(format!(
                "{path}:{number}: a condition on a feature outside {KERNELS}; move it there"
            ));
        }
    }
}

/// Returns the offset after the parenthesis that closes the one at 0.
fn closing(bytes: &[u8]) -> usize {
    let mut depth = 0_usize;
    for (index, byte) in bytes.iter().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' if depth == 1 => return index + 1,
            b')' => depth -= 1,
            _ => (),
        }
    }
    bytes.len()
}

/// Returns lines with their numbers, from 1, without the line feed but with a carriage return.
fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split('\n').enumerate().map(|(index, line)| (index + 1, line))
}

/// Tests whether a line contains a path that begins with `/folder`.
fn names_folder(line: &str, folder: &str) -> bool {
    let path = format!("/{folder}");
    let continues = |byte: u8| is_word(byte) || b"./-~}".contains(&byte);
    line.match_indices(&path).any(|(at, _)| {
        let before = at.checked_sub(1).map(|it| line.as_bytes()[it]);
        let after = line.as_bytes().get(at + path.len());
        !before.is_some_and(continues) && !after.is_some_and(|&it| is_word(it) || it == b'-')
    })
}

/// Tests whether a line contains `word` as a whole word.
fn has_word(line: &str, word: &str) -> bool {
    let bytes = line.as_bytes();
    line.match_indices(word).any(|(at, _)| {
        let before = at.checked_sub(1).map(|it| bytes[it]);
        !before.is_some_and(is_word) && !bytes.get(at + word.len()).is_some_and(|&it| is_word(it))
    })
}

/// Tests whether a line calls the macro `name!`.
fn calls_macro(line: &str, name: &str) -> bool {
    let call = format!("{name}!");
    line.match_indices(&call).any(|(at, _)| at == 0 || !is_word(line.as_bytes()[at - 1]))
}

/// Tests whether a file is compiled for tests only.
pub fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("_tests.rs") || path.contains("/tests/")
}

/// Returns the words of a line's identifiers: `SidLoss2` and `sid_loss2` give `Sid`, `Loss2`, ...
fn segments(line: &str) -> impl Iterator<Item = &str> {
    line.split(|it: char| !it.is_alphanumeric()).flat_map(|word| {
        let humps = word.char_indices().filter(|(_, it)| it.is_uppercase()).map(|(at, _)| at);
        // Consecutive capitals form one segment.
        let before_is_upper =
            |at: usize| at > 0 && word[..at].chars().next_back().is_some_and(char::is_uppercase);
        let mut cuts: Vec<usize> = humps.filter(|&at| at > 0 && !before_is_upper(at)).collect();
        cuts.insert(0, 0);
        cuts.push(word.len());
        cuts.windows(2).map(|pair| &word[pair[0]..pair[1]]).collect::<Vec<_>>()
    })
}

/// Tests whether a segment names a single method, with or without a version.
fn is_method(segment: &str) -> bool {
    let name = segment.trim_end_matches(|it: char| it.is_ascii_digit()).to_lowercase();
    METHODS.contains(&name.as_str())
}

#[cfg(test)]
mod tests;
