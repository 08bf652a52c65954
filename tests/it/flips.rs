//! Flips bytes in every kind of file that a build leaves, and asks the tool that reads the file
//! next. What changes its answer must not be ok for klto, except in the parts of a file that
//! `docs/limits.md` names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use klto::judge::inspect::inspect;

use crate::support::real::request;

/// A kind of file, and the tool that reads it next.
struct Kind {
    name: &'static str,
    files: fn(&Tree) -> Vec<String>,
    /// A shell command that prints the answer; `$F` is the file, `$OUT` a file to write to.
    ask: fn(&Tree, &str) -> String,
    /// What of the answer's changes klto is not expected to see.
    unseen: Option<&'static str>,
}

const KINDS: [Kind; 18] = [
    Kind {
        name: "bitcode of an object",
        files: |tree| tree.indexed.clone(),
        ask: |tree, file| tree.back_end(file),
        unseen: None,
    },
    Kind {
        name: "index of an object",
        files: |tree| suffixed(&tree.indexed, ".thinlto.bc"),
        ask: |tree, file| tree.back_end(file.strip_suffix(".thinlto.bc").unwrap()),
        unseen: Some("the contents of summaries"),
    },
    Kind {
        name: "native object",
        files: |tree| tree.indexed.iter().map(|object| native(object)).collect(),
        ask: |_, _| ELF.to_owned(),
        unseen: Some(OF_ELF),
    },
    Kind {
        name: "object of assembly",
        files: |tree| tree.others.clone(),
        ask: |_, _| ELF.to_owned(),
        unseen: Some(OF_ELF),
    },
    Kind {
        name: "vmlinux.o",
        files: |_| vec!["vmlinux.o".to_owned()],
        ask: |tree, _| tree.modpost(),
        unseen: Some(OF_ELF),
    },
    Kind {
        name: "vmlinux",
        files: |_| vec!["vmlinux".to_owned()],
        ask: |_, _| ELF_LINKED.to_owned(),
        unseen: Some(OF_ELF),
    },
    Kind {
        name: ".cmd file of an object",
        files: |tree| tree.indexed.iter().map(|object| cmd(object)).collect(),
        ask: |tree, _| {
            let lines = "sed -n 's/^saved_c_flags_[^ ]* := //p' \"$F\"";
            format!("{lines}; {}", tree.modpost())
        },
        unseen: None,
    },
    Kind {
        name: "built-in-fixup.a",
        files: |_| vec!["built-in-fixup.a".to_owned()],
        ask: |_, _| "llvm-ar-22 t \"$F\"".to_owned(),
        unseen: None,
    },
    Kind {
        name: "vmlinux.a",
        files: |_| vec!["vmlinux.a".to_owned()],
        ask: |_, _| "llvm-ar-22 t \"$F\"".to_owned(),
        unseen: None,
    },
    Kind {
        name: "builtin.order",
        files: |_| vec!["builtin.order".to_owned()],
        ask: |_, _| READ_LINES.to_owned(),
        unseen: None,
    },
    Kind {
        name: "vmlinux.thinlto-index",
        files: |_| vec!["vmlinux.thinlto-index".to_owned()],
        ask: |_, _| READ_LINES.to_owned(),
        unseen: None,
    },
    Kind {
        name: ".vmlinux.objs",
        files: |_| vec![".vmlinux.objs".to_owned()],
        ask: |tree, _| tree.modpost(),
        unseen: None,
    },
    Kind {
        name: "vmlinux.symvers",
        files: |_| vec!["vmlinux.symvers".to_owned()],
        ask: |_, _| READ_LINES.to_owned(),
        unseen: None,
    },
    Kind {
        name: ".vmlinux.export.c",
        files: |_| vec![".vmlinux.export.c".to_owned()],
        ask: |tree, _| tree.recorded("..vmlinux.export.o.cmd", ".vmlinux.export.o"),
        unseen: None,
    },
    Kind {
        name: ".tmp_initcalls.lds",
        files: |_| vec![".tmp_initcalls.lds".to_owned()],
        ask: |tree, _| {
            let link = tree.recorded(".vmlinux.o.cmd", "vmlinux.o");
            link.split("; ./tools").next().unwrap().to_owned() + "; sha1sum < \"$OUT\""
        },
        unseen: None,
    },
    Kind {
        name: ".config",
        files: |_| vec![".config".to_owned()],
        // The two forms that kconfig reads (`conf_read_simple`).
        ask: |_, _| "grep -E '^(CONFIG_.*=|# CONFIG_.* is not set$)' \"$F\"".to_owned(),
        unseen: Some("the lines of symbols that are not set"),
    },
    Kind {
        name: "auto.conf",
        files: |_| vec!["include/config/auto.conf".to_owned()],
        ask: |_, _| {
            "printf 'include %s\\n$(foreach v,$(sort $(filter CONFIG_%%,$(.VARIABLES))),$(info $v=$($v)))\\nall:\\n' \
             \"$F\" | make -s -f - 2>&1"
                .to_owned()
        },
        unseen: None,
    },
    Kind {
        name: "kernel.release",
        files: |_| vec!["include/config/kernel.release".to_owned()],
        ask: |_, _| "cat \"$F\"".to_owned(),
        unseen: None,
    },
];

