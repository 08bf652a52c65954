//! What the makefiles of the synthetic kernel say, as data: a broken series is a
//! [`Recipes`] with one field that says something else. Each field names the place in
//! the kernel's own makefiles that it stands for.

use super::layout::Unit;

/// The recipes of one build. The hooks are handed what kbuild of 7.2 would run and may
/// change it.
#[derive(Clone, Copy)]
pub struct Recipes {
    /// `rule_cc_o_c` and `rule_as_o_S`: the front end of one object.
    pub front: fn(&Unit, &mut Front),
    /// `cmd_ar_builtin_fixup`: the operation letters.
    pub fixup_letters: &'static str,
    /// `cmd_ar_builtin_fixup`: whether the head objects are moved to the front.
    pub heads_first: bool,
    /// `cmd_builtin.order`: from the members of `built-in-fixup.a` to the lines.
    pub order: fn(Vec<String>) -> Vec<String>,
    /// `cmd_ld_thinlto_index`: the linker's arguments.
    pub thin_link: fn(&mut Vec<String>),
    /// `cmd_cc_o_bc` of `scripts/Makefile.thinlto`: the back end of one object.
    pub back: fn(&Unit, &mut Back),
    /// `cmd_ar_vmlinux.a`: whether the index lists the object (`grep -Fqx`).
    pub listed: fn(&str, &[String]) -> bool,
    /// `cmd_ar_vmlinux.a`: the archiver's arguments before the archive's name.
    pub vmlinux_a: &'static [&'static str],
    /// `cmd_ld_vmlinux.o`: the archive that is linked whole.
    pub linked: &'static str,
    /// `cmd_gen_initcalls_lds`: from the calls at start in link order to those in the script.
    pub initcalls: fn(Vec<&str>) -> Vec<&str>,
    /// `.vmlinux.objs`: the archive that it lists.
    pub objs_from: &'static str,
    /// `extract_crcs_for_object` of modpost: from an object to its `.cmd` file.
    pub crcs_of: fn(&str) -> String,
    /// `.mod.c` of a module: its `MODULE_INFO` lines.
    pub modinfo: fn(Vec<&str>) -> Vec<&str>,
    /// `to_cmdfile` of `gen_compile_commands.py`: from a member of `vmlinux.a` to the
    /// `.cmd` file whose command names the source. Mended: [`dot_cmd`] in 7.2.
    pub entry_source: fn(&str) -> String,
    /// The same: to the `.cmd` file whose command the entry has.
    pub entry_command: fn(&str) -> String,
    /// The prerequisites of `compile_commands.json`: `$(if $(CONFIG_MODULES), modules.order)`.
    pub entries_of_modules: bool,
}

impl Default for Recipes {
    fn default() -> Self {
        Recipes {
            front: |_, _| {},
            fixup_letters: "cDPrST",
            heads_first: true,
            order: |members| members,
            thin_link: |_| {},
            back: |_, _| {},
            listed: |object, index| index.iter().any(|line| line == object),
            vmlinux_a: &["cDPrS", "--thin"],
            linked: "vmlinux.a",
            initcalls: |calls| calls,
            objs_from: "vmlinux.a",
            crcs_of: front_cmd,
            modinfo: |entries| entries,
            entry_source: front_cmd,
            entry_command: front_cmd,
            entries_of_modules: true,
        }
    }
}

/// A front-end compile, as makefile text for the shell.
#[derive(Debug, Clone)]
pub struct Front {
    /// `$(CC)`.
    pub cc: String,
    /// `$(NOSTDINC_FLAGS) $(LINUXINCLUDE)`.
    pub includes: String,
    /// `$(_c_flags)`, or `$(_a_flags)`.
    pub own: String,
    /// `$(modkern_cflags)`.
    pub modkern: String,
    /// `$(basename_flags) $(modname_flags)`.
    pub names: String,
    /// `$(saved_c_flags)`.
    pub saved: fn(&Front) -> String,
    /// The object that the saved line is for: `$@`.
    pub saved_for: String,
    /// How often `cmd_save_c_flags` runs.
    pub saved_lines: usize,
    /// `$(call escsq, …)` around the saved flags.
    pub escsq: fn(&str) -> String,
    /// What `gen_symversions` appends, given what genksyms printed.
    pub symvers: fn(&str) -> String,
}

impl Front {
    /// The flags as 7.2 saves them.
    pub fn saved_flags(&self) -> String {
        format!("{} {}", self.own, self.modkern)
    }

    /// Takes a flag out of the object's own ones, as `CFLAGS_REMOVE_<object>` does.
    #[track_caller]
    pub fn remove(&mut self, flag: &str) {
        assert!(
            self.own.split(' ').any(|word| word == flag),
            "no {flag} to remove in {}",
            self.own
        );
        let left: Vec<&str> = self.own.split(' ').filter(|word| *word != flag).collect();
        self.own = left.join(" ");
    }
}

/// A back-end compile.
#[derive(Debug, Clone)]
pub struct Back {
    /// `$(CC)`.
    pub cc: String,
    /// `$(be_flags)`: what `sed` finds in the object's `.cmd` file.
    pub saved: String,
    /// The options after the saved flags.
    pub options: String,
    /// `$(word 2, $^)`.
    pub index: String,
    /// `$@`.
    pub native: String,
    /// `$<`.
    pub object: String,
    /// Whether the rule uses `if_changed`, which records the command.
    pub recorded: bool,
}

impl Back {
    pub fn command(&self) -> String {
        format!(
            "{} {} {} -fthinlto-index={} -c -o {} {}",
            self.cc, self.saved, self.options, self.index, self.native, self.object
        )
    }

    /// What `if_changed` writes to the native object's `.cmd` file.
    pub fn cmd_file(&self) -> String {
        format!(
            "savedcmd_{} := {}\n",
            self.native,
            escape_for_make(&self.command())
        )
    }
}

/// `$(dot-target).cmd` of an object.
pub fn dot_cmd(object: &str) -> String {
    match object.rsplit_once('/') {
        Some((folder, file)) => format!("{folder}/.{file}.cmd"),
        None => format!(".{object}.cmd"),
    }
}

/// The `.cmd` file of the object that a front end made: of a native object's IR object.
pub fn front_cmd(object: &str) -> String {
    dot_cmd(&match object.strip_suffix(".thinlto-native.o") {
        Some(stem) => format!("{stem}.o"),
        None => object.to_owned(),
    })
}

/// The native object of an IR object: the pattern rule's `%.thinlto-native.o: %.o`.
pub fn native(object: &str) -> String {
    match object.strip_suffix(".o") {
        Some(stem) => format!("{stem}.thinlto-native.o"),
        None => panic!("{object} is no object"),
    }
}

/// `escsq` of `scripts/Kbuild.include`: for text between single quotes.
pub fn escape_single_quotes(text: &str) -> String {
    text.replace('\'', r"'\''")
}

/// `make-cmd` of `scripts/Kbuild.include`: a command that make reads back unchanged.
pub fn escape_for_make(command: &str) -> String {
    command.replace('$', "$$").replace('#', "$(pound)")
}
