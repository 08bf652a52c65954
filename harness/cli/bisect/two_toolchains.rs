//! The ends with two toolchains: whether the kernel or the toolchain brings the fault.

use super::{Prepared, set_sought};
use crate::judge::bisect::sought::{Ends, Sought, Tested};
use crate::judge::bisect::toolchain::{Of, brings, to_search_with};
use crate::model::bisect::{BisectRecord, Brings, CrossedRecord, Ended, ToolchainsRecord, Verdict};
use crate::model::error::Error;
use crate::model::record::CellRecord;
use crate::source::commit::Commit;

/// The toolchain of the good end, and that of the bad end, by their names in cells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toolchains {
    pub good: String,
    pub bad: String,
}

impl Toolchains {
    /// Of the names that the user gives, if these are two.
    ///
    /// # Errors
    /// [`Error::Usage`] if there are more, or they are the same.
    pub fn of(names: &[String]) -> Result<Option<Toolchains>, Error> {
        match names {
            [] | [_] => Ok(None),
            [good, bad] if good != bad => Ok(Some(Toolchains {
                good: good.clone(),
                bad: bad.clone(),
            })),
            _ => Err(Error::Usage(format!(
                "--toolchain {}: expected one toolchain, or two that differ\n  name that of the good commit, and then that of the bad one",
                names.join(",")
            ))),
        }
    }
}

impl Prepared<'_> {
    /// As [`Prepared::sought`], where `test` tests a commit with both toolchains. The finding is in the
    /// cell with which a commit can be searched for.
    pub fn sought_of_two(
        &self,
        record: &mut BisectRecord,
        toolchains: &Toolchains,
        test: &dyn Fn(&Commit) -> Result<Vec<CellRecord>, Error>,
    ) -> Result<Option<Sought>, Error> {
        let test = |commit: &Commit| test(&Commit::find(self.own.git(), commit.id())?);
        let bad = test(&self.ends.bad)?;
        let good = self.ends.good.iter().map(test);
        let good = good.collect::<Result<Vec<_>, _>>()?;
        let Toolchains {
            good: old,
            bad: new,
        } = toolchains;
        let of_good: Vec<_> = good.iter().map(|records| with(records, old, new)).collect();
        let ends = Ends::of(with(&bad, new, new), &of_good, &self.asked());
        let (sought, others) = match ends.choose() {
            Ok(chosen) => chosen,
            Err(why) => {
                record.ended = Some(Ended::EndsDoNotFit { why });
                return Ok(None);
            }
        };
        set_sought(record, &sought, others);
        let bad_end = tested(&sought, &with(&bad, old, new));
        let good_ends = good
            .iter()
            .map(|records| tested(&sought, &with(records, new, new)));
        let good_end = worst(good_ends).unwrap_or_else(|| Tested::unknown("there is no good end"));
        let what = brings(bad_end.verdict, good_end.verdict);
        let with = to_search_with(bad_end.verdict, good_end.verdict).map(|of| match of {
            Of::GoodEnd => old,
            Of::BadEnd => new,
        });
        record.toolchains = Some(ToolchainsRecord {
            good: old.clone(),
            bad: new.clone(),
            bad_end: crossed(bad_end),
            good_end: crossed(good_end),
            brings: what,
            searched_with: with.cloned(),
        });
        match (with, what) {
            (Some(with), _) => {
                let cell = in_toolchain(&sought.finding.cell, new, with);
                let sought = sought.in_cell(&cell);
                record.finding = Some(sought.finding.clone());
                return Ok(Some(sought));
            }
            (None, Brings::Toolchain) => record.ended = Some(Ended::Toolchain),
            (None, Brings::Kernel | Brings::Both | Brings::Either | Brings::Unknown) => {
                let why = format!("with neither {old} nor {new} the ends are known to differ");
                record.ended = Some(Ended::EndsDoNotFit { why });
            }
        }
        Ok(None)
    }
}

/// The records of a toolchain, under the names that their cells would have with another.
fn with(records: &[CellRecord], toolchain: &str, named: &str) -> Vec<CellRecord> {
    let is_of = |record: &&CellRecord| record.cell.rsplit('/').next() == Some(toolchain);
    let renamed = |record: &CellRecord| CellRecord {
        cell: in_toolchain(&record.cell, toolchain, named),
        ..record.clone()
    };
    records.iter().filter(is_of).map(renamed).collect()
}

/// The name of a cell with another toolchain.
fn in_toolchain(cell: &str, own: &str, other: &str) -> String {
    match cell.strip_suffix(own) {
        Some(start) => format!("{start}{other}"),
        None => cell.to_owned(),
    }
}

fn tested(sought: &Sought, records: &[CellRecord]) -> Tested {
    let of_cell = records
        .iter()
        .find(|record| record.cell == sought.finding.cell);
    of_cell.map_or_else(
        || Tested::unknown("the cell has no record"),
        |record| sought.tested(record),
    )
}

/// Of several good ends the one that is bad, or else the one that could not be told.
fn worst(ends: impl Iterator<Item = Tested>) -> Option<Tested> {
    ends.max_by_key(|tested| match tested.verdict {
        Verdict::Good => 0,
        Verdict::Unknown => 1,
        Verdict::Bad => 2,
    })
}

fn crossed(tested: Tested) -> CrossedRecord {
    CrossedRecord {
        verdict: tested.verdict,
        why: tested.why,
    }
}
