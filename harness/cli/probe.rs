//! `klto probe`: drives the kernel's makefiles over the miniature.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum as _;

use super::args::Probe as Args;
use super::output::{exit, print, report};
use super::{check_place, events, jobs, known_findings, open_sources, real_kernel};
use crate::build::doctor;
use crate::build::kbuild;
use crate::build::process::{Cancel, Command};
use crate::build::sandbox::Sandbox;
use crate::input::arch_table;
use crate::input::mutation::{self, Mutation};
use crate::input::suggest::known_names;
use crate::model::cell::{BOOT, Cell, SCENARIOS};
use crate::model::error::{Error, Exit};
use crate::model::record::{FORMAT, RunRecord};
use crate::model::sandbox::{Enforced, SandboxMode};
use crate::run::events::Event;
use crate::run::job::{PlanOptions, plan};
use crate::run::key::{CommonKey, own_program};
use crate::run::pair::usual_tolerances;
use crate::run::pipeline::Context;
use crate::run::probe::{Miniature, miniature, prune, readable, untrusted_caches};
use crate::run::schedule::run_jobs;
use crate::source::copy::{Extent, SourceCopy};
use crate::store::lock::Patience;
use crate::store::work_dir::WorkDir;

pub fn run(args: &Args) -> Result<Exit, Error> {
    if args.known.mutate.iter().any(|name| name == "list") {
        print(&table(&[mutation::all()?, mutation::harmless()?].concat()))?;
        return Ok(Exit::Pass);
    }
    let cells = cells(args)?;
    let mutations = mutation::load_all(&args.known.mutate)?;
    let allows = known_findings(&args.known)?;
    let cancel = Cancel::install()?;
    let sandbox = Sandbox::find(args.sandbox.sandbox, &cancel)?;
    let kernel = real_kernel(&args.source.kernel)?;
    let sources = open_sources(&kernel, &args.source, &cells, &cancel)?;
    let place = work_dir(args)?;
    check_place(&place, &kernel)?;
    let work = WorkDir::open(&place)?;
    let events = events(&args.jobs_options)?;

    // One copy of the sources serves one state of them at a time.
    let patience = Patience {
        until: Instant::now().checked_add(args.timeout),
        cancel: &cancel,
    };
    let _lock = work.lock_sources(patience, &mut || {
        let text = "waiting for another klto that probes in the same work directory";
        events.on(&Event::Note { text });
    })?;
    let folder = work.path().join("source");
    let copy = SourceCopy::of(&sources, &folder, &arch_folders()?, &mutations)?;
    let ccache = doctor::is_installed("ccache");
    if let Some(file) = copy.names_mode().filter(|_| ccache) {
        let text = format!(
            "{file} asks for the mode of LTO, so each mode compiles all objects itself; \
             the probe takes longer"
        );
        events.on(&Event::Note { text: &text });
    }
    let fingerprint = copy.fingerprint(Extent::All).to_hex();
    let revision = sources.revision();
    let program = own_program()?;
    let enforced = sandbox.as_ref().map(|sandbox| *sandbox.enforced());
    let caches = match &sandbox {
        Some(_) => Some(untrusted_caches(work.path(), &fingerprint)?),
        None => None,
    };
    let sandbox = sandbox.map(|sandbox| opened(sandbox, work.path(), caches.as_ref()));
    let layout = Miniature {
        work: work.path(),
        copy: &copy,
        prepared_key: common_key(&program, "prepared", work.path(), enforced.as_ref()),
        records: format!("{revision}-{}", &fingerprint[..12]),
        ccache,
        caches,
        program: &program,
        sources: &sources,
        kernel: &kernel,
        command: command(args, &kernel),
    };
    prune(work.path())?;
    // Processes of a few milliseconds each: make waits nearly as long as it works.
    let jobs = jobs(args.jobs, 2);
    let kernels: BTreeSet<_> = cells.iter().map(Cell::group).collect();
    let workers = jobs.min(kernels.len()).max(1);
    let tolerances = usual_tolerances()?;
    let context = Context {
        layout: &layout,
        key: &common_key(&program, &fingerprint, work.path(), enforced.as_ref()),
        sources: &sources,
        revision: &revision,
        snapshots: None,
        allows: &allows,
        tolerances: &tolerances,
        make_jobs: (jobs / workers).max(1),
        ccache: false,
        sandbox: sandbox.as_ref(),
        has_shuffle: kbuild::has_shuffle(&cancel)?,
        fresh: args.jobs_options.fresh,
        events: &*events,
        cancel: &cancel,
    };
    let plan = plan(
        &cells,
        PlanOptions {
            reuse_trees: false,
            share_clean_builds: false,
            prepare_all: true,
            one_mode_at_a_time: true,
            compare: &[],
        },
    );
    let run = RunRecord {
        format: FORMAT,
        klto: env!("CARGO_PKG_VERSION").to_owned(),
        matrix: "probe".to_owned(),
        kernel: sources.version().to_owned(),
        revision: revision.clone(),
        cells: run_jobs(&context, &plan, workers, args.jobs_options.fail_fast),
    };
    report(&run, &args.reporting)?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    Ok(exit(&run, false))
}

/// A sandbox in which the miniature can be built.
fn opened(sandbox: Sandbox, work: &Path, caches: Option<&PathBuf>) -> Sandbox {
    sandbox.reading(readable(work)).writing(caches.cloned())
}

/// The common part of the keys of a probe's jobs, for one state of the sources.
fn common_key(
    program: &blake3::Hash,
    of: &str,
    work: &Path,
    enforced: Option<&Enforced>,
) -> CommonKey {
    CommonKey::new(program, of, &[work]).sandboxed(enforced)
}

