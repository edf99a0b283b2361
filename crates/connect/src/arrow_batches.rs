//! Query results as the client reads them: `ArrowBatch` responses.
//!
//! Each carries one record batch as a complete Arrow IPC stream (schema, batch, end of stream), the number of its
//! rows and the row it starts at. The client acknowledges every response with a call of its own, so small batches
//! are joined and large ones cut, to about [`TARGET_BYTES`]; there is at least one batch, even if it has no rows,
//! because that is where the client learns the columns from. A single row may still be larger than a message should
//! be; if the client allows it, such a batch travels in chunks.
//!
//! Clients know Arrow's plain layouts only: views, dictionaries and 64-bit offsets, which are for the engine's own
//! use, are turned into them here.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    compute::{cast, concat_batches},
    datatypes::{DataType, Field, Fields, Schema, SchemaRef},
    error::ArrowError,
    ipc::writer::StreamWriter,
};
use bytes::Bytes;
use spark_connect_proto::{ResultChunkingOptions, execute_plan_response::ArrowBatch};

/// Bytes of rows that one response aims at: gRPC clients that do not say otherwise take messages of 4 MiB, and the
/// size before encoding is an estimate.
const TARGET_BYTES: usize = (4 << 20) * 7 / 10;

/// Bounds of the chunk size that a client may prefer.
const CHUNK_BYTES: std::ops::RangeInclusive<usize> = 1024..=64 << 20;

/// Turns record batches into responses.
#[derive(Debug)]
pub struct ArrowBatches {
    schema: SchemaRef,
    chunk_bytes: Option<usize>,

    held: Vec<RecordBatch>,
    held_bytes: usize,
    rows_sent: i64,
    any_sent: bool,
}

impl ArrowBatches {
    /// For rows of `schema`; `chunking` is what the client allows.
    pub fn new(schema: &Schema, chunking: Option<&ResultChunkingOptions>) -> Self {
        let chunk_bytes = chunking
            .filter(|options| options.allow_arrow_batch_chunking)
            .map(|options| {
                let preferred = options
                    .preferred_arrow_chunk_size
                    .and_then(|bytes| usize::try_from(bytes).ok());
                preferred
                    .unwrap_or(TARGET_BYTES)
                    .clamp(*CHUNK_BYTES.start(), *CHUNK_BYTES.end())
            });
        let schema = Arc::new(Schema::new(client_fields(schema.fields())));
        Self {
            schema,
            chunk_bytes,
            held: vec![],
            held_bytes: 0,
            rows_sent: 0,
            any_sent: false,
        }
    }

    /// Takes a batch; the responses that are due.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<Vec<ArrowBatch>, ArrowError> {
        let batch = self.to_client(batch)?;
        let mut due = vec![];
        for part in split(&batch) {
            let bytes = sliced_bytes(&part);
            if !self.held.is_empty() && self.held_bytes + bytes > TARGET_BYTES {
                due.extend(self.flush()?);
            }
            self.held_bytes += bytes;
            self.held.push(part);
        }
        if self.held_bytes >= TARGET_BYTES {
            due.extend(self.flush()?);
        }
        Ok(due)
    }

    /// The responses that remain at the end of the result.
    pub fn finish(mut self) -> Result<Vec<ArrowBatch>, ArrowError> {
        if self.held.is_empty() && self.any_sent {
            return Ok(vec![]);
        }
        self.flush()
    }

    fn flush(&mut self) -> Result<Vec<ArrowBatch>, ArrowError> {
        let held = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        self.any_sent = true;
        let batch = match held.as_slice() {
            [] => RecordBatch::new_empty(Arc::clone(&self.schema)),
            [one] => one.clone(),
            several => concat_batches(&self.schema, several)?,
        };
        let data = ipc_stream(&batch)?;
        let row_count = i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
        let start_offset = self.rows_sent;
        self.rows_sent += row_count;
        let Some(chunk_bytes) = self.chunk_bytes else {
            return Ok(vec![ArrowBatch {
                row_count,
                data,
                start_offset: Some(start_offset),
                ..Default::default()
            }]);
        };
        let chunks = data.len().div_ceil(chunk_bytes).max(1);
        let chunk = |index: usize| {
            let start = index * chunk_bytes;
            ArrowBatch {
                row_count,
                data: data.slice(start..data.len().min(start + chunk_bytes)),
                start_offset: Some(start_offset),
                chunk_index: i64::try_from(index).ok(),
                num_chunks_in_batch: i64::try_from(chunks).ok(),
            }
        };
        Ok((0..chunks).map(chunk).collect())
    }

    fn to_client(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = batch.columns().iter().zip(self.schema.fields());
        let columns: Result<Vec<ArrayRef>, ArrowError> = columns
            .map(
                |(column, field)| match column.data_type() == field.data_type() {
                    true => Ok(Arc::clone(column)),
                    false => cast(column, field.data_type()),
                },
            )
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns?, &options)
    }
}

/// One record batch as a complete Arrow IPC stream.
pub fn ipc_stream(batch: &RecordBatch) -> Result<Bytes, ArrowError> {
    let mut bytes = Vec::with_capacity(sliced_bytes(batch) + 1024);
    let mut writer = StreamWriter::try_new(&mut bytes, batch.schema_ref())?;
    writer.write(batch)?;
    writer.finish()?;
    drop(writer);
    Ok(bytes.into())
}

