//! Whether the kernel or the toolchain brings a fault, from tests of both ends with both toolchains.
//! Pure.

use crate::model::bisect::{Brings, Verdict};

/// Of the two toolchains, the one of an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    GoodEnd,
    BadEnd,
}

/// What brings the fault, if the good end with its toolchain is good and the bad end with its own is
/// bad. `bad_end` is the verdict on the bad end with the toolchain of the good one, `good_end` that on
/// the good end with the toolchain of the bad one.
#[must_use]
pub fn brings(bad_end: Verdict, good_end: Verdict) -> Brings {
    match (bad_end, good_end) {
        (Verdict::Bad, Verdict::Good) => Brings::Kernel,
        (Verdict::Good, Verdict::Bad) => Brings::Toolchain,
        (Verdict::Good, Verdict::Good) => Brings::Both,
        (Verdict::Bad, Verdict::Bad) => Brings::Either,
        (Verdict::Unknown, _) | (_, Verdict::Unknown) => Brings::Unknown,
    }
}

/// With which toolchain the ends differ, so that a commit can be searched for; `None` if with neither, as
/// far as is known. The arguments are those of [`brings`].
#[must_use]
pub fn to_search_with(bad_end: Verdict, good_end: Verdict) -> Option<Of> {
    match (bad_end, good_end) {
        (_, Verdict::Good) => Some(Of::BadEnd),
        (Verdict::Bad, Verdict::Bad | Verdict::Unknown) => Some(Of::GoodEnd),
        (Verdict::Good | Verdict::Unknown, Verdict::Bad | Verdict::Unknown) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Verdict::{Bad, Good, Unknown};
    use rstest::rstest;

    #[rstest]
    #[case::kernel(Bad, Good, Brings::Kernel, Some(Of::BadEnd))]
    #[case::toolchain(Good, Bad, Brings::Toolchain, None)]
    #[case::both(Good, Good, Brings::Both, Some(Of::BadEnd))]
    #[case::either(Bad, Bad, Brings::Either, Some(Of::GoodEnd))]
    #[case::old_kernel_does_not_build(Bad, Unknown, Brings::Unknown, Some(Of::GoodEnd))]
    #[case::new_kernel_does_not_build(Unknown, Good, Brings::Unknown, Some(Of::BadEnd))]
    #[case::kernel_or_nothing(Unknown, Bad, Brings::Unknown, None)]
    #[case::nothing_is_known(Unknown, Unknown, Brings::Unknown, None)]
    fn two_ends_with_two_toolchains_say_what_brings_the_fault(
        #[case] bad_end: Verdict,
        #[case] good_end: Verdict,
        #[case] what: Brings,
        #[case] search: Option<Of>,
    ) {
        assert_eq!(brings(bad_end, good_end), what);
        assert_eq!(to_search_with(bad_end, good_end), search);
    }
}
