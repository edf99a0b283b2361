//! What the console shows of a batch, and which options it refuses, in Spark's words.
use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use millstream_checkpoint::Faults;
use millstream_engine::plan::OutputMode;
use uuid::Uuid;

use super::*;
use crate::{batches::lazily, options::Options};

#[derive(Debug, Clone, Default)]
struct Screen(Arc<Mutex<Vec<u8>>>);

impl Write for Screen {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn rows(values: std::ops::Range<i64>) -> RecordBatch {
    let count = values.clone().count();
    let times = TimestampMicrosecondArray::from(vec![0; count]).with_timezone("UTC");
    let texts: StringArray = values
        .clone()
        .map(|v| Some(format!("a long string that is truncated {v}")))
        .collect();
    RecordBatch::try_from_iter([
        ("timestamp", Arc::new(times) as ArrayRef),
        ("value", Arc::new(Int64Array::from_iter_values(values))),
        ("s", Arc::new(texts)),
    ])
    .unwrap()
}

async fn printed(options: &[(&str, &str)], partitions: &[RecordBatch]) -> String {
    let options: Options = options.iter().copied().collect();
    let options = ConsoleOptions::parse(&options).unwrap();
    let table = TableText {
        num_rows: options.num_rows,
        truncate: if options.truncate {
            ConsoleOptions::CELL_LENGTH_MAX
        } else {
            0
        },
        vertical: false,
        zone: crate::datetime::Zone::UTC,
    };
    let schema = rows(0..0).schema();
    let screen = Screen::default();
    let sink = ConsoleSink::new(
        Arc::clone(&schema),
        table,
        ConsoleOutput::new(screen.clone()),
    );
    let batch = SinkBatch {
        batch_id: 7,
        query_id: Uuid::nil(),
        schema: Arc::clone(&schema),
        output_mode: OutputMode::Append,
        faults: Faults::none(),
    };
    let writer = sink.begin(&batch).await.unwrap();
    let mut messages = Vec::new();
    for (i, rows) in partitions.iter().enumerate() {
        let message = writer
            .write(i, lazily(schema.clone(), [Ok(rows.clone())].into_iter()))
            .await
            .unwrap();
        assert_eq!(message.rows, rows.num_rows() as u64);
        messages.push(message);
    }
    sink.commit(&batch, messages).await.unwrap();
    let text = screen.0.lock().unwrap().clone();
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn a_batch_that_fits_ends_with_a_blank_line() {
    assert_eq!(
        printed(&[], &[rows(0..1), rows(0..0), rows(5..6)]).await,
        "-------------------------------------------\n\
         Batch: 7\n\
         -------------------------------------------\n\
         +-------------------+-----+--------------------+\n\
         |          timestamp|value|                   s|\n\
         +-------------------+-----+--------------------+\n\
         |1970-01-01 00:00:00|    0|a long string tha...|\n\
         |1970-01-01 00:00:00|    5|a long string tha...|\n\
         +-------------------+-----+--------------------+\n\n"
    );
}

#[tokio::test]
async fn rows_beyond_the_limit_are_counted_over_all_partitions() {
    let text = printed(
        &[("NUMROWS", "3"), ("truncate", "FALSE")],
        &[rows(0..2), rows(2..9)],
    )
    .await;
    assert_eq!(
        text,
        "-------------------------------------------\n\
         Batch: 7\n\
         -------------------------------------------\n\
         +-------------------+-----+---------------------------------+\n\
         |timestamp          |value|s                                |\n\
         +-------------------+-----+---------------------------------+\n\
         |1970-01-01 00:00:00|0    |a long string that is truncated 0|\n\
         |1970-01-01 00:00:00|1    |a long string that is truncated 1|\n\
         |1970-01-01 00:00:00|2    |a long string that is truncated 2|\n\
         +-------------------+-----+---------------------------------+\n\
         only showing top 3 rows\n"
    );
}

#[tokio::test]
async fn a_negative_number_of_rows_shows_none() {
    let text = printed(&[("numRows", "-1")], &[rows(0..2)]).await;
    assert!(
        text.ends_with("+---------+-----+---+\nonly showing top 0 rows\n"),
        "{text}"
    );
}

#[test]
fn bad_options_are_refused_in_sparks_words() {
    let refusal = |name: &str, value: &str| {
        let options: Options = [(name, value)].into_iter().collect();
        ConsoleOptions::parse(&options).unwrap_err().to_string()
    };
    assert_eq!(refusal("truncate", "5"), "5 is not a boolean string.");
    assert_eq!(refusal("numRows", "x"), "For input string: \"x\"");
}
