//! What is measured: time and memory of a job, how much there is in a build tree, sizes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CellRecord;
use crate::model::facts::{Built, Code, Facts, ModuleObject, Object};

/// What a job took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Wall time.
    pub wall_seconds: f64,
    /// How much of it the job waited for others: for another klto at work in the same folders, and for
    /// the sources, which a scenario has to itself. 0 also if an older klto wrote it.
    #[serde(default, skip_serializing_if = "is_no_time")]
    pub waited_seconds: f64,
    /// Processor time of all processes, in user mode.
    pub user_seconds: f64,
    /// The same in the kernel.
    pub system_seconds: f64,
    /// The largest amount of memory that the processes of one command had at one time, in KiB.
    pub peak_memory_kib: u64,
    /// What the finished build tree takes on disk, in KiB; 0 if an older klto wrote it, or no tree
    /// was finished.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub disk_kib: u64,
}

impl Cost {
    /// What the job would have taken without others.
    #[must_use]
    pub fn own_seconds(&self) -> f64 {
        (self.wall_seconds - self.waited_seconds).max(0.0)
    }
}

/// When a stage of a job began, and how long it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StageTime {
    /// `compile`, `thin link`, `scenario noop`.
    pub name: String,
    /// How long after the record's `started` it began; what earlier runs took counts, what was
    /// between two runs does not.
    pub begins_seconds: f64,
    /// Wall time.
    pub seconds: f64,
}

impl StageTime {
    /// How long after the record's `started` it ended.
    #[must_use]
    pub fn ends_seconds(&self) -> f64 {
        self.begins_seconds + self.seconds
    }
}

/// What a compiler cache did for a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CompilerCacheUse {
    /// `ccache`.
    pub program: String,
    /// `4.7.5`.
    pub version: String,
    /// Objects that were there.
    pub hits: u64,
    /// Objects that were not: the compiler made them.
    pub misses: u64,
    /// Calls of which it keeps nothing: feature tests, programs that are linked in the same call,
    /// back ends.
    pub uncacheable: u64,
}

impl CompilerCacheUse {
    /// What it did for all cells together that were built now.
    #[must_use]
    pub fn of_all(cells: &[CellRecord]) -> Option<CompilerCacheUse> {
        let built = cells.iter().filter(|cell| !cell.reused);
        let used = built.filter_map(|cell| cell.compiler_cache.clone());
        used.reduce(|sum, one| CompilerCacheUse {
            hits: sum.hits + one.hits,
            misses: sum.misses + one.misses,
            uncacheable: sum.uncacheable + one.uncacheable,
            ..sum
        })
    }
}

impl fmt::Display for CompilerCacheUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hits, of) = (self.hits, self.hits + self.misses);
        let percent = (hits * 100).checked_div(of).unwrap_or(0);
        let (program, version) = (&self.program, &self.version);
        write!(
            f,
            "{program} {version}: {hits} of {of} objects were there ({percent} %); {} other calls",
            self.uncacheable
        )
    }
}

/// How much there was to check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Built-in objects; of external modules, their objects.
    pub objects: usize,
    /// Those that hold bitcode.
    pub ir_objects: usize,
    /// Symbols that vmlinux exports, or the external modules.
    pub exported_symbols: usize,
    /// Loadable modules that were built.
    #[serde(default, skip_serializing_if = "is_none")]
    pub modules: usize,
    /// Bytes of the sections of vmlinux that take memory, also of those that begin as zeros; 0
    /// where there is no vmlinux of this build.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub image_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_no_time(seconds: &f64) -> bool {
    *seconds <= 0.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none(number: &usize) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Counts {
    /// Counts what was read.
    #[must_use]
    pub fn of(facts: &Facts) -> Counts {
        let modules = facts.built_modules();
        match facts.built {
            Built::Kernel => {
                let is_ir = |object: &&Object| object.file.code() == Some(Code::Bitcode);
                // Not that of an earlier build.
                let image = facts.vmlinux.as_ref().filter(|_| facts.reached("vmlinux"));
                Counts {
                    objects: facts.objects.len(),
                    ir_objects: facts.objects.iter().filter(is_ir).count(),
                    exported_symbols: facts.exports.as_ref().map_or(0, Vec::len),
                    modules: modules.len(),
                    image_bytes: image.map_or(0, |vmlinux| vmlinux.image_bytes),
                }
            }
            Built::Modules => {
                let objects = || modules.iter().flat_map(|module| &module.objects);
                let is_ir = |object: &&ModuleObject| object.code == Some(Code::Bitcode);
                Counts {
                    objects: objects().count(),
                    ir_objects: objects().filter(is_ir).count(),
                    exported_symbols: modules.iter().map(|m| m.tables.exports.len()).sum(),
                    modules: modules.len(),
                    image_bytes: 0,
                }
            }
        }
    }
}

/// How many functions a comparison has the sizes of.
pub const MOST_GROWTH: usize = 20;

/// A function that has different sizes in two modes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Growth {
    pub function: String,
    /// Bytes in the cell's own mode.
    pub bytes: u64,
    /// Bytes in the other mode.
    pub bytes_there: u64,
}
