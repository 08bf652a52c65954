//! The documents are correct: the rules are those of the program, the commands and the files
//! exist, and nothing reveals the machine they were written on.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use rstest::rstest;

use crate::support::program::{finish, klto};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
}

/// Files under version control; none if this is not a clone, such as an archive.
fn tracked() -> Vec<String> {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output();
    let names = listed.map(|output| output.stdout).unwrap_or_default();
    if names.is_empty() {
        eprintln!("left out: git lists no files here");
    }
    names
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8(name.to_vec()).unwrap())
        .filter(|name| root().join(name).is_file())
        .collect()
}

/// The documents at the top and in `docs`.
fn documents() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["", "docs/"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                found.push(format!("{folder}{name}"));
            }
        }
    }
    assert!(found.contains(&"README.md".to_owned()));
    found.sort();
    found
}

#[test]
fn the_rules_in_the_docs_are_those_of_the_program() {
    let explained = finish(&mut klto(["explain", "--markdown"])).stdout;

    assert!(
        explained == read("docs/rules.md"),
        "run: klto explain --markdown > docs/rules.md"
    );
}

#[rstest]
fn the_schemas_in_the_docs_are_those_of_the_program(
    #[values(
        "run", "check", "diff", "series", "bisect", "compare", "history", "plan"
    )]
    command: &str,
) {
    let printed = finish(&mut klto(["schema", command])).stdout;
    assert!(
        printed == read(&format!("docs/schema/{command}.json")),
        "run: klto schema {command} > docs/schema/{command}.json"
    );
}

/// The text between backticks, and the lines between fences with those joined that end
/// in a backslash.
fn code(document: &str) -> Vec<String> {
    let mut code = Vec::new();
    let mut fenced = false;
    for line in document.replace("\\\n", " ").lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            code.push(line.to_owned());
        } else {
            code.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    code
}

/// The arguments of the call of klto in a line of shell, if there is one.
fn arguments(line: &str) -> Option<Vec<String>> {
    let words = shlex::split(line)?;
    let words: Vec<String> = words
        .into_iter()
        .skip_while(|word| *word == "$" || *word == "git" || *word == "bisect" || *word == "run")
        .collect();
    let (program, rest) = words.split_first()?;
    let end = |word: &&String| !["|", ">", "&&", ";"].contains(&word.as_str());
    (program == "klto").then(|| rest.iter().take_while(end).cloned().collect())
}

/// The first words of the indented lines of a help text, and the long options in it.
fn help_words(args: &[&str]) -> BTreeSet<String> {
    let help = finish(klto(args).arg("--help"));
    assert_eq!(help.code, Some(0), "{args:?}");
    let first = |line: &str| {
        line.strip_prefix("  ")?
            .split(' ')
            .next()
            .map(str::to_owned)
    };
    let word_end = |c: char| !(c.is_ascii_lowercase() || c == '-');
    let firsts = help.stdout.lines().filter_map(first);
    let options = help.stdout.split(word_end).map(str::to_owned);
    firsts
        .chain(options.filter(|word| word.starts_with("--")))
        .collect()
}

/// Whether a line of shell calls klto; then its command and options exist.
#[track_caller]
pub fn calls_klto(document: &str, line: &str) -> bool {
    let Some(arguments) = arguments(line) else {
        return false;
    };
    let Some(command) = arguments.iter().find(|word| !word.starts_with('-')) else {
        return false;
    };
    assert!(help_words(&[]).contains(command), "{document}: {line}");
    let mut options = help_words(&[command]);
    // 'klto runs gc' has options of its own.
    let words = arguments.iter().skip_while(|word| *word != command);
    let is_command = |word: &&String| !word.starts_with('-') && options.contains(*word);
    if let Some(below) = words.skip(1).find(is_command) {
        options.extend(help_words(&[command, below]));
    }
    for option in arguments.iter().filter(|word| word.starts_with("--")) {
        let name = option.split('=').next().unwrap();
        assert!(options.contains(name), "{document}: {line}: {option}");
    }
    true
}

#[test]
fn every_command_in_the_documents_exists() {
    let calls = |document: &String| {
        let lines = code(&read(document)).into_iter();
        lines.filter(|line| calls_klto(document, line)).count()
    };
    let seen: usize = documents().iter().map(calls).sum();
    assert!(seen > 5, "the commands are found");
}

