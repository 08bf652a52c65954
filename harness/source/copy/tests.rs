//! The copy is what a copy from nothing would be, whatever happened to the source tree or
//! to the copy; and the source tree is only read.

mod commit;
mod fingerprint;
mod links;
mod mutated;

use super::*;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::time::{Duration, SystemTime};

use rstest::rstest;
use tempfile::TempDir;
use walkdir::WalkDir;

use super::find::UNSETTLED;
use crate::build::dir_state;

/// A source tree and its copy.
struct Kernel {
    dir: TempDir,
}

const HEADER: &str = "include/a.h";
const LATE_FILE: &str = "scripts/Makefile.thinlto";

impl Kernel {
    fn new() -> Kernel {
        let kernel = Kernel {
            dir: tempfile::tempdir().unwrap(),
        };
        for (path, content) in [
            ("Makefile", "VERSION = 7\n"),
            ("Kbuild", "obj-y += init/\n"),
            (".gitignore", "*.o\n"),
            (HEADER, "int a;\n"),
            ("include/b.h", "int b;\n"),
            ("folder/inner/file", "in a folder\n"),
            ("scripts/Makefile.build", "# build\n"),
            ("scripts/run.sh", "#!/bin/sh\n"),
            (LATE_FILE, "# back end\n"),
            ("scripts/clang-tools/gen.py", "# list\n"),
            ("drivers/.gitignore", "*.tmp\n"),
            ("drivers/net/Makefile", "obj-y += net.o\n"),
            ("drivers/net/net.c", "int net;\n"),
            ("arch/x86/Makefile", "# x86\n"),
            ("arch/x86/boot/dts/board.dts", "/* board */\n"),
            ("arch/sparc/Makefile", "# sparc\n"),
            ("arch/sparc/kernel.c", "int sparc;\n"),
            ("init/left.o", "left from elsewhere\n"),
            (".git/HEAD", "ref: refs/heads/main\n"),
        ] {
            kernel.write(path, content);
        }
        symlink("a.h", kernel.source().join("include/link.h")).unwrap();
        kernel.set_mode("scripts/run.sh", 0o755);
        kernel
    }

    fn source(&self) -> PathBuf {
        self.dir.path().join("source")
    }

    fn copy(&self) -> PathBuf {
        self.dir.path().join("copy")
    }

    fn write(&self, path: &str, content: &str) {
        let file = self.source().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }

    fn remove(&self, path: &str) {
        remove_file(&self.source().join(path)).unwrap();
    }

    fn set_mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.source().join(path), fs::Permissions::from_mode(mode)).unwrap();
    }

    fn sync(&self) -> SourceCopy {
        self.sync_with(&[]).unwrap()
    }

    fn sync_with(&self, mutations: &[Mutation]) -> Result<SourceCopy, Error> {
        SourceCopy::of_files(
            Files::Directory(&self.source()),
            &self.copy(),
            &["x86"],
            mutations,
        )
    }

    /// Syncs, and compares the copy with one that is made from nothing.
    fn assert_in_step(&self, after: &str) -> SourceCopy {
        let copy = self.sync();
        let fresh_dir = tempfile::tempdir().unwrap();
        let fresh = SourceCopy::of_files(
            Files::Directory(&self.source()),
            fresh_dir.path(),
            &["x86"],
            &[],
        )
        .unwrap();
        for part in ["early", "late"] {
            assert_eq!(
                whole(&self.copy().join(part)),
                whole(&fresh_dir.path().join(part)),
                "{part} after {after}"
            );
        }
        for extent in [Extent::ReadByPrepare, Extent::All] {
            assert_eq!(
                copy.fingerprint(extent),
                fresh.fingerprint(extent),
                "the fingerprint after {after}"
            );
        }
        copy
    }

    fn prints(&self) -> (blake3::Hash, blake3::Hash) {
        let copy = self.sync();
        (
            copy.fingerprint(Extent::ReadByPrepare),
            copy.fingerprint(Extent::All),
        )
    }
}

