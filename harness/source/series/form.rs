//! The form of a patch, before anything is applied: which files it changes, and whether it is
//! one that no kernel patch has. A patch comes from a stranger, so what could lead a tool out
//! of the tree or hide what it changes is refused.

use std::fmt;

/// The largest patch of a series, in bytes: ten times the largest of the kernel's usual ones.
const LARGEST: usize = 10 * 1024 * 1024;
/// The most patches of a series.
const MOST: usize = 32;

/// What a patch does to one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileChange {
    /// From the top of the tree; of a new file the new one, of a deleted file the old one.
    pub path: String,
    /// Where a renamed or copied file came from.
    pub from: Option<String>,
    /// The first digits of the number that git gives the content before; `None` if there is no
    /// such file, or the patch does not say.
    pub blob: Option<String>,
    /// The file was not there before, as a line of its head says.
    pub is_new: bool,
    /// The file is not there afterwards.
    pub is_removed: bool,
    pub hunks: Vec<Hunk>,
}

/// A part of a file that a patch changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hunk {
    /// The first line of it before the patch, counted from 1.
    pub old_start: usize,
    /// The first line of it after the patch.
    pub new_start: usize,
    /// As it stands in the patch, with its `@@` line.
    pub text: String,
}

/// Why a patch is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The line of the patch, counted from 1; `None` if it is about all of it.
    pub line: Option<usize>,
    pub why: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.why),
            None => f.write_str(&self.why),
        }
    }
}

/// Checks whether a series is not longer than any that a person reads.
///
/// # Errors
/// If it has too many patches.
pub fn check_length(patches: usize) -> Result<(), Refused> {
    match patches {
        0..=MOST => Ok(()),
        more => Err(whole(format!(
            "the series has {more} patches; expected at most {MOST}"
        ))),
    }
}

/// The changes of a patch, in its order. `text` is what `git mailinfo` takes for the patch.
///
/// # Errors
/// If no kernel patch has such a form.
pub fn changes(text: &[u8]) -> Result<Vec<FileChange>, Refused> {
    if text.len() > LARGEST {
        return Err(whole(format!(
            "it has {} bytes; expected at most {LARGEST}",
            text.len()
        )));
    }
    if let Some(at) = memchr::memchr(0, text) {
        let line = memchr::memchr_iter(b'\n', &text[..at]).count() + 1;
        return Err(refused(line, "it has a NUL byte"));
    }
    let text = String::from_utf8_lossy(text);
    let mut reader = Reader::default();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        reader.line(number, line)?;
    }
    reader.finish()
}

/// Reads a patch line by line.
#[derive(Default)]
struct Reader {
    changes: Vec<FileChange>,
    /// Lines that are left of the current hunk: before and after the patch.
    left: (usize, usize),
    /// Within the head of a file: a `diff --git` line came, and no hunk yet.
    in_head: bool,
    /// The line of the `---` of a head without `diff --git`, and its path.
    old: Option<String>,
}

impl Reader {
    fn line(&mut self, number: usize, line: &str) -> Result<(), Refused> {
        let bare = line.strip_suffix('\n').unwrap_or(line);
        if self.left != (0, 0) {
            return self.in_hunk(number, line);
        }
        // "\ No newline at end of file", of the last line of a hunk.
        if bare.starts_with('\\') && !self.in_head {
            self.push(line);
            return Ok(());
        }
        if let Some(rest) = bare.strip_prefix("@@ -") {
            return self.hunk(number, rest, line);
        }
        if bare.starts_with("GIT binary patch")
            || bare.starts_with("Binary files ") && bare.ends_with(" differ")
        {
            return Err(refused(
                number,
                "it changes a binary file, which nobody can read",
            ));
        }
        if bare.starts_with("diff --git ") {
            no_carriage_return(number, bare)?;
            let path = git_path(number, bare)?;
            self.changes.push(FileChange {
                path,
                ..FileChange::default()
            });
            (self.in_head, self.old) = (true, None);
            return Ok(());
        }
        if let Some(path) = bare.strip_prefix("--- ").filter(|path| !path.is_empty()) {
            return self.old_path(number, bare, path);
        }
        if let Some(path) = bare.strip_prefix("+++ ") {
            return self.new_path(number, bare, path);
        }
        match self.in_head {
            true => self.head(number, bare),
            false => Ok(()),
        }
    }

