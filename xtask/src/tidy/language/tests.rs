//! Texts and their expected findings.

use super::*;

const PHRASES: &str = "\
    [[banned]]\nphrases = [\"told\", \"told apart\"]\ninstead = \"distinguished\"\n\
    [[banned]]\nphrases = [\"world\"]\ninstead = \"toy problem\"\nexcept = [\"real-world\"]\n\
    [[banned]]\nphrases = [\"figure\"]\ninstead = \"metric\"\nexcept = [\"figure #\"]\n";

/// Checks a file and compares the lines and messages of the findings.
#[track_caller]
fn check(path: &str, text: &str, expected: &[(usize, &str)]) {
    let file = File { path: path.into(), text: text.into() };
    let found = findings(&file, &phrases::parse(PHRASES).unwrap());
    let said: Vec<_> = found.iter().map(|it| (it.line, it.message.as_str())).collect();
    assert_eq!(said.len(), expected.len(), "{said:?}");
    for ((line, message), (expected_line, part)) in said.iter().zip(expected) {
        assert!(line == expected_line && message.contains(part), "{line}: {message} lacks {part}");
    }
}

const RUST: &str = "crates/data/src/idx.rs";
const PAGE: &str = "docs/a.md";

#[test]
fn rejects_doc_comments_that_open_with_a_question() {
    for word in ["What", "Whether", "Where", "Who", "How", "Which"] {
        let fault: (usize, &str) = (1, &format!("begins with `{word}`; open with"));
        check(RUST, &format!("/// {word} it is.\n"), &[fault]);
        check(RUST, &format!("//! {word} it is.\n"), &[fault]);
        check(RUST, &format!("/** {word} it is. */"), &[fault]);
        check(RUST, &format!("#[doc = \"{word} it is.\"]\nfn a() {{}}"), &[fault]);
        check(RUST, &format!("/// **{word}** it is.\n"), &[fault]);
        check(RUST, &format!("// {word} it is.\n//// {word}\n/* {word} */\n/*** {word} */"), &[]);
        check(RUST, &format!("/// {word}ever it is, `{word}`.\n"), &[]);
    }
    check(RUST, "/// `What` is a type.\n/// Kind.", &[]);
}

#[test]
fn checks_only_first_line_of_doc_comment() {
    check(RUST, "/// Kind.\n///\n/// What it is.\n", &[]);
    check(RUST, "///\n/// What it is.\n", &[(2, "`What`")]);
    check(RUST, "/** Kind.\n * What it is. */", &[]);
    check(RUST, "/**\n * What it is. */", &[(2, "`What`")]);
    check(RUST, "/// Kind.\na: u8,\n/// How.\nb: u8,", &[(3, "`How`")]);
    check(RUST, "/// Kind.\n\n/// How.\nb: u8,", &[(3, "`How`")]);
    check(RUST, "//! Module.\n/// How.\nb: u8,", &[(2, "`How`")]);
    check(RUST, "const A: &str = \"/// What it is.\";", &[]);
}

#[test]
fn finds_phrases_as_whole_words_in_any_case() {
    check(PAGE, "They are Told\nall.", &[(1, "`Told`; instead: distinguished")]);
    check(PAGE, "untold, retold_, toldest\n", &[]);
    check(PAGE, "a (told) b", &[(1, "`told`")]);
    check(PAGE, "# World\n\n| world | a |\n", &[(1, "`World`"), (3, "`world`")]);
    check("crates/a/README.md", "- told\n", &[(1, "`told`")]);
    check("a.txt", "told\n", &[]);
}

#[test]
fn finds_phrases_across_lines_and_reports_the_longest() {
    check(PAGE, "one\ncan be told\n  apart here", &[(2, "`told apart`")]);
    check(RUST, "/// Can be told\n/// apart.\n", &[(1, "`told apart`")]);
    check(PAGE, "it is told\n\napart\n", &[(1, "`told`; ")]);
    check(PAGE, "[link](b.md)\n`code`\ntold `more` told", &[(3, "`told`"), (3, "`told`")]);
}

