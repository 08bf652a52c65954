//! Reads a `.foo.o.cmd` file: the recorded command, the saved flags and the
//! symbol CRCs. The format is written by `scripts/basic/fixdep.c`,
//! `scripts/Kbuild.include` (`make-cmd`), `scripts/Makefile.lib`
//! (`save_c_flags`) and `scripts/Makefile.build` (`gen_symversions`).

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memmem};

use super::shell_words;
use crate::model::facts::{Cmd, Name, NameTable, SavedFlags};
use crate::tree::path::normalise;

/// The absolute paths in commands, and their placeholders in facts.
#[derive(Debug, Clone, Default)]
pub struct Roots(Vec<(Vec<u8>, &'static [u8])>);

impl Roots {
    /// `source` and `build` as kbuild spells them, where they are absolute.
    #[must_use]
    pub fn new(source: Option<&[u8]>, build: Option<&[u8]>) -> Roots {
        let named = [(build, &b"$(objtree)"[..]), (source, b"$(srctree)")];
        let mut roots: Vec<_> = named
            .into_iter()
            .filter_map(|(path, name)| Some((path?.to_vec(), name)))
            .filter(|(path, _)| path.len() > 1 && path.starts_with(b"/"))
            .collect();
        // A root inside another one must be looked for first.
        roots.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Roots(roots)
    }

    /// How facts name a file: its path normalised, without an absolute root.
    pub(super) fn file_name(&self, path: &[u8]) -> String {
        let path = String::from_utf8_lossy(path);
        let path = normalise(&path);
        String::from_utf8_lossy(&self.replace(path.as_bytes())).into_owned()
    }

    /// The word with a placeholder for each root that it names.
    fn replace<'a>(&self, word: &'a [u8]) -> Cow<'a, [u8]> {
        let mut replaced = Vec::new();
        let (mut copied, mut at) = (0, 0);
        while let Some(slash) = memchr(b'/', &word[at..]).map(|offset| at + offset) {
            match self.0.iter().find(|(path, _)| leads(path, &word[slash..])) {
                Some((path, name)) => {
                    replaced.extend_from_slice(&word[copied..slash]);
                    replaced.extend_from_slice(name);
                    copied = slash + path.len();
                    at = copied;
                }
                None => at = slash + 1,
            }
        }
        if replaced.is_empty() {
            return Cow::Borrowed(word);
        }
        replaced.extend_from_slice(&word[copied..]);
        Cow::Owned(replaced)
    }
}

/// Whether a word begins with a path, and not only with a part of a longer name.
fn leads(path: &[u8], word: &[u8]) -> bool {
    let rest = word.strip_prefix(path);
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/' | b'=' | b':' | b',')))
}

/// How a kernel writes its `.cmd` files.
#[derive(Debug, Clone, Copy)]
pub struct Spelling<'a> {
    pub roots: &'a Roots,
    /// See [`FileNames::saved_prefix`].
    ///
    /// [`FileNames::saved_prefix`]: crate::model::facts::file_names::FileNames::saved_prefix
    pub saved_prefix: &'a str,
}

