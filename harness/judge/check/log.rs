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
    invariant: "the back end can load every summary index and every imported object",
    broken: "messages report an index or object that cannot be loaded",
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
    invariant: "no sed, printf, grep, xargs or archiver inside a recipe fails",
    broken: "messages report a failed command inside a recipe",
    why: "such a command often runs in a pipe or in $(shell ...), where its failure does not stop make: flags or members are lost silently",
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
    // 7.2 says `EXPORT symbol "X" [vmlinux] version generation failed`, 7.3
    // `vmlinux: EXPORT symbol 'X' version generation failed`.
    (
        &MODVERSIONS,
        &["EXPORT symbol", "version generation failed"],
    ),
    (&SHELL_TOOL, &["unrecognized option"]),
];

/// Tools whose own complaints count, as they name themselves at the start of a line.
const TOOLS: &[&str] = &[
    "sed: ",
    "printf: ",
    "grep: ",
    "xargs: ",
    "ar: ",
    "llvm-ar: ",
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
    let log = context.facts().log.as_ref();
    log.map_or(0, |log| log.messages.len())
}

/// A message breaks the first rule that it fits.
fn signs(facts: &Facts) -> Vec<Sign<'_>> {
    let messages = facts.log.iter().flat_map(|log| &log.messages);
    messages
        .filter_map(|(line, text)| {
            let rule = MESSAGES
                .iter()
                .find(|(_, parts)| parts.iter().all(|part| text.contains(part)))
                .map(|(rule, _)| *rule)
                .or_else(|| complains(text).then_some(&SHELL_TOOL))?;
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
    text.contains(": ") && TOOLS.iter().any(|name| name.trim_end_matches(": ") == tool)
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
    fn a_tool_complains_under_its_own_name(#[case] line: &str, #[case] expected: bool) {
        assert_eq!(complains(line), expected);
    }
}
