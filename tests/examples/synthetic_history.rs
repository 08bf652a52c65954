//! Makes a git repository with a history over a real kernel, for benchmarks and tests of `klto
//! bisect`: `synthetic-history DIR KERNEL COMMITS MUTATION`.
//!
//! The first commit has the kernel's files. Those after it touch C files, documents, comments and
//! variables of makefiles, and merge branches of a few commits. One, at two thirds, brings the
//! mutation. Around it there are faults that are none of its business: another mutation comes and
//! goes, a row of commits cannot be read by make, and the mutation itself comes and is mended early
//! on. Prints the numbers of the good commit, the bad one and the culprit, a line each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use klto::build::process::{Cancel, Command, Exit, capture};
use klto::input::mutation::{self, Mutation};
use klto::model::error::Error;

/// C files that commits touch, which a probe does not read, …
const CODE: [&str; 4] = ["mm/slub.c", "fs/exec.c", "net/socket.c", "block/bio.c"];
/// … and makefiles, which it does.
const MAKEFILES: [&str; 4] = [
    "scripts/Makefile.lib",
    "scripts/Makefile.host",
    "scripts/Makefile.warn",
    "kernel/Makefile",
];
const DOCUMENT: &str = "Documentation/process/howto.rst";
/// The mutation that comes and goes.
const OTHER: &str = "order-sorted";
/// What make cannot read.
const BROKEN: (&str, &str) = ("scripts/Kbuild.include", "\nifeq (\n");

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, kernel, commits, name] = args.as_slice() else {
        eprintln!("usage: synthetic-history DIR KERNEL COMMITS MUTATION");
        return ExitCode::from(2);
    };
    let Ok(commits) = commits.parse() else {
        eprintln!("synthetic-history: '{commits}' is no number");
        return ExitCode::from(2);
    };
    match make(Path::new(dir), Path::new(kernel), commits, name) {
        Ok(ends) => {
            println!("{}", ends.join("\n"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("synthetic-history: {error}");
            ExitCode::FAILURE
        }
    }
}

fn make(dir: &Path, kernel: &Path, commits: usize, name: &str) -> Result<[String; 3], Error> {
    let repository = Repository {
        dir: dir.to_owned(),
        cancel: Cancel::install()?,
    };
    let kernel = kernel.canonicalize().map_err(Error::io(kernel, "find"))?;
    if !dir.join("HEAD").exists() {
        std::fs::create_dir_all(dir).map_err(Error::io(dir, "create"))?;
        repository.git(
            &["init", "--quiet", "--bare", "--initial-branch=main"],
            None,
        )?;
        let tree = format!("--work-tree={}", kernel.display());
        repository.git(&[&tree, "add", "--all", "--force", "."], None)?;
        repository.git(&[&tree, "commit", "--quiet", "--message=the kernel"], None)?;
        repository.git(&["tag", "--force", "first", "HEAD"], None)?;
    }
    let mut history = History::new(
        &kernel,
        mutation::load_all(&[name.to_owned(), OTHER.to_owned()])?,
    );
    for at in 1..=commits {
        history.add(at, commits);
    }
    let marks = dir.join("marks");
    let marks = format!("--export-marks={}", marks.display());
    let stream = history.stream.into_bytes();
    repository.git(&["fast-import", "--quiet", "--force", &marks], Some(stream))?;
    let text = std::fs::read_to_string(dir.join("marks")).map_err(Error::io(dir, "read"))?;
    let marks: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .collect();
    let of = |mark: usize| marks[format!(":{mark}").as_str()].to_owned();
    let good = repository.git(&["rev-parse", "first"], None)?;
    Ok([good, of(history.last), of(history.culprit)])
}

struct Repository {
    dir: PathBuf,
    cancel: Cancel,
}

impl Repository {
    fn git(&self, args: &[&str], input: Option<Vec<u8>>) -> Result<String, Error> {
        let mut command = Command::new("git")
            .arg("--git-dir")
            .arg(&self.dir)
            // Nothing that goes on after the call.
            .args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"])
            .args(args.iter().copied());
        for who in ["AUTHOR", "COMMITTER"] {
            for (what, value) in [
                ("NAME", "A Developer"),
                ("EMAIL", "dev@example.org"),
                ("DATE", "@1700000000 +0000"),
            ] {
                command = command.env(format!("GIT_{who}_{what}"), value);
            }
        }
        if let Some(input) = input {
            command = command.input(input);
        }
        let done = capture(&command, None, &self.cancel)?;
        match done.status {
            Exit::Success => Ok(done.stdout.trim().to_owned()),
            _ => Err(Error::Machine(done.stderr)),
        }
    }
}

/// A history as `git fast-import` reads it.
struct History {
    kernel: PathBuf,
    mutation: Mutation,
    other: Mutation,
    /// What was added to files of the kernel.
    added: BTreeMap<String, String>,
    has_mutation: bool,
    has_other: bool,
    is_broken: bool,
    stream: String,
    /// The mark of the newest commit.
    last: usize,
    culprit: usize,
    marks: usize,
    random: u64,
}

impl History {
    fn new(kernel: &Path, mutations: Vec<Mutation>) -> History {
        let [mutation, other] = mutations.try_into().expect("two were loaded");
        History {
            kernel: kernel.to_owned(),
            mutation,
            other,
            added: BTreeMap::new(),
            has_mutation: false,
            has_other: false,
            is_broken: false,
            stream: String::new(),
            last: 0,
            culprit: 0,
            marks: 0,
            random: 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// The next number of a fixed sequence, below `limit`.
    fn random(&mut self, limit: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 33).unwrap_or_default() % limit
    }

    /// The commit at that place of so many.
    fn add(&mut self, at: usize, of: usize) {
        let share = |percent: usize| (of * percent / 100).max(1);
        if at == share(66) {
            self.has_mutation = true;
            self.commit("the culprit", &mutated(&self.mutation));
            self.culprit = self.last;
        } else if at == share(10) || at == share(15) {
            self.has_mutation = at == share(10);
            self.commit("the mutation, or its end", &mutated(&self.mutation));
        } else if at == share(30) || at == share(80) {
            self.has_other = at == share(30);
            self.commit("another fault, or its end", &mutated(&self.other));
        } else if at == share(45) || at == share(53) {
            self.is_broken = at == share(45);
            self.commit(
                "a makefile that make cannot read, or its end",
                &[BROKEN.0.to_owned()],
            );
        } else {
            match self.random(20) {
                0..=10 => self.touch(&CODE, "/* ", " */"),
                11..=13 => self.touch(&[DOCUMENT], "", ""),
                14..=15 => self.touch(&MAKEFILES, "# ", ""),
                16..=17 => self.touch(&MAKEFILES, "klto-synthetic := ", ""),
                _ => self.merge(),
            }
        }
    }

    /// Adds a line to one of the files.
    fn touch(&mut self, files: &[&str], before: &str, after: &str) {
        let file = files[self.random(files.len())].to_owned();
        let line = format!("{before}edit {}{after}\n", self.marks);
        self.added.entry(file.clone()).or_default().push_str(&line);
        self.commit(&format!("touch {file}"), &[file]);
    }

    /// Merges a branch of a few commits, each of which adds a document of its own.
    fn merge(&mut self) {
        let (main, mut branch, mut files) = (self.last, self.last, Vec::new());
        for _ in 0..=self.random(4) {
            let file = format!("Documentation/klto-synthetic-{}.rst", self.marks);
            let change = format!("M 100644 inline {file}\ndata 5\ntext\n\n");
            self.write_commit("on a branch", &[branch], &change);
            branch = self.marks;
            files.push(change);
        }
        self.write_commit("merge a branch", &[main, branch], &files.concat());
        self.last = self.marks;
    }

    /// A commit with these files as they are by now.
    fn commit(&mut self, message: &str, files: &[String]) {
        let changes: String = files
            .iter()
            .map(|file| {
                let text = self.text(file);
                format!("M 100644 inline {file}\ndata {}\n{text}\n", text.len())
            })
            .collect();
        self.write_commit(message, &[self.last], &changes);
        self.last = self.marks;
    }

    fn write_commit(&mut self, message: &str, parents: &[usize], changes: &str) {
        self.marks += 1;
        let mark = self.marks;
        let _ = write!(
            self.stream,
            "commit refs/heads/main\nmark :{mark}\ncommitter A Developer <dev@example.org> {} +0000\ndata {}\n{message}\n",
            1_700_000_000 + mark,
            message.len()
        );
        for (parent, word) in parents.iter().zip(["from", "merge"]) {
            let _ = match parent {
                0 => writeln!(self.stream, "{word} refs/tags/first^0"),
                parent => writeln!(self.stream, "{word} :{parent}"),
            };
        }
        self.stream.push_str(changes);
    }

    /// What a file has by now.
    fn text(&self, file: &str) -> String {
        let mut text = std::fs::read(self.kernel.join(file)).expect("the kernel has it");
        let mutations = [
            (&self.mutation, self.has_mutation),
            (&self.other, self.has_other),
        ];
        for (mutation, _) in mutations.iter().filter(|(_, has)| *has) {
            text = mutation.apply(file, &text).expect("the mutation fits");
        }
        let mut text = String::from_utf8(text).expect("it is text");
        text.push_str(self.added.get(file).map_or("", String::as_str));
        if self.is_broken && file == BROKEN.0 {
            text.push_str(BROKEN.1);
        }
        text
    }
}

fn mutated(mutation: &Mutation) -> Vec<String> {
    mutation.files().map(str::to_owned).collect()
}
