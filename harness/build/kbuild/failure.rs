//! Reads the log of a failed build: what failed, and whether the machine is to blame.

use std::collections::BTreeSet;

use crate::build::launcher;
use crate::build::process::sandbox;
use crate::tree::collect::build_log;

/// What a failed build's log says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The target that make could not build, and the makefile line.
    pub summary: String,
    /// That target, if make names one.
    pub target: Option<String>,
    /// The first error lines.
    pub first_errors: Vec<String>,
}

impl Failure {
    /// The most useful line: the first error, or else make's own message.
    #[must_use]
    pub fn said(&self) -> &str {
        let is_error = |line: &&String| line.to_ascii_lowercase().contains("error");
        let line = self
            .first_errors
            .iter()
            .find(is_error)
            .or(self.first_errors.last());
        line.map_or(self.summary.as_str(), String::as_str)
    }
}

/// Messages of a machine that has no more of something, or that klto's own programs print.
const SIGNS: [&str; 13] = [
    "No space left on device",
    "Disk quota exceeded",
    "Read-only file system",
    "Too many open files",
    "Input/output error",
    launcher::CANNOT_RUN,
    sandbox::CANNOT,
    // A makefile has another search path than klto gave.
    "klto-cc: No such file or directory",
    // No process can be started, as bash and dash say it.
    "Resource temporarily unavailable",
    "Cannot fork",
    // A program whose libraries are not there, as glibc, for two reasons, and musl say it.
    "error while loading shared libraries: ",
    "' not found (required by ",
    "Error loading shared library ",
];

/// Messages of programs that get no memory.
const NO_MEMORY: [&str; 5] = [
    "Cannot allocate memory",
    "LLVM ERROR: out of memory",
    "std::bad_alloc",
    "virtual memory exhausted",
    "failed to map segment from shared object",
];

/// Messages about a program that was killed: nearly always because memory ran out.
const KILLED: [&str; 4] = [
    "unable to execute command: Killed",
    "unable to execute command: Terminated",
    "fatal error: Killed signal terminated program",
    "terminated with signal 9",
];

/// How make's message about such a program ends.
const KILLED_BY_MAKE: [&str; 4] = ["] Killed", "] Terminated", "] Error 137", "] Error 143"];

/// What shows that the machine failed, not the kernel: in words, with the line of the log.
#[must_use]
pub fn machine_failure(log: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(log);
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        // Only then is it worth looking at what the line is.
        let Some(what) = machine_sign(line) else {
            continue;
        };
        let next = lines.peek().copied().unwrap_or_default();
        if !is_about_sources(line, next) {
            return Some(format!("{what}{}", line.trim()));
        }
    }
    None
}

/// What a line says of the machine, as it is written before the line.
fn machine_sign(line: &str) -> Option<&'static str> {
    let has = |signs: &[&str]| signs.iter().any(|sign| line.contains(sign));
    let is_killed =
        line.contains("*** [") && KILLED_BY_MAKE.iter().any(|said| line.ends_with(said));
    if is_killed || has(&KILLED) {
        return Some("a program was killed, as happens if the machine ran out of memory: ");
    }
    // The last is Python's.
    if has(&NO_MEMORY) || line == "MemoryError" {
        return Some("the machine ran out of memory: ");
    }
    let is_not_found = line.contains(": not found") && line.contains("/bin/sh: ");
    (is_not_found || has(&SIGNS)).then_some("")
}

/// Whether a compiler, or a makefile, says something about the sources in that line, or quotes
/// them: `a.c:1:2: error: …`, `    1 | …`, or a line before one with a caret.
fn is_about_sources(line: &str, next: &str) -> bool {
    let is_quoted = |line: &str| {
        let rest = line
            .trim_start()
            .trim_start_matches(|c: char| c.is_ascii_digit());
        rest.trim_start().starts_with('|')
    };
    let is_caret = next.contains('^') && next.chars().all(|c| " \t^~".contains(c));
    // A compiler that cannot read or write gives up: `a.c:1:2: fatal error: …`.
    let is_placed = line.split_once(": ").is_some_and(|(place, said)| {
        let mut parts = place.rsplit(':');
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let is_place = parts
            .next()
            .is_some_and(|part| !part.is_empty() && is_number(part));
        is_place && !place.contains(' ') && place.contains(':') && !said.contains("atal error: ")
    });
    is_quoted(line) || is_caret || is_placed
}

