//! What `klto diff` says of two build trees, in each format.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

use super::test_tree::{Test, Verdict};
use super::text::findings::SHOWN;
use super::text::{BOLD, GREEN, RED, YELLOW};
use super::{Format, github, html, json, junit, kcidb, ktap, mail, markdown, perfetto, printable};
use crate::judge::diff::{Compared, Difference, SizeChange, groups, rules::rules};
use crate::model::finding::{Severity, counted};
use crate::model::record::{FORMAT, Identity, NotCompared};

/// Functions shown of the table, unless all are asked for.
const ROWS: usize = 10;

/// The report on the two trees of these names.
#[must_use]
pub fn trees(names: &[String; 2], compared: &Compared, format: Format, all: bool) -> String {
    match format {
        Format::Text => text(names, compared, all),
        Format::Json => json(names, compared),
        Format::Ktap => ktap::write(&tests(compared)),
        Format::Junit => junit::of_tests(&names.join(" and "), &tests(compared)),
        Format::Github => github::write(&tests(compared)),
        Format::Markdown => markdown::write(&names.join(" and "), &tests(compared)),
        Format::Html => html::two::write(names, compared),
        Format::Kcidb => kcidb::of_trees(names, &compared.identities, &tests(compared)),
        Format::Mail => mail::of_tests(&names.join(" and "), &tests(compared)),
        Format::Perfetto => perfetto::write(&names.join(" and "), &tests(compared)),
    }
}

fn text(names: &[String; 2], compared: &Compared, all: bool) -> String {
    let mut out = String::new();
    for ((which, name), identity) in ["first", "second"]
        .iter()
        .zip(names)
        .zip(&compared.identities)
    {
        let _ = writeln!(
            out,
            "{which:7} {BOLD}{}{BOLD:#}: Linux {}, {}, {}, {}",
            printable(name),
            printable(&identity.kernel),
            identity.arch,
            identity.lto,
            printable(&identity.compiler)
        );
    }
    if !compared.optimised_alike {
        let _ = writeln!(
            out,
            "optimised differently, by mode or compiler: functions are not compared one by one"
        );
    }
    if !compared.config.is_empty() {
        let _ = writeln!(
            out,
            "{} in the configuration:",
            counted(compared.config.len(), "differences")
        );
        list(&mut out, compared.config.iter().map(String::as_str), all);
    }
    for group in groups(&compared.differences) {
        let (style, severity) = match group.rule.severity {
            Severity::Error => (RED, Severity::Error.name()),
            Severity::Warning => (YELLOW, Severity::Warning.name()),
        };
        let _ = writeln!(
            out,
            "\n{style}{severity}[{}]{style:#}: {}",
            group.rule.key,
            counted(group.differences.len(), group.rule.broken)
        );
        if let Some(cause) = group.cause {
            let _ = writeln!(out, "  cause: {}", printable(cause));
        }
        let lines: Vec<String> = group
            .differences
            .iter()
            .map(|difference| format!("{}: {}", difference.item, difference.how))
            .collect();
        list(&mut out, lines.iter().map(String::as_str), all);
        let _ = writeln!(out, "  why: {}\n  fix: {}", group.rule.why, group.rule.fix);
    }
    out.push_str(&sizes(compared, all));
    let not_compared = &compared.not_compared;
    if !not_compared.is_empty() {
        let _ = writeln!(out, "\n{BOLD}not judged{BOLD:#}:");
    }
    for NotCompared { key, why } in not_compared {
        let _ = writeln!(out, "    {key}: {}", printable(why));
    }
    let _ = match compared.differences.len() {
        0 => writeln!(
            out,
            "\n{GREEN}ok{GREEN:#}: the two are equal by {}",
            counted(rules().len() - not_compared.len(), "rules")
        ),
        n => writeln!(
            out,
            "\n{RED}different{RED:#}: {}",
            counted(n, "differences")
        ),
    };
    out
}

fn list<'a>(out: &mut String, lines: impl ExactSizeIterator<Item = &'a str>, all: bool) {
    let shown = if all { lines.len() } else { SHOWN };
    let more = lines.len().saturating_sub(shown);
    for line in lines.take(shown) {
        let _ = writeln!(out, "    {}", printable(line));
    }
    if more > 0 {
        let _ = writeln!(out, "    … and {more} more; --all shows them");
    }
}

