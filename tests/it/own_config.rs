//! Configurations of the user's: a `.config` and fragments, in a matrix and without one.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rstest::rstest;
use serde_json::Value;

use crate::support::fake_kernel::FakeKernel;
use crate::support::program::{Ended, finish, klto};

/// What the fake kernel's `tinyconfig` has, and a symbol of the user's.
const DOT_CONFIG: &str = "# Linux/x86 7.2.13 Kernel Configuration\n\
    CONFIG_CC_VERSION_TEXT=\"fake clang version 22.1.8\"\n\
    CONFIG_LLD_VERSION=220108\n\
    CONFIG_X86_64=y\n\
    CONFIG_LTO_NONE=y\n\
    CONFIG_MODULES=y\n\
    CONFIG_MODVERSIONS=y\n\
    CONFIG_OWN=y\n";

/// A kernel, and a configuration beside it.
struct Own {
    kernel: FakeKernel,
    config: PathBuf,
}

impl Own {
    fn new(text: &str) -> Own {
        let kernel = FakeKernel::new();
        let config = kernel.dir().join("laptop.config");
        fs::write(&config, text).unwrap();
        Own { kernel, config }
    }

    fn command(&self) -> Command {
        let mut command = klto(["run", "--config"]);
        command
            .arg(&self.config)
            .arg("--kernel")
            .arg(self.kernel.source())
            .arg("--work")
            .arg(self.kernel.work())
            .env("PATH", self.kernel.tools())
            .env("KLTO_STORE", self.kernel.dir().join("store"))
            .current_dir(self.kernel.dir());
        command
    }

    fn run(&self, more: &[&str]) -> Ended {
        finish(self.command().args(more))
    }

    /// The cells of the last run: name, outcome, and whether the record was there already.
    fn cells(&self) -> Vec<(String, String, bool)> {
        let report = self.kernel.report();
        let cells = report["cells"].as_array().unwrap().iter();
        cells
            .map(|cell| {
                let text = |value: &Value| value.as_str().unwrap().to_owned();
                let reused = cell["reused"].as_bool().unwrap_or_default();
                (text(&cell["cell"]), text(&cell["outcome"]["is"]), reused)
            })
            .collect()
    }

    fn built_config(&self, cell: &str) -> String {
        let file = self.kernel.cell_dir(cell).join("build/.config");
        fs::read_to_string(file).unwrap()
    }
}

const DISTRIBUTED: &str = "x86_64/laptop.config/thin-dist/llvm-22";
const IN_PROCESS: &str = "x86_64/laptop.config/thin/llvm-22";

#[test]
fn a_configuration_is_built_in_both_modes_without_a_matrix() {
    let own = Own::new(DOT_CONFIG);

    let ended = own.run(&[]);

    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let cells = [DISTRIBUTED, IN_PROCESS].map(|cell| (cell.to_owned(), "pass".to_owned(), false));
    assert_eq!(own.cells(), cells);
    let built = own.built_config(DISTRIBUTED);
    assert!(built.contains("CONFIG_OWN=y\n"), "{built}");
    assert!(built.contains("CONFIG_LTO_CLANG_THIN_DIST=y\n"), "{built}");
    assert_eq!(
        fs::read_to_string(&own.config).unwrap(),
        DOT_CONFIG,
        "only read"
    );
    assert_eq!(own.run(&[]).code, Some(0));
    assert!(own.cells().iter().all(|(_, _, reused)| *reused));
}

#[test]
fn another_configuration_under_the_same_name_is_built() {
    let own = Own::new(DOT_CONFIG);
    assert_eq!(own.run(&["--cell", DISTRIBUTED]).code, Some(0));
    fs::write(&own.config, DOT_CONFIG.replace("OWN=y", "OWN=m")).unwrap();

    assert_eq!(own.run(&["--cell", DISTRIBUTED]).code, Some(0));

    assert!(!own.cells()[0].2, "it is another configuration");
    assert!(own.built_config(DISTRIBUTED).contains("CONFIG_OWN=m\n"));
}

#[rstest]
#[case::no_file("none", &[], "none: cannot be read as a configuration: No such file or directory")]
#[case::no_configuration("matrices/fake.yaml", &[], "line 1: expected 'CONFIG_SYMBOL=value'")]
#[case::of_no_architecture("half.config", &[], "sets the symbol of no architecture that klto knows")]
#[case::a_matrix_too("laptop.config", &["matrices/fake.yaml"], "cannot be used with")]
#[case::on_a_cluster(
    "laptop.config",
    &["--engine", "slurm", "--shared", "shared"],
    "the nodes of a cluster read a matrix"
)]
fn what_cannot_be_built_without_a_matrix_is_refused(
    #[case] config: &str,
    #[case] more: &[&str],
    #[case] why: &str,
) {
    let own = Own::new(DOT_CONFIG);
    own.kernel.matrix("[thin]", "1m");
    fs::write(own.kernel.dir().join("half.config"), "CONFIG_A=y\n").unwrap();
    let config = own.kernel.dir().join(config);
    let own = Own { config, ..own };

    let ended = own.run(more);

    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains(why), "{}", ended.stderr);
}

#[test]
fn a_matrix_may_name_a_configuration_and_fragments() {
    let own = Own::new(DOT_CONFIG);
    let kernel = &own.kernel;
    kernel.matrix("[thin-dist]", "1m");
    let text = fs::read_to_string(kernel.matrix_file()).unwrap();
    let text = text.replace(
        "base: tinyconfig,",
        "base: ../laptop.config, fragments: [./more.config],",
    );
    fs::write(kernel.matrix_file(), text).unwrap();
    let fragment = "CONFIG_MORE=m\n# CONFIG_OWN is not set\n";
    fs::write(kernel.dir().join("matrices/more.config"), fragment).unwrap();

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(0), "{}", ended.stdout);
    let built = own.built_config("x86_64/tiny/thin-dist/llvm-22");
    assert!(built.contains("CONFIG_MORE=m\n"), "{built}");
    assert!(built.contains("# CONFIG_OWN is not set\n"), "{built}");
}

#[test]
fn a_symbol_of_a_fragment_that_does_not_stick_is_a_finding() {
    let own = Own::new(DOT_CONFIG);
    let kernel = &own.kernel;
    kernel.matrix("[thin-dist]", "1m");
    let text = fs::read_to_string(kernel.matrix_file()).unwrap();
    let text = text
        .replace(
            "base: tinyconfig,",
            "base: tinyconfig, fragments: [./more.config],",
        )
        .replace(", MODVERSIONS]", "]");
    fs::write(kernel.matrix_file(), text).unwrap();
    let fragment = kernel.dir().join("matrices/more.config");
    fs::write(fragment, "CONFIG_MODVERSIONS=y\n").unwrap();
    kernel.set_fault("drop-symbol");

    let ended = finish(&mut kernel.run(&[]));

    assert_eq!(ended.code, Some(1));
    assert!(
        ended.stdout.contains("CONFIG_MODVERSIONS"),
        "{}",
        ended.stdout
    );
}

/// The commands that reproduce a failure begin with a copy of the file.
#[test]
fn a_failure_is_reproduced_from_the_file() {
    let own = Own::new(DOT_CONFIG);
    own.kernel.set_fault("compile-error");

    let ended = own.run(&["--cell", DISTRIBUTED]);

    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let copies = format!("cp {} \"$O\"/.config", own.config.display());
    assert!(
        ended.stdout.contains("mkdir -p \"$O\"") && ended.stdout.contains(&copies),
        "{}",
        ended.stdout
    );
}
