//! `index.*`: the thin link saw every IR object, and each has the summary index
//! and the native object that were made for it.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Family, Findings, Subject};
use crate::model::cell::LtoMode;
use crate::model::facts::{Backend, Facts, Name, Object, ObjectFile, SummaryFile};
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "index",
    rules: &[
        &NOT_LISTED,
        &NOT_IR,
        &SUMMARY_MISSING,
        &SUMMARY_DAMAGED,
        &SUMMARY_OTHER,
        &SUMMARY_HASH,
        &NATIVE_MISSING,
        &STALE,
    ],
    applies: |subject| subject.mode == LtoMode::ThinDist,
    check,
};

const NOT_LISTED: Rule = Rule {
    key: "index.not-listed",
    severity: Severity::Error,
    invariant: "the thin-link index lists every IR member of builtin.order",
    broken: "objects break it",
    why: "an IR object that the index lacks gets no back-end compile; its bitcode goes into vmlinux.a and is compiled at the link without its flags",
    fix: "look whether the object is a full-LTO one (its flags say -flto without =thin), or the thin link was not given it",
};

const NOT_IR: Rule = Rule {
    key: "index.not-ir",
    severity: Severity::Error,
    invariant: "the thin-link index lists IR members of builtin.order alone, each once",
    broken: "objects break it",
    why: "a name too many replaces a good object in vmlinux.a by one that is stale or does not exist",
    fix: "look at the command that made vmlinux.thinlto-index; it must take builtin.order and nothing else",
};

const SUMMARY_MISSING: Rule = Rule {
    key: "index.summary-missing",
    severity: Severity::Error,
    invariant: "every listed object has its .thinlto.bc",
    broken: "objects break it",
    why: "clang compiles without imports, or leaves an empty object, and exits 0",
    fix: "delete vmlinux.thinlto-index and run make again, so that the thin link is made anew",
};

const SUMMARY_DAMAGED: Rule = Rule {
    key: "index.summary-damaged",
    severity: Severity::Error,
    invariant: "every listed object's .thinlto.bc is a whole summary index",
    broken: "objects break it",
    why: "with a damaged index clang prints «Error loading index file», exits 0 and leaves an empty object",
    fix: "delete vmlinux.thinlto-index and run make again, so that the thin link is made anew",
};

const SUMMARY_OTHER: Rule = Rule {
    key: "index.summary-other-module",
    severity: Severity::Error,
    invariant: "a .thinlto.bc is the one of the object beside it",
    broken: "objects break it",
    why: "clang takes another module's index without a word: imports and promotions are then made that the other objects do not expect",
    fix: "look how the names of objects and of their .thinlto.bc are paired; delete vmlinux.thinlto-index and run make again",
};

const SUMMARY_HASH: Rule = Rule {
    key: "index.summary-hash",
    severity: Severity::Error,
    invariant: "the module hashes inside a .thinlto.bc are those of the IR objects",
    broken: "objects break it",
    why: "the index was made for another content of the object: the decisions of the thin link do not fit the code",
    fix: "an object was rebuilt without a new thin link; look at the prerequisites of vmlinux.thinlto-index",
};

const NATIVE_MISSING: Rule = Rule {
    key: "index.native-missing",
    severity: Severity::Error,
    invariant: "every listed object has its native object",
    broken: "objects break it",
    why: "vmlinux.a names a file that does not exist, so the next link fails",
    fix: "run make again; if it stays, look at the targets of scripts/Makefile.thinlto",
};

const STALE: Rule = Rule {
    key: "index.stale",
    severity: Severity::Error,
    invariant: "no file is older than what it was made from",
    broken: "objects break it",
    why: "what is linked was made from an earlier state of the source",
    fix: "run make again; if it stays, the rule that makes the file lacks a prerequisite",
};

