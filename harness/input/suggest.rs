//! "Did you mean …?": the known word nearest to a mistyped one, wherever a name is looked up
//! in a table.

/// The entry of `known` that `word` was probably meant to be; `None` if none is near enough.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let mut best: Option<(f64, &str)> = None;
    for candidate in known {
        let likeness =
            strsim::normalized_damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase());
        if likeness >= 0.5 && best.is_none_or(|(so_far, _)| likeness > so_far) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// The end of an error message about an unknown name: the nearest known name, and all of
/// them. `known` should be short enough to read.
pub fn known_names<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return "none is defined".to_owned();
    }
    let list = known.join(", ");
    match nearest(word, known) {
        Some(near) => format!("did you mean '{near}'? known: {list}"),
        None => format!("known: {list}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::transposed("amr64", Some("arm64"))]
    #[case::case_differs("ARM64", Some("arm64"))]
    #[case::one_letter_short("risc", Some("riscv"))]
    #[case::nothing_like_it("sparc", None)]
    #[case::empty("", None)]
    fn a_near_name_is_suggested_and_a_far_one_is_not(
        #[case] word: &str,
        #[case] expected: Option<&str>,
    ) {
        assert_eq!(nearest(word, ["x86_64", "arm64", "riscv"]), expected);
    }

    #[test]
    fn the_message_lists_what_is_known() {
        assert_eq!(
            known_names("thn", ["none", "thin"]),
            "did you mean 'thin'? known: none, thin"
        );
        assert_eq!(known_names("x", []), "none is defined");
    }
}
