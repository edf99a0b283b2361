//! The Rust API, as a program outside of the crate uses it.
#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests fail by panicking, too"
)]
use std::{
    io::Write,
    net::TcpListener,
    time::{Duration, Instant},
};

use datafusion::{
    arrow::util::pretty::pretty_format_batches, functions_aggregate::expr_fn::count, prelude::*,
};
use millstream::{Error, prelude::*};

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

#[test]
fn without_a_runtime_there_are_no_queries() {
    assert!(matches!(context().streams(), Err(Error::NoRuntime)));
}
