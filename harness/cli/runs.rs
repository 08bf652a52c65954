//! `klto runs`: the runs that are kept.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use bytesize::ByteSize;

use super::args::{Runs as Args, RunsCommand};
use super::print;
use super::stored::{open, select, store_dir};
use crate::build::process::Cancel;
use crate::model::error::{Error, Exit};
use crate::model::finding::counted;
use crate::model::printable::printable;
use crate::store::runs::RunStore;
use crate::store::runs::disk::Known;
use crate::store::runs::index::ListedRun;
use crate::store::runs::objects::Kind;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let dir = args.store.store.as_deref();
    let cancel = Cancel::install()?;
    match args.command.as_ref().unwrap_or(&RunsCommand::List) {
        RunsCommand::List => list(dir),
        RunsCommand::Show { run } => show(dir, run),
        RunsCommand::Remove { run } => remove(dir, run, &cancel),
        RunsCommand::Gc { keep, disk } => collect(dir, *keep, *disk, &cancel),
        RunsCommand::Export { run, file } => {
            let (store, index) = open(dir)?;
            let runs = index.runs()?;
            let run = &select(&runs, run)?.head.run;
            store.export(run, file, &cancel)?;
            print(&format!("{run}: written to {}\n", file.display()))
        }
        RunsCommand::Import { file } => {
            let store = RunStore::open(&store_dir(dir)?)?;
            for file in file {
                let imported = store.import(file, &cancel)?;
                let what = match imported.was_there {
                    true => "is there already",
                    false => "imported",
                };
                print(&format!("{}: {what}\n", imported.head.run))?;
            }
            Ok(())
        }
    }?;
    Ok(Exit::Pass)
}

fn list(dir: Option<&Path>) -> Result<(), Error> {
    let (store, index) = open(dir)?;
    let mut runs = index.runs()?;
    let all = runs.len();
    runs.retain(|run| !run.is_replaced);
    let widest = |of: &dyn Fn(&ListedRun) -> usize| runs.iter().map(of).max().unwrap_or(0);
    let matrix = widest(&|run| printable(&run.head.matrix).len()).max("matrix".len());
    let revision = widest(&|run| printable(&run.head.revision).len()).max("kernel".len());
    let mut out = format!(
        "{:29} {:matrix$} {:revision$} {:>6} {:>6} {:>6} {:>6}\n",
        "run", "matrix", "kernel", "pass", "fail", "error", "skip"
    );
    for run in &runs {
        let head = &run.head;
        let with = head.with().replacen(", ", "  ", 1);
        let _ = writeln!(
            out,
            "{:29} {:matrix$} {:revision$} {:>6} {:>6} {:>6} {:>6}{}",
            head.run,
            printable(&head.matrix),
            printable(&head.revision),
            run.pass,
            run.fail,
            run.error,
            run.skip,
            printable(&with)
        );
    }
    let replaced = all - runs.len();
    if replaced > 0 {
        let _ = writeln!(
            out,
            "not listed: {} of merged runs, which 'klto runs show' names",
            counted(replaced, "parts")
        );
    }
    let _ = writeln!(out, "{}", taken(&store));
    print(&out)
}

fn show(dir: Option<&Path>, word: &str) -> Result<(), Error> {
    let (store, index) = open(dir)?;
    let runs = index.runs()?;
    let run = store.load(&select(&runs, word)?.head.run)?;
    let head = &run.head;
    let mut out = format!(
        "{}: {}, Linux {}, recorded {}\n",
        head.run,
        printable(&head.matrix),
        printable(&head.revision),
        head.recorded
    );
    if let Some(with) = head.with().strip_prefix(", ") {
        let _ = writeln!(out, "{}", printable(with));
    }
    if !head.replaces.is_empty() {
        let _ = writeln!(out, "merged from {}", head.replaces.join(", "));
    }
    let objects = store.objects();
    for (cell, kept) in run.run.cells.iter().zip(&run.kept) {
        let open = cell.open_findings().count();
        let _ = writeln!(
            out,
            "{}: {}, {}",
            printable(&cell.cell),
            cell.outcome.name(),
            counted(open, "findings")
        );
        if let Some(facts) = &kept.facts {
            let _ = writeln!(
                out,
                "  facts {}",
                objects.path(Kind::Facts, facts).display()
            );
        }
        for log in kept.logs.iter().flatten() {
            let _ = writeln!(out, "  log   {}", objects.path(Kind::Log, log).display());
        }
    }
    print(&out)
}

fn remove(dir: Option<&Path>, words: &[String], cancel: &Cancel) -> Result<(), Error> {
    let store = RunStore::existing(&store_dir(dir)?)?;
    // A damaged run can be named, although no index has it.
    let all = store.names()?;
    let mut names = Vec::new();
    for word in words {
        match all.contains(word) {
            true => names.push(word.clone()),
            false => {
                let (_, index) = open(dir)?;
                names.push(select(&index.runs()?, word)?.head.run.clone());
            }
        }
    }
    report_removed(&store, &names, cancel)
}

/// Keeps the latest runs of each matrix, and of these what fits.
fn collect(
    dir: Option<&Path>,
    keep: Option<usize>,
    disk: Option<ByteSize>,
    cancel: &Cancel,
) -> Result<(), Error> {
    if let Some(keep) = keep {
        let (store, index) = open(dir)?;
        report_removed(&store, &beyond(&index.runs()?, keep), cancel)?;
    }
    if let Some(disk) = disk {
        let (store, index) = open(dir)?;
        let is_green = |run: &&ListedRun| run.fail + run.error == 0;
        let runs = index.runs()?;
        let green = runs.iter().filter(is_green);
        let known = Known {
            green: &green.map(|run| run.head.run.clone()).collect(),
            last: &index.last_results()?,
        };
        let choice = store.weigh()?.choose(known, disk.as_u64() / 1024);
        report_removed(&store, &choice.runs, cancel)?;
        let why = match choice.left_kib > disk.as_u64() / 1024 {
            true => {
                ", more than was asked for: each run that is left has the last result of a cell"
            }
            false => "",
        };
        print(&format!("{}{why}\n", taken(&store)))?;
    }
    Ok(())
}

/// All but the latest runs of each matrix, and of a merged one its parts.
fn beyond(runs: &[ListedRun], keep: usize) -> Vec<String> {
    let mut kept: BTreeMap<&str, usize> = BTreeMap::new();
    let mut old = Vec::new();
    let mut parts: BTreeSet<&String> = BTreeSet::new();
    for run in runs.iter().rev().filter(|run| !run.is_replaced) {
        let number = kept.entry(&run.head.matrix).or_default();
        *number += 1;
        match *number > keep {
            true => old.push(run.head.run.clone()),
            false => parts.extend(&run.head.replaces),
        }
    }
    let replaced = runs.iter().filter(|run| run.is_replaced);
    let replaced = replaced.map(|run| &run.head.run);
    old.extend(replaced.filter(|name| !parts.contains(name)).cloned());
    old
}

/// What the store takes on the disk.
fn taken(store: &RunStore) -> String {
    let size = ByteSize::kib(store.disk_kib()).display().iec();
    format!("runs, facts and logs take {size}")
}

fn report_removed(store: &RunStore, names: &[String], cancel: &Cancel) -> Result<(), Error> {
    let removed = store.remove(names, cancel)?;
    print(&format!(
        "removed {}, and {} that no other has ({} KiB)\n",
        counted(removed.runs, "runs"),
        counted(removed.objects, "facts and logs"),
        removed.bytes / 1024
    ))
}