/// The words of the recorded commands, all of them, for a look at which files they name.
pub(super) fn rough_words(text: &str) -> Vec<String> {
    let commands = lines_with_prefix(text.as_bytes(), &COMMAND)
        .filter_map(|(_, rest)| split_assignment(rest))
        .map(|(_, command)| undo_make_escapes(command));
    let is_between = |c: char| c.is_whitespace() || ";|&<>(){}`'\"".contains(c);
    commands
        .flat_map(|command| {
            let command = String::from_utf8_lossy(&command);
            let words = command.split(is_between).filter(|word| !word.is_empty());
            words.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

const COMMAND: [&[u8]; 2] = [b"savedcmd_", b"cmd_"];

/// Parses the content of a `.cmd` file. It never fails: lines it does not know are for make
/// only.
#[must_use]
pub fn parse(text: &[u8], spelling: &Spelling, names: &NameTable) -> Cmd {
    let roots = spelling.roots;
    let command = lines_with_prefix(text, &COMMAND)
        .find_map(|(_, rest)| split_assignment(rest))
        .map(|(_, command)| undo_make_escapes(command));
    let command = command.map(|command| match words(&command, roots, names) {
        Ok((words, end)) => (Ok(words), later(&command[end..], names)),
        Err(why) => (Err(why), Later::default()),
    });
    let (command, later) = command.unzip();
    let later = later.unwrap_or_default();
    let mut cmd = Cmd {
        command,
        relinked: later.relinked,
        moved: later.moved,
        c_source: lines_with_prefix(text, &[b"source_"])
            .filter_map(|(_, rest)| split_assignment(rest))
            .find(|(_, source)| source.ends_with(b".c"))
            .map(|(_, source)| intern(&roots.file_name(source), names)),
        ..Cmd::default()
    };
    let mut lines = LineNumbers::of(text);
    for (at, rest) in lines_with_prefix(text, &[spelling.saved_prefix.as_bytes()]) {
        let (object, flags) = split_assignment(rest).unwrap_or((rest, b""));
        cmd.saved.push(SavedFlags {
            object: intern(normalise(&String::from_utf8_lossy(object)).as_ref(), names),
            line: lines.at(at),
            flags: words(flags, roots, names).map(|(words, _)| words),
        });
    }
    let mut lines = LineNumbers::of(text);
    for (at, rest) in lines_with_prefix(text, &[b"#SYMVER "]) {
        match parse_symver(rest) {
            Some((symbol, crc)) => cmd.symvers.push((intern(symbol, names), crc)),
            None if cmd.bad_symvers.len() < BAD_LINES => {
                let shown = &rest[..rest.len().min(LINE)];
                let shown = String::from_utf8_lossy(shown).into_owned();
                cmd.bad_symvers.push((lines.at(at), shown));
            }
            None => {}
        }
    }
    cmd
}

/// How many lines that are damaged are kept of a file; one is enough for a finding.
const BAD_LINES: usize = 100;
/// How much is kept of such a line, in bytes.
const LINE: usize = 500;

/// The words of the recorded command that links objects into one (`ld -r`), which may follow the
/// compiler's; `None` if there is none, or a shell would refuse it.
pub(super) fn link_words(text: &[u8], roots: &Roots) -> Option<Vec<String>> {
    let mut commands = lines_with_prefix(text, &COMMAND);
    let (_, command) = commands.find_map(|(_, rest)| split_assignment(rest))?;
    let command = undo_make_escapes(command);
    let link = simple_commands(&command).find(|command| is_link(command))?;
    let mut words = Vec::new();
    shell_words::first_command(link, |word| {
        words.push(String::from_utf8_lossy(&roots.replace(word)).into_owned());
    })
    .ok()?;
    Some(words)
}

/// The commands of a list, as long as no quotes hide a separator.
fn simple_commands(commands: &[u8]) -> impl Iterator<Item = &[u8]> {
    commands.split(|byte| matches!(byte, b';' | b'&'))
}

fn is_link(command: &[u8]) -> bool {
    command
        .split(u8::is_ascii_whitespace)
        .any(|word| word == b"-r")
}

/// Lines that begin with one of `prefixes`: the offset, and the rest of the line.
fn lines_with_prefix<'a>(
    text: &'a [u8],
    prefixes: &'a [&'a [u8]],
) -> impl Iterator<Item = (usize, &'a [u8])> {
    prefixes.iter().flat_map(move |prefix| {
        memmem::find_iter(text, prefix)
            .filter(move |at| *at == 0 || text[at - 1] == b'\n')
            .map(move |at| {
                let rest = &text[at + prefix.len()..];
                (at, &rest[..memchr(b'\n', rest).unwrap_or(rest.len())])
            })
    })
}

fn split_assignment(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memmem::find(line, b":=")?;
    Some((line[..at].trim_ascii_end(), line[at + 2..].trim_ascii()))
}

/// What `make-cmd` of `Kbuild.include` escaped so that make reads it back.
fn undo_make_escapes(command: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'$', command).is_none() {
        return Cow::Borrowed(command);
    }
    let mut plain = Vec::with_capacity(command.len());
    let mut rest = command;
    while let Some(at) = memchr(b'$', rest) {
        plain.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix(b"$(pound)") {
            plain.push(b'#');
            rest = after;
        } else {
            plain.push(b'$');
            rest = rest.strip_prefix(b"$$").unwrap_or(&rest[1..]);
        }
    }
    plain.extend_from_slice(rest);
    Cow::Owned(plain)
}

