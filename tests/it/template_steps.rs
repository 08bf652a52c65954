//! The steps of the templates for CI systems, run as their systems run them, over a repository with
//! names that are easily mixed up, and with a klto that only notes how it is called.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rstest::rstest;
use serde_yaml::Value;
use tempfile::TempDir;

use crate::support::git::git;
use crate::support::program::{Ended, finish, write_program};
use crate::templates::{parsed, text};

/// How the three systems run a script.
#[derive(Debug, Clone, Copy)]
enum System {
    Github,
    Gitlab,
    /// In an image without bash.
    GitlabSh,
    Buildkite,
}

impl System {
    fn shell(self) -> &'static [&'static str] {
        match self {
            Self::Github => &["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"],
            Self::Gitlab => &["bash", "-eo", "pipefail", "-c"],
            Self::GitlabSh => &["sh", "-e", "-c"],
            Self::Buildkite => &["bash", "-e", "-c"],
        }
    }
}

/// The text of a step for GitHub.
fn github(job: &str, id: &str) -> String {
    let template = parsed("github.yml");
    let steps = template["jobs"][job]["steps"].as_sequence().unwrap();
    let step = steps.iter().find(|step| step["id"] == id).unwrap();
    step["run"].as_str().unwrap().to_owned()
}

/// The script of a job for GitLab.
fn gitlab(template: &str, job: &str) -> String {
    let template = parsed(template);
    let lines = template[job]["script"].as_sequence().unwrap();
    let lines: Vec<&str> = lines.iter().map(|line| line.as_str().unwrap()).collect();
    lines.join("\n")
}

/// A step for Buildkite, by its label.
fn step(label: &str) -> Value {
    let template = parsed("buildkite.yml");
    let steps = template["steps"].as_sequence().unwrap();
    let step = steps.iter().find(|step| step["label"] == label);
    step.unwrap().clone()
}

/// Its command, with what the agent makes of the dollars.
fn buildkite(label: &str) -> String {
    step(label)["command"].as_str().unwrap().replace("$$", "$")
}

/// What chooses the commit.
fn plan(system: System) -> String {
    match system {
        System::Github => github("plan", "plan"),
        System::Gitlab | System::GitlabSh => gitlab("gitlab.yml", "plan"),
        System::Buildkite => buildkite("plan"),
    }
}

/// The folder of a job, and what it calls: klto and Buildkite's agent note their arguments.
struct Job {
    dir: TempDir,
}

impl Job {
    fn new() -> Job {
        let job = Job {
            dir: TempDir::new().unwrap(),
        };
        fs::create_dir(job.path("bin")).unwrap();
        job.klto("");
        job.program("buildkite-agent", "echo \"$*\" >>agent");
        job
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        write_program(&self.path("bin").join(name), text);
    }

    /// A klto that notes how it is called and then does that.
    fn klto(&self, then: &str) {
        self.program("klto", &format!("echo \"$*\" >>calls\n{then}"));
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }

    /// Runs the step that plans, for that branch or tag of a repository.
    fn plan(&self, system: System, url: &str, name: &str) -> Ended {
        let env = [
            ("KERNEL_URL", url),
            ("KERNEL_REF", name),
            ("KLTO_MATRIX", "matrices/full.yaml"),
            ("KLTO_IMAGE", "image"),
        ];
        self.run(system, &plan(system), &env)
    }

    fn run(&self, system: System, text: &str, env: &[(&str, &str)]) -> Ended {
        let (shell, args) = system.shell().split_first().unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(shell);
        command
            .args(args)
            .arg(text)
            .current_dir(self.dir.path())
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("HOME", self.dir.path())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GITHUB_OUTPUT", self.path("output"))
            .env("GITHUB_STEP_SUMMARY", self.path("summary.md"))
            .env_remove("KLTO_STORE")
            .envs(env.iter().copied());
        finish(&mut command)
    }

    /// The commit that a system's first job chose.
    fn chosen(&self, system: System) -> String {
        let (file, prefix) = match system {
            System::Github => ("output", "commit="),
            System::Gitlab | System::GitlabSh => ("plan.env", "KLTO_PLAN_COMMIT="),
            System::Buildkite => ("agent", "meta-data set klto-commit "),
        };
        let said = fs::read_to_string(self.path(file)).unwrap();
        let mut lines = said.lines();
        let found = lines.find_map(|line| line.strip_prefix(prefix));
        found.unwrap().to_owned()
    }
}

