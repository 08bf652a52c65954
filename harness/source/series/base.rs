//! The commit that a series belongs on: what the user says, what the mail says, or what the
//! patches themselves show.

use std::collections::BTreeMap;

use super::form::FileChange;
use crate::model::error::Error;
use crate::source::commit::Commit;
use crate::source::git::Git;

/// How many release tags are tried.
const TAGS: usize = 12;
/// How many commits that touch the files of a series are looked at.
const HISTORY: usize = 400;

/// What a series says of its base.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Of its `base-commit:` line.
    pub commit: Option<String>,
    /// The patch ids of its `prerequisite-patch-id:` lines.
    pub prerequisites: Vec<String>,
    /// What its patches change, in their order.
    pub changes: Vec<FileChange>,
}

/// The commit that was chosen.
#[derive(Debug)]
pub struct Base {
    pub commit: Commit,
    /// Why this one: completes "on COMMIT, ".
    pub why: String,
    /// What was tried first and did not do, a sentence each.
    pub passed_over: Vec<String>,
}

/// Finds the base: what `--base` gives; else `base-commit:`, with its prerequisites; else the
/// commit that has the contents which the patches name; else the nearest release that the
/// series applies to; else HEAD. `applies` tries it.
///
/// # Errors
/// [`Error::Usage`] if `given` names no commit; otherwise if git fails.
pub fn find(
    git: &Git,
    given: Option<&str>,
    wanted: &Wanted,
    applies: &mut dyn FnMut(&Commit) -> Result<bool, Error>,
) -> Result<Base, Error> {
    let mut passed_over = Vec::new();
    let chosen = |commit, why: &str, passed_over| {
        Ok(Base {
            commit,
            why: why.to_owned(),
            passed_over,
        })
    };
    if let Some(given) = given {
        let commit = Commit::find(git, given)?;
        return chosen(commit, "which --base names", passed_over);
    }
    if let Some(named) = &wanted.commit {
        match named_by_mail(git, named, wanted, applies)? {
            Ok((commit, why)) => return chosen(commit, why, passed_over),
            Err(why) => passed_over.push(why),
        }
    }
    let head = Commit::find(git, "HEAD")?;
    let contents = preimages(&wanted.changes);
    if !contents.is_empty()
        && let Some(commit) = with_contents(git, &head, &contents)?
        && applies(&commit)?
    {
        let why = match commit.id() == head.id() {
            true => "HEAD, which has the contents that the patches name",
            false => "the newest commit with the contents that the patches name",
        };
        return chosen(commit, why, passed_over);
    }
    for tag in release_tags(git, &head)? {
        let commit = Commit::find(git, &tag)?;
        if applies(&commit)? {
            let why = format!("the nearest release that it applies to, {tag}");
            return chosen(commit, &why, passed_over);
        }
    }
    chosen(head, "HEAD, as nothing else was found", passed_over)
}

/// The commit of a `base-commit:` line; on it the prerequisites, if the repository has them.
fn named_by_mail(
    git: &Git,
    named: &str,
    wanted: &Wanted,
    applies: &mut dyn FnMut(&Commit) -> Result<bool, Error>,
) -> Result<Result<(Commit, &'static str), String>, Error> {
    let short: String = named.chars().take(12).collect();
    let is_id = named.len() >= 40 && named.bytes().all(|b| b.is_ascii_hexdigit());
    let found = is_id.then(|| Commit::find(git, named));
    let Some(Ok(commit)) = found else {
        return Ok(Err(format!(
            "the series names the base {short}, which this repository does not have"
        )));
    };
    if let Some(last) = wanted.prerequisites.last() {
        let with = with_patch(git, &commit, last)?;
        if let Some(with) = with
            && applies(&with)?
        {
            let why = "the last of the patches that the series says it needs";
            return Ok(Ok((with, why)));
        }
        if !applies(&commit)? {
            return Ok(Err(format!(
                "the series needs other patches on {short}, which this repository does not have"
            )));
        }
    }
    Ok(Ok((commit, "which its base-commit line names")))
}