/// What klto does not see in an ELF file.
const OF_ELF: &str = "what no table lists of symbols and sections, and code, data and relocations";
/// What a linker makes of an object, code aside.
const ELF: &str = "ld.lld-22 -r -o \"$OUT\" \"$F\" 2>&1; echo $?; \
    llvm-nm-22 \"$OUT\" 2>&1; llvm-readelf-22 -h -S \"$OUT\" 2>&1";
/// What tools read of the kernel, code aside.
const ELF_LINKED: &str = "llvm-nm-22 \"$F\" 2>&1; llvm-readelf-22 -h -l \"$F\" 2>&1";
const READ_LINES: &str = "while read -r line; do printf '%s\\n' \"$line\"; done < \"$F\"";

fn suffixed(names: &[String], suffix: &str) -> Vec<String> {
    names.iter().map(|name| format!("{name}{suffix}")).collect()
}

fn native(object: &str) -> String {
    object.strip_suffix(".o").unwrap().to_owned() + ".thinlto-native.o"
}

fn cmd(object: &str) -> String {
    klto::tree::path::cmd_file(object)
}

/// The build tree of a distributed kernel for `x86_64`.
struct Tree {
    build: PathBuf,
    /// Objects that the index lists, and the other built-in ones.
    indexed: Vec<String>,
    others: Vec<String>,
    scratch: tempfile::TempDir,
}

impl Tree {
    fn open(build: &Path) -> Tree {
        let list = |file: &str| -> Vec<String> {
            let text = std::fs::read_to_string(build.join(file)).unwrap();
            text.lines().map(str::to_owned).collect()
        };
        let indexed = list("vmlinux.thinlto-index");
        let mut others = list("builtin.order");
        others.retain(|object| !indexed.contains(object));
        Tree {
            build: build.to_owned(),
            indexed,
            others,
            scratch: tempfile::tempdir().unwrap(),
        }
    }

    /// The command that a `.cmd` file records, as a shell command that writes to `$OUT`, and that
    /// starts the compiler without a cache.
    fn recorded(&self, cmd: &str, target: &str) -> String {
        let text = std::fs::read_to_string(self.build.join(cmd)).unwrap();
        let (_, command) = text.lines().next().unwrap().split_once(" := ").unwrap();
        let command = command.replace("$$", "$").replace("\\#", "#");
        // The list of headers that the compiler writes beside the object.
        let words = command
            .split(' ')
            .filter(|word| !word.starts_with("-Wp,-MMD,"));
        let command = words.collect::<Vec<_>>().join(" ");
        let output = format!("-o {target}");
        assert!(command.contains(&output), "{command}");
        command
            .replace(&output, "-o \"$OUT\"")
            .replace("ccache ", "")
    }

    fn back_end(&self, object: &str) -> String {
        let native = native(object);
        self.recorded(&cmd(&native), &native) + " 2>&1; echo $?; sha1sum < \"$OUT\""
    }

