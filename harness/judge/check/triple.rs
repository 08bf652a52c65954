//! `triple.*`: every IR object was compiled for the architecture, by the
//! tree's own compiler.

use super::{Family, Findings, Subject};
use crate::model::cell::LtoMode;
use crate::model::facts::ObjectFile;
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "triple",
    rules: &[&TARGET, &PRODUCER],
    applies: |subject| subject.mode != LtoMode::None,
    check,
};

const TARGET: Rule = Rule {
    key: "triple.target",
    severity: Severity::Error,
    invariant: "every IR object's bitcode triple is the one that the architecture's --target= gives",
    broken: "objects break it",
    why: "the back end takes its target from the triple when no flag says otherwise; an object for another target is refused by the assembler or, worse, accepted",
    fix: "look at the object's command in its .cmd file for a missing or wrong --target=",
};

const PRODUCER: Rule = Rule {
    key: "triple.producer",
    severity: Severity::Error,
    invariant: "all IR objects were written by one LLVM version, the configured compiler's",
    broken: "objects break it",
    why: "bitcode of another version may be read with a silent upgrade; the tree mixes two compilers",
    fix: "clean the build tree; if it stays, CC and the configured compiler are not the same program",
};

fn check(subject: &Subject, findings: &mut Findings) {
    let facts = subject.facts;
    let producer = configured_producer(facts.config("CONFIG_CLANG_VERSION"));
    for object in &facts.objects {
        let ObjectFile::Ir(ir) = &object.file else {
            continue;
        };
        let name = facts.text(object.name);
        let triple = facts.text(ir.triple);
        if triple != subject.arch.triple {
            findings.add(
                &TARGET,
                name,
                format!(
                    "the bitcode's triple is «{triple}», expected «{}» (--target={})",
                    subject.arch.triple, subject.arch.target
                ),
            );
        }
        let found = facts.text(ir.producer);
        if let Some(expected) = &producer
            && !found
                .strip_prefix(expected.as_str())
                .is_some_and(no_further_digit)
        {
            findings.add(
                &PRODUCER,
                name,
                format!("written by «{found}», the configured compiler is «{expected}»"),
            );
        }
    }
}

/// `220108`, as `scripts/cc-version.sh` writes it, is `LLVM22.1.8`.
fn configured_producer(clang_version: &str) -> Option<String> {
    let version: u32 = clang_version.parse().ok()?;
    (version > 0).then(|| {
        format!(
            "LLVM{}.{}.{}",
            version / 10_000,
            version / 100 % 100,
            version % 100
        )
    })
}

/// A vendor's suffix is welcome; another digit is another version.
fn no_further_digit(rest: &str) -> bool {
    !rest.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("220108", Some("LLVM22.1.8"))]
    #[case("190112", Some("LLVM19.1.12"))]
    #[case("0", None)]
    #[case("n", None)]
    fn the_configured_version_names_the_producer(
        #[case] version: &str,
        #[case] producer: Option<&str>,
    ) {
        assert_eq!(configured_producer(version).as_deref(), producer);
    }
}
