//! What `klto plan` says: for people, for programs, and for CI systems that start a job for each
//! shard.

use std::fmt::Write as _;

use serde::Serialize;
use serde_yaml::{Mapping, Value};
use thiserror::Error;

use super::Named;
use super::json::pretty;
use crate::model::finding::counted;
use crate::model::plan::{ExcludedCell, Plan, PlannedCell};

/// GitHub refuses a matrix of more jobs.
pub const MOST_JOBS: usize = 256;

/// The formats of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs; see `docs/formats.md`.
    Json,
    /// A line of JSON for `strategy.matrix` of GitHub Actions.
    Github,
    /// A child pipeline of GitLab.
    Gitlab,
}

impl Named for Format {
    const ALL: &'static [Format] = &[Self::Text, Self::Json, Self::Github, Self::Gitlab];

    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
            Self::Github => "github",
            Self::Gitlab => "gitlab",
        }
    }
}

impl Format {
    /// Whether a CI system starts a job for each shard of it.
    #[must_use]
    pub fn has_jobs(self) -> bool {
        match self {
            Self::Github | Self::Gitlab => true,
            Self::Text | Self::Json => false,
        }
    }
}

/// Why a plan cannot be written.
#[derive(Debug, Error)]
pub enum PlanError {
    #[error(
        "{0} shards are too many: GitHub runs at most {MOST_JOBS} jobs of a matrix\n  use --shards {MOST_JOBS} or fewer"
    )]
    TooMany(usize),
    #[error("cannot write YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
}

/// The plan in that format. `include` is the file in the user's repository that says how GitLab runs
/// a shard.
///
/// # Errors
/// If the CI system would refuse it.
pub fn write(plan: &Plan, format: Format, include: &str) -> Result<String, PlanError> {
    match format {
        Format::Text => Ok(text(plan)),
        Format::Json => Ok(pretty(plan)),
        Format::Github => github(plan),
        Format::Gitlab => gitlab(plan, include),
    }
}

