//! Searches by probes.

use super::super::jobs;
use super::super::probe::{
    cells, kernel_command, llvm_of, toolchain_name, with_cells, with_sandbox,
};
use super::Prepared;
use super::two_toolchains::Toolchains;
use crate::build::process::Command;
use crate::build::sandbox::Sandbox;
use crate::input::allow::Allow;
use crate::judge::bisect::symbols::differing;
use crate::model::bisect::BisectRecord;
use crate::model::error::Error;
use crate::run::bisect::Configuration;
use crate::run::bisect::probe::{ProbeOracle, probe_cells};
use crate::run::probe::drive::{Caches, Probe, arch_folders};
use crate::run::probe::with_cell;
use crate::source::commit::Commit;

impl Prepared<'_> {
    pub fn by_probe(&self, mut record: BisectRecord) -> Result<BisectRecord, Error> {
        let args = self.args;
        let all = cells(&args.cells, &args.lto, &[])?;
        let names = args.cells.toolchain.iter();
        let names = names.map(|name| toolchain_name(llvm_of(name)));
        let toolchains = Toolchains::of(&names.collect::<Result<Vec<_>, _>>()?)?;
        let allows = self.allows(&[])?;
        let sandbox = Sandbox::find(args.sandbox, self.cancel)?;
        let command = with_cells(kernel_command(self.kernel), &args.cells);
        let command = with_sandbox(command, args.sandbox);
        let probe = self.probe(&command, &allows, sandbox.as_ref());
        let test = |commit: &Commit| probe_cells(&probe, &all, commit);
        let Some(sought) = self.sought(&mut record, toolchains.as_ref(), &test)? else {
            return Ok(record);
        };
        let Some(cell) = all.iter().find(|cell| cell.name() == sought.finding.cell) else {
            return Err(Error::Machine(format!(
                "no cell is named {}",
                sought.finding.cell
            )));
        };
        let again = command.clone().args(["--ref", self.ends.bad.short()]);
        record.reproduce = vec![with_cell(again, cell).shell_words()];
        record.good_config = cell.base.to_string();
        let symbols = differing(cell, None);
        let cells = std::slice::from_ref(cell);
        let of_oracle = self.of_oracle(cells, &sought, sandbox.as_ref())?;
        let key = self.key(&record, &symbols, &of_oracle);
        let oracle = ProbeOracle {
            probe: &probe,
            cell: cell.clone(),
            sought,
            arches: arch_folders()?,
        };
        let configuration = Configuration {
            cell,
            tests: &oracle,
            symbols: &symbols,
        };
        self.search(record, &oracle, &oracle, Some(configuration), &key, &|_| {})
    }

    /// A probe of the user's kernel.
    pub fn probe<'p>(
        &'p self,
        command: &'p Command,
        allows: &'p [Allow],
        sandbox: Option<&'p Sandbox>,
    ) -> Probe<'p> {
        Probe {
            work: self.work,
            kernel: self.kernel,
            mutations: &[],
            allows,
            command,
            jobs: jobs(self.args.place.jobs, 2),
            fresh: self.args.jobs_options.fresh,
            fail_fast: self.args.jobs_options.fail_fast,
            sandbox,
            caches: Caches::Own,
            events: self.events,
            cancel: self.cancel,
        }
    }
}
