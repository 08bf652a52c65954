//! `klto series`: the verdict on a patch series.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::args::Series as Args;
use super::output::{print, write_report};
use super::probe::{cells, kernel_command, with_cells, with_sandbox, work_dir};
use super::{check_place, events, jobs, load_matrix, real_kernel};
use crate::build::process::Cancel;
use crate::build::sandbox::Sandbox;
use crate::file;
use crate::input::allow::Allow;
use crate::input::matrix::Matrix;
use crate::judge::series::judge;
use crate::model::cell::Cell;
use crate::model::coverage::CoverageMode;
use crate::model::error::{Error, Exit};
use crate::model::record::{CellRecord, Outcome, RuleText, SkipReason};
use crate::model::series::{FORMAT, SeriesRecord, Thread};
use crate::report::series::{Format, Verdict, b4, terse, verdict};
use crate::run::probe::drive::{Caches, Probe};
use crate::run::schedule::Policy;
use crate::run::series::coverage::{JudgedSeries, Place, cover};
use crate::run::series::kernels::build_states;
use crate::run::series::{Probed, State, probe_states};
use crate::run::whole::drive::Run as Build;
use crate::source::git::Git;
use crate::source::series::apply::OwnRepository;
use crate::source::series::commits::{Commits, patch_id};
use crate::source::series::mail::Mail;
use crate::source::series::mbox::Desk;
use crate::source::series::thread::{self, Series};
use crate::store::series::SeriesDir;
use crate::store::work_dir::WorkDir;

/// How many places are taken out unless the user wants all.
const MOST_PLACES: usize = 40;
/// A patch that changes more places is not taken apart.
const MOST_OF_A_PATCH: usize = 500;
/// How a message on standard input is named.
const STDIN: &str = "standard input";
/// The most that is read of an input, in bytes; what it unpacks to has a limit, too.
const LARGEST: u64 = 256 << 20;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let cancel = Cancel::install()?;
    if args.format.is_answer() {
        return answer(args, &cancel);
    }
    let cells = cells_of(args)?;
    let (matrix, kernels) = kernels(args)?;
    let allows = allows(args, matrix.as_ref())?;
    let kernel = args.kernel.as_deref().ok_or_else(|| {
        Error::Usage(
            "there is no kernel to apply the series to\n  name its git repository with --kernel"
                .to_owned(),
        )
    })?;
    let kernel = real_kernel(kernel)?;
    let sandbox = Sandbox::find(args.sandbox, &cancel)?;
    let place = work_dir(args.place.work.as_deref())?;
    check_place(&place, &kernel)?;
    let git = Git::open(&kernel, &cancel)?;
    let mail = mail(args, &cancel)?;
    let work = WorkDir::open(&place)?;
    let kept = SeriesDir::of(work.path());
    let events = events(&args.jobs_options)?;
    let probe = Probe {
        work: &work,
        kernel: &kernel,
        mutations: &[],
        allows: &allows,
        command: &with_sandbox(
            with_cells(kernel_command(&kernel), &args.cells),
            args.sandbox,
        ),
        jobs: jobs(args.place.jobs, 2),
        fresh: args.jobs_options.fresh,
        fail_fast: args.jobs_options.fail_fast,
        sandbox: sandbox.as_ref(),
        caches: Caches::Own,
        events: &*events,
        cancel: &cancel,
    };
    let _lock = probe.lock(args.cells.timeout)?;
    let own = OwnRepository::open(&git, &kept.repositories())?;
    let commits = match (&mail, &args.range) {
        (Some(series), _) => Commits::of_mail(&git, series, args.base.as_deref(), &own)?,
        (None, Some(range)) => Commits::of_range(&git, range, &own)?,
        (None, None) => return Err(nothing_to_judge()),
    };
    let states = states(&commits)?;
    let mut probed = probe_states(&probe, &cells, &states)?;
    if let Some(matrix) = &matrix {
        let build = Build {
            work: &work,
            matrix,
            cells: &kernels,
            mutations: &[],
            allows: &allows,
            snapshots: None,
            jobs: jobs(args.place.jobs, 1),
            cache: None,
            caches: None,
            reuse_trees: true,
            fresh: args.jobs_options.fresh,
            policy: Policy::plain(1, args.jobs_options.fail_fast),
            sandbox: sandbox.as_ref(),
            carried: None,
            events: &*events,
            cancel: &cancel,
        };
        build_states(&build, &states, &mut probed, args.per_patch)?;
    }
    let (mut series, key) = describe(args, &commits, mail.as_ref(), &cells, &kernels);
    if let Some(mail) = &mail {
        let mbox: Vec<u8> = mail.patches.iter().flat_map(Mail::mboxrd).collect();
        series.mbox = Some(kept.save_mbox(&key, &mbox)?.display().to_string());
    }
    series.sandbox = sandbox.as_ref().map(|sandbox| *sandbox.enforced());
    let name = name(mail.as_ref(), &series);
    let acknowledged = acknowledge(args, &kept, &name, &probed)?;
    fill(&mut series, &states, &probed, &acknowledged);
    // Whoever interrupts what follows has the verdict.
    kept.save(&key, &series)?;
    if let Some(most) = most_places(args.coverage) {
        let findings = series.findings.clone();
        let judged = JudgedSeries {
            probe: &probe,
            cells: &cells,
            states: &states,
            probed: &probed,
            findings: &findings,
            own: &own,
        };
        add_coverage(&mut series, &commits, judged, most)?;
        kept.save(&key, &series)?;
    }
    write(args, &series)?;
    Ok(match verdict(&series, None) {
        Verdict::Ok => Exit::Pass,
        Verdict::Worse => Exit::Fail,
        Verdict::Inconclusive => Exit::Inconclusive,
    })
}