fn sizes(compared: &Compared, all: bool) -> String {
    let sizes = &compared.sizes;
    let mut out = format!(
        "\n{BOLD}{:>10}  {:>10}  {:>8}{BOLD:#}\n",
        "first", "second", "growth"
    );
    let mut row = |grown: &SizeChange, name: &str| {
        let [first, second] = grown.bytes;
        let growth = grown.growth();
        let _ = writeln!(
            out,
            "{first:>10}  {second:>10}  {growth:>+8}  {}",
            printable(name)
        );
    };
    for total in sizes.sections.iter().chain(&sizes.totals) {
        row(total, &total.name);
    }
    let rows = if all { sizes.functions.len() } else { ROWS };
    for function in sizes.functions.iter().take(rows) {
        row(function, &function.name);
    }
    if let Some(more @ 1..) = sizes.functions.len().checked_sub(rows) {
        let _ = writeln!(out, "    … and {more} more; --all shows them");
    }
    let _ = writeln!(
        out,
        "{} of {} have another size; {} were promoted in one or both",
        sizes.functions.len(),
        counted(sizes.compared, "functions"),
        sizes.promoted
    );
    out
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Trees<'a> {
    format: u32,
    first: Tree<'a>,
    second: Tree<'a>,
    optimised_alike: bool,
    config: &'a [String],
    differences: Vec<DifferenceJson<'a>>,
    not_compared: &'a [NotCompared],
    totals: Vec<GrownJson<'a>>,
    sections: Vec<GrownJson<'a>>,
    functions: Vec<GrownJson<'a>>,
    functions_compared: usize,
    functions_promoted: usize,
}

#[derive(Serialize, JsonSchema)]
struct Tree<'a> {
    #[serde(rename = "tree")]
    dir: &'a str,
    arch: &'a str,
    lto: &'static str,
    kernel: &'a str,
    compiler: &'a str,
}

#[derive(Serialize, JsonSchema)]
struct DifferenceJson<'a> {
    key: &'static str,
    severity: Severity,
    item: &'a str,
    how: &'a str,
    cause: Option<&'a str>,
}

#[derive(Serialize, JsonSchema)]
struct GrownJson<'a> {
    name: &'a str,
    first: u64,
    second: u64,
}

fn json(names: &[String; 2], compared: &Compared) -> String {
    let [a, b] = names;
    let [of_a, of_b] = &compared.identities;
    json::pretty(&Trees {
        format: FORMAT,
        first: tree_json(a, of_a),
        second: tree_json(b, of_b),
        optimised_alike: compared.optimised_alike,
        config: &compared.config,
        differences: compared.differences.iter().map(difference_json).collect(),
        not_compared: &compared.not_compared,
        totals: compared.sizes.totals.iter().map(grown_json).collect(),
        sections: compared.sizes.sections.iter().map(grown_json).collect(),
        functions: compared.sizes.functions.iter().map(grown_json).collect(),
        functions_compared: compared.sizes.compared,
        functions_promoted: compared.sizes.promoted,
    })
}

fn tree_json<'a>(dir: &'a str, identity: &'a Identity) -> Tree<'a> {
    Tree {
        dir,
        arch: &identity.arch,
        lto: identity.lto.name(),
        kernel: &identity.kernel,
        compiler: &identity.compiler,
    }
}

fn difference_json(difference: &Difference) -> DifferenceJson<'_> {
    DifferenceJson {
        key: difference.rule.key,
        severity: difference.rule.severity,
        item: &difference.item,
        how: &difference.how,
        cause: difference.cause.as_deref(),
    }
}

fn grown_json(grown: &SizeChange) -> GrownJson<'_> {
    GrownJson {
        name: &grown.name,
        first: grown.bytes[0],
        second: grown.bytes[1],
    }
}

/// One test per rule.
fn tests(compared: &Compared) -> Vec<Test> {
    let tests = rules().map(|rule| {
        let of_rule = compared
            .differences
            .iter()
            .filter(|d| d.rule.key == rule.key);
        let differences: Vec<String> = of_rule
            .map(|difference| format!("{}: {}", difference.item, difference.how))
            .collect();
        let not_compared = compared.not_compared.iter().find(|n| n.key == rule.key);
        let verdict = match (differences.as_slice(), not_compared) {
            ([_, ..], _) => Verdict::Fail,
            ([], None) => Verdict::Pass,
            ([], Some(not_compared)) => Verdict::Skip(not_compared.why.clone()),
        };
        Test {
            diagnostics: differences,
            ..Test::new(rule.key, verdict)
        }
    });
    tests.collect()
}
