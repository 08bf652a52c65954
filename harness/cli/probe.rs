//! `klto probe`: drives the kernel's makefiles over the miniature.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;

use super::args::{Probe as Args, ProbeCells};
use super::output::{exit, print, report};
use super::stored::{keep, store_for_run};
use super::{check_place, events, jobs, known_findings, open_sources, real_kernel};
use crate::build::process::{Cancel, Command};
use crate::build::sandbox::Sandbox;
use crate::input::arch_table;
use crate::input::mutation::{self, Mutation};
use crate::input::suggest::known_names;
use crate::model::cell::{BOOT, Base, Cell, LtoMode, SCENARIOS};
use crate::model::error::{Error, Exit};
use crate::model::record::CellRecord;
use crate::model::sandbox::SandboxMode;
use crate::run::probe::drive::{Caches, Probe};
use crate::run::probe::{USUAL_LLVM, miniature};
use crate::source::copy::Extent;
use crate::store::work_dir::WorkDir;

pub fn run(args: &Args) -> Result<Exit, Error> {
    if args.known.mutate.iter().any(|name| name == "list") {
        print(&table(&[mutation::all()?, mutation::harmless()?].concat()))?;
        return Ok(Exit::Pass);
    }
    let cells = cells(&args.cells, &args.lto, &args.add)?;
    let mutations = mutation::load_all(&args.known.mutate)?;
    let allows = known_findings(&args.known)?;
    let cancel = Cancel::install()?;
    let sandbox = Sandbox::find(args.sandbox.sandbox, &cancel)?;
    let kernel = real_kernel(&args.source.kernel)?;
    let sources = open_sources(&kernel, &args.source, &cells, &cancel)?;
    let place = work_dir(args.place.work.as_deref())?;
    check_place(&place, &kernel)?;
    let store = match &args.store.store {
        Some(store) => store_for_run(Some(store))?,
        None => None,
    };
    let work = WorkDir::open(&place)?;
    let events = events(&args.jobs_options)?;

    let probe = Probe {
        work: &work,
        kernel: &kernel,
        mutations: &mutations,
        allows: &allows,
        command: &command(args, &kernel),
        // Processes of a few milliseconds each: make waits nearly as long as it works.
        jobs: jobs(args.place.jobs, 2),
        fresh: args.jobs_options.fresh,
        fail_fast: args.jobs_options.fail_fast,
        sandbox: sandbox.as_ref(),
        caches: Caches::Own,
        events: &*events,
        cancel: &cancel,
    };
    let _lock = probe.lock(args.cells.timeout)?;
    let copy = probe.copy(&sources)?;
    let run = probe.run(&sources, &copy, &cells)?;
    report(&run, &args.reporting)?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    if let Some(store) = store {
        let fingerprint = copy.fingerprint(Extent::All).to_hex();
        let record_dir = |cell: &CellRecord| Some(probe.record(&sources, &fingerprint, &cell.cell));
        keep(&store, &run, &record_dir, &cancel)?;
    }
    Ok(exit(&run, false))
}

/// The probe as it was asked for, without the cell.
fn command(args: &Args, kernel: &Path) -> Command {
    let mut command = kernel_command(kernel);
    if let Some(reference) = &args.source.reference {
        command = command.args(["--ref", reference]);
    }
    command = with_cells(command, &args.cells);
    if !args.add.is_empty() {
        command = command.args(["--add", &args.add.join(",")]);
    }
    command = with_sandbox(command, args.sandbox.sandbox);
    for mutation in &args.known.mutate {
        command = command.args(["--mutate", mutation]);
    }
    command
}

/// `klto probe` of a kernel.
pub fn kernel_command(kernel: &Path) -> Command {
    Command::new("klto").args(["probe", "--kernel"]).arg(kernel)
}

/// With what was asked for besides the cells.
pub fn with_cells(mut command: Command, wanted: &ProbeCells) -> Command {
    if !wanted.scenario.is_empty() && wanted.scenario != ["build"] {
        command = command.args(["--scenario", &wanted.scenario.join(",")]);
    }
    command
}

/// The same in a sandbox.
pub fn with_sandbox(command: Command, mode: SandboxMode) -> Command {
    match mode.to_possible_value() {
        Some(value) if mode != SandboxMode::Off => command.args(["--sandbox", value.get_name()]),
        Some(_) | None => command,
    }
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

/// One cell per architecture, toolchain and mode; `add` are extra objects for the miniature.
pub fn cells(wanted: &ProbeCells, modes: &[LtoMode], add: &[String]) -> Result<Vec<Cell>, Error> {
    let usage = |e: arch_table::ArchError| Error::Usage(e.to_string());
    let mut names = wanted.arch.iter().map(String::as_str).collect::<Vec<_>>();
    if names.is_empty() {
        names = arch_table::names_with_lto().map_err(usage)?;
    }
    let scenarios = scenarios(&wanted.scenario)?;
    let mut make = miniature::adding(add);
    // The miniature has no Rust: the result does not depend on whether the machine has it.
    make.insert("RUSTC".to_owned(), "false".to_owned());
    let mut toolchains: Vec<&str> = wanted.toolchain.iter().map(|name| llvm_of(name)).collect();
    if toolchains.is_empty() {
        toolchains.push(USUAL_LLVM);
    }
    let mut cells: Vec<Cell> = Vec::new();
    for name in names {
        let arch = arch_table::by_name(name).map_err(usage)?;
        for llvm in &toolchains {
            make.insert("LLVM".to_owned(), (*llvm).to_owned());
            for lto in modes {
                let mut cell = Cell {
                    arch: arch.clone(),
                    config_name: "probe".to_owned(),
                    base: Base::Goal("tinyconfig".to_owned()),
                    fragments: Vec::new(),
                    enable: vec!["MODULES".to_owned(), "MODVERSIONS".to_owned()],
                    disable: Vec::new(),
                    set: BTreeMap::new(),
                    lto: *lto,
                    toolchain_name: toolchain_name(llvm)?,
                    make: make.clone(),
                    goals: Vec::new(),
                    scenarios: scenarios.clone(),
                    timeout: wanted.timeout,
                };
                cell.enable_needed();
                if cells.iter().all(|known| known.name() != cell.name()) {
                    cells.push(cell);
                }
            }
        }
    }
    Ok(cells)
}

/// What make takes as `LLVM=` for a toolchain as the user names it: reports call `-22` `llvm-22`.
pub fn llvm_of(toolchain: &str) -> &str {
    match toolchain.strip_prefix("llvm") {
        Some(suffix) if suffix.starts_with('-') => suffix,
        Some(_) | None => toolchain,
    }
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
pub fn toolchain_name(llvm: &str) -> Result<String, Error> {
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
pub fn work_dir(asked: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(dir) = asked {
        return Ok(dir.to_owned());
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
