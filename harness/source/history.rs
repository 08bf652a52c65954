//! The commits between points of a history, as git has them.

use std::collections::{BTreeMap, BTreeSet};

use super::commit::Commit;
use super::git::Git;
use crate::model::bisect::CommitRecord;
use crate::model::error::Error;

/// The commits that one has in its history and others do not have.
#[derive(Debug)]
pub struct Range {
    /// Parents before children; the last is the one that was asked for.
    pub commits: Vec<InRange>,
}

/// A commit of a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InRange {
    /// Its number, in full.
    pub id: String,
    /// Its parents by their places in the range, in git's order; `None` for one outside of it.
    pub parents: Vec<Option<usize>>,
    /// The files that differ from its first parent's, from the top of the tree.
    pub files: Vec<String>,
    /// Whether it changes one of the paths that were asked for, in the way in which
    /// `git log --full-history` tells it.
    pub is_of_paths: bool,
}

/// What to list.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    pub good: &'a [Commit],
    pub bad: &'a Commit,
    /// Of a merge, only its first parent counts.
    pub first_parent: bool,
    /// Pathspecs; all paths if there is none.
    pub paths: &'a [String],
}

impl Range {
    /// Lists the commits of `bad` that no good one has.
    ///
    /// # Errors
    /// [`Error::Usage`] if there is none, or the paths are none that git takes; otherwise if git
    /// fails.
    pub fn list(git: &Git, wanted: Wanted<'_>) -> Result<Range, Error> {
        let listed = rev_list(
            git,
            wanted,
            &["--topo-order", "--reverse", "--parents"],
            &[],
        )?;
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        let mut commits: Vec<InRange> = Vec::new();
        let mut files = changed(git, &listed)?;
        let of_paths = match wanted.paths {
            [] => None,
            paths => {
                let listed = rev_list(git, wanted, &["--full-history"], paths)?;
                Some(listed.lines().map(str::to_owned).collect::<BTreeSet<_>>())
            }
        };
        for line in listed.lines() {
            let mut ids = line.split(' ');
            let Some(id) = ids.next() else { continue };
            let most = if wanted.first_parent { 1 } else { usize::MAX };
            places.insert(id, commits.len());
            commits.push(InRange {
                id: id.to_owned(),
                parents: ids.take(most).map(|id| places.get(id).copied()).collect(),
                files: files.remove(id).unwrap_or_default(),
                is_of_paths: of_paths.as_ref().is_none_or(|of| of.contains(id)),
            });
        }
        Ok(Range { commits })
    }
}

fn rev_list(
    git: &Git,
    wanted: Wanted<'_>,
    options: &[&str],
    paths: &[String],
) -> Result<String, Error> {
    let mut args = vec!["rev-list"];
    args.extend(options);
    args.extend(wanted.first_parent.then_some("--first-parent"));
    let without: Vec<String> = wanted.good.iter().map(|c| format!("^{}", c.id())).collect();
    args.push(wanted.bad.id());
    args.extend(without.iter().map(String::as_str));
    args.push("--");
    args.extend(paths.iter().map(String::as_str));
    let answer = git.ask(args)?;
    match answer.is_success {
        true => Ok(answer.text()),
        false => Err(Error::Usage(format!(
            "{}: git cannot list the commits: {}\n  check the paths after '--', and the repository with: git -C {} fsck",
            git.dir().display(),
            answer.complaint(),
            git.dir().display()
        ))),
    }
}

/// By the number of a commit, the files that differ from its first parent's.
fn changed(git: &Git, listed: &str) -> Result<BTreeMap<String, Vec<String>>, Error> {
    let ids = listed.lines().filter_map(|line| line.split(' ').next());
    let ids: Vec<u8> = ids.flat_map(|id| [id.as_bytes(), b"\n"].concat()).collect();
    let args = [
        "diff-tree",
        "--stdin",
        "--root",
        "--raw",
        "-r",
        "-z",
        "--no-renames",
        "--diff-merges=first-parent",
    ];
    let answer = git.succeed(&git.command(args).input(ids))?;
    let mut files: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut of = String::new();
    let mut fields = answer.stdout.split(|byte| *byte == 0);
    while let Some(field) = fields.next() {
        // A line of the raw format, then the path; otherwise the number of the next commit.
        match field.first() {
            Some(b':') => {
                let path = String::from_utf8_lossy(fields.next().unwrap_or_default());
                files.entry(of.clone()).or_default().push(path.into_owned());
            }
            Some(_) => String::from_utf8_lossy(field).trim().clone_into(&mut of),
            None => {}
        }
    }
    Ok(files)
}

/// What reports say of a commit.
///
/// # Errors
/// If git fails.
pub fn describe(git: &Git, id: &str) -> Result<CommitRecord, Error> {
    let format = "--format=%s%x00%an <%ae>%x00%aI";
    let shown = git.run(["show", "--no-patch", "--no-show-signature", format, id])?;
    let text = shown.text();
    let mut fields = text.split('\0').map(str::to_owned);
    let mut next = || fields.next().unwrap_or_default();
    Ok(CommitRecord {
        commit: id.to_owned(),
        subject: next(),
        author: next(),
        date: next(),
    })
}

/// The nearest commits that `one` and `other` both have in their histories.
///
/// # Errors
/// If git fails.
pub fn merge_bases(git: &Git, one: &Commit, other: &Commit) -> Result<Vec<Commit>, Error> {
    let answer = git.ask(["merge-base", "--all", one.id(), other.id()])?;
    match (answer.is_success, answer.stderr.is_empty()) {
        (true, _) => answer
            .text()
            .lines()
            .map(|id| Commit::find(git, id))
            .collect(),
        // It says nothing where there is none.
        (false, true) => Ok(Vec::new()),
        (false, false) => Err(Error::Machine(format!(
            "{}: git cannot find what {} and {} have in common: {}\n  check the repository with: git -C {} fsck",
            git.dir().display(),
            one.short(),
            other.short(),
            answer.complaint(),
            git.dir().display()
        ))),
    }
}

#[cfg(test)]
mod tests;
