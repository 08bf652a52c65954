//! `log.*`: the build log holds no message that means a wrong build which
//! still exits 0.

use super::{Context, Family, Found, Unit, row};
use crate::model::facts::Facts;
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "log",
    rows: &[
        row(&TARGET_TRIPLE, Unit::Messages, messages),
        row(&TARGET_FEATURE, Unit::Messages, messages),
        row(&OVERRIDE_MODULE, Unit::Messages, messages),
        row(&INDEX_LOAD, Unit::Messages, messages),
        row(&MODVERSIONS, Unit::Messages, messages),
        row(&SHELL_TOOL, Unit::Messages, messages),
        row(&UNCLASSIFIED, Unit::Messages, messages),
    ],
    applies: |_| true,
};

const TARGET_TRIPLE: Rule = Rule {
    key: "log.target-triple",
    severity: Severity::Error,
    invariant: "the linker never links modules of different target triples",
    broken: "messages report modules of different target triples",
    why: "some objects were compiled for another target; on a native build the same defect prints nothing",
    fix: "check the flags of the object that the message names",
};

const TARGET_FEATURE: Rule = Rule {
    key: "log.target-feature",
    severity: Severity::Error,
    invariant: "the compiler knows every target feature and processor that it is given",
    broken: "messages report an unknown target feature or processor",
    why: "the back end compiles for another target than the front end did, and ignores what it does not know",
    fix: "check --target= in the back-end command of the object that is compiled at that line",
};

const OVERRIDE_MODULE: Rule = Rule {
    key: "log.override-module",
    severity: Severity::Error,
    invariant: "the back end never overrides the target triple of its input",
    broken: "messages report an overridden target triple",
    why: "the command line names another target than the one that the bitcode was compiled for: the saved flags are missing or wrong",
    fix: "check --target= in the back-end command of the object that is compiled at that line",
};

const INDEX_LOAD: Rule = Rule {
    key: "log.index-load",
    severity: Severity::Error,
    invariant: "every back end can load its index and its imported objects, and runs to its end",
    broken: "messages report a back end that failed",
    why: "clang prints this, exits 0 and leaves an empty native object",
    fix: "delete vmlinux.thinlto-index and run make again to redo the thin link",
};

const MODVERSIONS: Rule = Rule {
    key: "log.modversions",
    severity: Severity::Error,
    invariant: "modpost finds the CRC of every exported symbol",
    broken: "messages report an exported symbol without a CRC",
    why: "the symbol is exported with CRC 0, which is later read as a valid CRC",
    fix: "look for the #SYMVER line in the .cmd file of the object that defines the symbol",
};

const SHELL_TOOL: Rule = Rule {
    key: "log.shell-tool",
    severity: Severity::Error,
    invariant: "no sed, printf, grep, awk, xargs, archiver, nm or objcopy inside a recipe fails",
    broken: "messages report a failed command inside a recipe",
    why: "such a command often runs in a pipe or in $(shell ...), where its failure does not stop make: flags or members are lost silently",
    fix: "run make with V=1 and check the command at that line",
};

const UNCLASSIFIED: Rule = Rule {
    key: "log.unclassified",
    severity: Severity::Warning,
    invariant: "no other message of a build that finished reports an error",
    broken: "messages report an error that klto does not know",
    why: "a tool said that something went wrong, and make did not stop: what the tool made may be wrong or old",
    fix: "run make with V=1 and check the command at that line",
};

/// A message, by what a line of the log must hold: all of the texts.
const MESSAGES: &[(&Rule, &[&str])] = &[
    (
        &TARGET_TRIPLE,
        &["Linking two modules of different target triples"],
    ),
    (
        &TARGET_FEATURE,
        &["is not a recognized feature for this target"],
    ),
    (
        &TARGET_FEATURE,
        &["is not a recognized processor for this target"],
    ),
    (
        &OVERRIDE_MODULE,
        &["overriding the module target triple with"],
    ),
    (&OVERRIDE_MODULE, &["-Woverride-module"]),
    (&INDEX_LOAD, &["Error loading index file"]),
    (&INDEX_LOAD, &["Error loading imported file"]),
    (&INDEX_LOAD, &["Error running ThinLTO backend"]),
    // 7.2 says `EXPORT symbol "X" [vmlinux] version generation failed`, 7.3
    // `vmlinux: EXPORT symbol 'X' version generation failed`.
    (
        &MODVERSIONS,
        &["EXPORT symbol", "version generation failed"],
    ),
    (&MODVERSIONS, &["has no CRC"]),
    (&SHELL_TOOL, &["unrecognized option"]),
];

