//! Makes a build tree of any size for benchmarks: `synthetic-tree DIR OBJECTS`.
//!
//! A few objects are compiled, and cloned under new names: symbols have names of one
//! length, which are at whole bytes in bitcode and in ELF files and are
//! overwritten there. Archives, thin link, `vmlinux.o` and `vmlinux` are then made from the clones as
//! in any synthetic tree, by the real tools; klto finds nothing in the result. The clones
//! have no module hash, which LLVM does not ask for.

// The tests use what this program does not.
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../it/support/tree/kbuild.rs"]
mod kbuild;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../it/support/tree/layout.rs"]
mod layout;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../it/support/tree/recipes.rs"]
mod recipes;
#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../it/support/tree/toolchain.rs"]
mod toolchain;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::Instant;

use klto::model::cell::LtoMode;
use memchr::memmem;
use rayon::prelude::*;

use kbuild::objects::genksyms;
use kbuild::{Kbuild, Step};
use layout::{Export, Language, Place, Unit, X86_64};
use recipes::{Recipes, dot_cmd, native};

/// Objects that are no clones, and a chain.
const SMALLEST: usize = 10 + CHAIN;
/// Objects that import from each other, one from the next.
const CHAIN: usize = 4;
/// Objects in one directory.
const FOLDER: usize = 100;
/// One object in so many exports a symbol.
const EXPORTS: usize = 3;
/// Bytes of dependencies in a `.cmd` file, on average; those of a kernel's tinyconfig.
const DEPENDENCIES: usize = 60_000;
const OPT: &str = "opt-22";
/// Bytes of flags in a command; those of a kernel's.
const FLAGS: usize = 6_000;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, objects] = &args[..] else {
        eprintln!("usage: synthetic-tree DIR OBJECTS");
        return ExitCode::from(2);
    };
    let objects = match objects.parse::<usize>() {
        Ok(objects) if objects >= SMALLEST => objects,
        _ => {
            return refuse(&format!(
                "expected a number of objects from {SMALLEST} on, found '{objects}'"
            ));
        }
    };
    let dir = Path::new(dir);
    if let Err(e) = std::fs::create_dir_all(dir) {
        return refuse(&format!("{}: {e}", dir.display()));
    }
    if std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some()) {
        return refuse(&format!(
            "{}: expected an empty directory or none",
            dir.display()
        ));
    }
    build(dir, objects);
    ExitCode::SUCCESS
}

fn refuse(why: &str) -> ExitCode {
    eprintln!("synthetic-tree: {why}");
    ExitCode::from(2)
}

fn build(dir: &Path, objects: usize) {
    // The objects that the tests also have, followed by the clones.
    let real = Kbuild {
        target: X86_64,
        mode: LtoMode::ThinDist,
        out: std::path::absolute(dir).expect("there is a working directory"),
        srctree: "source",
        recipes: Recipes {
            front: |_, front| front.own += many_flags(),
            ..Recipes::default()
        },
        units: layout::units(X86_64),
    };
    let clones = clones(
        objects
            - real
                .units
                .iter()
                .filter(|unit| unit.place != layout::Place::Module)
                .count(),
    );
    let whole = Kbuild {
        units: [&real.units[..], &clones[..]].concat(),
        ..real.clone()
    };
    let start = Instant::now();
    let done = |what: &str| eprintln!("{:6.1} s  {what}", start.elapsed().as_secs_f64());
    let take = |kbuild: &Kbuild, step: Step| {
        if let Err(stderr) = kbuild.take(step) {
            panic!("{step:?} fails:\n{stderr}");
        }
        done(&format!("{step:?}"));
    };
    real.configure();
    take(&real, Step::Objects);
    let templates = Templates::compile(&real, clones.len());
    done("templates");
    let each = || clones.par_iter().enumerate();
    each().for_each(|(number, unit)| write_front(&real, &templates, number, unit));
    done("clones of Objects");
    take(&whole, Step::Fixup);
    take(&whole, Step::Order);
    take(&whole, Step::Index);
    take(&real, Step::Natives);
    each().for_each(|(number, unit)| write_back(&real, &templates, number, unit));
    done("clones of Natives");
    take(&whole, Step::VmlinuxA);
    take(&whole, Step::VmlinuxO);
    take(&whole, Step::Modpost);
    take(&whole, Step::Vmlinux);
}

