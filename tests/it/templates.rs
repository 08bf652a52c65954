//! The templates for CI systems: linters and schemas take them, their commands exist, and the steps
//! of the one for GitHub do what they say, over a fake kernel.
//!
//! `KLTO_LINTERS` names a folder with the linters (`ci/linters` prints it). If it is not set,
//! `KLTO_SKIP_VALIDATORS=1` leaves the linting out, and says so.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use serde_yaml::Value;

use crate::docs::calls_klto;
use crate::support::fake_kernel::FakeKernel;
use crate::support::foreign::foreign;
use crate::support::git::git;
use crate::support::program::{Ended, finish};

const TEMPLATES: [&str; 4] = [
    "github.yml",
    "gitlab.yml",
    "gitlab-shard.yml",
    "buildkite.yml",
];

/// The text of a template.
pub fn text(template: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("ci/templates");
    fs::read_to_string(folder.join(template)).unwrap()
}

/// A template, read as its CI system reads it.
pub fn parsed(template: &str) -> Value {
    serde_yaml::from_str(&text(template)).unwrap()
}

/// What a linter says of a file of that name.
fn linted(linter: &str, args: &[&str], name: &str, text: &str) -> Option<Ended> {
    let folder = foreign("KLTO_LINTERS", "ci/linters")?;
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), text).unwrap();
    let mut command = Command::new(folder.join(linter));
    Some(finish(command.args(args).arg(name).current_dir(dir.path())))
}

fn actionlint(text: &str) -> Option<Ended> {
    linted("actionlint", &[], "github.yml", text)
}

fn schema(template: &str) -> &'static str {
    match template {
        "github.yml" => "vendor.github-workflows",
        "buildkite.yml" => "vendor.buildkite",
        _ => "vendor.gitlab-ci",
    }
}

fn against_schema(template: &str, text: &str) -> Option<Ended> {
    let args = ["--builtin-schema", schema(template)];
    // GitLab's schema does not look at jobs that are hidden.
    let text = text.replace("\n.klto-shard:", "\nklto-shard:");
    linted("check-jsonschema", &args, template, &text)
}

#[test]
fn actionlint_takes_the_template_for_github() {
    let Some(ended) = actionlint(&text("github.yml")) else {
        return;
    };
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let says = "Checking 1 workflow file(s)";
    assert!(ended.stdout.contains(says), "{}", ended.stdout);
}

#[rstest]
#[case::job("needs: plan\n", "needs: plans\n", "plans")]
#[case::output("needs.plan.outputs.commit", "needs.plan.outputs.comit", "comit")]
#[case::input("persist-credentials:", "persist-credential:", "persist-credential")]
#[case::untrusted(
    "\"$KERNEL_REF\"",
    "\"${{ github.head_ref }}\"",
    "potentially untrusted"
)]
fn actionlint_sees_a_broken_template(#[case] right: &str, #[case] wrong: &str, #[case] says: &str) {
    let right_text = text("github.yml");
    assert!(right_text.contains(right));
    let Some(ended) = actionlint(&right_text.replacen(right, wrong, 1)) else {
        return;
    };
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    assert!(ended.stdout.contains(says), "{}", ended.stdout);
}

#[rstest]
fn a_template_has_the_form_that_its_system_expects(
    #[values("github.yml", "gitlab.yml", "gitlab-shard.yml", "buildkite.yml")] template: &str,
) {
    let Some(ended) = against_schema(template, &text(template)) else {
        return;
    };
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
}

#[rstest]
#[case("github.yml", "runs-on:", "run-on:")]
#[case("gitlab.yml", "strategy: depend", "strategy: depends")]
#[case("gitlab-shard.yml", "when: always", "when: ever")]
#[case("buildkite.yml", "parallelism: 4", "parallelism: many")]
fn a_broken_template_has_not(#[case] template: &str, #[case] right: &str, #[case] wrong: &str) {
    let right_text = text(template);
    assert!(right_text.contains(right));
    let broken = right_text.replacen(right, wrong, 1);
    let Some(ended) = against_schema(template, &broken) else {
        return;
    };
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
}

