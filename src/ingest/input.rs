//! Bytes of a source: a file or standard input, through gzip where it begins so, without a byte order mark, counted on
//! the way, and in lines of bounded length. What the bytes mean is left to the readers.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::{Rejected, Source};
use crate::error::{Error, Result};

/// The longest row of a text format, in bytes. The largest valid item fits; a file without line ends does not fill
/// the memory.
pub(super) const MAX_ROW_BYTES: usize = 16 << 20;
/// How much of a bad row is kept for the rejects file, in bytes.
pub(super) const MAX_REJECT_BYTES: usize = 64 << 10;
const BUFFER_BYTES: usize = 256 << 10;
/// How much is looked at to tell what a file is.
const HEAD_BYTES: u64 = 64 << 10;

/// A source's bytes with its name for messages.
pub(super) struct Input {
    pub reader: Box<dyn BufRead + Send>,
    pub path: PathBuf,
}

/// Opens the bytes of a source; `meter` counts them as they are read from the disk.
pub(super) fn open(source: &Source, meter: &Meter) -> Result<Input> {
    let path = source.path.clone();
    let raw: Box<dyn Read + Send> = if source.is_stdin() { Box::new(io::stdin()) } else { open_file(&path, meter)? };
    through(Counted { inner: raw, meter: meter.clone() }, path)
}

/// The text behind some bytes.
pub(super) fn through(raw: impl Read + Send + 'static, path: PathBuf) -> Result<Input> {
    let (head, bytes) = peek(raw).map_err(Error::io(&path))?;
    if !head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Input { reader: as_text(&head, bytes, &path)?, path });
    }
    let (head, bytes) = peek(MultiGzDecoder::new(bytes)).map_err(Error::io(&path))?;
    Ok(Input { reader: as_text(&head, bytes, &path)?, path })
}

fn open_file(path: &Path, meter: &Meter) -> Result<Box<dyn Read + Send>> {
    let file = File::open(path).map_err(Error::io(path))?;
    let metadata = file.metadata().map_err(Error::io(path))?;
    if metadata.is_dir() {
        return Err(Error::invalid("path", format!("{} is a directory, expected a file", path.display())));
    }
    meter.set_total(metadata.len());
    Ok(Box::new(file))
}

type Peeked<R> = BufReader<io::Chain<Cursor<Vec<u8>>, R>>;

/// The first bytes, and all bytes. The first buffer that the reader then gives holds at least these.
fn peek<R: Read>(mut reader: R) -> io::Result<(Vec<u8>, Peeked<R>)> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD_BYTES).read_to_end(&mut head)?;
    let all = Cursor::new(head.clone()).chain(reader);
    Ok((head, BufReader::with_capacity(BUFFER_BYTES, all)))
}

/// The bytes after a byte order mark; an error for what begins like something that is no UTF-8 text.
fn as_text(head: &[u8], mut bytes: impl BufRead + Send + 'static, path: &Path) -> Result<Box<dyn BufRead + Send>> {
    let other = match head {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Some("UTF-16 text; convert it to UTF-8, as with iconv"),
        [b'P', b'K', 3, 4, ..] => Some("a zip archive or a spreadsheet; unpack it, or save it as CSV"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("compressed by zstd; unpack it, or pipe it in from zstdcat"),
        [b'P', b'A', b'R', b'1', ..] => Some("Parquet; give --format parquet"),
        _ => None,
    };
    if let Some(other) = other {
        return Err(Error::invalid("format", format!("{} is {other}", path.display())));
    }
    if head.starts_with(&[0xef, 0xbb, 0xbf]) {
        bytes.read_exact(&mut [0; 3]).map_err(Error::io(path))?;
    }
    Ok(Box::new(bytes))
}

/// What a call of [`Input::line`] found.
pub(super) enum Line {
    /// The buffer holds the line, without its end.
    Whole,
    /// The line is longer than [`MAX_ROW_BYTES`]; the buffer holds its beginning, the rest is skipped.
    TooLong,
    /// There are no more lines.
    End,
}

impl Input {
    /// Reads the next line into the buffer, in bounded memory whatever the line's length.
    pub fn line(&mut self, buffer: &mut Vec<u8>) -> Result<Line> {
        buffer.clear();
        let limit = MAX_ROW_BYTES as u64 + 1;
        let read = self.reader.by_ref().take(limit).read_until(b'\n', buffer).map_err(Error::io(&self.path))?;
        if buffer.last() == Some(&b'\n') {
            buffer.pop();
            if buffer.last() == Some(&b'\r') {
                buffer.pop();
            }
        } else if read > MAX_ROW_BYTES {
            self.reader.skip_until(b'\n').map_err(Error::io(&self.path))?;
            return Ok(Line::TooLong);
        }
        Ok(if read == 0 { Line::End } else { Line::Whole })
    }
}

/// A row longer than [`MAX_ROW_BYTES`] as a rejected row; `hint` adds what may be the cause.
pub(super) fn too_long(line: u64, beginning: &[u8], hint: &str) -> Rejected {
    let reason = format!("is longer than {} MiB{hint}", MAX_ROW_BYTES >> 20);
    Rejected { line, field: "row".into(), reason, row: excerpt(beginning) }
}

/// The row as the rejects file can show it: at most [`MAX_REJECT_BYTES`] of it, as text.
pub(super) fn excerpt(row: &[u8]) -> String {
    String::from_utf8_lossy(row.get(..MAX_REJECT_BYTES).unwrap_or(row)).into_owned()
}

/// Counts bytes on one thread, tells them on another.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Arc<[AtomicU64; 2]>);

impl Meter {
    /// Bytes until now.
    pub fn done(&self) -> u64 {
        self.0[0].load(Ordering::Relaxed)
    }

    /// Bytes in all, if known.
    pub fn total(&self) -> Option<u64> {
        // One more than the size is kept, so that an empty file differs from an unknown size.
        self.0[1].load(Ordering::Relaxed).checked_sub(1)
    }

    pub fn advance(&self, bytes: u64) {
        self.0[0].fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn set_total(&self, bytes: u64) {
        self.0[1].store(bytes.saturating_add(1), Ordering::Relaxed);
    }
}

struct Counted<R> {
    inner: R,
    meter: Meter,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.meter.advance(read as u64);
        Ok(read)
    }
}
