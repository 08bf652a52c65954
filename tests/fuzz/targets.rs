//! What is fuzzed: every parser of what comes from others, by the name of its target. Each takes any
//! bytes, and may neither panic nor hang. `tests/it/fuzz.rs` runs each for a short time, `ci/fuzz` by
//! libFuzzer for as long as one likes.

use std::path::Path;

use klto::build::boot::console;
use klto::build::kbuild::machine_failure;
use klto::input::allow::Allow;
use klto::input::fragment;
use klto::input::matrix::Matrix;
use klto::model::facts::NameTable;
use klto::model::printable::{on_terminal, printable};
use klto::report::bisect::read_log;
use klto::source::series::mail::Mail;
use klto::store::facts_file;
use klto::tree::collect::cmd_file::{self, Roots, Spelling};
use klto::tree::collect::{
    archive, bitcode, build_log, compile_commands, elf, image, kconfig, loader, symvers,
};

/// A parser, and what it is called.
pub type Target = (&'static str, fn(&[u8]));

/// All of them. `tests/fuzz/Cargo.toml` has a program for each.
pub const TARGETS: &[Target] = &[
    ("allow", |bytes| {
        let _ = Allow::parse(&text(bytes), Path::new("allow.yaml"));
    }),
    ("archive", |bytes| {
        let _ = archive::parse(bytes, Path::new("lib"), &NameTable::default());
    }),
    ("bisect_log", |bytes| {
        let _ = read_log(&text(bytes));
    }),
    ("bitcode_index", |bytes| {
        let _ = bitcode::read_index(bytes);
    }),
    ("bitcode_object", |bytes| {
        if let Ok(object) = bitcode::read_object(bytes) {
            for symbol in object.symbols.iter().flatten() {
                assert!(symbol.name.len() <= bytes.len());
            }
        }
    }),
    ("build_log", |bytes| {
        let _ = build_log::parse(bytes);
        let _ = machine_failure(bytes);
    }),
    ("cmd_file", |bytes| {
        let roots = Roots::new(Some(b"/k/linux"), Some(b"/k/linux/out"));
        let spelling = Spelling {
            roots: &roots,
            saved_prefix: "saved_c_flags_",
        };
        let _ = cmd_file::parse(bytes, &spelling, &NameTable::default());
    }),
    ("compile_commands", |bytes| {
        let roots = Roots::new(Some(b"/k/linux"), Some(b"/k/linux/out"));
        let _ = compile_commands::parse(bytes, &roots, &NameTable::default());
    }),
    ("console", |bytes| {
        let _ = console::scan(bytes, console::End::Itself, "klto: init runs", "7.2.0");
    }),
    ("elf_object", |bytes| {
        let _ = elf::parse_object(bytes, &NameTable::default());
    }),
    ("export_c", |bytes| {
        let _ = symvers::export_crcs(bytes, &NameTable::default());
    }),
    ("facts", |bytes| {
        let _ = facts_file::decode(bytes);
    }),
    ("facts_content", |bytes| {
        let _ = facts_file::parse(bytes);
    }),
    ("fragment", |bytes| {
        let _ = fragment::parse(&text(bytes));
    }),
    ("initcall_script", |bytes| {
        let _ = image::initcall_script(&text(bytes), &NameTable::default());
    }),
    ("kconfig", |bytes| {
        let config = kconfig::parse(&text(bytes));
        let _ = kconfig::edits(&text(bytes), &config);
    }),
    ("mail", |bytes| {
        let _ = Mail::parse(bytes.to_vec());
    }),
    ("matrix", |bytes| {
        let _ = Matrix::parse(&text(bytes), Path::new("/nonexistent/matrix.yaml"));
    }),
    ("module", |bytes| {
        let _ = loader::module_tables(bytes, &NameTable::default());
    }),
    ("printable", |bytes| {
        let text = text(bytes);
        let is_raw = |c: char| c.is_control() && !"\n\t".contains(c);
        assert!(!printable(&text).contains(char::is_control));
        let shown = on_terminal(&text);
        // Colours begin with one.
        assert!(!shown.contains(|c| is_raw(c) && c != '\u{1b}'));
    }),
    ("symvers", |bytes| {
        let _ = symvers::parse(&text(bytes), &NameTable::default());
    }),
    ("vmlinux", |bytes| {
        let _ = image::read_vmlinux(bytes, Some("7.2.0"), &NameTable::default());
    }),
    ("vmlinux_object", |bytes| {
        let _ = image::read_vmlinux_o(bytes, &NameTable::default());
    }),
];

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}
