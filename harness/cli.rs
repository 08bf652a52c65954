//! The commands: each resolves its arguments, calls the library, prints the result and
//! returns the exit status.

mod accept;
pub mod args;
mod bisect;
mod check;
mod check_store;
mod compare;
mod completions;
mod diff;
mod explain;
mod history;
mod man;
mod merge;
mod night;
pub mod options;
mod output;
mod plan;
mod probe;
mod report;
mod run;
mod runs;
mod schedule;
mod schema;
mod series;
mod slurm;
mod stored;
mod task;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use self::args::{Cells, Cli, Command, Known};
use self::options::{JobOptions, SourceOptions};
use self::output::print;
use crate::build::doctor;
use crate::build::process::Cancel;
use crate::input::allow::{Allow, check_names};
use crate::input::matrix::Matrix;
use crate::input::yaml;
use crate::model::arch::Arch;
use crate::model::cell::Cell;
use crate::model::error::{Error, Exit};
use crate::model::shard::ShardRecord;
use crate::run::events::json::JsonLines;
use crate::run::events::{Events, Fan, for_standard_error, say};
use crate::run::rules;
use crate::source::source_tree::check_path;
use crate::source::sources::Sources;

/// Runs a command; an error is printed and mapped to its exit.
#[must_use]
pub fn dispatch(cli: &Cli) -> Exit {
    let result = match &cli.command {
        Command::Check(args) => check::run(args),
        Command::Probe(args) => probe::run(args),
        Command::Series(args) => series::run(args),
        Command::Bisect(args) => bisect::run(args),
        Command::Run(args) => run::run(args),
        Command::Night(args) => night::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Runs(args) => runs::run(args),
        Command::Compare(args) => compare::run(args),
        Command::History(args) => history::run(args),
        Command::Report(args) => report::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Merge(args) => merge::run(args),
        Command::Accept(args) => accept::run(args),
        Command::Doctor => doctor(),
        Command::Explain(args) => explain::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => man::run(args),
        Command::Task(args) => task::run(args),
    };
    result.unwrap_or_else(|error| {
        say(format_args!("klto: {error}"));
        error.exit()
    })
}

/// `klto doctor`: exits 125 if kernels of some architecture cannot be built.
fn doctor() -> Result<Exit, Error> {
    let diagnosis = doctor::examine()?;
    print(&doctor::report(&diagnosis))?;
    Ok(if diagnosis.can_build() {
        Exit::Pass
    } else {
        Exit::Inconclusive
    })
}

fn load_allows(files: &[PathBuf]) -> Result<Vec<Allow>, Error> {
    let names = rules::known_names()?;
    let mut all = Vec::new();
    for file in files {
        let text = yaml::read(file)?;
        let allows = Allow::parse(&text, file)?;
        let above: &[&str] = match yaml::is_sequence(&text) {
            true => &[],
            false => &["allow"],
        };
        check_names(&allows, &text, file, above, &names)?;
        all.extend(allows);
    }
    Ok(all)
}

/// The findings that are reported but not counted: those the user allows, and the known
/// defects of released kernels.
fn known_findings(known: &Known) -> Result<Vec<Allow>, Error> {
    let mut allows = load_allows(&known.allow)?;
    if !known.no_known_defects {
        allows.extend(known_defects()?);
    }
    Ok(allows)
}

/// The known defects of released kernels.
fn known_defects() -> Result<Vec<Allow>, Error> {
    let text = include_str!("input/known-defects.yaml");
    Ok(Allow::parse(text, Path::new("known-defects.yaml"))?)
}

fn load_matrix(file: &Path) -> Result<Matrix, Error> {
    let matrix = Matrix::load(file)?;
    if !matrix.allow.is_empty() {
        let (text, names) = (yaml::read(file)?, rules::known_names()?);
        check_names(&matrix.allow, &text, file, &["allow"], &names)?;
    }
    Ok(matrix)
}

/// The cells of a matrix that were asked for.
struct Selected {
    cells: Vec<Cell>,
    /// Which of them these are, if they were divided.
    shard: Option<ShardRecord>,
}

/// The cells that the patterns match; of those, the ones in the shard.
fn select(matrix: &Matrix, asked: &Cells) -> Result<Selected, Error> {
    let mut cells = matrix.select(&asked.patterns)?;
    let record = |shard| ShardRecord::new(shard, matrix.digest.clone(), &cells);
    let shard = asked.shard.map(record);
    if let Some(record) = &shard {
        let mut is_in_shard = record.has();
        cells.retain(|_| is_in_shard.next().unwrap_or_default());
    }
    Ok(Selected { cells, shard })
}

/// Refuses a work directory in which kernels cannot be built, before it is created.
fn check_place(work: &Path, kernel: &Path) -> Result<(), Error> {
    let place = real_path(work).map_err(Error::io(work, "find"))?;
    check_path(&place, "the work directory")?;
    if place.starts_with(kernel) {
        return Err(Error::Usage(format!(
            "{}: the work directory is inside the source tree, which klto never writes\n  choose another with --work",
            work.display()
        )));
    }
    Ok(())
}

/// The real path, as far as it exists.
fn real_path(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let real = path.ancestors().find_map(|ancestor| {
        let below = path.strip_prefix(ancestor).ok()?;
        let real = ancestor.canonicalize().ok()?;
        // Joined to nothing, the path of a file would end with a slash.
        Some(match below.as_os_str().is_empty() {
            true => real,
            false => real.join(below),
        })
    });
    Ok(real.unwrap_or(path))
}

/// The real path of the kernel source tree: links in it would be copied as links.
fn real_kernel(kernel: &Path) -> Result<PathBuf, Error> {
    kernel.canonicalize().map_err(|e| Error::NotASourceTree {
        dir: kernel.to_owned(),
        found: e.to_string(),
    })
}

/// The sources that were named, and what they must be for these cells.
fn open_sources(
    kernel: &Path,
    options: &SourceOptions,
    cells: &[Cell],
    cancel: &Cancel,
) -> Result<Sources, Error> {
    match &options.reference {
        Some(reference) => Sources::commit(kernel, reference, cancel),
        None => {
            let arches: Vec<&Arch> = cells.iter().map(|cell| &*cell.arch).collect();
            Sources::directory(kernel, &arches)
        }
    }
}

/// Where events go: to the terminal, and to a file if one was given.
fn events(options: &JobOptions) -> Result<Arc<dyn Events>, Error> {
    let shown = for_standard_error();
    Ok(match &options.events {
        None => shown,
        Some(file) => Arc::new(Fan(vec![shown, Arc::new(JsonLines::create(file)?)])),
    })
}

/// The number of jobs of all makes together: this many per processor, unless given.
fn jobs(asked: Option<usize>, per_processor: usize) -> usize {
    let processors = || available_parallelism().map_or(1, usize::from);
    asked.unwrap_or_else(|| per_processor * processors()).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_those_that_are_asked_for_or_some_for_each_processor() {
        assert_eq!([0, 1, 7].map(|asked| jobs(Some(asked), 2)), [1, 1, 7]);
        let processors = available_parallelism().unwrap().get();
        assert_eq!(
            [1, 2, 3].map(|each| jobs(None, each)),
            [1, 2, 3].map(|each| each * processors)
        );
    }
}
