//! `elf.*`: every object that holds machine code holds it whole, and for the
//! right machine.

use std::collections::BTreeMap;

use super::{Family, Findings, Subject};
use crate::model::arch::{ElfIdent, Endian};
use crate::model::facts::{Elf, Facts, ObjectFile};
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "elf",
    rules: &[&EMPTY, &DAMAGED, &NOT_NATIVE, &MACHINE, &FLAGS, &NO_SYMBOLS],
    applies: |_| true,
    check,
};

const EMPTY: Rule = Rule {
    key: "elf.empty",
    severity: Severity::Error,
    invariant: "no object file is empty",
    broken: "objects break it",
    why: "clang leaves an empty output and exits 0 when it cannot read the summary index; make keeps the file and takes it for up to date, so making again does not repair it",
    fix: "delete the object and its .thinlto.bc, run make again, and read what clang says about the index",
};

const DAMAGED: Rule = Rule {
    key: "elf.damaged",
    severity: Severity::Error,
    invariant: "every object file is a whole ELF or bitcode file",
    broken: "objects break it",
    why: "a truncated or foreign file is what an interrupted or failed step left behind",
    fix: "delete the object and run make again; if it stays, look at the command in its .cmd file",
};

const NOT_NATIVE: Rule = Rule {
    key: "elf.not-native",
    severity: Severity::Error,
    invariant: "what the back end writes is machine code, and so is each loadable module",
    broken: "objects break it",
    why: "bitcode under the name of a native object is compiled once more at the final link, without its flags; no kernel loads a module of bitcode",
    fix: "the back-end command must turn LTO off (-fno-lto); a module is linked by ld -r into machine code before modpost runs",
};

const MACHINE: Rule = Rule {
    key: "elf.machine",
    severity: Severity::Error,
    invariant: "every ELF object has the architecture's machine, class and byte order",
    broken: "objects break it",
    why: "an object for the build machine inside a cross build is what a lost --target= leaves",
    fix: "look at the command in the object's .cmd file for a missing or wrong --target=",
};

const FLAGS: Rule = Rule {
    key: "elf.flags",
    severity: Severity::Error,
    invariant: "the ABI flags (e_flags) of all ELF objects are equal",
    broken: "objects break it",
    why: "objects with another float ABI or instruction set pass data in other registers",
    fix: "compare the -mabi= and -march= options of the object's command with those of its neighbours",
};

const NO_SYMBOLS: Rule = Rule {
    key: "elf.no-symbols",
    severity: Severity::Error,
    invariant: "a native object defines symbols where its IR does",
    broken: "objects break it",
    why: "an object without code is what the back end writes when it was given the wrong module or index",
    fix: "delete the native object and run make again; compare its -fthinlto-index= with its input",
};

fn check(subject: &Subject, findings: &mut Findings) {
    let facts = subject.facts;
    for (file, why) in &facts.damaged {
        if matches!(*file, "vmlinux" | "vmlinux.o") && facts.reached(file) {
            findings.add(&DAMAGED, *file, why);
        }
    }
    let usual_flags = usual_flags(facts, &subject.arch.elf);
    for object in &facts.objects {
        check_file(
            subject,
            findings,
            facts.text(object.name),
            &object.file,
            usual_flags,
        );
        let Some(backend) = &object.backend else {
            continue;
        };
        let native = facts.text(backend.native);
        check_native(subject, findings, native, &backend.file, usual_flags);
        if let (ObjectFile::Elf(elf), ObjectFile::Ir(ir)) = (&backend.file, &object.file) {
            let defined = ir.defined.as_deref().unwrap_or_default();
            if let Some(first) = defined.first()
                && elf.defined.is_empty()
            {
                findings.add(
                    &NO_SYMBOLS,
                    native,
                    format!(
                        "no global symbol, where its IR defines {}, «{}» first",
                        defined.len(),
                        facts.text(*first)
                    ),
                );
            }
        }
    }
    check_modules(subject, findings, usual_flags);
}

