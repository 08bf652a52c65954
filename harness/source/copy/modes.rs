//! Whether code knows the mode of LTO: what is compiled of it may then differ between modes by
//! more than the compiler's options.

use std::path::Path;

use crate::model::cell::LtoMode;

/// Whether a file names the Kconfig symbol of a mode where that may become code. A doubtful case
/// counts.
pub(super) fn names_mode(path: &str, content: &[u8]) -> bool {
    let may_name: fn(&[u8], usize) -> bool = match Kind::of(path) {
        Kind::Kconfig => return false,
        Kind::Makefile => is_condition,
        Kind::C => is_in_comment,
        Kind::Other => |_, _| false,
    };
    memchr::memmem::find_iter(content, "LTO_")
        .any(|at| is_mode(content, at) && !may_name(content, at))
}

enum Kind {
    Kconfig,
    Makefile,
    C,
    Other,
}

impl Kind {
    fn of(path: &str) -> Kind {
        let name = Path::new(path).file_name().and_then(|name| name.to_str());
        let name = name.unwrap_or_default();
        let starts = |start: &str| name.starts_with(start);
        let ends = |ends: &[&str]| ends.iter().any(|end| name.ends_with(end));
        if ends(&[".c", ".h", ".S"]) {
            Kind::C
        } else if starts("Kconfig") || ends(&["defconfig", ".config"]) {
            Kind::Kconfig
        } else if starts("Makefile") || starts("Kbuild") {
            Kind::Makefile
        } else {
            Kind::Other
        }
    }
}

/// Whether the symbol of a mode is at that place, as a word, with `CONFIG_` or without.
fn is_mode(content: &[u8], at: usize) -> bool {
    let is_of_a_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let before = &content[..at];
    let before = before.strip_suffix(b"CONFIG_").unwrap_or(before);
    let symbol = &content[at..];
    let end = symbol.iter().position(|byte| !is_of_a_word(byte));
    let symbol = &symbol[..end.unwrap_or(symbol.len())];
    let symbol = symbol.strip_suffix(b"_MODULE").unwrap_or(symbol);
    !before.last().is_some_and(is_of_a_word) && LtoMode::is_config_symbol(symbol)
}

/// Whether only make reads the symbol at that place: in a condition, as a variable, or in a comment.
fn is_condition(content: &[u8], at: usize) -> bool {
    let before = content[line_of(content, at)..at].trim_ascii();
    let Some(before) = before.strip_suffix(b"CONFIG_") else {
        return true;
    };
    before.starts_with(b"#")
        || before.ends_with(b"$(")
        || before.ends_with(b"${")
        || [&b"ifdef"[..], b"ifndef", b"else ifdef", b"else ifndef"].contains(&before.trim_ascii())
}

/// Whether the symbol at that place is in a comment of C whose lines begin as the kernel's do.
fn is_in_comment(content: &[u8], at: usize) -> bool {
    let mut end = at;
    loop {
        let start = line_of(content, end);
        let line = content[start..end].trim_ascii_start();
        if memchr::memmem::find(line, b"*/").is_some() {
            return false;
        }
        if line.starts_with(b"/*") || end == at && line.starts_with(b"//") {
            return true;
        }
        if !line.starts_with(b"*") || start == 0 {
            return false;
        }
        end = start - 1;
    }
}

/// Where the line of that place begins.
fn line_of(content: &[u8], at: usize) -> usize {
    memchr::memrchr(b'\n', &content[..at]).map_or(0, |end| end + 1)
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
    #[case::put_together("#define ON(x) IS_ENABLED(CONFIG_##x)\nint a = ON(LTO_CLANG_THIN);")]
    #[case::after_a_comment("/* of LTO */ #ifdef CONFIG_LTO_CLANG_THIN\n")]
    #[case::after_the_end_of_a_comment("/*\n * set. */ int a = CONFIG_LTO_CLANG_THIN;")]
    #[case::through_a_pointer("*a = IS_ENABLED(CONFIG_LTO_CLANG_THIN);")]
    #[case::factor("#define N (4 \\\n\t* (1 + IS_ENABLED(CONFIG_LTO_CLANG_THIN)))\n")]
    #[case::first_line("* a = IS_ENABLED(CONFIG_LTO_CLANG_THIN);")]
    #[case::second("/* CONFIG_LTO_CLANG_THIN */\n#ifdef CONFIG_LTO_CLANG_THIN\n")]
    fn code_that_may_differ_between_modes_is_found(#[case] code: &str) {
        assert!(names_mode("include/linux/a.h", code.as_bytes()), "{code}");
        assert!(names_mode("scripts/gen.sh", code.as_bytes()), "{code}");
        assert!(names_mode("include/Kbuild.h", code.as_bytes()), "{code}");
    }

    #[rstest]
    #[case::of_all_modes("#ifdef CONFIG_LTO_CLANG\n#endif\n")]
    #[case::another_symbol("#ifdef CONFIG_LTO_CLANG_THIN_CACHE\n#endif\n")]
    #[case::end_of_another_word("int NO_LTO_NONE;\n")]
    #[case::comment("/*\n *\n\t * When CONFIG_LTO_CLANG_THIN_DIST=y, the object is native\n */\n")]
    #[case::comment_of_a_line("/* with CONFIG_LTO_CLANG_THIN */\nint a;")]
    #[case::cxx_comment("// CONFIG_LTO_NONE")]
    #[case::nothing("")]
    fn other_code_is_the_same_in_all_modes(#[case] code: &str) {
        assert!(!names_mode("include/linux/a.h", code.as_bytes()), "{code}");
    }

    #[rstest]
    #[case("ifdef CONFIG_LTO_CLANG_THIN\n")]
    #[case("  else ifndef CONFIG_LTO_CLANG_THIN\n")]
    #[case("obj-$(CONFIG_LTO_CLANG_THIN) += a.o\n")]
    #[case("ifneq ($(A)${CONFIG_LTO_NONE},)\n")]
    #[case("# of CONFIG_LTO_CLANG_THIN\n")]
    #[case("$(error LTO_CLANG_THIN is missing)\n")]
    fn makefiles_may_ask_for_a_mode(#[case] line: &str) {
        for path in ["Makefile", "scripts/Makefile.lib", "init/Kbuild"] {
            assert!(!names_mode(path, line.as_bytes()), "{line}");
        }
    }

    #[rstest]
    #[case("\techo '\\#ifdef CONFIG_LTO_CLANG_THIN' >$@\n")]
    #[case("KBUILD_CPPFLAGS += -D'A=IS_ENABLED(CONFIG_LTO_CLANG_THIN)'\n")]
    fn makefiles_that_write_code_are_found(#[case] line: &str) {
        assert!(
            names_mode("scripts/Makefile.lib", line.as_bytes()),
            "{line}"
        );
    }

    #[rstest]
    #[case("init/Kconfig.preempt")]
    #[case("arch/x86/configs/x86_64_defconfig")]
    #[case("kernel/configs/tiny.config")]
    fn what_configures_may_name_modes(#[case] path: &str) {
        assert!(!names_mode(path, b"CONFIG_LTO_CLANG_THIN=y\n"), "{path}");
    }
}
