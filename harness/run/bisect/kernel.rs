//! Tests commits by building a whole kernel. The build tree is carried from commit to commit, so
//! that make makes only what differs; a clean test has a tree of its own.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use super::{Clean, Confirms, Oracle, TestsCells};
use crate::build::compiler_cache::CompilerCache;
use crate::judge::bisect::sought::{Asked, Ends, Sought, Tested};
use crate::model::bisect::Verdict;
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::record::CellRecord;
use crate::run::key::{CommonKey, own_program};
use crate::run::whole::drive::Run;
use crate::source::commit::{Commit, SHORT};
use crate::source::git::Git;
use crate::source::sources::Sources;
use crate::store::work_dir::WorkDir;

/// What no kernel is built from, but for its configuration.
const NOT_BUILT: [&str; 5] = [
    "Documentation/",
    "LICENSES/",
    "MAINTAINERS",
    "tools/perf/",
    "tools/testing/",
];

/// Builds commits for a finding.
#[derive(Debug)]
pub struct KernelOracle<'a> {
    /// Builds the cell that shows it, and what that is compared with.
    pub run: &'a Run<'a>,
    pub cell: &'a Cell,
    pub sought: Sought,
    /// The repository of the commits.
    pub git: &'a Git,
    /// The folder of the carried tree.
    pub carried: &'a Path,
    /// The short numbers of the commits that were built in it.
    pub built: BTreeSet<String>,
}

/// Builds the commit that was found, and its parents, in trees of their own. What they have in common
/// is compiled once, through a ccache that begins empty: so the verdicts differ only by what the commit
/// changes. An object that ccache gives by mistake makes them more alike, and names nobody.
#[derive(Debug)]
pub struct CleanKernels<'a> {
    /// Builds the cell that shows the finding, and what that is compared with.
    pub run: &'a Run<'a>,
    pub cell: &'a Cell,
    /// A folder for the builds; those of an interrupted search are used again.
    pub place: &'a Path,
    /// The folder of the carried tree, for other configurations.
    pub carried: &'a Path,
    /// Which finding to look for, if that is not known yet: one that the commit has and its parents do
    /// not.
    pub asked: &'a Asked,
    pub sought: OnceCell<Sought>,
}

/// Builds the cells of a commit, in trees that are carried or in trees of their own.
///
/// # Errors
/// If the user interrupts, the machine fails before the first cell, or the commit is no kernel.
pub fn build(run: &Run<'_>, commit: &Commit) -> Result<Vec<CellRecord>, Error> {
    let sources = Sources::of_commit(commit.clone())?;
    let records = run.run(&sources)?.cells;
    match run.cancel.is_cancelled() {
        true => Err(Error::Cancelled),
        false => Ok(records),
    }
}

/// Builds a cell; or why the commit has no verdict.
fn build_cell(
    run: &Run<'_>,
    cell: &Cell,
    commit: &Commit,
) -> Result<Result<CellRecord, Tested>, Error> {
    Ok(match build(run, commit) {
        // What is no kernel has no verdict.
        Err(error @ Error::Usage(_)) => Err(Tested::unknown(error.in_one_line())),
        records => {
            let name = cell.name();
            let record = records?.into_iter().find(|record| record.cell == name);
            record.ok_or_else(|| Tested::unknown("the cell has no record"))
        }
    })
}

/// What the record says, under a key that does not depend on where the kernel was built.
fn tested(sought: &Sought, record: &CellRecord, cell: &Cell, of: &Commit) -> Result<Tested, Error> {
    let key = CommonKey::new(&own_program()?, of.tree(), &[]);
    Ok(Tested {
        job: key.of(cell, &[]),
        ..sought.tested(record)
    })
}

/// The short numbers of the commits that were built in a carried tree.
#[must_use]
pub fn built_in(carried: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(carried).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names
        .filter_map(|name| Some(name.rsplit_once("-g")?.1.to_owned()))
        .collect()
}

impl KernelOracle<'_> {
    fn carried(&self) -> Run<'_> {
        Run {
            carried: Some(self.carried),
            ..*self.run
        }
    }
}

/// Builds a cell in a carried tree, and in a clean one if that fails.
fn test_carried(
    carried: &Run<'_>,
    cell: &Cell,
    commit: &Commit,
    sought: &Sought,
) -> Result<Tested, Error> {
    let record = match build_cell(carried, cell, commit)? {
        Ok(record) => record,
        Err(unknown) => return Ok(unknown),
    };
    let seen = tested(sought, &record, cell, commit)?;
    // What the builds before left can make one fail, and is there after one that failed.
    if record.is_finished() || seen.machine_failed {
        return Ok(seen);
    }
    let clean = Run {
        carried: None,
        fresh: true,
        ..*carried
    };
    match build_cell(&clean, cell, commit)? {
        Ok(record) => tested(sought, &record, cell, commit),
        Err(unknown) => Ok(unknown),
    }
}

impl TestsCells for KernelOracle<'_> {
    fn test_as(&self, cell: &Cell, commit: &Commit) -> Result<Tested, Error> {
        let run = Run {
            cells: std::slice::from_ref(cell),
            ..self.carried()
        };
        test_carried(&run, cell, commit, &self.sought)
    }
}