/// A repository in which other names end like the ones that are meant. Each commit has its name as its
/// subject.
struct Repository {
    dir: TempDir,
}

impl Repository {
    fn new() -> Repository {
        let dir = TempDir::new().unwrap();
        let run = |args: &[&str]| git(dir.path(), args);
        run(&["init", "-q", "-b", "master"]);
        let commit = |name: &str| {
            run(&["commit", "-q", "--allow-empty", "-m", name]);
        };
        commit("a/master");
        run(&["branch", "a/master"]);
        run(&["branch", "refs/heads/master"]);
        run(&["tag", "master"]);
        run(&["tag", "-a", "-m", "another", "a/v7.2"]);
        commit("v7.2");
        run(&["tag", "-a", "-m", "a tag", "v7.2"]);
        run(&["tag", "-a", "-m", "a tag of a tag", "v7.2-signed", "v7.2"]);
        commit("light");
        run(&["tag", "light"]);
        commit("pull");
        run(&["update-ref", "refs/pull/1/head", "HEAD"]);
        commit("master");
        Repository { dir }
    }

    fn url(&self) -> String {
        self.dir.path().display().to_string()
    }

    fn subject(&self, commit: &str) -> String {
        let kind = git(self.dir.path(), &["cat-file", "-t", commit]);
        assert_eq!(kind.trim(), "commit");
        let subject = git(self.dir.path(), &["log", "-1", "--format=%s", commit]);
        subject.trim().to_owned()
    }
}

#[rstest]
fn the_commit_is_that_of_the_ref(
    #[values(System::Github, System::Gitlab, System::GitlabSh, System::Buildkite)] system: System,
) {
    let repository = Repository::new();
    let url = repository.url();
    for (name, expected) in [
        ("master", "master"),
        ("a/master", "a/master"),
        ("v7.2", "v7.2"),
        ("v7.2-signed", "v7.2"),
        ("light", "light"),
        ("refs/heads/master", "master"),
        ("refs/tags/master", "a/master"),
        ("refs/tags/v7.2", "v7.2"),
        ("refs/pull/1/head", "pull"),
    ] {
        let job = Job::new();
        let ended = job.plan(system, &url, name);
        assert_eq!(ended.code, Some(0), "{name}: {}", ended.stderr);
        let chosen = job.chosen(system);
        assert_eq!(repository.subject(&chosen), expected, "{name}: {chosen}");
    }
}

#[rstest]
fn a_ref_that_is_not_there_is_an_error(
    #[values(System::Github, System::Gitlab, System::GitlabSh, System::Buildkite)] system: System,
    #[values("v7.3", "mast*", "heads/master", "refs/heads/v7.2", "two words", "")] name: &str,
) {
    let repository = Repository::new();
    let url = repository.url();
    let job = Job::new();
    let ended = job.plan(system, &url, name);
    assert_eq!(ended.code, Some(1));
    let says = format!("there is no '{name}' in {url}: expected a branch, a tag, or a name that");
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains(&says), "{said}");
    assert_eq!(job.calls(), "", "nothing is planned");
}

#[rstest]
fn a_repository_that_does_not_answer_is_an_error(
    #[values(System::Github, System::Gitlab, System::GitlabSh, System::Buildkite)] system: System,
) {
    let job = Job::new();
    let url = job.path("nowhere").display().to_string();
    let env = [("KERNEL_URL", url.as_str()), ("KERNEL_REF", "master")];
    let ended = job.run(system, &plan(system), &env);
    assert_eq!(ended.code, Some(128), "git's own");
    assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("there is no"));
}

