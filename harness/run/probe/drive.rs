//! Probes one state of the sources: brings the copy in step with it and runs the cells.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use super::{Miniature, RECORDS, prune, readable, untrusted_caches};
use crate::build::doctor;
use crate::build::kbuild;
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
use crate::run::schedule::run_jobs;
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
    /// What make runs in, if the sources are not trusted.
    pub sandbox: Option<&'a Sandbox>,
    /// The fingerprint of the sources whose caches sandboxed builds use; their own if `None`.
    pub caches_of: Option<&'a str>,
    pub events: &'a dyn Events,
    pub cancel: &'a Cancel,
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
        self.work.lock_sources(patience, &mut || {
            let text = "waiting for another klto that probes in the same work directory";
            self.events.on(&Event::Note { text });
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

    /// Where the record of a cell is, of sources with that fingerprint.
    #[must_use]
    pub fn record(&self, sources: &Sources, fingerprint: &str, cell: &str) -> RecordDir {
        let folder = self.work.path().join(RECORDS);
        RecordDir::new(folder.join(records(sources, fingerprint)).join(cell))
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
        let caches = match self.sandbox {
            Some(_) => Some(untrusted_caches(
                work,
                self.caches_of.unwrap_or(&fingerprint),
            )?),
            None => None,
        };
        let sandbox = self.sandbox.map(|sandbox| {
            let sandbox = sandbox.clone().reading(readable(work));
            sandbox.writing(caches.clone())
        });
        let enforced = sandbox.as_ref().map(Sandbox::enforced);
        let prepared_key = CommonKey::new(&program, "prepared", &[work]);
        let layout = Miniature {
            work,
            copy,
            trusted_key: enforced.is_some().then(|| prepared_key.clone()),
            prepared_key: prepared_key.sandboxed(enforced),
            caches,
            records: records(sources, &fingerprint),
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
            make_jobs: (self.jobs / workers).max(1),
            ccache: false,
            sandbox: sandbox.as_ref(),
            has_shuffle: kbuild::has_shuffle(self.cancel)?,
            fresh: self.fresh,
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
            cells: run_jobs(&context, &plan, workers, self.fail_fast),
        })
    }
}

/// The folder of the records of one state of the sources.
fn records(sources: &Sources, fingerprint: &str) -> String {
    let short = fingerprint.get(..12).unwrap_or(fingerprint);
    format!("{}-{short}", sources.version_in_paths())
}

/// The folders under `arch/` that a probe of any architecture may read.
fn arch_folders() -> Result<Vec<&'static str>, Error> {
    let arches = arch_table::all()?.values();
    Ok(arches.map(|arch| arch.src.as_str()).collect())
}
