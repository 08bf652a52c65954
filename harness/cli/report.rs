//! `klto report`: reports on a run that is kept.

use super::args::Report as Args;
use super::output::{exit, report};
use super::stored::{open, select};
use crate::model::error::{Error, Exit};

pub fn run(args: &Args) -> Result<Exit, Error> {
    let (store, index) = open(args.store.store.as_deref())?;
    let runs = index.runs()?;
    let run = store.load(&select(&runs, &args.run)?.head.run)?;
    report(&run.run, &args.reporting)?;
    Ok(exit(&run.run, false))
}