/// The folders under `arch/` that a probe of any architecture may read.
fn arch_folders() -> Result<Vec<&'static str>, Error> {
    let arches = arch_table::all()?.values();
    Ok(arches.map(|arch| arch.src.as_str()).collect())
}

/// The probe as it was asked for, without the cell.
fn command(args: &Args, kernel: &Path) -> Command {
    let mut command = Command::new("klto").args(["probe", "--kernel"]).arg(kernel);
    if let Some(reference) = &args.source.reference {
        command = command.args(["--ref", reference]);
    }
    if args.toolchain != "-22" {
        command = command.args(["--toolchain", &args.toolchain]);
    }
    for (option, values) in [("--scenario", &args.scenario), ("--add", &args.add)] {
        if !values.is_empty() && *values != ["build"] {
            command = command.args([option, &values.join(",")]);
        }
    }
    let sandbox = args.sandbox.sandbox.to_possible_value();
    if let Some(mode) = sandbox.filter(|_| args.sandbox.sandbox != SandboxMode::Off) {
        command = command.args(["--sandbox", mode.get_name()]);
    }
    for mutation in &args.known.mutate {
        command = command.args(["--mutate", mutation]);
    }
    command
}

/// The known mistakes and how they show, and the harmless edits.
fn table(mutations: &[Mutation]) -> String {
    let mut out = String::new();
    for mutation in mutations {
        let shows = match &mutation.unseen {
            Some(why) => format!("not seen: {why}"),
            None if mutation.expect.is_empty() => "harmless: no rule may report it".to_owned(),
            None => format!("{} ({})", mutation.expect.join(", "), mutation.scenario),
        };
        let about = mutation.about.trim();
        let _ = writeln!(out, "{}\n  {about}\n  {shows}", mutation.name);
    }
    out
}

/// One cell per architecture and mode.
fn cells(args: &Args) -> Result<Vec<Cell>, Error> {
    let usage = |e: arch_table::ArchError| Error::Usage(e.to_string());
    let mut names = args.arch.iter().map(String::as_str).collect::<Vec<_>>();
    if names.is_empty() {
        names = arch_table::names_with_lto().map_err(usage)?;
    }
    let scenarios = scenarios(&args.scenario)?;
    let mut make = miniature::adding(&args.add);
    make.insert("LLVM".to_owned(), args.toolchain.clone());
    // The miniature has no Rust: the result does not depend on whether the machine has it.
    make.insert("RUSTC".to_owned(), "false".to_owned());
    let mut cells: Vec<Cell> = Vec::new();
    for name in names {
        let arch = arch_table::by_name(name).map_err(usage)?;
        for lto in &args.lto {
            let cell = Cell {
                arch: arch.clone(),
                config_name: "probe".to_owned(),
                base: "tinyconfig".to_owned(),
                enable: vec!["MODULES".to_owned(), "MODVERSIONS".to_owned()],
                disable: Vec::new(),
                set: BTreeMap::new(),
                lto: *lto,
                toolchain_name: toolchain_name(&args.toolchain)?,
                make: make.clone(),
                goals: Vec::new(),
                scenarios: scenarios.clone(),
                timeout: args.timeout,
            };
            if cells.iter().all(|known| known.name() != cell.name()) {
                cells.push(cell);
            }
        }
    }
    Ok(cells)
}

fn scenarios(asked: &[String]) -> Result<Vec<String>, Error> {
    let probed = || SCENARIOS.into_iter().filter(|name| *name != BOOT);
    for name in asked.iter().filter(|name| *name != "all") {
        if name == BOOT {
            return Err(Error::Usage(
                "a miniature cannot boot\n  name the scenario in a matrix, for 'klto run'"
                    .to_owned(),
            ));
        }
        if !probed().any(|known| known == name) {
            return Err(Error::Usage(format!(
                "no scenario is named '{name}'; {}",
                known_names(name, probed().chain(["all"]))
            )));
        }
    }
    let is_asked = |name: &&str| *name == "build" || asked.iter().any(|a| a == name || a == "all");
    Ok(probed().filter(is_asked).map(str::to_owned).collect())
}

/// `llvm-22` for `-22`; the folders of a path for a path.
fn toolchain_name(llvm: &str) -> Result<String, Error> {
    let name: String = llvm
        .trim_matches('/')
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || "-._+".contains(c) {
                c
            } else {
                '-'
            }
        })
        .collect();
    match llvm {
        "1" => Ok("llvm".to_owned()),
        _ if llvm.starts_with('-') && llvm.len() > 1 => Ok(format!("llvm{name}")),
        _ if llvm.starts_with('/') && llvm.ends_with('/') && !name.is_empty() => {
            Ok(format!("llvm-{name}"))
        }
        _ => Err(Error::Usage(format!(
            "'{llvm}' is not a toolchain: expected what make takes as LLVM=\n  give a suffix such as -22, an absolute folder that ends in /, or 1"
        ))),
    }
}

/// Where the probe keeps what it can use again.
fn work_dir(args: &Args) -> Result<PathBuf, Error> {
    if let Some(dir) = &args.work {
        return Ok(dir.clone());
    }
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|dir| dir.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    cache.map(|dir| dir.join("klto/probe")).ok_or_else(|| {
        Error::Usage(
            "neither XDG_CACHE_HOME nor HOME is set\n  pass a directory for build trees with --work"
                .to_owned(),
        )
    })
}
