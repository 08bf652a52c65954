//! What the console of a booted kernel says: pure. A table of what kernels print when
//! something is wrong, one rule a kind.

use std::time::Duration;

use crate::model::finding::{Rule, Severity};

/// How the emulator came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By itself.
    Itself,
    /// We ended it: the time was over.
    Hang(Duration),
    /// We ended it: it had written more than so many bytes.
    Flood(u64),
}

pub const NO_INIT: Rule = Rule {
    key: "boot.no-init",
    severity: Severity::Error,
    invariant: "the kernel boots to klto's init, which prints a marker line",
    broken: "kernels have not reached klto's init",
    why: "a kernel that links may still not run: a wrong code model, relocation or flag shows here at the latest",
    fix: "read the console's last lines, and compare them with those of the other mode's kernel",
};

pub const OTHER_KERNEL: Rule = Rule {
    key: "boot.other-kernel",
    severity: Severity::Error,
    invariant: "the kernel that runs is the one that was built, by its release",
    broken: "kernels are not the one that was built",
    why: "the boot image is from an earlier build, and the boot tests nothing of this one",
    fix: "check whether the rule of the boot image depends on vmlinux",
};

pub const HANG: Rule = Rule {
    key: "boot.hang",
    severity: Severity::Error,
    invariant: "the machine powers off within the time limit",
    broken: "boots last longer than the time limit",
    why: "the kernel waits or loops forever, before or after klto's init",
    fix: "read the console's last lines; boot by hand with the command shown",
};

pub const FLOOD: Rule = Rule {
    key: "boot.flood",
    severity: Severity::Error,
    invariant: "the console shows no more output than a boot prints",
    broken: "consoles show more output than a boot prints",
    why: "the kernel prints without end: it takes a fault while it handles a fault",
    fix: "read the first lines on the console that repeat",
};

pub const PANIC: Rule = Rule {
    key: "boot.panic",
    severity: Severity::Error,
    invariant: "the kernel does not panic",
    broken: "kernels panicked",
    why: "the kernel found no way to continue",
    fix: "the line gives the reason; the lines above it show what led there",
};

pub const OOPS: Rule = Rule {
    key: "boot.oops",
    severity: Severity::Error,
    invariant: "the kernel does not oops",
    broken: "messages report an oops",
    why: "code or data is not where the code expects it",
    fix: "look up the address: 'scripts/decode_stacktrace.sh vmlinux <console.log'",
};

pub const BUG: Rule = Rule {
    key: "boot.bug",
    severity: Severity::Error,
    invariant: "no assertion of the kernel fails",
    broken: "messages report a failed assertion",
    why: "a BUG(), a sanitizer or a control-flow check found a state that must not occur",
    fix: "the line names the place; compare with the other mode's kernel",
};

pub const WARNING: Rule = Rule {
    key: "boot.warning",
    severity: Severity::Error,
    invariant: "no WARN() of the kernel fires",
    broken: "messages report a WARN()",
    why: "the kernel is in a state that the code does not expect, and later code may rely on it",
    fix: "the line names the place; compare with the other mode's kernel",
};

pub const TRACE: Rule = Rule {
    key: "boot.trace",
    severity: Severity::Error,
    invariant: "the kernel shows no stack trace",
    broken: "messages begin a stack trace",
    why: "a kernel prints a stack trace only if something is wrong",
    fix: "the lines above the trace give its reason",
};

/// Every rule of a boot.
pub const RULES: [&Rule; 9] = [
    &NO_INIT,
    &OTHER_KERNEL,
    &HANG,
    &FLOOD,
    &PANIC,
    &OOPS,
    &BUG,
    &WARNING,
    &TRACE,
];

