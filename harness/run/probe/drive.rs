//! Probes one state of the sources: brings the copy in step with it and runs the cells.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Miniature, RECORDS, prune, readable, trusted_caches, untrusted_caches};
use crate::build::doctor;
use crate::build::kbuild::{self, Parallelism};
use crate::build::process::{Cancel, Command};
use crate::build::sandbox::Sandbox;
use crate::input::allow::Allow;
use crate::input::arch_table;
use crate::input::mutation::Mutation;
use crate::model::cell::Cell;
use crate::model::error::Error;
use crate::model::record::{FORMAT, RunRecord};
use crate::run::events::{Event, Events};
use crate::run::job::{PlanOptions, plan};
use crate::run::key::{CommonKey, own_program};
use crate::run::pair::usual_tolerances;
use crate::run::pipeline::Context;
use crate::run::schedule::{Policy, run_jobs};
use crate::source::copy::{Extent, SourceCopy};
use crate::source::sources::Sources;
use crate::store::lock::{Lock, Patience};
use crate::store::record_dir::RecordDir;
use crate::store::work_dir::WorkDir;

/// How to probe, whatever the sources are.
#[derive(Debug, Clone, Copy)]
pub struct Probe<'a> {
    pub work: &'a WorkDir,
    /// The source tree as the user named it.
    pub kernel: &'a Path,
    pub mutations: &'a [Mutation],
    pub allows: &'a [Allow],
    /// The probe as it was asked for, without the cell.
    pub command: &'a Command,
    /// Jobs of all makes together.
    pub jobs: usize,
    pub fresh: bool,
    pub fail_fast: bool,
    /// The sandbox that make runs in, if there is one.
    pub sandbox: Option<&'a Sandbox>,
    pub caches: Caches<'a>,
    pub events: &'a dyn Events,
    pub cancel: &'a Cancel,
}

/// The caches that sandboxed builds write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caches<'a> {
    /// Those of builds outside of a sandbox: the sources are trusted.
    Trusted,
    /// Some for these sources.
    Own,
    /// Those for the sources with that fingerprint.
    Of(&'a str),
}

