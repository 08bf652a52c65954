//! A test bed for scenarios: the tiny kernel or the fake one, with one line broken, built
//! once in a folder of its own. After each scenario it checks that the
//! sources and the build tree are what they were.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use klto::build::dir_state::{DirState, mirror, set_modified};
use klto::build::kbuild::{Build, BuildOutcome, KERNEL, Launcher, Parallelism, Target, Watch};
use klto::build::process::{Cancel, Meter};
use klto::input::arch_table;
use klto::input::yaml;
use klto::judge::inspect::{InspectRequest, inspect};
use klto::judge::snapshot::Snapshot;
use klto::model::cell::{Base, Cell, LtoMode};
use klto::model::error::Error;
use klto::model::facts::Goal;
use klto::model::record::FindingRecord;
use klto::run::scenario::engine::{CleanBuild, ScenarioContext, ScenarioOutcome};
use klto::run::scenario::{EditTargets, Scenario};
use tempfile::TempDir;

/// The compilers are started as they are.
static NO_LAUNCHER: Launcher = Launcher {
    environment: Vec::new(),
    statistics: None,
};

/// Which sources are built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kernel {
    /// A makefile of a few lines; klto cannot check its tree.
    Tiny,
    /// Leaves a tree that breaks no rule.
    Fake,
}

