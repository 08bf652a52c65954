//! Plain English: the words that `CONTRIBUTING.md` says not to use are not used, in rules,
//! help texts, documents, data files, messages and comments.

use std::path::Path;

use crate::support::program::{finish, klto};
use crate::support::sources::{read_all, rust_files};

/// What not to say, and what to say instead. A phrase matches whole words, whatever their
/// case; a hyphen or an underscore does not end a word.
const INSTEAD: &[(&str, &str)] = &[
    ("behind", "after"),
    ("alone", "only"),
    ("anew", "again"),
    ("look whether", "check whether"),
    ("looks whether", "checks whether"),
    ("look how", "check how"),
    ("looks how", "checks how"),
    ("without a word", "silently"),
    ("is told", "is reported, is given"),
    ("are told", "are reported, are given"),
    ("cannot be told", "is inconclusive"),
    ("cannot tell", "inconclusive"),
    ("what comes of", "the result of"),
    ("came of", "the result of"),
    ("for want of", "because there is no"),
    ("dear", "expensive"),
    ("rightly", "legitimately"),
    ("made again", "rebuilt"),
    ("makes again", "rebuilds"),
    ("gone wrong", "failed"),
    ("play", "run"),
    ("plays", "runs"),
    ("played", "run"),
    ("playing", "running"),
    ("for ever", "forever"),
];

/// Characters that are not used, and what to use instead.
const QUOTES: &[(char, &str)] = &[('«', "'"), ('»', "'")];

/// Texts that may use a phrase all the same, with the reason: where, which, why.
const EXCEPTIONS: &[(&str, &str, &str)] = &[];

/// A text that people read, and where it is: a file from the top of the repository,
/// `rules/KEY` or `help/COMMAND`, and a line if there is one.
#[derive(Debug, PartialEq, Eq)]
struct Text {
    place: String,
    line: Option<usize>,
    words: String,
}

impl Text {
    fn new(place: &str, line: Option<usize>, text: &str) -> Self {
        Self {
            place: place.to_owned(),
            line,
            words: text.to_owned(),
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A text without what stands between backticks: code is not English.
fn without_code(text: &str) -> String {
    text.split('`')
        .step_by(2)
        .collect::<Vec<_>>()
        .join(" code ")
}

fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !(c.is_alphanumeric() || "-_'".contains(c)))
        .map(|word| word.trim_matches('\''))
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The phrases and characters in `text` that are not used, each with what to say instead.
fn misused(text: &str) -> Vec<(String, &'static str)> {
    let text = without_code(text);
    let said = words(&text);
    let phrases = INSTEAD.iter().filter(|(phrase, _)| {
        let phrase = words(phrase);
        said.windows(phrase.len()).any(|window| window == phrase)
    });
    let quotes = QUOTES.iter().filter(|(quote, _)| text.contains(*quote));
    phrases
        .map(|(phrase, instead)| ((*phrase).to_owned(), *instead))
        .chain(quotes.map(|(quote, instead)| (quote.to_string(), *instead)))
        .collect()
}

/// One line for each misused phrase of the texts.
fn complaints(texts: &[Text]) -> Vec<String> {
    let mut complaints = Vec::new();
    for text in texts {
        let Text { place, line, words } = text;
        let is_excepted = |phrase: &str| {
            EXCEPTIONS
                .iter()
                .any(|(file, excepted, _)| place == file && phrase == *excepted)
        };
        for (phrase, instead) in misused(words) {
            if !is_excepted(&phrase) {
                let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                complaints.push(format!(
                    "{place}{line}: '{phrase}' (say: {instead}) in: {words}"
                ));
            }
        }
    }
    complaints
}

#[track_caller]
fn hold(texts: &[Text]) {
    assert!(!texts.is_empty());
    let complaints = complaints(texts);
    assert!(
        complaints.is_empty(),
        "{} texts use words that the glossary of CONTRIBUTING.md replaces:\n{}",
        complaints.len(),
        complaints.join("\n")
    );
}

/// Comments that fill whole lines, those on consecutive lines joined. `marks` begin one.
fn comments(place: &str, text: &str, marks: &[&str]) -> Vec<Text> {
    let mut found: Vec<Text> = Vec::new();
    let mut is_open = false;
    for (number, line) in text.lines().enumerate() {
        let comment = marks
            .iter()
            .find_map(|mark| line.trim_start().strip_prefix(mark));
        match (comment, found.last_mut()) {
            (Some(more), Some(open)) if is_open => {
                open.words.push(' ');
                open.words.push_str(more.trim());
            }
            (Some(first), _) => found.push(Text::new(place, Some(number + 1), first.trim())),
            (None, _) => {}
        }
        is_open = comment.is_some();
    }
    found
}

/// The paragraphs, list items and rows of a Markdown document, without fenced code.
fn paragraphs(place: &str, document: &str) -> Vec<Text> {
    let mut found: Vec<Text> = Vec::new();
    let (mut fenced, mut is_open) = (false, false);
    for (number, line) in document.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            is_open = false;
        } else if fenced || line.trim().is_empty() {
            is_open = false;
        } else if is_open
            && !line.trim_start().starts_with(['-', '|', '#'])
            && let Some(open) = found.last_mut()
        {
            open.words.push(' ');
            open.words.push_str(line.trim());
        } else {
            found.push(Text::new(place, Some(number + 1), line.trim()));
            is_open = true;
        }
    }
    found
}

