//! What is measured: time and memory of a job, how much there is in a build tree, sizes.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::facts::{Facts, ObjectFile};

/// What a job took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Wall time.
    pub wall_seconds: f64,
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

/// How much there was to check.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Built-in objects.
    pub objects: usize,
    /// Those that hold bitcode.
    pub ir_objects: usize,
    /// Symbols that vmlinux exports.
    pub exported_symbols: usize,
    /// Bytes of the sections of vmlinux that take memory, also of those that begin as zeros; 0
    /// where there is no vmlinux of this build.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub image_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Counts {
    /// Counts what was read.
    #[must_use]
    pub fn of(facts: &Facts) -> Counts {
        let is_ir = |file: &ObjectFile| matches!(file, ObjectFile::Ir(_));
        // Not that of an earlier build.
        let image = facts.vmlinux.as_ref().filter(|_| facts.reached("vmlinux"));
        Counts {
            objects: facts.objects.len(),
            ir_objects: facts.objects.iter().filter(|o| is_ir(&o.file)).count(),
            exported_symbols: facts.exports.as_ref().map_or(0, Vec::len),
            image_bytes: image.map_or(0, |vmlinux| vmlinux.image_bytes),
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
