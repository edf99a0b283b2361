//! Bytes of state files: `<version>.delta`, `<version>.snapshot` and `<version>.<n>.part`.
//!
//! One container for all (all integers little-endian); `docs/formats/state.md` is the normative text:
//!
//! ```text
//!   0  magic "MSST"            4  format version u16     6  kind u8 (1 delta, 2 snapshot, 3 part)   7  flags u8
//!   8  state version u64      16  lineage u64           24  operator id u32                28  partition u32
//!  32  key fingerprint u64    40  value fingerprint u64 48  store name crc u32             52  event-time column i32
//!  56  evicted through i64    64  upsert rows u64       72  tombstone rows u64             80  upsert bytes u64
//!  88  tombstone bytes u64
//!      format 2 only:         96  parts u32            100  part u32                     104  digest of the parts u64
//!   …  upserts: Arrow IPC stream, key then value columns
//!   …  tombstones: Arrow IPC stream, key columns (absent when there are none)
//!   …  crc32 of everything before
//! ```
//!
//! A snapshot that is too large for one file is cut into parts: all but the last piece are `.part` files, written first;
//! the last piece is the `.snapshot` file itself, which counts the parts and carries a digest of their checksums. So a
//! snapshot is there when its `.snapshot` is, and parts of different runs never mix. Only such files need format 2;
//! everything else is written as format 1.
//!
//! The *lineage* chains files: a version's lineage is a digest of its predecessor's lineage and its
//! delta's checksum. A delta carries its predecessor's lineage, a snapshot its own version's. So a delta
//! or snapshot that was left over by another history of the query (a re-run whose rows differ, files
//! restored from elsewhere) is told from the right one, even though its name fits.
//!
//! A file is whole or absent (the durable layer's promise), so damage is either a broken disk or a hand:
//! anything that does not check is refused with what does not fit, and never guessed at.
use std::{io::Cursor, sync::Arc};

use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
    error::ArrowError,
    ipc::{
        CompressionType,
        reader::StreamReader,
        writer::{IpcWriteOptions, StreamWriter},
    },
};
use bytes::Bytes;

use crate::{
    StateStoreId,
    log::Changes,
    schema::{StorageSchema, fingerprint},
};

/// Newest format that this release reads.
pub(crate) const FORMAT_VERSION: u16 = 2;
/// Written unless a snapshot has parts, so that older releases read as much as they can.
const PLAIN_FORMAT: u16 = 1;

const MAGIC: [u8; 4] = *b"MSST";
const HEADER_BYTES: usize = 96;
/// What format 2 adds to the header.
const PARTS_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 4;
const FLAG_EVICTED: u8 = 1;
/// Sections smaller than this are not compressed: a page is written anyway, and latency counts.
const COMPRESS_FROM_BYTES: usize = 8 << 10;

/// How sections are compressed. Readers take any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StateCompression {
    /// Not at all.
    None,
    /// LZ4 frames: fastest, about three times the size of zstd for counters. Spark's default as well.
    #[default]
    Lz4,
    /// Zstandard.
    Zstd,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// The changes of one version.
    Delta,
    /// A whole version, or the last piece of one.
    Snapshot,
    /// A piece of a version, counted from 1.
    Part(u32),
}

impl FileKind {
    /// The name of the file that holds `version`.
    pub(crate) fn file_name(self, version: u64) -> String {
        match self {
            FileKind::Delta => format!("{version}.delta"),
            FileKind::Snapshot => format!("{version}.snapshot"),
            FileKind::Part(part) => format!("{version}.{part}.part"),
        }
    }

    /// `17.delta` is version 17's delta; `None` for files that are not state.
    pub(crate) fn parse_name(name: &str) -> Option<(u64, Self)> {
        let (version, rest) = name.split_once('.')?;
        let kind = match rest.split_once('.') {
            None if rest == "delta" => FileKind::Delta,
            None if rest == "snapshot" => FileKind::Snapshot,
            Some((part, "part")) => FileKind::Part(part.parse().ok()?),
            _ => return None,
        };
        Some((version.parse().ok()?, kind))
    }

