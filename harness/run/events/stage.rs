//! How far a build is, read from kbuild's quiet output: `  CC      init/main.o`.

use std::time::Duration;

use super::{Event, Events};
use crate::build::process::LogTail;

/// The stages of a build, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Configure,
    Prepare,
    FrontEnd,
    ThinLink,
    BackEnd,
    Link,
    Modpost,
    Image,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Stage::Configure => "configure",
            Stage::Prepare => "prepare",
            Stage::FrontEnd => "compile",
            Stage::ThinLink => "thin link",
            Stage::BackEnd => "back end",
            Stage::Link => "link vmlinux.o",
            Stage::Modpost => "modpost",
            Stage::Image => "link vmlinux",
        }
    }
}

/// How often an event says that a stage goes on.
const EVERY: Duration = Duration::from_secs(1);

/// Follows the log of one build.
#[derive(Debug)]
pub struct StageReader<'a> {
    cell: &'a str,
    events: &'a dyn Events,
    stage: Stage,
    /// Objects compiled, in both passes.
    objects: u64,
    expected: Option<u64>,
    /// When the next event is due, in the time of the running step.
    next: Duration,
}

impl<'a> StageReader<'a> {
    /// Begins to follow a build; `expected` is how many objects the accepted snapshot says
    /// will be compiled.
    #[must_use]
    pub fn new(cell: &'a str, events: &'a dyn Events, expected: Option<u64>) -> Self {
        let reader = StageReader {
            cell,
            events,
            stage: Stage::Configure,
            objects: 0,
            expected,
            next: Duration::ZERO,
        };
        reader.report();
        reader
    }

    /// Reads what is new in the log.
    pub fn tick(&mut self, tail: &LogTail<'_>) {
        let before = self.stage;
        for line in tail.lines {
            self.take(line);
        }
        if self.stage != before || tail.elapsed >= self.next {
            self.next = tail.elapsed + EVERY;
            self.report();
        }
    }

    fn take(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let (Some(tool), Some(target)) = (words.next(), words.next()) else {
            return;
        };
        if !line.starts_with("  ") {
            return;
        }
        let Some(stage) = stage_of(tool, target) else {
            return;
        };
        if matches!(tool, "CC" | "AS") && stage > Stage::Prepare {
            self.objects += 1;
        }
        self.stage = self.stage.max(stage);
    }

    fn report(&self) {
        self.events.on(&Event::Stage {
            cell: self.cell,
            stage: self.stage.name(),
            objects: self.objects,
            expected: self.expected,
        });
    }
}

fn stage_of(tool: &str, target: &str) -> Option<Stage> {
    Some(match (tool, target) {
        ("HOSTCC" | "UPD" | "SYNC", _) => Stage::Prepare,
        (_, "vmlinux.thinlto-index") => Stage::ThinLink,
        ("CC", native) if native.ends_with(".thinlto-native.o") => Stage::BackEnd,
        (_, "vmlinux.o") => Stage::Link,
        ("MODPOST", _) => Stage::Modpost,
        ("CC", ".vmlinux.export.o" | "init/version-timestamp.o")
        | ("LD", "vmlinux" | "vmlinux.unstripped") => Stage::Image,
        ("CC" | "AS", object) if is_prepared(object) => Stage::Prepare,
        ("CC" | "AS", _) => Stage::FrontEnd,
        _ => return None,
    })
}

/// Compiled for `make prepare`, before any object of the kernel.
fn is_prepared(object: &str) -> bool {
    object.ends_with("bounds.s") || object.ends_with("asm-offsets.s") || object.contains("/vdso")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::events::Silent;

    #[test]
    fn a_distributed_build_goes_through_its_stages() {
        let mut reader = StageReader::new("x", &Silent, None);
        for (line, stage, objects) in [
            ("  HOSTCC  scripts/kconfig/conf.o", Stage::Prepare, 0),
            ("  CC      kernel/bounds.s", Stage::Prepare, 0),
            ("  CC      init/main.o", Stage::FrontEnd, 1),
            ("warning: a message", Stage::FrontEnd, 1),
            ("  AS      arch/x86/lib/copy.o", Stage::FrontEnd, 2),
            ("  LD      vmlinux.thinlto-index", Stage::ThinLink, 2),
            ("  CC      init/main.thinlto-native.o", Stage::BackEnd, 3),
            ("  LD      vmlinux.o", Stage::Link, 3),
            ("  MODPOST vmlinux.symvers", Stage::Modpost, 3),
            ("  LD      vmlinux.unstripped", Stage::Image, 3),
        ] {
            reader.take(line);
            assert_eq!((reader.stage, reader.objects), (stage, objects), "{line}");
        }
    }
}
