//! `klto history`: how the findings of cells came and went.

use super::args::History as Args;
use super::check::unknown_key;
use super::print;
use super::stored::{Wanted, open};
use crate::judge::check;
use crate::judge::history::{Known, of_cell};
use crate::model::error::{Error, Exit};
use crate::model::finding::key_matches;
use crate::model::record::FORMAT;
use crate::model::stored::History;
use crate::report::history::write;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let wanted = Wanted::new(&args.wanted)?;
    let (_, index) = open(args.store.store.as_deref())?;
    let mut known = Known::default();
    let mut cells = Vec::new();
    for (matrix, cell) in wanted.cells(&index)? {
        let entries = index.entries(&matrix, &cell, &wanted.since)?;
        if entries.is_empty() {
            continue;
        }
        index.look_up(&entries, &mut known)?;
        cells.push(of_cell(&matrix, &cell, &entries, &known));
    }
    if !args.key.is_empty() {
        let mut found = cells.iter().flat_map(|cell| &cell.findings);
        // A rule of an earlier klto has findings, and is no longer known.
        for key in &args.key {
            let is_of_klto = check::rules().any(|rule| key_matches(key, rule.key));
            if !is_of_klto && !found.any(|finding| key_matches(key, &finding.key)) {
                return Err(unknown_key(key));
            }
        }
        for cell in &mut cells {
            let is_wanted = |key: &str| args.key.iter().any(|wanted| key_matches(wanted, key));
            cell.findings.retain(|finding| is_wanted(&finding.key));
        }
    }
    let history = History {
        format: FORMAT,
        klto: env!("CARGO_PKG_VERSION").to_owned(),
        cells,
        unreadable: index.unreadable.clone(),
    };
    print(&write(&history, args.format, args.all))?;
    // What a missing run would say is not known.
    Ok(match history.unreadable.is_empty() {
        true => Exit::Pass,
        false => Exit::Inconclusive,
    })
}
