//! `compdb.*`: `compile_commands.json`, where it was asked for, says of each C file how it
//! is compiled. Assembly is not looked for: scripts of older kernels give it no entry.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Context, Family, Found, Unit, row};
use crate::model::facts::{CmdFile, CompileCommands, CompileCommandsFile, Facts, Name};
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "compdb",
    rows: &[
        row(&DAMAGED, Unit::Files, damaged),
        row(&LOST_ENTRIES, Unit::Objects, lost_entries),
        row(&WRONG_COMMAND, Unit::Objects, wrong_command),
    ],
    applies: |_| true,
};

const FILE: &str = "compile_commands.json";

const DAMAGED: Rule = Rule {
    key: "compdb.damaged",
    severity: Severity::Warning,
    invariant: "compile_commands.json is a JSON array of objects, each with file, directory, and command or arguments",
    broken: "files are not a valid compilation database",
    why: "clangd, clang-tidy and the static analyser read none of it",
    fix: "delete it and run make compile_commands.json; if the finding stays, check what scripts/clang-tools/gen_compile_commands.py writes",
};

const LOST_ENTRIES: Rule = Rule {
    key: "compdb.lost-entries",
    severity: Severity::Warning,
    invariant: "compile_commands.json has an entry for the source of each object that is compiled from C, in vmlinux and in modules",
    broken: "objects have no entry in compile_commands.json",
    why: "clangd guesses the flags of such a file; clang-tidy and the static analyser silently skip it",
    fix: "check which .cmd file scripts/clang-tools/gen_compile_commands.py reads for a member of vmlinux.a: the one of a native object names no source, the one of its IR object does",
};

const WRONG_COMMAND: Rule = Rule {
    key: "compdb.wrong-command",
    severity: Severity::Warning,
    invariant: "the command of each entry for a C file compiles a source file",
    broken: "commands do not compile a source file",
    why: "the command of another step has other options, and a tool that runs it on the source fails or sees other code",
    fix: "take the front end's command, from the .cmd file of the object that is compiled from the source",
};

fn damaged(context: &Context, found: &mut Found) -> usize {
    match &context.facts().compile_commands {
        CompileCommandsFile::Missing => return 0,
        CompileCommandsFile::Damaged(why) => found.add(FILE, why),
        CompileCommandsFile::Read(_) => {}
    }
    1
}

/// The objects that are compiled from C, and what the file says of their sources.
#[derive(Debug, Default)]
pub struct Sources {
    /// Each object once, with its source.
    objects: Vec<(Name, Name)>,
    /// The sources that have an entry; as [`crate::model::facts::CompileCommand::instead`].
    instead_of: FxHashMap<Name, Option<Name>>,
}

fn sources<'c>(context: &'c Context) -> &'c Sources {
    let facts = context.facts();
    context
        .sources
        .get_or_init(|| match &facts.compile_commands {
            CompileCommandsFile::Missing | CompileCommandsFile::Damaged(_) => Sources::default(),
            CompileCommandsFile::Read(commands) => read_sources(facts, commands),
        })
}

/// The file is made only on request. If the build has gone on since, it need not have what
/// came later: nothing can be said of an earlier build.
fn read_sources(facts: &Facts, commands: &CompileCommands) -> Sources {
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
        objects.extend(of_modules.map(|object| (object.name, &object.cmd)));
    }
    let mut instead_of: FxHashMap<Name, Option<Name>> = FxHashMap::default();
    for entry in &commands.entries {
        let instead = instead_of.entry(entry.source).or_default();
        *instead = instead.or(entry.instead);
    }
    let mut seen = FxHashSet::default();
    let from_c = objects.into_iter().filter_map(|(object, cmd)| {
        let source = cmd.read().and_then(|cmd| cmd.c_source)?;
        // An object may be in several modules.
        seen.insert(object).then_some((object, source))
    });
    Sources {
        objects: from_c.collect(),
        instead_of,
    }
}

fn lost_entries(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let sources = sources(context);
    found.each(&sources.objects, |found, (object, source)| {
        if !sources.instead_of.contains_key(source) {
            found.add(
                facts.text(*object),
                format!("{FILE}: no entry for {}", facts.text(*source)),
            );
        }
    })
}

fn wrong_command(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let sources = sources(context);
    let with_entry = sources.objects.iter().filter_map(|(object, source)| {
        let instead = sources.instead_of.get(source)?;
        Some((*object, *source, *instead))
    });
    found.each(with_entry, |found, (object, source, instead)| {
        if let Some(instead) = instead {
            found.add(
                facts.text(object),
                format!(
                    "{FILE}: the command for {} ends in '{}', and names no source file",
                    facts.text(source),
                    facts.text(instead)
                ),
            );
        }
    })
}