fn text(plan: &Plan) -> String {
    let mut out = String::new();
    let joined = |pairs: &std::collections::BTreeMap<String, String>| {
        // As a shell takes it.
        let quoted = |value| shlex::try_quote(value).unwrap_or_default();
        let words = pairs
            .iter()
            .map(|(name, value)| format!("{name}={}", quoted(value)));
        words.collect::<Vec<_>>().join(" ")
    };
    for cell in &plan.cells {
        let shard = shard_of(plan, cell).map(|shard| format!(", shard {shard}"));
        let _ = writeln!(
            out,
            "{}{}\n    make {} {}; {}",
            cell.cell,
            shard.unwrap_or_default(),
            joined(&cell.make),
            cell.base,
            joined(&cell.symbols),
        );
    }
    for (reason, cells) in by_reason(&plan.excluded) {
        let more = match cells.len() - 1 {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let _ = writeln!(out, "excluded, {reason}:\n    {}{more}", cells[0]);
    }
    let _ = writeln!(out, "{}", counted(plan.cells.len(), "cells"));
    out
}

/// The excluded cells of each reason, in the order of the matrix.
fn by_reason(excluded: &[ExcludedCell]) -> Vec<(&str, Vec<&str>)> {
    let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
    for ExcludedCell { cell, reason } in excluded {
        match reasons.iter_mut().find(|(known, _)| known == reason) {
            Some((_, cells)) => cells.push(cell),
            None => reasons.push((reason, vec![cell])),
        }
    }
    reasons
}

/// `2/4`: the shard that a cell is in.
fn shard_of(plan: &Plan, cell: &PlannedCell) -> Option<String> {
    let (number, of) = (cell.shard?, plan.shards?);
    Some(format!("{number}/{of}"))
}

/// A job that runs a shard.
#[derive(Debug, Serialize)]
struct Job {
    /// For `--shard`.
    shard: String,
    /// Its number, which can stand in the name of a file.
    number: usize,
    /// What it builds, for people.
    name: String,
    /// How many cells.
    cells: usize,
}

/// A job for each shard that has cells.
fn jobs(plan: &Plan) -> Vec<Job> {
    let of = plan.shards.unwrap_or_default();
    let job = |number: usize| {
        let has = |cell: &&PlannedCell| cell.shard == Some(number);
        let cells: Vec<&PlannedCell> = plan.cells.iter().filter(has).collect();
        let group =
            |cell: &&PlannedCell| format!("{} {} {}", cell.arch, cell.config, cell.toolchain);
        let mut groups: Vec<String> = cells.iter().map(group).collect();
        groups.sort();
        groups.dedup();
        let more = match groups.len() {
            0 | 1 => String::new(),
            more => format!(" and {} more", more - 1),
        };
        let first = cells.first().map(group)?;
        Some(Job {
            shard: format!("{number}/{of}"),
            number,
            name: format!("{first}{more}"),
            cells: cells.len(),
        })
    };
    (1..=of).filter_map(job).collect()
}

fn github(plan: &Plan) -> Result<String, PlanError> {
    #[derive(Serialize)]
    struct Strategy {
        include: Vec<Job>,
    }
    let include = jobs(plan);
    if include.len() > MOST_JOBS {
        return Err(PlanError::TooMany(include.len()));
    }
    // Text and numbers: that never fails.
    let line = serde_json::to_string(&Strategy { include }).unwrap_or_default();
    Ok(line + "\n")
}

fn gitlab(plan: &Plan, include: &str) -> Result<String, PlanError> {
    let map = |pairs: Vec<(&str, Value)>| {
        let pairs = pairs.into_iter();
        Value::Mapping(pairs.map(|(key, value)| (key.into(), value)).collect())
    };
    let mut pipeline = Mapping::new();
    let local = map(vec![("local", include.into())]);
    pipeline.insert("include".into(), Value::Sequence(vec![local]));
    for job in jobs(plan) {
        let variables = vec![
            ("KLTO_SHARD", job.shard.as_str().into()),
            ("KLTO_NUMBER", job.number.to_string().into()),
            ("KLTO_NAME", job.name.into()),
        ];
        let body = vec![
            ("extends", ".klto-shard".into()),
            ("variables", map(variables)),
        ];
        pipeline.insert(format!("shard {}", job.shard).into(), map(body));
    }
    Ok(serde_yaml::to_string(&pipeline)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::cell::LtoMode;
    use crate::model::record::FORMAT;

    /// Of so many shards, each with one cell, and the first with one more.
    fn plan(shards: usize) -> Plan {
        let cell = |number: usize, config: &str| PlannedCell {
            cell: format!("arm64/{config}/thin/llvm-22"),
            arch: "arm64".to_owned(),
            config: config.to_owned(),
            lto: LtoMode::Thin,
            toolchain: "llvm-22".to_owned(),
            shard: Some(number),
            make: BTreeMap::new(),
            base: "tinyconfig".to_owned(),
            symbols: BTreeMap::new(),
            goals: Vec::new(),
            scenarios: Vec::new(),
            timeout_seconds: 1,
        };
        let cells = (1..=shards).map(|number| cell(number, &format!("c{number}")));
        Plan {
            format: FORMAT,
            klto: "0".to_owned(),
            matrix: "m".to_owned(),
            shards: Some(shards),
            cells: cells.chain([cell(1, "last")]).collect(),
            excluded: Vec::new(),
        }
    }

    #[test]
    fn people_get_commands_for_a_shell_and_each_reason_once() {
        let mut plan = plan(1);
        let flags = ("CFLAGS_KERNEL".to_owned(), "-DA='1 2'".to_owned());
        plan.cells.truncate(1);
        plan.cells[0].symbols = BTreeMap::from([("CONFIG_A".to_owned(), "y".to_owned())]);
        plan.cells[0].make = BTreeMap::from([flags, ("LLVM".to_owned(), "-22".to_owned())]);
        let excluded = |cell: &str, reason: &str| ExcludedCell {
            cell: cell.to_owned(),
            reason: reason.to_owned(),
        };
        plan.excluded = vec![
            excluded("riscv/c1/thin/gcc", "no ThinLTO"),
            excluded("riscv/c1/none/gcc", "not here"),
            excluded("arm64/c1/thin/gcc", "no ThinLTO"),
        ];
        insta::assert_snapshot!(text(&plan), @r#"
        arm64/c1/thin/llvm-22, shard 1/1
            make CFLAGS_KERNEL="-DA='1 2'" LLVM=-22 tinyconfig; CONFIG_A=y
        excluded, no ThinLTO:
            riscv/c1/thin/gcc and 1 more
        excluded, not here:
            riscv/c1/none/gcc
        1 cell
        "#);
    }

    #[test]
    fn github_gets_one_line_with_a_job_for_each_shard() {
        let line = write(&plan(2), Format::Github, "").unwrap();
        assert_eq!(
            line,
            concat!(
                r#"{"include":[{"shard":"1/2","number":1,"name":"arm64 c1 llvm-22 and 1 more","cells":2},"#,
                r#"{"shard":"2/2","number":2,"name":"arm64 c2 llvm-22","cells":1}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn more_jobs_than_github_runs_are_refused() {
        assert!(write(&plan(MOST_JOBS), Format::Github, "").is_ok());
        let error = write(&plan(MOST_JOBS + 1), Format::Github, "").unwrap_err();
        let said = "257 shards are too many: GitHub runs at most 256 jobs of a matrix\n  use --shards 256 or fewer";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn gitlab_gets_a_pipeline_with_a_job_for_each_shard() {
        let yaml = write(&plan(2), Format::Gitlab, "ci/a: b.yml").unwrap();
        insta::assert_snapshot!(yaml, @r"
        include:
        - local: 'ci/a: b.yml'
        shard 1/2:
          extends: .klto-shard
          variables:
            KLTO_SHARD: 1/2
            KLTO_NUMBER: '1'
            KLTO_NAME: arm64 c1 llvm-22 and 1 more
        shard 2/2:
          extends: .klto-shard
          variables:
            KLTO_SHARD: 2/2
            KLTO_NUMBER: '2'
            KLTO_NAME: arm64 c2 llvm-22
        ");
    }
}