#[test]
fn exceptions_allow_the_phrase() {
    check(PAGE, "real-world images, unreal-world", &[(1, "`world`")]);
    check(PAGE, "Figure 12 of the paper, figure of merit", &[(1, "`figure`")]);
}

#[test]
fn code_and_targets_of_links_are_not_prose() {
    check(PAGE, "`told` ``a ` told`` [a](told.md) [`a`](told)\n", &[]);
    check(PAGE, "```\ntold\n```\ntold\n", &[(4, "`told`")]);
    check(RUST, "/// A.\n/// ```\n/// told(1);\n/// ```\nfn told() {}\n", &[]);
}

#[test]
fn checks_strings_with_a_space() {
    check(RUST, "fn a() {\n bail!(\"not told\")\n}", &[(2, "`told`")]);
    check(RUST, "#[arg(help = r#\"the \"world\"\"#)]", &[(1, "`world`")]);
    check(RUST, "f(\"a\\\n   world\\n\\\n  told b\")", &[(2, "`world`"), (3, "`told`")]);
    check(RUST, "f(\"be told \\\n  apart\")", &[(1, "`told apart`")]);
    check(RUST, "f(\"told\", \"no {told}, `world`\"); // told", &[]);
    check("crates/data/src/tests/idx.rs", "f(\"is told\");", &[]);
    check("crates/data/tests/it.rs", "/// Told.\nf(\"is told\");", &[(1, "`Told`")]);
    let inline = "#[cfg(test)]\nmod tests {\n fn a() { f(\"is told\") }\n}\nf(\"the world\");";
    check(RUST, inline, &[(5, "`world`")]);
    check(RUST, "#[cfg(test)]\nmod tests;\nfn a() { f(\"is told\") }", &[(3, "`told`")]);
}

/// Returns a sentence of `words` words without its period.
fn sentence(words: usize) -> String {
    format!("Word{}", " word".repeat(words - 1))
}

#[test]
fn finds_long_sentences_in_docs_and_readme() {
    let (long, most) = (format!("{}.", sentence(41)), format!("{}.", sentence(40)));
    let fault = "a sentence of 41 words, at most 40";
    check("README.md", &long, &[(1, fault)]);
    check("docs/decisions/a.md", &long, &[(1, fault)]);
    check("CHANGELOG.md", &long, &[]);
    check(PAGE, &format!("{most} {most}\n\n{most}"), &[]);
    check(PAGE, &format!("One.\n{most} Three\nfour. {long}"), &[(3, fault)]);
    check(PAGE, &format!("{} – `a b c`", sentence(40)), &[(1, fault)]);
    check(PAGE, &format!("{} [a b](c d.md)", sentence(39)), &[(1, fault)]);
}

#[test]
fn items_rows_headings_and_code_end_a_sentence() {
    let half = sentence(30);
    check(PAGE, &format!("{half}:\n\n- {half}\n- {half}\n1. {half}\n2) {half}"), &[]);
    check(PAGE, &format!("{half}\n# {half} {half}\n{half}"), &[]);
    check(PAGE, &format!("{half}\n| {half} {half} |\n{half}"), &[]);
    check(PAGE, &format!("{half}\n```\n{half} {half}\n```\n{half}"), &[]);
}

#[test]
fn sentences_end_at_periods_but_not_at_abbreviations() {
    let half = sentence(21);
    let fault = [(1, "a sentence of 42 words")];
    for end in [".", "!", "?", ".)", ".**"] {
        check(PAGE, &format!("{half}{end} Then {half}"), &[]);
        check(PAGE, &format!("{half}{end} `code` {half}"), &[]);
    }
    check(PAGE, &format!("{} e.g. {half}", sentence(20)), &fault);
    check(PAGE, &format!("{} (cf. Word {}", sentence(20), sentence(20)), &fault);
    check(PAGE, &format!("{half}. {}", half.to_lowercase()), &fault);
    check(PAGE, &format!("{half}; {half}"), &fault);
}

