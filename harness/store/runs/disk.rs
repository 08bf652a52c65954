//! What the runs of a store take on the disk, and which of them go so that the others fit.

use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use walkdir::WalkDir;

use super::{OBJECTS, RUNS, RunStore};
use crate::model::error::Error;

/// Runs that are read at once, as for the index.
const AT_ONCE: usize = 8;

/// What there is to choose from.
#[derive(Debug, Clone, Default)]
pub struct Weighed {
    /// The oldest first.
    runs: Vec<Run>,
    /// In KiB.
    objects: Vec<u64>,
}

#[derive(Debug, Clone)]
struct Run {
    name: String,
    /// Its own file, in KiB.
    kib: u64,
    /// The places of its facts and logs in [`Weighed::objects`]; others may have them, too.
    objects: Vec<usize>,
}

/// What is known of runs.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// Runs in which no cell failed, and none was stopped.
    pub green: &'a BTreeSet<String>,
    /// Runs that have the last result of some cell.
    pub last: &'a BTreeSet<String>,
}

/// Which runs go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub runs: Vec<String>,
    /// What the others take, in KiB.
    pub left_kib: u64,
}

impl Weighed {
    /// The runs that go so that the others take at most `budget_kib`: those in which nothing failed,
    /// the oldest first, then others, the oldest first; never one that has the last result of a cell.
    /// Facts and logs count as long as some run has them. Pure.
    #[must_use]
    pub fn choose(&self, known: Known<'_>, budget_kib: u64) -> Choice {
        let mut users = vec![0_usize; self.objects.len()];
        for place in self.runs.iter().flat_map(|run| &run.objects) {
            users[*place] += 1;
        }
        let used = self.objects.iter().zip(&users);
        let used = used.filter(|(_, users)| **users > 0).map(|(kib, _)| kib);
        let mut left: u64 = self
            .runs
            .iter()
            .map(|run| run.kib)
            .chain(used.copied())
            .sum();
        let mut order: Vec<&Run> = self.runs.iter().collect();
        // Stable: each kind stays in the order of time.
        order.sort_by_key(|run| !known.green.contains(&run.name));
        order.retain(|run| !known.last.contains(&run.name));
        let mut go = Vec::new();
        for run in order {
            if left <= budget_kib {
                break;
            }
            left -= run.kib;
            for place in &run.objects {
                users[*place] -= 1;
                if users[*place] == 0 {
                    left -= self.objects[*place];
                }
            }
            go.push(run.name.clone());
        }
        Choice {
            runs: go,
            left_kib: left,
        }
    }
}

impl RunStore {
    /// What runs, facts and logs take on the disk, in KiB; without the index, which can be deleted.
    #[must_use]
    pub fn disk_kib(&self) -> u64 {
        let folders = [RUNS, OBJECTS].map(|folder| self.dir.join(folder));
        let files = folders.iter().flat_map(WalkDir::new).flatten();
        let files = files.filter(|entry| entry.file_type().is_file());
        files.map(|entry| kib(entry.path())).sum()
    }

    /// What each run takes on the disk.
    ///
    /// # Errors
    /// As [`RunStore::open_run`]: what a run takes that cannot be read is not known.
    pub fn weigh(&self) -> Result<Weighed, Error> {
        let mut weighed = Weighed::default();
        let mut places: HashMap<PathBuf, usize> = HashMap::new();
        for names in self.names()?.chunks(AT_ONCE) {
            let files = names.par_iter().map(|name| self.objects_of(name));
            let files: Vec<BTreeSet<PathBuf>> = files.collect::<Result<_, Error>>()?;
            for (name, files) in names.iter().zip(files) {
                let mut objects = Vec::new();
                for file in files {
                    let size = kib(&file);
                    objects.push(*places.entry(file).or_insert_with(|| {
                        weighed.objects.push(size);
                        weighed.objects.len() - 1
                    }));
                }
                weighed.runs.push(Run {
                    name: name.clone(),
                    kib: kib(&self.file(name)),
                    objects,
                });
            }
        }
        Ok(weighed)
    }
}

