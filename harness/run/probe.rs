//! The probe: a verdict on a change of the kernel's makefiles in seconds. They build a
//! miniature of klto's own; the user's source tree is only read. Each cell has a folder
//! whose path stays the same from probe to probe, since kbuild writes paths into what it
//! makes; records are kept apart from it, by what the sources held.

pub mod drive;
pub mod miniature;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::compilers::{self, Compilers};
use super::job::Job;
use super::key::CommonKey;
use super::layout::{Layout, Prepared, configure};
use super::pipeline::FinishedJob;
use super::place::Place;
use super::scenario::EditTargets;
use crate::build::dir_state::{create_dir, is_there, keep_newest, mirror, remove_file, touch};
use crate::build::kbuild::{Build, BuildOutcome, Launcher, Target};
use crate::build::launcher::{self, Cached};
use crate::build::process::Command;
use crate::build::{environment, toolchain};
use crate::file::bounded_log;
use crate::model::cell::{Cell, LtoMode};
use crate::model::error::Error;
use crate::model::record::Reproduce;
use crate::source::copy::{Extent, SourceCopy};
use crate::source::sources::Sources;
use crate::store::atomic::write_atomically;
use crate::store::record_dir::RecordDir;

/// The toolchain that is probed if none is named, as the value of make's `LLVM=`.
pub const USUAL_LLVM: &str = "-22";
/// Where the caches of sandboxed builds lie in a work directory.
const UNTRUSTED: &str = "untrusted";
/// For how many states of the sources they are kept.
const KEPT_UNTRUSTED: usize = 5;
/// How many prepared trees are kept for one cell, those used last: more than most series have
/// states, so that the next series on the same base finds what was prepared for that.
pub const KEPT: usize = 8;
/// Where the records lie in a work directory.
const RECORDS: &str = "records";
/// For how many states of the sources records are kept.
const KEPT_RECORDS: usize = 100;

/// The miniature of one state of the sources, in a work directory.
#[derive(Debug)]
pub struct Miniature<'a> {
    pub work: &'a Path,
    pub copy: &'a SourceCopy,
    /// Of what `make prepare` may read.
    pub prepared_key: CommonKey,
    /// The same for builds outside of a sandbox, whose prepared trees one inside may begin with;
    /// `None` if this is outside.
    pub trusted_key: Option<CommonKey>,
    /// Whether what is prepared is kept for later probes of the same files.
    pub keeps_prepared: bool,
    /// The version, and what distinguishes these sources from others: the folder of records.
    pub records: String,
    /// Whether objects come from ccache: most of a probe is compilers that start.
    pub ccache: bool,
    /// The folder for what ccache and the launcher keep, where that is not what trusted builds
    /// share.
    pub caches: Option<PathBuf>,
    pub sources: &'a Sources,
    /// Distinguishes this program from any other.
    pub program: &'a blake3::Hash,
    /// The source tree as the user named it.
    pub kernel: &'a Path,
    /// The probe as it was asked for, without the cell.
    pub command: Command,
}

impl Miniature<'_> {
    /// Gets a tree that was prepared of the same files before, or prepares one.
    fn get_prepared(
        &self,
        place: &Place,
        build: &Build<'_>,
        reads: Extent,
    ) -> Result<Prepared, Error> {
        let cell = build.cell;
        let source = self.copy.fingerprint(reads).to_hex().to_string();
        let folder = place.folder.join("prepared");
        let kept = |key: &CommonKey| folder.join(key.of(cell, &[&source]));
        let keys = self.trusted_key.iter().chain([&self.prepared_key]);
        if let Some(prepared) = keys.map(kept).find(|kept| is_there(kept)) {
            mirror(&prepared, build.dir)?;
            touch(&prepared)?;
            return Ok(Prepared::Ready);
        }
        let kept = kept(&self.prepared_key);
        miniature::write_tree(self.copy, cell, build.source, reads)?;
        remove_file(build.dir)?;
        create_dir(build.dir)?;
        remove_file(build.log)?;
        if let BuildOutcome::Failed(failure) = self.get_base(build, &source)? {
            return Ok(Prepared::Failed(failure));
        }
        let prepared = configure(build, true)?;
        let is_clean = build
            .sandbox
            .is_none_or(|inside| inside.complaints.is_empty());
        if let Prepared::Ready = prepared
            && is_clean
            && self.keeps_prepared
        {
            let partial = place.folder.join("prepared.partial");
            remove_file(&partial)?;
            mirror(build.dir, &partial)?;
            keep_newest(&folder, KEPT - 1)?;
            std::fs::rename(&partial, &kept).map_err(Error::io(&kept, "write"))?;
        }
        Ok(prepared)
    }

    /// Gets what `make tinyconfig` writes. The mode of LTO is set afterwards, so all modes start
    /// from the same file.
    fn get_base(&self, build: &Build<'_>, source: &str) -> Result<BuildOutcome, Error> {
        let cell = Cell {
            lto: LtoMode::None,
            ..build.cell.clone()
        };
        let folder = self.of_all_modes(&cell, "base");
        let kept = folder.join(self.prepared_key.of(&cell, &["base", source]));
        if is_there(&kept) {
            build.copy_base(&kept)?;
            return Ok(BuildOutcome::Done);
        }
        let made = build.make_base()?;
        if let BuildOutcome::Done = made {
            keep_newest(&folder, KEPT - 1)?;
            let config = std::fs::read(build.config());
            let config = config.map_err(Error::io(build.config(), "read"))?;
            write_atomically(&kept, &config)?;
        }
        Ok(made)
    }

    /// A folder that the modes of a kernel share.
    fn of_all_modes(&self, cell: &Cell, name: &str) -> PathBuf {
        let (arch, config, toolchain) = cell.group();
        let cells = self.work.join("cells").join(arch).join(config);
        cells.join(name).join(toolchain)
    }
}

