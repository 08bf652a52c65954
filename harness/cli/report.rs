//! `klto report`: reports on a run that is kept.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;

use super::args::Report as Args;
use super::options::ReportOptions;
use super::output::{exit, print_report, write_reports};
use super::stored::{open, select};
use crate::build::doctor::is_installed;
use crate::build::process::{Cancel, Command, capture};
use crate::judge::history::{Known, of_cell};
use crate::model::error::{Error, Exit};
use crate::model::printable::printable;
use crate::model::stored::Course;
use crate::report::{Around, Format, Log, Options, html};
use crate::run::events::say;
use crate::store::runs::RunStore;
use crate::store::runs::file::StoredRun;
use crate::store::runs::index::Index;

/// What opens a file as the user's desktop does.
const OPENER: &str = "xdg-open";
/// A browser goes on when klto ends, and its processes with it. So the command begins a group of its own
/// and says so before the shell ends: klto ends what is left of the shell's.
const DETACHED: &str =
    r#"{ setsid sh -c 'echo; exec "$@" >/dev/null 2>&1' sh "$@" & } | { read -r begun; }"#;
/// How many earlier runs of a cell are looked at.
const EARLIER: usize = 200;
/// How many in a run of thousands of cells.
const FEWEST: usize = 20;
/// About how many of all cells together.
const POINTS: usize = 60_000;
/// Logs that cannot be read and are named; how many more there are is said in one line.
const NAMED: usize = 3;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let (store, index) = open(args.store.store.as_deref())?;
    let runs = index.runs()?;
    let run = store.load(&select(&runs, &args.run)?.head.run)?;
    let format = match (args.html, args.perfetto) {
        (true, _) => Format::Html,
        (false, true) => Format::Perfetto,
        (false, false) => args.reporting.format,
    };
    let around = around(&args.reporting, format, args.open, &store, &index, &run)?;
    write_reports(&run.run, &around, &args.reporting)?;
    if args.open {
        show(&run, &around)?;
    }
    if !(args.open && format == Format::Html) {
        print_report(&run.run, &around, format, args.reporting.details)?;
    }
    Ok(exit(&run.run, false))
}

/// Writes the report files that were asked for on a run that was just kept, then prints.
pub fn report_kept(
    store: &RunStore,
    index: &Index,
    run: &StoredRun,
    options: &ReportOptions,
) -> Result<(), Error> {
    let around = around(options, options.format, false, store, index, run)?;
    let written = write_reports(&run.run, &around, options);
    let printed = print_report(&run.run, &around, options.format, options.details);
    written.and(printed)
}

/// What the formats that were asked for show besides the record; `opens` if a browser shows the page,
/// too.
fn around(
    options: &ReportOptions,
    format: Format,
    opens: bool,
    store: &RunStore,
    index: &Index,
    run: &StoredRun,
) -> Result<Around, Error> {
    let files = options.report.iter().map(|file| file.format);
    let formats: Vec<Format> = files.chain([format]).collect();
    let is_page = opens || formats.contains(&Format::Html);
    let mut around = Around::default();
    if is_page {
        for why in add_logs(&mut around, store, run) {
            say(format_args!("klto: {why}"));
        }
    }
    if is_page || formats.contains(&Format::Junit) {
        add_history(&mut around, index, run)?;
    }
    Ok(around)
}

/// The logs that the page shows, each read once; also returns what is to be said of those that
/// cannot be read. The page is of the run, so it is written all the same.
fn add_logs(around: &mut Around, store: &RunStore, run: &StoredRun) -> Vec<String> {
    let (objects, folder) = (store.objects(), format!("{}/", store.path().display()));
    let mut read: HashMap<&str, Log> = HashMap::new();
    let mut unread = Vec::new();
    let cells = run.run.cells.iter().zip(&run.kept);
    for (cell, kept) in cells.filter(|(cell, _)| html::shows_log(cell, run.head.cells)) {
        let Some(Some(name)) = kept.logs.first() else {
            continue;
        };
        let log = read.entry(name).or_insert_with(|| {
            objects.log(name).map(Arc::from).map_err(|error| {
                let why = error.in_one_line();
                let cell = printable(&cell.cell);
                unread.push(format!("the log of {cell} could not be read: {why}"));
                // Where the store is, is nothing for who gets the page.
                why.replace(&folder, "").into()
            })
        });
        around.logs.insert(cell.cell.clone(), log.clone());
    }
    let more = unread.len().saturating_sub(NAMED);
    unread.truncate(NAMED);
    unread.extend((more > 0).then(|| match more {
        1 => "1 more log could not be read".to_owned(),
        more => format!("{more} more logs could not be read"),
    }));
    unread
}

/// How many earlier runs a page of that many cells shows of each.
fn earlier_runs(cells: usize) -> usize {
    (POINTS / cells.max(1)).clamp(FEWEST, EARLIER)
}

/// How the cells did until this run, and what of them is flaky.
fn add_history(around: &mut Around, index: &Index, run: &StoredRun) -> Result<(), Error> {
    let (head, cells) = (&run.head, &run.run.cells);
    let names: Vec<&str> = cells.iter().map(|cell| cell.cell.as_str()).collect();
    let most = earlier_runs(names.len());
    let mut known = Known::default();
    let histories = index.until(&head.run, most, &head.matrix, &names)?;
    for (cell, entries) in names.into_iter().zip(histories) {
        index.look_up(&entries, &mut known)?;
        let history = of_cell(&head.matrix, cell, &entries, &known);
        let is_flaky = |course: &Course| matches!(course, Course::Flaky { .. });
        let flaky = history.findings.into_iter().filter(|f| is_flaky(&f.course));
        around
            .flaky
            .extend(flaky.map(|finding| (cell.to_owned(), finding.key)));
        around.trends.insert(cell.to_owned(), history.runs);
    }
    Ok(())
}

/// Shows the page in the user's browser.
fn show(run: &StoredRun, around: &Around) -> Result<(), Error> {
    let text = Format::Html
        .reporter(Options::default())
        .kept_run(&run.run, around);
    let page = tempfile::Builder::new()
        .prefix("klto-")
        .suffix(".html")
        .tempfile()
        .and_then(|mut file| file.write_all(text.as_bytes()).map(|()| file))
        .and_then(|file| file.keep().map_err(|e| e.error))
        .map_err(Error::io(std::env::temp_dir(), "write a page into"))?;
    let page = page.1;
    if !is_installed(OPENER) {
        return Err(Error::Machine(format!(
            "there is no {OPENER} on this machine\n  open the page yourself: {}",
            page.display()
        )));
    }
    say(format_args!("klto: opening {}", page.display()));
    let opener = Command::new("sh")
        .args(["-c", DETACHED, "sh", OPENER])
        .arg(&page)
        .leaves_daemons();
    capture(&opener, None, &Cancel::new())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_many_cells_shows_fewer_earlier_runs_of_each() {
        let runs = [0, 1, 300, 1000, 2000, 100_000].map(earlier_runs);
        assert_eq!(runs, [200, 200, 200, 60, 30, 20]);
    }
}
