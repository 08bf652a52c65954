//! `compdb.*`: `compile_commands.json`, where it was asked for, says of each C file how it
//! is compiled. Assembly is not looked for: scripts of older kernels give it no entry.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Family, Findings, Subject};
use crate::model::facts::{CmdFile, CompileCommands, CompileCommandsFile, Facts, Name};
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "compdb",
    rules: &[&DAMAGED, &LOST_ENTRIES, &WRONG_COMMAND],
    applies: |subject| match subject.facts.compile_commands {
        CompileCommandsFile::Missing => false,
        CompileCommandsFile::Damaged(_) | CompileCommandsFile::Read(_) => true,
    },
    check,
};

const FILE: &str = "compile_commands.json";

const DAMAGED: Rule = Rule {
    key: "compdb.damaged",
    severity: Severity::Warning,
    invariant: "compile_commands.json is a JSON array of objects, each with file, directory, and command or arguments",
    broken: "objects break it",
    why: "clangd, clang-tidy and the static analyser read none of it",
    fix: "delete it and run make compile_commands.json; if it stays, look at what scripts/clang-tools/gen_compile_commands.py writes",
};

const LOST_ENTRIES: Rule = Rule {
    key: "compdb.lost-entries",
    severity: Severity::Warning,
    invariant: "compile_commands.json has an entry for the source of each object that is compiled from C, in vmlinux and in modules",
    broken: "objects break it",
    why: "clangd guesses the flags of such a file, clang-tidy and the static analyser pass over it, and nothing says so",
    fix: "look at which .cmd file scripts/clang-tools/gen_compile_commands.py reads for a member of vmlinux.a: that of a native object names no source, that of its IR object does",
};

const WRONG_COMMAND: Rule = Rule {
    key: "compdb.wrong-command",
    severity: Severity::Warning,
    invariant: "the command of each entry for a C file compiles a source file",
    broken: "objects break it",
    why: "the command of another step has other options, and a tool that runs it on the source fails or sees other code",
    fix: "the command must be that of the front end, from the .cmd file of the object that is compiled from the source",
};

fn check(subject: &Subject, findings: &mut Findings) {
    let facts = subject.facts;
    match &facts.compile_commands {
        CompileCommandsFile::Missing => {}
        CompileCommandsFile::Damaged(why) => findings.add(&DAMAGED, FILE, why),
        CompileCommandsFile::Read(commands) => check_entries(facts, commands, findings),
    }
}

/// The file is made on request alone. Where the build has gone on since, it may rightly
/// lack what came later: of an earlier build, nothing can be said.
fn check_entries(facts: &Facts, commands: &CompileCommands, findings: &mut Findings) {
    let mut objects: Vec<(Name, &CmdFile)> = Vec::new();
    if facts.reached("vmlinux.a") && !commands.stale {
        objects.extend(
            facts
                .objects
                .iter()
                .map(|object| (object.name, &object.cmd)),
        );
    }
    if !commands.stale_modules {
        let of_modules = facts.modules.iter().flat_map(|module| &module.objects);
        objects.extend(of_modules.map(|(object, cmd)| (*object, cmd)));
    }
    let mut instead_of: FxHashMap<Name, Option<Name>> = FxHashMap::default();
    for entry in &commands.entries {
        let instead = instead_of.entry(entry.source).or_default();
        *instead = instead.or(entry.instead);
    }
    let mut seen = FxHashSet::default();
    for (object, cmd) in objects {
        let Some(source) = cmd.read().and_then(|cmd| cmd.c_source) else {
            continue;
        };
        // An object may be in several modules.
        if !seen.insert(object) {
            continue;
        }
        match instead_of.get(&source) {
            None => findings.add(
                &LOST_ENTRIES,
                facts.text(object),
                format!("{FILE}: no entry for {}", facts.text(source)),
            ),
            Some(Some(instead)) => findings.add(
                &WRONG_COMMAND,
                facts.text(object),
                format!(
                    "{FILE}: the command for {} ends in «{}», and names no source file",
                    facts.text(source),
                    facts.text(*instead)
                ),
            ),
            Some(None) => {}
        }
    }
}