    /// modpost writes `.vmlinux.export.c` where it runs.
    fn modpost(&self) -> String {
        let run = self.recorded(".vmlinux.symvers.cmd", "vmlinux.symvers");
        format!(
            "cp -p .vmlinux.export.c \"$OUT.c\"; {run} 2>&1; echo $?; cat \"$OUT\" .vmlinux.export.c; \
             cp -p \"$OUT.c\" .vmlinux.export.c"
        )
    }

    fn answer(&self, kind: &Kind, file: &str) -> Vec<u8> {
        let out = self.scratch.path().join("out");
        let _ = std::fs::remove_file(&out);
        let output = Command::new("sh")
            .args(["-c", &(kind.ask)(self, file)])
            .current_dir(&self.build)
            .env("F", file)
            .env("OUT", &out)
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        output.stdout
    }

    /// Whether klto finds nothing wrong.
    fn is_ok(&self) -> bool {
        let nothing = BTreeMap::new();
        let inspected = inspect(&request(&self.build, &nothing));
        inspected.is_ok_and(|inspected| inspected.inspection.findings.is_empty())
    }
}

/// A file with other content; the content and its time come back.
struct Changed {
    path: PathBuf,
    content: Vec<u8>,
    time: SystemTime,
}

impl Changed {
    fn new(path: PathBuf, change: impl FnOnce(&mut Vec<u8>)) -> Changed {
        let content = std::fs::read(&path).unwrap();
        let time = std::fs::metadata(&path).unwrap().modified().unwrap();
        let mut other = content.clone();
        change(&mut other);
        let changed = Changed {
            path,
            content,
            time,
        };
        changed.put(&other);
        changed
    }

    fn put(&self, content: &[u8]) {
        std::fs::write(&self.path, content).unwrap();
        let file = std::fs::File::options().write(true).open(&self.path);
        file.unwrap().set_modified(self.time).unwrap();
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        self.put(&self.content);
    }
}

/// The same numbers each time (Knuth's MMIX generator).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        let next = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = next.wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// Flips so many bytes in each kind of file of a clean tree, one at a time, and shows a table.
///
/// # Panics
/// If the next tool's answer changed, klto found nothing, and no limit says why.
pub fn are_seen(build: &Path, flips: usize) {
    let tree = Tree::open(build);
    assert!(tree.is_ok(), "the tree is clean");
    let mut missed = Vec::new();
    eprintln!("file: flips, seen by klto, harmless, unseen");
    for kind in &KINDS {
        let mut numbers = Numbers(2026);
        let (mut seen, mut harmless, mut unseen) = (0, 0, 0);
        let files = (kind.files)(&tree);
        for _ in 0..flips {
            let file = &files[numbers.below(files.len())];
            let path = tree.build.join(file);
            let size = std::fs::read(&path).unwrap().len();
            let (at, by) = (numbers.below(size), 1 + numbers.below(255));
            let by = u8::try_from(by).unwrap();
            let changed = Changed::new(path, |content| content[at] ^= by);
            if !tree.is_ok() {
                seen += 1;
                continue;
            }
            let answer = tree.answer(kind, file);
            drop(changed);
            if answer == tree.answer(kind, file) {
                harmless += 1;
            } else if kind.unseen.is_some() {
                unseen += 1;
            } else {
                let how = format!("{}: {file}, byte {at} ^ {by:#x}", kind.name);
                eprintln!("missed: {how}");
                missed.push(how);
            }
        }
        let why = kind.unseen.filter(|_| unseen > 0).unwrap_or_default();
        eprintln!("{}: {flips}, {seen}, {harmless}, {unseen} {why}", kind.name);
    }
    assert_eq!(missed, Vec::<String>::new());
}

/// Minutes, and with `--release` fewer: `KLTO_FLIPS=DIR` asks for 60 flips in each kind of file of
/// a distributed `x86_64` build.
#[test]
fn no_flip_that_changes_an_answer_is_ok() {
    let Some(build) = std::env::var_os("KLTO_FLIPS") else {
        return;
    };
    are_seen(Path::new(&build), 60);
}