/// The commit on top of `base`, in any branch, that makes the change with this patch id.
fn with_patch(git: &Git, base: &Commit, patch_id: &str) -> Result<Option<Commit>, Error> {
    let not_base = format!("^{}", base.id());
    let count = format!("--max-count={HISTORY}");
    let log = [
        "log",
        "-p",
        "--no-merges",
        "--full-index",
        &count,
        "--all",
        &not_base,
    ];
    let log = git.run(log)?.stdout;
    let ids = git.command(["patch-id", "--stable"]).input(log);
    let ids = git.succeed(&ids)?.text();
    let mut pairs = ids.lines().filter_map(|line| line.split_once(' '));
    let commit = pairs
        .find(|(id, _)| *id == patch_id)
        .map(|(_, commit)| commit);
    commit.map(|id| Commit::find(git, id)).transpose()
}

/// The contents that files must have before the series: paths, and the first digits of blobs.
fn preimages(changes: &[FileChange]) -> BTreeMap<&str, &str> {
    let mut contents = BTreeMap::new();
    let mut touched = Vec::new();
    for change in changes {
        let before = change.from.as_deref().unwrap_or(&change.path);
        // Later patches name what earlier ones made.
        if !touched.contains(&before)
            && let Some(blob) = &change.blob
        {
            contents.insert(before, blob.as_str());
        }
        touched.extend([before, change.path.as_str()]);
    }
    contents
}

/// The newest commit in the history of `head` in which the files have these contents.
fn with_contents(
    git: &Git,
    head: &Commit,
    contents: &BTreeMap<&str, &str>,
) -> Result<Option<Commit>, Error> {
    let has = |tree: &str| -> Result<bool, Error> {
        let args = ["ls-tree", "-r", "-z", "--full-tree", tree, "--"];
        let command = git
            .command(["--literal-pathspecs"].into_iter().chain(args))
            .args(contents.keys().copied());
        let answer = git.finish(&command)?;
        let listed = String::from_utf8_lossy(&answer.stdout).into_owned();
        let here: BTreeMap<&str, &str> = listed
            .split('\0')
            .filter_map(|entry| {
                let (head, path) = entry.split_once('\t')?;
                Some((path, head.split(' ').nth(2)?))
            })
            .collect();
        let same = |(path, blob): (&&str, &&str)| {
            here.get(path).is_some_and(|here| here.starts_with(*blob))
        };
        Ok(answer.is_success && contents.iter().all(same))
    };
    if has(head.id())? {
        return Ok(Some(Commit::find(git, head.id())?));
    }
    // The contents change only where one of the files is touched. What HEAD does not have can
    // be in a branch.
    let count = format!("--max-count={HISTORY}");
    let args = [
        "log",
        "--format=%H",
        "--branches",
        "--remotes",
        "HEAD",
        &count,
        "--",
    ];
    let command = git
        .command(["--literal-pathspecs"].into_iter().chain(args))
        .args(contents.keys().copied());
    for commit in git.succeed(&command)?.text().lines() {
        if has(commit)? {
            return Ok(Some(Commit::find(git, commit)?));
        }
    }
    Ok(None)
}

/// The release tags in the history of `head`, the newest first; those of other histories after
/// them.
fn release_tags(git: &Git, head: &Commit) -> Result<Vec<String>, Error> {
    let list = |option: &str| -> Result<Vec<String>, Error> {
        let option = format!("--{option}={}", head.id());
        let args = [
            "for-each-ref",
            "--sort=-version:refname",
            &option,
            "--format=%(refname:strip=2)",
        ];
        let listed = git.run(args.into_iter().chain(["refs/tags/v[0-9]*"]))?;
        Ok(listed.text().lines().map(str::to_owned).collect())
    };
    let mut tags = list("merged")?;
    tags.extend(list("no-merged")?);
    tags.truncate(TAGS);
    Ok(tags)
}

#[cfg(test)]
mod tests;
