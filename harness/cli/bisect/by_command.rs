//! Searches by a command of the user's.

use super::Prepared;
use crate::model::bisect::BisectRecord;
use crate::model::error::Error;
use crate::run::bisect::command::CommandOracle;
use crate::source::worktree::Worktree;

impl Prepared<'_> {
    pub fn by_command(&self, record: BisectRecord, command: &str) -> Result<BisectRecord, Error> {
        let folder = self.kept.path().join("checkout");
        let worktree = Worktree::open(self.own.git(), &folder)?;
        let oracle = CommandOracle {
            worktree: &worktree,
            command: command.to_owned(),
            log: self.kept.path().join("command.log"),
            timeout: self.args.cells.timeout,
            cancel: self.cancel,
        };
        // What the command depends on is not known: its verdicts are those of this search.
        let ends = [&self.ends.good[..], std::slice::from_ref(&self.ends.bad)].concat();
        let ends = ends.iter().map(|end| end.id().to_owned());
        let of_oracle: Vec<String> = ends.chain([command.to_owned()]).collect();
        let key = self.key(&record, &[], &of_oracle);
        let searched = self.search(record, &oracle, &oracle, None, &key, &|_| {});
        // What stopped the search is said before what keeps a worktree.
        let removed = worktree.remove();
        let searched = searched?;
        removed?;
        Ok(searched)
    }
}