/// What to probe. The report names cells by architecture and mode, so there is one toolchain.
fn cells_of(args: &Args) -> Result<Vec<Cell>, Error> {
    match args.cells.toolchain.as_slice() {
        [] | [_] => cells(&args.cells, &args.lto, &[]),
        several => Err(Error::Usage(format!(
            "--toolchain {}: a series is judged with one toolchain\n  call klto series once for each",
            several.join(",")
        ))),
    }
}

/// Writes the reports that were asked for.
fn write(args: &Args, series: &SeriesRecord) -> Result<(), Error> {
    let mut first = Ok(());
    for file in &args.report {
        first = first.and(write_report(&file.file, &file.series(series, args.all)));
    }
    print(&args.format.report(series, None, args.all))?;
    first
}

/// Answers what another tool asks of one patch: nothing is built.
fn answer(args: &Args, cancel: &Cancel) -> Result<Exit, Error> {
    let input = match (&args.mbox, args.patches.first()) {
        (Some(file), _) | (None, Some(file)) => read(file)?,
        (None, None) => read(Path::new("-"))?,
    };
    let desk = Desk::new(cancel)?;
    let message = desk.messages(&input.0, &input.1)?.into_iter().next();
    let message = message.unwrap_or_default();
    let patch = desk.patch(&message)?;
    let by_patch = patch_id(desk.git(), &patch)?;
    let by_message = Mail::parse(message).message_id;
    let kept = SeriesDir::of(&work_dir(args.place.work.as_deref())?);
    let mut found = None;
    for name in [by_patch, by_message] {
        if found.is_none() && !name.is_empty() {
            found = kept.find(&name)?;
        }
    }
    let text = match (&found, args.format) {
        (Some((series, patch)), format) => format.report(series, *patch, args.all),
        (None, Format::Terse) => terse::NOT_JUDGED.to_owned(),
        (None, _) => b4::answer(None, None),
    };
    print(&text)?;
    // The tool reads what is printed.
    Ok(Exit::Pass)
}

fn nothing_to_judge() -> Error {
    Error::Usage(
        "there is no series to judge\n  name patch files, --mbox FILE or --range A..B".to_owned(),
    )
}

/// The matrix of whole kernels, if there is one, and its cells that are built.
fn kernels(args: &Args) -> Result<(Option<Matrix>, Vec<Cell>), Error> {
    let matrix = args.matrix.as_deref().map(load_matrix).transpose()?;
    let cells = matrix.iter().map(|matrix| matrix.select(&args.patterns));
    let cells = cells.collect::<Result<Vec<_>, _>>()?.concat();
    Ok((matrix, cells))
}

/// The findings that do not count: those that the user or the matrix allows, and the defects of
/// released kernels.
fn allows(args: &Args, matrix: Option<&Matrix>) -> Result<Vec<Allow>, Error> {
    let mut allows = super::known_findings(&super::args::Known {
        mutate: Vec::new(),
        allow: args.allow.clone(),
        no_known_defects: false,
    })?;
    allows.extend(matrix.iter().flat_map(|matrix| &matrix.allow).cloned());
    Ok(allows)
}

