//! What an earlier probe found, kept beside the build tree under the key of everything
//! that it depends on.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::build::dir_state::write_file;
use crate::model::cell::LtoMode;
use crate::model::error::Error;
use crate::model::finding::{self, Rule};
use crate::model::outcome::Verdict;
use crate::model::outcome::{BuildFailure, CellResult, Checked, Counts, Identity, ScenarioResult};
use crate::run::rules;

/// What is known of one cell.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Remembered {
    key: String,
    pub result: Option<Build>,
    pub scenarios: BTreeMap<String, Scenario>,
}

/// What came of the build.
#[derive(Debug, Serialize, Deserialize)]
pub struct Build {
    checked: Option<Tree>,
    failure: Option<(String, Vec<String>, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tree {
    arch: String,
    mode: LtoMode,
    kernel: String,
    compiler: String,
    objects: usize,
    ir: usize,
    exports: usize,
    warnings: BTreeMap<String, usize>,
    rules: Vec<String>,
    findings: Vec<Finding>,
    unfinished: Option<String>,
}

/// What came of a scenario.
#[derive(Debug, Serialize, Deserialize)]
pub struct Scenario {
    findings: Vec<Finding>,
    left_out: Vec<String>,
    seconds: f64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Finding {
    key: String,
    object: String,
    evidence: String,
    step: Option<String>,
}

impl Remembered {
    /// What the file holds, if it is of that key; nothing otherwise.
    #[must_use]
    pub fn load(file: &Path, key: &str) -> Remembered {
        let text = std::fs::read(file).ok();
        let found: Option<Remembered> = text.and_then(|text| serde_json::from_slice(&text).ok());
        found.filter(|found| found.key == key).unwrap_or_default()
    }

    /// Writes it down.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn save(&mut self, file: &Path, key: &str) -> Result<(), Error> {
        key.clone_into(&mut self.key);
        let text = serde_json::to_vec(self).map_err(|e| Error::Machine(e.to_string()))?;
        write_file(file, &text, 0o644, 0)
    }
}

impl Build {
    pub fn of(result: &CellResult) -> Build {
        Build {
            checked: result.checked.as_ref().map(Tree::of),
            failure: result
                .failure
                .as_ref()
                .map(|f| (f.summary.clone(), f.first_errors.clone(), f.log.clone())),
        }
    }

    pub fn to_result(&self, name: String) -> Result<CellResult, Error> {
        let mut result = CellResult::without_build(name, Verdict::Holds);
        result.checked = self.checked.as_ref().map(Tree::to_checked).transpose()?;
        result.failure = self
            .failure
            .clone()
            .map(|(summary, first_errors, log)| BuildFailure {
                summary,
                first_errors,
                log,
            });
        Ok(result)
    }
}

impl Tree {
    fn of(checked: &Checked) -> Tree {
        let Identity {
            arch,
            mode,
            kernel,
            compiler,
        } = checked.identity.clone();
        let Counts {
            objects,
            ir,
            exports,
        } = checked.counts;
        Tree {
            arch,
            mode,
            kernel,
            compiler,
            objects,
            ir,
            exports,
            warnings: checked.warnings.clone(),
            rules: checked
                .rules
                .iter()
                .map(|rule| rule.key.to_owned())
                .collect(),
            findings: checked.findings.iter().map(Finding::of).collect(),
            unfinished: checked.unfinished.clone(),
        }
    }

    fn to_checked(&self) -> Result<Checked, Error> {
        Ok(Checked {
            identity: Identity {
                arch: self.arch.clone(),
                mode: self.mode,
                kernel: self.kernel.clone(),
                compiler: self.compiler.clone(),
            },
            counts: Counts {
                objects: self.objects,
                ir: self.ir,
                exports: self.exports,
            },
            warnings: self.warnings.clone(),
            rules: self
                .rules
                .iter()
                .map(|key| rule(key))
                .collect::<Result<_, _>>()?,
            findings: findings(&self.findings)?,
            unfinished: self.unfinished.clone(),
        })
    }
}

impl Scenario {
    pub fn of(result: &ScenarioResult) -> Scenario {
        Scenario {
            findings: result.findings.iter().map(Finding::of).collect(),
            left_out: result.left_out.clone(),
            seconds: result.seconds,
        }
    }

    pub fn to_result(&self, name: &str) -> Result<ScenarioResult, Error> {
        Ok(ScenarioResult {
            name: name.to_owned(),
            findings: findings(&self.findings)?,
            left_out: self.left_out.clone(),
            seconds: self.seconds,
        })
    }
}

impl Finding {
    fn of(finding: &finding::Finding) -> Finding {
        Finding {
            key: finding.rule.key.to_owned(),
            object: finding.object.clone(),
            evidence: finding.evidence.clone(),
            step: finding.step.clone(),
        }
    }
}

fn findings(kept: &[Finding]) -> Result<Vec<finding::Finding>, Error> {
    kept.iter()
        .map(|kept| {
            Ok(finding::Finding {
                rule: rule(&kept.key)?,
                object: kept.object.clone(),
                evidence: kept.evidence.clone(),
                step: kept.step.clone(),
                suppressed: None,
            })
        })
        .collect()
}

fn rule(key: &str) -> Result<&'static Rule, Error> {
    rules::rules().find(|rule| rule.key == key).ok_or_else(|| {
        Error::Machine(format!(
            "a kept result names the rule {key}, which does not exist; remove the work directory"
        ))
    })
}

#[cfg(test)]
mod tests;
