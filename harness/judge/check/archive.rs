//! `archive.*`: what is linked is what was built, in the right order.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Family, Findings, Subject};
use crate::model::cell::LtoMode;
use crate::model::facts::{Archive, Facts, Name, Object, ObjectFile, StepState};
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "archive",
    rules: &[
        &STALE,
        &DAMAGED,
        &EMPTY,
        &NOT_THIN,
        &NONDETERMINISTIC,
        &DUPLICATE,
        &MEMBER_MISSING,
        &ORDER_FILE,
        &HEAD_ORDER,
        &MEMBERS,
        &BITCODE,
        &NO_BITCODE,
        &NOT_LINKED,
        &OBJS_FILE,
    ],
    applies: |_| true,
    check,
};

pub const STALE: Rule = Rule {
    key: "archive.stale",
    severity: Severity::Error,
    invariant: "each step's file is at least as new as the file of the step before",
    broken: "objects break it",
    why: "a later step did not run, or make did not see that it had to: what is linked is an earlier kernel",
    fix: "run make again; if it fails, its messages tell; if it succeeds and this stays, the step lacks a prerequisite",
};

const DAMAGED: Rule = Rule {
    key: "archive.damaged",
    severity: Severity::Error,
    invariant: "built-in-fixup.a and vmlinux.a are whole archives",
    broken: "objects break it",
    why: "the members behind the damage are not linked",
    fix: "delete the archive and run make again",
};

const NOT_LINKED: Rule = Rule {
    key: "archive.not-linked",
    severity: Severity::Error,
    invariant: "vmlinux.o is linked from the whole of vmlinux.a, and of no other archive",
    broken: "objects break it",
    why: "what was archived, in distributed mode what the back end compiled, is not the kernel that is linked",
    fix: "look at cmd_ld_vmlinux.o in scripts/Makefile.vmlinux_o",
};

const EMPTY: Rule = Rule {
    key: "archive.empty",
    severity: Severity::Error,
    invariant: "the archive of the built-in objects has members",
    broken: "objects break it",
    why: "there is no kernel in it, and every rule about its objects holds for want of objects",
    fix: "look at the command that makes the archive and at KBUILD_VMLINUX_OBJS",
};

const NO_BITCODE: Rule = Rule {
    key: "archive.no-bitcode",
    severity: Severity::Error,
    invariant: "a kernel that is configured for LTO has bitcode in it",
    broken: "objects break it",
    why: "it is a kernel without LTO that says it has LTO, and every rule about bitcode holds for want of it",
    fix: "look at CC_FLAGS_LTO in the top Makefile and at what defines it, and at what comes behind it on a command line (V=1)",
};

const NOT_THIN: Rule = Rule {
    key: "archive.not-thin",
    severity: Severity::Error,
    invariant: "built-in-fixup.a and vmlinux.a are thin archives",
    broken: "objects break it",
    why: "a full archive holds copies: the next build links old objects, and modpost cannot find their .cmd files",
    fix: "look at the operation letters that the archiver is given (T, or --thin), and whether this archiver knows them",
};

const NONDETERMINISTIC: Rule = Rule {
    key: "archive.nondeterministic",
    severity: Severity::Warning,
    invariant: "archive headers hold no time, user or mode",
    broken: "objects break it",
    why: "two builds of the same source differ",
    fix: "the archiver must be given D",
};

const DUPLICATE: Rule = Rule {
    key: "archive.duplicate",
    severity: Severity::Error,
    invariant: "no archive names a member twice",
    broken: "objects break it",
    why: "its symbols are defined twice, or its initcalls run twice",
    fix: "look which directories list the object; q instead of r appends without looking",
};

const MEMBER_MISSING: Rule = Rule {
    key: "archive.member-missing",
    severity: Severity::Error,
    invariant: "every member of an archive is on disk",
    broken: "objects break it",
    why: "the link fails, or leaves the object out",
    fix: "run make again; if it stays, the archive names an object that no rule makes",
};

const ORDER_FILE: Rule = Rule {
    key: "archive.order-file",
    severity: Severity::Error,
    invariant: "builtin.order lists the members of built-in-fixup.a, in its order",
    broken: "objects break it",
    why: "the thin link and vmlinux.a are made from that list: what it lacks is not in the kernel, and another order is another initcall order",
    fix: "look at the command that makes builtin.order and at its prerequisite",
};

const HEAD_ORDER: Rule = Rule {
    key: "archive.head-order",
    severity: Severity::Error,
    invariant: "the objects of scripts/head-object-list.txt come first",
    broken: "objects break it",
    why: "the entry point is expected at the start of the image",
    fix: "look at the command that moves them (ar m) in scripts/Makefile.vmlinux_a",
};