impl Probe<'_> {
    /// Locks the copy of the sources, which serves one state of them at a time.
    ///
    /// # Errors
    /// If another klto has it for all of `timeout`, or the user interrupts.
    pub fn lock(&self, timeout: Duration) -> Result<Lock, Error> {
        let patience = Patience {
            until: Instant::now().checked_add(timeout),
            cancel: self.cancel,
        };
        self.work.lock_sources(patience, &mut |who| {
            let text = format!("waiting for {who}, which probes in the same work directory");
            self.events.on(&Event::Note { text: &text });
        })
    }

    /// Brings the copy in step with the sources. The caller has the lock.
    ///
    /// # Errors
    /// As [`SourceCopy::of`].
    pub fn copy(&self, sources: &Sources) -> Result<SourceCopy, Error> {
        let folder = self.work.path().join("source");
        SourceCopy::of(sources, &folder, &arch_folders()?, self.mutations)
    }

    /// Whether the copies of two sources may differ.
    ///
    /// # Errors
    /// As [`SourceCopy::may_differ`].
    pub fn may_differ(&self, earlier: &Sources, later: &Sources) -> Result<bool, Error> {
        SourceCopy::may_differ(earlier, later, &arch_folders()?)
    }

    /// Where the record of a cell is, of sources with that fingerprint.
    #[must_use]
    pub fn record(&self, sources: &Sources, fingerprint: &str, cell: &str) -> RecordDir {
        let folder = self.work.path().join(RECORDS);
        RecordDir::new(folder.join(self.records(sources, fingerprint)).join(cell))
    }

    /// The folder of the records of one state of the sources. What is built in a sandbox does not
    /// replace what is built outside.
    fn records(&self, sources: &Sources, fingerprint: &str) -> String {
        let short = fingerprint.get(..12).unwrap_or(fingerprint);
        let suffix = self.sandbox.map_or("", |_| "-sandboxed");
        format!("{}-{short}{suffix}", sources.version_in_paths())
    }

    /// The folder for what sandboxed builds cache, if that is not what all builds share.
    fn caches(&self, fingerprint: &str) -> Result<Option<PathBuf>, Error> {
        let of = match (self.sandbox, self.caches) {
            (None, _) | (_, Caches::Trusted) => return Ok(None),
            (Some(_), Caches::Own) => fingerprint,
            (Some(_), Caches::Of(other)) => other,
        };
        untrusted_caches(self.work.path(), of).map(Some)
    }

    /// The sandbox, with the caches that its builds write.
    fn sandbox(&self, caches: Option<&Path>) -> Result<Option<Sandbox>, Error> {
        let Some(sandbox) = self.sandbox else {
            return Ok(None);
        };
        let work = self.work.path();
        let writable = match caches {
            Some(caches) => vec![caches.to_owned()],
            None => trusted_caches(work)?.into(),
        };
        let sandbox = sandbox.clone().reading(readable(work));
        Ok(Some(sandbox.writing(writable)))
    }

    /// Probes the cells over a copy that is in step with the sources.
    ///
    /// # Errors
    /// If the machine fails before the first cell; later that is in the records.
    pub fn run(
        &self,
        sources: &Sources,
        copy: &SourceCopy,
        cells: &[Cell],
    ) -> Result<RunRecord, Error> {
        let ccache = doctor::is_installed("ccache");
        if let Some(file) = copy.names_mode().filter(|_| ccache) {
            let text = format!(
                "{file} asks for the mode of LTO, so each mode compiles all objects itself; \
                 the probe takes longer"
            );
            self.events.on(&Event::Note { text: &text });
        }
        let fingerprint = copy.fingerprint(Extent::All).to_hex();
        let revision = sources.revision();
        let program = own_program()?;
        let work = self.work.path();
        let caches = self.caches(&fingerprint)?;
        let sandbox = self.sandbox(caches.as_deref())?;
        let enforced = sandbox.as_ref().map(Sandbox::enforced);
        let prepared_key = CommonKey::new(&program, "prepared", &[work]);
        let layout = Miniature {
            work,
            copy,
            trusted_key: enforced.is_some().then(|| prepared_key.clone()),
            prepared_key: prepared_key.sandboxed(enforced),
            caches,
            // What is prepared without some lines of a patch is not needed again, and would take
            // the place of what is.
            keeps_prepared: !matches!(self.caches, Caches::Of(_)),
            records: self.records(sources, &fingerprint),
            ccache,
            program: &program,
            sources,
            kernel: self.kernel,
            command: self.command.clone(),
        };
        prune(work)?;
        let kernels: BTreeSet<_> = cells.iter().map(Cell::group).collect();
        let workers = self.jobs.min(kernels.len()).max(1);
        let tolerances = usual_tolerances()?;
        let context = Context {
            layout: &layout,
            key: &CommonKey::new(&program, &fingerprint, &[work]).sandboxed(enforced),
            sources,
            revision: &revision,
            snapshots: None,
            allows: self.allows,
            tolerances: &tolerances,
            parallelism: Parallelism::Jobs((self.jobs / workers).max(1)),
            sandbox: sandbox.as_ref(),
            has_shuffle: kbuild::has_shuffle(self.cancel)?,
            fresh: self.fresh,
            until: None,
            events: self.events,
            cancel: self.cancel,
        };
        let plan = plan(
            cells,
            PlanOptions {
                reuse_trees: false,
                share_clean_builds: false,
                prepare_all: true,
                one_mode_at_a_time: true,
                compare: &[],
            },
        );
        Ok(RunRecord {
            format: FORMAT,
            klto: env!("CARGO_PKG_VERSION").to_owned(),
            matrix: "probe".to_owned(),
            kernel: sources.version().to_owned(),
            revision: revision.clone(),
            mutations: self.mutations.iter().map(|m| m.name.clone()).collect(),
            cells: run_jobs(&context, &plan, &Policy::plain(workers, self.fail_fast)),
            shard: None,
            unreferenced: Vec::new(),
        })
    }
}

/// The folders under `arch/` that a probe of any architecture may read.
///
/// # Errors
/// If the table of architectures is wrong.
pub fn arch_folders() -> Result<Vec<&'static str>, Error> {
    let arches = arch_table::all()?.values();
    Ok(arches.map(|arch| arch.src.as_str()).collect())
}
