//! The search against a simulation that knows the culprit, over random histories.

use super::*;
use proptest::prelude::*;
use rstest::rstest;

/// A history, who brought the fault, and which tests give no verdict.
#[derive(Debug, Clone)]
struct Case {
    nodes: Vec<Node>,
    culprit: usize,
    unknown: Vec<bool>,
    costs: Vec<f64>,
}

impl Case {
    /// Each commit after the one before it.
    fn linear(commits: usize, culprit: usize) -> Case {
        let parent = |at: usize| vec![at.checked_sub(1)];
        Case {
            nodes: (0..commits)
                .map(|at| Node {
                    parents: parent(at),
                    is_as_first_parent: false,
                    weight: 1,
                })
                .collect(),
            culprit,
            unknown: vec![false; commits],
            costs: vec![1.0; commits],
        }
    }

    fn verdict(&self, commit: usize) -> Verdict {
        if self.unknown[commit] {
            Verdict::Unknown
        } else if has(&self.nodes, commit, self.culprit) {
            Verdict::Bad
        } else {
            Verdict::Good
        }
    }

    /// How the search ends, and what it tested.
    fn search(&self) -> (Step, Vec<usize>) {
        let mut search = Search::new(&self.nodes);
        let mut tested = Vec::new();
        loop {
            match search.next(|at| self.costs[at]) {
                Step::Test(at) => {
                    assert!(!tested.contains(&at), "{at} is tested twice");
                    tested.push(at);
                    search.tell(at, self.verdict(at));
                }
                end => return (end, tested),
            }
        }
    }

    /// Those that no commit which can be told separates from the culprit.
    fn inseparable(&self) -> Vec<usize> {
        let suspects = (0..self.nodes.len()).filter(|at| {
            let node = &self.nodes[*at];
            node.weight > 0 && !node.is_as_first_parent
        });
        let last = self.nodes.len() - 1;
        let told: Vec<usize> = (0..last)
            .filter(|at| !self.unknown[*at])
            .chain([last])
            .filter(|at| !self.nodes[*at].is_as_first_parent)
            .collect();
        suspects
            .filter(|suspect| {
                told.iter().all(|at| {
                    has(&self.nodes, *at, *suspect) == has(&self.nodes, *at, self.culprit)
                })
            })
            .collect()
    }
}

/// Whether `of` has `commit` in its history, by walking it: a commit that is as its first parent
/// has taken nothing from the others.
fn has(nodes: &[Node], of: usize, commit: usize) -> bool {
    let mut seen = vec![false; nodes.len()];
    let mut left = vec![of];
    while let Some(at) = left.pop() {
        let node = &nodes[at];
        if !std::mem::replace(&mut seen[at], true) {
            let counted = if node.is_as_first_parent {
                1
            } else {
                usize::MAX
            };
            left.extend(node.parents.iter().take(counted).flatten());
        }
    }
    seen[commit]
}

prop_compose! {
    /// A history in which the last commit has all others in its own.
    fn case()(
        shape in prop::collection::vec((any::<[prop::sample::Index; 2]>(), 0..10u8, 0..4u32, 1..20u8, any::<bool>()), 1..24),
        culprit in any::<prop::sample::Index>(),
        with_unknown in any::<bool>(),
    ) -> Case {
        let mut nodes: Vec<Node> = Vec::new();
        for (at, ([one, other], kind, weight, ..)) in shape.iter().enumerate() {
            let before = |index: &prop::sample::Index| at.checked_sub(1).map(|_| index.index(at));
            let parents = match kind {
                0..=5 => vec![at.checked_sub(1)],
                6 => vec![None],
                7 => vec![before(one)],
                _ => vec![before(one), before(other)],
            };
            nodes.push(Node { parents, is_as_first_parent: *weight == 0 && *kind != 6, weight: *weight });
        }
        // It has all heads.
        let is_parent = |at: usize| nodes.iter().any(|node| node.parents.contains(&Some(at)));
        let heads: Vec<Option<usize>> = (0..nodes.len()).filter(|at| !is_parent(*at)).map(Some).collect();
        nodes.push(Node { parents: heads, is_as_first_parent: false, weight: 1 });
        let last = nodes.len() - 1;
        let suspects: Vec<usize> = (0..nodes.len())
            .filter(|at| nodes[*at].weight > 0 && !nodes[*at].is_as_first_parent && has(&nodes, last, *at))
            .collect();
        let mut unknown: Vec<bool> = shape.iter().map(|(.., unknown)| with_unknown && *unknown).collect();
        unknown.push(false);
        let mut costs: Vec<f64> = shape.iter().map(|(_, _, _, cost, _)| f64::from(*cost)).collect();
        costs.push(1.0);
        Case { culprit: suspects[culprit.index(suspects.len())], nodes, unknown, costs }
    }
}

