//! `config.*`: the configuration is the one that was asked for. `olddefconfig`
//! silently drops a symbol whose dependencies do not hold.

use std::collections::BTreeMap;

use super::{Context, Family, Found, Unit, row};
use crate::model::cell::LtoMode;
use crate::model::finding::{Finding, Rule, Severity};

pub const FAMILY: Family = Family {
    name: "config",
    rows: &[
        row(&LTO_MODE, Unit::ConfigSymbols, |context, found| {
            lto_mode(&Config::of(context), found)
        }),
        row(&SYMBOL, Unit::ConfigSymbols, |context, found| {
            symbols(&Config::of(context), found)
        }),
        row(&EDITED, Unit::ConfigSymbols, edited),
        row(&LINKER, Unit::ConfigSymbols, linker),
        row(&TOOLS, Unit::Tools, tools),
    ],
    applies: |_| true,
};

const LTO_MODE: Rule = Rule {
    key: "config.lto-mode",
    severity: Severity::Error,
    invariant: "exactly one LTO mode is on, and it is the one that was asked for",
    broken: "configurations are in another LTO mode than asked for",
    why: "a tree configured for another mode passes the rules of that mode and proves nothing about this one",
    fix: "check in .config why another mode was chosen: LTO_CLANG_THIN_DIST has an unmet dependency, or the linker or compiler is too old",
};

const SYMBOL: Rule = Rule {
    key: "config.symbol",
    severity: Severity::Error,
    invariant: "after olddefconfig, every symbol has the value that was asked for in include/config/auto.conf",
    broken: "symbols have another value than asked for",
    why: "Kconfig silently drops a symbol with unmet dependencies, and the cell is tested without it",
    fix: "add what the symbol depends on to the matrix's config, or drop the symbol",
};

const EDITED: Rule = Rule {
    key: "config.edited",
    severity: Severity::Error,
    invariant: ".config has the values of include/config/auto.conf, which the tree was built with",
    broken: "symbols have another value in .config than in the build",
    why: "what is tested is not the configuration that .config shows, and the next make builds another kernel",
    fix: "run make again; to keep what was built, restore the .config that it was built with (a build with KCONFIG_CONFIG= reads another file)",
};

const LINKER: Rule = Rule {
    key: "config.linker",
    severity: Severity::Error,
    invariant: "with LTO, ld.lld is of the compiler's version: CONFIG_LLD_VERSION is CONFIG_CLANG_VERSION",
    broken: "kernels are compiled and linked by two versions of LLVM",
    why: "the linker reads the compiler's bitcode, decides what is imported and, in-process, generates the code: two versions of LLVM make one kernel",
    fix: "name all tools by one LLVM=, and check for LD= on make's command line or in the environment",
};

const TOOLS: Rule = Rule {
    key: "config.tools",
    severity: Severity::Warning,
    invariant: "with LTO, the tools of LLVM that the build's commands name are of the compiler's major version, where their names tell one",
    broken: "tools are of another version of LLVM than the compiler",
    why: "an older llvm-nm, llvm-ar or llvm-objcopy may not read the compiler's bitcode, or drops what it does not know",
    fix: "name all tools by one LLVM=, and check for AR=, NM=, OBJCOPY= and the like on make's command line or in the environment",
};

/// A configuration (symbols with `CONFIG_`), and what was asked for.
#[derive(Clone, Copy)]
struct Config<'a> {
    symbols: &'a BTreeMap<String, String>,
    mode: LtoMode,
    requested: &'a BTreeMap<String, String>,
}

impl<'a> Config<'a> {
    fn of(context: &Context<'a>) -> Config<'a> {
        Config {
            symbols: &context.facts().config,
            mode: context.subject.mode,
            requested: context.subject.requested,
        }
    }

    fn value(&self, symbol: &str) -> &'a str {
        self.symbols.get(symbol).map_or("n", String::as_str)
    }
}

/// Checks a configuration (symbols with `CONFIG_`) before anything is built.
#[must_use]
pub fn check_config(
    config: &BTreeMap<String, String>,
    mode: LtoMode,
    requested: &BTreeMap<String, String>,
) -> Vec<Finding> {
    let config = Config {
        symbols: config,
        mode,
        requested,
    };
    let (mut of_mode, mut of_symbols) = (Found::of(&LTO_MODE), Found::of(&SYMBOL));
    lto_mode(&config, &mut of_mode);
    symbols(&config, &mut of_symbols);
    let mut findings = of_mode.findings;
    findings.append(&mut of_symbols.findings);
    findings
}

fn lto_mode(config: &Config, found: &mut Found) -> usize {
    let wanted = config.mode.config_symbol();
    let on: Vec<&str> = LtoMode::ALL
        .iter()
        .map(|mode| mode.config_symbol())
        .filter(|symbol| config.value(&format!("CONFIG_{symbol}")) == "y")
        .collect();
    // Kernels before 5.12 have no such choice.
    let no_choice = on.is_empty() && config.mode == LtoMode::None;
    if on != [wanted] && !no_choice {
        let is_on = match on[..] {
            [] => "no LTO mode at all".to_owned(),
            _ => format!("CONFIG_{}=y", on.join("=y, CONFIG_")),
        };
        found.add(
            "the choice of LTO modes",
            format!("expected only CONFIG_{wanted}=y, found {is_on}"),
        );
    }
    LtoMode::ALL.len()
}

fn edited(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    for edit in &facts.config_edits {
        let (dot_config, auto_conf) = (&edit.dot_config, &edit.auto_conf);
        found.add(
            &edit.symbol,
            format!(".config has {dot_config}, the build has {auto_conf}"),
        );
    }
    let only_in_dot_config = facts.config_edits.iter().filter(|e| e.auto_conf == "n");
    facts.config.len() + only_in_dot_config.count()
}

fn linker(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let version = |symbol| facts.config(symbol).parse().unwrap_or(0_u32);
    let (clang, lld) = (
        version("CONFIG_CLANG_VERSION"),
        version("CONFIG_LLD_VERSION"),
    );
    if context.subject.mode == LtoMode::None || clang == 0 || lld == 0 {
        return 0;
    }
    if clang != lld {
        let evidence = format!("{lld}, CONFIG_CLANG_VERSION is {clang}");
        found.add("CONFIG_LLD_VERSION", evidence);
    }
    1
}

fn tools(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let clang: u32 = facts.config("CONFIG_CLANG_VERSION").parse().unwrap_or(0);
    if context.subject.mode == LtoMode::None || clang == 0 {
        return 0;
    }
    let compiler = clang / 10_000;
    let versioned = facts.tools.iter().filter_map(|tool| {
        let name = facts.text(*tool);
        let (_, version) = name.rsplit_once('-')?;
        Some((name, version.parse::<u32>().ok()?))
    });
    found.each(versioned, |found, (name, version)| {
        if version != compiler {
            found.add(name, format!("CONFIG_CLANG_VERSION is {clang}"));
        }
    })
}

fn symbols(config: &Config, found: &mut Found) -> usize {
    let mode = format!("CONFIG_{}", config.mode.config_symbol());
    let requested = config.requested.iter().filter(|(name, _)| **name != mode);
    found.each(requested, |found, (symbol, asked)| {
        let value = config.value(symbol);
        // .config quotes strings, auto.conf does not.
        if value.trim_matches('"') != asked.trim_matches('"') {
            found.add(
                symbol,
                format!("asked for {symbol}={asked}, olddefconfig left {value}"),
            );
        }
    })
}
