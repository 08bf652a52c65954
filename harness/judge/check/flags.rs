//! `flags.*`: the back end compiles each object with the flags of its front
//! end. The flags travel through one line of the object's `.cmd` file
//! (`save_c_flags` in `scripts/Makefile.lib`), from where
//! `scripts/Makefile.thinlto` takes them.

use super::{Context, Family, Found, Unit, row};
use crate::model::cell::LtoMode;
use crate::model::facts::{
    Backend, Cmd, CmdFile, Facts, Name, Object, ObjectFile, SavedFlags, Words,
};
use crate::model::finding::{Rule, Severity};
use crate::tree::clang_options::{code_options, contradiction, inputs, program};
use crate::tree::path::{cmd_file, normalise};

pub const FAMILY: Family = Family {
    name: "flags",
    rows: &[
        row(&SAVED_MISSING, Unit::Objects, saved_missing),
        row(&SAVED_TWICE, Unit::Objects, saved_twice),
        row(&SAVED_NAME, Unit::Objects, saved_name),
        row(&SAVED_SYNTAX, Unit::Objects, saved_syntax),
        row(&SAVED_DIFFERS, Unit::Objects, saved_differs),
        row(&BACKEND_UNRECORDED, Unit::Objects, backend_unrecorded),
        row(&BACKEND_LACKS, Unit::Objects, backend_lacks),
        row(&BACKEND_COMMAND, Unit::Objects, backend_command),
        row(&BACKEND_CONTRADICTS, Unit::Objects, backend_contradicts),
        row(&COMPILER, Unit::Objects, compiler),
    ],
    applies: |mode| mode == LtoMode::ThinDist,
};

const SAVED_MISSING: Rule = Rule {
    key: "flags.saved-missing",
    severity: Severity::Error,
    invariant: "every object that is compiled from C, or by a back end, has a saved_c_flags line in its .cmd file",
    broken: "objects have no saved_c_flags line",
    why: "the back end compiles the object without flags: for the build machine's own target and code model, and silently if that assembles",
    fix: "the object was built before the mode was switched, or by a rule without save_c_flags; delete it and run make again",
};

const SAVED_TWICE: Rule = Rule {
    key: "flags.saved-twice",
    severity: Severity::Error,
    invariant: "a .cmd file has one saved_c_flags line",
    broken: "objects have more than one saved_c_flags line",
    why: "the back end gets the flags of both lines, one after the other",
    fix: "something appended to the .cmd file before fixdep rewrote it; check the order of the commands in rule_cc_o_c",
};

const SAVED_NAME: Rule = Rule {
    key: "flags.saved-name",
    severity: Severity::Error,
    invariant: "the saved_c_flags line names the object of its .cmd file",
    broken: "objects have a saved_c_flags line for another object",
    why: "a line that names another object belongs to that object, and a lookup of the flags by name finds none",
    fix: "check $@ in cmd_save_c_flags, and the spelling of the object's path",
};

const SAVED_SYNTAX: Rule = Rule {
    key: "flags.saved-syntax",
    severity: Severity::Error,
    invariant: "a shell can parse the saved flags",
    broken: "objects have saved flags that no shell can parse",
    why: "the back-end command fails, or swallows the options after the open quote",
    fix: "escape the flags for the shell that writes them ($(call escsq,...))",
};

const SAVED_DIFFERS: Rule = Rule {
    key: "flags.saved-differs",
    severity: Severity::Error,
    invariant: "the saved flags equal the front-end command's flags, in the same order, except preprocessor-only options",
    broken: "objects have saved flags that differ from the front end's",
    why: "flags that the back end does not see, or sees in another order, give other code: another code model, other kinds of relocations, other sections",
    fix: "compare c_flags and saved_c_flags in scripts/Makefile.lib",
};

const BACKEND_UNRECORDED: Rule = Rule {
    key: "flags.backend-unrecorded",
    severity: Severity::Warning,
    invariant: "every native object has a .cmd file with its command",
    broken: "objects have no recorded back-end command",
    why: "make cannot see that the command changed and does not rebuild the object; nor can klto check the command",
    fix: "use if_changed in the rule of scripts/Makefile.thinlto, and add its target to targets",
};

const BACKEND_LACKS: Rule = Rule {
    key: "flags.backend-lacks",
    severity: Severity::Error,
    invariant: "the back-end command has all saved flags, in their order",
    broken: "objects lack saved flags in the back-end command",
    why: "the native object is compiled with other flags than its front end: on a cross build for the wrong target, on a native build silently with the wrong code model",
    fix: "check how scripts/Makefile.thinlto finds the saved flags of this object: the spelling of its path, and whether its .cmd file was read",
};

