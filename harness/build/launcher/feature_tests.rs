//! Feature tests: each time that make starts, kbuild and Kconfig ask the compiler about a
//! hundred options, with an empty source. The answer depends on the compiler and its
//! arguments, and on nothing else. So each is asked once, and its answer remembered.
//! A command that may do more than ask is not taken for one.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use super::answers::{self, Answer};
use crate::build::kbuild::machine_failure;
use crate::build::process::run_in_place;

/// No test has a longer source, in bytes.
const LONGEST_INPUT: usize = 16 * 1024;

/// A test: a compiler that reads nothing but its arguments, and perhaps a short text.
#[derive(Debug, PartialEq, Eq)]
struct Question<'a> {
    /// Everything but the name of the output.
    command: Vec<&'a OsStr>,
    output: Option<&'a Path>,
    reads_input: bool,
    /// Whether the answer has the current directory in it.
    names_folder: bool,
}

/// Acts as the compiler with that command line, if that is a feature test. Returns its exit code.
///
/// # Errors
/// Where the compiler cannot be started or its output cannot be passed on.
pub fn answer(
    command: &[OsString],
    folder: &Path,
    environment: &[(&str, OsString)],
) -> Option<io::Result<u8>> {
    let question = question(command)?;
    Some(answer_to(&question, command, folder, environment))
}

fn answer_to(
    question: &Question<'_>,
    command: &[OsString],
    folder: &Path,
    environment: &[(&str, OsString)],
) -> io::Result<u8> {
    let mut input = Vec::new();
    if question.reads_input {
        io::stdin().read_to_end(&mut input)?;
    }
    let file = folder.join(key(question, &input)?);
    remembered(&file, command, question, &input, environment)?.pass_on()
}

/// Reads a compiler's command line; `None` if it may be more than a feature test.
fn question(command: &[OsString]) -> Option<Question<'_>> {
    let (compiler, args) = command.split_first()?;
    let mut question = Question {
        command: vec![compiler],
        output: None,
        reads_input: false,
        names_folder: false,
    };
    let (mut reads_nothing, mut writes_file, mut links) = (false, false, true);
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let text = arg.to_str()?;
        match text {
            "-o" => {
                // The name of a file is no part of the question.
                question.command.push(arg);
                match args.next()? {
                    name if name == "-" || name == "/dev/null" => question.command.push(name),
                    name => question.output = Some(Path::new(name)),
                }
                continue;
            }
            "-" => question.reads_input = true,
            "/dev/null" => reads_nothing = true,
            "-c" | "-S" => (writes_file, links) = (true, false),
            "-E" | "-fsyntax-only" => links = false,
            _ if text == "--version" || text.starts_with("-print-") => {
                (reads_nothing, links) = (true, false);
            }
            _ if uses_more(text) || names_what_exists(text) => return None,
            _ if text.starts_with("-g") => question.names_folder = true,
            _ => {}
        }
        question.command.push(arg);
    }
    // A linker reads libraries.
    let asks = question.reads_input != reads_nothing && !links;
    // Without a name, the compiler makes one up.
    let is_named = question.command.iter().any(|arg| *arg == "-o");
    (asks && (is_named || !writes_file)).then_some(question)
}

/// Whether an option has the compiler read or write files besides the source and the output.
fn uses_more(arg: &str) -> bool {
    let options = [
        "@",
        "-o",
        "-M",
        "-Wp,",
        "-include",
        "-imacros",
        "-dependency",
        "-save-temps",
        "--save-temps",
        "-ftime-",
        "-ftest-coverage",
        "-coverage",
        "--coverage",
        "-gsplit",
    ];
    options.iter().any(|start| arg.starts_with(start))
}

/// Whether an argument names a file, whose content would be part of the question. A plain
/// word may be the name of a folder by chance, and a prefix map is only text.
fn names_what_exists(arg: &str) -> bool {
    if arg.starts_with("-f") && arg.contains("-prefix-map=") {
        return false;
    }
    let words = arg.split(['=', ',']);
    let joined = ["-I", "-L", "-B"]
        .iter()
        .filter_map(|o| arg.strip_prefix(o));
    words.chain(joined).any(|word| {
        let path = Path::new(word);
        path.is_file() || word.contains('/') && path.exists()
    })
}

/// Answers as before, or asks the compiler.
fn remembered(
    file: &Path,
    command: &[OsString],
    question: &Question<'_>,
    input: &[u8],
    environment: &[(&str, OsString)],
) -> io::Result<Answer> {
    if let Some(answer) = answers::load(file) {
        if let (Some(path), Some(content)) = (question.output, &answer.output) {
            std::fs::write(path, content)?;
        }
        return Ok(answer);
    }
    let mut answer = Answer::from(run_in_place(command, input, environment)?);
    // A compiler that fails leaves no output.
    answer.output = match (answer.code, question.output) {
        (0, Some(path)) => std::fs::read(path).ok(),
        _ => None,
    };
    let is_test = input.len() <= LONGEST_INPUT && !reads_more(input);
    if is_test && is_of_the_compiler(&answer) {
        // Where this fails, the compiler is asked again the next time.
        let _ = answers::save(file, &answer);
    }
    Ok(answer)
}

/// Distinguishes a question from every other.
fn key(question: &Question<'_>, input: &[u8]) -> io::Result<String> {
    let mut parts: Vec<&[u8]> = question
        .command
        .iter()
        .map(|word| word.as_bytes())
        .collect();
    parts.push(input);
    let folder = std::env::current_dir()?;
    if question.names_folder {
        parts.push(folder.as_os_str().as_bytes());
    }
    Ok(answers::key(parts))
}

/// Whether a text may have the compiler read a file, or the clock.
fn reads_more(input: &[u8]) -> bool {
    let words: [&[u8]; 6] = [
        b"include", b"import", b"incbin", b"embed", b"__TIME", b"__DATE",
    ];
    words
        .iter()
        .any(|word| memchr::memmem::find(input, word).is_some())
}

/// Whether the compiler itself came to the answer: no signal ended it, and no file was missing
/// or could not be written.
fn is_of_the_compiler(answer: &Answer) -> bool {
    let signs: [&[u8]; 3] = [b"unable to ", b"cannot ", b"No such file"];
    let is_about_files = signs
        .iter()
        .any(|sign| memchr::memmem::find(&answer.stderr, sign).is_some());
    match answer.code {
        0 => true,
        1 => !is_about_files && machine_failure(&answer.stderr).is_none(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