/// Tools whose own complaints count, as they name themselves at the start of a line.
const TOOLS: [&str; 10] = [
    "sed", "printf", "grep", "awk", "gawk", "mawk", "xargs", "ar", "nm", "objcopy",
];

/// A message that breaks a rule.
#[derive(Debug)]
pub struct Sign<'a> {
    rule: &'static Rule,
    line: usize,
    text: &'a str,
}

fn messages(context: &Context, found: &mut Found) -> usize {
    let signs = context.signs.get_or_init(|| signs(context.facts()));
    let rule = found.rule;
    for sign in signs.iter().filter(|sign| sign.rule == rule) {
        found.add(format!("line {}", sign.line), sign.text.trim());
    }
    // What may be in the rest of the log keeps the rule from judging it.
    let log = context.facts().log.as_ref();
    let whole = log.filter(|log| log.left_out == 0);
    whole.map_or(0, |log| log.messages.len())
}

/// A message breaks the first rule that it fits.
fn signs(facts: &Facts) -> Vec<Sign<'_>> {
    let messages = facts.log.iter().flat_map(|log| &log.messages);
    // The messages of a build that stopped are about that.
    let finished = facts.unfinished().is_none()
        && !messages
            .clone()
            .any(|(_, text)| text.contains("make") && text.contains(": *** "));
    messages
        .filter_map(|(line, text)| {
            let rule = MESSAGES
                .iter()
                .find(|(_, parts)| parts.iter().all(|part| text.contains(part)))
                .map(|(rule, _)| *rule)
                .or_else(|| complains(text).then_some(&SHELL_TOOL))
                .or_else(|| (finished && reports_error(text)).then_some(&UNCLASSIFIED))?;
            Some(Sign {
                rule,
                line: *line,
                text,
            })
        })
        .collect()
}

/// `sed: can't read x`, or `/bin/sh: 1: printf: …`, and no tool's mention in prose.
fn complains(text: &str) -> bool {
    let text = match text.split_once(": ") {
        Some((shell, rest)) if shell.ends_with("sh") && !shell.contains(' ') => rest
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == ':' || c == ' ')
            .trim_start_matches("line ")
            .trim_start_matches(|c: char| c.is_ascii_digit() || c == ':' || c == ' '),
        _ => text,
    };
    // llvm-ar-22 and llvm-ar alike.
    let tool = text.split(':').next().unwrap_or_default();
    let tool = tool.rsplit('/').next().unwrap_or_default();
    let tool = tool.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
    // LLVM's tools and those of a cross toolchain have a prefix.
    let is_tool = |name: &&str| {
        let prefix = tool.strip_suffix(*name);
        prefix.is_some_and(|prefix| prefix.is_empty() || prefix.ends_with('-'))
    };
    let is_harmless = text.contains(": warning: ") || text.ends_with(": no symbols");
    text.contains(": ") && !is_harmless && TOOLS.iter().any(is_tool)
}

/// Whether a message speaks of an error, and is not the text of a command that has one to print.
fn reports_error(text: &str) -> bool {
    const OF_COMMANDS: [&str; 8] = [" ; ", "; then", " | ", " > ", " >&", "&&", "$(", "$$"];
    const COMMANDS: [&str; 6] = ["set ", "echo ", "printf ", "if ", "test ", "sh "];
    // A warning may name anything; what distcc could not do, it did on this machine.
    const OTHER: [&str; 4] = ["warning: ", "WARNING: ", "note: ", "distcc["];

    let is_command = OF_COMMANDS.iter().any(|part| text.contains(part))
        || COMMANDS.iter().any(|command| text.starts_with(command));
    let is_other = OTHER.iter().any(|part| text.contains(part));
    // make was told to go on.
    let is_ignored = text.ends_with("(ignored)");
    !is_command && !is_other && !is_ignored && says_error(text)
}

