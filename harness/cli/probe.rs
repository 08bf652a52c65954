//! `klto probe`: drives the kernel's makefiles over the miniature.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::{exit, jobs, known_findings, print, source_dir};
use crate::build::kbuild;
use crate::build::process::Cancel;
use crate::cli::args::Probe as Args;
use crate::input::arch_table;
use crate::input::mutation::{self, Mutation};
use crate::input::suggest::known_names;
use crate::model::cell::{BOOT, Cell, SCENARIOS};
use crate::model::error::{Error, Exit};
use crate::model::outcome::RunResult;
use crate::report::{Format, json, ktap, text};
use crate::run::probe::{Request, miniature, probe};
use crate::source::source_tree::SourceTree;
use crate::store::WorkDir;

pub fn run(args: &Args) -> Result<Exit, Error> {
    if args.known.mutate.iter().any(|name| name == "list") {
        print(&table(&mutation::all()?))?;
        return Ok(Exit::Pass);
    }
    let cells = cells(args)?;
    let mutations = mutation::load_all(&args.known.mutate)?;
    let allows = known_findings(&args.known)?;
    let kernel = source_dir(&args.kernel)?;
    let arches: Vec<_> = cells.iter().map(|cell| &*cell.arch).collect();
    let source = SourceTree::open(&kernel, &arches)?;
    let place = work_dir(args)?;
    super::check_place(&place, &kernel)?;
    let work = WorkDir::open(&place)?;
    let cancel = Cancel::install().map_err(kbuild::process_error)?;
    let result = RunResult {
        matrix: "probe".to_owned(),
        kernel: source.version.clone(),
        cells: probe(&Request {
            source: &source,
            cells: &cells,
            mutations: &mutations,
            allows: &allows,
            work: &work,
            // Processes of a few milliseconds each: make waits nearly as long as it works.
            jobs: jobs(args.jobs, 2),
            cancel: &cancel,
        })?,
    };
    print(&match args.format {
        Format::Text => text::run(&result, args.all),
        Format::Json => json::run(&result),
        Format::Ktap => ktap::run(&result),
    })?;
    if cancel.is_cancelled() {
        return Err(Error::Cancelled);
    }
    Ok(exit(&result, false))
}

/// What can be got wrong, and how it shows.
fn table(mutations: &[Mutation]) -> String {
    let mut out = String::new();
    for mutation in mutations {
        let shows = match &mutation.unseen {
            Some(why) => format!("not seen: {why}"),
            None => format!("{} ({})", mutation.expect.join(", "), mutation.scenario),
        };
        let about = mutation.about.trim();
        let _ = writeln!(out, "{}\n  {about}\n  {shows}", mutation.name);
    }
    out
}

/// One cell an architecture and mode.
fn cells(args: &Args) -> Result<Vec<Cell>, Error> {
    let usage = |e: arch_table::ArchError| Error::Usage(e.to_string());
    let mut names = args.arch.iter().map(String::as_str).collect::<Vec<_>>();
    if names.is_empty() {
        names = arch_table::names_with_lto().map_err(usage)?;
    }
    let scenarios = scenarios(&args.scenario)?;
    let mut make = miniature::adding(&args.add);
    make.insert("LLVM".to_owned(), args.toolchain.clone());
    // The miniature has no Rust: what comes of it does not hang on whether the machine has.
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
    let played = || SCENARIOS.into_iter().filter(|name| *name != BOOT);
    for name in asked.iter().filter(|name| *name != "all") {
        if name == BOOT {
            return Err(Error::Usage(
                "a miniature cannot boot\n  name the scenario in a matrix, for `klto run`"
                    .to_owned(),
            ));
        }
        if !played().any(|known| known == name) {
            return Err(Error::Usage(format!(
                "no scenario is named `{name}`; {}",
                known_names(name, played().chain(["all"]))
            )));
        }
    }
    let is_asked = |name: &&str| *name == "build" || asked.iter().any(|a| a == name || a == "all");
    Ok(played().filter(is_asked).map(str::to_owned).collect())
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
            "`{llvm}` is no toolchain: expected what make takes as LLVM=\n  give a suffix such as -22, an absolute folder that ends in /, or 1"
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
            "neither XDG_CACHE_HOME nor HOME is set\n  say with --work where to keep build trees"
                .to_owned(),
        )
    })
}
