//! The place of one cell in the work directory: a tree of links, the build tree, and
//! what was made before and can be used again. Paths stay the same from probe to probe,
//! since kbuild writes them into what it makes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::remembered::{self, Remembered};
use super::{Probe, is_there, miniature, own_fingerprint};
use crate::build::dir_state::{DirState, create_dir, mirror, remove_file};
use crate::build::kbuild::{Build, Failure, Outcome};
use crate::build::process::Command;
use crate::build::{environment, toolchain};
use crate::judge::check;
use crate::judge::inspect::{InspectRequest, check_tree};
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::finding::Finding;
use crate::model::outcome::Verdict;
use crate::model::outcome::{BuildFailure, CellResult, ScenarioResult};
use crate::run::scenario;
use crate::run::scenario::play::Stage;

/// How many prepared trees are kept for one cell.
const KEPT: usize = 3;

/// The folders of a cell.
struct Slot {
    dir: PathBuf,
}

impl Slot {
    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// Builds and checks the miniature as one cell, and plays its scenarios; what an earlier
/// probe of the same sources found is taken from there.
pub fn play(probe: &Probe, cell: &Cell) -> Result<CellResult, Error> {
    let request = probe.request;
    let slot = Slot {
        dir: request.work.path().join("cells").join(cell.name()),
    };
    create_dir(&slot.dir)?;
    let key = key_of(probe, cell, probe.fingerprint)?;
    let remembered_in = slot.path("result.json");
    let mut remembered = Remembered::load(&remembered_in, &key);

    let tree = slot.path("source");
    let log = slot.path("build.log");
    let build_dir = slot.path("build");
    let ccache = probe
        .ccache
        .then(|| ccache(&request.work.path().join("ccache"), cell));
    let build = Build {
        cell,
        source: &tree,
        dir: &build_dir,
        target: miniature::TARGET,
        jobs: probe.jobs,
        ccache: ccache.as_ref().map(<[_; 5]>::as_slice),
        log: &log,
        deadline: Instant::now().checked_add(cell.timeout),
        cancel: request.cancel,
    };
    let reproduce = reproduce(probe, cell, &build);
    if remembered.result.is_none() {
        // What is left of an earlier state must not be taken for what comes now.
        remove_file(&remembered_in)?;
        let result = prepare_and_build(probe, &slot, &build)?;
        remembered.result = Some(remembered::Build::of(&result));
        remembered.save(&remembered_in, &key)?;
    }
    let Some(build_result) = &remembered.result else {
        return Err(Error::Machine(format!(
            "{}: nothing came of the build",
            cell.name()
        )));
    };
    let mut result = build_result.to_result(cell.name())?;
    result.reproduce = reproduce;
    probe.units.done(&cell.name(), "build");

    let can_play = result.failure.is_none() && is_there(&slot.path("built"));
    let is_left = |name: &&String| *name != "build" && !remembered.scenarios.contains_key(*name);
    if can_play && cell.scenarios.iter().any(|name| is_left(&name)) {
        // A probe that was killed in a scenario leaves its edit in the sources.
        miniature::write_tree(&probe.copy, cell, build.source, true)?;
    }
    for name in cell.scenarios.iter().filter(|name| *name != "build") {
        if !can_play {
            result.scenarios.push(ScenarioResult {
                name: name.clone(),
                findings: Vec::new(),
                left_out: vec!["not played: the build failed".to_owned()],
                seconds: 0.0,
            });
            probe.units.done(&cell.name(), name);
            continue;
        }
        if !remembered.scenarios.contains_key(name) {
            let played = play_scenario(probe, &slot, &build, &result, name)?;
            remembered
                .scenarios
                .insert(name.clone(), remembered::Scenario::of(&played));
            remembered.save(&remembered_in, &key)?;
        }
        if let Some(played) = remembered.scenarios.get(name) {
            result.scenarios.push(played.to_result(name)?);
        }
        probe.units.done(&cell.name(), name);
    }
    Ok(result)
}

/// What ccache gets to know: a folder and settings of the probe's own, for a user's may
/// trade certainty for speed, and which compiler it is, libraries included.
fn ccache(folder: &Path, cell: &Cell) -> [(&'static str, OsString); 5] {
    let compiler = toolchain::fingerprint(cell).to_hex();
    [
        ("CCACHE_CONFIGPATH", "/dev/null".into()),
        ("CCACHE_DIR", folder.into()),
        ("CCACHE_COMPILERCHECK", format!("string:{compiler}").into()),
        ("CCACHE_SLOPPINESS", "".into()),
        ("CCACHE_MAXSIZE", "1G".into()),
    ]
}

/// Everything that a result depends on.
fn key_of(probe: &Probe, cell: &Cell, source: blake3::Hash) -> Result<String, Error> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(source.as_bytes());
    hasher.update(toolchain::fingerprint(cell).as_bytes());
    hasher.update(environment::fingerprint().as_bytes());
    hasher.update(own_fingerprint()?.as_bytes());
    // Paths are written into what is made.
    hasher.update(probe.request.work.path().as_os_str().as_encoded_bytes());
    let Cell {
        arch,
        base,
        enable,
        disable,
        set,
        lto,
        make,
        ..
    } = cell;
    hasher.update(
        format!("{arch:?} {base} {enable:?} {disable:?} {set:?} {lto} {make:?}").as_bytes(),
    );
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

/// Gets a tree with everything before the first object, builds the miniature in it, and
/// checks it.
fn prepare_and_build(probe: &Probe, slot: &Slot, build: &Build) -> Result<CellResult, Error> {
    let cell = build.cell;
    let mut result = CellResult::without_build(cell.name(), Verdict::Holds);
    remove_file(&slot.path("built"))?;
    remove_file(&slot.path("scratch"))?;
    create_dir(&slot.path("scratch"))?;
    match prepare(probe, slot, build)? {
        Prepared::Ready => {}
        Prepared::Misconfigured(findings) => {
            result.checked = Some(crate::model::outcome::Checked::without_tree(
                cell,
                &probe.request.source.version,
                &check::config::FAMILY.rules().collect::<Vec<_>>(),
                findings,
            ));
            return Ok(result);
        }
        Prepared::Failed(failure) => {
            check_copy_is_complete(probe, build)?;
            result.failure = Some(build_failure(failure, build.log));
            return Ok(result);
        }
    }
    remove_file(build.log)?;
    let outcome = build.make_with(&[], &[])?;
    if let Outcome::Failed(_) = &outcome {
        check_copy_is_complete(probe, build)?;
    }
    let answer = check_tree(&InspectRequest {
        build: build.dir,
        source: Some(build.source),
        log: Some(build.log),
        goal: build.target.reaches,
        arch: Some(&cell.arch),
        mode: Some(cell.lto),
        requested: &cell.requested(),
        only: &[],
        allows: &[],
        cell: None,
    });
    match (outcome, answer) {
        (Outcome::Failed(failure), answer) => {
            // What is there may say more than the log.
            result.checked = answer.ok().map(|answer| answer.checked);
            result.failure = Some(build_failure(failure, build.log));
        }
        (Outcome::Done, answer) => {
            let answer = answer?;
            if let Some(why) = answer.checked.unfinished.clone() {
                result.failure = Some(BuildFailure {
                    summary: format!("make exited 0, but {why}"),
                    first_errors: Vec::new(),
                    log: build.log.display().to_string(),
                });
            } else {
                mirror(build.dir, &slot.path("built"))?;
            }
            result.checked = Some(answer.checked);
        }
    }
    Ok(result)
}

enum Prepared {
    Ready,
    Misconfigured(Vec<Finding>),
    Failed(Failure),
}

/// Brings the build tree to where the first object comes next: from a tree that was
/// prepared of the same files before, or from nothing.
fn prepare(probe: &Probe, slot: &Slot, build: &Build) -> Result<Prepared, Error> {
    // First without the files that preparing should not read. A kernel that reads them
    // all the same is prepared with them, and again whenever they change.
    let mut failed = None;
    for with_late in [false, true] {
        let key = key_of(probe, build.cell, probe.copy.fingerprint(with_late))?;
        let kept = slot.path("prepared").join(&key);
        if is_there(&kept) {
            mirror(&kept, build.dir)?;
        } else {
            miniature::write_tree(&probe.copy, build.cell, build.source, with_late)?;
            remove_file(build.dir)?;
            create_dir(build.dir)?;
            remove_file(build.log)?;
            match configure_and_prepare(build)? {
                Prepared::Ready => {}
                Prepared::Misconfigured(findings) => return Ok(Prepared::Misconfigured(findings)),
                Prepared::Failed(failure) => {
                    failed = Some(failure);
                    continue;
                }
            }
            let partial = slot.path("prepared.partial");
            remove_file(&partial)?;
            mirror(build.dir, &partial)?;
            make_room(&slot.path("prepared"))?;
            std::fs::rename(&partial, &kept).map_err(Error::io(&kept, "write"))?;
        }
        miniature::write_tree(&probe.copy, build.cell, build.source, true)?;
        let prepared = slot.path("prepared.key");
        std::fs::write(&prepared, key).map_err(Error::io(&prepared, "write"))?;
        return Ok(Prepared::Ready);
    }
    Ok(failed.map_or(Prepared::Ready, Prepared::Failed))
}

fn configure_and_prepare(build: &Build) -> Result<Prepared, Error> {
    let cell = build.cell;
    let config = match build.configure(true)? {
        Ok(config) => config,
        Err(failure) => return Ok(Prepared::Failed(failure)),
    };
    let findings = check::config::check_config(&config, cell.lto, &cell.requested());
    if !findings.is_empty() {
        return Ok(Prepared::Misconfigured(findings));
    }
    Ok(match build.prepare(&mut |_| {})? {
        Outcome::Done => Prepared::Ready,
        Outcome::Failed(failure) => Prepared::Failed(failure),
    })
}

/// Removes the oldest prepared trees but the last few.
fn make_room(folder: &Path) -> Result<(), Error> {
    create_dir(folder)?;
    let mut trees = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(Error::io(folder, "read"))? {
        let entry = entry.map_err(Error::io(folder, "read"))?;
        let modified = entry.metadata().and_then(|meta| meta.modified());
        trees.push((
            modified.map_err(Error::io(entry.path(), "read"))?,
            entry.path(),
        ));
    }
    trees.sort();
    for (_, tree) in trees.iter().rev().skip(KEPT - 1) {
        remove_file(tree)?;
    }
    Ok(())
}

/// A build that failed for want of a file that the source tree has and our copy lacks says
/// nothing of the kernel.
fn check_copy_is_complete(probe: &Probe, build: &Build) -> Result<(), Error> {
    let log = std::fs::read(build.log).map_err(Error::io(build.log, "read"))?;
    let log = String::from_utf8_lossy(&log);
    let source = build.source.to_string_lossy();
    let known: std::collections::BTreeSet<&str> = probe.copy.paths().collect();
    for line in log.lines().filter(|l| {
        l.contains("No such file") || l.contains("No rule to make") || l.contains("file not found")
    }) {
        for word in line.split(|c: char| c.is_whitespace() || "'\"`:,;()<>".contains(c)) {
            let path = word
                .strip_prefix(&*source)
                .unwrap_or(word)
                .trim_start_matches("./")
                .trim_start_matches('/');
            let is_left_out = path.contains('/')
                && crate::tree::path::stays_inside(path)
                && !known.contains(path)
                && probe.request.source.dir.join(path).is_file();
            if is_left_out {
                return Err(Error::Machine(format!(
                    "the makefiles read {path}, which klto does not copy for a probe: {line}; see {}",
                    build.log.display()
                )));
            }
        }
    }
    Ok(())
}

fn build_failure(failure: Failure, log: &Path) -> BuildFailure {
    BuildFailure {
        summary: failure.summary,
        first_errors: failure.first_errors,
        log: log.display().to_string(),
    }
}

fn play_scenario(
    probe: &Probe,
    slot: &Slot,
    build: &Build,
    result: &CellResult,
    name: &str,
) -> Result<ScenarioResult, Error> {
    if let Some(result) = scenario::by_name(name)?.not_for(build.cell.lto) {
        return Ok(result);
    }
    let key = slot.path("prepared.key");
    let key = std::fs::read_to_string(&key).map_err(Error::io(&key, "read"))?;
    let prepared = DirState::of(&slot.path("prepared").join(key))?;
    let built = slot.path("built");
    mirror(&built, build.dir)?;
    let facets = check_tree(&InspectRequest {
        build: build.dir,
        source: Some(build.source),
        log: None,
        goal: build.target.reaches,
        arch: Some(&build.cell.arch),
        mode: Some(build.cell.lto),
        requested: &build.cell.requested(),
        only: &[],
        allows: &[],
        cell: None,
    })?
    .facets;
    let empty = Vec::new();
    let stage = Stage {
        build: *build,
        prepared: &prepared,
        built: &built,
        built_state: &DirState::of(&built)?,
        site: &miniature::site()?,
        findings: result
            .checked
            .as_ref()
            .map_or(&empty, |checked| &checked.findings),
        facets: &facets,
        others: &BTreeMap::new(),
        builds_others: true,
        scratch: &slot.path("scratch"),
        gitignore: &probe.copy.gitignore(),
        no_shuffle: probe.no_shuffle.as_deref(),
    };
    stage.play_named(name)
}

/// The command that probes this cell again, and those that make does by hand.
fn reproduce(probe: &Probe, cell: &Cell, build: &Build) -> Vec<String> {
    let request = probe.request;
    let mut again = Command::new("klto")
        .args(["probe", "--kernel"])
        .arg(request.source.dir)
        .args(["--arch", &cell.arch.name, "--lto", cell.lto.name()]);
    if let Some(llvm) = cell.make.get("LLVM").filter(|llvm| *llvm != "-22") {
        again = again.args(["--toolchain", llvm]);
    }
    let scenarios: Vec<&str> = cell.scenarios.iter().map(String::as_str).collect();
    if scenarios != ["build"] {
        again = again.args(["--scenario", &scenarios.join(",")]);
    }
    let added = miniature::added(&cell.make);
    if !added.is_empty() {
        again = again.args(["--add", &added.join(",")]);
    }
    for mutation in request.mutations {
        again = again.args(["--mutate", &mutation.name]);
    }
    let mut commands = vec![again.shell_words()];
    commands.extend(build.reproduce(None).pop());
    let check = Command::new("klto")
        .arg("check")
        .arg(build.dir)
        .args(["--goal", "modpost", "--log"])
        .arg(build.log);
    commands.push(check.shell_words());
    commands
}