/// Whether a text has the word in any case: not as a part of a name, a path or an option, not
/// quoted, and not to say that there are none.
fn says_error(text: &str) -> bool {
    const WORD: &str = "error";

    let text = text.to_ascii_lowercase();
    let is_in_name = |c: char| c.is_alphanumeric() || "_-/=.'\"`‘’()".contains(c);
    text.match_indices(WORD).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + WORD.len()..]);
        let after = after.strip_prefix('s').unwrap_or(after);
        // A full stop may end a sentence.
        let ends = !after.starts_with(is_in_name) || after == "." || after.starts_with(". ");
        let are_none = matches!(before.split_whitespace().next_back(), Some("0" | "no"));
        ends && !before.ends_with(is_in_name) && !are_none
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("sed: can't read init/.main.o.cmd: No such file or directory", true)]
    #[case("/bin/sh: 1: printf: not found", true)]
    #[case("/bin/bash: line 1: printf: `%': invalid format character", true)]
    #[case("llvm-ar-22: error: init/main.o: no such file", true)]
    #[case("warning: used: sed: see above", false)]
    #[case("make[1]: sed: x", false)]
    #[case("sed is a stream editor", false)]
    #[case("llvm-nm-22: error: a.o: No such file or directory", true)]
    #[case("/bin/sh: 1: llvm-nm-19: not found", true)]
    #[case("llvm-objcopy: error: 'vmlinux': No such file or directory", true)]
    #[case(
        "mawk: cannot open modules.builtin.modinfo (No such file or directory)",
        true
    )]
    #[case("awk: line 1: syntax error at or near ,", true)]
    #[case("aarch64-linux-gnu-objcopy: 'vmlinux': No such file", true)]
    #[case("fused: x", false)]
    #[case("nm: arch/x86/entry/vdso/note.o: no symbols", false)]
    #[case("grep: warning: stray \\ before -", false)]
    fn a_tool_complains_under_its_own_name(#[case] line: &str, #[case] expected: bool) {
        assert_eq!(complains(line), expected);
    }

    #[rstest]
    #[case("error: no such thing", true)]
    #[case("ld.lld: error: undefined symbol: x", true)]
    #[case("Error running a tool", true)]
    #[case("2 errors in a.c", true)]
    #[case("fixdep: error opening file: a.d: No such file", true)]
    #[case("It ended with an error.", true)]
    #[case("warning: x [-Werror,-Wx]", false)]
    #[case(
        "WARNING: modpost: vmlinux: section mismatch in reference: ext4_error+0x1",
        false
    )]
    #[case("fs/error.c: In function 'x':", false)]
    #[case("error.c: In function ‘error’:", false)]
    #[case(
        "fs/xfs/xfs_buf.c:148:8: warning: unused variable 'error' [-Wunused-variable]",
        false
    )]
    #[case(
        "WARNING: modpost: vmlinux: section mismatch in reference: error (section: .text)",
        false
    )]
    #[case("init/main.c:3:1: note: the error is here", false)]
    #[case(
        "insn_sanity: Success: decoded 1000000 random instructions with 0 errors (seed:0x1)",
        false
    )]
    #[case("There were no errors.", false)]
    #[case("There were 10 errors.", true)]
    #[case("distcc[7619] ERROR: compile on localhost failed", false)]
    #[case("[ERROR] cannot do it", true)]
    #[case("Generating error-names.h", false)]
    #[case("make[1]: [Makefile:1: x] Error 1 (ignored)", false)]
    #[case("if [ -e x ]; then echo 'error: x' >&2; fi", false)]
    #[case("set -e; error=1", false)]
    fn a_message_reports_an_error(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(reports_error(text), expected);
    }
}
