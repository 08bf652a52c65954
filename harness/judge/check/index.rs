//! `index.*`: the thin link saw every IR object, and each has the summary index
//! and the native object that were made for it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Context, Family, Found, Unit, ir_objects, row};
use crate::model::cell::LtoMode;
use crate::model::facts::{Backend, Facts, IndexedModule, Name, Object, ObjectFile, SummaryFile};
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "index",
    rows: &[
        row(&NOT_LISTED, Unit::Objects, not_listed),
        row(&NOT_IR, Unit::Entries, not_ir),
        row(&SUMMARY_MISSING, Unit::Objects, summary_missing),
        row(&SUMMARY_DAMAGED, Unit::Files, summary_damaged),
        row(&SUMMARY_OTHER, Unit::Files, summary_other),
        row(&SUMMARY_HASH, Unit::Hashes, summary_hash),
        row(&NATIVE_MISSING, Unit::Objects, native_missing),
        row(&STALE, Unit::Objects, stale),
    ],
    applies: |mode| mode == LtoMode::ThinDist,
};

const NOT_LISTED: Rule = Rule {
    key: "index.not-listed",
    severity: Severity::Error,
    invariant: "the thin-link index lists every IR member of builtin.order",
    broken: "objects are missing from the thin-link index",
    why: "the back end does not compile an IR object that the index lacks; its bitcode goes into vmlinux.a and is compiled at the link without its flags",
    fix: "check whether the object was compiled for full LTO (-flto without =thin), and whether the thin link was given it",
};

const NOT_IR: Rule = Rule {
    key: "index.not-ir",
    severity: Severity::Error,
    invariant: "the thin-link index lists only IR members of builtin.order, each once",
    broken: "entries do not belong in the thin-link index",
    why: "an extra name replaces a good object in vmlinux.a by one that is stale or does not exist",
    fix: "check the command that made vmlinux.thinlto-index; it must take builtin.order and nothing else",
};

const SUMMARY_MISSING: Rule = Rule {
    key: "index.summary-missing",
    severity: Severity::Error,
    invariant: "every listed object has its .thinlto.bc",
    broken: "objects have no .thinlto.bc file",
    why: "clang compiles without imports, or leaves an empty object, and exits 0",
    fix: "delete vmlinux.thinlto-index and run make again to redo the thin link",
};

const SUMMARY_DAMAGED: Rule = Rule {
    key: "index.summary-damaged",
    severity: Severity::Error,
    invariant: "every listed object's .thinlto.bc is a whole summary index",
    broken: "summaries are damaged",
    why: "with a damaged index clang prints 'Error loading index file', exits 0 and leaves an empty object",
    fix: "delete vmlinux.thinlto-index and run make again to redo the thin link",
};

const SUMMARY_OTHER: Rule = Rule {
    key: "index.summary-other-module",
    severity: Severity::Error,
    invariant: "each .thinlto.bc was made for the object that it is named after, and speaks of all that the object defines",
    broken: "summaries belong to another module",
    why: "clang silently accepts the index of another module: it then imports and promotes what the other objects do not expect",
    fix: "check how the names of objects and of their .thinlto.bc are paired; delete vmlinux.thinlto-index and run make again",
};

const SUMMARY_HASH: Rule = Rule {
    key: "index.summary-hash",
    severity: Severity::Error,
    invariant: "the module hashes inside a .thinlto.bc are those of the IR objects",
    broken: "modules have a wrong hash in a summary index",
    why: "the index was made for another content of the object: the decisions of the thin link do not fit the code",
    fix: "an object was rebuilt without a new thin link; check the prerequisites of vmlinux.thinlto-index",
};

const NATIVE_MISSING: Rule = Rule {
    key: "index.native-missing",
    severity: Severity::Error,
    invariant: "every listed object has its native object",
    broken: "objects have no native object",
    why: "vmlinux.a names a file that does not exist, so the next link fails",
    fix: "run make again; if the finding stays, check the targets of scripts/Makefile.thinlto",
};

