//! The page of two build trees: what `klto diff` found.

use askama::Template;

use super::{Shell, rendered};
use crate::judge::diff::{Compared, Difference, SizeChange, groups, rules::rules};
use crate::model::finding::{Rule, counted};
use crate::model::record::{Identity, NotCompared};
use crate::report::printable;

/// Differences of a rule that are open to see, and those that can be opened besides.
const SHOWN: usize = 20;
const MORE: usize = 1000;
/// Functions, configuration symbols.
const ROWS: usize = 100;

#[derive(Debug, Template)]
#[template(path = "two.html")]
struct Page<'a> {
    shell: Shell,
    verdict: String,
    outcome: &'static str,
    trees: [(&'static str, &'a str, &'a Identity); 2],
    optimised_alike: bool,
    config: &'a [String],
    left_config: usize,
    broken: Vec<Broken<'a>>,
    not_compared: &'a [NotCompared],
    sizes: Vec<Size<'a>>,
    left_sizes: usize,
}

/// A rule by which the two differ.
#[derive(Debug)]
struct Broken<'a> {
    rule: &'static Rule,
    head: String,
    cause: Option<&'a str>,
    differences: Vec<&'a Difference>,
    /// Differences beyond those that are open to see.
    more: Vec<&'a Difference>,
    left: usize,
}

/// A row of the table of sizes.
#[derive(Debug)]
struct Size<'a> {
    name: &'a str,
    bytes: [u64; 2],
    growth: String,
}

/// The page of the two trees of these names.
#[must_use]
pub fn write(names: &[String; 2], compared: &Compared) -> String {
    let [first, second] = names;
    let [of_first, of_second] = &compared.identities;
    let equal = rules().len() - compared.not_compared.len();
    let (verdict, outcome) = match compared.differences.len() {
        0 => (format!("equal by {}", counted(equal, "rules")), "pass"),
        number => (counted(number, "differences"), "fail"),
    };
    let sizes = &compared.sizes;
    let functions = sizes.functions.iter().take(ROWS);
    let rows = sizes.totals.iter().chain(&sizes.sections).chain(functions);
    rendered(&Page {
        shell: Shell::new(format!(
            "klto: {} and {}",
            printable(first),
            printable(second)
        )),
        verdict,
        outcome,
        trees: [("First", first, of_first), ("Second", second, of_second)],
        optimised_alike: compared.optimised_alike,
        config: &compared.config[..compared.config.len().min(ROWS)],
        left_config: compared.config.len().saturating_sub(ROWS),
        broken: broken(compared),
        not_compared: &compared.not_compared,
        sizes: rows.map(size).collect(),
        left_sizes: sizes.functions.len().saturating_sub(ROWS),
    })
}

fn broken(compared: &Compared) -> Vec<Broken<'_>> {
    let groups = groups(&compared.differences).into_iter();
    let broken = groups.map(|group| {
        let all = group.differences.len();
        let mut differences: Vec<&Difference> = group.differences;
        differences.truncate(SHOWN + MORE);
        let left = all - differences.len();
        let more = differences.split_off(differences.len().min(SHOWN));
        Broken {
            rule: group.rule,
            head: counted(all, group.rule.broken),
            cause: group.cause,
            differences,
            more,
            left,
        }
    });
    broken.collect()
}

fn size(change: &SizeChange) -> Size<'_> {
    Size {
        name: &change.name,
        bytes: change.bytes,
        growth: format!("{:+}", change.growth()),
    }
}