const BACKEND_COMMAND: Rule = Rule {
    key: "flags.backend-command",
    severity: Severity::Error,
    invariant: "the back-end command compiles this object's IR, with this object's index, to this native object",
    broken: "objects were compiled from another input or index, or to another output",
    why: "another input or index gives the code of another object under this name",
    fix: "check the prerequisites of the native object in scripts/Makefile.thinlto",
};

const BACKEND_CONTRADICTS: Rule = Rule {
    key: "flags.backend-contradicts",
    severity: Severity::Error,
    invariant: "no option after the saved flags overrides one of them",
    broken: "objects have a back-end option that overrides a saved flag",
    why: "the last option wins, so the back end compiles the object differently from the front end",
    fix: "remove the option from the back-end command in scripts/Makefile.thinlto",
};

const COMPILER: Rule = Rule {
    key: "flags.compiler",
    severity: Severity::Error,
    invariant: "front end and back end are the same compiler",
    broken: "objects were compiled by two different compilers",
    why: "another version reads the bitcode through its upgrade path and optimises by other rules",
    fix: "begin both commands with $(CC)",
};

/// Objects that a back end compiles, and the others that are compiled from C.
fn fronts(facts: &Facts) -> impl Iterator<Item = &Object> {
    facts.objects.iter().filter(|object| {
        let has_back_end = object.backend.is_some() && matches!(object.file, ObjectFile::Ir(_));
        let is_from_c = |cmd: &Cmd| cmd.c_source.is_some();
        has_back_end || object.cmd.read().is_some_and(is_from_c)
    })
}

/// Those with saved lines, and these.
fn saved(facts: &Facts) -> impl Iterator<Item = (&Object, &Cmd, &[SavedFlags])> {
    let read = fronts(facts).filter_map(|object| Some((object, object.cmd.read()?)));
    read.filter(|(_, cmd)| !cmd.saved.is_empty())
        .map(|(object, cmd)| (object, cmd, &cmd.saved[..]))
}

/// Those with one saved line, and it.
fn saved_once(facts: &Facts) -> impl Iterator<Item = (&Object, &Cmd, &SavedFlags)> {
    saved(facts).filter_map(|(object, cmd, saved)| match saved {
        [saved] => Some((object, cmd, saved)),
        _ => None,
    })
}

fn saved_missing(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let no_line = format!(
        "no {} line",
        facts.file_names.saved_prefix.trim_end_matches('_')
    );
    let saves_none = saved(facts).next().is_none();
    found.each(fronts(facts), |found, object| {
        let why = match &object.cmd {
            CmdFile::Read(cmd) if !cmd.saved.is_empty() => return,
            CmdFile::Read(cmd) if saves_none && has_flags(facts, object, cmd) => return,
            CmdFile::Read(_) => &no_line,
            CmdFile::Missing => "the file is missing",
            CmdFile::Unreadable(why) => why,
        };
        let name = facts.text(object.name);
        found.add(name, format!("{}: {why}", cmd_file(name)));
    })
}

/// Whether the back end, where there is one, has the flags of the front end: a kernel may pass
/// them on otherwise than in a line of the `.cmd` file.
fn has_flags(facts: &Facts, object: &Object, front: &Cmd) -> bool {
    let Some(backend) = object.backend.as_deref() else {
        return true;
    };
    let back = backend.cmd.read().and_then(|cmd| cmd.command.as_ref());
    match (&front.command, back) {
        (Some(Ok(front)), Some(Ok(back))) if backend.stale.is_empty() => {
            let flags = code_options(facts, &front[program(facts, front).len()..]);
            first_outside(&flags, back).is_none()
        }
        _ => false,
    }
}

fn saved_twice(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    found.each(saved(facts), |found, (object, _, saved)| {
        if let Some(second) = saved.get(1) {
            let name = facts.text(object.name);
            found.add(
                name,
                format!("{} lines, the second is {}", saved.len(), at(name, second)),
            );
        }
    })
}

fn saved_name(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    found.each(saved_once(facts), |found, (object, _, saved)| {
        if saved.object != object.name {
            let name = facts.text(object.name);
            let other = facts.text(saved.object);
            found.add(
                name,
                format!("{}: the line is for {other}", at(name, saved)),
            );
        }
    })
}

fn saved_syntax(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    found.each(saved_once(facts), |found, (object, _, saved)| {
        if let Err(why) = &saved.flags {
            let name = facts.text(object.name);
            found.add(name, format!("{}: {why}", at(name, saved)));
        }
    })
}

fn saved_differs(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let parsed = saved_once(facts).filter_map(|(object, cmd, saved)| {
        let flags = saved.flags.as_ref().ok()?;
        let command = cmd.command.as_ref()?.as_ref().ok()?;
        Some((object, saved, flags, command))
    });
    found.each(parsed, |found, (object, saved, flags, command)| {
        if let Some(how) = saved_difference(facts, flags, command) {
            let name = facts.text(object.name);
            found.add(name, format!("{}: {how}", at(name, saved)));
        }
    })
}

