//! The configuration symbols that a fault needs: those in which a failing configuration differs from a
//! good one, and the cell without some of them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::bisect::SymbolRecord;
use crate::model::cell::Cell;

/// The symbols that the cell asks for beyond its base, where a good configuration asks for others or
/// for none. `good` is a cell of that configuration; `None` stands for the base.
#[must_use]
pub fn differing(failing: &Cell, good: Option<&Cell>) -> Vec<SymbolRecord> {
    let good = good.map(asked).unwrap_or_default();
    let failing = asked(failing);
    let all: BTreeSet<&String> = failing.keys().chain(good.keys()).collect();
    let symbols = all.into_iter().map(|symbol| SymbolRecord {
        symbol: symbol.clone(),
        value: failing.get(symbol).cloned(),
        otherwise: good.get(symbol).cloned(),
    });
    symbols
        .filter(|symbol| symbol.value != symbol.otherwise)
        .collect()
}

/// What a cell asks for beyond its base, and its mode.
fn asked(cell: &Cell) -> BTreeMap<String, String> {
    let enabled = cell
        .enable
        .iter()
        .map(|symbol| (symbol.clone(), "y".to_owned()));
    let disabled = cell
        .disable
        .iter()
        .map(|symbol| (symbol.clone(), "n".to_owned()));
    let set = cell.set.iter().map(|(s, value)| (s.clone(), value.clone()));
    enabled.chain(disabled).chain(set).collect()
}

/// The cell where these symbols are as in the good configuration.
#[must_use]
pub fn without(cell: &Cell, symbols: &[&SymbolRecord]) -> Cell {
    let mut asked = asked(cell);
    for symbol in symbols {
        match &symbol.otherwise {
            Some(value) => asked.insert(symbol.symbol.clone(), value.clone()),
            None => asked.remove(&symbol.symbol),
        };
    }
    let mut other = Cell {
        // The tree of the failing configuration stays as it is.
        config_name: format!("{}-reduced", cell.config_name),
        enable: Vec::new(),
        disable: Vec::new(),
        set: BTreeMap::new(),
        ..cell.clone()
    };
    for (symbol, value) in asked {
        other.ask_for(symbol, value);
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::arch_table;
    use crate::model::cell::{Base, LtoMode};

    fn cell(enable: &[&str], disable: &[&str], set: &[(&str, &str)]) -> Cell {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let set = set
            .iter()
            .map(|(s, value)| ((*s).to_owned(), (*value).to_owned()));
        Cell {
            enable: owned(enable),
            disable: owned(disable),
            set: set.collect(),
            arch: arch_table::by_name("x86_64").unwrap().clone(),
            config_name: "tiny".to_owned(),
            base: Base::Goal("tinyconfig".to_owned()),
            fragments: Vec::new(),
            lto: LtoMode::Thin,
            toolchain_name: "llvm-22".to_owned(),
            make: BTreeMap::new(),
            goals: Vec::new(),
            scenarios: Vec::new(),
            timeout: std::time::Duration::from_secs(1),
        }
    }

    fn shown(symbols: &[SymbolRecord]) -> Vec<String> {
        let show = |value: &Option<String>| value.clone().unwrap_or("-".to_owned());
        let symbols = symbols.iter();
        symbols
            .map(|s| format!("{} {} {}", s.symbol, show(&s.value), show(&s.otherwise)))
            .collect()
    }

    #[test]
    fn symbols_differ_from_the_base_or_from_another_configuration() {
        let failing = cell(&["MODULES", "KASAN"], &["SMP"], &[("NR", "4")]);
        let of_base = differing(&failing, None);
        assert_eq!(
            shown(&of_base),
            ["KASAN y -", "MODULES y -", "NR 4 -", "SMP n -"]
        );
        let good = cell(&["MODULES", "SMP", "BPF"], &[], &[("NR", "4")]);
        let of_other = differing(&failing, Some(&good));
        assert_eq!(shown(&of_other), ["BPF - y", "KASAN y -", "SMP n y"]);
    }

    #[test]
    fn a_cell_without_a_symbol_has_it_as_in_the_good_configuration() {
        let failing = cell(&["MODULES", "KASAN"], &["SMP"], &[("NR", "4")]);
        let good = cell(&["MODULES", "SMP"], &[], &[("NR", "2")]);
        let symbols = differing(&failing, Some(&good));
        let all: Vec<&SymbolRecord> = symbols.iter().collect();
        let other = without(&failing, &all);
        assert_eq!(asked(&other), asked(&good));
        assert_ne!(other.name(), failing.name());
        let none = without(&failing, &[]);
        assert_eq!(asked(&none), asked(&failing));
        let smp: Vec<&SymbolRecord> = all.iter().copied().filter(|s| s.symbol == "SMP").collect();
        let other = without(&failing, &smp);
        assert_eq!(other.enable, ["KASAN", "MODULES", "SMP"]);
        assert_eq!(other.disable, [""; 0]);
    }
}
