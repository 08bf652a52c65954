//! `log.*`: the build log holds no message that means a wrong build which
//! still exits 0.

use super::{Family, Findings, Subject};
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "log",
    rules: &[
        &TARGET_TRIPLE,
        &TARGET_FEATURE,
        &OVERRIDE_MODULE,
        &INDEX_LOAD,
        &MODVERSIONS,
        &SHELL_TOOL,
    ],
    applies: |subject| subject.facts.log.is_some(),
    check,
};

const TARGET_TRIPLE: Rule = Rule {
    key: "log.target-triple",
    severity: Severity::Error,
    invariant: "the linker never links modules of different target triples",
    broken: "objects break it",
    why: "some objects were compiled for another target; on a native build the same defect says nothing",
    fix: "look at the flags of the object that the message names",
};

const TARGET_FEATURE: Rule = Rule {
    key: "log.target-feature",
    severity: Severity::Error,
    invariant: "the compiler knows every target feature that it is given",
    broken: "objects break it",
    why: "the back end compiles for another target than the front end did, and ignores what it does not know",
    fix: "look at --target= in the back-end command of the object compiled at that line",
};

const OVERRIDE_MODULE: Rule = Rule {
    key: "log.override-module",
    severity: Severity::Error,
    invariant: "the back end never overrides the target triple of its input",
    broken: "objects break it",
    why: "the command line's target is not the one that the bitcode was compiled for: the saved flags are missing or wrong",
    fix: "look at --target= in the back-end command of the object compiled at that line",
};

const INDEX_LOAD: Rule = Rule {
    key: "log.index-load",
    severity: Severity::Error,
    invariant: "the back end can load every summary index and every imported object",
    broken: "objects break it",
    why: "clang prints this, exits 0 and leaves an empty native object",
    fix: "delete vmlinux.thinlto-index and run make again, so that the thin link is made anew",
};

const MODVERSIONS: Rule = Rule {
    key: "log.modversions",
    severity: Severity::Error,
    invariant: "modpost finds the CRC of every exported symbol",
    broken: "objects break it",
    why: "the symbol is exported with the CRC 0, which later reads as valid",
    fix: "look for the #SYMVER line in the .cmd file of the object that defines the symbol",
};

const SHELL_TOOL: Rule = Rule {
    key: "log.shell-tool",
    severity: Severity::Error,
    invariant: "no sed, printf, grep, xargs or archiver inside a recipe fails",
    broken: "objects break it",
    why: "such a command often stands in a pipe or in $(shell …), where its failure does not stop make: flags or members are lost silently",
    fix: "run make with V=1 and look at the command at that line",
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
    // 7.2 says «EXPORT symbol "X" [vmlinux] version generation failed», 7.3
    // «vmlinux: EXPORT symbol 'X' version generation failed».
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

fn check(subject: &Subject, findings: &mut Findings) {
    let Some(log) = &subject.facts.log else {
        return;
    };
    for (line, text) in &log.messages {
        let rule = MESSAGES
            .iter()
            .find(|(_, parts)| parts.iter().all(|part| text.contains(part)))
            .map(|(rule, _)| *rule)
            .or_else(|| complains(text).then_some(&SHELL_TOOL));
        if let Some(rule) = rule {
            findings.add(rule, format!("line {line}"), text.trim());
        }
    }
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
