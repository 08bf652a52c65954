//! A synthetic kernel build tree for one test: real objects of a few lines each, built
//! as kbuild builds a kernel, then broken by the test and checked by klto.
//!
//! Building takes about a second, so pristine trees are kept under `CARGO_TARGET_TMPDIR`,
//! by the sources and the compiler they were made with, and each test gets a copy.

pub mod bits;
pub mod kbuild;
pub mod layout;
pub mod recipes;
pub mod toolchain;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use klto::input::arch_table;
use klto::judge::check::{self, Coverage, Subject};
use klto::judge::inspect::{InspectRequest, Inspected, inspect, mode_of};
use klto::model::cell::LtoMode;
use klto::model::error::Error;
use klto::model::facts::{Facts, Goal};
use klto::model::finding::Finding;
use klto::model::record::FindingRecord;
use klto::tree::collect::{BuildTree, collect};
use tempfile::TempDir;

use crate::support::kept;

use kbuild::{Kbuild, Step, Stopped};
use layout::Target;
use recipes::Recipes;

/// A copy of a finished build tree, removed with the test.
pub struct Tree {
    /// Holds the source tree; removed with this.
    _dir: TempDir,
    kbuild: Kbuild,
}

impl Tree {
    /// A tree with nothing wrong in it.
    pub fn pristine(target: &'static Target, mode: LtoMode) -> Tree {
        let dir = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let source = dir.path().join("linux");
        copy(&cached(target, mode), &source);
        let kbuild = Kbuild::new(target, mode, &source);
        Tree { _dir: dir, kbuild }
    }

    /// The build tree.
    pub fn path(&self) -> PathBuf {
        self.kbuild.out.clone()
    }

    /// A file of the build tree.
    pub fn file(&self, file: &str) -> PathBuf {
        self.path().join(file)
    }