impl Layout for Miniature<'_> {
    fn place(&self, cell: &Cell) -> Place {
        let records = self.work.join(RECORDS).join(&self.records);
        Place {
            folder: self.work.join("cells").join(cell.name()),
            record: RecordDir::new(records.join(cell.name())),
        }
    }

    /// The modes of a kernel share one, for its path is on the compiler's command line: what
    /// ccache has of one mode then serves another.
    fn source(&self, cell: &Cell) -> PathBuf {
        self.of_all_modes(cell, "source")
    }

    fn target(&self) -> Target {
        miniature::TARGET
    }

    /// With a folder and settings of the probe's own, for a user's may trade certainty for speed;
    /// and told which compiler it is, libraries included.
    fn launcher(&self, job: &Job, _: &Place) -> Result<Launcher, Error> {
        let cell = &job.cell;
        let compilers = Compilers {
            work: self.work,
            program: self.program,
            is_sandboxed: self.trusted_key.is_some(),
            kept: self.caches.as_deref(),
        };
        let places: &[launcher::Place] = match cell.lto {
            LtoMode::None => &[launcher::Place::Nm, launcher::Place::OldArchiver],
            // With LTO, the archiver is LLVM's, and as new as the compiler.
            LtoMode::Full | LtoMode::Thin | LtoMode::ThinDist => &[launcher::Place::Nm],
        };
        let installed = compilers.install(cell, places)?;
        let (cached, modes_share) = match (self.ccache, self.copy.names_mode()) {
            (true, None) => (Cached::FrontEnds, "1"),
            (true, Some(_)) => (Cached::FrontEnds, "0"),
            (false, _) => (Cached::Nothing, "0"),
        };
        let ccache = self.caches.as_deref().unwrap_or(self.work).join("ccache");
        let compiler = toolchain::fingerprint(cell).to_hex();
        let own: [(&str, OsString); 9] = [
            (launcher::CACHED, cached.name().into()),
            (launcher::MODES_SHARE, modes_share.into()),
            (
                launcher::SOURCE_NAMES,
                self.copy.names().to_hex().as_str().into(),
            ),
            ("CCACHE_CONFIGPATH", "/dev/null".into()),
            ("CCACHE_DIR", ccache.into()),
            ("CCACHE_COMPILERCHECK", format!("string:{compiler}").into()),
            ("CCACHE_SLOPPINESS", "".into()),
            // The compiler's own list of headers is enough: what it leaves out, the headers of the
            // host, is in the hash of the compiler.
            ("CCACHE_DEPEND", "1".into()),
            ("CCACHE_MAXSIZE", "1G".into()),
        ];
        let own = own.map(|(name, value)| (name.into(), value));
        let set = installed.into_iter().chain(own);
        let removed = environment::of_ccache()
            .into_iter()
            .map(|name| (name, None));
        Ok(Launcher {
            environment: removed
                .chain(set.map(|(name, value)| (name, Some(value))))
                .collect(),
            statistics: None,
        })
    }

    fn prepare(
        &self,
        _: &Job,
        place: &Place,
        build: &Build<'_>,
        _: Option<&FinishedJob>,
    ) -> Result<Prepared, Error> {
        // First without the files that preparing should not read. A kernel that reads them
        // all the same is prepared with them, and again whenever they change.
        let mut prepared = self.get_prepared(place, build, Extent::ReadByPrepare)?;
        if let Prepared::Failed(_) = prepared {
            prepared = self.get_prepared(place, build, Extent::All)?;
        }
        if let Prepared::Ready = prepared {
            miniature::write_tree(self.copy, build.cell, build.source, Extent::All)?;
            remove_file(build.log)?;
        }
        Ok(prepared)
    }

    /// A build that failed because our copy lacks a file that the sources have says nothing
    /// about the kernel.
    fn check_failure(&self, build: &Build<'_>) -> Result<(), Error> {
        let log = bounded_log::read(build.log).map_err(Error::io(build.log, "read"))?;
        let log = String::from_utf8_lossy(&log);
        let source = build.source.to_string_lossy();
        let known: BTreeSet<&str> = self.copy.paths().collect();
        let names_a_file = |line: &&str| {
            ["No such file", "No rule to make", "file not found"]
                .iter()
                .any(|said| line.contains(said))
        };
        for line in log.lines().filter(names_a_file) {
            for word in line.split(|c: char| c.is_whitespace() || "'\"`:,;()<>".contains(c)) {
                let path = word
                    .strip_prefix(&*source)
                    .unwrap_or(word)
                    .trim_start_matches("./")
                    .trim_start_matches('/');
                let is_left_out = path.contains('/')
                    && crate::tree::path::stays_inside(path)
                    && !known.contains(path)
                    && self.sources.has_file(path)?;
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

    fn restore_sources(&self, cell: &Cell) -> Result<(), Error> {
        miniature::write_tree(self.copy, cell, &self.source(cell), Extent::All)
    }

    fn edit_targets(&self) -> Result<EditTargets, Error> {
        miniature::edit_targets()
    }

    fn gitignore<'a>(&'a self, _: &'a Path) -> PathBuf {
        self.copy.gitignore()
    }

    fn builds_other_modes(&self) -> bool {
        true
    }

    fn reproduce(&self, build: &Build<'_>, _: Option<&str>) -> Reproduce {
        let cell = build.cell;
        let again = with_cell(self.command.clone(), cell);
        let make = build.reproduce(None).pop();
        let check = Command::new("klto")
            .arg("check")
            .arg(build.dir)
            .args(["--goal", "modpost"]);
        let (_, _, toolchain) = cell.group();
        let beside = build.dir.join("../../../source").join(toolchain);
        let source = |command: Command| command.with_path(build.source, &beside);
        let commands = [Some(again), make.map(source), Some(check)];
        let places = [(build.dir, "O"), (self.kernel, "KERNEL")];
        let commands = commands.into_iter().flatten();
        Reproduce {
            kernel: self.kernel.display().to_string(),
            build: build.dir.display().to_string(),
            commands: commands.map(|c| c.shell_words_in(&places)).collect(),
        }
    }
}

/// A probe of one cell.
#[must_use]
pub fn with_cell(probe: Command, cell: &Cell) -> Command {
    let command = probe.args(["--arch", &cell.arch.name, "--lto", cell.lto.name()]);
    match cell.make.get("LLVM").filter(|llvm| *llvm != USUAL_LLVM) {
        Some(llvm) => command.args(["--toolchain", llvm]),
        None => command,
    }
}

/// The caches of the sandboxed builds of one state of the sources: a build may write there what
/// it likes, and no build of other sources reads it. They begin as copies of what builds outside
/// of a sandbox left.
///
/// # Errors
/// Where they cannot be written.
pub fn untrusted_caches(work: &Path, source_key: &str) -> Result<PathBuf, Error> {
    let name = blake3::hash(source_key.as_bytes()).to_hex();
    let caches = work.join(UNTRUSTED).join(&name[..16]);
    let ccache = caches.join("ccache");
    if !is_there(&ccache) {
        keep_newest(&work.join(UNTRUSTED), KEPT_UNTRUSTED - 1)?;
        create_dir(&caches)?;
        let partial = caches.join("ccache.partial");
        remove_file(&partial)?;
        create_dir(&partial)?;
        let trusted = work.join("ccache");
        if is_there(&trusted) {
            mirror(&trusted, &partial)?;
        }
        std::fs::rename(&partial, &ccache).map_err(Error::io(&ccache, "write"))?;
    }
    Ok(caches)
}

/// The caches of builds outside of a sandbox.
///
/// # Errors
/// Where they cannot be created.
fn trusted_caches(work: &Path) -> Result<[PathBuf; 2], Error> {
    let caches = [work.join("ccache"), compilers::folder(work)];
    for folder in &caches {
        create_dir(folder)?;
    }
    Ok(caches)
}

/// What a sandboxed probe may read of a work directory besides its own folders: the copy of the
/// sources, which the trees of links lead into, and the launcher.
fn readable(work: &Path) -> [PathBuf; 2] {
    [work.join("source"), compilers::folder(work)]
}

/// Removes what is not likely to be used again: the records of old states of the sources, the
/// answers of old compilers.
fn prune(work: &Path) -> Result<(), Error> {
    for (folder, number) in [(RECORDS, KEPT_RECORDS), (UNTRUSTED, KEPT_UNTRUSTED)] {
        let folder = work.join(folder);
        if is_there(&folder) {
            keep_newest(&folder, number)?;
        }
    }
    compilers::prune(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_caches_begin_as_copies_and_stay_with_their_sources() {
        let work = tempfile::tempdir().unwrap();
        let trusted = work.path().join("ccache");
        std::fs::create_dir(&trusted).unwrap();
        std::fs::write(trusted.join("answer"), "trusted").unwrap();
        let of = |key| untrusted_caches(work.path(), key).unwrap().join("ccache");

        let one = of("one");
        assert_eq!(
            std::fs::read_to_string(one.join("answer")).unwrap(),
            "trusted"
        );
        std::fs::write(one.join("answer"), "planted").unwrap();
        assert_eq!(of("one"), one);
        assert_eq!(
            std::fs::read_to_string(one.join("answer")).unwrap(),
            "planted",
            "it is kept"
        );

        let other = of("two");
        for cache in [trusted, other] {
            assert_eq!(
                std::fs::read_to_string(cache.join("answer")).unwrap(),
                "trusted"
            );
        }
    }
}