fn saved_difference(facts: &Facts, flags: &[Name], command: &[Name]) -> Option<String> {
    let front_options = code_options(facts, &command[program(facts, command).len()..]);
    let saved_options = code_options(facts, flags);
    if front_options != saved_options {
        return Some(difference(
            facts,
            &front_options,
            &saved_options,
            "the front end",
            "the saved line",
        ));
    }
    let word = first_outside(flags, command)?;
    Some(format!(
        "the saved line has '{}', which the front end does not have there",
        facts.text(word)
    ))
}

/// A native object and how it was compiled.
struct Native<'a> {
    object: &'a Object,
    backend: &'a Backend,
    /// The `.cmd` file of the IR object.
    front: Option<&'a Cmd>,
    /// `None` where none is recorded.
    command: Option<&'a Words>,
    /// See [`Cmd::moved`].
    moved: Option<(Name, Name)>,
}

/// The native objects of this build, or of an earlier one that is still up to date.
fn natives(facts: &Facts) -> impl Iterator<Item = Native<'_>> {
    let is_done = facts.reached("vmlinux.a");
    facts.objects.iter().filter_map(move |object| {
        let backend = object.backend.as_deref()?;
        let is_there = !matches!(backend.file, ObjectFile::Missing);
        // A stale one is of an earlier build, if make has not come to it again.
        let is_current = backend.stale.is_empty() || is_done;
        (is_there && is_current).then(|| Native {
            object,
            backend,
            front: object.cmd.read(),
            moved: backend.cmd.read().and_then(|cmd| cmd.moved),
            command: match &backend.cmd {
                CmdFile::Read(cmd) => cmd.command.as_ref(),
                CmdFile::Missing | CmdFile::Unreadable(_) => None,
            },
        })
    })
}

fn backend_unrecorded(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    // make writes the .cmd file after the object: an interrupted build may lack it, and
    // compiles the object again.
    let all = natives(facts).filter(|_| facts.reached("vmlinux.a"));
    found.each(all, |found, native| {
        let name = facts.text(native.backend.native);
        let why = match native.command {
            Some(Ok(_)) => return,
            Some(Err(why)) => why,
            None => "no savedcmd line",
        };
        found.add(name, format!("{}: {why}", cmd_file(name)));
    })
}

/// A native object whose command is recorded.
struct Compiled<'a> {
    name: &'a str,
    object: &'a Object,
    front: Option<&'a Cmd>,
    compiler: &'a [Name],
    /// What comes after the compiler.
    options: &'a [Name],
    /// The file that it writes.
    output: &'a str,
}

impl<'a> Compiled<'a> {
    /// The flags that the front end saved, where there is one line of them.
    fn saved(&self) -> Option<&'a [Name]> {
        match &self.front?.saved[..] {
            [saved] => saved.flags.as_deref().ok(),
            _ => None,
        }
    }

    /// The options that the back end has besides the saved flags.
    fn own(&self) -> Vec<Name> {
        let saved = self.saved().unwrap_or_default();
        let start = find_run(self.options, saved);
        let (before, after) = match start {
            Some(start) => (&self.options[..start], &self.options[start + saved.len()..]),
            None => (self.options, &[][..]),
        };
        [before, after].concat()
    }

    /// The options after the saved flags; `None` where these are not there as a whole.
    fn after_saved(&self) -> Option<&'a [Name]> {
        let saved = self.saved()?;
        let start = find_run(self.options, saved)?;
        Some(&self.options[start + saved.len()..])
    }
}

fn compiled(facts: &Facts) -> impl Iterator<Item = Compiled<'_>> {
    natives(facts).filter_map(|native| {
        let command = native.command?.as_ref().ok()?;
        let compiler = program(facts, command);
        let name = native.backend.native;
        let written = native.moved.filter(|(_, to)| *to == name);
        Some(Compiled {
            name: facts.text(name),
            output: facts.text(written.map_or(name, |(from, _)| from)),
            object: native.object,
            front: native.front,
            compiler,
            options: &command[compiler.len()..],
        })
    })
}

fn backend_lacks(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let with_saved = compiled(facts).filter_map(|native| Some((native.saved()?, native)));
    found.each(with_saved, |found, (saved, native)| {
        if native.after_saved().is_none() {
            let how = difference(
                facts,
                saved,
                native.options,
                "the saved line",
                "the back end",
            );
            found.add(native.name, format!("{}: {how}", cmd_file(native.name)));
        }
    })
}