    /// The architecture's own directory under `arch/`.
    pub fn src(&self) -> &'static str {
        self.kbuild.target.src
    }

    /// The text of the build log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.kbuild.log()).unwrap()
    }

    /// Adds what a tool said to the build log.
    pub fn add_to_log(&self, text: &str) {
        let log = self.log() + text + "\n";
        std::fs::write(self.kbuild.log(), log).unwrap();
    }

    pub fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.file(file)).unwrap_or_else(|e| panic!("{file}: {e}"))
    }

    pub fn text(&self, file: &str) -> String {
        String::from_utf8(self.read(file)).unwrap()
    }

    pub fn exists(&self, file: &str) -> bool {
        self.file(file).exists()
    }

    fn modified(&self, file: &str) -> SystemTime {
        let metadata = std::fs::metadata(self.file(file));
        metadata
            .and_then(|m| m.modified())
            .unwrap_or_else(|e| panic!("{file}: {e}"))
    }

    fn set_modified(&self, file: &str, time: SystemTime) {
        let open = std::fs::File::options().write(true).open(self.file(file));
        open.and_then(|open| open.set_modified(time))
            .unwrap_or_else(|e| panic!("{file}: {e}"));
    }

    /// Puts other content into a file, as if the build had written it: at the same time.
    pub fn write(&self, file: &str, content: impl AsRef<[u8]>) {
        let modified = self.modified(file);
        std::fs::write(self.file(file), content).unwrap();
        self.set_modified(file, modified);
    }

    /// Changes the text of a file, as if the build had written it so. A change that
    /// changes nothing is a mistake in the test.
    #[track_caller]
    pub fn edit(&self, file: &str, change: impl FnOnce(&str) -> String) {
        let text = self.text(file);
        let changed = change(&text);
        assert_ne!(text, changed, "the edit of {file} changes nothing");
        self.write(file, changed);
    }

    /// Configures the tree otherwise, as if it had been built so.
    #[track_caller]
    pub fn edit_config(&self, change: impl Fn(&str) -> String) {
        for file in [".config", "include/config/auto.conf"] {
            self.edit(file, &change);
        }
    }

    /// Cuts a file at an offset, as a full disk does.
    pub fn truncate(&self, file: &str, length: usize) {
        let content = self.read(file);
        assert!(length < content.len(), "{file} has {} bytes", content.len());
        self.write(file, &content[..length]);
    }

    pub fn remove(&self, file: &str) {
        std::fs::remove_file(self.file(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
    }

    /// Puts the content of one file into another, which keeps its time.
    pub fn replace(&self, file: &str, by: &str) {
        self.write(file, self.read(by));
    }

    /// Makes a file the newest one of the tree.
    pub fn touch(&self, file: &str) {
        self.set_modified(file, SystemTime::now());
    }

    /// Runs a step whose outcome is not part of the build: the file it makes keeps the
    /// time and, beyond its content, everything stays.
    pub fn keeping_time(&self, file: &str, make: impl FnOnce()) {
        let modified = self.modified(file);
        make();
        self.set_modified(file, modified);
    }

    /// Runs a shell command in the build tree.
    #[track_caller]
    pub fn shell(&self, command: &str) -> toolchain::Ran {
        toolchain::shell(&self.path(), command).expect_ok()
    }

    /// Recreates an archive from a list of members; it keeps its time.
    pub fn archive(&self, archive: &str, letters: &str, members: &[&str]) {
        self.keeping_time(archive, || {
            self.remove(archive);
            let mut args = vec![letters, archive];
            args.extend(members);
            toolchain::run(&self.path(), toolchain::AR, args).expect_ok();
        });
    }

    pub fn members(&self, archive: &str) -> Vec<String> {
        self.kbuild.members(archive).unwrap()
    }

    /// The command that a `.cmd` file records, ready for the shell.
    pub fn recorded_command(&self, cmd: &str) -> String {
        let text = self.text(cmd);
        let line = text.lines().next().unwrap();
        let (_, command) = line.split_once(" := ").unwrap();
        command.replace("$(pound)", "#").replace("$$", "$")
    }

    /// Builds again from `step` on by other recipes, to the end.
    #[track_caller]
    pub fn make(&mut self, step: Step, recipes: Recipes) {
        if let Err(stopped) = self.try_make(step, recipes) {
            panic!("make stops at {:?}:\n{}", stopped.step, stopped.stderr);
        }
    }

    /// Builds again from `step` on by other recipes, which make cannot bring to the end:
    /// the files of the later steps are missing.
    #[track_caller]
    pub fn make_until_it_fails(&mut self, step: Step, recipes: Recipes, fails_at: Step) -> String {
        self.unmake(step);
        let stopped = self
            .try_make(step, recipes)
            .expect_err("make comes to its end");
        assert_eq!(stopped.step, fails_at, "{}", stopped.stderr);
        stopped.stderr
    }

    /// Builds again from `first` to `last`, where make is interrupted: what the steps
    /// made is still there, from the earlier build.
    #[track_caller]
    pub fn make_until(&mut self, first: Step, last: Step, recipes: Recipes) {
        self.kbuild.recipes = recipes;
        for step in Step::ALL {
            if step >= first && step <= last {
                self.kbuild.take(step).unwrap();
            }
        }
    }

    /// Makes `compile_commands.json`.
    pub fn compile_commands(&mut self, recipes: Recipes) {
        self.kbuild.recipes = recipes;
        self.kbuild.compile_commands();
    }

    /// Takes an object out of the makefiles.
    pub fn drop_object(&mut self, object: &str) {
        let before = self.kbuild.units.len();
        self.kbuild.units.retain(|unit| unit.object != object);
        assert_eq!(self.kbuild.units.len() + 1, before, "there is one {object}");
    }

    /// Takes away what the steps from `step` on made, as if make had not come to them.
    pub fn unmake(&self, step: Step) {
        for (made_by, file) in MADE {
            if *made_by >= step && self.exists(file) {
                self.remove(file);
            }
        }
    }

    fn try_make(&mut self, step: Step, recipes: Recipes) -> Result<(), Stopped> {
        self.kbuild.recipes = recipes;
        self.kbuild.make(step)
    }

    /// What klto says of the tree and its log.
    pub fn answer(&self) -> Result<Inspected, Error> {
        self.ask(&Asked::default())
    }

    /// Asks with other expectations than those that the tree itself gives rise to. What klto
    /// says of the tree, it must say of its facts after they were kept.
    pub fn ask(&self, asked: &Asked) -> Result<Inspected, Error> {
        self.with_request(asked, |request| {
            let inspected = inspect(request)?;
            kept::assert_same(request, &inspected);
            Ok(inspected)
        })
    }

    /// What a record would hold of the tree.
    pub fn inspect(&self) -> Result<Inspected, Error> {
        self.with_request(&Asked::default(), inspect)
    }

    fn with_request<T>(&self, asked: &Asked, ask: impl FnOnce(&InspectRequest) -> T) -> T {
        ask(&InspectRequest {
            build: &self.path(),
            external: None,
            source: None,
            log: Some(&self.kbuild.log()),
            goal: Goal::Vmlinux,
            arch: None,
            mode: asked.mode,
            requested: &asked.requested,
            only: &[],
        })
    }

    #[track_caller]
    pub fn findings(&self) -> Vec<FindingRecord> {
        self.answer().unwrap().inspection.findings
    }

    /// What is read from the tree and its log.
    pub fn facts(&self) -> Facts {
        let tree = BuildTree::open(&self.path(), None, Some(&self.kbuild.log())).unwrap();
        collect(&tree).unwrap()
    }

    /// Runs the rules that `only` covers (all, where it is empty) over `facts` of this tree.
    pub fn check(&self, facts: &Facts, only: &[&str]) -> (Vec<Coverage>, Vec<Finding>) {
        let subject = Subject {
            facts,
            arch: arch_table::by_name(self.kbuild.target.name).unwrap(),
            mode: mode_of(facts),
            requested: &BTreeMap::from([("CONFIG_MODVERSIONS".to_owned(), "y".to_owned())]),
        };
        let only: Vec<String> = only.iter().map(|key| (*key).to_owned()).collect();
        check::check(&subject, &only)
    }
}

/// What a cell asks of a tree.
#[derive(Debug, Default)]
pub struct Asked {
    pub mode: Option<LtoMode>,
    /// Symbols with `CONFIG_`, and their values.
    pub requested: BTreeMap<String, String>,
}

/// The file whose presence says that a step was taken.
pub const MADE: &[(Step, &str)] = &[
    (Step::Fixup, "built-in-fixup.a"),
    (Step::Order, "builtin.order"),
    (Step::Index, "vmlinux.thinlto-index"),
    (Step::VmlinuxA, "vmlinux.a"),
    (Step::VmlinuxO, "vmlinux.o"),
    (Step::Modpost, ".vmlinux.objs"),
    (Step::Modpost, "vmlinux.symvers"),
    (Step::Modpost, "Module.symvers"),
    (Step::Modpost, ".vmlinux.export.c"),
    (Step::Vmlinux, "vmlinux"),
];

/// The keys of findings, each once.
pub fn keys(findings: &[FindingRecord]) -> BTreeSet<&str> {
    findings.iter().map(|finding| &*finding.key).collect()
}

/// Where the pristine tree is, building it if no test has yet.
fn cached(target: &'static Target, mode: LtoMode) -> PathBuf {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("synthetic-trees");
    let mut hasher = DefaultHasher::new();
    toolchain::clang_identity().hash(&mut hasher);
    layout::SOURCES.hash(&mut hasher);
    for code in [
        include_str!("tree/kbuild.rs"),
        include_str!("tree/kbuild/objects.rs"),
        include_str!("tree/kbuild/vmlinux.rs"),
        include_str!("tree/layout.rs"),
        include_str!("tree/recipes.rs"),
    ] {
        code.hash(&mut hasher);
    }
    let name = format!("{}-{mode}-{:016x}", target.name, hasher.finish());
    let tree = cache.join(name);
    if tree.exists() {
        return tree;
    }
    std::fs::create_dir_all(&cache).unwrap();
    forget_earlier(&cache, &format!("{}-{mode}-", target.name), &tree);
    let unfinished = TempDir::new_in(&cache).unwrap();
    let source = unfinished.path().join("linux");
    let kbuild = Kbuild::new(target, mode, &source);
    kbuild.configure();
    if let Err(stopped) = kbuild.make(Step::Objects) {
        panic!(
            "the pristine {} {mode} tree cannot be built, at {:?}:\n{}",
            target.name, stopped.step, stopped.stderr
        );
    }
    // Another test's process may have been faster; its tree is as good.
    if let Err(e) = std::fs::rename(&source, &tree) {
        assert!(tree.exists(), "{}: {e}", tree.display());
    }
    tree
}

/// Removes trees that were made from other sources or by another compiler.
fn forget_earlier(cache: &Path, prefix: &str, but: &Path) {
    for entry in std::fs::read_dir(cache).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str());
        let key = name.and_then(|name| name.strip_prefix(prefix));
        let is_earlier = key.is_some_and(|key| key.bytes().all(|b| b.is_ascii_hexdigit()));
        if is_earlier && path != but {
            // Another test's process may be faster.
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// Copies a tree with its times and links.
fn copy(from: &Path, to: &Path) {
    let args = ["-a".as_ref(), from.as_os_str(), to.as_os_str()];
    toolchain::run(Path::new("/"), "cp", args).expect_ok();
}
