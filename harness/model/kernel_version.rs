//! Kernel versions, ordered as releases are.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A kernel's version, ordered as releases are: `7.3 < 7.4-rc1 < 7.4 < 7.4.1`. What
/// follows the release candidate, such as `-next-20261001` or `+`, does not count.
#[derive(Debug, Clone)]
pub struct KernelVersion {
    text: String,
    /// Version, patch level, sublevel, and the release candidate; `u32::MAX` if none.
    order: [u32; 4],
}

/// A text that is not a kernel version.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("'{0}' is not a kernel version; expected one such as 7.4, 7.4-rc2 or 7.2.13")]
pub struct NotAVersion(
    /// The text found.
    pub String,
);

impl FromStr for KernelVersion {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let order = version_order(text).ok_or_else(|| NotAVersion(text.to_owned()))?;
        Ok(Self {
            text: text.to_owned(),
            order,
        })
    }
}

fn version_order(text: &str) -> Option<[u32; 4]> {
    let numbers_end = text.find(['-', '+']).unwrap_or(text.len());
    let (numbers, rest) = text.split_at(numbers_end);
    let numbers: Vec<u32> = numbers
        .split('.')
        .map(|n| n.parse().ok())
        .collect::<Option<_>>()?;
    let (version, patch_level, sublevel) = match numbers[..] {
        [version, patch_level] => (version, patch_level, 0),
        [version, patch_level, sublevel] => (version, patch_level, sublevel),
        _ => return None,
    };
    let candidate = match rest.strip_prefix("-rc") {
        None => u32::MAX,
        Some(rest) => rest.split(['-', '+']).next()?.parse().ok()?,
    };
    Some([version, patch_level, sublevel, candidate])
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for KernelVersion {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl Eq for KernelVersion {}

impl PartialOrd for KernelVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KernelVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order.cmp(&other.order)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_the_order_of_their_release() {
        let all = [
            "6.19.14", "7.2-rc1", "7.2-rc2", "7.2", "7.2.13", "7.10-rc1", "7.10", "8.0-rc1",
        ];
        let all = all.map(|text| text.parse::<KernelVersion>().unwrap());
        assert!(all.is_sorted_by(|a, b| a < b && a != b));
        for (one, other) in [("7.2", "7.2.0"), ("7.2-rc7", "7.2.0-rc7-next-20270101")] {
            assert_eq!(
                one.parse::<KernelVersion>().unwrap(),
                other.parse().unwrap()
            );
        }
    }
}
