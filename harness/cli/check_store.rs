//! `klto check --store`: the facts of old runs, judged by the rules of this klto.

use std::path::PathBuf;

use super::args::Check as Args;
use super::output::print;
use super::stored::{Wanted, open};
use super::{known_defects, load_allows};
use crate::model::error::{Error, Exit};
use crate::report::Format;
use crate::report::history::{Format as HistoryFormat, write};
use crate::run::judge_again::Again;

pub fn run(args: &Args, named: Option<PathBuf>) -> Result<Exit, Error> {
    let dir = named.or_else(|| std::env::var_os("KLTO_STORE").map(PathBuf::from));
    let format = match args.format {
        Format::Text => HistoryFormat::Text,
        Format::Json => HistoryFormat::Json,
        other => {
            return Err(Error::Usage(format!(
                "--format {other}: the history of a store is written as text or json\n  'klto report' writes any format of one run"
            )));
        }
    };
    let mut allows = load_allows(&args.allow)?;
    // As in the runs themselves.
    allows.extend(known_defects()?);
    let wanted = Wanted::new(&args.wanted)?;
    let (store, index) = open(dir.as_deref())?;
    let cells = wanted.cells(&index)?.into_iter().collect();
    let since = |recorded: &str| recorded >= wanted.since.as_str();
    let runs: Vec<String> = index
        .runs()?
        .into_iter()
        .filter(|run| since(&run.head.recorded) && !run.is_replaced)
        .map(|run| run.head.run)
        .collect();
    let again = Again {
        store: &store,
        runs: &runs,
        cells: &cells,
        only: &args.only,
        allows: &allows,
    };
    let mut history = again.history()?;
    history.unreadable.extend(index.unreadable.iter().cloned());
    print(&write(&history, format, args.details.all))?;
    Ok(
        match history.cells.iter().any(|cell| !cell.findings.is_empty()) {
            true => Exit::Fail,
            false if !history.unreadable.is_empty() => Exit::Inconclusive,
            false
                if history
                    .cells
                    .iter()
                    .all(|cell| cell.runs.iter().all(|run| run.outcome == "error")) =>
            {
                Exit::Inconclusive
            }
            false => Exit::Pass,
        },
    )
}