#[test]
fn gitlab_takes_the_child_pipeline() {
    let kernel = FakeKernel::new();
    let mut command = crate::support::program::klto(["plan", "--format", "gitlab"]);
    let pipeline = finish(command.arg(kernel.matrix_file())).stdout;
    let Some(ended) = against_schema("gitlab.yml", &pipeline) else {
        return;
    };
    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let pipeline: Value = serde_yaml::from_str(&pipeline).unwrap();
    let job = &pipeline["shard 1/1"];
    let template = parsed("gitlab-shard.yml");
    assert!(template.get(job["extends"].as_str().unwrap()).is_some());
    let included = pipeline["include"][0]["local"].as_str().unwrap();
    assert!(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(included)
            .is_file()
    );
}

/// The texts of shell in a template.
fn shell(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Mapping(keys) => {
            for (key, value) in keys {
                let is_shell = ["run", "script", "after_script", "command"]
                    .contains(&key.as_str().unwrap_or_default());
                match value {
                    Value::String(text) if is_shell => found.push(text.clone()),
                    Value::Sequence(lines) if is_shell => {
                        found.extend(lines.iter().filter_map(Value::as_str).map(str::to_owned));
                    }
                    value => shell(value, found),
                }
            }
        }
        Value::Sequence(items) => items.iter().for_each(|item| shell(item, found)),
        _ => {}
    }
}

fn shell_of(template: &str) -> Vec<String> {
    let mut found = Vec::new();
    shell(&parsed(template), &mut found);
    found
}

#[rstest]
#[case("github.yml", 5)]
#[case("gitlab.yml", 1)]
#[case("gitlab-shard.yml", 4)]
#[case("buildkite.yml", 3)]
fn the_commands_of_a_template_exist(#[case] template: &str, #[case] expected: usize) {
    let mut seen = 0;
    for text in shell_of(template) {
        for line in text.replace("\\\n", " ").replace("$$", "$").lines() {
            let call = match line.split_once("$(klto ") {
                Some((_, rest)) => format!("klto {}", rest.split(')').next().unwrap()),
                None => line.trim().to_owned(),
            };
            seen += usize::from(calls_klto(template, &call));
        }
    }
    assert_eq!(seen, expected, "the commands are found");
}

/// What others can write must reach a shell as a variable only.
#[test]
fn no_text_of_shell_has_an_expression_in_it() {
    for template in TEMPLATES {
        for text in shell_of(template) {
            assert!(!text.contains("${{"), "{template}: {text}");
        }
        assert!(!text(template).contains("secrets"), "{template}");
    }
    let github = parsed("github.yml");
    let read: Value = serde_yaml::from_str("{ contents: read }").unwrap();
    assert_eq!(github["permissions"], read);
}

/// The jobs of the template for GitHub, run by hand: a folder for each, and the files that a runner has.
struct Runner {
    kernel: FakeKernel,
    template: Value,
    env: BTreeMap<&'static str, String>,
}

impl Runner {
    fn new() -> Runner {
        let kernel = FakeKernel::new();
        kernel.matrix("[thin, thin-dist]", "10min");
        kernel.add_kernels();
        let _ = fs::remove_file(kernel.tools().join("git"));
        let path = std::env::var_os("PATH").unwrap();
        let real = std::env::split_paths(&path).map(|folder| folder.join("git"));
        let real = real.into_iter().find(|file| file.is_file()).unwrap();
        symlink(real, kernel.tools().join("git")).unwrap();
        git(&kernel.source(), &["init", "-q", "-b", "master"]);
        let runner = Runner {
            env: BTreeMap::from([
                ("KLTO_MATRIX", kernel.matrix_file().display().to_string()),
                ("KERNEL_URL", kernel.source().display().to_string()),
                ("KERNEL_REF", "master".to_owned()),
                ("KLTO_SHARDS", "3".to_owned()),
            ]),
            template: parsed("github.yml"),
            kernel,
        };
        runner.commit();
        runner
    }

