//! What the synthetic kernel is made of: its sources, its objects in link order, and
//! what an architecture's makefile adds to the flags.

use std::borrow::Cow;

/// The sources, by their path in the source tree; `arch/ARCH` stands for the
/// architecture's own directory.
pub const SOURCES: &[(&str, &str)] = &[
    (
        "include/linux/export.h",
        include_str!("../../synthetic/include/linux/export.h"),
    ),
    (
        "include/linux/export-internal.h",
        include_str!("../../synthetic/include/linux/export-internal.h"),
    ),
    (
        "include/linux/module.h",
        include_str!("../../synthetic/include/linux/module.h"),
    ),
    (
        "include/linux/synthetic.h",
        include_str!("../../synthetic/include/linux/synthetic.h"),
    ),
    ("init/main.c", include_str!("../../synthetic/init/main.c")),
    (
        "init/version.c",
        include_str!("../../synthetic/init/version.c"),
    ),
    (
        "arch/ARCH/kernel/head.S",
        include_str!("../../synthetic/arch/kernel/head.S"),
    ),
    (
        "arch/ARCH/kernel/entry.S",
        include_str!("../../synthetic/arch/kernel/entry.S"),
    ),
    (
        "arch/ARCH/mm/early.c",
        include_str!("../../synthetic/arch/mm/early.c"),
    ),
    (
        "arch/ARCH/lib/copy.c",
        include_str!("../../synthetic/arch/lib/copy.c"),
    ),
    (
        "kernel/sched/core.c",
        include_str!("../../synthetic/kernel/sched/core.c"),
    ),
    (
        "virt/kvm/vcpu.c",
        include_str!("../../synthetic/virt/kvm/vcpu.c"),
    ),
    ("lib/copy.S", include_str!("../../synthetic/lib/copy.S")),
    ("lib/ring.c", include_str!("../../synthetic/lib/ring.c")),
    (
        "drivers/m/one.c",
        include_str!("../../synthetic/drivers/m/one.c"),
    ),
    (
        "drivers/m/two.c",
        include_str!("../../synthetic/drivers/m/two.c"),
    ),
    ("scripts/Makefile.build", ""),
    (
        "scripts/head-object-list.txt",
        "# Objects that come first, whatever the directories' order.\n\
         arch/arm64/kernel/head.o\n\
         arch/loongarch/kernel/head.o\n\
         arch/riscv/kernel/head.o\n\
         arch/x86/kernel/head.o\n",
    ),
];

/// What an architecture's makefile says.
#[derive(Debug)]
pub struct Target {
    /// `ARCH=`, and our name for it.
    pub name: &'static str,
    /// Its directory under `arch/`.
    pub src: &'static str,
    /// The symbols of its own that are on.
    pub config: &'static [&'static str],
    /// `--target=`.
    pub clang: &'static str,
    /// Its part of `KBUILD_CFLAGS`.
    pub cflags: &'static str,
    /// `KBUILD_CFLAGS_KERNEL`, which reaches commands as `$(modkern_cflags)`.
    pub kernel_cflags: &'static str,
    /// Its part of `KBUILD_AFLAGS`.
    pub aflags: &'static str,
    /// Its part of `KBUILD_LDFLAGS`.
    pub ldflags: &'static [&'static str],
}

const DEAD_CODE: &str = "-ffunction-sections -fdata-sections";

pub const X86_64: &Target = &Target {
    name: "x86_64",
    src: "x86",
    config: &["X86_64", "X86"],
    clang: "x86_64-linux-gnu",
    cflags: "-mno-sse -mno-mmx -mno-sse2 -mno-3dnow -mno-avx -fcf-protection=none -m64 \
             -falign-loops=1 -mno-80387 -mstack-alignment=8 -march=x86-64 -mtune=generic \
             -mno-red-zone -mcmodel=kernel",
    kernel_cflags: DEAD_CODE,
    aflags: "-m64",
    ldflags: &["-m", "elf_x86_64"],
};

pub const ARM64: &Target = &Target {
    name: "arm64",
    src: "arm64",
    config: &["ARM64"],
    clang: "aarch64-linux-gnu",
    cflags: "-mlittle-endian -mgeneral-regs-only -mbranch-protection=none -DARM64_ASM_ARCH='\"armv8.5-a\"'",
    kernel_cflags: DEAD_CODE,
    aflags: "-mlittle-endian",
    ldflags: &["-EL", "-maarch64elf", "-z", "norelro"],
};

pub const RISCV: &Target = &Target {
    name: "riscv",
    src: "riscv",
    config: &["RISCV"],
    clang: "riscv64-linux-gnu",
    cflags: "-mabi=lp64 -march=rv64imac -mno-save-restore -mcmodel=medany -mstrict-align",
    kernel_cflags: DEAD_CODE,
    aflags: "-mabi=lp64 -march=rv64imac",
    ldflags: &[
        "-melf64lriscv",
        "-mllvm",
        "-mattr=+c",
        "-mllvm",
        "-mattr=+relax",
    ],
};

