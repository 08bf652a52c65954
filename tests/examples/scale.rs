//! Simulates a night on machines of several sizes, with the queue of `klto run` and the times of
//! stages that real cells took: `scale REPORT... [--repeat N]`.
//!
//! A report is that of `klto run --format json`. Each stage of a cell has an amount of work, the
//! processor time that its record shows. A stage that is one command after the other uses one
//! processor at most; compilation, back ends and the linker's own threads use whatever they get.
//! Running cells share the processors evenly, as far as they can use them.

#![expect(
    clippy::cast_precision_loss,
    reason = "processors and KiB are far below 2^52"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use klto::input::arch_table;
use klto::judge::expected::Expected;
use klto::model::cell::{Base, Cell, LtoMode};
use klto::model::record::{CellRecord, RunRecord, StageTime};
use klto::run::job::{Job, JobId, PlanOptions, plan};
use klto::run::schedule::queue::{Next, Now, Queue, Room};
use klto::run::schedule::usual_at_once;

/// Machines to simulate: nodes, and processors of each.
const MACHINES: [(usize, usize); 5] = [(1, 1), (1, 2), (1, 16), (1, 64), (100, 16)];
/// Cells at once to simulate, besides the usual number.
const AT_ONCE: [usize; 6] = [1, 2, 4, 8, 16, 32];
/// What klto does itself, in one thread: no command's processor time shows it.
const OWN: [&str; 4] = ["configure", "inspect", "copy tree", "comparison "];

#[derive(Parser)]
struct Args {
    /// Reports of `klto run` in JSON.
    #[arg(required = true)]
    reports: Vec<PathBuf>,
    /// How often each kernel of the reports is in the night.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Only these cells.
    #[arg(long)]
    cell: Vec<String>,
    /// Only this number of machines, …
    #[arg(long, requires = "processors", default_value_t = 1)]
    nodes: usize,
    /// … each with that many processors.
    #[arg(long)]
    processors: Option<usize>,
    /// Only this number of cells at once.
    #[arg(long)]
    at_once: Option<usize>,
    /// Memory of each machine.
    #[arg(long)]
    memory: Option<bytesize::ByteSize>,
}

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let mut measured = Vec::new();
    for file in &args.reports {
        let bad = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
        let text = std::fs::read(file).map_err(|e| bad(&e))?;
        let run: RunRecord = serde_json::from_slice(&text).map_err(|e| bad(&e))?;
        let cells = run.cells.into_iter();
        let is_wanted = |cell: &CellRecord| args.cell.is_empty() || args.cell.contains(&cell.cell);
        measured.extend(cells.filter(|cell| is_wanted(cell) && !cell.stages.is_empty()));
    }
    let night = Night::new(&measured, args.repeat)?;
    let machines = match args.processors {
        Some(processors) => vec![(args.nodes, processors)],
        None => MACHINES.to_vec(),
    };
    println!("{} cells", night.jobs.len());
    println!("nodes processors at-once    makespan   used    memory  lost to");
    for (nodes, processors) in machines {
        let usual = usual_at_once(processors);
        let mut at_once: BTreeSet<usize> = match args.at_once {
            Some(one) => BTreeSet::from([one]),
            None => AT_ONCE.into_iter().chain([usual]).collect(),
        };
        at_once.retain(|cells| args.at_once.is_some() || *cells <= processors.max(2));
        for cells in at_once {
            let machine = Machine {
                processors,
                at_once: cells,
                memory_kib: args.memory.map(|size| size.as_u64() / 1024),
            };
            let outcome = night.on(nodes, machine);
            let mark = if cells == usual { "*" } else { " " };
            println!(
                "{nodes:5} {processors:10} {cells:6}{mark} {:9.1} s {:5.1}% {:5.2} GiB  {}",
                outcome.seconds,
                100.0 * outcome.used / (outcome.seconds * (nodes * processors) as f64),
                outcome.memory_kib as f64 / f64::from(1 << 20),
                outcome.lost(),
            );
        }
    }
    Ok(())
}

/// What a stage does.
#[derive(Debug, Clone)]
struct Work {
    name: String,
    /// Processor time in seconds.
    seconds: f64,
    is_parallel: bool,
}

/// Whether a stage has many commands at a time. That `prepare`, `noop` and `clean` do not is
/// measured: on two idle processors they use 1.05 at most, `compile` 1.7 and `back end` 1.8.
fn is_parallel(stage: &str, mode: LtoMode) -> bool {
    match stage {
        "compile" | "back end" => true,
        "link vmlinux.o" => mode == LtoMode::Thin,
        _ => false,
    }
}

