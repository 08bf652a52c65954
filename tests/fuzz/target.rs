//! A target of libFuzzer's: the one that this program is named after.
#![no_main]

mod targets;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let target = targets::TARGETS
        .iter()
        .find(|(name, _)| *name == env!("CARGO_BIN_NAME"));
    if let Some((_, run)) = target {
        run(bytes);
    }
});
