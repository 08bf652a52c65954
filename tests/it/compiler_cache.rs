//! `klto run` with ccache: with the real one, each object is what the compiler writes; with one that
//! notes what it is given, whose settings it sees.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rstest::rstest;
use serde_json::{Value, json};

use crate::support::fake_kernel::FakeKernel;
use crate::support::program::{Ended, finish};

/// A real ccache.
#[derive(Debug, Clone, Copy)]
enum Ccache {
    /// That of this machine, which may be older than 4.13.
    Installed,
    /// That of `ci/ccache`, which keeps what back ends make.
    KeepsBackEnds,
}

impl Ccache {
    /// What [`Compiling::compilers`] begins with if this is used.
    fn given(self) -> &'static str {
        match self {
            // That of this machine may be new.
            Ccache::Installed => "cc ",
            Ccache::KeepsBackEnds => "cc everything\n",
        }
    }

    fn program(self) -> PathBuf {
        match self {
            Ccache::Installed => find("ccache"),
            Ccache::KeepsBackEnds => {
                let folder = std::env::var_os("KLTO_CCACHE").map(PathBuf::from);
                let folder = folder.expect(
                    "KLTO_CCACHE must name a folder: run ci/test, or KLTO_CCACHE=$(ci/ccache) cargo test",
                );
                folder.join("ccache")
            }
        }
    }
}

/// A fake kernel whose build also compiles.
struct Compiling(FakeKernel);

impl Compiling {
    /// `recipe` is lines of shell that run in the build tree, where `$S` is the folder of the sources,
    /// `$cc` is the compiler as make looks for it, and `$plain` the compiler itself.
    fn new(recipe: &[&str]) -> Compiling {
        let kernel = FakeKernel::new();
        kernel.matrix("[thin-dist, thin]", "10min");
        let makefile = kernel.source().join("Makefile");
        let text = fs::read_to_string(&makefile).unwrap();
        let recipe = recipe.join(" && ").replace('$', "$$");
        let around = kernel.dir().display();
        let text = format!(
            "{text}\nvmlinux: compile\ncompile: prepare\n\
             \t@echo '$(CC)' $$KLTO_CACHED >>{around}/compilers\n\
             \t@cd $(O) && cc=clang-22 && plain={around}/tools/clang-22 && S=$(CURDIR) && {recipe}\n"
        );
        fs::write(makefile, text).unwrap();
        Compiling(kernel)
    }

    /// With that ccache, and the compiler and the linker of this machine.
    fn really(ccache: Ccache, recipe: &[&str]) -> Compiling {
        let compiling = Compiling::new(recipe);
        let [compiler, linker] = ["clang-22", "ld.lld-22"].map(|name| (name, find(name)));
        for (name, program) in [("ccache", ccache.program()), compiler, linker] {
            let tool = compiling.0.tools().join(name);
            let _ = fs::remove_file(&tool);
            symlink(program, tool).unwrap();
        }
        compiling
    }

    /// With a ccache of that version that notes the settings it sees and does not compile.
    fn noting(version: &str, config: &str) -> Compiling {
        let compiling = Compiling::new(&["{ [ \"$KLTO_CACHED\" = nothing ] || $cc -c file.c; }"]);
        let around = compiling.0.dir().display().to_string();
        fs::write(compiling.0.dir().join("config"), config).unwrap();
        compiling.ccache(&format!(
            "#!/bin/sh\ncase $1 in\n\
             --version) echo 'ccache version {version}' ;;\n\
             --show-config) cat {around}/config ;;\n\
             *) set | grep ^CCACHE_ >{around}/settings\n\
             printf '# file.c\\npreprocessed_cache_hit\\n' >>$CCACHE_STATSLOG ;;\nesac\n"
        ));
        compiling
    }

    fn ccache(&self, script: &str) {
        let file = self.0.tools().join("ccache");
        let _ = fs::remove_file(&file);
        fs::write(&file, script).unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.0.source().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = self.0.run(&[]);
        command
            .args(more)
            .env("CCACHE_DIR", self.0.dir().join("ccache"));
        command
    }

    fn run(&self, more: &[&str]) -> Ended {
        finish(&mut self.command(more))
    }

    /// Runs, and returns what the cells say of the cache: of thin-dist and thin.
    fn cells(&self, more: &[&str]) -> [Value; 2] {
        let ended = self.run(&[&["--no-reuse", "--cells-at-once", "1"], more].concat());
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        self.used()
    }

    fn used(&self) -> [Value; 2] {
        let report = self.0.report();
        ["thin-dist", "thin"].map(|mode| {
            let cells = report["cells"].as_array().unwrap().iter();
            let mut own =
                cells.filter(|cell| cell["cell"] == format!("x86_64/tiny/{mode}/llvm-22"));
            own.next().unwrap()["compiler_cache"].clone()
        })
    }

