//! The smallest set that is still bad, in the sense that no member can be left out: ddmin of Zeller
//! and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input". Pure: who tests a set says
//! whether it is bad.

use std::collections::BTreeMap;

/// Asks whether a set is bad: never twice about the same one, and only so many times.
#[derive(Debug)]
pub struct Questions<F> {
    ask: F,
    answers: BTreeMap<Vec<usize>, bool>,
    most: usize,
    is_cut: bool,
}

impl<E, F: FnMut(&[usize]) -> Result<bool, E>> Questions<F> {
    /// `ask` says of a set, in ascending order, whether it is bad; at most `most` times.
    pub fn new(most: usize, ask: F) -> Questions<F> {
        Questions {
            ask,
            answers: BTreeMap::new(),
            most,
            is_cut: false,
        }
    }

    /// Whether more questions would have been asked than were allowed: a smaller set may be bad, too.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Whether a set is bad; not, if no more questions are allowed.
    ///
    /// # Errors
    /// Those of `ask`.
    pub fn is_bad(&mut self, set: &[usize]) -> Result<bool, E> {
        if let Some(answer) = self.answers.get(set) {
            return Ok(*answer);
        }
        if self.answers.len() == self.most {
            self.is_cut = true;
            return Ok(false);
        }
        let answer = (self.ask)(set)?;
        self.answers.insert(set.to_vec(), answer);
        Ok(answer)
    }

    /// The smallest set that is bad, of one that is.
    ///
    /// # Errors
    /// Those of `ask`.
    pub fn smallest(&mut self, mut all: Vec<usize>) -> Result<Vec<usize>, E> {
        let mut parts = 2;
        while all.len() > 1 {
            let size = all.len().div_ceil(parts);
            let chunks: Vec<Vec<usize>> = all.chunks(size).map(<[usize]>::to_vec).collect();
            let without = |chunk: &Vec<usize>| -> Vec<usize> {
                let rest = all.iter().copied();
                rest.filter(|at| !chunk.contains(at)).collect()
            };
            let mut smaller = None;
            for chunk in &chunks {
                if self.is_bad(chunk)? {
                    smaller = Some((chunk.clone(), 2));
                    break;
                }
            }
            if smaller.is_none() && chunks.len() > 2 {
                for chunk in &chunks {
                    let rest = without(chunk);
                    if self.is_bad(&rest)? {
                        smaller = Some((rest, (parts - 1).max(2)));
                        break;
                    }
                }
            }
            match smaller {
                Some((smaller, into)) => (all, parts) = (smaller, into),
                None if parts >= all.len() => break,
                None => parts = (parts * 2).min(all.len()),
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_smallest_set_has_all_that_is_needed_and_nothing_else(
            of in 1..40usize,
            needed in prop::collection::btree_set(0..40usize, 1..5),
        ) {
            let needed: Vec<usize> = needed.into_iter().filter(|at| *at < of).collect();
            prop_assume!(!needed.is_empty());
            let is_bad = |kept: &[usize]| Ok::<_, ()>(needed.iter().all(|at| kept.contains(at)));
            let mut questions = Questions::new(usize::MAX, is_bad);
            prop_assert_eq!(questions.smallest((0..of).collect()).unwrap(), needed.clone());
            prop_assert!(!questions.is_cut());
        }
    }

    #[test]
    fn no_question_is_asked_twice_or_beyond_what_is_allowed() {
        let mut asked = Vec::new();
        let mut questions = Questions::new(3, |set: &[usize]| {
            asked.push(set.to_vec());
            Ok::<_, ()>(set.contains(&0) && set.contains(&7))
        });
        questions.is_bad(&[0, 1, 2, 3]).unwrap();
        let found = questions.smallest((0..8).collect()).unwrap();
        assert!(questions.is_cut());
        assert!(found.contains(&0) && found.contains(&7));
        assert_eq!(asked.len(), 3);
        asked.dedup();
        assert_eq!(asked.len(), 3);
    }
}