/// Waits until a later change of any file would be visible.
fn settle() {
    std::thread::sleep(UNSETTLED + Duration::from_millis(50));
}

/// Everything below a folder that a build could see: kinds, modes, times, contents.
fn whole(folder: &Path) -> BTreeMap<PathBuf, String> {
    WalkDir::new(folder)
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            let seen = if meta.is_dir() {
                "folder".to_owned()
            } else if meta.is_symlink() {
                format!("link to {}", fs::read_link(entry.path()).unwrap().display())
            } else {
                let content = fs::read(entry.path()).unwrap();
                format!(
                    "{:o} {} {}",
                    meta.mode(),
                    meta.mtime(),
                    content.escape_ascii()
                )
            };
            let path = entry.path().strip_prefix(folder).unwrap().to_owned();
            (path, seen)
        })
        .collect()
}

/// What changes with any write to a tree, even one that sets the old time again.
fn last_changes(folder: &Path) -> BTreeMap<PathBuf, (u32, i64, i64, i64, i64, u64)> {
    WalkDir::new(folder)
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let m = entry.metadata().unwrap();
            let state = (
                m.mode(),
                m.mtime(),
                m.mtime_nsec(),
                m.ctime(),
                m.ctime_nsec(),
                m.ino(),
            );
            (entry.path().to_owned(), state)
        })
        .collect()
}

#[test]
fn a_copy_holds_what_the_makefiles_read_and_nothing_else() {
    let kernel = Kernel::new();
    let copy = kernel.sync();
    let paths: Vec<&str> = copy.paths().collect();
    assert_eq!(
        paths,
        [
            ".gitignore",
            "Kbuild",
            "Makefile",
            "arch/sparc/Makefile",
            "arch/x86/Makefile",
            "drivers/.gitignore",
            "drivers/net/Makefile",
            "folder/inner/file",
            "include/a.h",
            "include/b.h",
            "include/link.h",
            "scripts/Makefile.build",
            "scripts/Makefile.thinlto",
            "scripts/clang-tools/gen.py",
            "scripts/run.sh",
        ]
    );
    assert_eq!(copy.read(HEADER).unwrap(), b"int a;\n");
    let script = kernel.copy().join("early/scripts/run.sh");
    assert_eq!(fs::metadata(script).unwrap().mode() & 0o777, 0o755);
}

/// In a linked work tree `.git` is a file, and leads to where the commit at hand is: what
/// no fingerprint covers.
#[test]
fn the_git_file_of_a_linked_work_tree_is_not_copied() {
    let kernel = Kernel::new();
    kernel.remove(".git");
    kernel.write(".git", "gitdir: /elsewhere/.git/worktrees/kernel\n");
    let copy = kernel.sync();
    assert!(copy.paths().all(|path| path != ".git"));
}

fn link_tree(copy: &SourceCopy, tree: &Path, extent: Extent) {
    let links = copy.links(extent).unwrap();
    dir_state::write_tree(tree, &links, TIME).unwrap();
}

#[rstest]
#[case::as_it_is(false)]
#[case::read_only(true)]
fn the_source_tree_is_only_read(#[case] read_only: bool) {
    let kernel = Kernel::new();
    let entries = last_changes(&kernel.source());
    if read_only {
        for (path, (mode, ..)) in &entries {
            if !path.is_symlink() {
                fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o555)).unwrap();
            }
        }
    }
    let before = last_changes(&kernel.source());

    let copy = kernel.sync();
    link_tree(&copy, &kernel.dir.path().join("tree"), Extent::All);
    kernel
        .sync_with(&[mutated::mutation("Makefile", "VERSION", "version")])
        .unwrap();
    kernel.sync();

    assert_eq!(last_changes(&kernel.source()), before);
    if read_only {
        for path in entries.keys().filter(|path| path.is_dir()) {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }
}

