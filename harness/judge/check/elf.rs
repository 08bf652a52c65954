//! `elf.*`: every object that holds machine code holds it whole, and for the
//! right machine.

use std::collections::BTreeMap;

use super::{Context, Family, Found, Unit, row};
use crate::model::arch::{ElfIdent, Endian};
use crate::model::facts::{Cmd, Code, Elf, ElfHeader, Facts, Name, ObjectFile};
use crate::model::finding::{Rule, Severity};
use crate::tree::clang_options::{inputs, program};

pub const FAMILY: Family = Family {
    name: "elf",
    rows: &[
        row(&EMPTY, Unit::Files, empty),
        row(&DAMAGED, Unit::Files, damaged),
        row(&NOT_NATIVE, Unit::Files, not_native),
        row(&MACHINE, Unit::Files, machine),
        row(&FLAGS, Unit::Files, flags),
        row(&TYPE, Unit::Files, kind_of_file),
        row(&STRIPPED, Unit::Files, stripped),
        row(&RELEASE, Unit::Files, release),
        row(&NO_SYMBOLS, Unit::Objects, no_symbols),
        row(&KIND, Unit::Objects, kind),
    ],
    applies: |_| true,
};

const EMPTY: Rule = Rule {
    key: "elf.empty",
    severity: Severity::Error,
    invariant: "no object file is empty",
    broken: "files are empty",
    why: "clang leaves an empty output and exits 0 when it cannot read the summary index; make considers the file up to date, so running make again does not repair it",
    fix: "delete the object and its .thinlto.bc, run make again, and read what clang prints about the index",
};

const DAMAGED: Rule = Rule {
    key: "elf.damaged",
    severity: Severity::Error,
    invariant: "every object file is a whole ELF or bitcode file, and a bitcode module has the content that its own hash was made of",
    broken: "files are damaged or of an unknown format",
    why: "an interrupted or failed step left a truncated or foreign file",
    fix: "delete the object and run make again; if the finding stays, check the command in its .cmd file",
};

const NOT_NATIVE: Rule = Rule {
    key: "elf.not-native",
    severity: Severity::Error,
    invariant: "the back end writes machine code, and each loadable module is machine code",
    broken: "files hold bitcode instead of machine code",
    why: "the final link compiles bitcode under the name of a native object once more, without its flags; no kernel loads a module of bitcode",
    fix: "the back-end command must turn LTO off (-fno-lto); ld -r must link a module into machine code before modpost runs",
};

const MACHINE: Rule = Rule {
    key: "elf.machine",
    severity: Severity::Error,
    invariant: "every ELF object has the architecture's machine, class and byte order",
    broken: "files are for another machine",
    why: "a lost --target= leaves an object for the build machine in a cross build",
    fix: "look for a missing or wrong --target= in the command in the object's .cmd file",
};

const FLAGS: Rule = Rule {
    key: "elf.flags",
    severity: Severity::Error,
    invariant: "all ELF objects have the same ABI flags (e_flags), and ones that the architecture allows",
    broken: "files have other ABI flags (e_flags) than expected",
    why: "objects with another float ABI or instruction set pass data in other registers",
    fix: "compare the -mabi= and -march= options of the object's command with those of its neighbours",
};

const TYPE: Rule = Rule {
    key: "elf.type",
    severity: Severity::Error,
    invariant: "every object, vmlinux.o and each module is relocatable (ET_REL), and vmlinux is not",
    broken: "files are of another ELF type",
    why: "a program cannot be linked again, and an object cannot be started",
    fix: "delete the file and run make again; if the finding stays, look for -r in the command that links it",
};

const STRIPPED: Rule = Rule {
    key: "elf.stripped",
    severity: Severity::Error,
    invariant: "vmlinux.o and vmlinux have symbols",
    broken: "files have no symbols",
    why: "modpost, kallsyms and debuggers find nothing in the file, and no rule can tell what was linked",
    fix: "delete the file and run make again; strip only copies",
};

const RELEASE: Rule = Rule {
    key: "elf.release",
    severity: Severity::Error,
    invariant: "vmlinux contains the release in include/config/kernel.release",
    broken: "files are of another release",
    why: "vmlinux is of an earlier build or of another kernel: its modules are not found under the release that it runs as",
    fix: "delete vmlinux and run make again; if the finding stays, check whether init/version-timestamp.o is rebuilt when the release changes",
};

const NO_SYMBOLS: Rule = Rule {
    key: "elf.no-symbols",
    severity: Severity::Error,
    invariant: "a native object defines symbols if its IR does",
    broken: "objects define no symbol, although the IR does",
    why: "the back end writes an object without code when it is given the wrong module or index",
    fix: "delete the native object and run make again; compare its -fthinlto-index= with its input",
};

const KIND: Rule = Rule {
    key: "elf.kind",
    severity: Severity::Error,
    invariant: "an object that is compiled from C is bitcode if its command turns LTO on, and machine code if not",
    broken: "objects are of another kind than their command makes",
    why: "machine code takes no part in LTO, and lacks what the build adds to code after LTO; bitcode of an object that opted out of LTO is compiled with it all the same",
    fix: "delete the object and run make again; if the finding stays, look for what writes the object after the compiler",
};

