//! The probe: a verdict on a change of the kernel's makefiles in seconds. Builds a
//! miniature of our own with them, for each cell, checks it by every rule, and plays the
//! scenarios on it. The user's source tree is only read.

pub mod miniature;
mod remembered;
mod slot;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::build::kbuild;
use crate::build::process::Cancel;
use crate::input::allow::Allow;
use crate::input::mutation::Mutation;
use crate::judge::inspect;
use crate::model::cell::{Cell, LtoMode};
use crate::model::error::Error;
use crate::model::outcome::CellResult;
use crate::model::outcome::Verdict;
use crate::run::progress::Units;
use crate::source::copy::SourceCopy;
use crate::source::source_tree::SourceTree;
use crate::store::WorkDir;

/// What to probe.
#[derive(Debug)]
pub struct Request<'a> {
    pub source: &'a SourceTree<'a>,
    pub cells: &'a [Cell],
    pub mutations: &'a [Mutation],
    pub allows: &'a [Allow],
    /// Where copies, build trees and results are kept from one probe to the next.
    pub work: &'a WorkDir,
    /// Jobs of all makes together.
    pub jobs: usize,
    pub cancel: &'a Cancel,
}

/// What all cells of a probe share.
#[derive(Debug)]
struct Probe<'a> {
    request: &'a Request<'a>,
    copy: SourceCopy,
    /// Tells one content of everything that is read from every other.
    fingerprint: blake3::Hash,
    /// Jobs of one make.
    jobs: usize,
    /// Whether objects come from ccache: most of a probe is compilers that start.
    ccache: bool,
    units: Units,
    /// Why `make --shuffle` cannot be had, if it cannot.
    no_shuffle: Option<String>,
}

/// Probes every cell, several side by side. Results are in the order of the cells.
///
/// # Errors
/// Where the source tree cannot be copied, or a mutation does not fit it. What goes wrong
/// in a cell is in its result.
pub fn probe(request: &Request) -> Result<Vec<CellResult>, Error> {
    let dir = request.work.path().join("source");
    let arches: Vec<String> = crate::input::arch_table::all()
        .map_err(|e| Error::Usage(e.to_string()))?
        .values()
        .map(|arch| arch.src.clone())
        .collect();
    let arches: Vec<&str> = arches.iter().map(String::as_str).collect();
    let copy = SourceCopy::sync(request.source.dir, &dir, &arches, request.mutations)?;
    let workers = request.jobs.min(request.cells.len()).max(1);
    let units = request.cells.iter().map(|cell| cell.scenarios.len()).sum();
    let probe = Probe {
        request,
        fingerprint: copy.fingerprint(true),
        copy,
        jobs: (request.jobs / workers).max(1),
        ccache: crate::build::doctor::is_installed("ccache"),
        units: Units::start(units),
        no_shuffle: kbuild::no_shuffle(request.cancel)?,
    };
    // The long ones first, so that no worker waits for the last one of another.
    let mut cells: Vec<(usize, &Cell)> = request.cells.iter().enumerate().collect();
    cells.sort_by_key(|(_, cell)| cell.lto != LtoMode::ThinDist);
    let results = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some((at, cell)) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = probe_cell(&probe, cell);
                    results
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(*at, result);
                }
            });
        }
    });
    probe.units.finish();
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(results.into_values().collect())
}

fn probe_cell(probe: &Probe, cell: &Cell) -> CellResult {
    let started = Instant::now();
    let request = probe.request;
    let name = cell.name();
    let told = if request.cancel.is_cancelled() {
        Err(Error::Cancelled)
    } else if let Some(reason) = request.source.lacks(cell) {
        Ok(CellResult::without_build(
            name.clone(),
            Verdict::Skipped(reason),
        ))
    } else if let Some(reason) = crate::build::doctor::missing_for(cell, false) {
        Err(Error::Machine(reason))
    } else {
        slot::play(probe, cell)
    };
    let mut result = told.unwrap_or_else(|error| {
        let reason = match error {
            Error::Cancelled => "interrupted".to_owned(),
            error => error.to_string().replace("\n  ", "; "),
        };
        CellResult::without_build(name.clone(), Verdict::Infra(reason))
    });
    result.seconds = started.elapsed().as_secs_f64();
    let kernel = &request.source.version;
    if let Some(checked) = &mut result.checked {
        inspect::suppress(
            &mut checked.findings,
            request.allows,
            (&name, "build"),
            kernel,
        );
    }
    for scenario in &mut result.scenarios {
        inspect::suppress(
            &mut scenario.findings,
            request.allows,
            (&name, &scenario.name),
            kernel,
        );
    }
    if result.verdict == Verdict::Holds && result.is_broken() {
        result.verdict = Verdict::Broken;
    }
    result
}

/// Tells this program from any other: its rules and its miniature are in it.
fn own_fingerprint() -> Result<blake3::Hash, Error> {
    let program = std::env::current_exe().map_err(Error::io("/proc/self/exe", "find"))?;
    let content = std::fs::read(&program).map_err(Error::io(&program, "read"))?;
    Ok(blake3::hash(&content))
}

/// Whether a folder is there.
fn is_there(dir: &Path) -> bool {
    std::fs::symlink_metadata(dir).is_ok()
}
