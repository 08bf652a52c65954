//! `symbols.*`: the native objects together define what their IR defined.

use rustc_hash::FxHashSet;

use super::{Family, Findings, Subject};
use crate::model::cell::LtoMode;
use crate::model::facts::{Facts, Name, ObjectFile};
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "symbols",
    rules: &[&LOST, &UNRESOLVED],
    applies: |subject| subject.mode != LtoMode::None,
    check,
};

const LOST: Rule = Rule {
    key: "symbols.lost",
    severity: Severity::Error,
    invariant: "a native object defines the global symbols that its IR defines",
    broken: "objects break it",
    why: "the function or object is not in the kernel; the link fails, or takes another definition",
    fix: "compare the index and the input that the back-end command was given with the object",
};

const UNRESOLVED: Rule = Rule {
    key: "symbols.promotion-unresolved",
    severity: Severity::Error,
    invariant: "every reference to a promoted local (name.llvm.<hash>) has its definition",
    broken: "objects break it",
    why: "objects and index disagree on how promoted locals are named: the final link fails",
    fix: "look for an option that changes promotion and is given to the linker or to the compiler alone (-mllvm), and for objects compiled with an old index",
};

fn check(subject: &Subject, findings: &mut Findings) {
    let facts = subject.facts;
    if !facts.reached("vmlinux.a") {
        return;
    }
    check_lost(facts, findings);
    check_promotions(facts, findings);
}

fn check_lost(facts: &Facts, findings: &mut Findings) {
    for object in &facts.objects {
        let (ObjectFile::Ir(ir), Some(backend)) = (&object.file, &object.backend) else {
            continue;
        };
        let (Some(wanted), ObjectFile::Elf(elf)) = (&ir.defined, &backend.file) else {
            continue;
        };
        // An object with no symbol at all is the business of elf.no-symbols.
        if elf.defined.is_empty() {
            continue;
        }
        let defined: FxHashSet<Name> = elf.defined.iter().copied().collect();
        let lost: Vec<&str> = wanted
            .iter()
            .filter(|name| !defined.contains(*name))
            .map(|name| facts.text(*name))
            .collect();
        if let Some(first) = lost.first() {
            findings.add(
                &LOST,
                facts.text(backend.native),
                format!(
                    "lacks {} of {} symbols, «{first}» first",
                    lost.len(),
                    wanted.len()
                ),
            );
        }
    }
}

fn check_promotions(facts: &Facts, findings: &mut Findings) {
    if !facts.objects_complete() {
        return;
    }
    let natives = || {
        facts.objects.iter().filter_map(|object| {
            let backend = object.backend.as_deref()?;
            match &backend.file {
                ObjectFile::Elf(elf) => Some((backend.native, elf)),
                _ => None,
            }
        })
    };
    let defined: FxHashSet<Name> = natives()
        .flat_map(|(_, elf)| elf.defined.iter().copied())
        .collect();
    let mut found = false;
    for (native, elf) in natives() {
        for name in elf
            .promoted_undefined
            .iter()
            .filter(|n| !defined.contains(*n))
        {
            found = true;
            findings.add(
                &UNRESOLVED,
                facts.text(native),
                format!("refers to «{}», which no object defines", facts.text(*name)),
            );
        }
    }
    if !found && facts.reached("vmlinux.o") {
        for name in &facts.unresolved_promotions {
            findings.add(
                &UNRESOLVED,
                "vmlinux.o",
                format!("«{}» is undefined", facts.text(*name)),
            );
        }
    }
}