    /// The folders in which they were built.
    fn trees(&self) -> [PathBuf; 2] {
        ["thin-dist", "thin"].map(|mode| {
            self.0
                .cell_dir(&format!("x86_64/tiny/{mode}/llvm-22"))
                .join("build")
        })
    }

    /// Asserts that the objects are what the compiler writes there.
    fn assert_right(&self, flags: &[&str]) {
        for tree in self.trees() {
            let expected = compile(&tree, &self.0.source(), flags);
            let found = fs::read(tree.join("file.o")).unwrap();
            assert!(found == expected, "{}", tree.display());
        }
    }

    /// What CC was, which make looks for in the search path, and what ccache was given, each time.
    fn compilers(&self) -> String {
        let file = self.0.dir().join("compilers");
        let said = fs::read_to_string(&file).unwrap();
        fs::remove_file(file).unwrap();
        said
    }
}

fn find(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{program} is not installed"))
}

fn compile(tree: &Path, source: &Path, flags: &[&str]) -> Vec<u8> {
    let ended = finish(
        Command::new("clang-22")
            .current_dir(tree)
            .args(flags)
            .args(["-c", "-o", "plain.o"])
            .arg(source.join("file.c")),
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    fs::read(tree.join("plain.o")).unwrap()
}

const PLAIN: &str = "$cc -O2 -c $S/file.c -o file.o";

fn counts(used: &Value) -> [u64; 3] {
    ["hits", "misses", "uncacheable"].map(|key| used[key].as_u64().unwrap())
}

#[rstest]
fn cells_share_objects_and_each_is_what_the_compiler_writes(
    #[values(Ccache::Installed, Ccache::KeepsBackEnds)] ccache: Ccache,
) {
    let compiling = Compiling::really(ccache, &[PLAIN]);
    compiling.write("file.c", "const char *where(void) { return __FILE__; }\n");
    let cells = compiling.cells(&[]);
    // Which cell is first depends on what is known of earlier runs.
    let mut both = cells.each_ref().map(counts);
    both.sort_unstable();
    assert_eq!(both, [[0, 1, 0], [1, 0, 0]]);
    assert_eq!(cells[0]["program"], "ccache");
    compiling.assert_right(&["-O2"]);

    let again = compiling.run(&["--no-reuse", "--fresh"]);
    assert_eq!(
        compiling.used().each_ref().map(counts),
        [[1, 0, 0], [1, 0, 0]]
    );
    let version = cells[0]["version"].as_str().unwrap();
    let line = format!("\nccache {version}: 2 of 2 objects were there (100 %); 0 other calls\n");
    assert!(again.stdout.contains(&line), "{}", again.stdout);
    compiling.assert_right(&["-O2"]);

    let reused = compiling.run(&["--no-reuse"]).stdout;
    assert!(!reused.contains("objects were there"), "{reused}");
}

/// An object with debug information records the folder that it was compiled in.
#[rstest]
fn an_object_never_names_the_build_folder_of_another_cell(
    #[values(Ccache::Installed, Ccache::KeepsBackEnds)] ccache: Ccache,
) {
    let compiling = Compiling::really(ccache, &["$cc -g -c $S/file.c -o file.o"]);
    compiling.write("file.c", "int file;\n");
    let cells = compiling.cells(&[]);
    assert_eq!(cells.each_ref().map(counts), [[0, 1, 0], [0, 1, 0]]);
    compiling.assert_right(&["-g"]);
    assert_eq!(
        compiling.cells(&["--fresh"]).each_ref().map(counts),
        [[1, 0, 0]; 2]
    );
    compiling.assert_right(&["-g"]);
}

/// In direct mode, ccache checks only the headers that it saw the last time.
#[rstest]
fn a_header_that_is_added_earlier_in_the_search_path_is_seen(
    #[values(Ccache::Installed, Ccache::KeepsBackEnds)] ccache: Ccache,
) {
    let compiling = Compiling::really(
        ccache,
        &["$cc -I$S/first -I$S/second -c $S/file.c -o file.o"],
    );
    compiling.write("file.c", "#include <value.h>\nint value = VALUE;\n");
    compiling.write("second/value.h", "#define VALUE 1\n");
    compiling.write("first/other.h", "");
    let source = compiling.0.source();
    let [first, second] = ["first", "second"].map(|folder| source.join(folder));
    let flags = [&first, &second].map(|folder| format!("-I{}", folder.display()));
    let flags = flags.each_ref().map(String::as_str);
    compiling.cells(&[]);
    compiling.assert_right(&flags);
    compiling.write("first/value.h", "#define VALUE 2\n");
    compiling.cells(&[]);
    compiling.assert_right(&flags);
}

/// The same of a header that the build generates, while all files of the sources keep their names.
#[rstest]
fn a_header_that_is_generated_earlier_in_the_search_path_is_seen(
    #[values(Ccache::Installed, Ccache::KeepsBackEnds)] ccache: Ccache,
) {
    let compiling = Compiling::really(
        ccache,
        &[
            "mkdir -p include",
            "{ ! grep -q yes $S/generate || cp $S/generated include/value.h; }",
            "$cc -Iinclude -I$S/second -c $S/file.c -o file.o",
        ],
    );
    compiling.write("file.c", "#include <value.h>\nint value = VALUE;\n");
    compiling.write("second/value.h", "#define VALUE 1\n");
    compiling.write("generated", "#define VALUE 2\n");
    let second = format!("-I{}/second", compiling.0.source().display());
    for generate in ["no", "yes"] {
        compiling.write("generate", generate);
        compiling.cells(&[]);
        compiling.assert_right(&["-Iinclude", &second]);
    }
}

/// The seed of a layout is in a file that ccache before 4.11 does not read.
#[rstest]
fn what_compilers_read_and_ccache_does_not_is_compiled(
    #[values(Ccache::Installed, Ccache::KeepsBackEnds)] ccache: Ccache,
) {
    let flag = "-frandomize-layout-seed-file=seed";
    let recipe = format!("$cc -O2 {flag} -c $S/file.c -o file.o");
    let compiling = Compiling::really(ccache, &["pwd >seed", &recipe]);
    compiling.write(
        "file.c",
        "struct s { int a; char b; long c; short d; void *e; int f; }\n\
         \t__attribute__((randomize_layout));\n\
         long offsets(struct s *s) { return ((long)&s->c - (long)s) * 64 + (long)&s->f - (long)s; }\n",
    );
    let matrix = fs::read_to_string(compiling.0.matrix_file()).unwrap();
    let matrix = matrix.replace("MODVERSIONS]", "MODVERSIONS, RANDSTRUCT]");
    fs::write(compiling.0.matrix_file(), matrix).unwrap();
    assert_eq!(compiling.cells(&[]), [Value::Null, Value::Null]);
    assert!(compiling.compilers().starts_with(ccache.given()));
    compiling.assert_right(&["-O2", flag]);
}

/// ccache before 4.13 does not hash the index. It gets no command with the language `ir`, which it would
/// pass on, nor one whose language the compiler finds out.
#[rstest]
fn a_back_end_is_compiled_with_its_own_index(
    #[values(Ccache::Installed, Ccache::KeepsBackEnds)] ccache: Ccache,
) {
    let compiling = Compiling::really(
        ccache,
        &[
            "$plain -O2 -flto=thin -c $S/a.c -o a.o",
            "$plain -O2 -flto=thin -c $S/b.c -o b.o",
            "ld.lld-22 --thinlto-index-only -e main a.o b.o -o linked",
            "$cc -O2 -x ir -fthinlto-index=a.o.thinlto.bc -c a.o -o native.o",
            "$cc -O2 -fthinlto-index=a.o.thinlto.bc -c a.o -o without-x.o",
            "$plain -O2 -x ir -fthinlto-index=a.o.thinlto.bc -c a.o -o plain.o",
            "$plain -O2 -fthinlto-index=a.o.thinlto.bc -c a.o -o plain-without-x.o",
        ],
    );
    compiling.write("a.c", "int g(int);\nint main(void) { return g(1) + 1; }\n");
    let (mut seen, mut kept) = (Vec::new(), Vec::new());
    for factor in [3, 5] {
        compiling.write("b.c", &format!("int g(int x) {{ return x * {factor}; }}\n"));
        let cells = compiling.cells(&[]);
        for tree in compiling.trees() {
            let read = |file: &str| fs::read(tree.join(file)).unwrap();
            assert!(read("native.o") == read("plain.o"));
            assert!(read("without-x.o") == read("plain-without-x.o"));
        }
        seen.push(fs::read(compiling.trees()[0].join("native.o")).unwrap());
        kept.push(
            cells
                .each_ref()
                .map(|cell| counts(cell)[..2].iter().sum::<u64>()),
        );
    }
    if let Ccache::KeepsBackEnds = ccache {
        assert_eq!(kept, [[2, 2]; 2], "hits and misses");
    }
    assert_ne!(seen[0], seen[1], "the index says what is inlined");
}

#[test]
fn place_and_size_are_the_users_and_the_rest_is_not() {
    let config = "(default) cache_dir = /var/cache/ccache\n\
                  (/etc/ccache.conf) hard_link = true\n\
                  (/etc/ccache.conf) remote_storage = http://host/cache\n\
                  (environment) sloppiness = time_macros\n\
                  (environment) max_size = 20.0G\n";
    let compiling = Compiling::noting("4.9.1", config);
    let set = [
        ("CCACHE_SLOPPINESS", "time_macros"),
        ("CCACHE_BASEDIR", "/"),
        ("CCACHE_MAXSIZE", "20G"),
        ("CCACHE_PREFIX", "distcc"),
    ];
    let run = finish(compiling.command(&[]).envs(set));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let settings = fs::read_to_string(compiling.0.dir().join("settings")).unwrap();
    let mut lines: Vec<&str> = settings.lines().collect();
    lines.sort_unstable();
    let names: Vec<_> = lines
        .iter()
        .map(|line| line.split_once('=').unwrap().0)
        .collect();
    let place = ["CCACHE_DIR", "CCACHE_MAXSIZE", "CCACHE_REMOTE_STORAGE"];
    let own = ["CCACHE_COMPILERCHECK", "CCACHE_CONFIGPATH"];
    assert_eq!(names, [&own[..], &place[..], &["CCACHE_STATSLOG"]].concat());
    assert!(lines[0].trim_end_matches('\'').len() > "CCACHE_COMPILERCHECK=string:".len() + 60);
    for line in [
        "CCACHE_CONFIGPATH='/dev/null'",
        "CCACHE_DIR='/var/cache/ccache'",
        "CCACHE_MAXSIZE='20.0G'",
        "CCACHE_REMOTE_STORAGE='http://host/cache'",
    ] {
        assert!(lines.contains(&line), "{line}: {lines:#?}");
    }
    let used = json!({ "program": "ccache", "version": "4.9.1", "hits": 1, "misses": 0, "uncacheable": 0 });
    assert_eq!(compiling.used(), [used.clone(), used]);
}

#[rstest]
#[case::too_old(
    "4.5.1",
    "",
    "ccache 4.5.1 can give wrong objects; klto uses 4.7 and later"
)]
#[case::off(
    "4.9.1",
    "(/etc/ccache.conf) disable = true\n",
    "it is turned off (/etc/ccache.conf)"
)]
fn a_ccache_that_cannot_be_used_is_no_error_unless_it_is_asked_for(
    #[case] version: &str,
    #[case] config: &str,
    #[case] why: &str,
) {
    let compiling = Compiling::noting(version, config);
    let run = compiling.run(&[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let note = format!("ccache is not used: {why}");
    assert!(run.stderr.contains(&note), "{}", run.stderr);
    assert!(!compiling.compilers().contains("front-ends"));

    let run = compiling.run(&["--ccache"]);
    assert_eq!(run.code, Some(125));
    let error = format!("ccache cannot be used, which --ccache asks for: {why}\n");
    assert!(run.stderr.contains(&error), "{}", run.stderr);
    assert_eq!(compiling.run(&["--ccache", "--no-ccache"]).code, Some(2));
}

#[test]
fn without_ccache_nothing_is_said_unless_it_is_asked_for() {
    let compiling = Compiling::noting("4.9.1", "");
    fs::remove_file(compiling.0.tools().join("ccache")).unwrap();
    let run = compiling.run(&[]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(!run.stderr.contains("ccache") && !run.stdout.contains("ccache"));
    let run = compiling.run(&["--ccache"]);
    assert_eq!(run.code, Some(125));
    assert!(
        run.stderr.contains("asks for: not installed\n"),
        "{}",
        run.stderr
    );
}

/// Who does not trust the cache gets another build, and not what came from it.
#[test]
fn the_cache_can_be_left_out() {
    let compiling = Compiling::noting("4.9.1", "");
    assert_eq!(compiling.run(&[]).code, Some(0));
    assert_eq!(compiling.compilers(), "cc front-ends\n".repeat(2));
    assert_eq!(compiling.run(&["--no-ccache"]).code, Some(0));
    assert!(!compiling.compilers().contains("front-ends"));
    assert_eq!(compiling.used(), [Value::Null, Value::Null]);
}

/// `make` again and `make clean` compare nothing with the build.
#[test]
fn a_scenario_that_compares_nothing_leaves_the_build_to_the_cache() {
    let compiling = Compiling::noting("4.9.1", "");
    compiling
        .0
        .add_to_matrix("scenarios: [build, noop, clean]\n");
    compiling.run(&[]);
    assert!(compiling.compilers().starts_with("cc front-ends\n"));
}

/// What a scenario compares with is compiled, also if the scenario is added after the build.
#[test]
fn what_is_measured_by_a_build_does_not_come_from_the_cache() {
    let compiling = Compiling::noting("4.9.1", "");
    assert_eq!(compiling.run(&[]).code, Some(0));
    assert_eq!(compiling.compilers(), "cc front-ends\n".repeat(2));
    compiling.0.add_to_matrix("scenarios: [build, touch]\n");
    compiling.run(&[]);
    let compilers = compiling.compilers();
    assert!(!compilers.contains("front-ends"), "{compilers}");
    assert_eq!(compiling.used(), [Value::Null, Value::Null]);
}
