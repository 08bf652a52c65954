//! Changes text inside bitcode, which may start at any bit: fields of six bits (LLVM's
//! char6) or of seven, least significant bit first, as the bitstream format has them.

/// Replaces a text in char6 by one of the same length.
///
/// # Panics
/// If it does not occur in the bitcode exactly once.
pub fn replace_char6(bitcode: &[u8], old: &str, new: &str) -> Vec<u8> {
    replace(bitcode, &fields(old, 6, char6), &fields(new, 6, char6))
}

fn char6(c: u8) -> u8 {
    match c {
        b'a'..=b'z' => c - b'a',
        b'A'..=b'Z' => c - b'A' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'.' => 62,
        b'_' => 63,
        _ => panic!("'{}' is not in char6", char::from(c)),
    }
}

fn fields(text: &str, width: usize, code: fn(u8) -> u8) -> Vec<bool> {
    let bits = text.bytes().map(code);
    bits.flat_map(|field| (0..width).map(move |bit| field >> bit & 1 == 1))
        .collect()
}

fn replace(bitcode: &[u8], old: &[bool], new: &[bool]) -> Vec<u8> {
    assert_eq!(old.len(), new.len(), "another length moves what follows");
    let mut bits: Vec<bool> = bitcode
        .iter()
        .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1))
        .collect();
    let places: Vec<usize> = bits
        .windows(old.len())
        .enumerate()
        .filter(|(_, window)| *window == old)
        .map(|(at, _)| at)
        .collect();
    let [at] = places[..] else {
        panic!("the text stands in {} places, not in one", places.len())
    };
    bits[at..at + new.len()].copy_from_slice(new);
    bits.chunks(8)
        .map(|byte| {
            let set = |(bit, set): (usize, &bool)| u8::from(*set) << bit;
            byte.iter().enumerate().map(set).sum()
        })
        .collect()
}
