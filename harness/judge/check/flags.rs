//! `flags.*`: the back end compiles each object with the flags of its front
//! end. The flags travel through one line of the object's `.cmd` file
//! (`save_c_flags` in `scripts/Makefile.lib`), from where
//! `scripts/Makefile.thinlto` takes them.

use super::{Family, Findings, Subject};
use crate::model::cell::LtoMode;
use crate::model::facts::{Backend, Cmd, CmdFile, Facts, Name, Object, ObjectFile, SavedFlags};
use crate::model::finding::{Rule, Severity};
use crate::tree::clang_options::{code_options, contradiction, program};
use crate::tree::path::{cmd_file, normalise};

pub const FAMILY: Family = Family {
    name: "flags",
    rules: &[
        &SAVED_MISSING,
        &SAVED_TWICE,
        &SAVED_NAME,
        &SAVED_SYNTAX,
        &SAVED_DIFFERS,
        &BACKEND_UNRECORDED,
        &BACKEND_LACKS,
        &BACKEND_COMMAND,
        &BACKEND_CONTRADICTS,
        &COMPILER,
    ],
    applies: |subject| subject.mode == LtoMode::ThinDist,
    check,
};

const SAVED_MISSING: Rule = Rule {
    key: "flags.saved-missing",
    severity: Severity::Error,
    invariant: "every C object's .cmd file has a saved_c_flags line",
    broken: "objects break it",
    why: "the back end compiles the object with no flags at all: for the build machine's own target and code model, and silently so where that assembles",
    fix: "the object was built before the mode was switched, or by a rule without save_c_flags; delete it and run make again",
};

const SAVED_TWICE: Rule = Rule {
    key: "flags.saved-twice",
    severity: Severity::Error,
    invariant: "a .cmd file has one saved_c_flags line",
    broken: "objects break it",
    why: "the back end gets both lines' flags, one after the other",
    fix: "the .cmd file was appended to without being rewritten by fixdep; look at the order of the commands in rule_cc_o_c",
};

const SAVED_NAME: Rule = Rule {
    key: "flags.saved-name",
    severity: Severity::Error,
    invariant: "the saved_c_flags line names the object of its .cmd file",
    broken: "objects break it",
    why: "a line that names another object is that object's, and whoever looks flags up by name finds none",
    fix: "look at $@ in cmd_save_c_flags, and how the object's path is spelled",
};

const SAVED_SYNTAX: Rule = Rule {
    key: "flags.saved-syntax",
    severity: Severity::Error,
    invariant: "a shell can parse the saved flags",
    broken: "objects break it",
    why: "the back-end command fails, or swallows the options behind the open quote",
    fix: "the flags must be escaped for the shell that writes them ($(call escsq,…))",
};

const SAVED_DIFFERS: Rule = Rule {
    key: "flags.saved-differs",
    severity: Severity::Error,
    invariant: "the saved flags are the front-end command's own, in its order, but for what only the preprocessor reads",
    broken: "objects break it",
    why: "flags that the back end does not see, or sees in another order, give other code: another code model, another relocation kind, other sections",
    fix: "compare c_flags and saved_c_flags in scripts/Makefile.lib",
};

const BACKEND_UNRECORDED: Rule = Rule {
    key: "flags.backend-unrecorded",
    severity: Severity::Warning,
    invariant: "every native object has a .cmd file with its command",
    broken: "objects break it",
    why: "make cannot see that the command changed and will not rebuild the object; nor can anyone check it",
    fix: "the rule in scripts/Makefile.thinlto must use if_changed, and its target be in targets",
};

const BACKEND_LACKS: Rule = Rule {
    key: "flags.backend-lacks",
    severity: Severity::Error,
    invariant: "the back-end command carries the saved flags whole and in order",
    broken: "objects break it",
    why: "the native object is compiled with other flags than its front end: on a cross build for the wrong target, on a native one silently with the wrong code model",
    fix: "look how scripts/Makefile.thinlto finds the saved flags of this object: how its path is spelled, and whether its .cmd file was read",
};

const BACKEND_COMMAND: Rule = Rule {
    key: "flags.backend-command",
    severity: Severity::Error,
    invariant: "the back-end command compiles this object's IR, with this object's index, to this native object",
    broken: "objects break it",
    why: "another input or index gives code of another object under this name",
    fix: "look at the prerequisites of the native object in scripts/Makefile.thinlto",
};

