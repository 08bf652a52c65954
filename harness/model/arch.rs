//! What klto knows of an architecture: plain data, which the files of the architecture
//! table fill.

use std::collections::BTreeMap;

use serde::Deserialize;

/// An architecture, as its file in the architecture table describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arch {
    /// klto's name for it, the file's stem.
    pub name: String,
    /// The value of `ARCH=` on make's command line.
    pub make: String,
    /// Its directory under `arch/` (kbuild's `SRCARCH`).
    pub src: String,
    /// The Kconfig symbols, without `CONFIG_`, that are all `y` for it. A configuration is of the
    /// architecture of which it has the most: User-mode Linux has the symbol of the machine, too.
    pub config: Vec<String>,
    /// Symbols, without `CONFIG_`, that make's configurations lack and that each cell sets to `y`: without
    /// them the kernel is for another machine.
    #[serde(default)]
    pub enable: Vec<String>,
    /// What clang gets as `--target=`, from the kernel's `scripts/Makefile.clang`.
    pub target: String,
    /// The target triple that clang writes into bitcode for that target.
    pub triple: String,
    /// What its ELF objects look like.
    pub elf: ElfIdent,
    /// The make target of the boot image that an emulator can load with any config.
    pub image: String,
    /// The prefix of Debian's GNU cross tools for it.
    pub gnu: String,
    /// Whether its kernels can be built with Clang's LTO.
    #[serde(default = "yes")]
    pub lto: bool,
    /// How its kernels boot; if not given, klto cannot boot them.
    #[serde(default)]
    pub boot: Option<Booting>,
}

impl Arch {
    /// Whether its kernels are programs of the machine that they are built on, as User-mode Linux.
    #[must_use]
    pub fn is_program(&self) -> bool {
        let boot = self.boot.as_ref();
        boot.is_some_and(|boot| boot.emulator.is_none())
    }
}

/// How the kernels of an architecture boot, and what they need for that.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Booting {
    /// What runs the kernel; if not given, the kernel is a program.
    #[serde(default)]
    pub emulator: Option<Emulator>,
    /// Memory, as `-m` of the emulator takes it, and `mem=` of the kernel.
    pub memory: String,
    /// The words of the kernel command line that bring its messages to the first serial
    /// port, or to the output of the program.
    pub console: String,
    /// The path of the boot image in the build tree.
    pub kernel: String,
    /// Symbols, without `CONFIG_`, that a kernel needs to boot to klto's init and to print
    /// messages; set to `y` in each cell that boots.
    pub enable: Vec<String>,
    /// Symbols, without `CONFIG_`, that keep it from booting.
    #[serde(default)]
    pub disable: Vec<String>,
    /// How klto's init calls the kernel.
    pub system_call: SystemCall,
}

/// A machine in software.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emulator {
    /// The program.
    pub program: String,
    /// Its Debian package.
    pub package: String,
    /// The first major version that can boot the architecture.
    #[serde(default)]
    pub since: Option<u32>,
    /// The machine, as `-M` takes it.
    pub machine: String,
    /// The processor, as `-cpu` takes it; the machine's own, if not given.
    #[serde(default)]
    pub cpu: Option<String>,
}

/// A system call: registers by their names in the assembler, numbers of the kernel's
/// `unistd.h`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SystemCall {
    /// The instruction.
    pub instruction: String,
    /// The register of the call's number.
    pub number: String,
    /// The registers of the first three arguments.
    pub arguments: [String; 3],
    /// Registers that the call overwrites.
    pub clobbers: Vec<String>,
    /// Whether the result is in the register of the number; otherwise it is in that of the
    /// first argument.
    #[serde(default)]
    pub result_in_number: bool,
    /// The number of `write`.
    pub write: u32,
    /// The number of `uname`.
    pub uname: u32,
    /// The number of `reboot`.
    pub reboot: u32,
    /// The `reboot` command that ends the emulator.
    pub end: MachineEnd,
}

/// How a machine is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineEnd {
    /// It is turned off.
    PowerOff,
    /// It is restarted; for machines where power-off needs more kernel code than booting.
    Restart,
}

/// The parts of an ELF header that all objects of one architecture share.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ElfIdent {
    /// `e_machine` as `<elf.h>` names it, such as `EM_X86_64`.
    pub machine_name: String,
    /// `e_machine`.
    pub machine: u16,
    /// Word size in bits: 32 or 64.
    pub class: u8,
    /// Byte order.
    pub endian: Endian,
    /// The bits of `e_flags` that must be equal over the tree; all, if not given.
    #[serde(default = "all_bits")]
    pub flags_mask: u32,
    /// The values that `e_flags` may have under the mask; any, if not given.
    #[serde(default)]
    pub flags_allowed: Option<Vec<u32>>,
    /// Relocations that depend on the code model; not compared, if not given.
    #[serde(default)]
    pub relocations: Relocations,
}

/// Relocation types by name, from the architecture's ELF supplement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relocations {
    /// Those that hold an address, or a part of one.
    pub absolute: BTreeMap<String, u32>,
    /// Those that go through the global offset table.
    pub got: BTreeMap<String, u32>,
}

fn yes() -> bool {
    true
}

fn all_bits() -> u32 {
    u32::MAX
}

/// The byte order of ELF objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Endian {
    /// Least significant byte first.
    Little,
    /// Most significant byte first.
    Big,
}