/// What kernels print, the first that fits a line; case matters.
const SIGNS: [(&str, &Rule); 22] = [
    ("Kernel panic - not syncing", &PANIC),
    ("BUG: unable to handle", &OOPS),
    ("BUG: kernel NULL pointer", &OOPS),
    ("Unable to handle kernel", &OOPS),
    ("general protection fault", &OOPS),
    ("Internal error: ", &OOPS),
    ("Oops: ", &OOPS),
    ("Oops[#", &OOPS),
    ("Oops [#", &OOPS),
    ("Oops - ", &OOPS),
    ("invalid opcode: ", &OOPS),
    ("divide error: ", &OOPS),
    ("Insufficient stack space to handle exception", &OOPS),
    ("kernel BUG at ", &BUG),
    ("Kernel BUG at ", &BUG),
    ("Kernel bug detected", &BUG),
    ("CFI failure at ", &BUG),
    ("UBSAN: ", &BUG),
    ("BUG: ", &BUG),
    ("WARNING: ", &WARNING),
    ("Call Trace:", &TRACE),
    ("Call trace:", &TRACE),
];

/// Lines of one fault: what follows a finding this closely belongs to it.
const NEAR: usize = 60;

/// Reads what a console showed: the rules that are broken, each with its evidence. `line`
/// and the release `release` are what our init says.
#[must_use]
pub fn scan(console: &[u8], end: End, line: &str, release: &str) -> Vec<(&'static Rule, String)> {
    let text = String::from_utf8_lossy(console);
    let lines: Vec<String> = text.lines().map(printable).collect();
    let mut wrong = Vec::new();
    let mut last: Option<usize> = None;
    for (at, text) in lines.iter().enumerate() {
        let Some((_, rule)) = SIGNS.iter().find(|(sign, _)| text.contains(sign)) else {
            continue;
        };
        // One fault prints many of these: the first says what it is, a panic how it ends.
        let belongs = last.is_some_and(|last| at - last <= NEAR);
        if !belongs || *rule == &PANIC {
            let evidence = format!("line {}: {}", at + 1, text.trim());
            wrong.push((*rule, evidence));
        }
        last = Some(at);
    }
    // The command and the emulator's own words are no words of the kernel.
    let is_kernel = |line: &&String| {
        let own = line.starts_with("+ ") || line.starts_with("qemu-system-");
        !own && !line.trim().is_empty()
    };
    let last = lines.iter().rev().find(is_kernel);
    let last = last.map_or_else(
        || "the console shows nothing".to_owned(),
        |line| format!("the last line is '{}'", line.trim()),
    );
    let mut add = |rule, evidence| wrong.push((rule, evidence));
    match end {
        End::Itself => {}
        End::Hang(limit) => add(
            &HANG,
            format!("no end within {} s; {last}", limit.as_secs()),
        ),
        End::Flood(limit) => add(&FLOOD, format!("more than {limit} bytes; {last}")),
    }
    match lines.iter().find_map(|text| text.trim().strip_prefix(line)) {
        Some(found) if found.trim() == release => {}
        Some(found) => add(
            &OTHER_KERNEL,
            format!("expected release '{release}', found '{}'", found.trim()),
        ),
        None => add(&NO_INIT, last),
    }
    wrong
}

