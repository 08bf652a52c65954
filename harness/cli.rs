//! The commands: each turns arguments into a question to [`verify`], prints the
//! answer and says how to exit.

mod accept;
pub mod args;
mod check;
mod diff;
mod explain;
mod plan;
mod probe;
mod run;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use crate::build::doctor;
use crate::cli::args::{Cells, Cli, Command, Known};
use crate::input::allow::Allow;
use crate::input::matrix::Matrix;
use crate::model::cell::Cell;
use crate::model::error::{Error, Exit};
use crate::model::outcome::Verdict;
use crate::model::outcome::{CellResult, RunResult};
use crate::run::progress::say;
use crate::source::source_tree::check_path;

/// Runs a command; an error is printed, and mapped to its exit.
#[must_use]
pub fn dispatch(cli: &Cli) -> Exit {
    let result = match &cli.command {
        Command::Check(args) => check::run(args),
        Command::Probe(args) => probe::run(args),
        Command::Run(args) => run::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Accept(args) => accept::run(args),
        Command::Doctor => doctor(),
        Command::Explain(args) => explain::run(args),
    };
    result.unwrap_or_else(|error| {
        say(format_args!("klto: {error}"));
        error.exit()
    })
}

/// `klto doctor`: 125 where a kernel of some architecture cannot be built.
fn doctor() -> Result<Exit, Error> {
    let diagnosis = doctor::examine().map_err(|e| Error::Usage(e.to_string()))?;
    print(&doctor::report(&diagnosis))?;
    Ok(if diagnosis.can_build() {
        Exit::Pass
    } else {
        Exit::Inconclusive
    })
}

/// Prints to standard output; a reader that has gone away is no error.
fn print(text: &str) -> Result<(), Error> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", "write")(e))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn load_allows(files: &[PathBuf]) -> Result<Vec<Allow>, Error> {
    let mut allows = Vec::new();
    for file in files {
        allows.extend(Allow::load_file(file).map_err(|e| Error::Usage(e.to_string()))?);
    }
    Ok(allows)
}

/// What is reported and does not count: what the user names, and the defects of released
/// kernels.
fn known_findings(known: &Known) -> Result<Vec<Allow>, Error> {
    let mut allows = load_allows(&known.allow)?;
    if !known.known_defects_count {
        let text = include_str!("input/known-defects.yaml");
        let defects = Allow::parse(text, Path::new("known-defects.yaml"));
        allows.extend(defects.map_err(|e| Error::Usage(e.to_string()))?);
    }
    Ok(allows)
}

fn load_matrix(file: &Path) -> Result<Matrix, Error> {
    Matrix::load(file).map_err(|e| Error::Usage(e.to_string()))
}

fn select(matrix: &Matrix, cells: &Cells) -> Result<Vec<Cell>, Error> {
    matrix
        .select(&cells.patterns)
        .map_err(|e| Error::Usage(e.to_string()))
}

/// Refuses a work directory where no kernel can be built, before it is created.
fn check_place(work: &Path, kernel: &Path) -> Result<(), Error> {
    let place = real_path(work).map_err(Error::io(work, "find"))?;
    check_path(&place, "the work directory")?;
    if place.starts_with(kernel) {
        return Err(Error::Usage(format!(
            "{}: the work directory is in the source tree, which is never written\n  choose another with --work",
            work.display()
        )));
    }
    Ok(())
}

/// Where a path leads, as far as it exists.
fn real_path(path: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let real = path.ancestors().find_map(|ancestor| {
        let below = path.strip_prefix(ancestor).ok()?;
        Some(ancestor.canonicalize().ok()?.join(below))
    });
    Ok(real.unwrap_or(path))
}

/// The kernel source tree by its real path: links in it would be copied as links.
fn source_dir(kernel: &Path) -> Result<PathBuf, Error> {
    kernel.canonicalize().map_err(|e| Error::NotASourceTree {
        dir: kernel.to_owned(),
        found: e.to_string(),
    })
}

/// Jobs of all makes together: so many a processor, unless asked otherwise.
fn jobs(asked: Option<usize>, per_processor: usize) -> usize {
    let processors = || available_parallelism().map_or(1, usize::from);
    asked.unwrap_or_else(|| per_processor * processors()).max(1)
}

/// What the cells say together.
fn exit(result: &RunResult, strict: bool) -> Exit {
    let any = |holds: &dyn Fn(&CellResult) -> bool| result.cells.iter().any(holds);
    if any(&|cell| cell.is_broken() || strict && cell.verdict == Verdict::Changed) {
        Exit::Fail
    } else if any(&|cell| matches!(cell.verdict, Verdict::Infra(_)))
        || !any(&|cell| cell.checked.is_some())
    {
        Exit::Inconclusive
    } else {
        Exit::Pass
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::cell::LtoMode;
    use rstest::rstest;

    fn cell(verdict: Verdict, checked: bool) -> CellResult {
        use crate::model::outcome::{Checked, Counts, Identity};
        let mut cell = CellResult::without_build("a".to_owned(), verdict);
        cell.checked = checked.then(|| Checked {
            identity: Identity {
                arch: "x86_64".to_owned(),
                mode: LtoMode::Thin,
                kernel: "7.2".to_owned(),
                compiler: "cc".to_owned(),
            },
            counts: Counts {
                objects: 1,
                ir: 1,
                exports: 1,
            },
            warnings: BTreeMap::new(),
            rules: Vec::new(),
            findings: Vec::new(),
            unfinished: None,
        });
        cell
    }

    #[rstest]
    #[case::all_well(vec![cell(Verdict::Same, true)], false, Exit::Pass)]
    #[case::new(vec![cell(Verdict::New, true)], true, Exit::Pass)]
    #[case::changed(vec![cell(Verdict::Changed, true)], false, Exit::Pass)]
    #[case::changed_strictly(vec![cell(Verdict::Changed, true)], true, Exit::Fail)]
    #[case::infra(vec![cell(Verdict::Same, true), cell(Verdict::Infra("x".into()), false)], false, Exit::Inconclusive)]
    #[case::nothing_checked(vec![cell(Verdict::Skipped("x".into()), false)], false, Exit::Inconclusive)]
    #[case::some_skipped(vec![cell(Verdict::Same, true), cell(Verdict::Skipped("x".into()), false)], false, Exit::Pass)]
    fn the_exit_follows_from_the_cells(
        #[case] cells: Vec<CellResult>,
        #[case] strict: bool,
        #[case] expected: Exit,
    ) {
        let result = RunResult {
            matrix: "m".to_owned(),
            kernel: "7.2".to_owned(),
            cells,
        };
        assert_eq!(exit(&result, strict), expected);
    }
}