const MEMBERS: Rule = Rule {
    key: "archive.members",
    severity: Severity::Error,
    invariant: "vmlinux.a is builtin.order with each indexed object replaced by its native one, order kept (in-process: built-in-fixup.a itself)",
    broken: "objects break it",
    why: "a member that is swapped or missing is code that is linked twice, wrongly or not at all; another order is another initcall order",
    fix: "look how the names of builtin.order and vmlinux.thinlto-index are matched when vmlinux.a is made",
};

const BITCODE: Rule = Rule {
    key: "archive.bitcode",
    severity: Severity::Error,
    invariant: "a distributed vmlinux.a holds no bitcode, and a build without LTO nowhere any",
    broken: "objects break it",
    why: "the link compiles it in-process, without its flags and without its index",
    fix: "the object was built in another mode, or not replaced by its native one; clean the tree, and if it stays look how vmlinux.a is made",
};

const OBJS_FILE: Rule = Rule {
    key: "archive.objs-file",
    severity: Severity::Error,
    invariant: ".vmlinux.objs lists the members of vmlinux.a, in its order",
    broken: "objects break it",
    why: "modpost looks for the CRCs of exported symbols beside the objects of that list",
    fix: "look at the rule for .vmlinux.objs in scripts/Makefile.modpost and at its prerequisites",
};

fn check(subject: &Subject, findings: &mut Findings) {
    let facts = subject.facts;
    for step in facts.steps.iter().filter(|s| s.state == StepState::Stale) {
        findings.add(&STALE, step.file, format!("older than {}", step.from));
    }
    if let Some(fixup) = &facts.fixup {
        check_form(facts.objects_from, fixup, findings);
        check_duplicates(facts.objects_from, facts, fixup, findings);
        for object in &facts.objects {
            if matches!(object.file, ObjectFile::Missing) {
                findings.add(
                    &MEMBER_MISSING,
                    facts.text(object.name),
                    format!("named by {}", facts.objects_from),
                );
            }
        }
        check_head_order(facts, fixup, findings);
        check_bitcode_without_lto(subject, findings);
        check_lto_without_bitcode(subject, findings);
    }
    if let (Some(order), Some(fixup)) = (&facts.builtin_order, &facts.fixup)
        && facts.reached("builtin.order")
        && facts.objects_complete()
    {
        compare_lists(
            facts,
            &ORDER_FILE,
            "builtin.order",
            order,
            &fixup.members,
            findings,
        );
    }
    if let Some(vmlinux_a) = &facts.vmlinux_a
        && facts.reached("vmlinux.a")
    {
        if facts.objects_from != "vmlinux.a" {
            check_form("vmlinux.a", vmlinux_a, findings);
        }
        check_vmlinux_a(subject, vmlinux_a, findings);
        check_link(facts, findings);
        if let Some(objs) = &facts.vmlinux_objs
            && facts.modpost_ran()
        {
            // Behind the members stand the objects of KBUILD_VMLINUX_LIBS.
            let listed = &objs[..objs.len().min(vmlinux_a.members.len())];
            compare_lists(
                facts,
                &OBJS_FILE,
                ".vmlinux.objs",
                listed,
                &vmlinux_a.members,
                findings,
            );
        }
    }
}

fn check_link(facts: &Facts, findings: &mut Findings) {
    let Some(linked) = facts
        .linked_whole
        .as_ref()
        .filter(|_| facts.reached("vmlinux.o"))
    else {
        return;
    };
    let linked: Vec<&str> = linked.iter().map(|name| facts.text(*name)).collect();
    if linked != ["vmlinux.a"] {
        let found = match &linked[..] {
            [] => "no archive".to_owned(),
            names => names.join(" "),
        };
        let evidence = format!(".vmlinux.o.cmd links {found} whole, expected vmlinux.a");
        findings.add(&NOT_LINKED, "vmlinux.o", evidence);
    }
}

fn check_form(file: &str, archive: &Archive, findings: &mut Findings) {
    if let Some(why) = &archive.damaged {
        findings.add(&DAMAGED, file, why);
    } else if archive.members.is_empty() {
        findings.add(&EMPTY, file, "no members");
    } else if !archive.thin {
        findings.add(&NOT_THIN, file, "begins with «!<arch>», expected «!<thin>»");
    } else if let Some(field) = &archive.nondeterministic {
        findings.add(&NONDETERMINISTIC, file, field);
    }
}

fn check_duplicates(file: &str, facts: &Facts, archive: &Archive, findings: &mut Findings) {
    let mut seen = FxHashSet::default();
    for (position, member) in archive.members.iter().enumerate() {
        if !seen.insert(*member) {
            findings.add(
                &DUPLICATE,
                facts.text(*member),
                format!("{file}: again as member {}", position + 1),
            );
        }
    }
}