const STALE: Rule = Rule {
    key: "index.stale",
    severity: Severity::Error,
    invariant: "no file is older than what it was made from",
    broken: "files are older than an input",
    why: "what is linked was made from an earlier state of the source",
    fix: "run make again; if the finding stays, the rule that makes the file lacks a prerequisite",
};

/// The index, and what is known of the objects in it.
#[derive(Debug, Default)]
pub struct Listed<'a> {
    /// As in the file.
    entries: &'a [Name],
    /// The objects that it lists and that the back end compiles, in archive order.
    objects: Vec<(&'a Object, &'a Backend)>,
}

impl<'a> Listed<'a> {
    /// Empty where the thin link is not done.
    fn of(facts: &'a Facts) -> Listed<'a> {
        let Some(entries) = facts.index.as_deref().filter(|_| is_linked(facts)) else {
            return Listed::default();
        };
        let names: FxHashSet<Name> = entries.iter().copied().collect();
        let listed = facts.objects.iter().filter(|o| names.contains(&o.name));
        Listed {
            entries,
            objects: listed
                .filter_map(|object| Some((object, object.backend.as_deref()?)))
                .collect(),
        }
    }
}

/// Whether the thin link is done.
fn is_linked(facts: &Facts) -> bool {
    facts.index.is_some() && facts.reached(&facts.file_names.index)
}

fn listed<'c, 'a>(context: &'c Context<'a>) -> &'c Listed<'a> {
    context.listed.get_or_init(|| Listed::of(context.facts()))
}

fn not_listed(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    if !is_linked(facts) {
        return 0;
    }
    let entries: FxHashSet<Name> = listed(context).entries.iter().copied().collect();
    found.each(ir_objects(facts), |found, (name, ir)| {
        if !entries.contains(&name) {
            let summary = match ir.thin {
                true => "with a ThinLTO summary",
                false => "without a ThinLTO summary (full LTO)",
            };
            let index = &facts.file_names.index;
            found.add(
                facts.text(name),
                format!("bitcode {summary}, not in {index}"),
            );
        }
    })
}

fn not_ir(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let by_name: FxHashMap<Name, &Object> = facts.objects.iter().map(|o| (o.name, o)).collect();
    let mut seen = FxHashSet::default();
    let mut looked_at = 0;
    let index = &facts.file_names.index;
    for name in listed(context).entries {
        let is_first = seen.insert(*name);
        let object = by_name.get(name).map(|object| &object.file);
        if is_first && object.is_none() && !facts.objects_complete() {
            continue;
        }
        looked_at += 1;
        let evidence = match object {
            _ if !is_first => format!("{index} lists it twice"),
            None => format!("listed in {index}, but not a member of built-in-fixup.a"),
            Some(ObjectFile::Elf(_)) => format!("listed in {index}, but it holds machine code"),
            Some(
                ObjectFile::Ir(_)
                | ObjectFile::Missing
                | ObjectFile::Empty
                | ObjectFile::Damaged(_),
            ) => continue,
        };
        found.add(facts.text(*name), evidence);
    }
    looked_at
}

fn summary_file(facts: &Facts, object: &Object) -> String {
    format!("{}.thinlto.bc", facts.text(object.name))
}

fn lists(facts: &Facts, object: &Object) -> String {
    format!(
        "{} lists {}",
        facts.file_names.index,
        facts.text(object.name)
    )
}

fn summary_missing(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    found.each(&listed(context).objects, |found, (object, backend)| {
        if matches!(backend.summary, SummaryFile::Missing) {
            found.add(summary_file(facts, object), lists(facts, object));
        }
    })
}

fn summary_damaged(context: &Context, found: &mut Found) -> usize {
    let objects = listed(context).objects.iter();
    let there = objects.filter(|(_, b)| !matches!(b.summary, SummaryFile::Missing));
    found.each(there, |found, (object, backend)| {
        if let SummaryFile::Damaged(why) = &backend.summary {
            found.add(summary_file(context.facts(), object), why);
        }
    })
}

/// The summaries that could be read: of which object, the modules in it, and whether it is
/// the stub of a member that is not linked.
fn summaries<'c>(
    context: &'c Context<'_>,
) -> impl Iterator<Item = (&'c Object, &'c [IndexedModule], bool)> {
    let objects = listed(context).objects.iter();
    objects.filter_map(|(object, backend)| match &backend.summary {
        SummaryFile::Read { modules, skip } => Some((*object, &modules[..], *skip)),
        SummaryFile::Missing | SummaryFile::Damaged(_) => None,
    })
}

