//! `klto schema`: the JSON schema of what a command writes.

use super::args::Schema;
use super::print;
use crate::model::error::{Error, Exit};
use crate::report::schema;

pub fn run(args: &Schema) -> Result<Exit, Error> {
    print(&schema::of(args.document))?;
    Ok(Exit::Pass)
}
