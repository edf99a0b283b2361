//! The Rust API, as a program outside of the crate uses it.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, too"
)]
use std::{
    io::Write,
    net::TcpListener,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{AsArray, RecordBatch},
        datatypes::Int64Type,
        util::pretty::pretty_format_batches,
    },
    error::DataFusionError,
    functions_aggregate::expr_fn::count,
    prelude::*,
};
use millstream::{Error, engine::BoxError, prelude::*};

fn context() -> SessionContext {
    SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2))
}

async fn text(ctx: &SessionContext, sql: &str) -> String {
    let rows = ctx.sql(sql).await.unwrap().collect().await.unwrap();
    pretty_format_batches(&rows).unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_of_a_socket_are_counted_in_complete_mode() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"a\nb\na\n").unwrap();
        std::thread::sleep(Duration::from_secs(20));
    });
    let ctx = context();
    let lines = ctx
        .read_stream("socket")
        .option("host", "127.0.0.1")
        .option("port", port)
        .load()
        .await
        .unwrap();
    assert!(lines.is_streaming().unwrap());
    let query = lines
        .aggregate(vec![col("value")], vec![count(lit(1)).alias("n")])
        .unwrap()
        .write_stream()
        .format("memory")
        .query_name("words")
        .output_mode(OutputMode::Complete)
        .start()
        .await
        .unwrap();
    let expected =
        "+-------+---+\n| value | n |\n+-------+---+\n| a     | 2 |\n| b     | 1 |\n+-------+---+";
    let deadline = Instant::now() + Duration::from_secs(10);
    while text(&ctx, "select * from words order by value").await != expected {
        assert!(
            query.is_active() && Instant::now() < deadline,
            "{:?}",
            query.exception()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(ctx.streams().unwrap().active().len(), 1);
    query.stop().await;
    assert_eq!(ctx.streams().unwrap().active().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_goes_on_from_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = folder.path().display().to_string();
    let mut ids = vec![];
    for start in [0, 1] {
        let ctx = context();
        let rows = ctx
            .read_stream("rate-micro-batch")
            .option("rowsPerBatch", 5)
            .load()
            .await
            .unwrap();
        let query = rows
            .write_stream()
            .format("noop")
            .option("checkpointLocation", &checkpoint)
            .trigger(Trigger::Once)
            .start()
            .await
            .unwrap();
        query.await_termination(None).await.unwrap();
        assert_eq!(query.last_progress().unwrap().batch_id, start);
        ids.push(query.id());
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_told_before_the_query_starts() {
    let ctx = context();
    let rate = || async { ctx.read_stream("rate").load().await.unwrap() };
    assert!(matches!(
        ctx.read_stream("nonsense").load().await,
        Err(Error::Connector(_))
    ));
    for delay in ["soon", "-1 seconds"] {
        let refused = rate().await.with_watermark("timestamp", delay).unwrap_err();
        assert!(matches!(refused, Error::Delay { text } if text == delay));
    }
    assert!(rate().await.with_watermark("nowhere", "1 second").is_err());
    let table = ctx.read_empty().unwrap();
    assert!(!table.is_streaming().unwrap());
    assert!(matches!(
        table.write_stream().format("noop").start().await,
        Err(Error::Engine(_))
    ));
    let files = rate()
        .await
        .write_stream()
        .format("parquet")
        .path("/nowhere")
        .start()
        .await;
    assert!(files.is_err());
    let complete = rate()
        .await
        .write_stream()
        .format("noop")
        .output_mode(OutputMode::Complete);
    assert!(matches!(complete.start().await, Err(Error::Engine(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_ends_the_query_and_is_told_to_who_waits() {
    let ctx = context();
    let rate = ctx
        .read_stream("rate")
        .option("rowsPerSecond", 1000)
        .load()
        .await
        .unwrap();
    let query = rate
        .select(vec![
            (lit(1_i64) / (col("value") - col("value"))).alias("boom"),
        ])
        .unwrap()
        .write_stream()
        .format("noop")
        .start()
        .await
        .unwrap();
    let failure = query
        .await_termination(Some(Duration::from_secs(10)))
        .await
        .unwrap_err();
    assert!(
        Error::from(failure)
            .to_string()
            .to_lowercase()
            .contains("divide by zero")
    );
}

/// Writes down what it is told, and fails in the batch that it is meant to fail in.
#[derive(Clone)]
struct Recorder {
    told: Arc<Mutex<Vec<String>>>,
    failing_batch: Option<u64>,
    open: (usize, u64),
}

impl Recorder {
    fn new(failing_batch: Option<u64>) -> Self {
        Self {
            told: Arc::default(),
            failing_batch,
            open: (0, 0),
        }
    }

    fn tell(&self, text: impl Into<String>) {
        self.told.lock().unwrap().push(text.into());
    }
}

#[async_trait]
impl ForeachWriter for Recorder {
    async fn open(&mut self, partition: usize, batch_id: u64) -> Result<bool, BoxError> {
        self.open = (partition, batch_id);
        Ok(partition == 0)
    }

    async fn process(&mut self, rows: RecordBatch) -> Result<(), BoxError> {
        let (partition, batch_id) = self.open;
        let names: Vec<_> = rows
            .schema()
            .fields()
            .iter()
            .map(|f| f.name().clone())
            .collect();
        self.tell(format!(
            "{batch_id}/{partition}: {} of {names:?}",
            rows.num_rows()
        ));
        match self.failing_batch == Some(batch_id) {
            true => Err("the disk is full".into()),
            false => Ok(()),
        }
    }

    async fn close(&mut self, error: Option<&BoxError>) {
        if let Some(error) = error {
            self.tell(format!("closed: {error}"));
        } else if self.open.0 == 0 {
            self.tell("closed");
        }
    }
}

async fn rows_of_rate(ctx: &SessionContext) -> DataFrame {
    ctx.read_stream("rate-micro-batch")
        .option("rowsPerBatch", 5)
        .option("numPartitions", 1)
        .load()
        .await
        .unwrap()
        .select(vec![col("value").alias("n")])
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_is_opened_fed_and_closed_and_told_of_its_failure() {
    for (failing_batch, expected) in [
        (None, vec!["0/0: 5 of [\"n\"]", "closed"]),
        (
            Some(0),
            vec!["0/0: 5 of [\"n\"]", "closed: the disk is full"],
        ),
    ] {
        let recorder = Recorder::new(failing_batch);
        let query = rows_of_rate(&context())
            .await
            .write_stream()
            .foreach(recorder.clone())
            .trigger(Trigger::Once)
            .start()
            .await
            .unwrap();
        let ended = query.await_termination(None).await;
        assert_eq!(*recorder.told.lock().unwrap(), expected);
        match failing_batch {
            None => assert_eq!(query.last_progress().unwrap().num_input_rows, 5),
            Some(_) => {
                let failure = ended.unwrap_err().error.to_string();
                assert!(failure.contains("the disk is full"), "{failure}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_its_function_refused_comes_again_under_its_number() {
    let folder = tempfile::tempdir().unwrap();
    type Batches = Vec<(u64, Vec<i64>)>;
    let seen: Arc<Mutex<Batches>> = Arc::default();
    for attempt in 0..3 {
        let seen = Arc::clone(&seen);
        let query = rows_of_rate(&context())
            .await
            .write_stream()
            .foreach_batch(move |batch: DataFrame, batch_id| {
                let seen = Arc::clone(&seen);
                async move {
                    // Read twice: the batch is a table.
                    let count = batch.clone().count().await?;
                    let mut values = vec![];
                    for rows in batch
                        .sort(vec![col("n").sort(true, true)])?
                        .collect()
                        .await?
                    {
                        values.extend(rows.column(0).as_primitive::<Int64Type>().values());
                    }
                    assert_eq!(count, values.len());
                    seen.lock().unwrap().push((batch_id, values));
                    match attempt {
                        1 => Err(DataFusionError::External("refused".into())),
                        _ => Ok(()),
                    }
                }
            })
            .option("checkpointLocation", folder.path().display())
            .trigger(Trigger::Once)
            .start()
            .await
            .unwrap();
        assert_eq!(query.await_termination(None).await.is_err(), attempt == 1);
    }
    let expected = [
        (0, vec![0, 1, 2, 3, 4]),
        (1, vec![5, 6, 7, 8, 9]),
        (1, vec![5, 6, 7, 8, 9]),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn without_a_runtime_there_are_no_queries() {
    assert!(matches!(context().streams(), Err(Error::NoRuntime)));
}
