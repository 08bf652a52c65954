//! Turns facts into text for review: one `.snap` file in insta's format per part of a cell,
//! without paths and times. Pure; `store` reads and writes the files.

mod band;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use self::band::band;
use crate::judge::check::Subject;
use crate::model::cell::LtoMode;
use crate::model::facts::{Facts, Name, ObjectFile};
use crate::model::finding::Finding;
use crate::tree::clang_options::{code_options, program};

/// The parts, in the order in which differences are shown.
pub const PARTS: [&str; 9] = [
    "findings",
    "config",
    "toolchain",
    "triples",
    "flags",
    "index",
    "archive",
    "symbols",
    "image",
];

/// What a snapshot was taken of. A snapshot of another kernel or toolchain is no baseline:
/// nothing can regress from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildId {
    pub kernel: String,
    pub toolchain: String,
}

/// The texts of a cell, by part.
pub type Snapshot = BTreeMap<&'static str, String>;

/// How a text has the counts that change with every object that joins or leaves.
type Number = fn(usize) -> String;

fn exact(number: usize) -> String {
    number.to_string()
}

/// Renders every part, with exact counts.
#[must_use]
pub fn of(subject: &Subject, findings: &[Finding]) -> Snapshot {
    let facts = subject.facts;
    Snapshot::from([
        ("findings", findings_text(findings)),
        ("config", config_text(facts)),
        ("toolchain", toolchain_text(facts, exact)),
        ("triples", triples_text(facts, exact)),
        ("flags", flags_text(facts, exact)),
        ("index", index_text(facts)),
        ("archive", archive_text(facts)),
        ("symbols", symbols_text(facts)),
        ("image", image_text(facts, |bytes| format!("{bytes} bytes"))),
    ])
}

/// The form in which a snapshot of `facts` is accepted: it has bands instead of counts, so that
/// what differs is not hidden among numbers that differ after each harmless commit.
#[must_use]
pub fn in_bands(facts: &Facts, snapshot: &Snapshot) -> Snapshot {
    let mut snapshot = snapshot.clone();
    snapshot.extend([
        ("toolchain", toolchain_text(facts, band)),
        ("triples", triples_text(facts, band)),
        ("flags", flags_text(facts, band)),
        ("image", image_text(facts, band_of_size)),
    ]);
    snapshot
}

fn findings_text(findings: &[Finding]) -> String {
    let mut lines: Vec<String> = findings
        .iter()
        .map(|f| format!("{} {}", f.rule.key, f.object))
        .collect();
    lines.sort();
    lines.dedup();
    lines.join("\n")
}

/// Symbols that describe the machine or the toolchain, not the kernel: they have their own
/// facet, or differ between hosts.
#[must_use]
pub fn is_host_symbol(symbol: &str) -> bool {
    const PREFIXES: [&str; 9] = [
        "CONFIG_RUSTC_",
        "CONFIG_RUST_IS_AVAILABLE",
        "CONFIG_HAVE_RUST",
        "CONFIG_PAHOLE_",
        "CONFIG_CC_CAN_LINK",
        "CONFIG_BINDGEN_",
        "CONFIG_CC_VERSION_TEXT",
        "CONFIG_TOOLS_SUPPORT_RELR",
        "CONFIG_BUILD_SALT",
    ];
    const VERSIONS: [&str; 5] = [
        "CONFIG_CLANG_VERSION",
        "CONFIG_LLD_VERSION",
        "CONFIG_AS_VERSION",
        "CONFIG_LD_VERSION",
        "CONFIG_GCC_VERSION",
    ];
    PREFIXES.iter().any(|prefix| symbol.starts_with(prefix)) || VERSIONS.contains(&symbol)
}

fn config_text(facts: &Facts) -> String {
    let lines: Vec<String> = facts
        .config
        .iter()
        .filter(|(symbol, _)| !is_host_symbol(symbol))
        .map(|(symbol, value)| format!("{symbol}={value}"))
        .collect();
    lines.join("\n")
}

/// The toolchain in one line, as snapshots name it.
#[must_use]
pub fn toolchain(facts: &Facts) -> String {
    let of_config = match facts.config("CONFIG_LLD_VERSION") {
        "0" | "n" => facts.config("CONFIG_LD_VERSION"),
        lld => lld,
    };
    // Only the linker itself says which revision it is of.
    let of_vmlinux = facts.vmlinux.as_ref().and_then(|vmlinux| vmlinux.linker);
    format!(
        "cc {}, ld {}",
        facts.config("CONFIG_CC_VERSION_TEXT").trim_matches('"'),
        of_vmlinux.map_or(of_config, |linker| facts.text(linker)),
    )
}

