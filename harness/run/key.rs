//! The key of a job: distinguishes everything that its result depends on. A
//! record is used again only under the same key.

use crate::build::{environment, toolchain};
use crate::model::cell::{Base, Cell};
use crate::model::error::Error;
use crate::model::sandbox::Enforced;

/// Stands in the key of a job whose objects may come from a compiler cache. They are the same; but
/// what is measured by its tree, or continues it, must not come from there.
pub const CACHED: &str = "compiler cache";

/// What the keys of all jobs of a run have in common.
#[derive(Debug, Clone)]
pub struct CommonKey(blake3::Hash);

impl CommonKey {
    /// `program` is [`own_program`], `source` distinguishes one content of the sources from every
    /// other, `place` is where builds happen: paths are written into what is made.
    #[must_use]
    pub fn new(program: &blake3::Hash, source: &str, place: &[&std::path::Path]) -> CommonKey {
        let mut hasher = blake3::Hasher::new();
        add(&mut hasher, source.as_bytes());
        add(&mut hasher, environment::fingerprint().as_bytes());
        add(&mut hasher, program.as_bytes());
        for place in place {
            add(&mut hasher, place.as_os_str().as_encoded_bytes());
        }
        CommonKey(hasher.finalize())
    }

    /// The same for builds in a sandbox: what they could not do shows in what they made.
    #[must_use]
    pub fn sandboxed(self, enforced: Option<&Enforced>) -> CommonKey {
        let Some(enforced) = enforced else {
            return self;
        };
        let mut hasher = blake3::Hasher::new();
        add(&mut hasher, self.0.as_bytes());
        add(&mut hasher, format!("{enforced:?}").as_bytes());
        CommonKey(hasher.finalize())
    }

    /// The key of a job: of its cell, of the jobs whose trees it uses, and [`CACHED`] if that is how
    /// it is compiled. Scenarios are no part of it, for a record says which ran; nor are allow
    /// entries, which are applied whenever a record is used.
    #[must_use]
    pub fn of(&self, cell: &Cell, needs: &[&str]) -> String {
        let mut hasher = blake3::Hasher::new();
        add(&mut hasher, self.0.as_bytes());
        add(&mut hasher, toolchain::fingerprint(cell).as_bytes());
        add(&mut hasher, parts(cell).as_bytes());
        for needed in needs {
            add(&mut hasher, needed.as_bytes());
        }
        hasher.finalize().to_hex()[..32].to_owned()
    }
}

/// Everything in a cell that determines what is built.
fn parts(cell: &Cell) -> String {
    let Cell {
        arch,
        config_name: _,
        base,
        fragments,
        enable,
        disable,
        set,
        lto,
        toolchain_name: _,
        make,
        goals,
        scenarios: _,
        timeout: _,
    } = cell;
    // Of a file, only what was in it counts.
    let base = match base {
        Base::Goal(goal) => goal.clone(),
        Base::File { text, .. } => format!("file {}", blake3::hash(text.as_bytes())),
    };
    format!("{arch:?} {base} {fragments:?} {enable:?} {disable:?} {set:?} {lto} {make:?} {goals:?}")
}

/// With its length, so that no two sequences of parts are the same bytes.
fn add(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}

/// Distinguishes this program from any other: its rules and its miniature are in it.
///
/// # Errors
/// Where it cannot be read.
pub fn own_program() -> Result<blake3::Hash, Error> {
    let program = std::env::current_exe().map_err(Error::io("/proc/self/exe", "find"))?;
    // Not mapped: it would count as memory of klto's, as large as it is.
    let file = std::fs::File::open(&program).map_err(Error::io(&program, "open"))?;
    let mut hasher = blake3::Hasher::new();
    let hashed = hasher.update_reader(file);
    Ok(hashed.map_err(Error::io(&program, "read"))?.finalize())
}