/// What a shard of Buildkite leaves, and how it ends, if klto runs and exports like that.
#[rstest]
#[case::pass(0, 0, 0)]
#[case::finding(1, 0, 1)]
#[case::inconclusive(125, 0, 125)]
#[case::usage(2, 2, 2)]
#[case::nothing_to_export(0, 1, 125)]
fn a_shard_of_buildkite_is_exported_whatever_its_verdict(
    #[case] run: i32,
    #[case] export: i32,
    #[case] expected: i32,
) {
    let repository = Repository::new();
    let url = repository.url();
    let commit = git(repository.dir.path(), &["rev-parse", "HEAD"]);
    let job = Job::new();
    job.klto(&format!(
        r#"case $1 in run) exit {run} ;; *) : >"$6"; exit {export} ;; esac"#
    ));
    job.program("buildkite-agent", &format!("echo {commit}"));
    fs::write(job.path("run-9.tar"), "of another night").unwrap();
    let env = [
        ("KERNEL_URL", url.as_str()),
        ("KLTO_MATRIX", "m.yaml"),
        ("BUILDKITE_PARALLEL_JOB", "1"),
        ("BUILDKITE_PARALLEL_JOB_COUNT", "4"),
    ];
    // The second night has what the first left.
    for _ in 0..2 {
        let _ = fs::remove_file(job.path("calls"));
        let ended = job.run(System::Buildkite, &buildkite("shard"), &env);
        assert_eq!(ended.code, Some(expected), "{}", ended.stderr);
        let calls = job.calls();
        let calls: Vec<&str> = calls.lines().collect();
        assert_eq!(calls.len(), 2, "{calls:?}");
        assert!(calls[0].starts_with("run m.yaml "), "{calls:?}");
        assert!(calls[0].contains(" --shard 2/4 "), "{calls:?}");
        assert_eq!(calls[1], "runs --store klto-store export latest run-2.tar");
    }
    assert!(job.path("run-2.tar").exists());
    assert!(!job.path("run-9.tar").exists());
}

#[test]
fn what_buildkite_runs_can_be_set_for_one_build() {
    let template = parsed("buildkite.yml");
    for (name, value) in template["env"].as_mapping().unwrap() {
        let (name, value) = (name.as_str().unwrap(), value.as_str().unwrap());
        assert!(value.starts_with(&format!("${{{name}:-")), "{value}");
    }
    // If no commit was chosen, there is nothing to join.
    assert_eq!(step("merge")["depends_on"][0], "plan");
}

/// The variables of GitLab's own, and those of the job that uses them.
fn is_set_in_a_shard(name: &str) -> bool {
    name.starts_with("CI_")
        || name.starts_with("CCACHE_")
        || ["KLTO_SHARD", "KLTO_NUMBER"].contains(&name)
}

/// The variables that a text uses.
fn used(text: &str) -> BTreeSet<&str> {
    let end = |c: char| !(c.is_ascii_uppercase() || c == '_');
    let names = text.split('$').skip(1);
    let names = names.map(|rest| rest.split(end).next().unwrap());
    names.filter(|name| !name.is_empty()).collect()
}

#[test]
fn what_gitlab_plans_with_reaches_the_shards() {
    let repository = Repository::new();
    let url = repository.url();
    let job = Job::new();
    let seen = [
        ("KERNEL_URL", url.as_str()),
        ("KLTO_MATRIX", "my matrices/m.yaml"),
        ("KLTO_IMAGE", "registry.example.org/image:1"),
    ];
    let env: Vec<_> = seen.into_iter().chain([("KERNEL_REF", "v7.2")]).collect();
    let ended = job.run(System::Gitlab, &gitlab("gitlab.yml", "plan"), &env);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let plan = fs::read_to_string(job.path("plan.env")).unwrap();
    let plan: BTreeMap<&str, &str> = plan
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .collect();

    let trigger = &parsed("gitlab.yml")["shards"];
    let passed: BTreeMap<&str, &str> = trigger["variables"]
        .as_mapping()
        .unwrap()
        .iter()
        .map(|(name, value)| {
            let value = value.as_str().unwrap().strip_prefix('$').unwrap();
            (name.as_str().unwrap(), plan[value])
        })
        .collect();

    for (name, value) in seen {
        assert_eq!(passed[name], value, "{name}");
    }
    assert_eq!(repository.subject(passed["KLTO_COMMIT"]), "v7.2");
    let shard = text("gitlab-shard.yml");
    let needed: BTreeSet<&str> = used(&shard)
        .into_iter()
        .filter(|name| !is_set_in_a_shard(name))
        .collect();
    assert_eq!(needed, passed.into_keys().collect());
    // What is set for a schedule or by hand, such as CCACHE_MAXSIZE.
    assert_eq!(trigger["trigger"]["forward"]["pipeline_variables"], true);
}

