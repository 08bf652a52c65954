//! `archive.*`: what is linked is what was built, in the right order.

use rustc_hash::{FxHashMap, FxHashSet};

use super::{Context, Family, Found, Unit, row};
use crate::model::cell::LtoMode;
use crate::model::facts::{Archive, Cmd, CmdFile, Facts, Name, ObjectFile, StepState};
use crate::model::finding::{Rule, Severity};
use crate::tree::path::cmd_file;

pub const FAMILY: Family = Family {
    name: "archive",
    rows: &[
        row(&STALE, Unit::Steps, stale),
        row(&DAMAGED, Unit::Archives, damaged),
        row(&EMPTY, Unit::Archives, empty),
        row(&NOT_THIN, Unit::Archives, not_thin),
        row(&NONDETERMINISTIC, Unit::Archives, nondeterministic),
        row(&DUPLICATE, Unit::Members, duplicate),
        row(&MEMBER_MISSING, Unit::Members, member_missing),
        row(&UNRECORDED, Unit::Members, unrecorded),
        row(&ORDER_FILE, Unit::Entries, order_file),
        row(&HEAD_ORDER, Unit::Objects, head_order),
        row(&MEMBERS, Unit::Members, members),
        row(&BITCODE, Unit::Objects, bitcode),
        row(&NO_BITCODE, Unit::Objects, no_bitcode),
        row(&NOT_LINKED, Unit::Files, not_linked),
        row(&OBJS_FILE, Unit::Entries, objs_file),
    ],
    applies: |_| true,
};

pub const STALE: Rule = Rule {
    key: "archive.stale",
    severity: Severity::Error,
    invariant: "the file of each build step is at least as new as the file of the step before",
    broken: "steps are out of date",
    why: "a later step did not run, or make did not see that it had to run: an earlier kernel is linked",
    fix: "run make again; if it fails, its messages say why; if it succeeds and the finding stays, the step lacks a prerequisite",
};

const DAMAGED: Rule = Rule {
    key: "archive.damaged",
    severity: Severity::Error,
    invariant: "built-in-fixup.a and vmlinux.a are whole archives",
    broken: "archives are damaged",
    why: "the members after the damage are not linked",
    fix: "delete the archive and run make again",
};

const EMPTY: Rule = Rule {
    key: "archive.empty",
    severity: Severity::Error,
    invariant: "the archive of the built-in objects has members",
    broken: "archives have no members",
    why: "there is no kernel in it, and every rule about its objects then passes vacuously",
    fix: "check the command that makes the archive, and KBUILD_VMLINUX_OBJS",
};

const NOT_THIN: Rule = Rule {
    key: "archive.not-thin",
    severity: Severity::Error,
    invariant: "built-in-fixup.a and vmlinux.a are thin archives",
    broken: "archives are not thin",
    why: "a full archive holds copies: the next build links old objects, and modpost cannot find their .cmd files",
    fix: "check the operation letters of the archiver's command (T, or --thin), and whether this archiver knows them",
};

const NONDETERMINISTIC: Rule = Rule {
    key: "archive.nondeterministic",
    severity: Severity::Warning,
    invariant: "archive headers hold no time, user or mode",
    broken: "archives have a time, user or mode in a header",
    why: "two builds of the same source differ",
    fix: "run the archiver with the modifier D",
};

const DUPLICATE: Rule = Rule {
    key: "archive.duplicate",
    severity: Severity::Error,
    invariant: "each archive names a member once, those of the directories too",
    broken: "members are in an archive more than once",
    why: "its symbols are defined twice, or its initcalls run twice",
    fix: "check which directories list the object; q, unlike r, appends without checking",
};

const MEMBER_MISSING: Rule = Rule {
    key: "archive.member-missing",
    severity: Severity::Error,
    invariant: "every member of an archive is on disk",
    broken: "members do not exist on disk",
    why: "the link fails, or leaves the object out",
    fix: "run make again; if the finding stays, the archive names an object that no rule makes",
};