/// The series, if it comes by mail.
fn mail(args: &Args, cancel: &Cancel) -> Result<Option<Series>, Error> {
    let files: Vec<&PathBuf> = args.mbox.iter().chain(&args.patches).collect();
    if files.is_empty() {
        return Ok(None);
    }
    let inputs = files.into_iter().map(|file| read(file));
    let inputs = inputs.collect::<Result<Vec<_>, Error>>()?;
    thread::read(&inputs, args.revision, cancel).map(Some)
}

/// The name and the content of an input.
fn read(file: &Path) -> Result<(String, Vec<u8>), Error> {
    if file == Path::new("-") {
        let content = file::read_up_to(std::io::stdin().lock(), LARGEST);
        let content = content.map_err(Error::io(STDIN, "read"))?;
        return Ok((STDIN.to_owned(), content));
    }
    let content = file::read_named(file, LARGEST).map_err(|e| {
        Error::Usage(format!(
            "cannot read {}: {e}\n  name an mbox or patch files",
            file.display()
        ))
    })?;
    Ok((file.display().to_string(), content))
}

/// Adds what the verdict covers, and which places bring a finding.
fn add_coverage(
    series: &mut SeriesRecord,
    commits: &Commits,
    judged: JudgedSeries<'_>,
    most: usize,
) -> Result<(), Error> {
    let places = places(commits, series)?;
    let covered = cover(judged, &places, most)?;
    for finding in &mut series.findings {
        let places = covered.brought_by.get(&finding.id);
        finding.brought_by = places.cloned().unwrap_or_default();
    }
    series.coverage = Some(covered.coverage);
    Ok(())
}

/// How many places are taken out at most.
fn most_places(mode: CoverageMode) -> Option<usize> {
    match mode {
        CoverageMode::Off => None,
        CoverageMode::Auto => Some(MOST_PLACES),
        CoverageMode::Full => Some(usize::MAX),
    }
}

/// The places that the patches change, in order.
fn places(commits: &Commits, series: &mut SeriesRecord) -> Result<Vec<Place>, Error> {
    let mut places = Vec::new();
    for patch in &commits.patches {
        let number = patch.number;
        match commits.pieces(patch)? {
            Ok(pieces) if pieces.len() > MOST_OF_A_PATCH => series.notes.push(format!(
                "what the verdict on patch {number} covers was not measured: it changes {} places, and klto takes at most {MOST_OF_A_PATCH} of a patch out",
                pieces.len()
            )),
            Ok(pieces) => places.extend(pieces.into_iter().map(|piece| Place {
                patch: number,
                piece,
            })),
            Err(refused) => series.notes.push(format!(
                "what the verdict on patch {number} covers was not measured: {refused}"
            )),
        }
    }
    Ok(places)
}

/// The base, then the tree after each patch.
fn states(commits: &Commits) -> Result<Vec<State>, Error> {
    let of = commits.patches.len();
    let mut states = Vec::new();
    for (at, commit) in commits.all()?.into_iter().enumerate() {
        let patch = at.checked_sub(1).map(|at| &commits.patches[at]);
        let name = match patch {
            None => format!("the base, {}", commit.short()),
            Some(patch) => format!("patch {at} of {of}, {}", patch.title),
        };
        let files = patch.map_or(Vec::new(), |patch| patch.files.clone());
        states.push(State::of(commit, name, files)?);
    }
    Ok(states)
}

