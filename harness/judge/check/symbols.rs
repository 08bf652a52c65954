//! `symbols.*`: the native objects together define what their IR defined.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Context, Family, Found, Unit, row};
use crate::model::facts::{Code, Elf, Facts, Name, Object, ObjectFile, PROMOTED};
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "symbols",
    rows: &[
        row(&LOST, Unit::Symbols, lost),
        row(&UNRESOLVED, Unit::References, unresolved),
        row(&INITCALLS, Unit::Symbols, initcalls),
    ],
    applies: |_| true,
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
    invariant: "every reference to a promoted local has its definition, whether the local keeps its name or is renamed to name.llvm.<hash>",
    broken: "references name a promoted local that nothing defines",
    why: "objects and index disagree on the names of promoted locals: the final link fails",
    fix: "look for an option that changes promotion and is given only to the linker or only to the compiler (-mllvm), and for objects compiled with an old index",
};

const INITCALLS: Rule = Rule {
    key: "symbols.initcalls",
    severity: Severity::Error,
    invariant: "vmlinux, and the linker script that vmlinux.o is linked with, have each initcall of the linked objects once, and in each level in the order of the archive",
    broken: "files have other initcalls than the objects, or another order",
    why: "a driver is not started, or before what it needs: LTO mixes the objects' code, and only the script keeps the order",
    fix: "check scripts/generate_initcall_order.pl, which objects it is given, and when the script is generated",
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
    // What the promoted locals were that have new names.
    let renamed: FxHashSet<&str> = defined
        .iter()
        .filter_map(|name| Some(facts.text(*name).split_once(PROMOTED)?.0))
        .collect();
    let global: FxHashSet<Name> = facts
        .objects
        .iter()
        .filter_map(|object| object.file.defined())
        .flatten()
        .copied()
        .collect();
    let is_promoted = |name: &Name| {
        let text = facts.text(*name);
        let is_known = || defined.contains(name) || renamed.contains(text);
        text.contains(PROMOTED) || !global.contains(name) && is_known()
    };
    let references = natives(facts).flat_map(|(native, elf)| {
        let promoted = elf.hidden_undefined.iter().filter(|name| is_promoted(name));
        promoted.map(move |name| (native, *name))
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
    let vmlinux_o = facts.vmlinux_o.iter();
    let unresolved = vmlinux_o.flat_map(|vmlinux_o| &vmlinux_o.unresolved_promotions);
    looked_at
        + found.each(unresolved, |found, name| {
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

fn initcalls(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    if !facts.objects_complete() || !facts.reached("vmlinux.o") {
        return 0;
    }
    let Some(order) = order_of_initcalls(facts) else {
        return 0;
    };
    // Where no object is bitcode, the order of the objects is enough.
    let is_bitcode = |object: &Object| object.file.code() == Some(Code::Bitcode);
    let has_bitcode = facts.objects.iter().any(is_bitcode);
    let needs_script = |calls: &&Vec<_>| has_bitcode || !calls.is_empty();
    let vmlinux_o = facts.vmlinux_o.as_ref();
    let script = vmlinux_o.and_then(|o| o.initcall_script.as_ref());
    let script = script.filter(needs_script);
    let kernel = facts.vmlinux.as_ref().filter(|_| facts.reached("vmlinux"));
    let kernel = kernel.filter(|vmlinux| vmlinux.symbols > 0);
    let files = [
        ("vmlinux.o", "its linker script", script),
        ("vmlinux", "it", kernel.map(|vmlinux| &vmlinux.initcalls)),
    ];
    let mut looked_at = 0;
    for (file, subject, levels) in files {
        let Some(levels) = levels else { continue };
        looked_at += order.len();
        if let Some(difference) = initcall_difference(facts, &order, levels) {
            found.add(file, format!("{subject} {difference}"));
        }
    }
    looked_at
}

/// The initcalls of all built-in objects, each with the place of its object; `None` where those of
/// an object are not known.
fn order_of_initcalls(facts: &Facts) -> Option<FxHashMap<Name, usize>> {
    let mut order = FxHashMap::default();
    for (place, object) in facts.objects.iter().enumerate() {
        let initcalls = match &object.file {
            ObjectFile::Ir(ir) => ir.initcalls.as_ref()?,
            ObjectFile::Elf(elf) => &elf.initcalls,
            ObjectFile::Missing | ObjectFile::Empty | ObjectFile::Damaged(_) => return None,
        };
        order.extend(initcalls.iter().map(|call| (*call, place)));
    }
    Some(order)
}

/// What parts the initcalls of a file from those of the objects: what it lacks or has twice, or
/// the first that comes too early. Objects of `lib.a` archives are not among the built-in ones.
fn initcall_difference(
    facts: &Facts,
    order: &FxHashMap<Name, usize>,
    levels: &[Vec<Name>],
) -> Option<String> {
    let mut seen = FxHashSet::default();
    for call in levels.iter().flatten() {
        if !seen.insert(*call) {
            return Some(format!("has '{}' twice", facts.text(*call)));
        }
    }
    let lost = order.keys().filter(|call| !seen.contains(call));
    let lost: std::collections::BTreeSet<&str> = lost.map(|call| facts.text(*call)).collect();
    if let Some(first) = lost.first() {
        return Some(match lost.len() {
            1 => format!("lacks '{first}'"),
            several => format!("lacks {several} initcalls, '{first}' first"),
        });
    }
    let known = |calls: &[Name]| -> Vec<(Name, usize)> {
        let known = calls
            .iter()
            .filter_map(|call| Some((*call, *order.get(call)?)));
        known.collect()
    };
    levels.iter().find_map(|calls| {
        let calls = known(calls);
        let pair = calls.windows(2).find(|pair| pair[0].1 > pair[1].1)?;
        let [(early, _), (late, _)] = pair else {
            return None;
        };
        Some(format!(
            "has '{}' before '{}', the archive their objects in the other order",
            facts.text(*early),
            facts.text(*late)
        ))
    })
}