fn toolchain_text(facts: &Facts, number: Number) -> String {
    let mut lines = vec![toolchain(facts)];
    lines.extend(facts.tools.iter().map(|tool| facts.text(*tool).to_owned()));
    for (producer, count) in counted(facts, |file| match file {
        ObjectFile::Ir(ir) => Some(facts.text(ir.producer).to_owned()),
        _ => None,
    }) {
        lines.push(format!("{} objects by {producer}", number(count)));
    }
    lines.join("\n")
}

fn triples_text(facts: &Facts, number: Number) -> String {
    let kinds = counted(facts, |file| match file {
        ObjectFile::Ir(ir) => Some(format!("bitcode {}", facts.text(ir.triple))),
        ObjectFile::Elf(elf) => Some(format!(
            "ELF machine {}, {}-bit, {} endian, e_flags {:#x}",
            elf.header.machine,
            elf.header.class,
            if elf.header.little_endian {
                "little"
            } else {
                "big"
            },
            elf.header.flags
        )),
        ObjectFile::Missing | ObjectFile::Empty | ObjectFile::Damaged(_) => None,
    });
    let lines: Vec<String> = kinds
        .iter()
        .map(|(kind, n)| format!("{:>6} {kind}", number(*n)))
        .collect();
    lines.join("\n")
}

/// Counts the files of the tree, members and native objects alike, by `kind`.
fn counted(facts: &Facts, kind: impl Fn(&ObjectFile) -> Option<String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for object in &facts.objects {
        let native = object.backend.as_deref().map(|backend| &backend.file);
        for file in [Some(&object.file), native].into_iter().flatten() {
            if let Some(kind) = kind(file) {
                *counts.entry(kind).or_default() += 1;
            }
        }
    }
    counts
}

/// The flags that all C objects share, then each group of objects that differs from them,
/// with its additional and missing flags.
fn flags_text(facts: &Facts, number: Number) -> String {
    let mut sequences: Vec<(Name, Vec<Name>)> = Vec::new();
    for object in &facts.objects {
        if let Some(cmd) = object.cmd.read().filter(|cmd| cmd.c_source.is_some())
            && let Some(Ok(command)) = &cmd.command
        {
            let options = &command[program(facts, command).len()..];
            sequences.push((object.name, code_options(facts, options)));
        }
    }
    let mut counts: BTreeMap<Vec<&str>, usize> = BTreeMap::new();
    for (_, sequence) in &sequences {
        let texts: Vec<&str> = sequence.iter().map(|flag| facts.text(*flag)).collect();
        *counts.entry(texts).or_default() += 1;
    }
    let Some(usual) = counts
        .iter()
        .max_by_key(|(_, n)| **n)
        .map(|(flags, _)| flags.clone())
    else {
        return String::new();
    };
    // Those that do not have them are named.
    let mut text = format!("usual flags of {} C objects:\n", number(sequences.len()));
    for flag in &usual {
        let _ = writeln!(text, "  {flag}");
    }
    let mut groups: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, sequence) in &sequences {
        let flags: Vec<&str> = sequence.iter().map(|flag| facts.text(*flag)).collect();
        if flags != usual {
            groups
                .entry(delta(&usual, &flags))
                .or_default()
                .push(facts.text(*name));
        }
    }
    for (delta, objects) in groups {
        let _ = writeln!(text, "\n{delta}");
        for object in objects {
            let _ = writeln!(text, "  {object}");
        }
    }
    text
}

fn delta(usual: &[&str], flags: &[&str]) -> String {
    let changes = similar::capture_diff_slices(similar::Algorithm::Myers, usual, flags);
    let mut words = Vec::new();
    for change in changes {
        let (tag, old, new) = change.as_tag_tuple();
        match tag {
            similar::DiffTag::Equal => {}
            similar::DiffTag::Delete | similar::DiffTag::Insert | similar::DiffTag::Replace => {
                words.extend(usual[old].iter().map(|flag| format!("without {flag}")));
                words.extend(flags[new].iter().map(|flag| format!("with {flag}")));
            }
        }
    }
    format!("{}:", words.join(", "))
}

fn index_text(facts: &Facts) -> String {
    list_text(facts, facts.index.as_deref())
}

fn archive_text(facts: &Facts) -> String {
    list_text(
        facts,
        facts.vmlinux_a.as_ref().map(|a| a.members.as_slice()),
    )
}

fn list_text(facts: &Facts, names: Option<&[Name]>) -> String {
    let names = names.unwrap_or_default();
    names
        .iter()
        .map(|name| facts.text(*name))
        .collect::<Vec<_>>()
        .join("\n")
}

