//! `klto merge`: joins the runs of shards to one run, keeps it and reports on it.

use std::collections::BTreeSet;
use std::path::Path;

use super::args::Merge as Args;
use super::output::exit;
use super::report::report_kept;
use super::stored::{open, select, store_dir};
use crate::build::process::Cancel;
use crate::judge::merge::{Merged, Part, merge};
use crate::model::error::{Error, Exit};
use crate::run::events::say;
use crate::store::runs::RunStore;
use crate::store::runs::file::{Kept, StoredRun};
use crate::store::runs::index::Index;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let cancel = Cancel::install()?;
    let runs = read(args, &cancel)?;
    let parts = std::iter::zip(&args.runs, &runs).map(|(name, stored)| Part {
        name,
        run: &stored.run,
    });
    let merged = merge(&parts.collect::<Vec<_>>(), args.partial)
        .map_err(|why| Error::Usage(why.to_string()))?;
    for shard in &merged.missing {
        say(format_args!("klto: shard {shard} is missing"));
    }
    let store = RunStore::open(&store_dir(args.store.store.as_deref())?)?;
    for file in args.runs.iter().filter(|word| is_file(word)) {
        store.import(Path::new(file), &cancel)?;
    }
    let replaces = replaced(&runs, &Index::open(&store, &cancel)?)?;
    let kept = kept(&merged, &runs);
    let added = store.add_merged(&merged.run, &kept, replaces, &cancel)?;
    let name = &added.head.run;
    say(format_args!("klto: kept as run {name}"));
    let stored = store.load(name)?;
    let index = Index::open(&store, &cancel)?;
    report_kept(&store, &index, &stored, &args.reporting)?;
    Ok(exit(&stored.run, args.strict))
}

/// Whether a word means an exported run, and not one of the store.
fn is_file(word: &str) -> bool {
    word.contains('/') || Path::new(word).is_file()
}

/// The runs that were named. Files are read in a store of their own, so that the user's stays as it is
/// if the runs cannot be merged.
fn read(args: &Args, cancel: &Cancel) -> Result<Vec<StoredRun>, Error> {
    let named = match args.runs.iter().all(|word| is_file(word)) {
        true => None,
        false => {
            let (store, index) = open(args.store.store.as_deref())?;
            Some((store, index.runs()?))
        }
    };
    let scratch =
        tempfile::tempdir().map_err(Error::io(std::env::temp_dir(), "make a folder in"))?;
    let imported = RunStore::open(scratch.path())?;
    let read = |word: &String| match &named {
        Some((store, runs)) if !is_file(word) => store.load(&select(runs, word)?.head.run),
        Some(_) | None => {
            let head = imported.import(Path::new(word), cancel)?.head;
            imported.load(&head.run)
        }
    };
    args.runs.iter().map(read).collect()
}

/// What the merged run replaces: its parts, what they replace, and runs that were merged from some
/// of these earlier.
fn replaced(runs: &[StoredRun], index: &Index) -> Result<Vec<String>, Error> {
    let heads = runs.iter().map(|run| &run.head);
    let mut names: BTreeSet<String> = heads
        .flat_map(|head| head.replaces.iter().chain([&head.run]))
        .cloned()
        .collect();
    for listed in index.runs()? {
        let replaces = &listed.head.replaces;
        if !replaces.is_empty() && replaces.iter().all(|name| names.contains(name)) {
            names.insert(listed.head.run);
        }
    }
    Ok(names.into_iter().collect())
}

/// The facts and logs of each cell of the merged run.
fn kept(merged: &Merged, runs: &[StoredRun]) -> Vec<Kept> {
    let of_part = |place: &Option<(usize, usize)>| match place {
        Some((part, at)) => runs[*part].kept[*at].clone(),
        None => Kept::default(),
    };
    merged.from.iter().map(of_part).collect()
}