const UNRECORDED: Rule = Rule {
    key: "archive.unrecorded",
    severity: Severity::Error,
    invariant: "every built-in object has a .cmd file with the command that made it",
    broken: "objects have no readable recorded command",
    why: "make does not see that the command or a header changed; and rules about the flags of the object have nothing to look at",
    fix: "delete the object and run make again; if the finding stays, use if_changed in the object's rule, and add its target to targets",
};

const ORDER_FILE: Rule = Rule {
    key: "archive.order-file",
    severity: Severity::Error,
    invariant: "builtin.order lists the members of built-in-fixup.a, in its order",
    broken: "lists differ from the members of built-in-fixup.a",
    why: "the thin link and vmlinux.a are made from that list: an object that it lacks is not in the kernel, and another order is another initcall order",
    fix: "check the command that makes builtin.order, and its prerequisite",
};

const HEAD_ORDER: Rule = Rule {
    key: "archive.head-order",
    severity: Severity::Error,
    invariant: "the objects of scripts/head-object-list.txt come first",
    broken: "objects are not at the start of the archive",
    why: "the entry point is expected at the start of the image",
    fix: "check the command that moves them (ar m) in scripts/Makefile.vmlinux_a",
};

const MEMBERS: Rule = Rule {
    key: "archive.members",
    severity: Severity::Error,
    invariant: "vmlinux.a is builtin.order with each indexed object replaced by its native one, in the same order (in-process: built-in-fixup.a itself)",
    broken: "archives have wrong members or a wrong order",
    why: "a swapped or missing member is code that is linked twice, wrongly or not at all; another order is another initcall order",
    fix: "check how the names of builtin.order and vmlinux.thinlto-index are matched when vmlinux.a is made",
};

const BITCODE: Rule = Rule {
    key: "archive.bitcode",
    severity: Severity::Error,
    invariant: "vmlinux.a contains no bitcode in distributed mode; a build without LTO contains none anywhere",
    broken: "objects hold bitcode instead of machine code",
    why: "the link compiles it in-process, without its flags and without its index",
    fix: "the object was built in another mode, or not replaced by its native one; clean the tree, and if the finding stays check how vmlinux.a is made",
};

const NO_BITCODE: Rule = Rule {
    key: "archive.no-bitcode",
    severity: Severity::Error,
    invariant: "a kernel that is configured for LTO contains bitcode",
    broken: "archives have no bitcode despite LTO",
    why: "the kernel claims LTO but was built without; every rule about bitcode then passes vacuously",
    fix: "check CC_FLAGS_LTO in the top Makefile and where it is defined, and the options that come after it on a command line (V=1)",
};

const NOT_LINKED: Rule = Rule {
    key: "archive.not-linked",
    severity: Severity::Error,
    invariant: "vmlinux.o is linked from the whole of vmlinux.a, and from no other archive",
    broken: "files are linked from something other than the whole of vmlinux.a",
    why: "the kernel is not linked from the archived objects, which in distributed mode are those that the back end compiled",
    fix: "check cmd_ld_vmlinux.o in scripts/Makefile.vmlinux_o",
};

const OBJS_FILE: Rule = Rule {
    key: "archive.objs-file",
    severity: Severity::Error,
    invariant: ".vmlinux.objs lists the members of vmlinux.a, in its order, then those of the libraries that vmlinux.o is linked with, and nothing else",
    broken: "lists differ from the members of vmlinux.a and of the libraries",
    why: "modpost looks for the CRCs of exported symbols beside the objects of that list",
    fix: "check the rule for .vmlinux.objs in scripts/Makefile.modpost, and its prerequisites",
};

fn stale(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let steps = facts.steps.iter().filter(|_| facts.times_kept);
    let taken = steps.filter(|step| step.state != StepState::Missing);
    found.each(taken, |found, step| {
        if step.state == StepState::Stale {
            found.add(&step.file, format!("older than {}", step.from));
        }
    })
}

/// `vmlinux.a`, where this build made it.
fn vmlinux_a(facts: &Facts) -> Option<&Archive> {
    let reached = |_: &&Archive| facts.reached("vmlinux.a");
    facts.vmlinux_a.as_ref().filter(reached)
}