fn backend_command(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    found.each(compiled(facts), |found, native| {
        let options = native.own();
        let object = facts.text(native.object.name);
        if let Some(expected) = first_unmet(facts, &options, object, native.output) {
            let end = &options[options.len().saturating_sub(8)..];
            found.add(
                native.name,
                format!(
                    "{}: expected {expected}, found '... {}'",
                    cmd_file(native.name),
                    join(facts, end)
                ),
            );
        }
    })
}

/// What a command that reads this object's IR and index and writes `output` would have, and
/// `options` do not.
fn first_unmet(facts: &Facts, options: &[Name], object: &str, output: &str) -> Option<String> {
    let same = |path: &str, expected: &str| normalise(path) == expected;
    let inputs = inputs(facts, options);
    let options: Vec<&str> = options.iter().map(|option| facts.text(*option)).collect();
    // The last one is in force.
    let value_of = |option: &str| {
        let mut pairs = options.windows(2).rev();
        pairs.find(|pair| pair[0] == option).map(|pair| pair[1])
    };
    // It is about the inputs after it.
    let language = options.windows(2).rposition(|pair| pair[0] == "-x");
    // clang finds the module in the index by this very word.
    let input = options.iter().rposition(|word| *word == object);
    let is_ir = |at: usize| options[at + 1] == "ir" && input.is_none_or(|input| at < input);
    if !language.is_some_and(is_ir) {
        return Some("-x ir before the input".to_owned());
    }
    let index = format!("{object}.thinlto.bc");
    let mut given = options
        .iter()
        .filter_map(|o| o.strip_prefix("-fthinlto-index="));
    if !given.next_back().is_some_and(|path| same(path, &index)) {
        return Some(format!("-fthinlto-index={index}"));
    }
    if !value_of("-o").is_some_and(|out| same(out, output)) {
        return Some(format!("-o {output}"));
    }
    let is_only_input = inputs == [object];
    (!is_only_input).then(|| format!("{object} as its only input"))
}

fn backend_contradicts(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let after_saved = compiled(facts).filter_map(|native| {
        let saved = native.saved().filter(|saved| !saved.is_empty())?;
        Some((saved, native.after_saved()?, native.name))
    });
    found.each(after_saved, |found, (saved, after, name)| {
        if let Some((option, undone)) = contradiction(facts, saved, after) {
            found.add(
                name,
                format!("{}: '{option}' undoes '{undone}'", cmd_file(name)),
            );
        }
    })
}

fn compiler(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let with_front = compiled(facts).filter_map(|native| {
        let command = native.front?.command.as_ref()?.as_ref().ok()?;
        Some((program(facts, command), native))
    });
    found.each(with_front, |found, (front, native)| {
        if front != native.compiler {
            found.add(
                native.name,
                format!(
                    "front end '{}', back end '{}'",
                    join(facts, front),
                    join(facts, native.compiler)
                ),
            );
        }
    })
}

/// The first of `words` that `command` does not have, or not in that order.
fn first_outside(words: &[Name], command: &[Name]) -> Option<Name> {
    let mut rest = command.iter();
    words.iter().find(|word| !rest.any(|c| c == *word)).copied()
}

fn find_run(haystack: &[Name], needle: &[Name]) -> Option<usize> {
    if needle.is_empty() {
        return Some(0);
    }
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// Says how two option lists differ: what one lacks, or else where the order parts.
fn difference(facts: &Facts, left: &[Name], right: &[Name], a: &str, b: &str) -> String {
    let only = |these: &[Name], those: &[Name]| {
        let mut left_over = those.to_vec();
        let mut only = Vec::new();
        for option in these {
            match left_over.iter().position(|o| o == option) {
                Some(at) => {
                    left_over.swap_remove(at);
                }
                None => only.push(*option),
            }
        }
        only
    };
    let (lost, added) = (only(left, right), only(right, left));
    if !lost.is_empty() {
        format!("{b} lacks '{}', which {a} has", shorten(facts, &lost))
    } else if !added.is_empty() {
        format!("{b} has '{}', which {a} lacks", shorten(facts, &added))
    } else {
        let at = left
            .iter()
            .zip(right)
            .position(|(l, r)| l != r)
            .unwrap_or(0);
        format!(
            "the same options in another order: {a} has '{}' where {b} has '{}'",
            facts.text(left[at]),
            facts.text(right[at])
        )
    }
}

fn shorten(facts: &Facts, options: &[Name]) -> String {
    const SHOWN: usize = 6;
    let shown = join(facts, &options[..options.len().min(SHOWN)]);
    match options.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} ... and {more} more"),
    }
}

fn join(facts: &Facts, words: &[Name]) -> String {
    words
        .iter()
        .map(|w| facts.text(*w))
        .collect::<Vec<_>>()
        .join(" ")
}

fn at(object: &str, saved: &SavedFlags) -> String {
    format!("{}:{}", cmd_file(object), saved.line)
}