#[test]
fn rejects_invalid_list() {
    let head = "[[banned]]\nphrases = [\"a\"]\n";
    for (text, part) in [
        ("", "expected entries"),
        ("a = 1", "expected entries"),
        (head, "requires `phrases` and `instead`"),
        ("[[banned]]\ninstead = \"b\"", "requires `phrases` and `instead`"),
        (&format!("{head}instead = \"b\"\nexcpt = []"), "unknown key `excpt`"),
        (&format!("{head}instead = \"b\"\nexcept = [1]"), "`except` is not an array"),
        ("[[banned]]\nphrases = [\"\"]\ninstead = \"b\"", "`phrases` is not an array of phrases"),
    ] {
        let error = phrases::parse(text).err().unwrap_or_default();
        assert!(error.contains(part), "{text}: {error} lacks {part}");
    }
}

/// Returns a tree with one page of two findings and a list of debt.
fn tree(debt: &str) -> Tree {
    let files = [(PAGE, "told\n\nworld\n"), (LIST, PHRASES), (DEBT, debt)];
    let file = |(path, text): (&str, &str)| File { path: path.into(), text: text.into() };
    let files = files.map(file).into_iter().filter(|it| !it.text.is_empty()).collect();
    Tree { files, paths: Default::default() }
}

#[test]
fn rejects_findings_beyond_listed_debt() {
    for (debt, expected) in [
        ("", &["docs/a.md:1: `told`", "docs/a.md:3: `world`"][..]),
        ("# Nothing left.\n", &["docs/a.md:1: `told`", "docs/a.md:3: `world`"]),
        ("\"docs/a.md\" = 1", &["docs/a.md:1: ", "docs/a.md:3: ", "docs/a.md: 2 findings"]),
        ("\"docs/a.md\" = 2", &[]),
        ("\"docs/a.md\" = 3", &["3 findings are listed for docs/a.md, which has 2; lower"]),
        ("\"docs/a.md\" = 2\n\"b.md\" = 1", &["listed for b.md, which has 0"]),
        ("\"docs/a.md\" = 0", &["`docs/a.md` is not a positive count"]),
    ] {
        let mut faults = Vec::new();
        super::check(&tree(debt), &mut faults);
        assert_eq!(faults.len(), expected.len(), "{debt}: {faults:?}");
        for (fault, part) in faults.iter().zip(expected) {
            assert!(fault.contains(part), "{debt}: {fault} lacks {part}");
        }
    }
}

#[test]
fn blessing_only_lowers_counts() {
    let counts = |debt| {
        let text = bless(&tree(debt))?;
        Ok::<_, String>(text.map(|it| it.lines().last().unwrap_or_default().to_owned()))
    };
    let written = Ok(Some("\"docs/a.md\" = 2".to_owned()));
    assert_eq!(counts(""), written);
    assert_eq!(counts("\"docs/a.md\" = 5"), written);
    assert_eq!(counts("\"renamed.md\" = 2"), written);
    assert!(counts("\"docs/a.md\" = 1").unwrap_err().contains("the list only shrinks"));
    assert_eq!(
        bless(&Tree { files: tree("").files.split_off(1), paths: Default::default() }),
        Ok(None)
    );
}

#[test]
fn list_of_this_workspace_parses_and_matches() {
    let phrases = phrases::parse(include_str!("../../../language.toml")).unwrap();
    for text in ["told", "beside", "figures of", "gradient by", "is none", "the way back"] {
        let file = File { path: PAGE.into(), text: format!("It {text} it.\n") };
        assert_eq!(findings(&file, &phrases).len(), 1, "{text}");
    }
}