/// What the commands after the first one do.
#[derive(Default)]
struct Later {
    relinked: bool,
    moved: Option<(Name, Name)>,
}

fn later(commands: &[u8], names: &NameTable) -> Later {
    let mut later = Later::default();
    for command in simple_commands(commands) {
        let mut words = command.split(u8::is_ascii_whitespace);
        let first = words.find(|word| !word.is_empty());
        later.relinked |= is_link(command);
        if first == Some(b"mv") {
            let mut files = words.filter(|word| !word.is_empty() && !word.starts_with(b"-"));
            let mut next = || {
                let file = String::from_utf8_lossy(files.next()?);
                Some(intern(normalise(&file).as_ref(), names))
            };
            later.moved = next().zip(next());
        }
    }
    later
}

/// The words of the first simple command that makes a file, and the offset of its end.
fn words(command: &[u8], roots: &Roots, names: &NameTable) -> Result<(Box<[Name]>, usize), String> {
    /// What only prepares for the command.
    const PREPARE: [&str; 3] = ["mkdir", "rm", "set"];

    let mut start = 0;
    loop {
        let (words, end) = first_words(&command[start..], roots, names)?;
        let end = start + end;
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b';' | b'&');
        let gap = command[end..].iter().take_while(|b| is_between(b)).count();
        let program = words.first().map(|word| names.resolve(word));
        if gap == 0 || program.is_none_or(|program| !PREPARE.contains(&program)) {
            return Ok((words, end));
        }
        start = end + gap;
    }
}

/// The words of the first simple command, and the offset of its end.
fn first_words(
    command: &[u8],
    roots: &Roots,
    names: &NameTable,
) -> Result<(Box<[Name]>, usize), String> {
    let mut words: Vec<Name> = Vec::with_capacity(192);
    let end = shell_words::first_command(command, |word| {
        let word = roots.replace(word);
        // Nearly all words are ASCII, which `from_utf8` recognises faster than `from_utf8_lossy`.
        words.push(match std::str::from_utf8(&word) {
            Ok(word) => intern(word, names),
            Err(_) => intern(&String::from_utf8_lossy(&word), names),
        });
    })
    .map_err(|unclosed| unclosed.to_string())?;
    Ok((words.into_boxed_slice(), end))
}

/// `name 0xcrc`, by the rule of `extract_crcs_for_object` in
/// `scripts/mod/modpost.c`.
fn parse_symver(rest: &[u8]) -> Option<(&str, u32)> {
    let (symbol, crc) = std::str::from_utf8(rest).ok()?.split_once(' ')?;
    let crc = crc.strip_prefix("0x")?;
    (!symbol.is_empty())
        .then(|| u32::from_str_radix(crc, 16).ok())
        .flatten()
        .map(|crc| (symbol, crc))
}

fn intern(text: &str, names: &NameTable) -> Name {
    names.get_or_intern(text)
}

/// The numbers of lines, for places that only go forward.
struct LineNumbers<'a> {
    text: &'a [u8],
    place: usize,
    line: usize,
}