/// What is known of the series before it is judged, and the key of its verdict.
fn describe(
    args: &Args,
    commits: &Commits,
    mail: Option<&Series>,
    cells: &[Cell],
    kernels: &[Cell],
) -> (SeriesRecord, String) {
    let names = |cells: &[Cell]| -> Vec<String> { cells.iter().map(Cell::name).collect() };
    let (cells, kernels) = (names(cells), names(kernels));
    let first = commits.patches.first();
    let title = mail.map(|series| series.title.clone());
    let title = title.or_else(|| first.map(|patch| patch.title.clone()));
    let from = match (&args.range, &args.mbox, args.patches.first()) {
        (Some(range), ..) => range.clone(),
        (None, Some(file), _) if file == Path::new("-") => STDIN.to_owned(),
        (None, Some(file), _) | (None, None, Some(file)) => file.display().to_string(),
        (None, None, None) => String::new(),
    };
    let of_mail = mail.iter().flat_map(|series| &series.notes);
    let mut hasher = blake3::Hasher::new();
    let ids = commits.patches.iter().map(|patch| &patch.commit);
    for part in ids
        .chain([&commits.base.commit])
        .chain(&cells)
        .chain(&args.cells.scenario)
        .chain(&kernels)
    {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    let record = SeriesRecord {
        format: FORMAT,
        klto: env!("CARGO_PKG_VERSION").to_owned(),
        judged: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
        title: title.unwrap_or_default(),
        version: mail.map_or(1, |series| series.version),
        from,
        notes: of_mail.chain(&commits.notes).cloned().collect(),
        base: commits.base.clone(),
        toolchain: String::new(),
        cells,
        kernels,
        per_patch: args.per_patch,
        patches: commits.patches.clone(),
        states: Vec::new(),
        findings: Vec::new(),
        undecided: Vec::new(),
        coverage: None,
        rules: BTreeMap::new(),
        sandbox: None,
        mbox: None,
        thread: mail.and_then(reply_to),
    };
    (record, hasher.finalize().to_hex()[..16].to_owned())
}

/// Where a reply to a series goes: to its cover letter, or to its first patch.
fn reply_to(series: &Series) -> Option<Thread> {
    let mail = series.cover.as_ref().or(series.patches.first())?;
    Some(Thread {
        message_id: mail.message_id.clone(),
        references: mail.references.clone(),
        subject: mail.subject.clone(),
        from: mail.author.clone(),
        to: mail.to.clone(),
        cc: mail.cc.clone(),
    })
}

/// Tells the series from any other, whatever its version.
fn name(mail: Option<&Series>, series: &SeriesRecord) -> String {
    let change_id = mail.and_then(|series| series.change_id.clone());
    change_id.unwrap_or_else(|| series.title.clone())
}

/// The findings that are acknowledged; those that the user acknowledges now are kept.
fn acknowledge(
    args: &Args,
    kept: &SeriesDir,
    name: &str,
    probed: &[Probed],
) -> Result<BTreeSet<String>, Error> {
    let mut acknowledged = kept.acknowledged(name)?;
    if args.ack.is_empty() {
        return Ok(acknowledged);
    }
    let known: BTreeSet<String> = judged(probed, &BTreeSet::new())
        .findings
        .into_iter()
        .filter(|finding| finding.change.is_worse())
        .map(|finding| finding.id)
        .collect();
    for id in &args.ack {
        if !known.contains(id) {
            return Err(Error::Usage(format!(
                "--ack: no patch of the series brings a finding '{}'\n  the numbers are in brackets after each finding of the report",
                id.escape_debug()
            )));
        }
        acknowledged.insert(id.clone());
    }
    kept.acknowledge(name, acknowledged.clone())?;
    Ok(acknowledged)
}

fn judged(probed: &[Probed], acknowledged: &BTreeSet<String>) -> crate::judge::series::Judged {
    let states: Vec<&[CellRecord]> = probed.iter().map(|state| state.cells.as_slice()).collect();
    judge(&states, &|id| acknowledged.contains(id))
}

/// Fills in what was found.
fn fill(
    series: &mut SeriesRecord,
    states: &[State],
    probed: &[Probed],
    acknowledged: &BTreeSet<String>,
) {
    let judged = judged(probed, acknowledged);
    series.findings = judged.findings;
    series.undecided = judged.undecided;
    let last = probed
        .last()
        .map_or(&[][..], |state| state.cells.as_slice());
    series
        .notes
        .extend(last.iter().filter_map(|cell| match &cell.outcome {
            Outcome::Skip(reason @ SkipReason::NoDistributedMode { .. }) => {
                Some(format!("{} was not built: {reason}", cell.cell))
            }
            Outcome::Pass | Outcome::Fail | Outcome::Error(_) | Outcome::Skip(_) => None,
        }));
    series.states = std::iter::zip(probed, states)
        .map(|(probed, state)| probed.record(state))
        .collect();
    let records = || probed.iter().flat_map(|state| &state.cells);
    let toolchain = records()
        .map(|cell| &cell.toolchain)
        .find(|t| !t.is_empty());
    series.toolchain = toolchain.cloned().unwrap_or_default();
    let keys: BTreeSet<&String> = series.findings.iter().map(|f| &f.key).collect();
    let texts = records().flat_map(|cell| cell.rules.iter());
    let texts = texts.filter(|(key, _)| keys.contains(key));
    let rules: BTreeMap<String, RuleText> = texts
        .map(|(key, text)| (key.clone(), text.clone()))
        .collect();
    series.rules = rules;
}