/// The files below a folder whose name ends in one of `endings`.
fn files(folder: &str, endings: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(root().join(folder)) {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(root()).unwrap();
        let path = path.to_str().unwrap().to_owned();
        if entry.file_type().is_file() && endings.iter().any(|ending| path.ends_with(ending)) {
            found.push(path);
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{folder}");
    found
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

#[test]
fn rules_are_in_plain_english() {
    let texts: Vec<Text> = klto::run::rules::rules()
        .flat_map(|rule| {
            let place = format!("rules/{}", rule.key);
            [rule.invariant, rule.broken, rule.why, rule.fix]
                .map(|text| Text::new(&place, None, text))
        })
        .collect();
    hold(&texts);
}

#[test]
fn help_is_in_plain_english() {
    let commands = [
        "",
        "check",
        "probe",
        "series",
        "run",
        "diff",
        "plan",
        "accept",
        "doctor",
        "explain",
        "schema",
        "completions",
        "man",
    ];
    let mut texts = Vec::new();
    for command in commands {
        for option in ["-h", "--help"] {
            let args = [command, option];
            let args = args.iter().filter(|arg| !arg.is_empty());
            let help = finish(&mut klto(args)).stdout;
            let place = format!("help/{command}");
            assert!(!help.contains('`'), "quote with ': {place}: {help}");
            let joined = help.split_whitespace().collect::<Vec<_>>().join(" ");
            texts.push(Text::new(&place, None, &joined));
        }
    }
    hold(&texts);
}

#[test]
fn documents_are_in_plain_english() {
    let documents = files("docs", &[".md"]);
    let top = std::fs::read_dir(root()).unwrap();
    let top = top.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let texts: Vec<Text> = top
        .filter(|name| name.ends_with(".md"))
        .chain(documents)
        .flat_map(|file| {
            let text = read(&file);
            paragraphs(&file, &text)
        })
        .collect();
    hold(&texts);
}

#[test]
fn data_files_are_in_plain_english() {
    let mut texts = Vec::new();
    let yaml = files("harness", &[".yaml"]).into_iter();
    for file in yaml.chain(files("matrices", &[".yaml"])) {
        let text = read(&file);
        texts.extend(comments(&file, &text, &["#"]));
        let Ok(serde_yaml::Value::Mapping(entries)) = serde_yaml::from_str(&text) else {
            panic!("{file}");
        };
        for key in ["about", "unseen"] {
            let said = entries.get(key).and_then(|value| value.as_str());
            texts.extend(said.map(|said| Text::new(&file, None, said)));
        }
        for list in ["steps", "allow", "exclude"] {
            let list = entries.get(list).and_then(|list| list.as_sequence());
            for entry in list.into_iter().flatten() {
                for key in ["name", "reason"] {
                    let said = entry.get(key).and_then(|value| value.as_str());
                    texts.extend(said.map(|said| Text::new(&file, None, said)));
                }
            }
        }
    }
    for file in files("ci", &[""]) {
        texts.extend(comments(&file, &read(&file), &["#"]));
    }
    hold(&texts);
}

#[test]
fn messages_are_in_plain_english() {
    let sources = read_all(&root().join("harness"));
    let mut texts = Vec::new();
    for source in &sources {
        let place = format!("harness/{}", source.file);
        let messages = source.strings.iter().filter(|text| text.contains(' '));
        texts.extend(messages.map(|text| Text::new(&place, None, text)));
    }
    hold(&texts);
}

#[test]
fn the_page_of_a_run_is_in_plain_english() {
    let mut texts = Vec::new();
    for file in files("harness/report/html", &[".html"]) {
        let text = read(&file);
        let outside = text
            .split('<')
            .map(|part| part.split_once('>').map_or(part, |p| p.1));
        let said = outside.filter(|said| said.contains(' '));
        texts.extend(said.map(|said| Text::new(&file, None, said)));
    }
    for file in files("harness/report/html", &[".js", ".css"]) {
        texts.extend(comments(&file, &read(&file), &["//", "/*"]));
    }
    hold(&texts);
}

/// In a message a backtick is no quote: logs and mail are plain text.
#[test]
fn messages_quote_with_apostrophes() {
    // What the first writes is Markdown, the second reads messages of serde.
    const BACKTICKS: &[&str] = &["harness/cli/explain.rs", "harness/input/yaml.rs"];
    for source in read_all(&root().join("harness")) {
        let place = format!("harness/{}", source.file);
        if !BACKTICKS.contains(&place.as_str()) {
            for text in source.strings.iter().filter(|text| text.contains(' ')) {
                assert!(!text.contains('`'), "{place}: {text}");
            }
        }
    }
}

#[test]
fn comments_are_in_plain_english() {
    let mut texts = Vec::new();
    for folder in ["harness", "tests"] {
        for file in rust_files(&root().join(folder)) {
            let file = format!("{folder}/{file}");
            texts.extend(comments(&file, &read(&file), &["///", "//!", "//"]));
        }
    }
    for file in files(
        "harness/run/probe/miniature",
        &["Makefile", ".c", ".S", ".h"],
    ) {
        texts.extend(comments(&file, &read(&file), &["#", "/*", " *"]));
    }
    hold(&texts);
}

#[test]
fn every_exception_is_needed() {
    for (file, phrase, reason) in EXCEPTIONS {
        assert!(root().join(file).exists(), "{file}");
        assert!(INSTEAD.iter().any(|(known, _)| known == phrase), "{phrase}");
        assert!(!reason.is_empty(), "{file}");
    }
}

#[test]
fn a_planted_sentence_is_found() {
    let found = |text: &str| -> Vec<String> {
        let found = misused(text).into_iter();
        found.map(|(phrase, _)| phrase).collect()
    };

    assert_eq!(found("the options behind the flags"), ["behind"]);
    assert_eq!(found("Look\nwhether it is there."), ["look whether"]);
    assert_eq!(
        found("«x» is made again, without a word"),
        ["without a word", "made again", "«", "»"]
    );
    assert_eq!(found("a stand-alone tool; `behind` is code"), [""; 0]);
    assert_eq!(found("the options after the flags"), [""; 0]);

    let text = Text::new("README.md", Some(7), "It is too dear.");
    let expected = "README.md:7: 'dear' (say: expensive) in: It is too dear.";
    assert_eq!(complaints(&[text]), [expected]);
}

#[test]
fn a_phrase_is_found_across_lines() {
    let source = "/// Files are made\n/// again.\nfn f() {}\n    // Once.\n";
    let joined = [
        Text::new("x.rs", Some(1), "Files are made again."),
        Text::new("x.rs", Some(4), "Once."),
    ];
    assert_eq!(comments("x.rs", source, &["///", "//"]), joined);

    let document = "# Title\n\nFiles are made\nagain.\n\n```sh\nbehind\n```\nLast.\n";
    let found: Vec<String> = paragraphs("x.md", document)
        .into_iter()
        .map(|paragraph| paragraph.words)
        .collect();
    assert_eq!(found, ["# Title", "Files are made again.", "Last."]);
}
