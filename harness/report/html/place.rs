//! Where a cell stands in the page: the heat map, a table per architecture with a column per
//! mode.

use crate::model::cell::LtoMode;
use crate::model::finding::counted;
use crate::model::record::{CellRecord, Outcome};

/// What a cell's name says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    pub arch: &'a str,
    /// Configuration and toolchain; the whole name if it is not made as those of cells are.
    pub row: (&'a str, &'a str),
    /// `None` if neither the name nor the tree says it.
    pub mode: Option<LtoMode>,
}

impl<'a> Place<'a> {
    /// Of a name such as `arm64/tiny/thin-dist/llvm-22`, otherwise of the tree.
    #[must_use]
    pub fn of(cell: &'a CellRecord) -> Place<'a> {
        let parts: Vec<&str> = cell.cell.split('/').collect();
        if let [arch, config, mode, toolchain] = parts[..]
            && let Ok(mode) = mode.parse()
        {
            return Place {
                arch,
                row: (config, toolchain),
                mode: Some(mode),
            };
        }
        let identity = cell.inspection.as_ref().map(|i| &i.identity);
        Place {
            arch: identity.map_or("other", |identity| &identity.arch),
            row: (&cell.cell, ""),
            mode: identity.map(|identity| identity.lto),
        }
    }

    /// The mode's name in filters and headings.
    #[must_use]
    pub fn mode(&self) -> &'static str {
        self.mode.map_or("other", LtoMode::name)
    }
}

/// The letter of an outcome, which says the same as its colour.
#[must_use]
pub fn letter(outcome: &Outcome) -> char {
    match outcome {
        Outcome::Pass => 'P',
        Outcome::Fail => 'F',
        Outcome::Error(_) => 'E',
        Outcome::Skip(_) => 'S',
    }
}

/// One architecture.
#[derive(Debug, PartialEq, Eq)]
pub struct Table<'a> {
    pub arch: &'a str,
    pub modes: Vec<&'static str>,
    pub rows: Vec<Row<'a>>,
}

/// The modes of one configuration and toolchain.
#[derive(Debug, PartialEq, Eq)]
pub struct Row<'a> {
    pub config: &'a str,
    pub toolchain: &'a str,
    /// One list per mode: names are unique, so that it has at most one cell, unless names are not
    /// made as those of cells are.
    pub slots: Vec<Vec<Slot>>,
}

/// A cell.
#[derive(Debug, PartialEq, Eq)]
pub struct Slot {
    /// The cell's number in the run, from 0.
    pub id: usize,
    pub letter: char,
    pub outcome: &'static str,
    /// Findings that no allow entry covers.
    pub open: usize,
    /// What a screen reader says: `fail, 25 findings`.
    pub label: String,
}

/// The heat map of a run.
#[must_use]
pub fn tables(cells: &[CellRecord]) -> Vec<Table<'_>> {
    let places: Vec<Place<'_>> = cells.iter().map(Place::of).collect();
    let known = LtoMode::ALL.map(Some);
    let modes = known.iter().chain([&None]);
    let modes: Vec<Option<LtoMode>> = modes
        .filter(|mode| places.iter().any(|place| place.mode == **mode))
        .copied()
        .collect();
    let mut tables: Vec<Table<'_>> = Vec::new();
    for (id, (place, cell)) in places.iter().zip(cells).enumerate() {
        let at = position(
            &mut tables,
            |t| t.arch == place.arch,
            || Table {
                arch: place.arch,
                modes: modes
                    .iter()
                    .map(|m| m.map_or("other", LtoMode::name))
                    .collect(),
                rows: Vec::new(),
            },
        );
        let (config, toolchain) = place.row;
        let rows = &mut tables[at].rows;
        let is_row = |row: &Row<'_>| (row.config, row.toolchain) == place.row;
        let row = position(rows, is_row, || Row {
            config,
            toolchain,
            slots: modes.iter().map(|_| Vec::new()).collect(),
        });
        if let Some(column) = modes.iter().position(|mode| *mode == place.mode) {
            let (outcome, open) = (cell.outcome.name(), cell.open_findings().count());
            rows[row].slots[column].push(Slot {
                id,
                letter: letter(&cell.outcome),
                outcome,
                open,
                label: match open {
                    0 => outcome.to_owned(),
                    open => format!("{outcome}, {}", counted(open, "findings")),
                },
            });
        }
    }
    tables
}

/// Where the first of that kind is; it is added if there is none.
fn position<T>(list: &mut Vec<T>, is: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> usize {
    list.iter().position(is).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_by_architecture_configuration_and_mode() {
        let names = [
            "x86_64/tiny/thin-dist/llvm-22",
            "arm64/tiny/thin/llvm-22",
            "x86_64/tiny/none/llvm-22",
            "x86_64/boot/thin/llvm-22",
            "a/b",
        ];
        let cells = names.map(|name| CellRecord::new(name.to_owned()));

        let tables = tables(&cells);

        let shown: Vec<String> = tables
            .iter()
            .flat_map(|table| {
                table.rows.iter().map(|row| {
                    let slots = row.slots.iter();
                    let slots = slots.map(|slot| slot.iter().map(|s| s.id).collect::<Vec<_>>());
                    let slots: Vec<_> = slots.collect();
                    format!("{} {} {}: {slots:?}", table.arch, row.config, row.toolchain)
                })
            })
            .collect();
        assert_eq!(tables[0].modes, ["none", "thin", "thin-dist", "other"]);
        assert_eq!(
            shown,
            [
                "x86_64 tiny llvm-22: [[2], [], [0], []]",
                "x86_64 boot llvm-22: [[], [3], [], []]",
                "arm64 tiny llvm-22: [[], [1], [], []]",
                "other a/b : [[], [], [], [4]]",
            ]
        );
    }
}