/// The module of the object itself, in its own summary.
fn own<'a>(object: &Object, modules: &'a [IndexedModule]) -> Option<&'a IndexedModule> {
    modules.iter().find(|module| module.name == object.name)
}

fn summary_other(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    found.each(summaries(context), |found, (object, modules, is_stub)| {
        if is_stub {
            found.add(
                summary_file(facts, object),
                format!(
                    "the stub for a member that is not linked, though {} lists the object",
                    facts.file_names.index
                ),
            );
            return;
        }
        let name = facts.text(object.name);
        let Some(own) = own(object, modules) else {
            let others = modules.iter().take(3).map(|m| facts.text(m.name));
            let others = match &others.collect::<Vec<_>>()[..] {
                [] => "no module".to_owned(),
                others => others.join(", "),
            };
            let evidence = format!("does not describe {name}, but {others}");
            return found.add(summary_file(facts, object), evidence);
        };
        if let ObjectFile::Ir(ir) = &object.file
            && own.summaries < ir.summaries
        {
            let (some, all) = (own.summaries, ir.summaries);
            let evidence = format!("describes {some} of the {all} definitions of {name}: it was made for a module that imports them");
            found.add(summary_file(facts, object), evidence);
        }
    })
}

fn summary_hash(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let hashes: FxHashMap<Name, [u32; 5]> = ir_objects(facts)
        .filter_map(|(name, ir)| Some((name, ir.hash?)))
        .collect();
    let of_their_object = summaries(context)
        .filter(|(object, modules, is_stub)| !is_stub && own(object, modules).is_some());
    let known = of_their_object.flat_map(|(object, modules, _)| {
        modules.iter().filter_map({
            let hashes = &hashes;
            move |module| {
                Some((
                    object,
                    module.name,
                    module.hash?,
                    *hashes.get(&module.name)?,
                ))
            }
        })
    });
    found.each(known, |found, (object, path, inside, actual)| {
        if inside != actual {
            found.add(
                summary_file(facts, object),
                format!(
                    "has {} for {}, whose own hash is {}",
                    hex(&inside),
                    facts.text(path),
                    hex(&actual)
                ),
            );
        }
    })
}

/// The listed objects, where all back ends are done.
fn compiled<'c, 'a>(context: &'c Context<'a>) -> &'c [(&'a Object, &'a Backend)] {
    match context.facts().reached("vmlinux.a") {
        true => &listed(context).objects,
        false => &[],
    }
}

fn native_missing(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    found.each(compiled(context), |found, (object, backend)| {
        if matches!(backend.file, ObjectFile::Missing) {
            found.add(facts.text(backend.native), lists(facts, object));
        }
    })
}

fn stale(context: &Context, found: &mut Found) -> usize {
    let times_kept = context.facts().times_kept;
    let timed = compiled(context).iter().filter(|_| times_kept);
    found.each(timed, |found, (_, backend)| {
        for (made, from) in &backend.stale {
            found.add(made, format!("older than {from}"));
        }
    })
}

fn hex(hash: &[u32; 5]) -> String {
    hash.iter().map(|word| format!("{word:08x}")).collect()
}
