//! Has cargo rebuild when an architecture file is added: `include_dir!` alone
//! sees changes of the files that it knows.

fn main() {
    println!("cargo:rerun-if-changed=harness/arch");
}
