//! KCIDB 5.3, which kernel CI systems send each other: a revision is a checkout, a cell is a build,
//! and a rule, a scenario, a comparison and a measurement are a test each. A finding is an issue,
//! once for all builds, and an incident in each of them. klto sends nothing.

mod objects;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use serde_json::Number as Json;

use self::objects::{
    Build, BuildMisc, Checkout, CheckoutMisc, Culprit, Document, Incident, Issue, IssueMisc,
    Number, Prefix, Status, Test, TestMisc, Version,
};
use self::text::{architecture, base_name, id, path, said, seconds, test_id, time};
use super::hidden::Hidden;
use super::json::pretty;
use super::test_tree::{self, COMPLETED, Verdict, comparison, error, inspected, scenario};
use super::{Reporter, printable};
use crate::judge::identity::{PartOf, Placed};
use crate::model::finding::{BUILD_FAILED, counted};
use crate::model::record::{
    CellRecord, Counts, Identity, Inspection, Outcome, RuleCount, RuleText, RunRecord,
};

/// The name of whoever submits; all ids begin with it.
const ORIGIN: &str = "klto";
/// KCIDB triages by the highest version of an issue. Another issue has another id here.
const ISSUE_VERSION: u32 = 1;
/// Digits of a job's key, or of the hash of a tree, in an id.
const ID_DIGITS: usize = 16;

/// Writes records for KCIDB.
#[derive(Debug, Clone, Copy, Default)]
pub struct Kcidb;

impl Reporter for Kcidb {
    fn run(&self, run: &RunRecord) -> String {
        // Mutated sources are no commit.
        let revision = format!("{}{}", run.revision, run.with());
        let mut checkout = checkout(&revision, &run.kernel, &run.klto);
        checkout.misc.matrix = said(&run.matrix);
        let started = run.cells.iter().filter_map(|cell| time(&cell.started));
        checkout.start_time = started.min_by_key(|text| DateTime::parse_from_rfc3339(text).ok());
        let mut submission = Submission::default();
        for record in &run.cells {
            let job: String = record.job.chars().take(ID_DIGITS).collect();
            let parts = [&revision, &record.cell, &job, &record.started];
            let id = id(&parts.map(String::as_str));
            submission.add_cell(&checkout.id, &id, record);
        }
        submission.add_checkout(checkout);
        submission.written()
    }

    fn inspection(
        &self,
        tree: &str,
        inspection: &Inspection,
        rules: &BTreeMap<String, RuleText>,
    ) -> String {
        let mut submission = Submission::default();
        let mut record = record_of(tree, inspection.clone());
        record.rules = rules.clone().into();
        record.settle();
        if let (Outcome::Error(_), Some(why)) = (&record.outcome, &inspection.unfinished) {
            record.outcome = Outcome::Error(format!("the build is not finished, {why}"));
        }
        submission.add_tree(tree, &record);
        submission.written()
    }
}

/// Two build trees, and what compares them as tests of the second.
#[must_use]
pub fn of_trees(names: &[String; 2], trees: &[Identity; 2], tests: &[test_tree::Test]) -> String {
    let mut submission = Submission::default();
    let mut second = String::new();
    for (name, tree) in names.iter().zip(trees) {
        let inspection = Inspection {
            identity: tree.clone(),
            counts: Counts::default(),
            warnings: BTreeMap::new(),
            rules: Vec::new(),
            findings: Vec::new(),
            unfinished: None,
            times_lost: false,
            requested: BTreeMap::new(),
        };
        second = submission.add_tree(name, &record_of(name, inspection));
    }
    let first = base_name(&names[0]);
    for test in tests {
        let mut test = of_test(&second, &test.name, test, &Hidden::default());
        test.misc.compared_with = said(first);
        submission.tests.push(test);
    }
    submission.written()
}

/// A record of a build tree that somebody else built.
fn record_of(tree: &str, inspection: Inspection) -> CellRecord {
    let mut record = CellRecord::new(base_name(tree).to_owned());
    inspection.identity.kernel.clone_into(&mut record.kernel);
    record.inspection = Some(inspection);
    record
}

/// What is to be written, as far as it is known.
#[derive(Debug, Default)]
struct Submission {
    checkouts: Vec<Checkout>,
    builds: Vec<Build>,
    tests: Vec<Test>,
    issues: Vec<Issue>,
    incidents: Vec<Incident>,
    /// The ids of issues and incidents that are there.
    known: BTreeSet<String>,
}

impl Submission {
    fn add_checkout(&mut self, checkout: Checkout) {
        if self.checkouts.iter().all(|known| known.id != checkout.id) {
            self.checkouts.push(checkout);
        }
    }