    /// A line that says something of the file besides its content.
    fn head(&mut self, number: usize, line: &str) -> Result<(), Refused> {
        let Some(change) = self.changes.last_mut() else {
            return Ok(());
        };
        let value = |name: &str| line.strip_prefix(name);
        let modes = [
            "new file mode ",
            "old mode ",
            "new mode ",
            "deleted file mode ",
        ];
        let mode = modes.iter().find_map(|name| value(name));
        if let Some(mode) = mode {
            change.is_new |= line.starts_with("new file");
            change.is_removed |= line.starts_with("deleted file");
            return plain_mode(number, mode);
        }
        if let Some(index) = value("index ") {
            let (blobs, mode) = index.split_once(' ').unzip();
            if let Some(mode) = mode {
                plain_mode(number, mode)?;
            }
            let before = blobs.unwrap_or(index).split_once("..").map(|(old, _)| old);
            let is_blob = |id: &&str| id.len() >= 4 && id.bytes().all(|b| b.is_ascii_hexdigit());
            let is_there = |id: &&str| id.bytes().any(|b| b != b'0');
            change.blob = before.filter(is_blob).filter(is_there).map(str::to_owned);
        } else if let Some(from) = value("rename from ").or_else(|| value("copy from ")) {
            no_carriage_return(number, line)?;
            change.from = Some(checked(number, from)?);
        } else if let Some(to) = value("rename to ").or_else(|| value("copy to ")) {
            no_carriage_return(number, line)?;
            change.path = checked(number, to)?;
        }
        Ok(())
    }

    fn old_path(&mut self, number: usize, line: &str, path: &str) -> Result<(), Refused> {
        // The line between a commit message and its statistics has nothing after the dashes.
        let path = header_path(path);
        // Text of a message can begin so too; it counts if a `+++` line follows.
        self.old = (path != "/dev/null").then(|| path.to_owned());
        if self.old.is_some() {
            no_carriage_return(number, line)?;
        }
        Ok(())
    }

    fn new_path(&mut self, number: usize, line: &str, path: &str) -> Result<(), Refused> {
        let path = header_path(path);
        no_carriage_return(number, line)?;
        let path = match path {
            "/dev/null" => match self.old.take() {
                Some(old) => old,
                None => return Ok(()),
            },
            path => path.to_owned(),
        };
        if let Some(old) = self.old.take() {
            stripped(number, &old)?;
        }
        let path = stripped(number, &path)?;
        if !self.in_head {
            self.changes.push(FileChange::default());
        }
        if let Some(change) = self.changes.last_mut() {
            change.path = path;
        }
        self.in_head = true;
        Ok(())
    }

    /// The `@@ -12,7 +12,8 @@` line of a hunk.
    fn hunk(&mut self, number: usize, ranges: &str, line: &str) -> Result<(), Refused> {
        let parsed = ranges.split_once(" @@").and_then(|(ranges, _)| {
            let (old, new) = ranges.split_once(" +")?;
            Some((range(old)?, range(new)?))
        });
        let Some(((old_start, old), (new_start, new))) = parsed else {
            return Err(refused(number, "it has a hunk without line numbers"));
        };
        let Some(change) = self.changes.last_mut() else {
            return Err(refused(number, "it has a hunk of no file"));
        };
        change.hunks.push(Hunk {
            old_start,
            new_start,
            text: line.to_owned(),
        });
        self.left = (old, new);
        self.in_head = false;
        Ok(())
    }

    fn in_hunk(&mut self, number: usize, line: &str) -> Result<(), Refused> {
        let (old, new) = match line.bytes().next() {
            Some(b' ' | b'\n' | b'\r') => (1, 1),
            Some(b'-') => (1, 0),
            Some(b'+') => (0, 1),
            // "\\ No newline at end of file"
            Some(b'\\') => (0, 0),
            _ => return Err(refused(number, "a hunk ends before its last line")),
        };
        if old > self.left.0 || new > self.left.1 {
            return Err(refused(number, "a hunk has more lines than it says"));
        }
        self.left = (self.left.0 - old, self.left.1 - new);
        self.push(line);
        Ok(())
    }

