//! The calls at start in the symbols of `vmlinux`, by level. Called by `image` and `linked`.

use std::collections::BTreeMap;

/// How kernels that were made for LTO, and all from 5.11 on, name the calls at start
/// (`___initcall_name` in `include/linux/init.h`).
pub(super) const INITCALL: &str = "__initcall__kmod_";

/// Takes the symbols, in any order.
#[derive(Default)]
pub(super) struct Initcalls<'data> {
    /// Where each level begins, and its name.
    levels: BTreeMap<u64, &'data [u8]>,
    calls: Vec<(u64, &'data [u8])>,
}

/// The calls of a level, in the order in which they are made.
pub(super) struct Level<'data> {
    /// `6`, `6s`, `rootfs`, `con`; `early` before the first of them.
    pub(super) name: String,
    pub(super) calls: Vec<&'data [u8]>,
}

impl<'data> Initcalls<'data> {
    pub(super) fn take(&mut self, symbol: &'data [u8], address: u64) {
        if symbol.starts_with(INITCALL.as_bytes()) {
            self.calls.push((address, symbol));
        } else if let Some(level) = level(symbol) {
            self.levels.insert(address, level);
        }
    }

    pub(super) fn by_level(mut self) -> Vec<Level<'data>> {
        self.calls.sort_unstable();
        let mut by_level: BTreeMap<(u64, bool), Level> = BTreeMap::new();
        for (address, call) in self.calls {
            let level = self.levels.range(..=address).next_back();
            let (start, name) = level.map_or((0, &b""[..]), |(start, name)| (*start, *name));
            // `INIT_CALLS_LEVEL` of `vmlinux.lds.h` has those of `6s` after those of `6`.
            let is_sync = call.strip_suffix(b"s").is_some_and(|c| c.ends_with(name));
            let level = by_level.entry((start, is_sync)).or_insert_with(|| Level {
                name: match (name, is_sync) {
                    (b"", _) => "early".to_owned(),
                    (name, is_sync) => {
                        let name = String::from_utf8_lossy(name);
                        format!("{name}{}", if is_sync { "s" } else { "" })
                    }
                },
                calls: Vec::new(),
            });
            level.calls.push(call);
        }
        by_level.into_values().collect()
    }
}

/// The level that begins at a symbol: `6` at `__initcall6_start`, `con` at
/// `__con_initcall_start`, and that of early calls, which has no name, at `__initcall_start`.
fn level(symbol: &[u8]) -> Option<&[u8]> {
    let middle = symbol.strip_prefix(b"__")?.strip_suffix(b"_start")?;
    if middle == b"con_initcall" {
        return Some(b"con");
    }
    let level = middle.strip_prefix(b"initcall")?;
    level.iter().all(u8::is_ascii_alphanumeric).then_some(level)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(b"__initcall_start", Some(&b""[..]))]
    #[case(b"__initcall6_start", Some(&b"6"[..]))]
    #[case(b"__initcallrootfs_start", Some(&b"rootfs"[..]))]
    #[case(b"__con_initcall_start", Some(&b"con"[..]))]
    #[case(b"__initcall_end", None)]
    #[case(b"__initcall__kmod_x__1_2_f_start", None)]
    #[case(b"__start_initcall", None)]
    fn levels_have_their_marks(#[case] symbol: &[u8], #[case] expected: Option<&[u8]>) {
        assert_eq!(level(symbol), expected);
    }

    #[test]
    fn calls_are_in_the_level_that_begins_before_them() {
        let symbols: [(&[u8], u64); 12] = [
            (b"__initcall__kmod_a__1_2_cs6s", 48),
            (b"__initcall__kmod_a__1_2_b6", 52),
            (b"__initcall6_start", 44),
            (b"__initcall__kmod_a__1_2_d6", 44),
            (b"__initcall__kmod_a__1_2_firstearly", 8),
            (b"__initcall_start", 8),
            (b"__initcall5_start", 20),
            (b"__initcall__kmod_a__1_2_five5", 20),
            (b"__initcallrootfs_start", 24),
            (b"__initcall__kmod_a__1_2_rootrootfs", 24),
            (b"__con_initcall_start", 60),
            (b"__initcall__kmod_a__1_2_consolecon", 60),
        ];
        let mut calls = Initcalls::default();
        for (symbol, address) in symbols {
            calls.take(symbol, address);
        }
        let levels: Vec<String> = calls
            .by_level()
            .iter()
            .map(|level| {
                let calls = level.calls.iter().map(|call| {
                    let call = String::from_utf8_lossy(call);
                    call.rsplit('_').next().unwrap().to_owned()
                });
                format!("{}: {}", level.name, calls.collect::<Vec<_>>().join(" "))
            })
            .collect();
        assert_eq!(
            levels,
            [
                "early: firstearly",
                "5: five5",
                "rootfs: rootrootfs",
                "6: d6 b6",
                "6s: cs6s",
                "con: consolecon"
            ]
        );
    }
}
