//! What a command prints and writes at its end, and how it exits.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::Path;

use super::options::{Details, ReportOptions};
use crate::model::error::{Error, Exit};
use crate::model::printable::on_terminal;
use crate::model::record::{Baseline, CellRecord, Outcome, RunRecord};
use crate::report::{Around, Format};
use crate::store::atomic::write_atomically_by;

/// Prints to standard output; a reader that has gone away is not an error. A terminal only shows the
/// text, whatever is in it.
pub fn print(text: &str) -> Result<(), Error> {
    let text = match io::stdout().is_terminal() {
        true => on_terminal(text),
        false => text.into(),
    };
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", "write")(e))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes the report files that were asked for, then prints. A failure of one does not
/// silence the others; the first is the error.
pub fn report(run: &RunRecord, options: &ReportOptions) -> Result<(), Error> {
    let around = Around::default();
    let written = write_reports(run, &around, options);
    let printed = print_report(run, &around, options.format, options.details);
    written.and(printed)
}

/// Writes the report files that were asked for; the first failure is the error.
pub fn write_reports(
    run: &RunRecord,
    around: &Around,
    options: &ReportOptions,
) -> Result<(), Error> {
    let mut first = Ok(());
    for file in &options.report {
        let details = options.details.into();
        let written = write_report_by(&file.file, |to| file.write(details, run, around, to));
        first = first.and(written);
    }
    first
}

/// Prints the report.
pub fn print_report(
    run: &RunRecord,
    around: &Around,
    format: Format,
    details: Details,
) -> Result<(), Error> {
    print(&format.reporter(details.into()).kept_run(run, around))
}

/// Writes a text to a file as [`write_report_by`] does.
pub fn write_report(path: &Path, text: &str) -> Result<(), Error> {
    write_report_by(path, |to| to.write_all(text.as_bytes()))
}

/// Files are replaced as a whole; a pipe or a device is written to.
pub fn write_report_by(
    path: &Path,
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> Result<(), Error> {
    let buffered = |file: &mut File| {
        let mut to = BufWriter::new(file);
        write(&mut to)?;
        to.flush()
    };
    let is_file = std::fs::metadata(path).map_or(true, |meta| meta.is_file());
    match is_file {
        true => write_atomically_by(path, buffered),
        false => File::create(path)
            .and_then(|mut file| buffered(&mut file))
            .map_err(Error::io(path, "write")),
    }
}

/// The outcome of all cells together. With `strict`, changed facts are a failure too. Of a shard
/// that has no cells, nothing was to be checked.
#[must_use]
pub fn exit(run: &RunRecord, strict: bool) -> Exit {
    let any = |holds: &dyn Fn(&CellRecord) -> bool| run.cells.iter().any(holds);
    let is_changed = |cell: &CellRecord| strict && cell.baseline == Baseline::Changed;
    if any(&|cell| cell.outcome == Outcome::Fail || is_changed(cell)) {
        Exit::Fail
    } else if run.is_empty_shard() {
        Exit::Pass
    } else if any(&|cell| matches!(cell.outcome, Outcome::Error(_)))
        || !any(&|cell| cell.inspection.is_some())
    {
        Exit::Inconclusive
    } else {
        Exit::Pass
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::model::cell::LtoMode;
    use crate::model::record::{Counts, FORMAT, Identity, Inspection, SkipReason};

    fn cell(outcome: Outcome, baseline: Baseline) -> CellRecord {
        let is_checked = matches!(outcome, Outcome::Pass | Outcome::Fail);
        let mut cell = CellRecord::new("a".to_owned());
        cell.inspection = is_checked.then(|| Inspection {
            identity: Identity {
                arch: "x86_64".to_owned(),
                lto: LtoMode::Thin,
                kernel: "7.2".to_owned(),
                compiler: "cc".to_owned(),
            },
            counts: Counts::default(),
            warnings: Default::default(),
            rules: Vec::new(),
            findings: Vec::new(),
            unfinished: None,
            times_lost: false,
            requested: Default::default(),
        });
        cell.outcome = outcome;
        cell.baseline = baseline;
        cell
    }

    fn error() -> CellRecord {
        cell(Outcome::Error("x".to_owned()), Baseline::None)
    }

    fn skip() -> CellRecord {
        cell(Outcome::Skip(SkipReason::NoCell), Baseline::None)
    }

    fn pass(baseline: Baseline) -> CellRecord {
        cell(Outcome::Pass, baseline)
    }

    #[rstest]
    #[case::all_well(vec![pass(Baseline::Same)], false, Exit::Pass)]
    #[case::first_run(vec![pass(Baseline::None)], true, Exit::Pass)]
    #[case::changed(vec![pass(Baseline::Changed)], false, Exit::Pass)]
    #[case::changed_strictly(vec![pass(Baseline::Changed)], true, Exit::Fail)]
    #[case::failed(vec![error(), cell(Outcome::Fail, Baseline::None)], false, Exit::Fail)]
    #[case::inconclusive(vec![pass(Baseline::Same), error()], false, Exit::Inconclusive)]
    #[case::nothing_checked(vec![skip()], false, Exit::Inconclusive)]
    #[case::some_skipped(vec![pass(Baseline::Same), skip()], false, Exit::Pass)]
    fn the_exit_follows_from_the_cells(
        #[case] cells: Vec<CellRecord>,
        #[case] strict: bool,
        #[case] expected: Exit,
    ) {
        let run = RunRecord {
            format: FORMAT,
            klto: "0".to_owned(),
            matrix: "m".to_owned(),
            kernel: "7.2".to_owned(),
            revision: "7.2".to_owned(),
            mutations: Vec::new(),
            cells,
            shard: None,
            unreferenced: Vec::new(),
        };
        assert_eq!(exit(&run, strict), expected);
    }
}
