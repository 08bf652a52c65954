//! Bands: how an accepted snapshot records a number that each harmless commit changes.

/// The band of `number`: a number below 8 itself, else the range between two of the fixed limits
/// 4, 5, 6 and 7 times a power of two, so that a band is as wide as a seventh to a quarter of its
/// numbers.
#[must_use]
pub fn band(number: usize) -> String {
    if number < 8 {
        return number.to_string();
    }
    let width = 1 << (number.ilog2() - 2);
    let first = number / width * width;
    format!("{first} to {}", first + (width - 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(0, "0")]
    #[case(7, "7")]
    #[case(8, "8 to 9")]
    #[case(15, "14 to 15")]
    #[case(16, "16 to 19")]
    #[case(445, "384 to 447")]
    #[case(447, "384 to 447")]
    #[case(448, "448 to 511")]
    fn a_number_is_in_one_band(#[case] number: usize, #[case] expected: &str) {
        assert_eq!(band(number), expected);
    }

    #[test]
    fn bands_follow_each_other_without_a_gap() {
        let mut last = None;
        for number in 8..5000 {
            let text = band(number);
            let (first, end) = text.split_once(" to ").unwrap();
            let (first, end): (usize, usize) = (first.parse().unwrap(), end.parse().unwrap());
            assert!((first..=end).contains(&number), "{number}: {text}");
            if let Some(last) = last {
                assert!(last == end || last + 1 == first, "{number}: {text}");
            }
            last = Some(end);
        }
    }
}
