//! `klto compare`: how a run differs from an earlier one.

use super::args::Compare as Args;
use super::print;
use super::stored::{open, select};
use crate::judge::runs::{Named, compare};
use crate::model::error::{Error, Exit};
use crate::model::stored::{ComparisonVerdict, RunComparison};
use crate::report::comparison::write;
use crate::store::runs::index::ListedRun;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let (store, index) = open(args.store.store.as_deref())?;
    let runs = index.runs()?;
    let after = select(&runs, args.after.as_deref().unwrap_or("latest"))?;
    let before = match &args.before {
        Some(before) => select(&runs, before)?,
        None => before(&runs, after)?,
    };
    let [was, is] = [before, after].map(|run| store.load(&run.head.run));
    let (was, is) = (was?, is?);
    let comparison = compare(
        Named {
            head: &was.head,
            run: &was.run,
        },
        Named {
            head: &is.head,
            run: &is.run,
        },
    );
    let text = write(&comparison, args.format, args.all)
        .map_err(|why| Error::Usage(format!("--format {}: {why}", args.format)))?;
    print(&text)?;
    Ok(exit(&comparison))
}

/// The run before `after` of the same matrix, and of the same shard if it is one.
fn before<'a>(runs: &'a [ListedRun], after: &ListedRun) -> Result<&'a ListedRun, Error> {
    let earlier = runs.iter().rev().find(|run| {
        run.head.run < after.head.run
            && run.head.matrix == after.head.matrix
            && run.head.shard == after.head.shard
            && run.head.mutations.is_empty()
            && !run.is_replaced
    });
    earlier.ok_or_else(|| {
        Error::Usage(format!(
            "no run of the matrix '{}' is before {}\n  name the two runs; 'klto runs' lists them",
            after.head.matrix, after.head.run
        ))
    })
}

/// Fails if something is new; what only flaky findings or cells without a verdict show is
/// inconclusive.
fn exit(comparison: &RunComparison) -> Exit {
    match comparison.verdict() {
        ComparisonVerdict::Worse => Exit::Fail,
        ComparisonVerdict::Flaky | ComparisonVerdict::Inconclusive => Exit::Inconclusive,
        ComparisonVerdict::NotWorse => Exit::Pass,
    }
}
