//! Reads the member list of an `ar` archive through the `object` crate, thin or
//! not, without reading the members. Called by `collect`.

use std::path::Path;

use object::archive::Header;
use object::read::archive::ArchiveFile;

use super::ENTRIES;
use super::overlap::NameBudget;
use crate::model::facts::{Archive, NameTable};
use crate::tree::path::normalise;

/// Parses an archive in a folder; damage is part of the result, with the members before it. A thin
/// archive names its members from where it is.
#[must_use]
pub fn parse(bytes: &[u8], folder: &Path, names: &NameTable) -> Archive {
    let mut archive = Archive {
        thin: false,
        nondeterministic: None,
        damaged: None,
        members: Vec::new(),
    };
    let file = match ArchiveFile::parse(bytes) {
        Ok(file) => file,
        Err(error) => {
            archive.damaged = Some(format!("{error} ({} bytes)", bytes.len()));
            return archive;
        }
    };
    archive.thin = file.is_thin();
    let budget = NameBudget::of_table(bytes.len());
    for member in file.members() {
        if archive.members.len() == ENTRIES {
            archive.damaged = Some(format!("more than {ENTRIES} members"));
            break;
        }
        let member = match member {
            Ok(member) => member,
            Err(error) => {
                archive.damaged = Some(format!("{error}, after {} members", archive.members.len()));
                break;
            }
        };
        if let Err(error) = budget.take(member.name().len() as u64) {
            archive.damaged = Some(error.to_string());
            break;
        }
        let name = String::from_utf8_lossy(member.name());
        if !member.header().is_none_or(is_whole) {
            let members = archive.members.len();
            archive.damaged = Some(format!("malformed header, after {members} members"));
            break;
        }
        if archive.nondeterministic.is_none() {
            // `ar D` writes zeroes, and 644 as the mode (octal).
            let field = [
                ("date", member.date(), 0),
                ("uid", member.uid(), 0),
                ("gid", member.gid(), 0),
                ("mode", member.mode(), 0o644),
            ]
            .into_iter()
            .find(|(_, value, wanted)| value.is_some_and(|v| v != *wanted));
            archive.nondeterministic = field.map(|(field, value, _)| {
                format!("{name}: {field} is {}", value.unwrap_or_default())
            });
        }
        let from_top = match archive.thin {
            true => folder.join(&*name).to_string_lossy().into_owned(),
            false => name.into_owned(),
        };
        let member = names.get_or_intern(normalise(&from_top).as_ref());
        archive.members.push(member);
    }
    archive
}

/// Whether the numbers of a header are numbers, as LLVM's reader wants them.
fn is_whole(header: &Header) -> bool {
    let is_number = |field: &[u8]| field.trim_ascii_end().iter().all(u8::is_ascii_digit);
    let numbers: [&[u8]; 5] = [
        &header.date,
        &header.uid,
        &header.gid,
        &header.mode,
        &header.size,
    ];
    header.terminator == *b"`\n" && numbers.into_iter().all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn thin(mode: &str) -> Vec<u8> {
        let long = "init/main.o/\nlib/../lib/a.o/\n";
        let mut bytes = b"!<thin>\n".to_vec();
        bytes.extend(format!("{:<48}{:<10}`\n", "//", long.len()).bytes());
        bytes.extend(long.bytes());
        if long.len() % 2 == 1 {
            bytes.push(b'\n');
        }
        for offset in ["/0", "/13"] {
            bytes.extend(
                format!(
                    "{offset:<16}{:<12}{:<6}{:<6}{mode:<8}{:<10}`\n",
                    0, 0, 0, 4711
                )
                .bytes(),
            );
        }
        bytes
    }

    #[test]
    fn lists_the_members_of_a_thin_archive_normalised() {
        let names = NameTable::default();
        let archive = parse(&thin("644"), Path::new(""), &names);
        let members: Vec<_> = archive.members.iter().map(|m| names.resolve(m)).collect();
        assert_eq!(members, ["init/main.o", "lib/a.o"]);
        assert!(archive.thin);
        assert_eq!((archive.damaged, archive.nondeterministic), (None, None));
    }

    #[test]
    fn names_that_overlap_more_than_real_ones_are_damage() {
        let long = "a".repeat(1 << 20) + "/\n";
        let mut bytes = b"!<thin>\n".to_vec();
        bytes.extend(format!("{:<48}{:<10}`\n", "//", long.len()).bytes());
        bytes.extend(long.bytes());
        for _ in 0..1000 {
            let header = format!(
                "{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                "/0", 0, 0, 0, 644, 1
            );
            bytes.extend(header.bytes());
        }
        let archive = parse(&bytes, Path::new(""), &NameTable::default());
        assert!(archive.damaged.unwrap().contains("the names overlap"));
        assert!(archive.members.len() < 20, "{}", archive.members.len());
    }

    #[test]
    fn a_thin_archive_names_its_members_from_its_folder() {
        let names = NameTable::default();
        let archive = parse(&thin("644"), Path::new("arch/x86"), &names);
        let members: Vec<_> = archive.members.iter().map(|m| names.resolve(m)).collect();
        assert_eq!(members, ["arch/x86/init/main.o", "arch/x86/lib/a.o"]);
    }

    #[test]
    fn a_header_that_depends_on_the_machine_is_named() {
        let names = NameTable::default();
        let archive = parse(&thin("600"), Path::new(""), &names);
        assert_eq!(
            archive.nondeterministic.as_deref(),
            Some("init/main.o: mode is 384")
        );
    }

    #[test]
    fn a_byte_that_is_no_digit_damages_a_header() {
        let names = NameTable::default();
        let bytes = thin("644");
        for field in [b"4711 ", b"644  "] {
            let at = bytes
                .windows(5)
                .rposition(|window| window == field)
                .unwrap();
            let mut changed = bytes.clone();
            changed[at + 6] = b'x';
            let archive = parse(&changed, Path::new(""), &names);
            let damaged = Some("malformed header, after 1 members".to_owned());
            assert_eq!(archive.damaged, damaged);
        }
    }

    #[test]
    fn a_cut_archive_is_damaged() {
        let names = NameTable::default();
        let bytes = thin("644");
        let archive = parse(&bytes[..bytes.len() - 20], Path::new(""), &names);
        assert_eq!(archive.members.len(), 1);
        assert!(archive.damaged.is_some());
        assert!(parse(b"", Path::new(""), &names).damaged.is_some());
    }

    proptest! {
        #[test]
        fn damage_never_panics(cut in 0..200usize, at in 0..200usize, byte: u8) {
            let mut bytes = thin("644");
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(cut);
            let _ = parse(&bytes, Path::new("lib"), &NameTable::default());
        }
    }
}
