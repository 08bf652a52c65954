//! `klto check`: reads one build tree and says what is broken.

use std::collections::BTreeMap;

use super::{load_allows, print};
use crate::cli::args::Check;
use crate::input::arch_table;
use crate::judge::check;
use crate::judge::inspect::{self, InspectRequest};
use crate::model::error::{Error, Exit};
use crate::model::finding::key_matches;
use crate::report::{Format, json, ktap, text};

pub fn run(args: &Check) -> Result<Exit, Error> {
    for key in &args.only {
        if !check::rules().any(|rule| key_matches(key, rule.key)) {
            return Err(unknown_key(key));
        }
    }
    let allows = load_allows(&args.allow)?;
    let question = InspectRequest {
        build: &args.build_dir,
        source: args.source.as_deref(),
        log: args.log.as_deref(),
        goal: args.goal,
        arch: args
            .arch
            .as_deref()
            .map(arch_table::by_name)
            .transpose()
            .map_err(|e| Error::Usage(e.to_string()))?
            .map(|arch| &**arch),
        mode: args.lto,
        requested: &BTreeMap::new(),
        only: &args.only,
        allows: &allows,
        cell: None,
    };
    let checked = inspect::check_tree(&question)?.checked;
    let name = args.build_dir.display().to_string();
    print(&match args.format {
        Format::Text => text::tree(&name, &checked, args.all),
        Format::Json => json::tree(&name, &checked),
        Format::Ktap => ktap::tree(&checked),
    })?;
    if checked.open_findings().next().is_some() {
        return Ok(Exit::Fail);
    }
    match checked.unfinished {
        Some(reason) => Err(Error::Unfinished {
            dir: args.build_dir.clone(),
            reason: format!("{reason}; nothing in what is there breaks a rule"),
        }),
        None => Ok(Exit::Pass),
    }
}

/// Says which keys there are, the nearest first.
pub fn unknown_key(key: &str) -> Error {
    let families: Vec<&str> = check::FAMILIES.iter().map(|family| family.name).collect();
    let keys = check::rules()
        .map(|rule| rule.key)
        .chain(families.iter().copied());
    let hint = crate::input::suggest::nearest(key, keys)
        .map(|near| format!("; did you mean «{near}»?"))
        .unwrap_or_default();
    Error::Usage(format!(
        "no rule has the key «{key}»{hint}\n  families: {}; «klto explain» lists every rule",
        families.join(", ")
    ))
}
