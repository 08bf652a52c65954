//! A commit of a kernel, read out of git's objects: no file is checked out for it.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::OnceLock;

use super::git::{Answer, Git};
use crate::model::error::Error;

/// How many blobs one call of git returns: more would only take memory.
pub const AT_ONCE: usize = 1000;

/// How many digits of a commit's number names and messages have.
pub const SHORT: usize = 12;

/// A commit and its tree of files.
#[derive(Debug, Clone)]
pub struct Commit {
    git: Git,
    /// As the user named it.
    rev: String,
    id: String,
    tree: String,
    files: OnceLock<BTreeMap<String, Blob>>,
}

/// A file of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub id: String,
    pub kind: Kind,
}

/// What git knows of a file besides its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Plain,
    Executable,
    /// A symbolic link; the content is where it leads.
    Link,
}

/// The paths that have another content, or another kind, in one commit than in another; the old
/// and the new one of what was renamed.
///
/// # Errors
/// If git fails.
pub fn changed_between(git: &Git, earlier: &str, later: &str) -> Result<Vec<String>, Error> {
    let args = ["diff-tree", "-r", "-z", "--name-only", "--no-renames"];
    let names = git.run(args.into_iter().chain([earlier, later]))?.stdout;
    let names = String::from_utf8_lossy(&names).into_owned();
    Ok(names.split_terminator('\0').map(str::to_owned).collect())
}

impl Commit {
    /// The commit that `rev` names, in any way that git understands.
    ///
    /// # Errors
    /// [`Error::Usage`] if it names none or more than one thing, or something else.
    pub fn find(git: &Git, rev: &str) -> Result<Commit, Error> {
        let usage = |what: &str| Err(Error::Usage(format!("{}: {what}", git.dir().display())));
        if rev.is_empty() || rev.starts_with('-') || rev.contains(char::is_control) {
            return usage(&format!(
                "'{}' cannot name a commit\n  give a branch, a tag or a commit's number",
                rev.escape_debug()
            ));
        }
        let whole = format!("{rev}^{{commit}}");
        let answer = git.ask(["rev-parse", "--verify", &whole])?;
        if answer.stderr.contains("is ambiguous") {
            return usage(&format!(
                "'{rev}' names more than one thing:{}\n  give one of them whole",
                candidates(git, rev, &answer)?
            ));
        }
        let id = answer.text();
        // klto asks its own repository only for commits that the user's had.
        if git.is_borrowing() && answer.lacks_objects() {
            return Err(lacks_objects(git, rev, &answer.complaint())?);
        }
        if !answer.is_success || !is_id(&id) {
            return Err(not_found(git, rev, &answer)?);
        }
        let tree = git.ask(["rev-parse", "--verify", &format!("{id}^{{tree}}")])?;
        if !tree.is_success || !is_id(&tree.text()) {
            return Err(lacks_objects(git, &id, &tree.complaint())?);
        }
        Ok(Commit {
            git: git.clone(),
            rev: rev.to_owned(),
            id,
            tree: tree.text(),
            files: OnceLock::new(),
        })
    }

    /// The repository that it is in.
    #[must_use]
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// As the user named it.
    #[must_use]
    pub fn rev(&self) -> &str {
        &self.rev
    }

    /// Its number, in full.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The number of its tree: the same for the same files.
    #[must_use]
    pub fn tree(&self) -> &str {
        &self.tree
    }

    /// The first digits of its number.
    #[must_use]
    pub fn short(&self) -> &str {
        self.id.get(..SHORT).unwrap_or(&self.id)
    }

    /// All its files by their paths, but for submodules and names that are not UTF-8.
    ///
    /// # Errors
    /// [`Error::Lacks`] if the clone lacks objects, [`Error::Usage`] if a path leads out of the
    /// tree, which no checkout allows either.
    pub fn files(&self) -> Result<&BTreeMap<String, Blob>, Error> {
        if let Some(files) = self.files.get() {
            return Ok(files);
        }
        let listed = self.list(&[])?;
        Ok(self.files.get_or_init(|| listed))
    }

    /// The content of those of these files that are there.
    ///
    /// # Errors
    /// As [`Commit::files`].
    pub fn read_some(&self, paths: &[&str]) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let files = self.list(paths)?;
        let ids: Vec<&str> = files.values().map(|blob| blob.id.as_str()).collect();
        let contents = self.contents(&ids)?;
        Ok(files.into_keys().zip(contents).collect())
    }

    /// The contents of blobs, in their order.
    ///
    /// # Errors
    /// [`Error::Lacks`] if the clone lacks one.
    pub fn contents(&self, ids: &[&str]) -> Result<Vec<Vec<u8>>, Error> {
        let mut contents = Vec::with_capacity(ids.len());
        for ids in ids.chunks(AT_ONCE) {
            let input = ids.iter().flat_map(|id| [id.as_bytes(), b"\n"]).flatten();
            let command = self
                .git
                .command(["cat-file", "--batch", "--buffer"])
                .input(input.copied().collect::<Vec<u8>>());
            let answer = self.git.succeed(&command)?;
            let mut rest = answer.stdout.as_slice();
            for id in ids {
                let Some((content, after)) = next_blob(rest, id) else {
                    let missing = format!("the blob {id} cannot be read; {}", answer.complaint());
                    return Err(lacks_objects(
                        &self.git,
                        &self.id,
                        missing.trim_end_matches("; "),
                    )?);
                };
                contents.push(content.to_vec());
                rest = after;
            }
        }
        Ok(contents)
    }

    fn list(&self, paths: &[&str]) -> Result<BTreeMap<String, Blob>, Error> {
        let args = ["ls-tree", "-r", "-z", "--full-tree", &self.tree, "--"];
        let answer = self
            .git
            .ask(args.into_iter().chain(paths.iter().copied()))?;
        if !answer.is_success {
            return Err(lacks_objects(&self.git, &self.id, &answer.complaint())?);
        }
        let entries = answer.stdout.split(|byte| *byte == 0);
        let files: BTreeMap<String, Blob> = entries.filter_map(entry).collect();
        match unsafe_path(&files) {
            None => Ok(files),
            Some(path) => Err(Error::Usage(format!(
                "{}: the commit {} has a file '{}', which no checkout can have\n  give another commit",
                self.git.dir().display(),
                self.short(),
                path.escape_debug()
            ))),
        }
    }
}