/// A file that holds, or should hold, an object.
#[derive(Clone, Copy)]
struct File<'a> {
    name: Name,
    suffix: &'static str,
    content: &'a ObjectFile,
    /// It must be machine code, whatever its name says.
    is_native: bool,
}

impl<'a> File<'a> {
    fn path(&self, facts: &Facts) -> String {
        facts.text(self.name).to_owned() + self.suffix
    }

    fn elf(&self) -> Option<&'a Elf> {
        match self.content {
            ObjectFile::Elf(elf) => Some(elf),
            ObjectFile::Missing
            | ObjectFile::Empty
            | ObjectFile::Ir(_)
            | ObjectFile::Damaged(_) => None,
        }
    }
}

/// The files that are there: each built-in object before its native one, then the modules.
fn files(facts: &Facts) -> impl Iterator<Item = File<'_>> {
    let modules = facts.built_modules().iter().map(|module| File {
        name: module.name,
        suffix: ".ko",
        content: &module.file,
        is_native: true,
    });
    built_in(facts)
        .chain(modules)
        .filter(|file| !matches!(file.content, ObjectFile::Missing))
}

fn built_in(facts: &Facts) -> impl Iterator<Item = File<'_>> {
    facts.objects.iter().flat_map(|object| {
        let own = File {
            name: object.name,
            suffix: "",
            content: &object.file,
            is_native: false,
        };
        let native = object.backend.as_deref().map(|backend| File {
            name: backend.native,
            suffix: "",
            content: &backend.file,
            is_native: true,
        });
        [Some(own), native].into_iter().flatten()
    })
}

/// Every ELF file that is there, by its path: what [`files`] gives, and what is linked from it.
fn elfs(facts: &Facts) -> impl Iterator<Item = (String, ElfHeader)> {
    let objects = files(facts).filter_map(|file| Some((file.path(facts), file.elf()?.header)));
    objects.chain(linked(facts).map(|(file, elf, _)| (file.to_owned(), elf)))
}

/// `vmlinux.o` and `vmlinux` of this build: their headers, and how many symbols they have.
fn linked(facts: &Facts) -> impl Iterator<Item = (&'static str, ElfHeader, usize)> {
    let object = facts
        .vmlinux_o
        .as_ref()
        .map(|o| ("vmlinux.o", o.header, o.symbols));
    let kernel = facts
        .vmlinux
        .as_ref()
        .map(|k| ("vmlinux", k.header, k.symbols));
    let both = object.into_iter().chain(kernel);
    both.filter(|(file, ..)| facts.reached(file))
}

fn empty(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    found.each(files(facts), |found, file| {
        if matches!(file.content, ObjectFile::Empty) {
            found.add(file.path(facts), "the file has 0 bytes");
        }
    })
}

fn damaged(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let linked = ["vmlinux", "vmlinux.o"].into_iter();
    let linked = linked.filter(|file| facts.reached(file));
    let of_linked = found.each(linked, |found, file| {
        for (_, why) in facts.damaged.iter().filter(|(name, _)| *name == file) {
            found.add(file, why);
        }
    });
    let filled = files(facts).filter(|file| !matches!(file.content, ObjectFile::Empty));
    let of_objects = found.each(filled, |found, file| {
        if let ObjectFile::Damaged(why) = file.content {
            found.add(file.path(facts), why);
        }
    });
    of_linked + of_objects
}

fn not_native(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let whole = files(facts).filter(|file| {
        file.is_native && matches!(file.content, ObjectFile::Elf(_) | ObjectFile::Ir(_))
    });
    found.each(whole, |found, file| {
        if let ObjectFile::Ir(ir) = file.content {
            let evidence = format!("holds bitcode for '{}'", facts.text(ir.triple));
            found.add(file.path(facts), evidence);
        }
    })
}

fn machine(context: &Context, found: &mut Found) -> usize {
    let (facts, arch) = (context.facts(), context.subject.arch);
    let expected = &arch.elf;
    found.each(elfs(facts), |found, (file, elf)| {
        if is_for(&elf, expected) {
            return;
        }
        let little = expected.endian == Endian::Little;
        let order = |little| if little { "little" } else { "big" };
        found.add(
            file,
            format!(
                "e_machine {} (offset 0x12), {}-bit, {} endian; {} has {} ({}), {}-bit, {} endian",
                elf.machine,
                elf.class,
                order(elf.little_endian),
                arch.name,
                expected.machine_name,
                expected.machine,
                expected.class,
                order(little),
            ),
        );
    })
}