fn check(subject: &Subject, findings: &mut Findings) {
    let facts = subject.facts;
    let Some(index) = facts.index.as_deref() else {
        return;
    };
    if !facts.reached("vmlinux.thinlto-index") {
        return;
    }
    check_list(facts, index, findings);

    let listed: FxHashSet<Name> = index.iter().copied().collect();
    let hashes: FxHashMap<Name, [u32; 5]> = facts
        .objects
        .iter()
        .filter_map(|object| match &object.file {
            ObjectFile::Ir(ir) => ir.hash.map(|hash| (object.name, hash)),
            _ => None,
        })
        .collect();
    let backend_done = facts.reached("vmlinux.a");
    for object in facts.objects.iter().filter(|o| listed.contains(&o.name)) {
        let Some(backend) = object.backend.as_deref() else {
            continue;
        };
        check_summary(facts, object, backend, &hashes, findings);
        if !backend_done {
            continue;
        }
        let native = facts.text(backend.native);
        if matches!(backend.file, ObjectFile::Missing) {
            findings.add(
                &NATIVE_MISSING,
                native,
                format!("vmlinux.thinlto-index lists {}", facts.text(object.name)),
            );
        }
        for (made, from) in &backend.stale {
            findings.add(&STALE, made, format!("older than {from}"));
        }
    }
}

fn check_list(facts: &Facts, index: &[Name], findings: &mut Findings) {
    let by_name: FxHashMap<Name, &Object> = facts.objects.iter().map(|o| (o.name, o)).collect();
    let mut listed = FxHashSet::default();
    for name in index {
        let text = facts.text(*name);
        if !listed.insert(*name) {
            findings.add(&NOT_IR, text, "vmlinux.thinlto-index lists it twice");
            continue;
        }
        match by_name.get(name).map(|object| &object.file) {
            None if !facts.objects_complete() => {}
            None => findings.add(
                &NOT_IR,
                text,
                "listed in vmlinux.thinlto-index, but no member of built-in-fixup.a",
            ),
            Some(ObjectFile::Elf(_)) => findings.add(
                &NOT_IR,
                text,
                "listed in vmlinux.thinlto-index, but it holds machine code",
            ),
            Some(
                ObjectFile::Ir(_)
                | ObjectFile::Missing
                | ObjectFile::Empty
                | ObjectFile::Damaged(_),
            ) => {}
        }
    }
    for object in &facts.objects {
        if let ObjectFile::Ir(ir) = &object.file
            && !listed.contains(&object.name)
        {
            findings.add(
                &NOT_LISTED,
                facts.text(object.name),
                if ir.thin {
                    "bitcode with a ThinLTO summary, not in vmlinux.thinlto-index"
                } else {
                    "bitcode without a ThinLTO summary (full LTO), not in vmlinux.thinlto-index"
                },
            );
        }
    }
}

fn check_summary(
    facts: &Facts,
    object: &Object,
    backend: &Backend,
    hashes: &FxHashMap<Name, [u32; 5]>,
    findings: &mut Findings,
) {
    let file = format!("{}.thinlto.bc", facts.text(object.name));
    match &backend.summary {
        SummaryFile::Missing => findings.add(
            &SUMMARY_MISSING,
            file,
            format!("vmlinux.thinlto-index lists {}", facts.text(object.name)),
        ),
        SummaryFile::Damaged(why) => findings.add(&SUMMARY_DAMAGED, file, why),
        SummaryFile::Read { skip: true, .. } => findings.add(
            &SUMMARY_OTHER,
            file,
            "the stub for a member that is not linked, though vmlinux.thinlto-index lists the object",
        ),
        SummaryFile::Read { modules, .. } => {
            if !modules.iter().any(|(path, _)| *path == object.name) {
                let others: Vec<&str> =
                    modules.iter().take(3).map(|(m, _)| facts.text(*m)).collect();
                findings.add(
                    &SUMMARY_OTHER,
                    file,
                    format!(
                        "does not speak of {}, but of {}",
                        facts.text(object.name),
                        if others.is_empty() { "no module".to_owned() } else { others.join(", ") }
                    ),
                );
                return;
            }
            for (path, hash) in modules {
                let (Some(inside), Some(actual)) = (hash, hashes.get(path)) else {
                    continue;
                };
                if inside != actual {
                    findings.add(
                        &SUMMARY_HASH,
                        &file,
                        format!(
                            "has {} for {}, whose own hash is {}",
                            hex(inside),
                            facts.text(*path),
                            hex(actual)
                        ),
                    );
                }
            }
        }
    }
}

fn hex(hash: &[u32; 5]) -> String {
    hash.iter().map(|word| format!("{word:08x}")).collect()
}