#[rstest]
#[case("klto check DIR --only flags", &["check", "DIR", "--only", "flags"])]
#[case("$ klto doctor | head -1", &["doctor"])]
#[case("git bisect run klto --git-bisect run m.yaml", &["--git-bisect", "run", "m.yaml"])]
#[case("klto explain --markdown > docs/rules.md", &["explain", "--markdown"])]
fn a_command_in_a_document_is_found(#[case] line: &str, #[case] expected: &[&str]) {
    let document = format!("Text.\n\n```sh\n{line}\n```\nAnd `{line}` again.\n");

    let found: Vec<_> = code(&document)
        .iter()
        .filter_map(|l| arguments(l))
        .collect();

    assert_eq!(found, [expected, expected]);
}

#[test]
fn every_file_that_the_documents_name_is_there() {
    for document in documents() {
        let text = read(&document);
        let folder = Path::new(&document).parent().unwrap();
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        for link in links.filter(|link| !link.contains("://") && !link.starts_with('#')) {
            let file = folder.join(link.split('#').next().unwrap());
            assert!(root().join(&file).exists(), "{document}: {link}");
        }
        let not_of_a_path = |c: char| !(c.is_ascii_alphanumeric() || "/._-".contains(c));
        for path in text.split(not_of_a_path) {
            let path = path.trim_end_matches('.');
            let ours = ["ci/", "matrices/", "docs/", "harness/", "tests/"];
            let is_pattern =
                text.contains(&format!("{path}*")) || text.contains(&format!("{path}<"));
            if ours.iter().any(|begin| path.starts_with(begin)) && !is_pattern {
                assert!(root().join(path).exists(), "{document}: {path}");
            }
        }
    }
}

/// A path that begins at one of the folders that a developer's machine has.
fn absolute_path(line: &str) -> Option<String> {
    for folder in ["root", "work", "home"] {
        let path = format!("/{folder}");
        for (at, _) in line.match_indices(&path) {
            let before = line[..at].chars().next_back();
            let after = line[at + path.len()..].chars().next();
            let begins = before.is_none_or(|c| c.is_whitespace() || "\"'`=(:,[<".contains(c));
            let ends = after.is_none_or(|c| !(c.is_alphanumeric() || "_-.".contains(c)));
            if begins && ends {
                return Some(path);
            }
        }
    }
    None
}

/// Where packages come from is the user's affair; the lock file names its one index.
fn registry(line: &str) -> Option<&'static str> {
    let hosts = [
        concat!("crates", ".io"),
        concat!("pypi", ".org"),
        concat!("python", "hosted.org"),
        concat!("npmjs", ".org"),
        concat!("proxy.", "golang.org"),
        concat!("ruby", "gems.org"),
        concat!("deb.", "debian.org"),
        concat!("archive.", "ubuntu.com"),
    ];
    hosts.into_iter().find(|host| line.contains(host))
}

#[test]
fn no_file_reveals_the_machine_it_was_written_on() {
    for file in tracked() {
        let text = std::fs::read(root().join(&file)).unwrap();
        let text = String::from_utf8_lossy(&text);
        for (number, line) in text.lines().enumerate() {
            let place = format!("{file}:{}: {line}", number + 1);
            assert_eq!(absolute_path(line), None, "{place}");
            if file == "Cargo.lock" {
                let index = "registry+https://github.com/rust-lang/";
                let is_public = line.starts_with(&format!("source = \"{index}"));
                assert!(is_public || !line.contains("://"), "{place}");
            } else {
                assert_eq!(registry(line), None, "{place}");
            }
        }
    }
}

#[test]
fn a_line_that_reveals_a_machine_is_found() {
    for folder in ["root", "work", "home"] {
        assert!(absolute_path(&format!("cd /{folder}/me")).is_some());
        assert!(absolute_path(&format!("O=\"/{folder}\"")).is_some());
        assert!(
            absolute_path(&format!("--{folder} ./{folder} a/{folder} ${{x}}/{folder}")).is_none()
        );
        assert!(absolute_path(&format!("/{folder}-x /{folder}er")).is_none());
    }
    assert!(registry(concat!("https://static.crates", ".io/x")).is_some());
    assert!(registry("https://github.com/llvm/llvm-project").is_none());
}
