//! `compile_commands.json`, as `scripts/clang-tools/gen_compile_commands.py` writes it
//! from `.cmd` files. It is made on request, so it is not a step of the build.

use serde_json::{Value, json};

use super::super::recipes::dot_cmd;
use super::{Kbuild, write};

impl Kbuild {
    /// `make compile_commands.json`.
    pub fn compile_commands(&self) {
        let members = self.members("vmlinux.a").unwrap();
        let mut entries: Vec<Value> = members
            .iter()
            .filter_map(|member| {
                let source_of = (self.recipes.entry_source)(member);
                self.entry(&source_of, &(self.recipes.entry_command)(member))
            })
            .collect();
        let modules = match self.recipes.entries_of_modules {
            true => self.listed("modules.order"),
            false => Vec::new(),
        };
        for module in modules {
            let objects = self.listed(&module.replace(".o", ".mod"));
            let cmds = objects.iter().map(|object| dot_cmd(object));
            entries.extend(cmds.filter_map(|cmd| self.entry(&cmd, &cmd)));
        }
        entries.sort_by_key(|entry| entry["file"].to_string());
        let text = serde_json::to_string_pretty(&entries).unwrap();
        write(&self.out.join("compile_commands.json"), &text);
    }

    /// `process_line`, where `_LINE_PATTERN` matches the first line of the `.cmd` file.
    fn entry(&self, source_of: &str, command_of: &str) -> Option<Value> {
        let command = |cmd: &str| {
            let text = std::fs::read_to_string(self.out.join(cmd)).unwrap();
            let (_, command) = text.lines().next()?.split_once(".o := ")?;
            Some(command.replace("$(pound)", "#"))
        };
        let compiled = command(source_of)?;
        let (_, source) = compiled.rsplit_once(' ')?;
        (source.ends_with(".c") || source.ends_with(".S")).then(|| {
            json!({
                "command": command(command_of),
                "directory": self.out.canonicalize().unwrap(),
                "file": self.out.join(source).canonicalize().unwrap(),
            })
        })
    }
}
