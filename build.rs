//! Has cargo rebuild when a file is added to a folder that is embedded in the program:
//! `include_dir!` itself sees only changes of the files that it knows.

fn main() {
    for folder in [
        "harness/input/arch",
        "harness/input/harmless",
        "harness/input/mutations",
        "harness/run/scenarios",
        "harness/run/probe/miniature",
    ] {
        println!("cargo:rerun-if-changed={folder}");
    }
}