/// Cuts a batch by rows so that each part is about as large as a response should be.
fn split(batch: &RecordBatch) -> Vec<RecordBatch> {
    let (rows, bytes) = (batch.num_rows(), sliced_bytes(batch));
    if bytes <= TARGET_BYTES || rows <= 1 {
        return vec![batch.clone()];
    }
    let rows_per_part = (rows * TARGET_BYTES / bytes).max(1);
    (0..rows)
        .step_by(rows_per_part)
        .map(|start| batch.slice(start, rows_per_part.min(rows - start)))
        .collect()
}

/// Bytes that the rows of a batch take, which may be a slice of larger buffers.
fn sliced_bytes(batch: &RecordBatch) -> usize {
    let column = |array: &ArrayRef| {
        array
            .to_data()
            .get_slice_memory_size()
            .unwrap_or_else(|_| array.get_array_memory_size())
    };
    batch.columns().iter().map(column).sum()
}

fn client_fields(fields: &Fields) -> Fields {
    fields.iter().map(|field| client_field(field)).collect()
}

fn client_field(field: &Field) -> Field {
    field.clone().with_data_type(client_type(field.data_type()))
}

/// The type as which clients get a column.
fn client_type(data_type: &DataType) -> DataType {
    let element = |field: &Arc<Field>| Arc::new(client_field(field));
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => client_type(value),
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::ListView(field)
        | DataType::LargeListView(field)
        | DataType::FixedSizeList(field, _) => DataType::List(element(field)),
        DataType::Map(field, sorted) => DataType::Map(element(field), *sorted),
        DataType::Struct(fields) => DataType::Struct(client_fields(fields)),
        plain => plain.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Array, DictionaryArray, Int64Array, StringArray, StringViewArray},
        datatypes::Int32Type,
        ipc::reader::StreamReader,
    };

    use super::*;

    fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
        RecordBatch::try_from_iter([(
            "n",
            Arc::new(Int64Array::from_iter_values(range)) as ArrayRef,
        )])
        .unwrap()
    }

    /// Reads responses as the client does: chunks joined, offsets and row counts checked.
    fn read(responses: &[ArrowBatch]) -> Vec<RecordBatch> {
        let (mut batches, mut rows, mut joined) = (vec![], 0, vec![]);
        for response in responses {
            joined.extend_from_slice(&response.data);
            if response.chunk_index.unwrap_or(0) + 1 < response.num_chunks_in_batch.unwrap_or(1) {
                continue;
            }
            assert_eq!(response.start_offset, Some(rows));
            let read: Vec<_> = StreamReader::try_new(joined.as_slice(), None)
                .unwrap()
                .map(Result::unwrap)
                .collect();
            assert_eq!(read.len(), 1);
            assert_eq!(read[0].num_rows() as i64, response.row_count);
            rows += response.row_count;
            batches.extend(read);
            joined.clear();
        }
        assert!(joined.is_empty());
        batches
    }

    #[test]
    fn no_rows_still_make_one_batch_with_the_columns() {
        let batch = numbers(0..0);
        let responses = ArrowBatches::new(&batch.schema(), None).finish().unwrap();
        let read = read(&responses);
        assert_eq!(
            (read.len(), read[0].num_rows(), read[0].schema()),
            (1, 0, batch.schema())
        );
    }

    #[test]
    fn small_batches_are_joined_and_large_ones_cut() {
        let mut batches = ArrowBatches::new(&numbers(0..0).schema(), None);
        let mut responses = vec![];
        for start in (0..100_000).step_by(1000) {
            responses.extend(batches.push(&numbers(start..start + 1000)).unwrap());
        }
        responses.extend(batches.push(&numbers(100_000..2_000_000)).unwrap());
        responses.extend(batches.finish().unwrap());
        let read = read(&responses);
        let all = concat_batches(&read[0].schema(), &read).unwrap();
        assert_eq!(all, numbers(0..2_000_000));
        assert!(
            (4..=8).contains(&responses.len()),
            "{} responses",
            responses.len()
        );
        assert!(
            responses
                .iter()
                .all(|response| response.data.len() < TARGET_BYTES + 4096)
        );
    }

    #[test]
    fn a_row_larger_than_a_message_travels_in_chunks() {
        let huge: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(9 << 20)]));
        let batch = RecordBatch::try_from_iter([("s", huge)]).unwrap();
        let options = ResultChunkingOptions {
            allow_arrow_batch_chunking: true,
            preferred_arrow_chunk_size: None,
        };
        let mut batches = ArrowBatches::new(&batch.schema(), Some(&options));
        let mut responses = batches.push(&batch).unwrap();
        responses.extend(batches.finish().unwrap());
        assert_eq!(responses.len(), 4);
        assert_eq!(read(&responses), [batch]);
    }

    #[test]
    fn views_and_dictionaries_become_plain_strings() {
        let view: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b"]));
        let dictionary: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::from_iter(["a", "a"]));
        let batch = RecordBatch::try_from_iter([("v", view), ("d", dictionary)]).unwrap();
        let mut batches = ArrowBatches::new(&batch.schema(), None);
        assert!(batches.push(&batch).unwrap().is_empty());
        let read = read(&batches.finish().unwrap());
        assert!(
            read[0]
                .columns()
                .iter()
                .all(|column| column.data_type() == &DataType::Utf8)
        );
    }

    #[test]
    fn a_slice_counts_its_own_rows_only() {
        let batch = numbers(0..1_000_000).slice(10, 5);
        let mut batches = ArrowBatches::new(&batch.schema(), None);
        assert!(batches.push(&batch).unwrap().is_empty());
        let responses = batches.finish().unwrap();
        assert!(responses[0].data.len() < 4096);
        assert_eq!(read(&responses), [numbers(10..15)]);
    }
}