#[test]
fn gitlab_does_not_run_a_matrix_for_each_push() {
    let template = parsed("gitlab.yml");
    for job in ["plan", "shards"] {
        let rules = template[job]["rules"].as_sequence().unwrap();
        assert_eq!(rules.len(), 1, "{job}");
        let rule = rules[0]["if"].as_str().unwrap();
        assert!(rule.contains("schedule|web"), "{rule}");
        assert!(!rule.contains("push"), "{rule}");
    }
}

#[rstest]
#[case::github(System::Github, github("merge", "merge"))]
#[case::gitlab(System::GitlabSh, gitlab("gitlab-shard.yml", "merge"))]
fn without_runs_there_is_nothing_to_join(#[case] system: System, #[case] text: String) {
    let job = Job::new();

    let ended = job.run(system, &text, &[]);

    assert_eq!(ended.code, Some(125));
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(said.contains("no shard exported its run"), "{said}");
    assert_eq!(job.calls(), "");
}

/// The agent says that there are none, and exits 1, which would be klto's for a finding.
#[test]
fn without_runs_there_is_nothing_to_join_on_buildkite() {
    let job = Job::new();
    job.program("buildkite-agent", "exit 1");
    let ended = job.run(System::Buildkite, &buildkite("merge"), &[]);
    assert_eq!((ended.code, job.calls().as_str()), (Some(125), ""));
}

/// The files of the last night are not joined with those of this one.
#[rstest]
#[case::github(System::Github)]
#[case::buildkite(System::Buildkite)]
fn a_merge_begins_without_the_last_nights_runs(#[case] system: System) {
    let job = Job::new();
    fs::create_dir(job.path("runs")).unwrap();
    fs::write(job.path("runs/run-9.tar"), "of another night").unwrap();
    fs::write(job.path("report.xml"), "of another night").unwrap();
    let texts = match system {
        System::Github => {
            let template = parsed("github.yml");
            let steps = template["jobs"]["merge"]["steps"].as_sequence().unwrap();
            let first = steps[0]["run"].as_str().unwrap_or(":").to_owned();
            let download = "mkdir -p runs && : >runs/run-1.tar".to_owned();
            vec![first, download, github("merge", "merge")]
        }
        System::Gitlab | System::GitlabSh | System::Buildkite => vec![buildkite("merge")],
    };
    job.program("buildkite-agent", ": >runs/run-1.tar");

    for text in texts {
        assert_eq!(job.run(system, &text, &[]).code, Some(0));
    }

    let calls = job.calls();
    let begins = "merge runs/run-1.tar --partial ";
    assert!(calls.starts_with(begins), "{calls}");
    assert!(!job.path("report.xml").exists());
}

/// GitHub keeps 10 GB of a repository's caches, and removes the oldest: the store, if shards need all
/// of it.
#[rstest]
#[case(1)]
#[case(12)]
#[case(256)]
fn what_ccache_keeps_of_two_nights_leaves_room_for_the_store(#[case] shards: u64) {
    let job = Job::new();
    job.klto("echo $CCACHE_MAXSIZE >size");
    let number = shards.to_string();
    let env = [
        ("KLTO_SHARDS", number.as_str()),
        ("KLTO_MATRIX", "m.yaml"),
        ("KLTO_COMMIT", "0"),
        ("KLTO_SHARD", "1/1"),
    ];
    let ended = job.run(System::Github, &github("shard", "run"), &env);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let size = fs::read_to_string(job.path("size")).unwrap();
    let size: u64 = size.trim().strip_suffix('M').unwrap().parse().unwrap();
    assert!((10..=4000).contains(&(size * shards)), "{size}");
    let env = &parsed("github.yml")["jobs"]["shard"]["env"];
    assert_eq!(env["KLTO_SHARDS"], "${{ strategy.job-total }}");
}

/// A job that is started again uploads under the same name.
#[test]
fn what_is_uploaded_again_replaces_the_first() {
    let template = parsed("github.yml");
    let mut seen = 0;
    for (name, job) in template["jobs"].as_mapping().unwrap() {
        for step in job["steps"].as_sequence().unwrap() {
            if step["uses"] == "actions/upload-artifact@v4" {
                seen += 1;
                assert_eq!(step["with"]["overwrite"], true, "{name:?}");
            }
        }
    }
    assert_eq!(seen, 3);
}