    /// Adds a tree and the kernel that it is of; returns the id of the build.
    fn add_tree(&mut self, name: &str, record: &CellRecord) -> String {
        let checkout = checkout(&record.kernel, &record.kernel, &record.klto);
        let mut hasher = blake3::Hasher::new();
        if let Some(Inspection { identity: tree, .. }) = &record.inspection {
            for part in [name, &tree.arch, tree.lto.name(), &tree.compiler] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part.as_bytes());
            }
        }
        let hash = hasher.finalize().to_hex();
        let id = id(&[&record.kernel, &record.cell, &hash[..ID_DIGITS]]);
        self.add_cell(&checkout.id, &id, record);
        self.add_checkout(checkout);
        id
    }

    fn add_cell(&mut self, checkout_id: &str, build_id: &str, record: &CellRecord) {
        let hidden = Hidden::of(record);
        self.builds
            .push(build(checkout_id, build_id, record, &hidden));
        self.tests.extend(tests(build_id, record, &hidden));
        for placed in Placed::all(record) {
            self.add_finding(build_id, placed, record, &hidden);
        }
    }

    fn add_finding(
        &mut self,
        build_id: &str,
        placed: Placed<'_>,
        record: &CellRecord,
        hidden: &Hidden<'_>,
    ) {
        let Placed { part, finding } = placed;
        let number = placed.id();
        let issue_id = id(&[&number]);
        let said_of_it = format!("{}: {}", finding.object, finding.evidence);
        let evidence = hidden.of_line(&said_of_it);
        let with_details = [&[said_of_it], &finding.details[..]].concat();
        if self.known.insert(issue_id.clone()) {
            let rule = record.rules.get(&finding.key);
            let text = |text: &String| printable(text).into_owned();
            let what = rule.map_or_else(|| "1 finding".to_owned(), |r| counted(1, &r.broken));
            let subject = format!("{}: {what}: {}", finding.key, finding.object);
            self.issues.push(Issue {
                id: issue_id.clone(),
                version: ISSUE_VERSION,
                origin: ORIGIN,
                report_subject: hidden.of_line(&subject),
                culprit: Culprit {
                    code: true,
                    tool: false,
                    harness: false,
                },
                comment: hidden.excerpt(&with_details).unwrap_or_default(),
                misc: IssueMisc {
                    rule: text(&finding.key),
                    object: hidden.of_line(&finding.object),
                    step: placed.step().as_ref().map(text),
                    severity: rule.map(|rule| rule.severity.name()),
                    invariant: rule.map(|rule| text(&rule.invariant)),
                    why: rule.map(|rule| text(&rule.why)),
                    fix: rule.map(|rule| text(&rule.fix)),
                },
            });
        }
        let name = match part {
            PartOf::Build if finding.key == BUILD_FAILED.key => None,
            PartOf::Build => Some(finding.key.clone()),
            PartOf::Scenario(name) => Some(format!("scenario.{name}")),
            PartOf::Comparison(mode) => Some(format!("comparison.{mode}")),
        };
        let incident_id = match &name {
            None => format!("{build_id}:issue:{number}"),
            Some(name) => format!("{}:issue:{number}", test_id(build_id, name)),
        };
        if self.known.insert(incident_id.clone()) {
            self.incidents.push(Incident {
                id: incident_id,
                origin: ORIGIN,
                issue_id,
                issue_version: ISSUE_VERSION,
                build_id: name.is_none().then(|| build_id.to_owned()),
                test_id: name.map(|name| test_id(build_id, &name)),
                present: true,
                comment: match &finding.allowed {
                    None => evidence,
                    Some(reason) => format!("known: {}: {evidence}", printable(reason)),
                },
            });
        }
    }

    fn written(self) -> String {
        pretty(&Document {
            version: Version { major: 5, minor: 3 },
            checkouts: self.checkouts,
            builds: self.builds,
            tests: self.tests,
            issues: self.issues,
            incidents: self.incidents,
        })
    }
}

fn checkout(revision: &str, kernel: &str, klto: &str) -> Checkout {
    let digits = revision.rsplit_once("-g").map(|(_, digits)| digits);
    let is_hex = |digits: &&str| {
        digits
            .bytes()
            .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    };
    let digits = digits.filter(|digits| digits.len() >= 7).filter(is_hex);
    let whole = digits.filter(|digits| digits.len() == 40);
    Checkout {
        id: id(&[revision]),
        origin: ORIGIN,
        git_commit_hash: whole.map(str::to_owned),
        git_commit_name: digits.map(|_| printable(revision).into_owned()),
        start_time: None,
        valid: true,
        misc: CheckoutMisc {
            klto: printable(klto).into_owned(),
            matrix: None,
            kernel: printable(kernel).into_owned(),
            revision: printable(revision).into_owned(),
        },
    }
}

