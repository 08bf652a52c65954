//! A series as commits in a row on its base, whether it came by mail or is a range of commits.

use super::apply::{OwnRepository, Patch, Rejected};
use super::base::{self, Base, Wanted};
use super::form::{self, FileChange, Refused};
use super::hunk::{self, Piece};
use super::mail::{Mail, one_line};
use super::thread::Series;
use crate::model::error::Error;
use crate::model::series::{BaseRecord, PatchRecord};
use crate::source::commit::{Commit, changed_between};
use crate::source::git::Git;
use crate::source::sources::Sources;

/// A series as commits.
#[derive(Debug)]
pub struct Commits {
    /// The repository of klto's own that has them, in which a worktree can be made.
    pub git: Git,
    pub base: BaseRecord,
    /// In order.
    pub patches: Vec<PatchRecord>,
    /// What there is to say about the base and the patches, a sentence each.
    pub notes: Vec<String>,
}

impl Commits {
    /// Applies a series that came by mail in klto's own repository.
    ///
    /// # Errors
    /// [`Error::Usage`] if a patch has a form that no kernel patch has, or the base is not there;
    /// [`Error::Machine`] if a patch does not apply.
    pub fn of_mail(
        git: &Git,
        series: &Series,
        given: Option<&str>,
        own: &OwnRepository,
    ) -> Result<Commits, Error> {
        let refuse = |what: String| {
            Error::Usage(format!(
                "{what}\n  klto applies only what it can show; if the patch is right, apply it in a branch and judge that with --range"
            ))
        };
        form::check_length(series.patches.len()).map_err(|refused| refuse(refused.to_string()))?;
        let mut changes: Vec<Vec<FileChange>> = Vec::new();
        for (number, mail) in (1..).zip(&series.patches) {
            let of_patch = form::changes(&mail.patch);
            changes.push(of_patch.map_err(|refused| {
                let title = mail.title.escape_debug();
                refuse(format!("patch {number} ('{title}') is refused: {refused}"))
            })?);
        }
        let mboxes: Vec<Vec<u8>> = series.patches.iter().map(Mail::mboxrd).collect();
        let patches: Vec<Patch<'_>> = std::iter::zip(&series.patches, &changes)
            .zip(&mboxes)
            .map(|((mail, changes), mbox)| Patch {
                mail: mbox,
                diff: &mail.patch,
                changes,
            })
            .collect();
        let wanted = Wanted {
            commit: series.base_commit.clone(),
            prerequisites: series.prerequisite_patches.clone(),
            changes: changes.concat(),
        };
        let base = base::find(git, given, &wanted, &mut |commit| {
            own.start(commit.id())?;
            for patch in &patches {
                if own.apply(*patch)?.is_err() {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        own.start(base.commit.id())?;
        let mut records = Vec::new();
        for (number, (mail, patch)) in (1..).zip(std::iter::zip(&series.patches, &patches)) {
            let applied = own.apply(*patch)?;
            let applied = applied.map_err(|rejected| {
                let of = series.patches.len();
                not_applied(
                    &format!("patch {number} of {of}"),
                    &mail.title,
                    &base,
                    &rejected,
                )
            })?;
            records.push(PatchRecord {
                number,
                title: mail.title.clone(),
                message_id: mail.message_id.clone(),
                patch_id: patch_id(git, &mail.patch)?,
                commit: applied.commit,
                files: files(patch.changes),
                is_merged: applied.is_merged,
            });
        }
        Ok(Commits {
            git: own.git().clone(),
            base: base_record(&base.commit, &base.why)?,
            patches: records,
            notes: base.passed_over,
        })
    }

    /// The commits of a range, `A..B`; klto's own repository has them, too.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is no range of commits in a row.
    pub fn of_range(git: &Git, range: &str, own: &OwnRepository) -> Result<Commits, Error> {
        let ends = range
            .split_once("..")
            .filter(|(from, to)| !from.is_empty() && !to.is_empty() && !to.starts_with('.'));
        let Some((from, to)) = ends else {
            return Err(Error::Usage(format!(
                "--range: expected A..B, found '{}'\n  name the commit before the first patch and the last one, as in v7.2..HEAD",
                range.escape_debug()
            )));
        };
        let (from, to) = (Commit::find(git, from)?, Commit::find(git, to)?);
        let commits = OwnRepository::commits(git, &from, &to)?;
        form::check_length(commits.len())
            .map_err(|refused| Error::Usage(format!("--range: {refused}\n  judge it in parts")))?;
        let mut patches: Vec<PatchRecord> = Vec::new();
        for (number, commit) in (1..).zip(commits) {
            let before = patches.last().map_or(from.id(), |before| &before.commit);
            let files = changed_between(git, before, &commit)?;
            let show = ["show", "--format=", "--no-renames", "--full-index", &commit];
            let diff = git.run(show)?.stdout;
            let title = git.run(["show", "--no-patch", "--format=%s", &commit])?;
            patches.push(PatchRecord {
                number,
                title: one_line(&title.text()),
                message_id: String::new(),
                patch_id: patch_id(git, &diff)?,
                commit,
                files,
                is_merged: false,
            });
        }
        Ok(Commits {
            git: own.git().clone(),
            base: base_record(&from, "where the range begins")?,
            patches,
            notes: Vec::new(),
        })
    }

    /// The places that a patch changes, in order; or why it cannot be cut into places.
    ///
    /// # Errors
    /// If git fails.
    pub fn pieces(&self, patch: &PatchRecord) -> Result<Result<Vec<Piece>, Refused>, Error> {
        let before = match patch.number.checked_sub(2) {
            Some(before) => &self.patches[before].commit,
            None => &self.base.commit,
        };
        let changes = changes_between(&self.git, before, &patch.commit)?;
        Ok(changes.map(|changes| changes.iter().flat_map(hunk::pieces).collect()))
    }

    /// The commits: the base, then one for each patch.
    ///
    /// # Errors
    /// If git fails.
    pub fn all(&self) -> Result<Vec<Commit>, Error> {
        let patches = self.patches.iter().map(|patch| patch.commit.as_str());
        let ids = [self.base.commit.as_str()].into_iter().chain(patches);
        ids.map(|id| Commit::find(&self.git, id)).collect()
    }
}

/// The places in which a commit differs from another, in order, to be taken out together; or why
/// that cannot be cut into places.
///
/// # Errors
/// If git fails.
pub fn pieces_between(
    git: &Git,
    before: &str,
    after: &str,
) -> Result<Result<Vec<Piece>, Refused>, Error> {
    let changes = changes_between(git, before, after)?.map(|changes| {
        let pieces = changes.iter().flat_map(hunk::pieces_without_context);
        pieces.collect()
    });
    Ok(changes)
}

fn changes_between(
    git: &Git,
    before: &str,
    after: &str,
) -> Result<Result<Vec<FileChange>, Refused>, Error> {
    let args = ["diff-tree", "-p", "--unified=3", "--no-renames"];
    let diff = git.run(args.into_iter().chain([before, after]))?.stdout;
    Ok(form::changes(&diff))
}

/// What `git patch-id --stable` tells of a patch; empty if it has no change.
///
/// # Errors
/// If git fails.
pub fn patch_id(git: &Git, diff: &[u8]) -> Result<String, Error> {
    let command = git.command(["patch-id", "--stable"]);
    let answer = git.succeed(&command.input(diff.to_vec()))?.text();
    Ok(answer.split(' ').next().unwrap_or_default().to_owned())
}

fn base_record(commit: &Commit, why: &str) -> Result<BaseRecord, Error> {
    let again = Commit::find(commit.git(), commit.id())?;
    Ok(BaseRecord {
        commit: commit.id().to_owned(),
        kernel: Sources::of_commit(again)?.version().to_owned(),
        why: why.to_owned(),
    })
}

/// The files that a patch changes, each once.
fn files(changes: &[FileChange]) -> Vec<String> {
    let mut files: Vec<String> = Vec::new();
    for change in changes {
        for path in change.from.iter().chain([&change.path]) {
            if !files.contains(path) {
                files.push(path.clone());
            }
        }
    }
    files
}

fn not_applied(which: &str, title: &str, base: &Base, rejected: &Rejected) -> Error {
    let mut text = format!(
        "{which} ('{}') does not apply to {}, {}: {}",
        title.escape_debug(),
        base.commit.short(),
        base.why,
        rejected.why
    );
    if let Some((path, hunk)) = &rejected.hunk {
        text.push_str(&format!("\n  this part of {path} does not fit:"));
        for line in hunk.text.lines() {
            let line: String = line
                .chars()
                .filter(|c| *c == '\t' || !c.is_control())
                .collect();
            text.push_str(&format!("\n    {line}"));
        }
    }
    text.push_str("\n  name the commit that it was made on with --base");
    Error::Machine(text)
}