    /// Adds a line to the current hunk.
    fn push(&mut self, line: &str) {
        let hunk = self.changes.last_mut().and_then(|c| c.hunks.last_mut());
        if let Some(hunk) = hunk {
            hunk.text.push_str(line);
        }
    }

    fn finish(self) -> Result<Vec<FileChange>, Refused> {
        match self.left {
            (0, 0) => Ok(self.changes),
            _ => Err(whole("its last hunk is cut off".to_owned())),
        }
    }
}

/// `12,7` or `12`: the first line, and how many.
fn range(text: &str) -> Option<(usize, usize)> {
    match text.split_once(',') {
        Some((start, count)) => Some((start.parse().ok()?, count.parse().ok()?)),
        None => Some((text.parse().ok()?, 1)),
    }
}

/// The path of `diff --git a/PATH b/PATH`. The two are equal but for a rename, whose own lines
/// name both.
fn git_path(number: usize, line: &str) -> Result<String, Refused> {
    let names = line.strip_prefix("diff --git ").unwrap_or(line);
    if names.contains('"') {
        return Err(quoted(number));
    }
    let half = names.len() / 2;
    let (old, new) = match names.split_at_checked(half) {
        Some((old, new)) if new.starts_with(' ') && old.get(2..) == new.get(3..) => {
            (old, &new[1..])
        }
        _ => names
            .split_once(" b/")
            .map_or((names, names), |(old, new)| (old, new)),
    };
    let path = new.strip_prefix("b/").unwrap_or(new);
    checked(number, old.strip_prefix("a/").unwrap_or(old))?;
    checked(number, path)
}

/// The path in a `---` or `+++` line: what follows a tab is a time.
fn header_path(path: &str) -> &str {
    path.split('\t').next().unwrap_or(path)
}

/// A path without its `a/` or `b/`.
fn stripped(number: usize, path: &str) -> Result<String, Refused> {
    if path.starts_with('/') {
        return Err(leads_out(number, path));
    }
    let below = path.split_once('/').map_or(path, |(_, below)| below);
    checked(number, below)
}

/// Refuses a path that leads out of the tree or into git's own files.
fn checked(number: usize, path: &str) -> Result<String, Refused> {
    if path.starts_with('"') {
        return Err(quoted(number));
    }
    let is_bad = |part: &str| {
        matches!(part, "" | "." | "..")
            || part.eq_ignore_ascii_case(".git")
            || part.to_ascii_lowercase().starts_with("git~")
    };
    if path.split('/').any(is_bad) || path.chars().any(char::is_control) {
        return Err(leads_out(number, path));
    }
    Ok(path.to_owned())
}

/// Refuses symbolic links and submodules, which the kernel has almost none of.
fn plain_mode(number: usize, mode: &str) -> Result<(), Refused> {
    match mode.trim_end_matches('\r') {
        "100644" | "100755" => Ok(()),
        "120000" => Err(refused(number, "it adds or changes a symbolic link")),
        "160000" => Err(refused(number, "it adds or changes a submodule")),
        _ => Err(refused(
            number,
            "it gives a file a mode that git does not have",
        )),
    }
}

/// A carriage return in a name makes tools disagree about which file it is.
fn no_carriage_return(number: usize, line: &str) -> Result<(), Refused> {
    match line.contains('\r') {
        true => Err(refused(number, "the name of a file has a carriage return")),
        false => Ok(()),
    }
}

fn quoted(number: usize) -> Refused {
    refused(
        number,
        "the name of a file is quoted; expected one of plain characters",
    )
}

fn leads_out(number: usize, path: &str) -> Refused {
    let path = path.escape_debug();
    refused(
        number,
        &format!("'{path}' leads out of the tree, or into git's own files"),
    )
}

fn refused(line: usize, why: &str) -> Refused {
    Refused {
        line: Some(line),
        why: why.to_owned(),
    }
}

fn whole(why: String) -> Refused {
    Refused { line: None, why }
}

#[cfg(test)]
mod tests;
