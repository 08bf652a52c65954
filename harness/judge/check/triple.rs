//! `triple.*`: every IR object was compiled for the architecture, by the
//! tree's own compiler.

use super::{Context, Family, Found, Unit, ir_objects, row};
use crate::model::cell::LtoMode;
use crate::model::finding::{Rule, Severity};

pub const FAMILY: Family = Family {
    name: "triple",
    rows: &[
        row(&TARGET, Unit::Objects, target),
        row(&PRODUCER, Unit::Objects, producer),
    ],
    applies: |mode| mode != LtoMode::None,
};

const TARGET: Rule = Rule {
    key: "triple.target",
    severity: Severity::Error,
    invariant: "the target triple of every IR object is the one that the architecture's --target= gives",
    broken: "objects have bitcode for another target",
    why: "if no flag says otherwise, the back end takes its target from the triple; the assembler then refuses the object or, worse, accepts it",
    fix: "look for a missing or wrong --target= in the object's command in its .cmd file",
};

const PRODUCER: Rule = Rule {
    key: "triple.producer",
    severity: Severity::Error,
    invariant: "one LLVM version, the configured compiler's, wrote all IR objects",
    broken: "objects were written by another LLVM version",
    why: "LLVM may silently upgrade bitcode of another version; the tree mixes two compilers",
    fix: "clean the build tree; if the finding stays, CC is not the compiler that was configured",
};

fn target(context: &Context, found: &mut Found) -> usize {
    let (facts, arch) = (context.facts(), context.subject.arch);
    found.each(ir_objects(facts), |found, (name, ir)| {
        let triple = facts.text(ir.triple);
        if triple != arch.triple {
            found.add(
                facts.text(name),
                format!(
                    "the bitcode's triple is '{triple}', expected '{}' (--target={})",
                    arch.triple, arch.target
                ),
            );
        }
    })
}

fn producer(context: &Context, found: &mut Found) -> usize {
    let facts = context.facts();
    let Some(expected) = configured_producer(facts.config("CONFIG_CLANG_VERSION")) else {
        return 0;
    };
    found.each(ir_objects(facts), |found, (name, ir)| {
        let producer = facts.text(ir.producer);
        let suffix = producer.strip_prefix(expected.as_str());
        if !suffix.is_some_and(no_further_digit) {
            found.add(
                facts.text(name),
                format!("written by '{producer}', the configured compiler is '{expected}'"),
            );
        }
    })
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