/// The work of each stage of a cell: as much as the record shows, of one command at a time no more
/// than its time; the others have the rest.
fn work_of(record: &CellRecord, mode: LtoMode) -> Vec<Work> {
    let all = record.cost.user_seconds + record.cost.system_seconds;
    let line = &record.cpu_utilization;
    let used = |stage: &StageTime| {
        if line.is_empty() {
            return stage.seconds * all / record.cost.wall_seconds.max(0.001);
        }
        let mut begins = 0.0;
        let mut used = 0.0;
        for processors in &line.processors {
            let ends = begins + line.interval_seconds;
            let both = stage.ends_seconds().min(ends) - stage.begins_seconds.max(begins);
            used += processors * both.max(0.0);
            begins = ends;
        }
        used
    };
    let mut serial = 0.0;
    let mut works: Vec<Work> = Vec::new();
    for stage in &record.stages {
        let is_parallel = is_parallel(&stage.name, mode);
        let is_own = OWN.iter().any(|own| stage.name.starts_with(own));
        let seconds = match (is_parallel, is_own) {
            (true, _) => used(stage),
            (false, true) => stage.seconds,
            (false, false) => used(stage).min(stage.seconds),
        };
        if !is_parallel && !is_own {
            serial += seconds;
        }
        works.push(Work {
            name: stage.name.clone(),
            seconds,
            is_parallel,
        });
    }
    let parallel: f64 = works
        .iter()
        .filter(|w| w.is_parallel)
        .map(|w| w.seconds)
        .sum();
    for work in works
        .iter_mut()
        .filter(|work| work.is_parallel && parallel > 0.0)
    {
        work.seconds *= (all - serial).max(0.0) / parallel;
    }
    works
}

/// The jobs of a night.
struct Night {
    jobs: Vec<Job>,
    work: BTreeMap<String, Vec<Work>>,
    expected: BTreeMap<String, Expected>,
}

impl Night {
    fn new(measured: &[CellRecord], repeat: usize) -> Result<Night, String> {
        let (mut cells, mut work, mut expected) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for number in 0..repeat {
            for record in measured {
                let mut cell = cell(&record.cell)?;
                if number > 0 {
                    cell.config_name += &format!("-{number}");
                }
                let works = work_of(record, cell.lto);
                let takes = Expected {
                    seconds: Some(works.iter().map(|work| work.seconds).sum()),
                    memory_kib: Some(record.cost.peak_memory_kib),
                    disk_kib: None,
                };
                if expected.insert(cell.name(), takes).is_some() {
                    return Err(format!("{}: in two of the reports", cell.name()));
                }
                work.insert(cell.name(), works);
                cells.push(cell);
            }
        }
        let options = PlanOptions {
            reuse_trees: measured.iter().any(|record| record.derived_from.is_some()),
            share_clean_builds: true,
            prepare_all: false,
            one_mode_at_a_time: false,
            compare: &[],
        };
        Ok(Night {
            jobs: plan(&cells, options),
            work,
            expected,
        })
    }

    /// Each kernel with all its modes on one of the machines, the longest first on the machine that
    /// has least to do.
    fn on(&self, nodes: usize, machine: Machine) -> Outcome {
        let seconds = |jobs: &[Job]| -> f64 {
            let names = jobs.iter().map(|job| job.cell.name());
            names.filter_map(|name| self.expected[&name].seconds).sum()
        };
        let groups = self
            .jobs
            .chunk_by(|one, other| one.cell.group() == other.cell.group());
        let mut groups: Vec<&[Job]> = groups.collect();
        groups.sort_by(|one, other| seconds(other).total_cmp(&seconds(one)));
        let mut shares: Vec<Vec<Job>> = vec![Vec::new(); nodes];
        for group in groups {
            let least = shares
                .iter_mut()
                .min_by(|a, b| seconds(a).total_cmp(&seconds(b)));
            if let Some(share) = least {
                share.extend_from_slice(group);
            }
        }
        let outcomes: Vec<Outcome> = shares.iter().map(|jobs| self.run(jobs, machine)).collect();
        let longest = outcomes
            .iter()
            .map(|outcome| outcome.seconds)
            .fold(0.0, f64::max);
        let mut all = Outcome::default();
        for outcome in outcomes {
            all.used += outcome.used;
            all.memory_kib = all.memory_kib.max(outcome.memory_kib);
            for (stage, lost) in outcome.lost {
                *all.lost.entry(stage).or_default() += lost;
            }
            let idle = (longest - outcome.seconds) * machine.processors as f64;
            *all.lost.entry(END.to_owned()).or_default() += idle;
        }
        all.seconds = longest;
        all
    }