const BACKEND_CONTRADICTS: Rule = Rule {
    key: "flags.backend-contradicts",
    severity: Severity::Error,
    invariant: "no option behind the saved flags turns one of them round",
    broken: "objects break it",
    why: "the last option wins, so the object is compiled differently from what its front end was told",
    fix: "remove the option from the back-end command in scripts/Makefile.thinlto",
};

const COMPILER: Rule = Rule {
    key: "flags.compiler",
    severity: Severity::Error,
    invariant: "front end and back end are the same compiler",
    broken: "objects break it",
    why: "another version reads the bitcode through its upgrade path and optimises by other rules",
    fix: "both commands must begin with $(CC)",
};

fn check(subject: &Subject, findings: &mut Findings) {
    let facts = subject.facts;
    for object in &facts.objects {
        let front = object.cmd.read();
        if let Some(front) = front.filter(|cmd| cmd.c_source.is_some()) {
            check_saved(facts, object, front, findings);
        }
        if let Some(backend) = &object.backend {
            check_backend(facts, object, front, backend, findings);
        }
    }
}

fn check_saved(facts: &Facts, object: &Object, front: &Cmd, findings: &mut Findings) {
    let name = facts.text(object.name);
    let [saved] = &front.saved[..] else {
        if let Some(second) = front.saved.get(1) {
            findings.add(
                &SAVED_TWICE,
                name,
                format!(
                    "{} lines, the second is {}",
                    front.saved.len(),
                    at(name, second)
                ),
            );
        } else {
            findings.add(
                &SAVED_MISSING,
                name,
                format!("{}: no saved_c_flags line", cmd_file(name)),
            );
        }
        return;
    };
    if saved.object != object.name {
        findings.add(
            &SAVED_NAME,
            name,
            format!(
                "{}: the line is for {}",
                at(name, saved),
                facts.text(saved.object)
            ),
        );
    }
    let flags = match &saved.flags {
        Ok(flags) => flags,
        Err(why) => {
            findings.add(&SAVED_SYNTAX, name, format!("{}: {why}", at(name, saved)));
            return;
        }
    };
    let Some(Ok(command)) = &front.command else {
        return;
    };
    let front_options = code_options(facts, &command[program(facts, command).len()..]);
    let saved_options = code_options(facts, flags);
    if front_options != saved_options {
        findings.add(
            &SAVED_DIFFERS,
            name,
            format!(
                "{}: {}",
                at(name, saved),
                difference(
                    facts,
                    &front_options,
                    &saved_options,
                    "the front end",
                    "the saved line"
                )
            ),
        );
    } else if let Some(word) = first_outside(flags, command) {
        findings.add(
            &SAVED_DIFFERS,
            name,
            format!(
                "{}: the saved line has «{}», which the front end has not there",
                at(name, saved),
                facts.text(word)
            ),
        );
    }
}

fn check_backend(
    facts: &Facts,
    object: &Object,
    front: Option<&Cmd>,
    backend: &Backend,
    findings: &mut Findings,
) {
    let native = facts.text(backend.native);
    if matches!(backend.file, ObjectFile::Missing) {
        return;
    }
    // Of an earlier build, and make has not come to it again.
    if !backend.stale.is_empty() && !facts.reached("vmlinux.a") {
        return;
    }
    let command = match &backend.cmd {
        CmdFile::Read(cmd) => cmd.command.as_ref(),
        CmdFile::Missing | CmdFile::Unreadable(_) => None,
    };
    let Some(Ok(command)) = command else {
        // make writes the .cmd file after the object: an interrupted build may
        // lack it, and will make the object again.
        if !facts.reached("vmlinux.a") {
            return;
        }
        findings.add(
            &BACKEND_UNRECORDED,
            native,
            match command {
                Some(Err(why)) => format!("{}: {why}", cmd_file(native)),
                _ => format!("{}: no savedcmd line", cmd_file(native)),
            },
        );
        return;
    };
    let compiler = program(facts, command);
    if let Some(Ok(front_command)) = front.and_then(|cmd| cmd.command.as_ref()) {
        let front_compiler = program(facts, front_command);
        if front_compiler != compiler {
            findings.add(
                &COMPILER,
                native,
                format!(
                    "front end «{}», back end «{}»",
                    join(facts, front_compiler),
                    join(facts, compiler)
                ),
            );
        }
    }
    let options = &command[compiler.len()..];
    let saved = match front.map(|cmd| &cmd.saved[..]) {
        Some(
            [
                SavedFlags {
                    flags: Ok(flags), ..
                },
            ],
        ) => Some(flags),
        _ => None,
    };
    let behind = match saved {
        None => options,
        Some(saved) => match find_run(options, saved) {
            Some(start) => &options[start + saved.len()..],
            None => {
                findings.add(
                    &BACKEND_LACKS,
                    native,
                    format!(
                        "{}: {}",
                        cmd_file(native),
                        difference(facts, saved, options, "the saved line", "the back end")
                    ),
                );
                options
            }
        },
    };
    check_ir_options(facts, object, backend, behind, findings);
    if let Some(saved) = saved
        && behind.len() < options.len()
        && let Some((option, undone)) = contradiction(facts, saved, behind)
    {
        findings.add(
            &BACKEND_CONTRADICTS,
            native,
            format!("{}: «{option}» undoes «{undone}»", cmd_file(native)),
        );
    }
}

