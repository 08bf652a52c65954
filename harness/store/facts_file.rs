//! The form in which facts are kept: a line that says what the file is, then one zstd frame
//! with a checksum.
//!
//! ```text
//! klto facts, format 5, by klto 0.1.0, job 5d41402abc4b2a76b9719d911017c592
//! ```
//!
//! The line up to the version stays the same for all formats to come. The frame contains
//! the fields of [`Facts`] in their order, without their names, as the crate `postcard`
//! writes them: a field that comes, goes or moves makes a new [`FORMAT`].

use std::io::ErrorKind;

use super::frame::{self, Limits};
use crate::model::facts::Facts;

/// The format that this klto writes, and the only one it reads.
pub const FORMAT: u32 = 5;

const MAGIC: &str = "klto facts, format ";
/// In the place of a job's key.
const ANY_JOB: &str = "any";
/// No header is longer.
const LONGEST_HEADER: usize = 512;
/// No tree has more: facts of 30,000 objects take a fifth of it.
const LIMITS: Limits = Limits {
    window: 23,
    largest: 1 << 30,
};
const LEVEL: i32 = 6;

/// Facts that were read back.
#[derive(Debug)]
pub struct KeptFacts {
    pub facts: Facts,
    /// The key of the job that they are of.
    pub job: String,
}

/// Why facts cannot be read back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFacts {
    #[error("it is not a facts file of klto: it does not begin with '{}'", MAGIC.trim_end())]
    NotFacts,
    #[error("it is of format {format}, written by klto {klto}")]
    OtherFormat { format: u32, klto: String },
    #[error("it is cut off after {0} bytes")]
    CutOff(usize),
    #[error("it is damaged: {0}")]
    Damaged(String),
}

/// The content of a facts file.
///
/// # Errors
/// What cannot be written, as a text.
pub fn encode(facts: &Facts, job: &str) -> Result<Vec<u8>, String> {
    let content = postcard::to_stdvec(facts).map_err(|e| e.to_string())?;
    seal(&content, job).map_err(|e| e.to_string())
}

/// The facts in the content of a facts file.
///
/// # Errors
/// Why there are none.
pub fn decode(bytes: &[u8]) -> Result<KeptFacts, BadFacts> {
    let (job, frame) = split_header(bytes)?;
    let content = frame::unseal(frame, LIMITS).map_err(|e| match e.kind() {
        ErrorKind::UnexpectedEof => BadFacts::CutOff(bytes.len()),
        _ => BadFacts::Damaged(e.to_string()),
    })?;
    Ok(KeptFacts {
        facts: parse(&content).map_err(BadFacts::Damaged)?,
        job: job.to_owned(),
    })
}

/// The key of the job that a facts file says its facts are of.
///
/// # Errors
/// If it is not a facts file of this format.
pub fn job(bytes: &[u8]) -> Result<&str, BadFacts> {
    split_header(bytes).map(|(job, _)| job)
}

/// The same facts as those of no job in particular, so that equal facts are equal files.
///
/// # Errors
/// If it is not a facts file of this format.
pub fn of_any_job(bytes: &[u8]) -> Result<Vec<u8>, BadFacts> {
    let (_, frame) = split_header(bytes)?;
    Ok([header(ANY_JOB).as_bytes(), frame].concat())
}

fn header(job: &str) -> String {
    let klto = env!("CARGO_PKG_VERSION");
    format!("{MAGIC}{FORMAT}, by klto {klto}, job {job}\n")
}

fn seal(content: &[u8], job: &str) -> std::io::Result<Vec<u8>> {
    let header = header(job);
    if header.len() > LONGEST_HEADER || job.contains('\n') {
        return Err(std::io::Error::other(format!(
            "'{job}' is not the key of a job"
        )));
    }
    let length = Some(content.len());
    frame::seal(header.into_bytes(), LEVEL, LIMITS, length, |writer| {
        writer.write_all(content)
    })
}

/// The job's key, and what follows the header.
fn split_header(bytes: &[u8]) -> Result<(&str, &[u8]), BadFacts> {
    let begin = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.as_bytes().starts_with(begin) {
        return Err(BadFacts::NotFacts);
    }
    let line = bytes.iter().take(LONGEST_HEADER).position(|b| *b == b'\n');
    let Some(line) = line else {
        return Err(match bytes.len() < LONGEST_HEADER {
            true => BadFacts::CutOff(bytes.len()),
            false => BadFacts::Damaged("its first line does not end".to_owned()),
        });
    };
    let damaged = || BadFacts::Damaged("its first line is not of the form that klto writes".into());
    let header = std::str::from_utf8(&bytes[MAGIC.len()..line]).map_err(|_| damaged())?;
    let (format, rest) = header.split_once(", by klto ").ok_or_else(damaged)?;
    let format: u32 = format.parse().map_err(|_| damaged())?;
    let (klto, job) = match rest.split_once(", job ") {
        Some((klto, job)) => (klto, Some(job)),
        None => (rest, None),
    };
    if format != FORMAT {
        let klto = klto.to_owned();
        return Err(BadFacts::OtherFormat { format, klto });
    }
    Ok((job.ok_or_else(damaged)?, &bytes[line + 1..]))
}

/// The facts in the content of the frame, whose checksum holds.
///
/// # Errors
/// Why there are none.
pub fn parse(content: &[u8]) -> Result<Facts, String> {
    let (facts, rest) = postcard::take_from_bytes::<Facts>(content).map_err(|e| e.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes follow the facts", rest.len()));
    }
    facts.check_names()?;
    Ok(facts)
}

#[cfg(test)]
pub(super) mod tests;