    fn commit(&self) {
        git(&self.kernel.source(), &["add", "-A", "-f"]);
        git(
            &self.kernel.source(),
            &["commit", "-q", "--allow-empty", "-m", "one"],
        );
    }

    /// The folder of a job, with klto where the template has it.
    fn folder(&self, job: &str) -> PathBuf {
        let folder = self.kernel.dir().join(job);
        if !folder.join("bin").exists() {
            fs::create_dir_all(folder.join("bin")).unwrap();
            symlink(env!("CARGO_BIN_EXE_klto"), folder.join("bin/klto")).unwrap();
        }
        folder
    }

    /// Runs a step, by its id.
    fn step(&self, job: &str, id: &str, folder: &Path, more: &[(&str, String)]) -> Ended {
        let steps = self.template["jobs"][job]["steps"].as_sequence().unwrap();
        let step = steps.iter().find(|step| step["id"].as_str() == Some(id));
        let run = step.unwrap()["run"].as_str().unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new("bash");
        command
            .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", run])
            .current_dir(folder)
            .envs(&self.env)
            .env("PATH", format!("{}:{path}", self.kernel.tools().display()))
            .env("HOME", self.kernel.dir())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GITHUB_OUTPUT", folder.join("output"))
            .env("GITHUB_STEP_SUMMARY", folder.join("summary.md"))
            .env_remove("KLTO_STORE")
            .env_remove("KLTO_KERNEL")
            .envs(more.iter().map(|(name, value)| (*name, value)));
        finish(&mut command)
    }

    /// The jobs of a night; of the shards, those that get to their end. Returns how the shards and
    /// the merge ended.
    fn night(&self, ends: impl Fn(usize) -> bool) -> (Vec<Option<i32>>, Ended) {
        for job in ["plan", "merge", "1", "2", "3"] {
            let _ = fs::remove_dir_all(self.kernel.dir().join(job));
        }
        let planned = self.folder("plan");
        assert_eq!(self.step("plan", "plan", &planned, &[]).code, Some(0));
        let output = fs::read_to_string(planned.join("output")).unwrap();
        let value = |name: &str| {
            let mut lines = output.lines();
            lines
                .find_map(|line| line.strip_prefix(&format!("{name}=")))
                .unwrap()
                .to_owned()
        };
        let matrix: serde_json::Value = serde_json::from_str(&value("matrix")).unwrap();
        let merge = self.folder("merge");
        fs::create_dir(merge.join("runs")).unwrap();
        let mut codes = Vec::new();
        for entry in matrix["include"].as_array().unwrap() {
            let number = entry["number"].to_string();
            let env = [
                ("KLTO_COMMIT", value("commit")),
                ("KLTO_SHARD", entry["shard"].as_str().unwrap().to_owned()),
                ("KLTO_NUMBER", number.clone()),
            ];
            let folder = self.folder(&number);
            assert_eq!(self.step("shard", "fetch", &folder, &env).code, Some(0));
            codes.push(self.step("shard", "run", &folder, &env).code);
            assert_eq!(self.step("shard", "export", &folder, &env).code, Some(0));
            if ends(codes.len()) {
                let file = format!("run-{number}.tar");
                fs::copy(folder.join(&file), merge.join("runs").join(&file)).unwrap();
            }
        }
        let merged = self.step("merge", "merge", &merge, &[]);
        assert_eq!(self.step("merge", "gc", &merge, &[]).code, Some(0));
        (codes, merged)
    }

    fn report(&self, file: &str) -> String {
        fs::read_to_string(self.kernel.dir().join("merge").join(file)).unwrap()
    }
}

