//! Tests commits by a command of the user's, as `git bisect run` does.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Clean, Confirms, Oracle, test_each};
use crate::build::process::{Cancel, Command, Exit, run_logged};
use crate::judge::bisect::sought::Tested;
use crate::model::bisect::Verdict;
use crate::model::error::Error;
use crate::source::commit::Commit;
use crate::source::git::FOREIGN;
use crate::source::worktree::Worktree;

/// Runs a command in a worktree of klto's own, at each commit.
#[derive(Debug)]
pub struct CommandOracle<'a> {
    pub worktree: &'a Worktree,
    /// For `sh -c`.
    pub command: String,
    pub log: PathBuf,
    pub timeout: Duration,
    pub cancel: &'a Cancel,
}

impl Oracle for CommandOracle<'_> {
    /// Whatever it reads.
    fn reads(&self, _: &str) -> bool {
        true
    }

    fn test(&self, commit: &Commit) -> Result<Tested, Error> {
        self.worktree.check_out(commit)?;
        let command = Command::new("sh")
            .args(["-c", &self.command])
            .cwd(self.worktree.dir());
        // What leads git elsewhere, as in a hook, would lead it to the user's repository.
        let command = FOREIGN
            .iter()
            .fold(command, |command, name| command.env_remove(*name));
        let deadline = Instant::now().checked_add(self.timeout);
        let ended = run_logged(&command, &self.log, deadline, self.cancel, &mut |_| {
            ControlFlow::Continue(())
        })?;
        let exit = ended.exit;
        let (verdict, why) = match exit {
            Exit::Success => (Verdict::Good, "the command exited 0".to_owned()),
            Exit::Code(125) => (Verdict::Unknown, "the command exited 125".to_owned()),
            Exit::Code(code @ 1..=127) => (Verdict::Bad, format!("the command exited {code}")),
            Exit::Code(_) | Exit::Signal(_) => {
                return Err(Error::Machine(format!(
                    "the command failed at {}: {exit}; its output is in {}\n  as for 'git bisect run', 0 is good, 125 is inconclusive, 1 to 127 is bad, and more ends the search",
                    commit.short(),
                    self.log.display()
                )));
            }
            Exit::TimedOut => (Verdict::Unknown, "the command ran out of time".to_owned()),
            Exit::Cancelled | Exit::Stopped => return Err(Error::Cancelled),
        };
        Ok(Tested {
            verdict,
            why,
            others: Vec::new(),
            job: commit.tree().to_owned(),
            reused: false,
            machine_failed: false,
        })
    }

    /// What a command builds is not known.
    fn share(&self, _: &str) -> f64 {
        0.0
    }

    fn trees(&self) -> usize {
        0
    }
}

impl Confirms for CommandOracle<'_> {
    fn test_clean(
        &self,
        commits: &[Commit],
        on: &mut dyn FnMut(Clean) -> Result<(), Error>,
    ) -> Result<(), Error> {
        test_each(commits, on, |commit| self.test(commit))
    }
}
