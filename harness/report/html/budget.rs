//! How much a page shows, so that a browser opens it at once: what is left out, the JSON report
//! has.

/// Lines that may still be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    left: usize,
}

impl Budget {
    /// Of that many lines.
    #[must_use]
    pub fn new(lines: usize) -> Budget {
        Budget { left: lines }
    }

    /// As many of the wanted lines as are left; they are spent.
    pub fn take(&mut self, wanted: usize) -> usize {
        let taken = wanted.min(self.left);
        self.left -= taken;
        taken
    }

    /// How many of these parts fit, each with its number of lines; their lines are spent.
    pub fn fit(&mut self, parts: impl IntoIterator<Item = usize>) -> usize {
        let parts = parts.into_iter();
        parts
            .take_while(|lines| *lines <= self.left && self.take(*lines) == *lines)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spent_is_not_shown_again() {
        let mut budget = Budget::new(10);
        assert_eq!(budget.take(4), 4);
        assert_eq!(budget.fit([2, 3, 9, 1]), 2);
        assert_eq!(budget.take(4), 1);
        assert_eq!(budget.take(4), 0);
    }
}
