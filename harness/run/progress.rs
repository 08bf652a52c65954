//! Shows how far a build has come: a bar on a terminal, plain lines elsewhere.
//! Reads kbuild's quiet output, `  CC      init/main.o`.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::build::process::LogTail;

/// Prints a line to standard error. That nobody reads it is no reason to stop, or
/// to fail: `eprintln!` would panic there, which `git bisect` takes for a bad commit.
pub fn say(line: impl Display) {
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// How many units of work of several cells are done: a bar on a terminal, plain lines
/// elsewhere.
#[derive(Debug)]
pub struct Units {
    bar: Option<ProgressBar>,
}

impl Units {
    /// Begins to show `expected` units.
    #[must_use]
    pub fn start(expected: usize) -> Units {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(expected as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:24} {pos}/{len} {msg} {elapsed}")
            {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        Units { bar }
    }

    /// One unit of a cell is done.
    pub fn done(&self, cell: &str, what: &str) {
        match &self.bar {
            Some(bar) => {
                bar.inc(1);
                bar.set_message(format!("{cell} {what}"));
            }
            None => say(format_args!("{cell}: {what} done")),
        }
    }

    /// Ends the display.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

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

/// The progress of one cell.
#[derive(Debug)]
pub struct Progress {
    cell: String,
    bar: Option<ProgressBar>,
    stage: Stage,
    /// Objects compiled, in both passes.
    done: u64,
    expected: Option<u64>,
    /// When the next plain line is due, in the time of the running step.
    next_line: Duration,
}

/// How often a plain line says that a long stage goes on.
const LINE_EVERY: Duration = Duration::from_secs(30);

impl Progress {
    /// Begins to show a cell; `expected` is how many objects the accepted
    /// snapshot says will be compiled.
    #[must_use]
    pub fn start(cell: &str, expected: Option<u64>) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = expected.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
            let template = match expected {
                Some(_) => "{prefix} {bar:24} {pos}/{len} {msg} {elapsed}",
                None => "{prefix} {spinner} {pos} objects, {msg} {elapsed}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(200));
            bar.with_prefix(cell.to_owned())
        });
        let progress = Progress {
            cell: cell.to_owned(),
            bar,
            stage: Stage::Configure,
            done: 0,
            expected,
            next_line: LINE_EVERY,
        };
        progress.show_stage();
        progress
    }

    /// Takes in what is new in the log.
    pub fn tick(&mut self, tail: &LogTail<'_>) {
        for line in tail.lines {
            self.take(line);
        }
        if self.bar.is_none() && tail.elapsed >= self.next_line {
            self.next_line = tail.elapsed + LINE_EVERY;
            self.show_stage();
        }
        if let Some(bar) = &self.bar {
            bar.set_position(self.done);
        }
    }

    /// Ends the display; what became of the cell is for the report to say.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
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
            self.done += 1;
        }
        if stage > self.stage {
            self.stage = stage;
            self.show_stage();
        }
    }

    fn show_stage(&self) {
        match (&self.bar, self.expected) {
            (Some(bar), _) => bar.set_message(self.stage.name()),
            (None, Some(expected)) => say(format_args!(
                "{}: {} ({} of about {expected} objects)",
                self.cell,
                self.stage.name(),
                self.done
            )),
            (None, None) => say(format_args!(
                "{}: {} ({} objects)",
                self.cell,
                self.stage.name(),
                self.done
            )),
        }
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

    #[test]
    fn a_distributed_build_goes_through_its_stages() {
        let mut progress = Progress {
            cell: "x".to_owned(),
            bar: None,
            stage: Stage::Configure,
            done: 0,
            expected: None,
            next_line: LINE_EVERY,
        };
        for (line, stage, done) in [
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
            progress.take(line);
            assert_eq!((progress.stage, progress.done), (stage, done), "{line}");
        }
    }
}
