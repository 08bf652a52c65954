//! The objects of KCIDB 5.3, as far as klto fills them. A field that is `None` or empty is left
//! out: KCIDB knows no `null`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Number as Json;

/// A whole submission.
#[derive(Debug, Serialize)]
pub struct Document {
    pub version: Version,
    pub checkouts: Vec<Checkout>,
    pub builds: Vec<Build>,
    pub tests: Vec<Test>,
    pub issues: Vec<Issue>,
    pub incidents: Vec<Incident>,
}

/// The version of the format.
#[derive(Debug, Serialize)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
}

/// What became of a build or a test; the worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Status {
    /// The code that was tested is faulty.
    Fail,
    /// It ran, and did not come to a result.
    Error,
    /// What runs it failed, so that it did not run.
    Miss,
    /// The code is right, as far as the test sees.
    Pass,
    /// It measured something.
    Done,
    /// It does not apply, or there was nothing to look at.
    Skip,
}

/// The sources.
#[derive(Debug, Serialize)]
pub struct Checkout {
    pub id: String,
    pub origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_commit_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_commit_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    pub valid: bool,
    pub misc: CheckoutMisc,
}

/// What KCIDB has no place for, of a checkout.
#[derive(Debug, Serialize)]
pub struct CheckoutMisc {
    pub klto: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matrix: Option<String>,
    pub kernel: String,
    pub revision: String,
}

/// A cell.
#[derive(Debug, Serialize)]
pub struct Build {
    pub id: String,
    pub checkout_id: String,
    pub origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Json>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub architecture: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compiler: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_excerpt: Option<String>,
    pub status: Status,
    pub misc: BuildMisc,
}

/// What KCIDB has no place for, of a build.
#[derive(Debug, Default, Serialize)]
pub struct BuildMisc {
    pub cell: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lto: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub toolchain: Option<String>,
    pub baseline: &'static str,
    /// The parts of the snapshot that are not as accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub derived_from: Option<String>,
    /// How many tests were not judged, by the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub not_judged: BTreeMap<String, usize>,
}

/// A rule, a scenario, a comparison or a measurement.
#[derive(Debug, Serialize)]
pub struct Test {
    pub id: String,
    pub build_id: String,
    pub origin: &'static str,
    pub path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_excerpt: Option<String>,
    pub status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<Number>,
    #[serde(skip_serializing_if = "TestMisc::is_empty")]
    pub misc: TestMisc,
}

/// What KCIDB has no place for, of a test.
#[derive(Debug, Default, Serialize)]
pub struct TestMisc {
    /// Parts of the test that were not judged, each with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_judged: Vec<String>,
    /// The tree that this one was compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<String>,
}

impl TestMisc {
    fn is_empty(&self) -> bool {
        self.not_judged.is_empty() && self.compared_with.is_none()
    }
}

/// What a test measured.
#[derive(Debug, Serialize)]
pub struct Number {
    pub value: Json,
    pub unit: String,
    /// How a reader may scale the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Prefix>,
}

/// How a value is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Prefix {
    /// By 1024: `KiB`.
    Binary,
}

/// A finding, in whatever builds it is.
#[derive(Debug, Serialize)]
pub struct Issue {
    pub id: String,
    pub version: u32,
    pub origin: &'static str,
    pub report_subject: String,
    pub culprit: Culprit,
    pub comment: String,
    pub misc: IssueMisc,
}

/// Where an issue lies. None of the findings that klto reports is its own.
#[derive(Debug, Serialize)]
pub struct Culprit {
    pub code: bool,
    pub tool: bool,
    pub harness: bool,
}

/// What KCIDB has no place for, of an issue.
#[derive(Debug, Serialize)]
pub struct IssueMisc {
    pub rule: String,
    pub object: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invariant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// That an issue is in a build or a test.
#[derive(Debug, Serialize)]
pub struct Incident {
    pub id: String,
    pub origin: &'static str,
    pub issue_id: String,
    pub issue_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_id: Option<String>,
    pub present: bool,
    pub comment: String,
}