    fn code(self) -> u8 {
        match self {
            FileKind::Delta => 1,
            FileKind::Snapshot => 2,
            FileKind::Part(_) => 3,
        }
    }
}

/// Digest of a store's history up to a version; 0 for version 0.
pub(crate) type Lineage = u64;

/// The lineage of a version from its predecessor's and the checksum of its delta.
pub(crate) fn next_lineage(predecessor: Lineage, delta_checksum: u32) -> Lineage {
    // splitmix64's finalizer over both inputs.
    let mut x = predecessor.rotate_left(25) ^ u64::from(delta_checksum) ^ 0x9e37_79b9_7f4a_7c15;
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// How a snapshot is cut into files; the default is not at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Parts {
    /// In a snapshot: how many parts precede it.
    pub(crate) count: u32,
    /// In a snapshot: [`next_lineage`] folded over the parts' checksums, in order.
    pub(crate) digest: u64,
}

/// An encoded file.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) bytes: Bytes,
    pub(crate) checksum: u32,
}

/// A decoded file.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// Of the predecessor in a delta, of the version itself in a snapshot.
    pub(crate) lineage: Lineage,
    pub(crate) checksum: u32,
    pub(crate) parts: Parts,
    pub(crate) event_time: Option<usize>,
    pub(crate) evicted_through: Option<i64>,
    /// Key then value columns under the names they were stored with.
    pub(crate) entry_schema: SchemaRef,
    pub(crate) key_columns: usize,
    pub(crate) upserts: Vec<RecordBatch>,
    pub(crate) tombstones: Vec<RecordBatch>,
}

/// Why bytes are not the file that was asked for.
#[derive(Debug)]
pub(crate) enum FormatError {
    /// Damaged, or another file.
    Corrupt(String),
    /// Written by a newer release.
    Unsupported(u16),
}

fn corrupt<T>(reason: impl Into<String>) -> Result<T, FormatError> {
    Err(FormatError::Corrupt(reason.into()))
}

/// Content of a file about to be written.
pub(crate) struct Content<'a> {
    pub(crate) kind: FileKind,
    pub(crate) version: u64,
    pub(crate) lineage: Lineage,
    pub(crate) parts: Parts,
    pub(crate) evicted_through: Option<i64>,
    pub(crate) upserts: &'a [RecordBatch],
    pub(crate) tombstones: &'a RecordBatch,
}

impl<'a> Content<'a> {
    /// A delta: what `changes` does to the version before `version`.
    pub(crate) fn delta(version: u64, predecessor: Lineage, changes: &'a Changes) -> Self {
        Self {
            kind: FileKind::Delta,
            version,
            lineage: predecessor,
            parts: Parts::default(),
            evicted_through: changes.evicted_through,
            upserts: std::slice::from_ref(&changes.upserts),
            tombstones: &changes.tombstones,
        }
    }
}