    fn run(&self, jobs: &[Job], machine: Machine) -> Outcome {
        let ranks = BTreeMap::new();
        let all = Room {
            memory_kib: machine.memory_kib,
            disk_kib: None,
        };
        let queue = Queue::new(jobs, &self.expected, &ranks, machine.at_once, all);
        let names: BTreeMap<JobId, String> = jobs.iter().map(|j| (j.id, j.cell.name())).collect();
        let memory = |id: &JobId| self.expected[&names[id]].memory_kib.unwrap_or(0);
        let mut outcome = Outcome::default();
        let (mut taken, none) = (BTreeSet::new(), BTreeSet::new());
        let mut since = BTreeMap::new();
        let mut running: Vec<Running<'_>> = Vec::new();
        loop {
            let now: BTreeSet<JobId> = running.iter().map(|job| job.id).collect();
            let needs: u64 = now.iter().map(memory).sum();
            outcome.memory_kib = outcome.memory_kib.max(needs);
            let waits = since.iter();
            let waits = waits.map(|(id, since)| (*id, outcome.seconds - since));
            let (next, passed) = queue.look(&Now {
                taken: &taken,
                running: &now,
                again: &none,
                waits: &waits.collect(),
                room: Room {
                    memory_kib: machine.memory_kib.map(|all| all.saturating_sub(needs)),
                    disk_kib: None,
                },
                seconds_left: None,
            });
            for (id, _) in passed {
                since.entry(id).or_insert(outcome.seconds);
            }
            match next {
                Next::Start(id) => {
                    taken.insert(id);
                    since.remove(&id);
                    running.extend(Running::new(id, &self.work[&names[&id]]));
                }
                Next::LeaveOut(id) | Next::NoRoom(id, _) => {
                    taken.insert(id);
                }
                Next::Wait(_) => {
                    outcome.pass(&mut running, machine.processors, taken.len() < jobs.len());
                }
                Next::Done => return outcome,
            }
        }
    }
}

/// A cell of that name.
fn cell(name: &str) -> Result<Cell, String> {
    let [arch, config, mode, toolchain] = name.split('/').collect::<Vec<_>>()[..] else {
        return Err(format!("'{name}' is not the name of a cell"));
    };
    Ok(Cell {
        arch: arch_table::by_name(arch)
            .map_err(|e| e.to_string())?
            .clone(),
        config_name: config.to_owned(),
        base: Base::Goal(String::new()),
        fragments: Vec::new(),
        enable: Vec::new(),
        disable: Vec::new(),
        set: BTreeMap::new(),
        lto: mode.parse().map_err(|e| format!("{name}: {e}"))?,
        toolchain_name: toolchain.to_owned(),
        make: BTreeMap::new(),
        goals: Vec::new(),
        scenarios: Vec::new(),
        timeout: Duration::MAX,
    })
}

#[derive(Debug, Clone, Copy)]
struct Machine {
    processors: usize,
    at_once: usize,
    memory_kib: Option<u64>,
}

/// What processors are idle for that no cell is left for.
const END: &str = "end of the night";

struct Running<'a> {
    id: JobId,
    /// Stages that have not ended.
    stages: &'a [Work],
    /// Of the first of them, in seconds.
    left: f64,
}

impl<'a> Running<'a> {
    fn new(id: JobId, stages: &'a [Work]) -> Option<Running<'a>> {
        let left = stages.first()?.seconds;
        Some(Running { id, stages, left })
    }
}

#[derive(Debug, Default)]
struct Outcome {
    seconds: f64,
    /// Processor time.
    used: f64,
    /// Processor time that nothing used, by the stages that could not.
    lost: BTreeMap<String, f64>,
    /// The most that the cells of a machine need at a time.
    memory_kib: u64,
}

impl Outcome {
    /// Lets time pass until a stage ends.
    fn pass(&mut self, running: &mut Vec<Running<'_>>, processors: usize, is_left: bool) {
        let processors = processors as f64;
        let parallel = running
            .iter()
            .filter(|job| job.stages[0].is_parallel)
            .count();
        let serial = running.len() - parallel;
        let even = processors / running.len() as f64;
        // Who needs only one leaves the rest of its share to the others.
        let one = even.min(1.0);
        let many = (processors - one * serial as f64) / parallel as f64;
        let rate = |job: &Running<'_>| if job.stages[0].is_parallel { many } else { one };
        let times = running.iter().map(|job| job.left / rate(job));
        let time = times.fold(f64::INFINITY, f64::min);
        let used: f64 = running.iter().map(rate).sum();
        self.seconds += time;
        self.used += used * time;
        let idle = (processors - used).max(0.0) * time;
        for job in running.iter().filter(|job| !job.stages[0].is_parallel) {
            let name = if is_left {
                job.stages[0].name.as_str()
            } else {
                END
            };
            *self.lost.entry(name.to_owned()).or_default() += idle / serial as f64;
        }
        for job in running.iter_mut() {
            job.left -= rate(job) * time;
            if job.left < 1e-9 {
                job.stages = &job.stages[1..];
                job.left = job.stages.first().map_or(0.0, |stage| stage.seconds);
            }
        }
        running.retain(|job| !job.stages.is_empty());
    }

    /// `prepare 40%, link vmlinux 20%`: the largest parts of what is lost.
    fn lost(&self) -> String {
        let all: f64 = self.lost.values().sum();
        let mut parts: Vec<(&String, &f64)> = self.lost.iter().collect();
        parts.sort_by(|one, other| other.1.total_cmp(one.1));
        let large = parts.iter().filter(|(_, lost)| **lost > 0.05 * all).take(4);
        let part = |(stage, lost): &(&String, &f64)| format!("{stage} {:.0}%", 100.0 * *lost / all);
        large.map(part).collect::<Vec<_>>().join(", ")
    }
}
