//! Takes the imprint of a build tree: from the `.cmd` files that kbuild leaves beside whatever it
//! makes, and from all other files.

use std::ffi::OsStr;
use std::fs::File;
use std::io::ErrorKind;
use std::path::Path;

use walkdir::WalkDir;

use crate::model::error::Error;
use crate::model::imprint::Imprint;

/// The digits of a hash that are kept.
const DIGITS: usize = 16;
/// Programs of the build itself, which run on the machine that builds.
const OF_THE_BUILD: [&str; 2] = ["scripts", "tools"];

/// The imprint of the build in `dir`.
///
/// # Errors
/// If a file that is there cannot be read.
pub fn imprint(dir: &Path) -> Result<Imprint, Error> {
    let mut imprint = Imprint::default();
    for entry in WalkDir::new(dir) {
        let entry = entry.map_err(|e| Error::io(dir, "read")(e.into()))?;
        let path = entry.path();
        let Some(name) = path
            .strip_prefix(dir)
            .ok()
            .filter(|_| entry.file_type().is_file())
        else {
            continue;
        };
        match made(entry.file_name()) {
            Some(_) if OF_THE_BUILD.iter().any(|folder| name.starts_with(folder)) => {}
            Some(made) => {
                let made = name.with_file_name(made);
                if let Some(text) = read(path)? {
                    add(&mut imprint, &made.to_string_lossy(), &text);
                }
            }
            None => {
                let mut hasher = blake3::Hasher::new();
                let file = File::open(path).map_err(Error::io(path, "read"))?;
                let hashed = hasher.update_reader(file);
                hashed.map_err(Error::io(path, "read"))?;
                let name = name.to_string_lossy().into_owned();
                imprint.files.insert(name, first_digits(hasher.finalize()));
            }
        }
    }
    for object in imprint.front.keys().chain(imprint.back.keys()) {
        if let Some(content) = imprint.files.get(object) {
            imprint.objects.insert(object.clone(), content.clone());
        }
    }
    // The first has the exports of modules, too; a build that makes no modules leaves the other.
    for file in ["Module.symvers", "vmlinux.symvers"] {
        let Some(symvers) = read(&dir.join(file))? else {
            continue;
        };
        for line in String::from_utf8_lossy(&symvers).lines() {
            if let Some((crc, rest)) = line.split_once('\t') {
                let name = rest.split('\t').next().unwrap_or(rest);
                imprint.crcs.insert(name.to_owned(), crc.to_owned());
            }
        }
        break;
    }
    Ok(imprint)
}

/// What the `.cmd` file of that name is of: `main.o` for `.main.o.cmd`.
fn made(name: &OsStr) -> Option<&str> {
    name.to_str()?.strip_prefix('.')?.strip_suffix(".cmd")
}

/// Adds what the `.cmd` file of `name` says.
fn add(imprint: &mut Imprint, name: &str, text: &[u8]) {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words = |word: &[u8]| memchr::memmem::find(line, word).is_some();
    let part = match name.ends_with(".o") && words(b" -c ") {
        true if words(b"-fthinlto-index=") => &mut imprint.back,
        true => &mut imprint.front,
        false => &mut imprint.links,
    };
    part.insert(name.to_owned(), first_digits(blake3::hash(line)));
}

fn first_digits(hash: blake3::Hash) -> String {
    hash.to_hex()[..DIGITS].to_owned()
}

/// The content of a file; `None` if it is not there.
fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => match std::fs::read(path) {
            Ok(content) => Ok(Some(content)),
            Err(e) => Err(Error::io(path, "read")(e)),
        },
        Ok(_) => Ok(None),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, "read")(e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_objects_and_exports_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| {
            let file = dir.path().join(file);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        };
        write(
            "init/.main.o.cmd",
            "savedcmd_init/main.o := clang -c -o init/main.o main.c\nmore\n",
        );
        write("init/main.o", "object");
        let back =
            "savedcmd_x := clang -fthinlto-index=init/main.o.thinlto.bc -c -o x init/main.o\n";
        write("init/.main.thinlto-native.o.cmd", back);
        write(
            ".vmlinux.a.cmd",
            "savedcmd_vmlinux.a := llvm-ar cDPrST vmlinux.a\n",
        );
        write("scripts/.fixdep.cmd", "savedcmd_scripts/fixdep := gcc -c\n");
        write(
            "vmlinux.symvers",
            "0x1234\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n",
        );
        let names = |part: &std::collections::BTreeMap<String, String>| -> Vec<String> {
            part.keys().cloned().collect()
        };
        write("scripts/fixdep", "program");
        let imprint = imprint(dir.path()).unwrap();
        assert_eq!(
            names(&imprint.files),
            ["init/main.o", "scripts/fixdep", "vmlinux.symvers"]
        );
        assert_eq!(names(&imprint.front), ["init/main.o"]);
        assert_eq!(names(&imprint.back), ["init/main.thinlto-native.o"]);
        assert_eq!(names(&imprint.objects), ["init/main.o"]);
        assert_eq!(names(&imprint.links), ["vmlinux.a"]);
        assert_eq!(imprint.crcs["printk"], "0x1234");
        write(
            "Module.symvers",
            "0x5678\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n",
        );
        let with_modules = super::imprint(dir.path()).unwrap();
        assert_eq!(with_modules.crcs["printk"], "0x5678");

        // Only the command counts, not what follows it.
        let before = imprint.front["init/main.o"].clone();
        write(
            "init/.main.o.cmd",
            "savedcmd_init/main.o := clang -c -o init/main.o main.c\nother\n",
        );
        assert_eq!(
            super::imprint(dir.path()).unwrap().front["init/main.o"],
            before
        );
        write(
            "init/.main.o.cmd",
            "savedcmd_init/main.o := clang -O2 -c -o init/main.o main.c\n",
        );
        assert_ne!(
            super::imprint(dir.path()).unwrap().front["init/main.o"],
            before
        );
    }
}