/// Finds the first failure: make's `*** [makefile:line: target] Error n`, and the messages
/// before it.
pub(super) fn failure(log: &[u8]) -> Failure {
    /// How many messages before make's own line are read, and how many are shown.
    const BEFORE: usize = 60;
    const SHOWN: usize = 8;

    // Directories that make enters; a harmless message of jobserver-exec with make 4.3.
    const NOISE: [&str; 3] = [
        ": Entering directory ",
        ": Leaving directory ",
        "Unable to reopen jobserver",
    ];

    let log = build_log::parse(around_stop(log));
    let texts: Vec<&str> = log
        .messages
        .iter()
        .map(|(_, text)| text.as_str())
        .filter(|text| !NOISE.iter().any(|noise| text.contains(noise)))
        .collect();
    let Some(stop) = texts.iter().position(|line| line.contains("*** ")) else {
        let last = texts.len().saturating_sub(SHOWN);
        return Failure {
            summary: "make failed without naming a target".to_owned(),
            target: None,
            first_errors: texts[last..].iter().map(|s| (*s).to_owned()).collect(),
        };
    };
    let before = &texts[stop.saturating_sub(BEFORE)..stop];
    let is_error = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        let is_one = lower.contains("error") || lower.contains("undefined");
        is_one && !lower.contains("warning:")
    };
    // What a compiler ignores matters where nothing says what it failed at.
    let is_ignored = |line: &&str| line.contains("not a recognized");
    let first = before.iter().position(is_error);
    let first = first
        .or_else(|| before.iter().position(is_ignored))
        .unwrap_or(before.len().saturating_sub(SHOWN));
    let mut seen = BTreeSet::new();
    let mut first_errors: Vec<String> = before[first..]
        .iter()
        // Each of several compilers says the same of the same options.
        .filter(|line| seen.insert(**line))
        .take(SHOWN)
        .map(|s| (*s).to_owned())
        .collect();
    first_errors.push(texts[stop].to_owned());
    let bracket = texts[stop]
        .split_once("*** ")
        .and_then(|(_, said)| said.split_once('['))
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(inside, _)| inside);
    let target = bracket
        .and_then(|inside| inside.rsplit(": ").next())
        .map(str::to_owned);
    Failure {
        summary: match (&target, bracket) {
            (Some(target), Some(inside)) if inside != target => {
                let place = &inside[..inside.len() - target.len()];
                format!("{target} ({})", place.trim_end_matches(": "))
            }
            (Some(target), _) => target.clone(),
            (None, _) => texts[stop].to_owned(),
        },
        target,
        first_errors,
    }
}