pub const LOONGARCH: &Target = &Target {
    name: "loongarch",
    src: "loongarch",
    config: &["LOONGARCH"],
    clang: "loongarch64-linux-gnusf",
    cflags: "-mno-relax -m64 -march=loongarch64 -mabi=lp64s -mcmodel=normal -msoft-float -mno-strict-align",
    kernel_cflags: "-fPIE -fdirect-access-external-data",
    aflags: "-m64 -mabi=lp64s",
    ldflags: &["-m", "elf64loongarch"],
};

/// What an object is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    C,
    /// C whose makefile takes LTO away.
    CWithoutLto,
    Assembly,
}

/// An `EXPORT_SYMBOL`.
#[derive(Debug, Clone)]
pub struct Export {
    pub symbol: Cow<'static, str>,
    pub licence: &'static str,
    pub namespace: &'static str,
}

/// One object.
#[derive(Debug, Clone)]
pub struct Unit {
    /// Its path, as `llvm-ar` writes it.
    pub object: String,
    /// Its path as the makefiles spell it; another one where that leads through `../`.
    pub spelled: String,
    /// Its source, from the source tree's top, spelled the same way.
    pub source: String,
    pub language: Language,
    /// `CFLAGS_<object>`.
    pub flags: &'static str,
    pub exports: Vec<Export>,
    pub place: Place,
}

/// What an object is linked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// `built-in.a`.
    Builtin,
    /// `lib/lib.a`.
    Library,
    /// The module `drivers/m/m`.
    Module,
}

/// The module's path without suffix.
pub const MODULE: &str = "drivers/m/m";

const fn export(symbol: &'static str) -> Export {
    Export {
        symbol: Cow::Borrowed(symbol),
        licence: "EXPORT_SYMBOL",
        namespace: "",
    }
}

const fn export_gpl(symbol: &'static str, namespace: &'static str) -> Export {
    Export {
        symbol: Cow::Borrowed(symbol),
        licence: "EXPORT_SYMBOL_GPL",
        namespace,
    }
}

/// The calls at start of the objects, in link order, without their level, which is 6.
pub const INITCALLS: [&str; 3] = [
    "kmod_early__1_2_early_map",
    "kmod_core__1_2_schedule_hint",
    "kmod_ring__1_2_ring_next",
];

/// Every object, in link order.
pub fn units(target: &Target) -> Vec<Unit> {
    const NAMED: &str = r#"-DVCPU_NAME='"it'\''s vcpu #1"'"#;
    use Language::{Assembly, C, CWithoutLto};
    use Place::{Builtin, Library, Module};
    type Row = (
        &'static str,
        Language,
        &'static str,
        &'static [Export],
        Place,
    );
    const ROWS: &[Row] = &[
        ("init/main", C, "", &[export("system_state")], Builtin),
        ("init/version", C, "", &[], Builtin),
        ("arch/ARCH/kernel/head", Assembly, "", &[], Builtin),
        (
            "arch/ARCH/kernel/entry",
            Assembly,
            "",
            &[export("entry_table")],
            Builtin,
        ),
        (
            "arch/ARCH/mm/early",
            CWithoutLto,
            "",
            &[export("early_map")],
            Builtin,
        ),
        (
            "arch/ARCH/lib/copy",
            C,
            "",
            &[export("copy_words")],
            Builtin,
        ),
        (
            "kernel/sched/core",
            C,
            "",
            &[export("schedule_hint"), export_gpl("wake_up_one", "")],
            Builtin,
        ),
        (
            "arch/ARCH/kvm/../../../virt/kvm/vcpu",
            C,
            NAMED,
            &[],
            Builtin,
        ),
        ("lib/copy", Assembly, "", &[], Library),
        (
            "lib/ring",
            C,
            "",
            &[export_gpl("ring_next", "RINGS")],
            Library,
        ),
        (
            "drivers/m/one",
            C,
            "",
            &[export_gpl("m_register", "")],
            Module,
        ),
        ("drivers/m/two", C, "", &[], Module),
    ];
    ROWS.iter()
        .map(|&(stem, language, flags, exports, place)| {
            let spelled = stem.replace("ARCH", target.src);
            let suffix = match language {
                C | CWithoutLto => "c",
                Assembly => "S",
            };
            Unit {
                object: match spelled.rsplit_once("../") {
                    Some((_, inside)) => format!("{inside}.o"),
                    None => format!("{spelled}.o"),
                },
                source: format!("{spelled}.{suffix}"),
                spelled: format!("{spelled}.o"),
                language,
                flags,
                exports: exports.to_vec(),
                place,
            }
        })
        .collect()
}