impl Oracle for KernelOracle<'_> {
    fn reads(&self, path: &str) -> bool {
        path.contains("Kconfig") || !NOT_BUILT.iter().any(|place| path.starts_with(place))
    }

    fn test(&self, commit: &Commit) -> Result<Tested, Error> {
        test_carried(&self.carried(), self.cell, commit, &self.sought)
    }

    fn kept(&self, id: &str) -> Result<Option<Tested>, Error> {
        if !self.built.contains(id.get(..SHORT).unwrap_or(id)) {
            return Ok(None);
        }
        let commit = Commit::find(self.git, id)?;
        let kept = self.carried().kept(&commit, self.cell)?;
        let kept = kept.filter(CellRecord::is_finished);
        let kept = kept.map(|record| tested(&self.sought, &record, self.cell, &commit));
        // A search for another finding need not have looked for this one.
        let kept = kept.transpose()?;
        let kept = kept.filter(|tested| tested.verdict != Verdict::Unknown);
        Ok(kept.map(|tested| Tested {
            reused: true,
            ..tested
        }))
    }

    fn share(&self, path: &str) -> f64 {
        share(path)
    }

    fn trees(&self) -> usize {
        1
    }
}

/// What part of a kernel is built again after a change of a file, from 0 to 1: an estimate, for nothing
/// but the order of tests depends on it.
fn share(path: &str) -> f64 {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_makefile = matches!(name, "Makefile" | "Kbuild") || name.starts_with("Kconfig");
    if path.starts_with("scripts/") || !path.contains('/') || is_makefile {
        // The command of every object can differ.
        return 1.0;
    }
    match path.rsplit('.').next() {
        // Some headers are in nearly every object, others in few.
        Some("h") if path.contains("include/") => 0.5,
        Some("h") => 0.02,
        Some("c" | "S" | "rs") => 0.002,
        Some(_) | None => 0.0,
    }
}

impl TestsCells for CleanKernels<'_> {
    fn test_as(&self, cell: &Cell, commit: &Commit) -> Result<Tested, Error> {
        let Some(sought) = self.sought.get() else {
            return Ok(Tested::unknown("no kernel shows the fault"));
        };
        let run = Run {
            cells: std::slice::from_ref(cell),
            carried: Some(self.carried),
            ..*self.run
        };
        test_carried(&run, cell, commit, sought)
    }
}

impl Confirms for CleanKernels<'_> {
    fn needs_all(&self) -> bool {
        self.sought.get().is_none()
    }

    fn test_clean(
        &self,
        commits: &[Commit],
        on: &mut dyn FnMut(Clean) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let work = WorkDir::open(self.place)?;
        let caches = self.place.join("caches");
        let cache = CompilerCache::find(self.run.cancel)?.ok().flatten();
        let run = Run {
            work: &work,
            carried: None,
            cache: cache.as_ref(),
            caches: Some(&caches),
            ..*self.run
        };
        let (mut built, mut seconds) = (Vec::new(), Vec::new());
        for (at, commit) in commits.iter().enumerate() {
            on(Clean::Begins(at))?;
            let began = Instant::now();
            let record = build_cell(&run, self.cell, commit)?;
            built.push(record);
            seconds.push(began.elapsed().as_secs_f64());
        }
        let sought = match self.sought.get() {
            Some(sought) => Ok(sought),
            None => self
                .choose(&built)
                .map(|sought| self.sought.get_or_init(|| sought)),
        };
        for (at, (commit, built)) in std::iter::zip(commits, built).enumerate() {
            let tested = match (&sought, built) {
                (Err(why), built) => Tested {
                    machine_failed: built.is_ok_and(|record| record.error.is_some()),
                    ..Tested::unknown(format!("no kernel shows the fault: {why}"))
                },
                (Ok(_), Err(unknown)) => unknown,
                (Ok(sought), Ok(record)) => tested(sought, &record, self.cell, commit)?,
            };
            on(Clean::Done {
                at,
                tested,
                seconds: seconds[at],
            })?;
        }
        Ok(())
    }
}

impl CleanKernels<'_> {
    /// The finding that the commit has and its parents do not.
    fn choose(&self, built: &[Result<CellRecord, Tested>]) -> Result<Sought, String> {
        let records = built.iter().map(|built| match built {
            Ok(record) => vec![record.clone()],
            Err(_) => Vec::new(),
        });
        let mut records = records.collect::<Vec<_>>().into_iter();
        let culprit = records.next().unwrap_or_default();
        let parents: Vec<Vec<CellRecord>> = records.collect();
        let (sought, _) = Ends::of(culprit, &parents, self.asked).choose()?;
        Ok(sought)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_a_header_repeats_more_than_one_of_a_c_file_and_less_than_one_of_a_makefile() {
        let of = |paths: &[&str]| paths.iter().map(|path| share(path)).collect::<Vec<_>>();
        let order = of(&[
            "Documentation/x.rst",
            "kernel/fork.c",
            "kernel/sched/sched.h",
            "include/linux/fs.h",
            "scripts/Makefile.lib",
        ]);
        assert!(order.is_sorted(), "{order:?}");
        assert_eq!(
            of(&["Makefile", "drivers/Kconfig", "lib/Makefile"]),
            [1.0; 3]
        );
    }
}