/// The part of a log in which make says what it could not build, or the last part.
fn around_stop(log: &[u8]) -> &[u8] {
    /// More than the messages that are read.
    const AROUND: usize = 128 * 1024;

    let stop = memchr::memmem::find(log, b": *** [").unwrap_or(log.len());
    let begin = stop.saturating_sub(AROUND);
    // A part of a line would be a message of its own.
    let begin = match begin {
        0 => 0,
        begin => memchr::memchr(b'\n', &log[begin..stop]).map_or(begin, |at| begin + at + 1),
    };
    &log[begin..stop.saturating_add(AROUND).min(log.len())]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn a_failed_compile_is_named_with_its_first_errors() {
        let log = b"  CC      init/main.o\nwarning: harmless\ninit/main.c:3:1: error: unknown type name 'x'\n    3 | x y;\n1 error generated.\nmake[3]: *** [scripts/Makefile.build:289: init/main.o] Error 1\nmake[2]: *** [Makefile:2: init] Error 2\n";
        let failure = failure(log);
        assert_eq!(failure.target.as_deref(), Some("init/main.o"));
        assert_eq!(failure.summary, "init/main.o (scripts/Makefile.build:289)");
        assert_eq!(
            failure.first_errors[0],
            "init/main.c:3:1: error: unknown type name 'x'"
        );
        assert!(
            failure
                .first_errors
                .last()
                .unwrap()
                .contains("init/main.o] Error 1")
        );
    }

    #[test]
    fn what_failed_after_thousands_of_messages_is_named() {
        let flood = "init/x.c:1:1: warning: it is a flood\n".repeat(50_000);
        let error = "init/main.c:3:1: error: unknown type name 'x'";
        let stop = "make[3]: *** [scripts/Makefile.build:289: init/main.o] Error 1";
        let log = format!("{flood}{error}\n{stop}\n{flood}");
        let failure = failure(log.as_bytes());
        assert_eq!(failure.target.as_deref(), Some("init/main.o"));
        assert_eq!(failure.first_errors, [error, stop]);
    }

    const IGNORED: &str = "'+v8a' is not a recognized feature for this target";
    const STOP: &str = "make[2]: *** [Makefile:23: a.o] Error 1";

    #[rstest]
    #[case::ignored(&[IGNORED, IGNORED], &[IGNORED, STOP])]
    #[case::error(&["error: no input files", IGNORED, IGNORED], &["error: no input files", IGNORED, STOP])]
    fn what_every_compiler_says_is_shown_once(#[case] said: &[&str], #[case] shown: &[&str]) {
        let log = format!("{}\n{STOP}\n", said.join("\n"));
        assert_eq!(failure(log.as_bytes()).first_errors, shown);
    }

    #[rstest]
    #[case::ignored(IGNORED)]
    #[case::warning("warning: x was not an error [-Wx]")]
    fn an_error_is_shown_rather_than_what_the_compiler_did_not_fail_at(#[case] before: &str) {
        let error = "clang: error: no such file or directory: ':='";
        let log = format!("{before}\n{error}\n{STOP}\n");
        assert_eq!(failure(log.as_bytes()).first_errors, [error, STOP]);
    }

    const KILLED: &str = "a program was killed, as happens if the machine ran out of memory: ";
    const NO_MEMORY: &str = "the machine ran out of memory: ";

    /// Lines that real programs printed, with LLVM 22, GCC 12, dash, bash and GNU make 4.3.
    #[rstest]
    #[case::full_disk(
        "",
        "fatal error: IO failure on output stream: No space left on device"
    )]
    #[case::full_disk_at_a_place(
        "",
        "a.c:1:1: fatal error: error writing to /tmp/a.s: No space left on device"
    )]
    #[case::full_disk_in_python("", "OSError: [Errno 28] No space left on device: '/x'")]
    #[case::full_disk_in_gas(
        "",
        "a.s:3: Fatal error: can't write 12 bytes to section .text of a.o: 'No space left on device'"
    )]
    #[case::quota("", "clang: error: Disk quota exceeded")]
    #[case::no_tool("", "/bin/sh: 1: bc: not found")]
    #[case::launcher(
        "",
        "klto-cc: cannot run ccache: No such file or directory (os error 2)"
    )]
    #[case::sandbox("", "klto-sandbox: cannot apply Landlock: not supported")]
    #[case::no_launcher("", "make[1]: klto-cc: No such file or directory")]
    #[case::no_process("", "make: /bin/sh: Resource temporarily unavailable")]
    #[case::no_process_in_bash("", "bash: fork: retry: Resource temporarily unavailable")]
    #[case::no_process_in_dash("", "dash: 0: Cannot fork")]
    #[case::no_library(
        "",
        "/usr/bin/ld: error while loading shared libraries: libbfd-2.47.so: cannot open shared object file: No such file or directory"
    )]
    #[case::old_library(
        "",
        "clang: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by clang)"
    )]
    #[case::no_library_of_musl(
        "",
        "Error loading shared library libz.so.1: No such file or directory (needed by /usr/bin/ld)"
    )]
    #[case::killed(
        KILLED,
        "make[3]: *** [scripts/Makefile.build:289: init/main.o] Killed"
    )]
    #[case::killed_below_a_shell(KILLED, "make[2]: *** [Makefile:2: vmlinux.o] Error 137")]
    #[case::ended(KILLED, "make: *** [Makefile:15: term] Terminated")]
    #[case::front_end_killed(KILLED, "clang-22: error: unable to execute command: Killed")]
    #[case::cc1_killed(KILLED, "gcc: fatal error: Killed signal terminated program cc1")]
    #[case::ld_killed(KILLED, "collect2: fatal error: ld terminated with signal 9 [Killed]")]
    #[case::llvm(NO_MEMORY, "LLVM ERROR: out of memory")]
    #[case::new(
        NO_MEMORY,
        "terminate called after throwing an instance of 'std::bad_alloc'"
    )]
    #[case::gcc(NO_MEMORY, "virtual memory exhausted: Cannot allocate memory")]
    #[case::loader(
        NO_MEMORY,
        "clang-22: error while loading shared libraries: libLLVM.so.22.1: failed to map segment from shared object"
    )]
    #[case::python(NO_MEMORY, "MemoryError")]
    fn the_machine_is_to_blame(#[case] what: &str, #[case] line: &str) {
        let log = format!("  CC      init/main.o\n{line}\nmake: *** [Makefile:2: x] Error 2\n");
        assert_eq!(
            machine_failure(log.as_bytes()),
            Some(format!("{what}{line}"))
        );
    }

    /// What clang 22 and GCC 12 say of sources with such words, and what older ones do.
    #[rstest]
    #[case("a.c:1:1: error: x")]
    #[case("make[3]: *** [scripts/Makefile.build:289: init/main.o] Error 1")]
    #[case("a.c:1:1: error: the array has 1 element, expected Error 137")]
    #[case(
        "nospace.c:2:47: error: invalid operands to binary expression ('char[23]' and 'const char *')\n    2 | int f(void) { return \"Cannot allocate memory\" + s; }\n      |                      ~~~~~~~~~~~~~~~~~~~~~~~~ ^ ~"
    )]
    #[case("      |         \"No space left on device\"")]
    #[case(
        "nospace.c:4:22: error: call to undeclared function 'undefined_thing'\nint g(void) { return undefined_thing(\"Input/output error\"); } /* std::bad_alloc */\n                     ^"
    )]
    #[case("nospace.c:3:2: error: \"No space left on device\"")]
    #[case("nospace.c:3:2: error: #error std::bad_alloc")]
    #[case("nospace.c:3: warning: Read-only file system [-Wcpp]")]
    #[case("init/Makefile:3: *** Cannot allocate memory.  Stop.")]
    #[case("make: *** [Makefile:21: segvc] Error 139")]
    fn the_machine_is_not_to_blame(#[case] line: &str) {
        let log = format!("{line}\nmake: *** [Makefile:2: x] Error 1\n");
        assert_eq!(machine_failure(log.as_bytes()), None);
    }
}
