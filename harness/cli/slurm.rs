//! What `klto run --engine slurm` needs beside what each run needs.

use std::path::{Path, PathBuf};

use super::args::MatrixRun as Args;
use super::options::{Engine, ScheduleOptions};
use super::{check_place, real_path};
use crate::build::process::own_user;
use crate::model::error::Error;
use crate::model::record::RunRecord;
use crate::run::slurm::submit::Cluster;
use crate::run::whole::drive::Run as Build;
use crate::source::sources::Sources;
use crate::store::shared_dir::SharedDir;
use crate::store::work_dir::WorkDir;

/// The folders of a cluster.
pub struct Folders {
    shared: SharedDir,
    /// The work directory on each node, and on this machine for what is fetched.
    pub scratch: WorkDir,
}

impl Folders {
    /// Opens them, if the cells are built on a cluster.
    pub fn open(args: &Args, kernel: &Path) -> Result<Option<Folders>, Error> {
        let options = &args.engine;
        let shared = match (options.engine, &options.shared) {
            (Engine::Slurm, Some(shared)) => shared,
            (Engine::Slurm | Engine::Local, None) => return Ok(None),
            (Engine::Local, Some(_)) => {
                return Err(Error::Usage(
                    "--shared is for a cluster\n  add --engine slurm, or leave it out".to_owned(),
                ));
            }
        };
        if args.cells.shard.is_some() {
            return Err(Error::Usage(
                "--shard is for machines that do not know of each other, and a cluster divides the cells itself\n  leave one of --shard and --engine slurm out"
                    .to_owned(),
            ));
        }
        check_options(&args.schedule)?;
        let shared = SharedDir::open(shared)?;
        let scratch = match &options.scratch {
            Some(scratch) => scratch.clone(),
            None => usual_scratch(shared.path()),
        };
        check_place(&scratch, kernel)?;
        Ok(Some(Folders {
            scratch: WorkDir::open_scratch(&scratch)?,
            shared,
        }))
    }

    /// Builds the cells on the cluster.
    pub fn run(
        &self,
        args: &Args,
        build: &Build<'_>,
        kernel: &Path,
        sources: &Sources,
    ) -> Result<RunRecord, Error> {
        let absolute = |file: &PathBuf| real_path(file).map_err(Error::io(file, "find"));
        let mutation = |name: &String| match name.ends_with(".yaml") {
            true => absolute(&name.into()).map(|file| file.display().to_string()),
            false => Ok(name.clone()),
        };
        let known = &args.known;
        let cluster = Cluster {
            run: *build,
            shared: &self.shared,
            kernel,
            patterns: &args.cells.patterns,
            mutations: known
                .mutate
                .iter()
                .map(mutation)
                .collect::<Result<_, _>>()?,
            allow: known.allow.iter().map(absolute).collect::<Result<_, _>>()?,
            known_defects: !known.no_known_defects,
            snapshots: args.snapshots.dir.as_ref().map(absolute).transpose()?,
            sandbox: args.sandbox.sandbox,
            jobs: args.schedule.jobs,
            partition: args.engine.partition.clone(),
            nodes: args.engine.nodes.and_then(|nodes| nodes.try_into().ok()),
        };
        cluster.run(sources)
    }
}

/// Of the shared folder's name, so that two of them have two, and of the user's number, so that two
/// users have two. What the session has in `TMPDIR` nodes need not have.
fn usual_scratch(shared: &Path) -> PathBuf {
    let hash = blake3::hash(shared.as_os_str().as_encoded_bytes()).to_hex();
    Path::new("/tmp").join(format!("klto-work-{}-{}", own_user(), &hash[..8]))
}

/// The options of one machine that say nothing of a cluster.
fn check_options(options: &ScheduleOptions) -> Result<(), Error> {
    let given = [
        ("--cells-at-once", options.cells_at_once.is_some()),
        ("--memory", options.memory.is_some()),
        ("--disk-budget", options.disk_budget.is_some()),
    ];
    match given.iter().find(|(_, is_given)| *is_given) {
        None => Ok(()),
        Some((option, _)) => Err(Error::Usage(format!(
            "{option} is for one machine, and the nodes of a cluster have their own\n  leave it out; --nodes, --jobs and --keep are for a cluster"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_and_each_shared_folder_has_a_scratch_of_its_own() {
        let one = usual_scratch(Path::new("/s/one"));
        let start = format!("/tmp/klto-work-{}-", own_user());
        assert!(one.display().to_string().starts_with(&start), "{one:?}");
        assert_ne!(one, usual_scratch(Path::new("/s/two")));
    }
}
