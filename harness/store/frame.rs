//! Frames of zstd with a checksum, read with limits: what klto keeps may have been damaged, or come
//! from another machine.

use std::io::{self, Read as _, Write};

/// What a frame may need.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How far back the compressor looks, as a power of two; the reader keeps as much in memory.
    pub window: u32,
    /// Bytes of the content.
    pub largest: u64,
}

/// Appends a frame to `to`, with what `write` writes: `length` bytes, if that is known, for which
/// the compressor takes no more memory than they need.
///
/// # Errors
/// If `write` fails or writes another number of bytes, or there is no memory.
pub fn seal<W: Write>(
    to: W,
    level: i32,
    limits: Limits,
    length: Option<usize>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<W> {
    let mut encoder = zstd::Encoder::new(to, level)?;
    encoder.include_checksum(true)?;
    encoder.window_log(limits.window)?;
    encoder.set_pledged_src_size(length.map(|bytes| bytes as u64))?;
    write(&mut encoder)?;
    encoder.finish()
}

/// What is in a frame. The length that it claims is ignored: memory grows with what is there.
///
/// # Errors
/// [`io::ErrorKind::UnexpectedEof`] if it is cut off; if it is damaged, has more than the limits
/// allow, or something follows it.
pub fn unseal(frame: &[u8], limits: Limits) -> io::Result<Vec<u8>> {
    let mut decoder = zstd::Decoder::with_buffer(frame)?.single_frame();
    decoder.window_log_max(limits.window)?;
    let mut content = Vec::new();
    (&mut decoder)
        .take(limits.largest + 1)
        .read_to_end(&mut content)?;
    if content.len() as u64 > limits.largest {
        return Err(io::Error::other("it contains more than klto ever writes"));
    }
    match decoder.finish().len() {
        0 => Ok(content),
        more => Err(io::Error::other(format!("{more} bytes follow its end"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_as_long_as_the_limit_is_read_and_a_byte_more_is_not() {
        let limits = |largest| Limits {
            window: 20,
            largest,
        };
        let content = [7; 1000];
        let frame = seal(Vec::new(), 3, limits(0), Some(content.len()), |to| {
            to.write_all(&content)
        });
        let frame = frame.unwrap();
        assert_eq!(unseal(&frame, limits(1000)).unwrap(), content);
        let error = unseal(&frame, limits(999)).unwrap_err();
        assert_eq!(error.to_string(), "it contains more than klto ever writes");
    }
}