/// Encodes a file.
pub(crate) fn encode(
    id: &StateStoreId,
    schema: &StorageSchema,
    content: &Content<'_>,
    compression: StateCompression,
) -> Result<Encoded, ArrowError> {
    let part = match content.kind {
        FileKind::Part(part) => part,
        FileKind::Delta | FileKind::Snapshot => 0,
    };
    let plain = part == 0 && content.parts == Parts::default();
    let header_bytes = HEADER_BYTES + if plain { 0 } else { PARTS_BYTES };
    let mut file = vec![0; header_bytes];
    write_stream(&mut file, &schema.entry, content.upserts, compression)?;
    let upsert_bytes = file.len() - header_bytes;
    if content.tombstones.num_rows() > 0 {
        let keys = std::slice::from_ref(content.tombstones);
        write_stream(&mut file, &schema.key, keys, compression)?;
    }
    let tombstone_bytes = file.len() - header_bytes - upsert_bytes;

    let mut header = Vec::with_capacity(header_bytes);
    let event_time = schema
        .asked
        .event_time
        .and_then(|column| i32::try_from(column).ok());
    let upsert_rows: usize = content.upserts.iter().map(RecordBatch::num_rows).sum();
    header.extend(MAGIC);
    let format = if plain { PLAIN_FORMAT } else { FORMAT_VERSION };
    header.extend(format.to_le_bytes());
    header.push(content.kind.code());
    header.push(if content.evicted_through.is_some() {
        FLAG_EVICTED
    } else {
        0
    });
    header.extend(content.version.to_le_bytes());
    header.extend(content.lineage.to_le_bytes());
    header.extend(id.operator_id.to_le_bytes());
    header.extend(id.partition.to_le_bytes());
    header.extend(schema.key_fingerprint.to_le_bytes());
    header.extend(schema.value_fingerprint.to_le_bytes());
    header.extend(crc32fast::hash(id.store_name.as_bytes()).to_le_bytes());
    header.extend(event_time.unwrap_or(-1).to_le_bytes());
    header.extend(content.evicted_through.unwrap_or(0).to_le_bytes());
    header.extend((upsert_rows as u64).to_le_bytes());
    header.extend((content.tombstones.num_rows() as u64).to_le_bytes());
    header.extend((upsert_bytes as u64).to_le_bytes());
    header.extend((tombstone_bytes as u64).to_le_bytes());
    if !plain {
        header.extend(content.parts.count.to_le_bytes());
        header.extend(part.to_le_bytes());
        header.extend(content.parts.digest.to_le_bytes());
    }
    file.splice(..header_bytes, header);

    let checksum = crc32fast::hash(&file);
    file.extend(checksum.to_le_bytes());
    Ok(Encoded {
        bytes: file.into(),
        checksum,
    })
}

fn write_stream(
    out: &mut Vec<u8>,
    schema: &Schema,
    batches: &[RecordBatch],
    compression: StateCompression,
) -> Result<(), ArrowError> {
    let bytes: usize = batches
        .iter()
        .flat_map(RecordBatch::columns)
        .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
        .sum();
    let codec = match compression {
        _ if bytes < COMPRESS_FROM_BYTES => None,
        StateCompression::None => None,
        StateCompression::Lz4 => Some(CompressionType::LZ4_FRAME),
        StateCompression::Zstd => Some(CompressionType::ZSTD),
    };
    let options = IpcWriteOptions::default().try_with_compression(codec)?;
    let mut writer = StreamWriter::try_new_with_options(&mut *out, schema, options)?;
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        writer.write(batch)?;
    }
    writer.finish()
}

/// Little-endian integers from the front of a slice.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let Some((field, rest)) = self.0.split_first_chunk::<N>() else {
            return corrupt("the header is truncated");
        };
        self.0 = rest;
        Ok(*field)
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, FormatError> {
        self.take().map(u64::from_le_bytes)
    }

    /// What format 2 adds: how many parts there are, and which one this is.
    fn parts(&mut self) -> Result<(Parts, u32), FormatError> {
        let (count, part) = (self.u32()?, self.u32()?);
        let digest = self.u64()?;
        Ok((Parts { count, digest }, part))
    }

    fn length(&mut self) -> Result<usize, FormatError> {
        let length = self.u64()?;
        usize::try_from(length).or_else(|_| corrupt(format!("a section of {length} bytes")))
    }
}

