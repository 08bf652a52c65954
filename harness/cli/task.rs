//! `klto task`: one task of a run on a cluster, as the batch script of the plan starts it.

use super::args::{Known, Task as Args};
use super::output::write_report;
use super::{known_defects, known_findings};
use crate::input::allow::Allow;
use crate::input::mutation;
use crate::model::error::{Error, Exit};
use crate::report::{Format, Options};
use crate::run::slurm::Plan;
use crate::run::slurm::task::{Task, Wish, read_plan, with_plan};
use crate::store::snapshots::SnapshotDir;

pub fn run(args: &Args) -> Result<Exit, Error> {
    let wish = wish(args)?;
    let folder = std::path::absolute(&args.plan).map_err(Error::io(&args.plan, "find"))?;
    let plan = read_plan(&folder)?;
    let known = known_here(&plan)?;
    with_plan(&folder, &plan, &known, |task| match wish {
        Wish::Cell(array, index) => task.cell(array, index),
        Wish::Report => report(task, &plan),
    })?;
    Ok(Exit::Pass)
}

fn wish(args: &Args) -> Result<Wish, Error> {
    match (args.array.as_str(), args.array.parse(), args.task) {
        ("report", _, None) => Ok(Wish::Report),
        (_, Ok(array), Some(task)) => Ok(Wish::Cell(array, task)),
        (word, _, _) => Err(Error::Usage(format!(
            "expected 'report' or the numbers of an array and of a task, found '{word}'\n  'klto run --engine slurm' submits tasks"
        ))),
    }
}

/// What is known of findings; a node need not see the files of the one who submitted.
fn known_here(plan: &Plan) -> Result<Vec<Allow>, Error> {
    let files = plan.allow.iter();
    let mut known: Vec<Allow> = files
        .filter_map(|file| Allow::load_file(file).ok())
        .flatten()
        .collect();
    if plan.known_defects {
        known.extend(known_defects()?);
    }
    Ok(known)
}

/// The report of all tasks, for a klto that was killed while it waited for them.
fn report(task: &Task<'_>, plan: &Plan) -> Result<(), Error> {
    let known = Known {
        mutate: Vec::new(),
        allow: plan.allow.clone(),
        no_known_defects: !plan.known_defects,
    };
    let mut allows = known_findings(&known)?;
    let matrix = task.run.matrix;
    allows.extend(matrix.allow.iter().cloned());
    // Results of a mutated tree must never become accepted snapshots.
    let are_mutated = !mutation::load_all(&plan.mutations)?.is_empty();
    let snapshots = SnapshotDir::find(plan.snapshots.as_deref(), &plan.matrix, &matrix.name)
        .filter(|_| !are_mutated);
    let run = task.join(&allows, snapshots.as_ref())?;
    let text = |format: Format| format.reporter(Options::default()).run(&run);
    for (name, format) in [("report.json", Format::Json), ("report.txt", Format::Text)] {
        write_report(&task.folder.join(name), &text(format))?;
    }
    Ok(())
}