fn check_head_order(facts: &Facts, fixup: &Archive, findings: &mut Findings) {
    let Some(heads) = &facts.head_objects else {
        return;
    };
    let heads: FxHashSet<Name> = heads.iter().copied().collect();
    let mut first_other = None;
    for member in &fixup.members {
        if !heads.contains(member) {
            first_other.get_or_insert(*member);
        } else if let Some(other) = first_other {
            findings.add(
                &HEAD_ORDER,
                facts.text(*member),
                format!(
                    "stands behind {} in {}",
                    facts.text(other),
                    facts.objects_from
                ),
            );
        }
    }
}

fn check_bitcode_without_lto(subject: &Subject, findings: &mut Findings) {
    match subject.mode {
        LtoMode::None => {}
        LtoMode::Thin | LtoMode::ThinDist | LtoMode::Full => return,
    }
    for object in &subject.facts.objects {
        if matches!(object.file, ObjectFile::Ir(_)) {
            findings.add(
                &BITCODE,
                subject.facts.text(object.name),
                "holds bitcode in a build without LTO",
            );
        }
    }
}

/// Single objects may hold machine code rightly, but not all that are compiled from C.
fn check_lto_without_bitcode(subject: &Subject, findings: &mut Findings) {
    let facts = subject.facts;
    if subject.mode == LtoMode::None || !facts.reached(facts.objects_from) {
        return;
    }
    let is_from_c = |object: &&Object| object.cmd.read().is_some_and(|cmd| cmd.c_source.is_some());
    let from_c = facts.objects.iter().filter(is_from_c);
    let native = from_c
        .clone()
        .filter(|o| matches!(o.file, ObjectFile::Elf(_)))
        .count();
    if native > 0 && native == from_c.count() {
        findings.add(
            &NO_BITCODE,
            facts.objects_from,
            format!("none of its {native} objects compiled from C holds bitcode"),
        );
    }
}

fn check_vmlinux_a(subject: &Subject, vmlinux_a: &Archive, findings: &mut Findings) {
    let facts = subject.facts;
    let Some(fixup) = &facts.fixup else { return };
    // A damaged archive has been reported; what lies behind the damage is lost.
    if vmlinux_a.damaged.is_some() || fixup.damaged.is_some() {
        return;
    }
    let from = facts.builtin_order.as_deref().unwrap_or(&fixup.members);
    let mut native_of: FxHashMap<Name, Name> = FxHashMap::default();
    if let Some(index) = &facts.index {
        let listed: FxHashSet<Name> = index.iter().copied().collect();
        for object in facts.objects.iter().filter(|o| listed.contains(&o.name)) {
            if let Some(backend) = &object.backend {
                native_of.insert(object.name, backend.native);
            }
        }
    }
    let same_length = vmlinux_a.members.len() == from.len();
    let mut expected = Vec::with_capacity(from.len());
    for (position, name) in from.iter().enumerate() {
        let native = native_of.get(name).copied();
        if let Some(native) = native
            && same_length
            && vmlinux_a.members[position] == *name
        {
            findings.add(
                &BITCODE,
                facts.text(*name),
                format!(
                    "vmlinux.a, member {}: bitcode, expected {}",
                    position + 1,
                    facts.text(native)
                ),
            );
            expected.push(*name);
        } else {
            expected.push(native.unwrap_or(*name));
        }
    }
    compare_lists(
        facts,
        &MEMBERS,
        "vmlinux.a",
        &vmlinux_a.members,
        &expected,
        findings,
    );
}

/// One finding for two lists that should be equal: what is missing or too many,
/// or else the first place where the order parts.
fn compare_lists(
    facts: &Facts,
    rule: &'static Rule,
    file: &str,
    found: &[Name],
    expected: &[Name],
    findings: &mut Findings,
) {
    if found == expected {
        return;
    }
    let only = |these: &[Name], those: &[Name]| {
        let those: FxHashSet<Name> = those.iter().copied().collect();
        let only: Vec<&str> = these
            .iter()
            .filter(|name| !those.contains(*name))
            .map(|name| facts.text(*name))
            .collect();
        (
            only.len(),
            only.into_iter().take(3).collect::<Vec<_>>().join(", "),
        )
    };
    let (lost, lost_first) = only(expected, found);
    let (extra, extra_first) = only(found, expected);
    let evidence = if lost + extra > 0 {
        let mut parts = Vec::new();
        if lost > 0 {
            parts.push(format!("lacks {lost}: {lost_first}"));
        }
        if extra > 0 {
            parts.push(format!("has {extra} too many: {extra_first}"));
        }
        parts.join("; ")
    } else {
        let at = found.iter().zip(expected).position(|(f, e)| f != e);
        match at {
            Some(at) => format!(
                "place {}: {}, expected {}",
                at + 1,
                facts.text(found[at]),
                facts.text(expected[at])
            ),
            None => format!("{} entries, expected {}", found.len(), expected.len()),
        }
    };
    findings.add(rule, file, evidence);
}