/// A change of the source tree.
type Change = (&'static str, fn(&Kernel));

/// Each on files of its own.
const CHANGES: &[Change] = &[
    ("another content of the same size and time", |kernel| {
        let file = kernel.source().join(HEADER);
        let time = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, "int z;\n").unwrap();
        let file = fs::File::open(file).unwrap();
        file.set_modified(time).unwrap();
    }),
    ("a longer file", |kernel| {
        kernel.write("Kbuild", "obj-y += init/ lib/\n");
    }),
    ("another late file", |kernel| {
        kernel.write(LATE_FILE, "# other\n");
    }),
    ("a mode", |kernel| {
        kernel.set_mode("scripts/Makefile.build", 0o755);
    }),
    ("a mode taken away", |kernel| {
        kernel.set_mode("scripts/run.sh", 0o644);
    }),
    ("a new file", |kernel| {
        kernel.write("include/new/new.h", "int n;\n");
    }),
    ("a deleted file", |kernel| {
        kernel.remove("arch/sparc/Makefile");
    }),
    ("a renamed folder", |kernel| {
        let folder = kernel.source().join("folder");
        fs::rename(&folder, kernel.source().join("renamed")).unwrap();
    }),
    ("a file that becomes a link", |kernel| {
        kernel.remove("include/b.h");
        symlink("a.h", kernel.source().join("include/b.h")).unwrap();
    }),
    ("a link that becomes a file", |kernel| {
        kernel.remove("include/link.h");
        kernel.write("include/link.h", "a.h");
    }),
    ("a file that becomes a folder", |kernel| {
        kernel.remove("Makefile");
        kernel.write("Makefile/inner", "x\n");
    }),
    ("a folder that becomes a file", |kernel| {
        kernel.remove("arch/x86");
        kernel.write("arch/x86/Makefile", "# x86, again\n");
        kernel.remove("scripts/clang-tools");
        kernel.write("scripts/clang-tools", "x\n");
    }),
    ("a folder that becomes a link", |kernel| {
        kernel.remove("drivers/net");
        symlink("../include", kernel.source().join("drivers/net")).unwrap();
    }),
];

#[test]
fn each_change_is_copied() {
    for (name, change) in CHANGES {
        let kernel = Kernel::new();
        let before = kernel.prints();

        change(&kernel);

        kernel.assert_in_step(name);
        assert_ne!(kernel.prints().1, before.1, "{name}");
    }
}

/// Long after a change, only the file system shows it.
#[test]
fn changes_are_copied_though_everything_is_settled() {
    let kernel = Kernel::new();
    settle();
    kernel.sync();
    let index = read_index(&kernel.copy().join("index.json"));
    assert!(
        index.values().all(|file| file.seen.stamp.is_settled()),
        "{index:#?}"
    );

    for (_, change) in CHANGES {
        change(&kernel);
    }
    settle();

    kernel.assert_in_step("all of them");
}

/// Two writes within one tick of the clock leave the same times.
#[rstest]
#[case::looked_at_at_once(false)]
#[case::looked_at_later(true)]
fn a_change_in_the_same_tick_is_copied(#[case] later: bool) {
    let kernel = Kernel::new();
    kernel.sync();
    kernel.write(HEADER, "int z;\n");
    // The index of a sync between the two writes.
    let index = kernel.copy().join("index.json");
    let mut known = read_index(&index);
    let meta = fs::metadata(kernel.source().join(HEADER)).unwrap();
    let Stamp::File {
        modified,
        changed,
        settled,
        ..
    } = &mut known.get_mut(HEADER).unwrap().seen.stamp
    else {
        panic!("a file of a directory");
    };
    *modified = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    *changed = i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec());
    assert!(!*settled);
    fs::write(&index, serde_json::to_vec(&known).unwrap()).unwrap();
    if later {
        settle();
    }

    kernel.assert_in_step("the second write");
}