impl fmt::Display for Commit {
    /// Where it is, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.git.dir().display(), self.short())
    }
}

/// One entry of `ls-tree -z`: mode, type and number, a tab, the path.
fn entry(entry: &[u8]) -> Option<(String, Blob)> {
    let (head, path) = std::str::from_utf8(entry).ok()?.split_once('\t')?;
    let mut head = head.split(' ');
    let kind = match head.next()? {
        "100644" | "100664" => Kind::Plain,
        "100755" => Kind::Executable,
        "120000" => Kind::Link,
        // A submodule is an empty folder.
        _ => return None,
    };
    let id = head.nth(1)?.to_owned();
    Some((path.to_owned(), Blob { id, kind }))
}

/// Splits the first blob, which must be `id`, from the answer of `cat-file --batch`.
fn next_blob<'a>(answer: &'a [u8], id: &str) -> Option<(&'a [u8], &'a [u8])> {
    let end = memchr::memchr(b'\n', answer)?;
    let head = std::str::from_utf8(answer.get(..end)?).ok()?;
    let len = head
        .strip_prefix(id)?
        .strip_prefix(" blob ")?
        .parse()
        .ok()?;
    let rest = answer.get(end + 1..)?;
    let (content, rest) = rest.split_at_checked(len)?;
    Some((content, rest.strip_prefix(b"\n")?))
}

/// A path that leads out of the tree or into git's own files, or through another file.
fn unsafe_path(files: &BTreeMap<String, Blob>) -> Option<&str> {
    let is_unsafe =
        |part: &str| matches!(part, "" | "." | "..") || part.eq_ignore_ascii_case(".git");
    let mut folders = HashSet::new();
    for path in files.keys() {
        if path.split('/').any(is_unsafe) {
            return Some(path);
        }
        let mut folder = Path::new(path).parent();
        while let Some(above) = folder.filter(|folder| folders.insert(*folder)) {
            folder = above.parent();
        }
    }
    let path = files.keys().find(|path| folders.contains(Path::new(path)));
    path.map(String::as_str)
}

fn is_id(text: &str) -> bool {
    text.len() >= 40 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The things that an ambiguous name can mean, a line each.
fn candidates(git: &Git, rev: &str, answer: &Answer) -> Result<String, Error> {
    let refs = ["heads", "tags", "remotes"].map(|kind| format!("refs/{kind}/{rev}"));
    let args = ["for-each-ref", "--format=%(refname)"];
    let listed = git.ask(args.into_iter().chain(refs.iter().map(String::as_str)))?;
    let hints = answer.stderr.lines().filter_map(|line| {
        let line = line.strip_prefix("hint:")?.trim();
        line.split(' ')
            .next()
            .filter(|id| is_hex(id))
            .and(Some(line))
    });
    let listed = listed.text();
    let mut lines = listed.lines().chain(hints).peekable();
    Ok(match lines.peek() {
        Some(_) => lines.map(|line| format!("\n  {line}")).collect(),
        None => format!(" {}", answer.complaint()),
    })
}

fn is_hex(text: &str) -> bool {
    text.len() >= 4 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// The error for a name that is not the name of a commit.
fn not_found(git: &Git, rev: &str, answer: &Answer) -> Result<Error, Error> {
    let dir = git.dir().display();
    let kind = git.ask(["cat-file", "-t", rev])?;
    if kind.is_success {
        return Ok(Error::Usage(format!(
            "{dir}: '{rev}' is a {}, not a commit\n  give a branch, a tag or a commit's number",
            kind.text()
        )));
    }
    let said = answer.complaint();
    let remedy = if is_shallow(git)? {
        format!(
            "the clone is shallow and may lack it; get the whole history with: git -C {dir} fetch --unshallow"
        )
    } else if git.is_partial()? {
        format!("the clone is partial and may lack it; {}", git.refetch())
    } else {
        format!(
            "see 'git -C {dir} branch --all' and 'git -C {dir} tag'; to get newer commits: git -C {dir} fetch"
        )
    };
    Ok(Error::Usage(format!(
        "{dir}: '{rev}' names no commit of this repository (git says '{said}')\n  {remedy}"
    )))
}

/// The error for a commit with missing objects.
pub(in crate::source) fn lacks_objects(git: &Git, id: &str, said: &str) -> Result<Error, Error> {
    let short = id.get(..SHORT).unwrap_or(id);
    git.lacks(&format!("the commit {short}"), said)
}

fn is_shallow(git: &Git) -> Result<bool, Error> {
    let answer = git.ask(["rev-parse", "--is-shallow-repository"])?;
    Ok(answer.text() == "true")
}

#[cfg(test)]
mod tests;