/// The archives of this build, each once.
fn archives(facts: &Facts) -> impl Iterator<Item = (&'static str, &Archive)> {
    let fixup = facts.fixup.as_ref().map(|a| (facts.objects_from, a));
    let vmlinux_a = vmlinux_a(facts).filter(|_| facts.objects_from != "vmlinux.a");
    fixup.into_iter().chain(vmlinux_a.map(|a| ("vmlinux.a", a)))
}

fn whole(facts: &Facts) -> impl Iterator<Item = (&'static str, &Archive)> {
    archives(facts).filter(|(_, archive)| archive.damaged.is_none())
}

fn filled(facts: &Facts) -> impl Iterator<Item = (&'static str, &Archive)> {
    whole(facts).filter(|(_, archive)| !archive.members.is_empty())
}

fn damaged(context: &Context, found: &mut Found) -> usize {
    found.each(archives(context.facts()), |found, (file, archive)| {
        if let Some(why) = &archive.damaged {
            found.add(file, why);
        }
    })
}

fn empty(context: &Context, found: &mut Found) -> usize {
    found.each(whole(context.facts()), |found, (file, archive)| {
        if archive.members.is_empty() {
            found.add(file, "no members");
        }
    })
}

fn not_thin(context: &Context, found: &mut Found) -> usize {
    found.each(filled(context.facts()), |found, (file, archive)| {
        if !archive.thin {
            found.add(file, "begins with '!<arch>', expected '!<thin>'");
        }
    })
}

fn nondeterministic(context: &Context, found: &mut Found) -> usize {
    let thin = filled(context.facts()).filter(|(_, archive)| archive.thin);
    found.each(thin, |found, (file, archive)| {
        if let Some(field) = &archive.nondeterministic {
            found.add(file, field);
        }
    })
}

/// The members of the archive of all built-in objects, in its order.
fn fixup_members(facts: &Facts) -> &[Name] {
    facts.fixup.as_ref().map_or(&[], |fixup| &fixup.members)
}

fn duplicate(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let mut looked_at = 0;
    // Each member once, in the order in which it is come upon, with the archives that repeat it.
    let mut repeated: Vec<(Name, Vec<String>)> = Vec::new();
    let mut places: FxHashMap<Name, usize> = FxHashMap::default();
    let mut note = |member: Name, evidence: String| {
        let place = *places.entry(member).or_insert(repeated.len());
        match repeated.get_mut(place) {
            Some((_, archives)) => archives.push(evidence),
            None => repeated.push((member, vec![evidence])),
        }
    };
    for archive in &facts.directory_archives {
        looked_at += archive.members;
        let name = facts.text(archive.name);
        for member in &archive.repeated {
            note(*member, format!("more than once in {name}"));
        }
    }
    // Without the paths of a thin archive, several members have one name.
    for (file, archive) in whole(facts).filter(|(_, archive)| archive.thin) {
        looked_at += archive.members.len();
        let (mut seen, mut again) = (FxHashSet::default(), FxHashSet::default());
        for (at, member) in archive.members.iter().enumerate() {
            if !seen.insert(*member) && again.insert(*member) {
                note(*member, format!("{file}: again as member {}", at + 1));
            }
        }
    }
    for (member, archives) in repeated {
        found.add(facts.text(member), archives.join("; "));
    }
    looked_at
}

fn member_missing(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    found.each(&facts.objects, |found, object| {
        if matches!(object.file, ObjectFile::Missing) {
            found.add(
                facts.text(object.name),
                format!("named by {}", facts.objects_from),
            );
        }
    })
}

fn unrecorded(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let whole = facts.objects.iter().filter(|o| o.file.code().is_some());
    found.each(whole, |found, object| {
        let why = match &object.cmd {
            CmdFile::Read(cmd) => match &cmd.command {
                Some(Ok(words)) if !words.is_empty() => return,
                Some(Ok(_)) => "the savedcmd line is empty",
                Some(Err(why)) => why,
                None => "no savedcmd line",
            },
            CmdFile::Missing => "the file is missing",
            CmdFile::Unreadable(why) => why,
        };
        let name = facts.text(object.name);
        found.add(name, format!("{}: {why}", cmd_file(name)));
    })
}

