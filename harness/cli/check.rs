//! `klto check`: reads one build tree, or the facts that a record keeps of one, and says
//! what is broken.

use std::collections::BTreeMap;
use std::path::Path;

use super::args::Check;
use super::check_store;
use super::load_allows;
use super::output::print;
use crate::input::arch_table;
use crate::judge::allowed::mark_allowed;
use crate::judge::check;
use crate::judge::inspect::{Expected, External, InspectRequest, Inspected, inspect, judge_facts};
use crate::model::arch::Arch;
use crate::model::error::{Error, Exit};
use crate::model::finding::key_matches;
use crate::model::record::FindingRecord;
use crate::run::rules;
use crate::store::record_dir::RecordDir;

pub fn run(args: &Check) -> Result<Exit, Error> {
    for key in &args.only {
        if !check::rules().any(|rule| key_matches(key, rule.key)) {
            return Err(unknown_key(key));
        }
    }
    let dir = match (&args.dir, &args.store) {
        (_, Some(store)) => return check_store::run(args, store.clone()),
        (Some(dir), None) => dir,
        (None, None) => {
            return Err(Error::Usage(
                "name a build tree, the directory of a record, or a store with --store".to_owned(),
            ));
        }
    };
    let of_store = [
        ("--cell", !args.wanted.cells.is_empty()),
        ("--matrix", args.wanted.matrix.is_some()),
        ("--since", args.wanted.since.is_some()),
    ];
    if let Some((option, _)) = of_store.iter().find(|(_, given)| *given) {
        return Err(Error::Usage(format!(
            "{}: this is one tree, and {option} is about a store\n  leave {option} out, or give --store",
            dir.display()
        )));
    }
    let allows = load_allows(&args.allow)?;
    let arch = match &args.arch {
        Some(name) => Some(&**arch_table::by_name(name)?),
        None => None,
    };
    let kept = RecordDir::new(dir);
    let (mut inspected, cell) = match kept.has_record() {
        true => judge_record(args, dir, &kept, arch)?,
        false => (inspect_tree(args, dir, arch)?, None),
    };
    let identity = &inspected.inspection.identity;
    let cell = cell.unwrap_or_else(|| format!("{}/any/{}/any", identity.arch, identity.lto));
    let kernel = identity.kernel.clone();
    let inspection = &mut inspected.inspection;
    mark_allowed(&mut inspection.findings, &allows, (&cell, "build"), &kernel);

    let reporter = args.format.reporter(args.details.into());
    let name = dir.display().to_string();
    let texts = rules::texts(inspection.keys());
    print(&reporter.inspection(&name, inspection, &texts))?;
    if inspection.findings.iter().any(FindingRecord::is_open) {
        return Ok(Exit::Fail);
    }
    match &inspection.unfinished {
        Some(reason) => Err(Error::Unfinished {
            dir: dir.clone(),
            reason: format!("{reason}; nothing in what is there breaks a rule"),
        }),
        None => Ok(Exit::Pass),
    }
}

fn inspect_tree(args: &Check, dir: &Path, arch: Option<&Arch>) -> Result<Inspected, Error> {
    inspect(&InspectRequest {
        build: dir,
        external: args.kernel.as_deref().map(|kernel| External {
            kernel,
            symbols: &args.extra_symbols,
        }),
        source: args.source.as_deref(),
        log: args.log.as_deref(),
        goal: args.goal.unwrap_or_default(),
        arch,
        mode: args.lto,
        requested: &BTreeMap::new(),
        only: &args.only,
    })
}

/// Judges the facts beside a record by today's rules; also gives the cell's name.
fn judge_record(
    args: &Check,
    dir: &Path,
    kept: &RecordDir,
    arch: Option<&Arch>,
) -> Result<(Inspected, Option<String>), Error> {
    let of_tree = [
        ("--source", args.source.is_some()),
        ("--log", args.log.is_some()),
        ("--goal", args.goal.is_some()),
        ("--kernel", args.kernel.is_some()),
    ];
    if let Some((option, _)) = of_tree.iter().find(|(_, given)| *given) {
        return Err(Error::Usage(format!(
            "{}: this is a record, and {option} is about a build tree\n  leave {option} out, or pass the build tree",
            dir.display()
        )));
    }
    let missing = |what: &str| {
        Error::Usage(format!(
            "{}: {what}\n  pass the record of a build that make finished, or a build tree",
            dir.display()
        ))
    };
    let record = kept.load()?.ok_or_else(|| missing("the record is gone"))?;
    let facts = kept.facts()?.ok_or_else(|| {
        missing("the record has no facts, because there was no build tree to read")
    })?;
    let was = record.inspection;
    let mode = was.as_ref().map(|inspection| inspection.identity.lto);
    let requested = was
        .map(|inspection| inspection.requested)
        .unwrap_or_default();
    let inspected = judge_facts(
        facts,
        dir,
        &Expected {
            arch,
            mode: args.lto.or(mode),
            requested: &requested,
            only: &args.only,
        },
    )?;
    Ok((inspected, Some(record.cell)))
}

/// Says which keys there are, the nearest first.
pub fn unknown_key(key: &str) -> Error {
    let families: Vec<&str> = check::FAMILIES.iter().map(|family| family.name).collect();
    let keys = check::rules()
        .map(|rule| rule.key)
        .chain(families.iter().copied());
    let hint = crate::input::suggest::nearest(key, keys)
        .map(|near| format!("; did you mean '{near}'?"))
        .unwrap_or_default();
    Error::Usage(format!(
        "no rule has the key '{key}'{hint}\n  families: {}; 'klto explain' lists every rule",
        families.join(", ")
    ))
}
