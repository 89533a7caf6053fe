//! How much the pages of a column may unpack to, before any of them is unpacked. A page says its size in a small header in
//! front of it (Thrift's compact protocol); some decompressors believe it, and some do not look at it at all. So a few bytes
//! could become gigabytes. Here the headers are read alone: a page that claims too much is refused, and where the
//! decompressor does not look (gzip), what the page really unpacks to is counted.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, get_column_reader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::properties::ReaderProperties;
use parquet::file::reader::{ChunkReader, RowGroupReader};
use parquet::file::serialized_reader::{ReadOptions, ReadOptionsBuilder};

/// The largest page, unpacked. Writers make pages of a megabyte, some of a hundred.
const MAX_PAGE_BYTES: i64 = 256 << 20;
/// So many values a page may have that take no space in it: repeated ones are counted, not stored.
const MAX_FREE_VALUES: i64 = 1 << 20;
/// Structs inside structs.
const MAX_DEPTH: usize = 16;

/// Checks the pages of a column chunk. Errors name what a page claims.
fn check<R: ChunkReader>(file: &R, column: &ColumnChunkMetaData) -> Result<()> {
    let (start, length) = column.byte_range();
    let end = start.checked_add(length).ok_or_else(|| refused("a column that ends beyond any file"))?;
    let mut at = start;
    while at < end {
        let mut source = Counted { inner: file.get_read(at)?.take(end - at), read: 0 };
        let header =
            Header::read(&mut source).map_err(|error| refused(&format!("a page header that is none: {error}")))?;
        let body = at.saturating_add(source.read);
        let Header { unpacked, packed, values, levels } = header;
        let (Ok(packed), Ok(levels)) = (u64::try_from(packed), u64::try_from(levels)) else {
            return Err(refused("a page of less than no bytes"));
        };
        if !(0..=MAX_PAGE_BYTES).contains(&unpacked) {
            return Err(refused(&format!("a page of {unpacked} bytes, at most {MAX_PAGE_BYTES} are read")));
        }
        if values > MAX_FREE_VALUES.max(unpacked.saturating_mul(8)) {
            return Err(refused(&format!("a page of {values} values in {unpacked} bytes")));
        }
        if matches!(column.compression(), Compression::GZIP(_)) {
            let page = file.get_read(body.saturating_add(levels))?.take(packed.saturating_sub(levels));
            let most = unpacked.unsigned_abs() + 1;
            let found = io::copy(&mut MultiGzDecoder::new(page).take(most), &mut io::sink());
            if found.is_ok_and(|found| found >= most) {
                return Err(refused(&format!("a page that unpacks to more than the {unpacked} bytes that it claims")));
            }
        }
        at = body.saturating_add(packed);
    }
    Ok(())
}

fn refused(what: &str) -> ParquetError {
    ParquetError::General(format!("the file has {what}"))
}

/// Reads a column of a row group of `file` whose pages have been checked. `budget` is to be renewed before each batch.
pub fn column<R: ChunkReader>(
    file: &R,
    group: &dyn RowGroupReader,
    leaf: usize,
    budget: &Arc<Budget>,
) -> Result<ColumnReader> {
    let described = group.metadata().column(leaf);
    check(file, described)?;
    let pages = Bounded { inner: group.get_column_page_reader(leaf)?, budget: Arc::clone(budget) };
    Ok(get_column_reader(described.column_descr_ptr(), Box::new(pages)))
}

/// How files are opened: an old form of LZ4 is unpacked without a bound, and so not at all.
pub fn options() -> ReadOptions {
    let properties = ReaderProperties::builder().set_backward_compatible_lz4(false).build();
    ReadOptionsBuilder::new().with_reader_properties(properties).build()
}

/// Passes pages on until a row has more values than any record may have. Rows may go on from page to page.
struct Bounded {
    inner: Box<dyn PageReader>,
    budget: Arc<Budget>,
}

/// Values that may still come before the rows that are being read are too long.
#[derive(Default)]
pub struct Budget(AtomicU64);

impl Budget {
    /// Begins a batch.
    pub fn renew(&self) {
        self.0.store(MOST_IN_BATCH, Ordering::Relaxed);
    }

    fn take(&self, values: u64) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(values)).is_ok()
    }
}

/// Values in the pages that a batch of rows asks for: a thousand of the longest vectors, and what stands before and behind
/// them in their pages.
const MOST_IN_BATCH: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };

impl PageReader for Bounded {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.inner.get_next_page()?;
        match &page {
            Some(page) if page.is_data_page() && !self.budget.take(page.num_values().into()) => {
                Err(refused(&format!("rows of more than {MOST_IN_BATCH} values")))
            }
            _ => Ok(page),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.inner.skip_next_page()
    }
}

impl Iterator for Bounded {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// What a page says of itself.
#[derive(Default)]
struct Header {
    unpacked: i64,
    packed: i64,
    values: i64,
    /// Bytes in front that are never packed: levels, in a page of the second version.
    levels: i64,
}

struct Counted<R> {
    inner: R,
    read: u64,
}

impl<R: Read> Counted<R> {
    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        self.inner.read_exact(&mut byte)?;
        self.read += 1;
        let [byte] = byte;
        Ok(byte)
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(io::Error::other("a number without an end"))
    }

    fn signed(&mut self) -> io::Result<i64> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.inner.by_ref().take(bytes), &mut io::sink())?;
        self.read += skipped;
        if skipped == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// The fields of a struct: `f` reads the value of a field of this number and type, or says that it did not.
    fn fields(&mut self, f: &mut dyn FnMut(&mut Self, i64, u8) -> io::Result<bool>, depth: usize) -> io::Result<()> {
        let mut last = 0i64;
        loop {
            let head = self.byte()?;
            if head == 0 {
                return Ok(());
            }
            let field = match head >> 4 {
                0 => self.signed()?,
                step => last.saturating_add(step.into()),
            };
            last = field;
            if !f(self, field, head & 0x0f)? {
                self.pass(head & 0x0f, depth)?;
            }
        }
    }

    /// Passes over a value.
    fn pass(&mut self, kind: u8, depth: usize) -> io::Result<()> {
        if depth == MAX_DEPTH {
            return Err(io::Error::other("structs without an end"));
        }
        match kind {
            1 | 2 => Ok(()),
            3 => self.skip(1),
            4..=6 => self.number().map(drop),
            7 => self.skip(8),
            8 => {
                let length = self.number()?;
                self.skip(length)
            }
            12 => self.fields(&mut |_, _, _| Ok(false), depth + 1),
            _ => Err(io::Error::other("a field of a kind that no page has")),
        }
    }
}

impl Header {
    fn read<R: Read>(from: &mut Counted<R>) -> io::Result<Self> {
        let mut header = Self::default();
        from.fields(
            &mut |from, field, kind| {
                match (field, kind) {
                    (2, 5) => header.unpacked = from.signed()?,
                    (3, 5) => header.packed = from.signed()?,
                    // The header of a data page, of a dictionary, or of a data page of the second version.
                    (5 | 7 | 8, 12) => {
                        let (values, levels) = (&mut header.values, &mut header.levels);
                        let read = &mut |from: &mut Counted<R>, inner, kind| {
                            match (field, inner, kind) {
                                (_, 1, 5) => *values = from.signed()?,
                                (8, 5 | 6, 5) => *levels = levels.saturating_add(from.signed()?),
                                _ => return Ok(false),
                            }
                            Ok(true)
                        };
                        from.fields(read, 1)?;
                    }
                    _ => return Ok(false),
                }
                Ok(true)
            },
            0,
        )?;
        Ok(header)
    }
}