fn order_file(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    match (&facts.file_names.order, &facts.builtin_order) {
        (Some(file), Some(order)) if facts.reached(file) && facts.objects_complete() => {
            compare_lists(facts, file, order, fixup_members(facts), found)
        }
        (None, _) | (_, None) | (Some(_), Some(_)) => 0,
    }
}

fn head_order(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let heads: FxHashSet<Name> = facts.head_objects.iter().flatten().copied().collect();
    let members = fixup_members(facts).iter().copied();
    let first_other = members.clone().position(|m| !heads.contains(&m));
    let in_archive = members.enumerate().filter(|(_, m)| heads.contains(m));
    found.each(in_archive, |found, (position, head)| {
        if let Some(other) = first_other.filter(|other| *other < position) {
            let other = facts.text(fixup_members(facts)[other]);
            found.add(
                facts.text(head),
                format!("comes after {other} in {}", facts.objects_from),
            );
        }
    })
}

/// What `vmlinux.a` must hold: the listed objects, each indexed one replaced by its native
/// one.
#[derive(Debug)]
pub struct Replaced {
    /// An object that was not replaced stands here as it is there, to be reported once.
    expected: Vec<Name>,
    /// Objects that have a native one to be replaced by.
    indexed: usize,
    /// Members that were not replaced: position, object, and native object.
    bitcode: Vec<(usize, Name, Name)>,
}

impl Replaced {
    /// `None` where there is no whole archive to hold against it.
    fn of(facts: &Facts) -> Option<Replaced> {
        let (vmlinux_a, fixup) = (vmlinux_a(facts)?, facts.fixup.as_ref()?);
        // What comes after the damage of an archive is lost; archive.damaged reports it.
        if vmlinux_a.damaged.is_some() || fixup.damaged.is_some() {
            return None;
        }
        let from = facts.builtin_order.as_deref().unwrap_or(&fixup.members);
        let native_of = natives(facts);
        let same_length = vmlinux_a.members.len() == from.len();
        let mut replaced = Replaced {
            expected: Vec::with_capacity(from.len()),
            indexed: 0,
            bitcode: Vec::new(),
        };
        for (position, name) in from.iter().enumerate() {
            let Some(native) = native_of.get(name) else {
                replaced.expected.push(*name);
                continue;
            };
            replaced.indexed += 1;
            if same_length && vmlinux_a.members[position] == *name {
                replaced.bitcode.push((position, *name, *native));
                replaced.expected.push(*name);
            } else {
                replaced.expected.push(*native);
            }
        }
        Some(replaced)
    }
}

/// The native objects of those that the index lists.
fn natives(facts: &Facts) -> FxHashMap<Name, Name> {
    let listed: FxHashSet<Name> = facts.index.iter().flatten().copied().collect();
    let objects = facts.objects.iter().filter(|o| listed.contains(&o.name));
    objects
        .filter_map(|object| Some((object.name, object.backend.as_deref()?.native)))
        .collect()
}

fn replaced<'c>(context: &'c Context) -> Option<&'c Replaced> {
    let replaced = context
        .replaced
        .get_or_init(|| Replaced::of(context.facts()));
    replaced.as_ref()
}

fn members(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    match (replaced(context), vmlinux_a(facts)) {
        (Some(replaced), Some(archive)) => compare_lists(
            facts,
            "vmlinux.a",
            &archive.members,
            &replaced.expected,
            found,
        ),
        (None, _) | (_, None) => 0,
    }
}

fn bitcode(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let without_lto = match context.subject.mode {
        LtoMode::None => &facts.objects[..],
        LtoMode::Thin | LtoMode::ThinDist | LtoMode::Full => &[],
    };
    let readable = without_lto
        .iter()
        .filter(|object| matches!(object.file, ObjectFile::Ir(_) | ObjectFile::Elf(_)));
    let looked_at = found.each(readable, |found, object| {
        if matches!(object.file, ObjectFile::Ir(_)) {
            found.add(
                facts.text(object.name),
                "holds bitcode in a build without LTO",
            );
        }
    });
    let Some(replaced) = replaced(context) else {
        return looked_at;
    };
    for (position, name, native) in &replaced.bitcode {
        found.add(
            facts.text(*name),
            format!(
                "vmlinux.a, member {}: bitcode, expected {}",
                position + 1,
                facts.text(*native)
            ),
        );
    }
    looked_at + replaced.indexed
}

