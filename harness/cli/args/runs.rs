//! The arguments of `klto runs`.

use std::path::PathBuf;

use bytesize::ByteSize;
use clap::Subcommand;

/// What to do with the runs.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List the runs, the oldest first; this is the default.
    List,
    /// Show what is kept of a run: its cells, and the files of their facts and logs.
    Show {
        /// The run: its name or the beginning of it, 'latest', a matrix for its latest run; with
        /// '~N' for the Nth before that: 'nightly~1'.
        run: String,
    },
    /// Remove runs, and the facts and logs that no other run has.
    Remove {
        /// The runs, as in 'klto runs show'.
        #[arg(required = true)]
        run: Vec<String>,
    },
    /// Remove old runs: of each matrix, keep the latest, or as many as the disk has room for.
    #[group(id = "how-many", required = true, multiple = true)]
    Gc {
        /// How many runs of each matrix to keep.
        #[arg(long, value_name = "N", group = "how-many")]
        keep: Option<usize>,
        /// The most that runs, facts and logs may take, such as 2GiB: runs in which nothing failed
        /// go first, the oldest first; none that has the last result of a cell.
        #[arg(long, value_name = "SIZE", group = "how-many")]
        disk: Option<ByteSize>,
    },
    /// Write a run with its facts and logs to one file, which another machine can import.
    Export {
        /// The run, as in 'klto runs show'.
        run: String,
        /// The file to write.
        file: PathBuf,
    },
    /// Take in runs that another store exported.
    Import {
        /// The files.
        #[arg(required = true)]
        file: Vec<PathBuf>,
    },
}