fn flags(context: &Context, found: &mut Found) -> usize {
    let (facts, arch) = (context.facts(), context.subject.arch);
    let expected = &arch.elf;
    let usual = usual_flags(facts, expected);
    let ours = elfs(facts).filter(|(_, elf)| is_for(elf, expected));
    found.each(ours, |found, (file, elf)| {
        let flags = elf.flags & expected.flags_mask;
        let evidence = match (&expected.flags_allowed, usual) {
            (Some(allowed), _) if !allowed.contains(&flags) => {
                let allowed: Vec<String> =
                    allowed.iter().map(|flags| format!("{flags:#x}")).collect();
                let (arch, allowed) = (&arch.name, allowed.join(" or "));
                format!("e_flags are {flags:#x}, {arch} has {allowed}")
            }
            (_, Some(usual)) if flags != usual => {
                format!("e_flags are {flags:#x}, those of most objects {usual:#x}")
            }
            _ => return,
        };
        found.add(file, evidence);
    })
}

fn kind_of_file(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    found.each(elfs(facts), |found, (file, elf)| {
        let expected = file != "vmlinux";
        if elf.relocatable != expected {
            let is = |relocatable| {
                if relocatable {
                    "an object"
                } else {
                    "a program"
                }
            };
            let evidence = format!("is {}, expected {}", is(elf.relocatable), is(expected));
            found.add(file, evidence);
        }
    })
}

fn stripped(context: &Context, found: &mut Found) -> usize {
    found.each(linked(context.facts()), |found, (file, _, symbols)| {
        if symbols == 0 {
            found.add(file, "it has no symbols");
        }
    })
}

fn release(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let kernel = facts.vmlinux.iter().filter(|_| facts.reached("vmlinux"));
    let kernel = kernel.filter(|vmlinux| vmlinux.symbols > 0);
    let is_of_release = kernel.filter_map(|vmlinux| vmlinux.is_of_release);
    found.each(is_of_release, |found, is_of_release| {
        if !is_of_release {
            let evidence = format!(
                "neither linux_banner nor init_uts_ns names {}",
                facts.kernel
            );
            found.add("vmlinux", evidence);
        }
    })
}

fn no_symbols(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let defining = facts.objects.iter().filter_map(|object| {
        let backend = object.backend.as_deref()?;
        let (ObjectFile::Elf(elf), ObjectFile::Ir(ir)) = (&backend.file, &object.file) else {
            return None;
        };
        let defined = ir.defined.as_deref()?;
        Some((backend.native, elf, defined, *defined.first()?))
    });
    found.each(defining, |found, (native, elf, defined, first)| {
        if elf.defined.is_empty() {
            found.add(
                facts.text(native),
                format!(
                    "no global symbol, where its IR defines {}, '{}' first",
                    defined.len(),
                    facts.text(first)
                ),
            );
        }
    })
}

fn kind(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    // Before that, an object may be of this build and its .cmd file of the one before.
    if !facts.is_compiled() {
        return 0;
    }
    let built_in = facts.objects.iter();
    let built_in = built_in.map(|object| (object.name, object.file.code(), &object.cmd));
    let of_modules = facts
        .built_modules()
        .iter()
        .flat_map(|module| &module.objects);
    let of_modules = of_modules.map(|object| (object.name, object.code, &object.cmd));
    let compiled = built_in.chain(of_modules).filter_map(|(name, code, cmd)| {
        let (makes, because) = compiles_to(facts, cmd.read()?)?;
        Some((name, code?, makes, because))
    });
    found.each(compiled, |found, (name, code, makes, because)| {
        if code != makes {
            let is = match code {
                Code::Bitcode => "bitcode",
                Code::Machine => "machine code",
            };
            found.add(
                facts.text(name),
                format!("is {is}; its command has {because}"),
            );
        }
    })
}

/// The kind of code that a command writes which compiles C, and the option that makes it so.
fn compiles_to<'a>(facts: &'a Facts, cmd: &Cmd) -> Option<(Code, &'a str)> {
    let words = cmd.command.as_ref()?.as_deref().ok()?;
    let options = &words[program(facts, words).len()..];
    let is_c = matches!(inputs(facts, options)[..], [input] if input.ends_with(".c"));
    let words: Vec<&str> = options.iter().map(|word| facts.text(*word)).collect();
    if !is_c || !words.contains(&"-c") || cmd.relinked || words.contains(&"-emit-llvm") {
        return None;
    }
    let lto = words
        .iter()
        .rev()
        .find(|word| **word == "-flto" || **word == "-fno-lto" || word.starts_with("-flto="));
    Some(match lto {
        None => (Code::Machine, "no -flto"),
        Some(&"-fno-lto") => (Code::Machine, "-fno-lto"),
        Some(on) => (Code::Bitcode, on),
    })
}

fn is_for(elf: &ElfHeader, expected: &ElfIdent) -> bool {
    let little = expected.endian == Endian::Little;
    (elf.machine, elf.class, elf.little_endian) == (expected.machine, expected.class, little)
}

/// The `e_flags` that most objects for the architecture have; the smaller value on a tie.
fn usual_flags(facts: &Facts, expected: &ElfIdent) -> Option<u32> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for elf in built_in(facts).filter_map(|file| file.elf()) {
        let elf = &elf.header;
        if is_for(elf, expected) {
            *counts.entry(elf.flags & expected.flags_mask).or_default() += 1;
        }
    }
    let most = counts.values().copied().max()?;
    counts
        .into_iter()
        .find(|(_, n)| *n == most)
        .map(|(flags, _)| flags)
}