/// Whether the command reads this object's IR and index and writes its native object.
fn check_ir_options(
    facts: &Facts,
    object: &Object,
    backend: &Backend,
    options: &[Name],
    findings: &mut Findings,
) {
    let name = facts.text(object.name);
    let native = facts.text(backend.native);
    let texts: Vec<&str> = options.iter().map(|o| facts.text(*o)).collect();
    let same = |path: &str, expected: &str| normalise(path) == expected;
    let pair = |first: &str, second: &dyn Fn(&str) -> bool| {
        texts.windows(2).any(|w| w[0] == first && second(w[1]))
    };
    let index = format!("{name}.thinlto.bc");
    let expectations: [(bool, String); 4] = [
        (pair("-x", &|kind| kind == "ir"), "-x ir".to_owned()),
        (
            texts
                .iter()
                .filter_map(|o| o.strip_prefix("-fthinlto-index="))
                .next_back()
                .is_some_and(|path| same(path, &index)),
            format!("-fthinlto-index={index}"),
        ),
        (pair("-o", &|out| same(out, native)), format!("-o {native}")),
        (
            texts.last().is_some_and(|input| same(input, name)),
            format!("the input {name} at its end"),
        ),
    ];
    for (holds, expected) in expectations {
        if !holds {
            findings.add(
                &BACKEND_COMMAND,
                native,
                format!(
                    "{}: expected {expected}, found «… {}»",
                    cmd_file(native),
                    texts[texts.len().saturating_sub(8)..].join(" ")
                ),
            );
            return;
        }
    }
}

/// The first of `words` that `command` does not have, or not in that order.
fn first_outside(words: &[Name], command: &[Name]) -> Option<Name> {
    let mut rest = command.iter();
    words.iter().find(|word| !rest.any(|c| c == *word)).copied()
}

fn find_run(haystack: &[Name], needle: &[Name]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// Says how two option lists differ: what one lacks, or else where the order parts.
fn difference(facts: &Facts, left: &[Name], right: &[Name], a: &str, b: &str) -> String {
    let only = |these: &[Name], those: &[Name]| {
        let mut left_over = those.to_vec();
        let mut only = Vec::new();
        for option in these {
            match left_over.iter().position(|o| o == option) {
                Some(at) => {
                    left_over.swap_remove(at);
                }
                None => only.push(*option),
            }
        }
        only
    };
    let (lost, added) = (only(left, right), only(right, left));
    if !lost.is_empty() {
        format!("{b} lacks «{}», which {a} has", shorten(facts, &lost))
    } else if !added.is_empty() {
        format!("{b} has «{}», which {a} lacks", shorten(facts, &added))
    } else {
        let at = left
            .iter()
            .zip(right)
            .position(|(l, r)| l != r)
            .unwrap_or(0);
        format!(
            "the same options in another order: {a} has «{}» where {b} has «{}»",
            facts.text(left[at]),
            facts.text(right[at])
        )
    }
}

fn shorten(facts: &Facts, options: &[Name]) -> String {
    const SHOWN: usize = 6;
    let shown = join(facts, &options[..options.len().min(SHOWN)]);
    match options.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} … and {more} more"),
    }
}

fn join(facts: &Facts, words: &[Name]) -> String {
    words
        .iter()
        .map(|w| facts.text(*w))
        .collect::<Vec<_>>()
        .join(" ")
}

fn at(object: &str, saved: &SavedFlags) -> String {
    format!("{}:{}", cmd_file(object), saved.line)
}
