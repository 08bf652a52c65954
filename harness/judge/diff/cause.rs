//! The cause of a difference: how the object that defines a symbol was compiled in each of
//! the two trees.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::Side;
use crate::model::facts::{Facts, Name, Object};
use crate::tree::clang_options::code_options;

/// What is known about the objects of both trees.
pub(super) struct Causes<'a> {
    /// The object that defines a symbol, by symbol.
    object_of: FxHashMap<&'a str, &'a str>,
    /// The objects that may be compiled from a C file, by its name without its folder.
    objects_of_file: FxHashMap<String, Vec<&'a str>>,
    /// How an object was compiled differently, by object; `None` if it was not.
    otherwise: FxHashMap<&'a str, Option<String>>,
}

impl<'a> Causes<'a> {
    pub(super) fn of(a: &'a Side, b: &'a Side) -> Causes<'a> {
        let mut causes = Causes {
            object_of: FxHashMap::default(),
            objects_of_file: FxHashMap::default(),
            otherwise: FxHashMap::default(),
        };
        let by_name = |facts: &'a Facts| -> FxHashMap<&'a str, &'a Object> {
            let named = facts.objects.iter().map(|o| (facts.text(o.name), o));
            named.collect()
        };
        let (in_a, in_b) = (by_name(&a.facts), by_name(&b.facts));
        for (facts, objects) in [(&a.facts, &in_a), (&b.facts, &in_b)] {
            for (name, object) in objects {
                causes.note(facts, name, object);
            }
        }
        let names: BTreeSet<&str> = in_a.keys().chain(in_b.keys()).copied().collect();
        let mut known = FxHashMap::default();
        for name in names {
            let otherwise = match (in_a.get(name), in_b.get(name)) {
                (Some(one), Some(other)) => flags_differ(
                    (&a.facts, &options(&a.facts, one)),
                    (&b.facts, &options(&b.facts, other)),
                    &mut known,
                ),
                (Some(_), None) => Some("objects that the second tree does not have".to_owned()),
                (None, _) => Some("objects that the first tree does not have".to_owned()),
            };
            causes.otherwise.insert(name, otherwise);
        }
        causes
    }

    fn note(&mut self, facts: &'a Facts, name: &'a str, object: &'a Object) {
        for symbol in object.file.defined().unwrap_or_default() {
            self.object_of.entry(facts.text(*symbol)).or_insert(name);
        }
        let base = name.rsplit('/').next().unwrap_or(name);
        if let Some(stem) = base.strip_suffix(".o") {
            let objects = self.objects_of_file.entry(format!("{stem}.c")).or_default();
            if !objects.contains(&name) {
                objects.push(name);
            }
        }
    }

    /// The cause of a difference of the symbol; `file` is the C file's name, if the symbol is
    /// local to one.
    pub(super) fn of_symbol(&self, symbol: &str, file: Option<&str>) -> Option<String> {
        if let Some(object) = self.object_of.get(symbol) {
            return self.otherwise.get(object).cloned().flatten();
        }
        // If several files have that name, what they have in common.
        let objects = self.objects_of_file.get(file?)?;
        let mut causes = objects.iter().map(|object| self.otherwise.get(object));
        let first = causes.next()?;
        match causes.all(|cause| cause == first) {
            true => first.cloned().flatten(),
            false => None,
        }
    }
}

/// The options that the machine code of an object was compiled with.
fn options(facts: &Facts, object: &Object) -> Vec<Name> {
    let cmd = match &object.backend {
        Some(backend) => backend.cmd.read(),
        None => object.cmd.read(),
    };
    let words = cmd.and_then(|cmd| cmd.command.as_ref()?.as_deref().ok());
    code_options(facts, words.unwrap_or_default())
}

/// The texts by the two lists of options: most objects are compiled alike.
type Known = FxHashMap<(Vec<Name>, Vec<Name>), Option<String>>;

fn flags_differ(
    (a, of_a): (&Facts, &Vec<Name>),
    (b, of_b): (&Facts, &Vec<Name>),
    known: &mut Known,
) -> Option<String> {
    if let Some(known) = known.get(&(of_a.clone(), of_b.clone())) {
        return known.clone();
    }
    let texts = |facts: &'_ Facts, options: &[Name]| -> BTreeMap<String, usize> {
        let mut texts = BTreeMap::new();
        for option in options {
            let text = facts.text(*option);
            if is_of_code(text) {
                *texts.entry(text.to_owned()).or_default() += 1;
            }
        }
        texts
    };
    let (one, other) = (texts(a, of_a), texts(b, of_b));
    let only = |one: &BTreeMap<String, usize>, other: &BTreeMap<String, usize>| -> Vec<String> {
        let names = one.keys().filter(|text| !other.contains_key(*text));
        names.cloned().collect()
    };
    let (first, second) = (only(&one, &other), only(&other, &one));
    let mut parts = Vec::new();
    for (which, options) in [("first", first), ("second", second)] {
        if !options.is_empty() {
            parts.push(format!("{} only in the {which} tree", options.join(" ")));
        }
    }
    let text = (!parts.is_empty()).then(|| format!("compiled with {}", parts.join(", ")));
    known.insert((of_a.clone(), of_b.clone()), text.clone());
    text
}

/// Whether an option affects the code. Options that only say what is compiled to what differ
/// between the modes.
fn is_of_code(option: &str) -> bool {
    const WAY: [&str; 8] = [
        "-flto",
        "-fno-lto",
        "-fthinlto-index",
        "-fsplit-lto-unit",
        "-fno-split-lto-unit",
        "-funified-lto",
        "-W",
        "-x",
    ];
    option.starts_with('-') && !WAY.iter().any(|way| option.starts_with(way))
}