/// A line without what a terminal would obey.
fn printable(line: &str) -> String {
    line.chars()
        .filter(|c| !c.is_control() || *c == '\t')
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const LINE: &str = "init runs on ";

    fn keys(seen: &[(&'static Rule, String)]) -> Vec<&'static str> {
        seen.iter().map(|(rule, _)| rule.key).collect()
    }

    #[rstest]
    #[case::well("Linux version 7.2\n\ninit runs on 7.2\n[ 1.0] reboot: Power down\n", End::Itself, &[])]
    #[case::with_carriage_returns("a\r\ninit runs on 7.2\r\n", End::Itself, &[])]
    #[case::command_line("Kernel command line: panic=-1\ninit runs on 7.2\n", End::Itself, &[])]
    #[case::harmless_word("Warning: unable to open an initial console.\ninit runs on 7.2\n", End::Itself, &[])]
    #[case::nothing("", End::Itself, &["boot.no-init"])]
    #[case::in_another_line("printk: init runs on 7.2\n", End::Itself, &["boot.no-init"])]
    #[case::another_kernel("init runs on 7.1\n", End::Itself, &["boot.other-kernel"])]
    #[case::longer_release("init runs on 7.2.1\n", End::Itself, &["boot.other-kernel"])]
    #[case::hang("booting\n", End::Hang(Duration::from_secs(3)), &["boot.hang", "boot.no-init"])]
    #[case::hang_behind("init runs on 7.2\n", End::Hang(Duration::from_secs(3)), &["boot.hang"])]
    #[case::flood("x\nx\n", End::Flood(2), &["boot.flood", "boot.no-init"])]
    #[case::panic("[ 0.1] Kernel panic - not syncing: no init\n", End::Itself, &["boot.panic", "boot.no-init"])]
    #[case::oops_with_its_trace(
        "[ 0.1] BUG: unable to handle page fault\nOops: 0002\nCall Trace:\n f+0x1\ninit runs on 7.2\n",
        End::Itself, &["boot.oops"]
    )]
    #[case::oops_and_the_panic_it_ends_in(
        "Unable to handle kernel paging request\nCall trace:\nKernel panic - not syncing: Oops\n",
        End::Itself, &["boot.oops", "boot.panic", "boot.no-init"]
    )]
    #[case::bug("kernel BUG at a.c:1!\ninit runs on 7.2\n", End::Itself, &["boot.bug"])]
    #[case::sanitizer("BUG: KASAN: x\ninit runs on 7.2\n", End::Itself, &["boot.bug"])]
    #[case::warning("WARNING: a.c:1 at f+0x1\ninit runs on 7.2\n", End::Itself, &["boot.warning"])]
    #[case::trace("Call trace:\ninit runs on 7.2\n", End::Itself, &["boot.trace"])]
    fn the_console_says_what_is_wrong(
        #[case] console: &str,
        #[case] end: End,
        #[case] expected: &[&str],
    ) {
        assert_eq!(keys(&scan(console.as_bytes(), end, LINE, "7.2")), expected);
    }

    #[test]
    fn two_faults_far_from_each_other_are_two() {
        let between = "x\n".repeat(NEAR);
        let console = format!("WARNING: a\n{between}kernel BUG at a\ninit runs on 7.2\n");
        let seen = scan(console.as_bytes(), End::Itself, LINE, "7.2");
        assert_eq!(keys(&seen), ["boot.warning", "boot.bug"]);
        assert_eq!(seen[1].1, format!("line {}: kernel BUG at a", NEAR + 2));
    }

    #[rstest]
    #[case::emulator(
        "+ qemu -M virt\nbooting\n\nqemu-system-arm: terminating on signal 15\n",
        "the last line is 'booting'"
    )]
    #[case::nothing(
        "+ qemu -M virt\nqemu-system-arm: terminating\n",
        "the console shows nothing"
    )]
    fn the_last_line_is_the_kernel_s(#[case] console: &str, #[case] evidence: &str) {
        let seen = scan(console.as_bytes(), End::Itself, LINE, "7.2");
        assert_eq!(seen[0].1, evidence);
    }

    #[test]
    fn what_a_terminal_would_obey_is_not_repeated() {
        let seen = scan(b"\x1b[2JWARNING: \x07x\xff\n", End::Itself, LINE, "7.2");
        assert_eq!(seen[0].1, "line 1: [2JWARNING: x\u{fffd}");
    }

    #[test]
    fn every_sign_is_found_by_itself() {
        for (sign, rule) in SIGNS {
            let console = format!("[    0.5] {sign}x\ninit runs on 7.2\n");
            let seen = scan(console.as_bytes(), End::Itself, LINE, "7.2");
            assert_eq!(keys(&seen), [rule.key], "{sign}");
        }
    }
}