#[rstest]
#[case::missing(None)]
#[case::empty(Some(""))]
#[case::garbage(Some("\u{0}garbage"))]
#[case::half(Some(r#"{"Makefile":{"seen":{"len":12,"#))]
#[case::of_other_shape(Some(r#"{"Makefile":1}"#))]
fn an_interrupted_sync_is_made_good(#[case] index: Option<&str>) {
    let kernel = Kernel::new();
    kernel.sync();
    let index_file = kernel.copy().join("index.json");
    fs::remove_file(&index_file).unwrap();
    if let Some(text) = index {
        fs::write(&index_file, text).unwrap();
    }
    // What an interrupted write can leave looks like a whole file.
    let file = kernel.copy().join("early").join(HEADER);
    fs::write(&file, "int ?;\n").unwrap();
    dir_state::set_modified(&file, TIME).unwrap();
    fs::remove_file(kernel.copy().join("late").join(LATE_FILE)).unwrap();
    fs::write(kernel.copy().join("early/half"), "x").unwrap();

    kernel.assert_in_step("an interrupted sync");
}

#[test]
fn a_sync_that_fails_leaves_nothing_to_trust() {
    let kernel = Kernel::new();
    kernel.sync();
    let misfit = mutated::mutation("Makefile", "no such text", "");
    assert!(kernel.sync_with(&[misfit]).is_err());
    assert!(!kernel.copy().join("index.json").exists());
    kernel.assert_in_step("a sync that failed");
}

#[rstest]
#[case::edited(|dir: &Path| fs::write(dir.join(HEADER), "int a, b;\n").unwrap())]
#[case::edited_in_place(|dir: &Path| fs::write(dir.join(HEADER), "int z;\n").unwrap())]
#[case::deleted(|dir: &Path| fs::remove_file(dir.join(HEADER)).unwrap())]
#[case::folder_deleted(|dir: &Path| fs::remove_dir_all(dir.join("include")).unwrap())]
#[case::mode(|dir: &Path| fs::set_permissions(dir.join(HEADER), fs::Permissions::from_mode(0o755)).unwrap())]
#[case::added(|dir: &Path| fs::write(dir.join("include/added.h"), "").unwrap())]
#[case::folder_in_its_place(|dir: &Path| {
    fs::remove_file(dir.join(HEADER)).unwrap();
    fs::create_dir(dir.join(HEADER)).unwrap();
    fs::write(dir.join(HEADER).join("x"), "").unwrap();
})]
#[case::link_in_its_place(|dir: &Path| {
    fs::remove_file(dir.join(HEADER)).unwrap();
    symlink("b.h", dir.join(HEADER)).unwrap();
})]
#[case::link_leads_elsewhere(|dir: &Path| {
    fs::remove_file(dir.join("include/link.h")).unwrap();
    symlink("b.h", dir.join("include/link.h")).unwrap();
})]
fn a_damaged_copy_is_repaired(#[case] damage: fn(&Path)) {
    let kernel = Kernel::new();
    kernel.sync();

    damage(&kernel.copy().join("early"));

    kernel.assert_in_step("the damage");
}

/// The limit of that, tested so that nobody relies on more: an edit of the copy that
/// restores size and time is not noticed. Reading every file each time would take seconds.
#[test]
fn damage_that_keeps_size_and_time_is_not_seen() {
    let kernel = Kernel::new();
    kernel.sync();
    let file = kernel.copy().join("early").join(HEADER);
    fs::write(&file, "int ?;\n").unwrap();
    dir_state::set_modified(&file, TIME).unwrap();

    assert_eq!(kernel.sync().read(HEADER).unwrap(), b"int ?;\n");
}

/// Where a scenario looks for what git ignores: all of them lie there, by their own paths.
#[test]
fn every_gitignore_file_is_found_where_the_copy_says() {
    let kernel = Kernel::new();
    let copy = kernel.sync();
    let files = copy.paths().filter(|path| path.ends_with(".gitignore"));
    let files: Vec<&str> = files.collect();
    assert_eq!(files, [".gitignore", "drivers/.gitignore"]);
    for file in files {
        let text = fs::read(copy.gitignore().join(file)).unwrap();
        assert_eq!(text, copy.read(file).unwrap(), "{file}");
    }
}