/// What a file takes on the disk; 0 if it is gone.
fn kib(file: &Path) -> u64 {
    std::fs::symlink_metadata(file).map_or(0, |meta| meta.blocks().div_ceil(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn run(name: &str, kib: u64, objects: &[usize]) -> Run {
        Run {
            name: name.to_owned(),
            kib,
            objects: objects.to_vec(),
        }
    }

    /// 10 KiB for each run, and 100 for each object: 440 in all.
    fn four() -> Weighed {
        Weighed {
            runs: vec![
                run("1", 10, &[0]),
                run("2", 10, &[0, 1]),
                run("3", 10, &[2]),
                run("4", 10, &[3]),
            ],
            objects: vec![100; 4],
        }
    }

    #[rstest]
    #[case::all_fit(440, &[], &[], 440)]
    #[case::what_another_has_stays(430, &[], &["2"], 330)]
    #[case::green_ones_first(329, &[], &["2", "4"], 220)]
    #[case::then_the_others(219, &[], &["2", "4", "1"], 110)]
    #[case::never_a_last_result(0, &["2", "3"], &["4", "1"], 320)]
    fn runs_go_by_outcome_then_by_age(
        #[case] budget_kib: u64,
        #[case] last: &[&str],
        #[case] expected: &[&str],
        #[case] left_kib: u64,
    ) {
        let (green, last) = (names(&["2", "4"]), names(last));
        let known = Known {
            green: &green,
            last: &last,
        };
        let choice = four().choose(known, budget_kib);
        assert_eq!(
            (choice.runs, choice.left_kib),
            (expected.iter().map(|n| (*n).to_owned()).collect(), left_kib)
        );
    }

    /// Size, objects, whether nothing failed, whether it has a last result.
    type Drawn = (u64, BTreeSet<usize>, bool, bool);

    proptest! {
        #[test]
        fn what_goes_was_too_much_and_what_stays_fits_or_is_a_last_result(
            runs in prop::collection::vec((0_u64..50, prop::collection::btree_set(0_usize..9, 0..5), any::<bool>(), any::<bool>()), 0..12),
            objects in prop::collection::vec(0_u64..90, 9),
            budget_kib in 0_u64..600,
        ) {
            let name = |number: usize| format!("{number:02}");
            let all = Weighed {
                runs: runs.iter().enumerate().map(|(number, (kib, objects, ..))| Run {
                    name: name(number),
                    kib: *kib,
                    objects: objects.iter().copied().collect(),
                }).collect(),
                objects,
            };
            let of = |is: &dyn Fn(&Drawn) -> bool| -> BTreeSet<String> {
                (0..runs.len()).filter(|at| is(&runs[*at])).map(name).collect()
            };
            let (green, last) = (of(&|run| run.2), of(&|run| run.3));
            let known = Known { green: &green, last: &last };
            let choice = all.choose(known, budget_kib);
            let taken = |gone: &[String]| -> u64 {
                let left: Vec<&Run> = all.runs.iter().filter(|run| !gone.contains(&run.name)).collect();
                let used: BTreeSet<usize> = left.iter().flat_map(|run| run.objects.clone()).collect();
                left.iter().map(|run| run.kib).sum::<u64>() + used.iter().map(|at| all.objects[*at]).sum::<u64>()
            };
            prop_assert_eq!(choice.left_kib, taken(&choice.runs));
            prop_assert!(!choice.runs.iter().any(|run| last.contains(run)));
            if let Some((_, before)) = choice.runs.split_last() {
                prop_assert!(taken(before) > budget_kib, "nothing more had to go");
            }
            let could_go = runs.len() - last.len() - choice.runs.len();
            prop_assert!(choice.left_kib <= budget_kib || could_go == 0);
            let key = |run: &String| (!green.contains(run), run.clone());
            prop_assert!(choice.runs.is_sorted_by_key(key));
        }
    }
}
