//! Whether code knows the mode of LTO: what is compiled of it may then differ between modes by
//! more than the compiler's options.

use std::path::Path;

use crate::model::cell::LtoMode;

/// Whether a file, unless it is of Kconfig or a makefile, names the Kconfig symbol of a mode
/// outside of a comment. A doubtful case counts.
pub(super) fn names_mode(path: &str, content: &[u8]) -> bool {
    let name = Path::new(path).file_name().and_then(|name| name.to_str());
    let is_configuration = name.is_some_and(|name| {
        ["Kconfig", "Makefile", "Kbuild"]
            .iter()
            .any(|start| name.starts_with(start))
            || name.ends_with("defconfig")
            || name.ends_with(".config")
    });
    !is_configuration
        && memchr::memmem::find_iter(content, "CONFIG_LTO_")
            .any(|at| is_mode(&content[at..]) && !is_in_comment(content, at))
}

/// Whether a text begins with the symbol of a mode.
fn is_mode(text: &[u8]) -> bool {
    let symbol = text.strip_prefix(b"CONFIG_").unwrap_or_default();
    let end = symbol
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
        .unwrap_or(symbol.len());
    let symbol = &symbol[..end];
    let symbol = symbol.strip_suffix(b"_MODULE").unwrap_or(symbol);
    let modes = LtoMode::ALL.iter();
    modes
        .map(|mode| mode.config_symbol().as_bytes())
        .any(|mode| mode == symbol)
}

/// Whether a line begins as a comment of C that goes on up to that place.
fn is_in_comment(content: &[u8], at: usize) -> bool {
    let start = memchr::memrchr(b'\n', &content[..at]).map_or(0, |end| end + 1);
    let before = content[start..at].trim_ascii_start();
    let is_block = before.starts_with(b"/*") || before.starts_with(b"* ");
    before.starts_with(b"//") || is_block && memchr::memmem::find(before, b"*/").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    use rstest::rstest;

    #[rstest]
    #[case::condition("#ifdef CONFIG_LTO_CLANG_THIN\n")]
    #[case::expression("int a = IS_ENABLED(CONFIG_LTO_CLANG_THIN_DIST);")]
    #[case::continued("#if defined(A) || \\\n\tdefined(CONFIG_LTO_CLANG_FULL)\n")]
    #[case::none("#ifndef CONFIG_LTO_NONE")]
    #[case::as_a_module("#ifdef CONFIG_LTO_CLANG_THIN_MODULE\n")]
    #[case::after_a_comment("/* of LTO */ #ifdef CONFIG_LTO_CLANG_THIN\n")]
    #[case::after_the_end_of_a_comment(" * is set. */ int a = CONFIG_LTO_CLANG_THIN;")]
    #[case::assigned_through_a_pointer("*a = IS_ENABLED(CONFIG_LTO_CLANG_THIN);")]
    #[case::second("/* CONFIG_LTO_CLANG_THIN */\n#ifdef CONFIG_LTO_CLANG_THIN\n")]
    fn code_that_may_differ_between_modes_is_found(#[case] code: &str) {
        assert!(names_mode("include/linux/a.h", code.as_bytes()), "{code}");
        assert!(names_mode("scripts/gen.sh", code.as_bytes()), "{code}");
    }

    #[rstest]
    #[case::of_all_modes("#ifdef CONFIG_LTO_CLANG\n#endif\n")]
    #[case::another_symbol("#ifdef CONFIG_LTO_CLANG_THIN_CACHE\n#endif\n")]
    #[case::comment("\t * When CONFIG_LTO_CLANG_THIN_DIST=y, the object is native\n")]
    #[case::comment_of_a_line("/* with CONFIG_LTO_CLANG_THIN */\nint a;")]
    #[case::cxx_comment("// CONFIG_LTO_NONE")]
    #[case::nothing("")]
    fn other_code_is_the_same_in_all_modes(#[case] code: &str) {
        assert!(!names_mode("include/linux/a.h", code.as_bytes()), "{code}");
    }

    #[rstest]
    #[case("Makefile")]
    #[case("scripts/Makefile.lib")]
    #[case("init/Kconfig.preempt")]
    #[case("arch/x86/configs/x86_64_defconfig")]
    #[case("kernel/configs/tiny.config")]
    fn what_configures_and_builds_may_name_modes(#[case] path: &str) {
        assert!(
            !names_mode(path, b"ifdef CONFIG_LTO_CLANG_THIN\n"),
            "{path}"
        );
    }
}