fn build(checkout_id: &str, build_id: &str, record: &CellRecord, hidden: &Hidden<'_>) -> Build {
    let status = status_of_build(record);
    let findings = record.inspection.iter().flat_map(|i| &i.findings);
    let stopped_by = findings
        .filter(|finding| finding.is_open())
        .find(|_| status == Status::Fail);
    let comment = match (&record.outcome, stopped_by) {
        (Outcome::Error(why), _) => Some(hidden.of_line(why)),
        (Outcome::Skip(reason), _) => said(&reason.to_string()),
        (Outcome::Pass | Outcome::Fail, Some(finding)) => {
            let evidence = format!("{}: {}", finding.object, finding.evidence);
            Some(hidden.of_line(&evidence))
        }
        (Outcome::Pass | Outcome::Fail, None) => None,
    };
    let details = stopped_by.map(|finding| finding.details.as_slice());
    let identity = record.inspection.as_ref().map(|i| &i.identity);
    let compiler = identity.and_then(|tree| said(&tree.compiler));
    let mut parts = record.cell.split('/');
    let (arch, config) = (parts.next().unwrap_or_default(), parts.next());
    let arch = identity.map_or(arch, |tree| &tree.arch);
    let commands: Vec<&str> = record
        .reproduce
        .commands
        .iter()
        .map(String::as_str)
        .collect();
    let not_judged_here = test_tree::of_cell(record);
    let not_judged = test_tree::not_judged(std::slice::from_ref(&not_judged_here)).into_iter();
    Build {
        id: build_id.to_owned(),
        checkout_id: checkout_id.to_owned(),
        origin: ORIGIN,
        comment,
        start_time: time(&record.started),
        duration: seconds(record.cost.wall_seconds),
        architecture: architecture(arch),
        command: said(&commands.join(" && ")),
        compiler: compiler.or_else(|| said(&record.toolchain)),
        config_name: config.and_then(said),
        log_excerpt: hidden.excerpt(details.unwrap_or_default()),
        status,
        misc: BuildMisc {
            cell: printable(&record.cell).into_owned(),
            lto: identity.map(|tree| tree.lto.name()),
            job: said(&record.job),
            toolchain: said(&record.toolchain),
            baseline: record.baseline.name(),
            differs: record
                .differences
                .iter()
                .filter_map(|d| said(&d.part))
                .collect(),
            derived_from: record.derived_from.as_deref().and_then(said),
            not_judged: not_judged
                .map(|(reason, number)| (hidden.of_line(reason), number))
                .collect(),
        },
    }
}

/// What became of make. That a rule is broken in what it left is a matter of tests.
fn status_of_build(record: &CellRecord) -> Status {
    let is_stopped_by_kernel = || {
        let findings = record.inspection.iter().flat_map(|i| &i.findings);
        let mut open = findings.filter(|finding| finding.is_open());
        open.any(|finding| finding.key == BUILD_FAILED.key || record.error.is_none())
    };
    match (&record.outcome, &record.error) {
        (Outcome::Skip(_), _) => Status::Skip,
        (Outcome::Pass | Outcome::Fail | Outcome::Error(_), _) if record.is_finished() => {
            Status::Pass
        }
        (Outcome::Fail, _) if is_stopped_by_kernel() => Status::Fail,
        (Outcome::Pass | Outcome::Fail | Outcome::Error(_), Some(why)) => of_verdict(&error(why)).0,
        (Outcome::Pass | Outcome::Fail | Outcome::Error(_), None) => Status::Error,
    }
}

/// The tests of a cell. That make failed is the status of the build, and no test.
fn tests(build_id: &str, record: &CellRecord, hidden: &Hidden<'_>) -> Vec<Test> {
    let mut tests = Vec::new();
    let rules = &record.rules;
    if let Some(inspection) = &record.inspection {
        let of_rules = inspected(inspection, rules).into_iter();
        tests.extend(of_rules.filter(|t| t.name != BUILD_FAILED.key).map(|test| {
            let count = inspection.rules.iter().find(|rule| rule.key == test.name);
            let test = of_test(build_id, &test.name, &test, hidden);
            let is_result = matches!(test.status, Status::Pass | Status::Fail);
            Test {
                number: count.filter(|_| is_result).map(looked_at),
                ..test
            }
        }));
    }
    for of in &record.scenarios {
        let name = format!("scenario.{}", of.name);
        let mut test = of_test(build_id, &name, &scenario(of, rules), hidden);
        test.duration = seconds(of.seconds).filter(|_| test.status != Status::Skip);
        if test.status != Status::Skip {
            let skipped = of
                .skipped
                .iter()
                .map(|skip| hidden.of_line(&skip.to_string()));
            test.misc.not_judged = skipped.collect();
        }
        tests.push(test);
    }
    for of in &record.comparisons {
        let name = format!("comparison.{}", of.with);
        let mut test = of_test(build_id, &name, &comparison(of, rules), hidden);
        test.duration = seconds(of.seconds).filter(|_| test.status != Status::Skip);
        let not_compared = of.not_compared.iter();
        let not_compared = not_compared.map(|n| hidden.of_line(&format!("{}: {}", n.key, n.why)));
        test.misc.not_judged = not_compared.collect();
        tests.push(test);
    }
    if let (Some(why), false) = (&record.error, tests.is_empty()) {
        let completed = test_tree::Test::new(COMPLETED, error(why));
        tests.push(of_test(build_id, COMPLETED, &completed, hidden));
    }
    tests.extend(measured(build_id, record));
    for test in &mut tests {
        test.start_time = time(&record.started);
    }
    tests
}

