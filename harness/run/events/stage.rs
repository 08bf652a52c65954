//! How far a build is, read from kbuild's quiet output: `  CC      init/main.o`.

use std::time::Duration;

use super::{Event, Events};
use crate::build::process::LogTail;
use crate::model::record::StageTime;

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

/// Follows the log of one build. All times are since the job began.
#[derive(Debug)]
pub struct StageReader<'a> {
    cell: &'a str,
    events: &'a dyn Events,
    stage: Stage,
    /// When each stage that was reached began, the first that of the reader.
    begun: Vec<(Stage, Duration)>,
    /// Objects compiled, in both passes.
    objects: u64,
    expected: Option<u64>,
    /// When the next event is due.
    next: Duration,
}

impl<'a> StageReader<'a> {
    /// Begins to follow a build; `expected` is how many objects the accepted snapshot says
    /// will be compiled.
    #[must_use]
    pub fn new(
        cell: &'a str,
        events: &'a dyn Events,
        expected: Option<u64>,
        now: Duration,
    ) -> Self {
        let reader = StageReader {
            cell,
            events,
            stage: Stage::Configure,
            begun: vec![(Stage::Configure, now)],
            objects: 0,
            expected,
            next: Duration::ZERO,
        };
        reader.report();
        reader
    }

    /// Reads what is new in the log.
    pub fn tick(&mut self, tail: &LogTail<'_>, now: Duration) {
        let before = self.stage;
        for line in tail.lines {
            self.take(line, now);
        }
        if self.stage != before || now >= self.next {
            self.next = now + EVERY;
            self.report();
        }
    }

    /// How long each stage took that was reached, if the last ends now. A stage begins with its
    /// first line and ends where the next one begins, whatever lines of it come later.
    #[must_use]
    pub fn times(&self, now: Duration) -> Vec<StageTime> {
        let ends = self.begun.iter().skip(1).map(|(_, begin)| *begin);
        let times = self.begun.iter().zip(ends.chain([now]));
        times
            .map(|((stage, begin), end)| StageTime {
                name: stage.name().to_owned(),
                begins_seconds: begin.as_secs_f64(),
                seconds: end.saturating_sub(*begin).as_secs_f64(),
            })
            .collect()
    }

    fn take(&mut self, line: &str, now: Duration) {
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
        if stage > self.stage {
            self.stage = stage;
            self.begun.push((stage, now));
        }
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

    const LOG: [(&str, Stage, u64); 10] = [
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
    ];

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn time(name: &str, begins_seconds: f64, seconds: f64) -> StageTime {
        StageTime {
            name: name.to_owned(),
            begins_seconds,
            seconds,
        }
    }

    #[test]
    fn a_distributed_build_goes_through_its_stages() {
        let mut reader = StageReader::new("x", &Silent, None, at(0));
        for (line, stage, objects) in LOG {
            reader.take(line, at(0));
            assert_eq!((reader.stage, reader.objects), (stage, objects), "{line}");
        }
    }

    #[test]
    fn a_stage_takes_from_its_first_line_to_that_of_the_next() {
        let mut reader = StageReader::new("x", &Silent, None, at(2));
        assert_eq!(reader.times(at(3)), [time("configure", 2.0, 1.0)]);

        for (number, (line, _, _)) in (0..).zip(LOG) {
            reader.take(line, at(10 + number));
        }

        assert_eq!(
            reader.times(at(60)),
            [
                time("configure", 2.0, 8.0),
                time("prepare", 10.0, 2.0),
                time("compile", 12.0, 3.0),
                time("thin link", 15.0, 1.0),
                time("back end", 16.0, 1.0),
                time("link vmlinux.o", 17.0, 1.0),
                time("modpost", 18.0, 1.0),
                time("link vmlinux", 19.0, 41.0),
            ]
        );
    }

    /// With many jobs, lines of two stages come in turns.
    #[test]
    fn a_stage_that_comes_again_is_still_over() {
        let mut reader = StageReader::new("x", &Silent, None, at(0));
        for (second, line) in [
            (1, "  CC      init/main.o"),
            (2, "  HOSTCC  scripts/mod/file2alias.o"),
            (3, "  CC      lib/crc32.o"),
            (4, "  MODPOST Module.symvers"),
            (5, "  CC [M]  lib/test.o"),
        ] {
            reader.take(line, at(second));
        }

        assert_eq!(
            reader.times(at(9)),
            [
                time("configure", 0.0, 1.0),
                time("compile", 1.0, 3.0),
                time("modpost", 4.0, 5.0),
            ]
        );
    }
}
