//! A patch in pieces that can be taken out one by one: each run of changed lines, and of a long
//! addition each paragraph. Pure.

use super::form::{FileChange, Hunk};

/// Lines around a piece by which git finds its place.
const CONTEXT: usize = 3;
/// An addition of more lines is cut at its blank lines.
const LONG: usize = 8;

/// Lines that a patch changes in one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// From the top of the tree.
    pub path: String,
    /// The first of its lines after the patch, counted from 1; where it only removes, the line
    /// that follows.
    pub line: usize,
    pub added: usize,
    pub removed: usize,
    /// The first line that it adds or removes and that is not blank, without white space around.
    pub text: String,
    /// A patch that makes this change and no other: it applies in reverse after the whole patch.
    pub patch: String,
}

/// The pieces of what a patch does to one file, in order.
#[must_use]
pub fn pieces(change: &FileChange) -> Vec<Piece> {
    pieces_with(change, CONTEXT)
}

/// The same, with no lines around them: git finds the place of a piece by its number if pieces are
/// taken out from the end of a file to its beginning, and what was around it may be gone by then.
#[must_use]
pub fn pieces_without_context(change: &FileChange) -> Vec<Piece> {
    pieces_with(change, 0)
}

fn pieces_with(change: &FileChange, context: usize) -> Vec<Piece> {
    let hunks = change.hunks.iter();
    hunks
        .flat_map(|hunk| of_hunk(change, hunk, context))
        .collect()
}

/// A line of a hunk, with what marks its end of file where it has no line end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line<'a> {
    sign: u8,
    /// Without the sign, with the line end.
    text: &'a str,
    /// The file ends after it, without a line end.
    ends_file: bool,
}

impl Line<'_> {
    fn is_changed(&self) -> bool {
        self.sign != b' '
    }
}

fn of_hunk(change: &FileChange, hunk: &Hunk, context: usize) -> Vec<Piece> {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for line in hunk.text.split_inclusive('\n').skip(1) {
        match line.as_bytes().first() {
            Some(b'\\') => {
                if let Some(last) = lines.last_mut() {
                    last.ends_file = true;
                }
            }
            Some(sign @ (b'+' | b'-' | b' ')) => lines.push(Line {
                sign: *sign,
                text: &line[1..],
                ends_file: false,
            }),
            // A mail client took the space of an empty line.
            _ => lines.push(Line {
                sign: b' ',
                text: line,
                ends_file: false,
            }),
        }
    }
    let runs = runs(&lines).into_iter();
    runs.map(|run| piece(change, hunk, &lines, run, context))
        .collect()
}

/// The runs of changed lines, a long addition in paragraphs: each from a line up to another.
fn runs(lines: &[Line<'_>]) -> Vec<(usize, usize)> {
    let mut runs = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        if !lines[at].is_changed() {
            at += 1;
            continue;
        }
        let length = lines[at..].iter().take_while(|line| line.is_changed());
        let end = at + length.count();
        runs.extend(paragraphs(lines, at, end));
        at = end;
    }
    runs
}

/// A long addition in parts that end with a blank line outside of all conditionals.
fn paragraphs(lines: &[Line<'_>], from: usize, to: usize) -> Vec<(usize, usize)> {
    let is_addition = lines[from..to].iter().all(|line| line.sign == b'+');
    if !is_addition || to - from <= LONG {
        return vec![(from, to)];
    }
    let (mut parts, mut begin, mut depth) = (Vec::new(), from, 0_i32);
    for (at, line) in (from..to).zip(&lines[from..to]) {
        let text = line.text.trim();
        depth += nesting(text);
        if text.is_empty() && depth == 0 && at + 1 < to {
            parts.push((begin, at + 1));
            begin = at + 1;
        }
    }
    parts.push((begin, to));
    parts
}

/// How much deeper the lines after this one are, in make's conditionals, C's and blocks.
fn nesting(line: &str) -> i32 {
    let word = line.split([' ', '\t', '(']).next().unwrap_or_default();
    match word {
        "ifdef" | "ifndef" | "ifeq" | "ifneq" | "define" | "#if" | "#ifdef" | "#ifndef" | "if"
        | "menu" | "choice" => 1,
        "endif" | "endef" | "#endif" | "endmenu" | "endchoice" | "fi" => -1,
        _ if line.ends_with('{') => 1,
        _ if line.starts_with('}') => -1,
        _ => 0,
    }
}

fn piece(
    change: &FileChange,
    hunk: &Hunk,
    lines: &[Line<'_>],
    (from, to): (usize, usize),
    context: usize,
) -> Piece {
    let path = &change.path;
    // As the file is after the patch: lines that other pieces remove are not there.
    let is_there = |line: &&Line<'_>| line.sign != b'-';
    let before: Vec<Line<'_>> = lines[..from].iter().filter(is_there).copied().collect();
    let after: Vec<Line<'_>> = lines[to..].iter().filter(is_there).copied().collect();
    let line = hunk.new_start.max(1) + before.len();
    let own = &lines[from..to];
    let added = own.iter().filter(|line| line.sign == b'+').count();
    let removed = own.len() - added;
    let before = &before[before.len().saturating_sub(context)..];
    let after = &after[..after.len().min(context)];
    let around = before.len() + after.len();
    // A part of a new file is a change of it.
    let is_whole = lines.len() == own.len();
    let is_new = is_whole && change.is_new;
    let is_removed = is_whole && change.is_removed;
    let mut patch = format!("diff --git a/{path} b/{path}\n");
    if is_new {
        patch.push_str("new file mode 100644\n");
    } else if is_removed {
        patch.push_str("deleted file mode 100644\n");
    }
    let name = |is_absent: bool, side: char| match is_absent {
        true => "/dev/null".to_owned(),
        false => format!("{side}/{path}"),
    };
    let (old, new) = (name(is_new, 'a'), name(is_removed, 'b'));
    let start = |count: usize| match count {
        0 if is_new || is_removed => 0,
        // Applied in reverse, git begins here to look for the piece.
        0 => line,
        _ => line - before.len(),
    };
    let (old_count, new_count) = (around + removed, around + added);
    patch.push_str(&format!(
        "--- {old}\n+++ {new}\n@@ -{},{old_count} +{},{new_count} @@\n",
        start(old_count),
        start(new_count)
    ));
    let own_lines = own.iter().map(|line| (line.sign, line));
    let unchanged = |lines| std::iter::zip(std::iter::repeat(b' '), lines);
    for (sign, line) in unchanged(before).chain(own_lines).chain(unchanged(after)) {
        patch.push(char::from(sign));
        patch.push_str(line.text.trim_end_matches('\n'));
        patch.push('\n');
        if line.ends_file {
            patch.push_str("\\ No newline at end of file\n");
        }
    }
    let said = own.iter().filter(|line| match added {
        0 => true,
        _ => line.sign == b'+',
    });
    let mut said = said.map(|line| line.text.trim());
    let text = said.find(|text| !text.is_empty()).unwrap_or_default();
    Piece {
        path: path.clone(),
        line,
        added,
        removed,
        text: text.to_owned(),
        patch,
    }
}

#[cfg(test)]
mod tests;