fn of_test(build_id: &str, name: &str, test: &test_tree::Test, hidden: &Hidden<'_>) -> Test {
    let parts = || std::iter::once(test).chain(&test.subtests);
    let found: Vec<_> = parts().map(|part| of_verdict(&part.verdict)).collect();
    let worst = found.iter().map(|(status, _)| *status).min();
    let status = worst.unwrap_or(Status::Pass);
    let broken = parts().filter(|part| !part.is_ok() && part.subtests.is_empty());
    let mut why: Vec<String> = match status {
        Status::Fail => broken
            .filter_map(|part| part.diagnostics.first())
            .map(|line| hidden.of_line(line))
            .collect(),
        Status::Error | Status::Miss | Status::Pass | Status::Done | Status::Skip => found
            .into_iter()
            .filter(|(of_part, _)| *of_part == status)
            .filter_map(|(_, why)| why.map(|why| hidden.of_line(&why)))
            .collect(),
    };
    why.dedup();
    let lines = parts().filter(|part| part.subtests.is_empty());
    let lines: Vec<String> = lines.flat_map(|part| part.diagnostics.clone()).collect();
    Test {
        id: test_id(build_id, name),
        build_id: build_id.to_owned(),
        origin: ORIGIN,
        path: path(name),
        comment: said(&why.join("; ")),
        start_time: None,
        duration: None,
        log_excerpt: hidden.excerpt(&lines),
        status,
        number: None,
        misc: TestMisc::default(),
    }
}

/// A known defect is no new failure: it passes, as in KTAP, and the comment says why.
fn of_verdict(verdict: &Verdict) -> (Status, Option<String>) {
    match verdict {
        Verdict::Pass => (Status::Pass, None),
        Verdict::Fail => (Status::Fail, None),
        Verdict::Skip(why) | Verdict::NotApplicable(why) => (Status::Skip, Some(why.clone())),
        Verdict::ExpectedFailure(why) => (Status::Pass, Some(format!("known: {why}"))),
        // It did not run to its end because of the machine.
        Verdict::Error(why) => (Status::Miss, Some(why.clone())),
        // It ran, and came to no result.
        Verdict::Timeout(why) => (Status::Error, Some(why.clone())),
    }
}

/// What the build took and how large its image is, if it is finished.
fn measured(build_id: &str, record: &CellRecord) -> Vec<Test> {
    let mut numbers: Vec<(&str, Option<Json>, &str, Option<Prefix>)> = Vec::new();
    let inspection = record.inspection.as_ref();
    let memory = Some(record.cost.peak_memory_kib).filter(|kib| *kib > 0);
    let image = inspection.map(|i| i.counts.image_bytes);
    let bytes = Some(Prefix::Binary);
    if record.is_finished() {
        numbers.extend([
            ("time", seconds(record.cost.wall_seconds), "s", None),
            ("memory", memory.map(|kib| (kib * 1024).into()), "B", bytes),
            (
                "image",
                image.filter(|n| *n > 0).map(Json::from),
                "B",
                bytes,
            ),
        ]);
    }
    let tests = numbers
        .into_iter()
        .filter_map(|(name, value, unit, prefix)| {
            let name = format!("measured.{name}");
            let done = test_tree::Test::new(&*name, Verdict::Pass);
            Some(Test {
                status: Status::Done,
                number: Some(Number {
                    value: value?,
                    unit: unit.to_owned(),
                    prefix,
                }),
                ..of_test(build_id, &name, &done, &Hidden::default())
            })
        });
    tests.collect()
}

fn looked_at(rule: &RuleCount) -> Number {
    Number {
        value: rule.looked_at.into(),
        unit: printable(&rule.unit).into_owned(),
        prefix: None,
    }
}