/// Decodes and verifies the file that should be `version` of store `id`.
pub(crate) fn decode(
    bytes: &[u8],
    kind: FileKind,
    version: u64,
    id: &StateStoreId,
) -> Result<Decoded, FormatError> {
    let Some((body, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return corrupt(format!("{} bytes are too few", bytes.len()));
    };
    let mut header = Fields(body);
    let (magic, format) = (header.take::<4>()?, u16::from_le_bytes(header.take()?));
    if magic != MAGIC {
        return corrupt("it is not a state file");
    }
    if format > FORMAT_VERSION {
        return Err(FormatError::Unsupported(format));
    }
    let checksum = u32::from_le_bytes(*checksum);
    if crc32fast::hash(body) != checksum {
        return corrupt(format!(
            "the checksum of its {} bytes does not match",
            bytes.len()
        ));
    }
    let [kind_code, flags] = header.take()?;
    let found_version = header.u64()?;
    let lineage = header.u64()?;
    let (operator_id, partition) = (header.u32()?, header.u32()?);
    let (key_fingerprint, value_fingerprint) = (header.u64()?, header.u64()?);
    let store_crc = header.u32()?;
    let event_time = i32::from_le_bytes(header.take()?);
    let evicted_through = i64::from_le_bytes(header.take()?);
    let (upsert_rows, tombstone_rows) = (header.u64()?, header.u64()?);
    let (upsert_bytes, tombstone_bytes) = (header.length()?, header.length()?);
    let (parts, part) = match format > PLAIN_FORMAT {
        true => header.parts()?,
        false => Default::default(),
    };

    if kind_code != kind.code() || found_version != version {
        return corrupt(format!(
            "it holds version {found_version}, kind {kind_code}"
        ));
    }
    if matches!(kind, FileKind::Part(expected) if expected != part) {
        return corrupt(format!("it holds part {part}"));
    }
    if (operator_id, partition) != (id.operator_id, id.partition)
        || store_crc != crc32fast::hash(id.store_name.as_bytes())
    {
        return corrupt(format!(
            "it belongs to another store (operator {operator_id}, partition {partition})"
        ));
    }
    let sections = header.0;
    if upsert_bytes.checked_add(tombstone_bytes) != Some(sections.len()) {
        return corrupt("its sections do not add up to its length");
    }
    let (upserts, tombstones) = sections.split_at(upsert_bytes);
    let (entry_schema, upserts) = read_stream(upserts, upsert_rows)?;
    let (key_schema, tombstones) = match tombstones.is_empty() {
        true => (None, Vec::new()),
        false => {
            read_stream(tombstones, tombstone_rows).map(|(schema, rows)| (Some(schema), rows))?
        }
    };
    let decoded = Decoded {
        lineage,
        checksum,
        parts,
        event_time: usize::try_from(event_time).ok(),
        evicted_through: (flags & FLAG_EVICTED != 0).then_some(evicted_through),
        key_columns: key_columns(&entry_schema, key_fingerprint, value_fingerprint)?,
        entry_schema,
        upserts,
        tombstones,
    };
    if key_schema.is_some_and(|schema| fingerprint(&schema) != key_fingerprint) {
        return corrupt("its tombstones have other columns than its key");
    }
    Ok(decoded)
}

/// Where the key columns end: the split whose two sides have the recorded fingerprints.
fn key_columns(entry: &Schema, key: u64, value: u64) -> Result<usize, FormatError> {
    let side = |range: std::ops::Range<usize>| {
        let fields: Vec<_> = entry
            .fields()
            .iter()
            .take(range.end)
            .skip(range.start)
            .cloned()
            .collect();
        fingerprint(&Schema::new(fields))
    };
    let columns = entry.fields().len();
    match (0..=columns).find(|at| side(0..*at) == key && side(*at..columns) == value) {
        Some(at) => Ok(at),
        None => corrupt("its columns do not have the recorded types"),
    }
}

fn read_stream(bytes: &[u8], rows: u64) -> Result<(SchemaRef, Vec<RecordBatch>), FormatError> {
    let read = || -> Result<_, ArrowError> {
        let reader = StreamReader::try_new(Cursor::new(bytes), None)?;
        let schema = reader.schema();
        Ok((schema, reader.collect::<Result<Vec<_>, _>>()?))
    };
    let (schema, batches) = match read() {
        Ok(read) => read,
        Err(error) => return corrupt(error.to_string()),
    };
    let found: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if found as u64 != rows {
        return corrupt(format!("a section has {found} rows instead of {rows}"));
    }
    Ok((schema, batches))
}

impl Decoded {
    /// Schemas of the stored key and value.
    pub(crate) fn schemas(&self) -> (Schema, Schema) {
        let fields = self.entry_schema.fields();
        let take = |range: &[Arc<arrow::datatypes::Field>]| Schema::new(range.to_vec());
        let (key, value) = fields.split_at(self.key_columns.min(fields.len()));
        (take(key), take(value))
    }
}