#[test]
fn the_steps_for_github_give_one_verdict() {
    let runner = Runner::new();
    let (codes, merged) = runner.night(|_| true);
    assert_eq!((codes, merged.code), (vec![Some(0); 3], Some(0)));
    let text = runner.report("report.txt");
    assert!(
        text.contains("\n6 cells of fake, Linux 7.2.13: ok\n"),
        "{text}"
    );
    assert!(runner.report("report.html").contains("</html>"));
    assert!(
        runner
            .report("summary.md")
            .contains("klto: fake of Linux 7.2.13-g")
    );

    // Of a shard that was lost, nothing is known.
    let (_, merged) = runner.night(|number| number != 2);
    assert_eq!(merged.code, Some(125));
    let says = "::warning title=klto%3A x86_64/small/thin/llvm-22::shard 2/3 is missing\n";
    assert!(merged.stdout.contains(says), "{}", merged.stdout);
    assert!(runner.report("report.txt").contains("shard 2/3 is missing"));

    runner.kernel.set_fault("compile-error");
    runner.commit();
    let (codes, merged) = runner.night(|_| true);
    assert_eq!((codes, merged.code), (vec![Some(1); 3], Some(1)));
    let says = "::error title=klto%3A build.failed::";
    assert!(merged.stdout.contains(says), "{}", merged.stdout);
}

/// The files of a folder that the patterns of a cache choose.
fn cached(folder: &Path, patterns: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let glob = |pattern: &str| {
        let mut glob = globset::GlobBuilder::new(pattern);
        let glob = glob.literal_separator(true).build();
        glob.unwrap().compile_matcher()
    };
    let globs: Vec<_> = patterns.lines().map(glob).collect();
    let mut files = crate::support::git::files(&folder.join("klto-work"));
    files.retain(|path, _| {
        let path = path.strip_prefix(folder).unwrap();
        globs.iter().any(|glob| glob.is_match(path))
    });
    files
}

#[test]
fn a_shard_that_is_started_again_finds_its_cells_in_the_cache() {
    let runner = Runner::new();
    let (folder, commit) = (
        runner.folder("1"),
        git(&runner.kernel.source(), &["rev-parse", "HEAD"]),
    );
    let env = [
        ("KLTO_COMMIT", commit.trim().to_owned()),
        ("KLTO_SHARD", "1/3".to_owned()),
        ("KLTO_NUMBER", "1".to_owned()),
    ];
    let run = || {
        let folder = runner.folder("1");
        assert_eq!(runner.step("shard", "fetch", &folder, &env).code, Some(0));
        assert_eq!(runner.step("shard", "run", &folder, &env).code, Some(0));
        let report = fs::read(folder.join("klto-work/report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        let cells = report["cells"].as_array().unwrap().clone();
        let reused = cells
            .into_iter()
            .map(|cell| (cell["cell"].to_string(), cell["reused"] == true));
        reused.collect::<BTreeMap<_, _>>()
    };
    let name = |mode: &str| format!("\"x86_64/tiny/{mode}/llvm-22\"");
    let is_reused = |mode: &str, reused: bool| (name(mode), reused);
    assert_eq!(
        run(),
        [is_reused("thin", false), is_reused("thin-dist", false)].into()
    );

    let steps = runner.template["jobs"]["shard"]["steps"]
        .as_sequence()
        .unwrap();
    let of = |action: &str| {
        let step = steps
            .iter()
            .find(|step| step["uses"].as_str() == Some(action));
        step.unwrap()["with"].clone()
    };
    let (saved, restored) = (of("actions/cache/save@v4"), of("actions/cache/restore@v4"));
    assert_eq!(
        (&saved["path"], &saved["key"]),
        (&restored["path"], &restored["key"])
    );
    let files = cached(&folder, saved["path"].as_str().unwrap());
    fs::remove_dir_all(&folder).unwrap();
    for (path, content) in files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    // One cell began with the other's tree, which is in no cache.
    assert_eq!(
        run(),
        [is_reused("thin", true), is_reused("thin-dist", true)].into()
    );
}