fn symbols_text(facts: &Facts) -> String {
    let mut lines: Vec<String> = facts
        .exports
        .iter()
        .flatten()
        .map(|e| {
            format!(
                "{} {:#010x} {} {}",
                facts.text(e.symbol),
                e.crc,
                facts.text(e.licence),
                facts.text(e.namespace)
            )
            .trim_end()
            .to_owned()
        })
        .collect();
    lines.sort();
    lines.join("\n")
}

fn band_of_size(bytes: usize) -> String {
    format!("{} KiB", band(bytes.div_ceil(1024)))
}

/// How much memory the linked kernel takes; empty if there is none.
fn image_text(facts: &Facts, size: fn(usize) -> String) -> String {
    facts.vmlinux.as_ref().map_or_else(String::new, |vmlinux| {
        let bytes = usize::try_from(vmlinux.image_bytes).unwrap_or(usize::MAX);
        format!("sections that take memory: {}", size(bytes))
    })
}

#[derive(Serialize, Deserialize)]
struct Header {
    source: String,
    description: String,
    info: Info,
}

#[derive(Serialize, Deserialize)]
struct Info {
    kernel: String,
    toolchain: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    modes: Vec<LtoMode>,
}

/// What a `.snap` file has: one part of one cell, or of the cells of several modes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartFile {
    pub taken: BuildId,
    /// The modes that the file is of; empty if it is of the cell in whose folder it is.
    pub modes: Vec<LtoMode>,
    pub body: String,
}

impl PartFile {
    /// The file's text, which `cargo insta review` opens; `of` is the cell's name.
    ///
    /// # Panics
    /// Never: the header is plain text.
    #[must_use]
    pub fn render(&self, of: &str, part: &str) -> String {
        let header = serde_yaml::to_string(&Header {
            source: "harness/judge/snapshot.rs".to_owned(),
            description: format!("{part} of {of}"),
            info: Info {
                kernel: self.taken.kernel.clone(),
                toolchain: self.taken.toolchain.clone(),
                modes: self.modes.clone(),
            },
        })
        .unwrap_or_default();
        format!("---\n{header}---\n{}\n", self.body.trim_end())
    }

    /// The inverse of [`PartFile::render`].
    ///
    /// # Errors
    /// The part of the format that is missing.
    pub fn parse(text: &str) -> Result<PartFile, String> {
        let rest = text
            .strip_prefix("---\n")
            .ok_or("it does not start with '---'")?;
        let (header, body) = rest
            .split_once("\n---\n")
            .ok_or("its header has no end ('---')")?;
        let Header { info, .. } = serde_yaml::from_str(header).map_err(|e| e.to_string())?;
        Ok(PartFile {
            taken: BuildId {
                kernel: info.kernel,
                toolchain: info.toolchain,
            },
            modes: info.modes,
            body: body.trim_end().to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn file(modes: &[LtoMode], body: &str) -> PartFile {
        PartFile {
            taken: BuildId {
                kernel: "7.2.13".to_owned(),
                toolchain: "cc x: 'y' é".to_owned(),
            },
            modes: modes.to_vec(),
            body: body.to_owned(),
        }
    }

    #[rstest]
    #[case::of_one_cell(&[])]
    #[case::of_two_modes(&[LtoMode::Thin, LtoMode::ThinDist])]
    fn what_is_rendered_is_read_back(#[case] modes: &[LtoMode]) {
        let file = file(modes, "a\n---\nb");
        let text = file.render("x86_64/tiny/thin/llvm-22", "flags");
        assert_eq!(PartFile::parse(&text), Ok(file));
    }

    #[test]
    fn insta_reads_what_is_rendered() {
        let folder = tempfile::tempdir().unwrap();
        let text = file(&[LtoMode::Full], "line 1\nline 2").render("cell", "flags");
        std::fs::write(
            folder
                .path()
                .join("klto__judge__snapshot__tests__facet.snap"),
            text,
        )
        .unwrap();
        let mut settings = insta::Settings::new();
        settings.set_snapshot_path(folder.path());
        settings.bind(|| insta::assert_snapshot!("facet", "line 1\nline 2"));
    }

    #[rstest]
    #[case(0, "0 KiB")]
    #[case(1, "1 KiB")]
    #[case(4_750_291, "4096 to 5119 KiB")]
    #[case(4_760_019, "4096 to 5119 KiB")]
    fn sizes_that_differ_little_have_one_band(#[case] bytes: usize, #[case] expected: &str) {
        assert_eq!(band_of_size(bytes), expected);
    }

    #[test]
    fn a_file_that_is_no_snapshot_is_refused() {
        assert!(PartFile::parse("no header").is_err());
        assert!(PartFile::parse("---\nsource: x\n").is_err());
    }
}