impl LineNumbers<'_> {
    fn of(text: &[u8]) -> LineNumbers<'_> {
        LineNumbers {
            text,
            place: 0,
            line: 1,
        }
    }

    /// The number, from 1, of the line with that place.
    fn at(&mut self, place: usize) -> usize {
        self.line += memchr_iter(b'\n', &self.text[self.place..place]).count();
        self.place = place;
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::facts::Words;
    use rstest::rstest;

    const FE: &str = "savedcmd_init/main.o := clang -Wp,-MMD,init/.main.o.d -DX='\"a$$b\"' -D'H=$(pound)' -c -o init/main.o ../init/main.c ; tools/objtool init/main.o\n\nsource_init/main.o := ../init/main.c\n\ndeps_init/main.o := \\\n  include/a.h \\\n\ninit/main.o: $(deps_init/main.o)\n\n$(deps_init/main.o):\n\nsaved_c_flags_virt/x/../kvm/main.o := -DX='\"a$b\"' -D'H=#'\n#SYMVER system_state 0xf7370f56\n#SYMVER broken\n";

    fn parse_usual(text: &[u8], roots: &Roots, names: &NameTable) -> Cmd {
        let saved_prefix = "saved_c_flags_";
        parse(
            text,
            &Spelling {
                roots,
                saved_prefix,
            },
            names,
        )
    }

    fn texts(names: &NameTable, words: &Words) -> Vec<String> {
        let words = words.as_ref().unwrap();
        words.iter().map(|w| names.resolve(w).to_owned()).collect()
    }

    #[test]
    fn a_word_that_is_not_utf_8_is_read_as_far_as_it_is() {
        let names = NameTable::default();
        let line = b"savedcmd_a.o := clang -DA=\xff1 a.c\n";
        let cmd = parse_usual(line, &Roots::default(), &names);
        let command = texts(&names, cmd.command.as_ref().unwrap());
        assert_eq!(command, ["clang", "-DA=\u{fffd}1", "a.c"]);
    }

    #[test]
    fn reads_every_line_that_matters() {
        let names = NameTable::default();
        let cmd = parse_usual(FE.as_bytes(), &Roots::default(), &names);

        assert_eq!(names.resolve(&cmd.c_source.unwrap()), "../init/main.c");
        let command = texts(&names, cmd.command.as_ref().unwrap());
        assert_eq!(command.first().unwrap(), "clang");
        assert_eq!(command.last().unwrap(), "../init/main.c");
        assert!(command.contains(&"-DX=\"a$b\"".to_owned()), "{command:?}");
        assert!(command.contains(&"-DH=#".to_owned()), "{command:?}");
        let [saved] = &cmd.saved[..] else {
            panic!("one saved line: {:?}", cmd.saved)
        };
        assert_eq!(names.resolve(&saved.object), "virt/kvm/main.o");
        assert_eq!(saved.line, 12);
        assert_eq!(texts(&names, &saved.flags), ["-DX=\"a$b\"", "-DH=#"]);
        assert_eq!(
            cmd.symvers,
            [(names.get("system_state").unwrap(), 0xf737_0f56)]
        );
        assert_eq!(cmd.bad_symvers, [(14, "broken".to_owned())]);
    }

    #[test]
    fn an_object_from_assembly_is_not_from_c() {
        let names = NameTable::default();
        let text = b"savedcmd_a.o := clang -c -o a.o a.S\n\nsource_a.o := a.S\n";
        assert_eq!(parse_usual(text, &Roots::default(), &names).c_source, None);
    }

    #[rstest]
    #[case::once("cc -c -o a.o a.c", false)]
    #[case::objtool("cc -c -o a.o a.c ; objtool --mcount a.o", false)]
    #[case::again("cc -c -o a.o a.c ; ld.lld -r -o .tmp_a.o a.o; mv .tmp_a.o a.o", true)]
    #[case::only("ld.lld -r -o a.o b.o c.o", false)]
    fn a_later_link_is_seen(#[case] commands: &str, #[case] relinked: bool) {
        let names = NameTable::default();
        let text = format!("savedcmd_a.o := {commands}\n");
        let cmd = parse_usual(text.as_bytes(), &Roots::default(), &names);
        assert_eq!(cmd.relinked, relinked);
    }

    #[rstest]
    #[case::only(
        "ld.lld -r -m elf -T '/k/a b' -o a.o @a.mod",
        "ld.lld|-r|-m|elf|-T|$(srctree)/a b|-o|a.o|@a.mod"
    )]
    #[case::again(
        "cc -c -o a.o a.c ; ld.lld -z x -r -o .tmp_a.o a.o; mv .tmp_a.o a.o ; objtool a.o",
        "ld.lld|-z|x|-r|-o|.tmp_a.o|a.o"
    )]
    #[case::none("cc -c -o a.o a.c ; objtool a.o", "")]
    #[case::refused("ld.lld -r 'a.o", "")]
    fn the_words_of_a_link_are_found(#[case] commands: &str, #[case] expected: &str) {
        let text = format!("savedcmd_a.o := {commands}\n");
        let roots = Roots::new(Some(b"/k"), None);
        let words = link_words(text.as_bytes(), &roots).unwrap_or_default();
        assert_eq!(words.join("|"), expected);
    }

    #[rstest]
    #[case("x 0x0", Some(("x", 0)))]
    #[case("x 0xffffffff", Some(("x", u32::MAX)))]
    #[case("x 0x1ffffffff", None)]
    #[case("x 12", None)]
    #[case("x", None)]
    #[case(" 0x1", None)]
    fn a_symver_line_is_a_name_and_a_crc(#[case] rest: &str, #[case] parsed: Option<(&str, u32)>) {
        assert_eq!(parse_symver(rest.as_bytes()), parsed);
    }

    #[test]
    fn absolute_paths_are_named_and_only_whole_ones() {
        let names = NameTable::default();
        let roots = Roots::new(Some(b"/k/linux"), Some(b"/k/linux/out"));
        let text = b"savedcmd_a.o := cc -I/k/linux/include -I/k/linux/out/x -fmacro-prefix-map=/k/linux/= -I/k/linux-next/i";
        let cmd = parse_usual(text, &roots, &names);
        assert_eq!(
            texts(&names, cmd.command.as_ref().unwrap()),
            [
                "cc",
                "-I$(srctree)/include",
                "-I$(objtree)/x",
                "-fmacro-prefix-map=$(srctree)/=",
                "-I/k/linux-next/i"
            ]
        );
    }

    #[rstest]
    #[case::either("/k/linux:/k/linux/out", "$(srctree):$(objtree)")]
    #[case::the_shorter_first("-a=/k/linux/x,/k/linux/out/y", "-a=$(srctree)/x,$(objtree)/y")]
    #[case::after_a_longer_name("/k/linux-next:/k/linux/x", "/k/linux-next:$(srctree)/x")]
    #[case::none("../init/main.c", "../init/main.c")]
    fn every_root_in_a_word_is_named(#[case] word: &str, #[case] expected: &str) {
        let roots = Roots::new(Some(b"/k/linux"), Some(b"/k/linux/out"));
        assert_eq!(roots.file_name(word.as_bytes()), expected);
    }

    #[test]
    fn a_word_may_name_a_root_any_number_of_times() {
        let roots = Roots::new(Some(b"/k"), None);
        let named = roots.file_name(&b"/k:".repeat(1_000_000));
        assert!(named == "$(srctree):".repeat(1_000_000));
    }

    #[test]
    fn damaged_lines_are_numbered_and_only_some_are_kept() {
        let text = "#SYMVER x\n".repeat(BAD_LINES + 1);
        let cmd = parse_usual(text.as_bytes(), &Roots::default(), &NameTable::default());
        let lines: Vec<usize> = cmd.bad_symvers.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, (1..=BAD_LINES).collect::<Vec<_>>());
    }

    proptest::proptest! {
        #[test]
        fn a_damaged_file_never_panics(cut in 0..FE.len(), flip in 0..FE.len(), bit in 0..8u8) {
            let mut text = FE.as_bytes().to_vec();
            text[flip] ^= 1 << bit;
            text.truncate(cut);
            let _ = parse_usual(&text, &Roots::default(), &NameTable::default());
        }
    }
}