/// One file, a text in it, and its replacement.
pub type Break = (&'static str, &'static str, &'static str);

const SITE: &str = "
edits:
  header: { file: shared.h, append: \"int more;\\n\" }
  source: { file: two.c, append: \"int more;\\n\" }
  object: { file: two.c, append: \"int more;\\n\", rebuilds: [two.o, one.o] }
  folder: { file: two.c, append: \"int more;\\n\", rebuilds: \"\" }
  fault: { file: fault, append: empty-object }
intermediates:
  - { file: one.o }
  - { file: two.o, spared: [truncated, garbage] }
  - { file: list }
  - { file: only-in-full, lto: [full] }
";

const SOURCE_TIME: i128 = 1_600_000_000 * 1_000_000_000;

/// A kernel that was built.
pub struct Stand {
    dir: TempDir,
    target: Target,
    cell: Cell,
    prepared: DirState,
    built_state: DirState,
    pub findings: Vec<FindingRecord>,
    snapshot: Snapshot,
    /// Snapshots of clean builds of other modes; their tree is in `clean`.
    pub others: BTreeMap<LtoMode, Snapshot>,
    pub builds_others: bool,
    pub cancel: Cancel,
}

impl Stand {
    pub fn new(kernel: Kernel, breaks: &[Break]) -> Stand {
        let dir = tempfile::Builder::new().prefix("klto-").tempdir().unwrap();
        let support = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support");
        let (from, target, goal) = match kernel {
            Kernel::Tiny => ("tiny_kernel", TINY, "all"),
            Kernel::Fake => ("fake_kernel", KERNEL, "vmlinux"),
        };
        let source = dir.path().join("source");
        mirror(&support.join(from), &source).unwrap();
        // Not among the files, where our own git would read it.
        let (file, text) = match kernel {
            Kernel::Tiny => (".gitignore", "*.o\n.*\n/sum\n"),
            Kernel::Fake => ("fault", ""),
        };
        fs::write(source.join(file), text).unwrap();
        for (file, pattern, replace) in breaks {
            let file = source.join(file);
            let text = fs::read_to_string(&file).unwrap();
            assert_eq!(text.matches(pattern).count(), 1, "{pattern} in {text}");
            fs::write(&file, text.replace(pattern, replace)).unwrap();
        }
        for path in DirState::of(&source).unwrap().0.keys() {
            set_modified(&source.join(path), SOURCE_TIME).unwrap();
        }
        fs::create_dir(dir.path().join("build")).unwrap();
        fs::create_dir(dir.path().join("scratch")).unwrap();
        let mut stand = Stand {
            dir,
            target,
            cell: cell(goal),
            prepared: DirState::default(),
            built_state: DirState::default(),
            findings: Vec::new(),
            snapshot: Snapshot::new(),
            others: BTreeMap::new(),
            builds_others: true,
            cancel: Cancel::new(),
        };
        stand.build_first(kernel);
        stand
    }

    fn build_first(&mut self, kernel: Kernel) {
        let (dir, log) = (self.path("build"), self.path("first.log"));
        let done =
            |outcome: BuildOutcome| assert!(matches!(outcome, BuildOutcome::Done), "{outcome:?}");
        let (prepared, snapshot) = self.with_build(&log, |build| match kernel {
            Kernel::Tiny => {
                fs::write(dir.join(".config"), "").unwrap();
                let prepared = DirState::of(&dir).unwrap();
                // In this order, which is not the one that make takes by itself.
                done(build.make_with(&[], &["two".to_owned()]).unwrap());
                done(build.make_with(&[], &[]).unwrap());
                (prepared, Snapshot::new())
            }
            Kernel::Fake => {
                build.make_base().unwrap();
                build.configure().unwrap().unwrap();
                let prepared = DirState::of(&dir).unwrap();
                done(build.make_with(&[], &[]).unwrap());
                let answer = inspect(&InspectRequest {
                    build: &dir,
                    external: None,
                    source: Some(build.source),
                    log: None,
                    goal: build.target.reaches,
                    arch: Some(&build.cell.arch),
                    mode: Some(build.cell.lto),
                    requested: &build.cell.requested(),
                    only: &[],
                });
                let answer = answer.unwrap();
                assert!(answer.inspection.findings.is_empty(), "{answer:#?}");
                (prepared, answer.snapshot)
            }
        });
        mirror(&dir, &self.path("built")).unwrap();
        self.built_state = DirState::of(&self.path("built")).unwrap();
        self.prepared = prepared;
        self.snapshot = snapshot;
    }

    fn with_build<T>(&self, log: &Path, act: impl FnOnce(Build<'_>) -> T) -> T {
        act(Build {
            cell: &self.cell,
            source: &self.path("source"),
            dir: &self.path("build"),
            target: self.target,
            parallelism: Parallelism::Jobs(2),
            launcher: &NO_LAUNCHER,
            sandbox: None,
            fills_cache: true,
            log,
            deadline: None,
            cancel: &self.cancel,
            meter: &Meter::new(),
            watch: Watch(&|_| {}),
        })
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs steps, each a line of YAML.
    pub fn run(&self, steps: &str) -> Result<ScenarioOutcome, Error> {
        let text = format!("name: case\nabout: a case\nsteps:\n{steps}");
        let scenario: Scenario = yaml::parse(&text, Path::new("case.yaml")).unwrap();
        let edit_targets: EditTargets = yaml::parse(SITE, Path::new("edit-targets.yaml")).unwrap();
        let before = self.everything();
        let clean = self.path("clean");
        let others = self.others.iter().map(|(mode, snapshot)| {
            let dir = &*clean;
            (*mode, CleanBuild { dir, snapshot })
        });
        let others = others.collect();
        let played = self.with_build(&self.path("last.log"), |build| {
            let context = ScenarioContext {
                build,
                prepared: &self.prepared,
                built: &self.path("built"),
                built_state: &self.built_state,
                edit_targets: &edit_targets,
                findings: &self.findings,
                snapshot: &self.snapshot,
                clean_builds: &others,
                builds_others: self.builds_others,
                scratch: &self.path("scratch"),
                gitignore: &self.path("source"),
                has_shuffle: false,
            };
            context.run(&scenario)
        });
        assert_eq!(
            self.everything(),
            before,
            "{steps} leaves something in the tree"
        );
        played
    }

    /// How often make ran for the last steps.
    pub fn makes(&self) -> usize {
        self.logs().len()
    }

    /// How often their logs have a text.
    pub fn logged(&self, text: &str) -> usize {
        let logs = self.logs().into_iter();
        logs.map(|log| log.matches(text).count()).sum()
    }

    fn logs(&self) -> Vec<String> {
        let files = fs::read_dir(self.path("scratch")).unwrap();
        let files = files.map(|file| file.unwrap().path());
        files
            .filter(|file| file.extension() == Some("log".as_ref()))
            .map(|log| fs::read_to_string(log).unwrap())
            .collect()
    }

    /// Sources, the build tree, its copy and the clean build of another mode: stamps and contents.
    fn everything(&self) -> Vec<(DirState, BTreeMap<PathBuf, String>)> {
        ["source", "build", "built", "clean"]
            .map(|name| {
                let dir = self.path(name);
                let state = DirState::of(&dir).unwrap();
                let contents = state.contents(&dir).unwrap();
                let texts = contents
                    .into_iter()
                    .map(|(path, hash)| (path, hash.to_string()));
                (state, texts.collect())
            })
            .into()
    }
}

const TINY: Target = Target {
    args: &[],
    reaches: Goal::Modpost,
};

fn cell(goal: &str) -> Cell {
    Cell {
        arch: arch_table::by_name("x86_64").unwrap().clone(),
        config_name: "tiny".to_owned(),
        base: Base::Goal("tinyconfig".to_owned()),
        fragments: Vec::new(),
        enable: Vec::new(),
        disable: Vec::new(),
        set: BTreeMap::new(),
        lto: LtoMode::ThinDist,
        toolchain_name: "llvm-22".to_owned(),
        make: BTreeMap::from([("LLVM".to_owned(), "-22".to_owned())]),
        goals: vec![goal.to_owned()],
        scenarios: Vec::new(),
        timeout: Duration::from_mins(1),
    }
}