/// C objects, in folders as full as those of a kernel.
fn clones(count: usize) -> Vec<Unit> {
    (0..count)
        .map(|number| {
            let stem = format!("drivers/d{:05}/f{number:07}", number / FOLDER);
            let exports = match number % EXPORTS {
                0 => vec![Export {
                    symbol: Cow::Owned(format!("{}_open", symbol(number))),
                    licence: "EXPORT_SYMBOL_GPL",
                    namespace: "",
                }],
                _ => Vec::new(),
            };
            c_object(&stem, exports)
        })
        .collect()
}

fn c_object(stem: &str, exports: Vec<Export>) -> Unit {
    Unit {
        object: format!("{stem}.o"),
        spelled: format!("{stem}.o"),
        source: format!("{stem}.c"),
        language: Language::C,
        flags: "",
        exports,
        place: Place::Builtin,
    }
}

/// What the symbols of an object begin with; as long as those of a template.
fn symbol(number: usize) -> String {
    format!("k{number:07}")
}

fn template_symbol(position: usize) -> String {
    format!("templat{position}")
}

/// The objects that are cloned, each at its position in a chain.
struct Templates {
    bitcode: Vec<Vec<u8>>,
    native: Vec<Vec<u8>>,
    /// How many objects are made of them.
    clones: usize,
}

impl Templates {
    fn compile(kbuild: &Kbuild, clones: usize) -> Templates {
        let units: Vec<Unit> = (0..CHAIN)
            .map(|position| c_object(&format!("template/t{position}"), Vec::new()))
            .collect();
        let folders = [
            kbuild.out.join("template"),
            kbuild.source().join("template"),
        ];
        for folder in &folders {
            std::fs::create_dir_all(folder).unwrap();
        }
        let shell = |command: &str| toolchain::shell(&kbuild.out, command).expect_ok();
        for (position, unit) in units.iter().enumerate() {
            std::fs::write(kbuild.source().join(&unit.source), source(position)).unwrap();
            shell(&kbuild.front_command(unit, &kbuild.front(unit)));
            // Writes it again without the hash of its module, which another name would make wrong.
            let object = &unit.object;
            shell(&format!("{OPT} -module-summary {object} -o {object}"));
        }
        let objects: Vec<&str> = units.iter().map(|unit| unit.object.as_str()).collect();
        shell(&format!(
            "{} -r -mllvm -import-instr-limit=5 --thinlto-index-only=template/index {}",
            toolchain::LLD,
            objects.join(" ")
        ));
        for unit in &units {
            let saved = kbuild.front(unit).saved_flags();
            shell(&kbuild.back(unit, saved).command());
        }
        let read = |file: String| std::fs::read(kbuild.out.join(file)).unwrap();
        let templates = Templates {
            bitcode: units.iter().map(|unit| read(unit.object.clone())).collect(),
            native: units
                .iter()
                .map(|unit| read(native(&unit.object)))
                .collect(),
            clones,
        };
        for folder in &folders {
            std::fs::remove_dir_all(folder).unwrap();
        }
        templates
    }

    /// Which template an object is a clone of: its place in its chain. What is left over
    /// after the last whole chain imports nothing, as the last one of a chain.
    fn position(&self, number: usize) -> usize {
        match number < self.clones / CHAIN * CHAIN {
            true => number % CHAIN,
            false => CHAIN - 1,
        }
    }
}

