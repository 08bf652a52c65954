//! The launcher of compilers in a work directory: which programs it takes the place of, and where its
//! answers are kept.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::build::dir_state::{create_dir, keep_newest};
use crate::build::environment;
use crate::build::launcher::{self, Place};
use crate::build::toolchain::{self, is_name};
use crate::model::cell::Cell;
use crate::model::error::Error;

/// Where the launchers and what programs answered lie in a work directory.
const ANSWERS: &str = "answers";

/// For how many compilers and environments answers are kept.
const KEPT_ANSWERS: usize = 5;

/// The launchers of a work directory.
#[derive(Debug)]
pub struct Compilers<'a> {
    pub work: &'a Path,
    /// Distinguishes this program from any other.
    pub program: &'a blake3::Hash,
    pub is_sandboxed: bool,
    /// The folder for new answers, where that is not the work directory: one in a sandbox cannot write
    /// there.
    pub kept: Option<&'a Path>,
}

impl Compilers<'_> {
    /// Installs what starts the compilers of a cell, and what acts in these other places. Returns the
    /// environment variables that it needs.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn install(
        &self,
        cell: &Cell,
        others: &[Place],
    ) -> Result<Vec<(OsString, OsString)>, Error> {
        let compiler = toolchain::fingerprint(cell).to_hex();
        let environment = environment::fingerprint().to_hex();
        let hashes = [self.program.to_hex(), compiler, environment];
        let name = hashes.map(|hash| hash[..12].to_owned()).join("-");
        // A compiler may answer otherwise in a sandbox, where HOME is empty.
        let suffix = if self.is_sandboxed { "-sandboxed" } else { "" };
        let name = format!("{name}{suffix}");
        let answers = folder(self.work).join(&name);
        launcher::install(&answers)?;
        let mut folders = vec![answers.clone()];
        for (place, program) in programs(cell, others) {
            let folder = launcher::install_in_place(&answers, place, &program)?;
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        let mut variables = vec![("PATH".into(), environment::path_with(&folders)?)];
        if let Some(kept) = self.kept {
            let kept = kept.join(ANSWERS).join(name);
            create_dir(&kept)?;
            variables.push((launcher::ANSWERS.into(), kept.into()));
        }
        Ok(variables)
    }
}

/// The folder of the launchers and of their answers in a work directory: builds in a sandbox read it.
#[must_use]
pub fn folder(work: &Path) -> PathBuf {
    work.join(ANSWERS)
}

/// Removes the answers of old compilers.
///
/// # Errors
/// Where they cannot be removed.
pub fn prune(work: &Path) -> Result<(), Error> {
    keep_newest(&folder(work), KEPT_ANSWERS)
}

/// The programs of a cell that make looks for in the search path, as far as the launcher acts in their
/// place.
fn programs(cell: &Cell, others: &[Place]) -> Vec<(Place, String)> {
    let variables = toolchain::variables(cell);
    let compilers = [
        (Place::Compiler, toolchain::compiler(&variables)),
        (Place::Compiler, toolchain::host_compiler(&variables)),
    ];
    let others = others.iter().map(|place| match place {
        Place::Compiler => (*place, toolchain::compiler(&variables)),
        Place::Nm => (*place, toolchain::nm(&variables)),
        Place::OldArchiver => (*place, toolchain::ar(&variables)),
    });
    let all = compilers.into_iter().chain(others);
    all.filter(|(_, program)| is_name(program)).collect()
}