proptest! {
    #[test]
    fn it_ends_at_the_culprit_or_at_the_smallest_set_that_can_be_told(case in case()) {
        let last = case.nodes.len() - 1;
        // What the last commit does not have is no suspect.
        let expected: Vec<usize> = case.inseparable().into_iter()
            .filter(|at| has(&case.nodes, last, *at))
            .collect();
        let (end, _) = case.search();
        match expected.as_slice() {
            [only] => prop_assert_eq!(end, Step::Found(*only)),
            _ => prop_assert_eq!(end, Step::Among(expected)),
        }
    }

    #[test]
    fn a_row_of_commits_is_halved(commits in 1..300usize, culprit in any::<prop::sample::Index>()) {
        let case = Case::linear(commits, culprit.index(commits));
        let (end, tested) = case.search();
        prop_assert_eq!(end, Step::Found(case.culprit));
        let most = commits.next_power_of_two().ilog2() as usize;
        prop_assert!(tested.len() <= most, "{} tests of {} commits", tested.len(), commits);
    }
}

#[test]
fn a_thousand_commits_take_ten_tests() {
    for culprit in [0, 1, 499, 500, 501, 998, 999] {
        let (end, tested) = Case::linear(1000, culprit).search();
        assert_eq!(end, Step::Found(culprit));
        assert!(tested.len() <= 10, "{tested:?}");
    }
}

#[test]
fn more_suspects_than_fit_at_once_are_counted() {
    let case = Case::linear(10_000, 9_001);
    let (end, tested) = case.search();
    assert_eq!(end, Step::Found(9_001));
    assert!(tested.len() <= 14, "{tested:?}");
    assert_eq!(tested[0], 4_999);
}

#[test]
fn a_commit_that_costs_nothing_is_tested_first() {
    let mut case = Case::linear(100, 70);
    case.costs[20] = 0.001;
    let (end, tested) = case.search();
    assert_eq!((end, tested[0]), (Step::Found(70), 20));
}

#[test]
fn a_likelier_commit_is_found_sooner() {
    let mut case = Case::linear(64, 40);
    case.nodes[40].weight = 1000;
    let (end, tested) = case.search();
    assert_eq!(end, Step::Found(40));
    assert!(tested.len() <= 3, "{tested:?}");
}

#[test]
fn a_commit_with_the_verdict_of_its_parent_is_neither_tested_nor_blamed() {
    let mut case = Case::linear(100, 30);
    for (at, node) in case.nodes.iter_mut().enumerate() {
        node.is_as_first_parent = at % 10 != 0;
    }
    let (end, tested) = case.search();
    assert_eq!(end, Step::Found(30));
    assert!(tested.iter().all(|at| at % 10 == 0), "{tested:?}");
    assert!(tested.len() <= 4, "{tested:?}");
}

/// A branch of 100 commits was merged, but the merge took nothing of it.
#[test]
fn a_branch_of_which_a_merge_took_nothing_is_not_searched() {
    let mut nodes = Case::linear(100, 0).nodes;
    nodes.push(Node {
        parents: vec![None],
        is_as_first_parent: false,
        weight: 1,
    });
    nodes.push(Node {
        parents: vec![Some(100), Some(99)],
        is_as_first_parent: true,
        weight: 0,
    });
    nodes.push(Node {
        parents: vec![Some(101)],
        is_as_first_parent: false,
        weight: 1,
    });
    let search = Search::new(&nodes);
    assert_eq!(search.suspects(), [100, 102]);
}

#[rstest]
#[case::around_the_culprit(40..60, 50)]
#[case::before_it(10..50, 60)]
#[case::after_it(50..90, 30)]
fn a_row_that_cannot_be_told_costs_few_tests(
    #[case] unknown: std::ops::Range<usize>,
    #[case] culprit: usize,
) {
    let mut case = Case::linear(100, culprit);
    for at in unknown.clone() {
        case.unknown[at] = true;
    }
    let (end, tested) = case.search();
    let failed = tested.iter().filter(|at| unknown.contains(at)).count();
    match unknown.contains(&culprit) {
        // One of them or the first after them; all of those between had to be tried.
        true => assert_eq!(end, Step::Among((unknown.start..=unknown.end).collect())),
        false => {
            assert_eq!(end, Step::Found(culprit));
            assert!(failed <= 5, "{failed} of {tested:?}");
        }
    }
}

#[test]
fn verdicts_that_contradict_each_other_leave_nobody() {
    let mut search = Search::new(&Case::linear(4, 0).nodes);
    search.tell(1, Verdict::Bad);
    search.tell(2, Verdict::Good);
    assert_eq!(search.next(|_| 1.0), Step::Nobody);
}

#[test]
fn a_verdict_counts_for_all_that_have_it_by_proof() {
    let mut nodes = Case::linear(4, 0).nodes;
    nodes[2].is_as_first_parent = true;
    nodes[0].is_as_first_parent = true;
    let mut search = Search::new(&nodes);
    assert_eq!(search.verdict(0), Some(Verdict::Good));
    assert_eq!(search.verdict(2), None);
    search.tell(2, Verdict::Bad);
    assert_eq!(search.verdict(1), Some(Verdict::Bad));
    assert_eq!(search.next(|_| 1.0), Step::Found(1));
}
