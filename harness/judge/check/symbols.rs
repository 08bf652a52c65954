//! `symbols.*`: the native objects together define what their IR defined.

use rustc_hash::FxHashSet;

use super::{Context, Family, Found, Unit, row};
use crate::model::cell::LtoMode;
use crate::model::facts::{Elf, Facts, Name, ObjectFile};
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "symbols",
    rows: &[
        row(&LOST, Unit::Symbols, lost),
        row(&UNRESOLVED, Unit::References, unresolved),
    ],
    applies: |mode| mode != LtoMode::None,
};

const LOST: Rule = Rule {
    key: "symbols.lost",
    severity: Severity::Error,
    invariant: "a native object defines the global symbols that its IR defines",
    broken: "objects lack symbols that the IR defines",
    why: "the function or variable is not in the kernel; the link fails, or takes another definition",
    fix: "check whether the index and the input in the object's back-end command are those of the object",
};

const UNRESOLVED: Rule = Rule {
    key: "symbols.promotion-unresolved",
    severity: Severity::Error,
    invariant: "every reference to a promoted local (name.llvm.<hash>) has its definition",
    broken: "references name a promoted local that nothing defines",
    why: "objects and index disagree on the names of promoted locals: the final link fails",
    fix: "look for an option that changes promotion and is given only to the linker or only to the compiler (-mllvm), and for objects compiled with an old index",
};

fn lost(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    if !facts.reached("vmlinux.a") {
        return 0;
    }
    let mut looked_at = 0;
    for object in &facts.objects {
        let (ObjectFile::Ir(ir), Some(backend)) = (&object.file, &object.backend) else {
            continue;
        };
        let (Some(wanted), ObjectFile::Elf(elf)) = (&ir.defined, &backend.file) else {
            continue;
        };
        // elf.no-symbols reports an object without any symbol.
        if elf.defined.is_empty() {
            continue;
        }
        looked_at += wanted.len();
        let defined: FxHashSet<Name> = elf.defined.iter().copied().collect();
        let lost: Vec<&str> = wanted
            .iter()
            .filter(|name| !defined.contains(*name))
            .map(|name| facts.text(*name))
            .collect();
        if let Some(first) = lost.first() {
            found.add(
                facts.text(backend.native),
                format!(
                    "lacks {} of {} symbols, '{first}' first",
                    lost.len(),
                    wanted.len()
                ),
            );
        }
    }
    looked_at
}

fn unresolved(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    if !facts.reached("vmlinux.a") || !facts.objects_complete() {
        return 0;
    }
    let defined: FxHashSet<Name> = natives(facts)
        .flat_map(|(_, elf)| elf.defined.iter().copied())
        .collect();
    let references = natives(facts).flat_map(|(native, elf)| {
        elf.promoted_undefined
            .iter()
            .map(move |name| (native, *name))
    });
    let looked_at = found.each(references, |found, (native, name)| {
        if !defined.contains(&name) {
            found.add(
                facts.text(native),
                format!("refers to '{}', which no object defines", facts.text(name)),
            );
        }
    });
    if !found.findings.is_empty() || !facts.reached("vmlinux.o") {
        return looked_at;
    }
    looked_at
        + found.each(&facts.unresolved_promotions, |found, name| {
            found.add("vmlinux.o", format!("'{}' is undefined", facts.text(*name)));
        })
}

/// The native objects that hold machine code.
fn natives(facts: &Facts) -> impl Iterator<Item = (Name, &Elf)> {
    facts.objects.iter().filter_map(|object| {
        let backend = object.backend.as_deref()?;
        match &backend.file {
            ObjectFile::Elf(elf) => Some((backend.native, &**elf)),
            _ => None,
        }
    })
}