/// The source of a template: a function that others import, with the static one that it
/// calls and that so must be promoted; and some that stay.
fn source(position: usize) -> String {
    let own = template_symbol(position);
    let mut source = format!(
        "struct state {{ unsigned int head, size; }};\n\
         static __attribute__((noinline)) unsigned int {own}_step(struct state *state)\n\
         {{ state->head = state->head + 1 < state->size ? state->head + 1 : 0; return state->head; }}\n\
         unsigned int {own}_read(struct state *state);\n\
         unsigned int {own}_read(struct state *state) {{ return {own}_step(state); }}\n"
    );
    let next = (position + 1 < CHAIN).then(|| template_symbol(position + 1));
    let call = match next {
        Some(next) => {
            let _ = writeln!(source, "unsigned int {next}_read(struct state *state);");
            format!("{next}_read(state)")
        }
        None => "state->size".to_owned(),
    };
    for function in ["open", "write", "poll", "ioctl", "flush", "release"] {
        let _ = write!(
            source,
            "int {own}_{function}(struct state *state, int n);\n\
             int {own}_{function}(struct state *state, int n)\n\
             {{ while (n-- > {}) state->size ^= {call} * n; return state->size; }}\n",
            function.len()
        );
    }
    source
}

/// Puts the names of clones in place of those of the chain's templates.
fn rename(template: &[u8], first: usize) -> Vec<u8> {
    let mut clone = template.to_vec();
    for position in 0..CHAIN {
        let (old, new) = (template_symbol(position), symbol(first + position));
        assert_eq!(old.len(), new.len());
        for at in memmem::find_iter(template, old.as_bytes()) {
            clone[at..at + new.len()].copy_from_slice(new.as_bytes());
        }
    }
    clone
}

fn write(path: PathBuf, content: impl AsRef<[u8]>) {
    std::fs::write(&path, content).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
}

fn write_front(kbuild: &Kbuild, templates: &Templates, number: usize, unit: &Unit) {
    let position = templates.position(number);
    let object = kbuild.out.join(&unit.object);
    let folder = object.parent().expect("an object is in a folder");
    std::fs::create_dir_all(folder).unwrap();
    write(
        object,
        rename(&templates.bitcode[position], number - position),
    );

    let front = kbuild.front(unit);
    let command = kbuild.front_command(unit, &front);
    let mut cmd = kbuild.fixdep(unit, &command, dependencies(number));
    let _ = write!(
        cmd,
        "\nsaved_c_flags_{} := {}\n",
        front.saved_for,
        front.saved_flags()
    );
    cmd += &genksyms(unit);
    write(kbuild.out.join(dot_cmd(&unit.object)), cmd);
}

fn write_back(kbuild: &Kbuild, templates: &Templates, number: usize, unit: &Unit) {
    let position = templates.position(number);
    let back = kbuild.back(unit, kbuild.front(unit).saved_flags());
    write(
        kbuild.out.join(&back.native),
        rename(&templates.native[position], number - position),
    );
    write(kbuild.out.join(dot_cmd(&back.native)), back.cmd_file());
}

/// Flags without effect that make a command as long as a kernel's.
fn many_flags() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let mut text = String::new();
        while text.len() < FLAGS {
            let _ = write!(text, " -DSYNTHETIC_SWITCH_{}=1", text.len());
        }
        text
    })
}

/// The lines of fixdep about what an object reads; objects differ in how many there are.
fn dependencies(number: usize) -> &'static str {
    static TEXT: OnceLock<(String, Vec<usize>)> = OnceLock::new();
    let (text, lines) = TEXT.get_or_init(|| {
        let (mut text, mut lines) = (String::new(), Vec::new());
        while text.len() < 2 * DEPENDENCIES {
            lines.push(text.len());
            let line = lines.len();
            let _ = match line % 3 {
                0 => writeln!(text, "    $(wildcard include/config/SYNTHETIC_{line}) \\"),
                _ => writeln!(text, "  source/include/linux/synthetic/header_{line}.h \\"),
            };
        }
        (text, lines)
    });
    // From a third of the average to five thirds, in steps that look like chance.
    let share = number * 7919 % 1000;
    let wanted = DEPENDENCIES * (1000 + 4 * share) / 3000;
    let end = lines.partition_point(|at| *at < wanted);
    &text[..lines[end]]
}