/// Loadable modules are linked to machine code in every mode.
fn check_modules(subject: &Subject, findings: &mut Findings, usual_flags: Option<u32>) {
    let facts = subject.facts;
    // Those of an earlier build stay where vmlinux alone is made.
    let of_this_build = facts.module_exports.as_ref().map(|_| &facts.modules);
    for module in of_this_build.into_iter().flatten() {
        let name = format!("{}.ko", facts.text(module.name));
        check_native(subject, findings, &name, &module.file, usual_flags);
    }
}

/// What must be machine code, whatever its name says.
fn check_native(
    subject: &Subject,
    findings: &mut Findings,
    name: &str,
    file: &ObjectFile,
    usual_flags: Option<u32>,
) {
    check_file(subject, findings, name, file, usual_flags);
    if let ObjectFile::Ir(ir) = file {
        let evidence = format!("holds bitcode for «{}»", subject.facts.text(ir.triple));
        findings.add(&NOT_NATIVE, name, evidence);
    }
}

fn check_file(
    subject: &Subject,
    findings: &mut Findings,
    name: &str,
    file: &ObjectFile,
    usual_flags: Option<u32>,
) {
    match file {
        ObjectFile::Empty => findings.add(&EMPTY, name, "the file has 0 bytes"),
        ObjectFile::Damaged(why) => findings.add(&DAMAGED, name, why),
        ObjectFile::Elf(elf) => check_header(subject, findings, name, elf, usual_flags),
        ObjectFile::Missing | ObjectFile::Ir(_) => {}
    }
}

fn check_header(
    subject: &Subject,
    findings: &mut Findings,
    name: &str,
    elf: &Elf,
    usual_flags: Option<u32>,
) {
    let expected = &subject.arch.elf;
    if !is_for(elf, expected) {
        let little = expected.endian == Endian::Little;
        let order = |little| if little { "little" } else { "big" };
        findings.add(
            &MACHINE,
            name,
            format!(
                "e_machine {} (offset 0x12), {}-bit, {} endian; {} has {} ({}), {}-bit, {} endian",
                elf.machine,
                elf.class,
                order(elf.little_endian),
                subject.arch.name,
                expected.machine_name,
                expected.machine,
                expected.class,
                order(little),
            ),
        );
        return;
    }
    let flags = elf.flags & expected.flags_mask;
    let evidence = match (&expected.flags_allowed, usual_flags) {
        (Some(allowed), _) if !allowed.contains(&flags) => {
            let allowed: Vec<String> = allowed.iter().map(|flags| format!("{flags:#x}")).collect();
            let (arch, allowed) = (&subject.arch.name, allowed.join(" or "));
            format!("e_flags are {flags:#x}, {arch} has {allowed}")
        }
        (_, Some(usual)) if flags != usual => {
            format!("e_flags are {flags:#x}, those of most objects {usual:#x}")
        }
        _ => return,
    };
    findings.add(&FLAGS, name, evidence);
}

fn is_for(elf: &Elf, expected: &ElfIdent) -> bool {
    let little = expected.endian == Endian::Little;
    (elf.machine, elf.class, elf.little_endian) == (expected.machine, expected.class, little)
}

/// The `e_flags` that most objects for the architecture have; the smaller value on a tie.
fn usual_flags(facts: &Facts, expected: &ElfIdent) -> Option<u32> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for object in &facts.objects {
        let native = object.backend.as_deref().map(|b| &b.file);
        for file in [Some(&object.file), native].into_iter().flatten() {
            if let ObjectFile::Elf(elf) = file
                && is_for(elf, expected)
            {
                *counts.entry(elf.flags & expected.flags_mask).or_default() += 1;
            }
        }
    }
    let most = counts.values().copied().max()?;
    counts
        .into_iter()
        .find(|(_, n)| *n == most)
        .map(|(flags, _)| flags)
}