/// Single objects may well hold machine code, but not all that are compiled from C.
fn no_bitcode(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    if context.subject.mode == LtoMode::None || !facts.reached(facts.objects_from) {
        return 0;
    }
    let from_c = facts.objects.iter().filter(|object| {
        let has_c_source = |cmd: &Cmd| cmd.c_source.is_some();
        matches!(object.file, ObjectFile::Ir(_)) || object.cmd.read().is_some_and(has_c_source)
    });
    let native = from_c
        .clone()
        .filter(|o| matches!(o.file, ObjectFile::Elf(_)))
        .count();
    let looked_at = from_c.count();
    if native > 0 && native == looked_at {
        found.add(
            facts.objects_from,
            format!("none of its {native} objects compiled from C holds bitcode"),
        );
    }
    looked_at
}

fn not_linked(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let reached = vmlinux_a(facts).is_some() && facts.reached("vmlinux.o");
    let commands = facts.linked_whole.iter().filter(|_| reached);
    found.each(commands, |found, linked| {
        let linked: Vec<&str> = linked.iter().map(|name| facts.text(*name)).collect();
        if linked != ["vmlinux.a"] {
            let archives = match &linked[..] {
                [] => "no archive".to_owned(),
                names => names.join(" "),
            };
            let evidence = format!(".vmlinux.o.cmd links {archives} whole, expected vmlinux.a");
            found.add("vmlinux.o", evidence);
        }
    })
}

fn objs_file(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    match (&facts.vmlinux_objs, vmlinux_a(facts)) {
        (Some(objs), Some(archive)) if facts.modpost_ran() && archive.damaged.is_none() => {
            let members = &archive.members;
            let (listed, expected) = match &facts.library_members {
                Some(libraries) => (&objs[..], [&members[..], libraries].concat()),
                None => (&objs[..objs.len().min(members.len())], members.clone()),
            };
            compare_lists(facts, ".vmlinux.objs", listed, &expected, found)
        }
        _ => 0,
    }
}

/// One finding for two lists that should be equal: what is missing or too many,
/// or else the first place where the order parts. Gives how many entries there should be.
fn compare_lists(
    facts: &Facts,
    file: &str,
    actual: &[Name],
    expected: &[Name],
    found: &mut Found,
) -> usize {
    if actual != expected {
        found.add(file, list_difference(facts, actual, expected));
    }
    expected.len()
}

fn list_difference(facts: &Facts, actual: &[Name], expected: &[Name]) -> String {
    let only = |these: &[Name], those: &[Name]| {
        let those: FxHashSet<Name> = those.iter().copied().collect();
        let only: Vec<&str> = these
            .iter()
            .filter(|name| !those.contains(*name))
            .map(|name| facts.text(*name))
            .collect();
        let first = only[..only.len().min(3)].join(", ");
        (only.len(), first)
    };
    let (lost, lost_first) = only(expected, actual);
    let (extra, extra_first) = only(actual, expected);
    let mut parts = Vec::new();
    if lost > 0 {
        parts.push(format!("lacks {lost}: {lost_first}"));
    }
    if extra > 0 {
        parts.push(format!("has {extra} too many: {extra_first}"));
    }
    if !parts.is_empty() {
        return parts.join("; ");
    }
    let mut seen = FxHashSet::default();
    if let Some(twice) = actual.iter().find(|name| !seen.insert(**name)) {
        let (entries, wanted) = (actual.len(), expected.len());
        let twice = facts.text(*twice);
        return format!("{entries} entries, expected {wanted}: {twice} more than once");
    }
    match actual.iter().zip(expected).position(|(a, e)| a != e) {
        Some(at) => format!(
            "place {}: {}, expected {}",
            at + 1,
            facts.text(actual[at]),
            facts.text(expected[at])
        ),
        None => format!("{} entries, expected {}", actual.len(), expected.len()),
    }
}
