use std::time::Duration;

use arrow::{array::AsArray, datatypes::TimestampMicrosecondType};
use millstream_engine::time::ManualClock;
use tempfile::{TempDir, tempdir};
use tokio::{io::AsyncWriteExt, net::TcpListener};

use super::*;
use crate::scan_test::{context, read};

struct Server {
    listener: TcpListener,
    dir: TempDir,
}

impl Server {
    async fn new() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        Self {
            listener,
            dir: tempdir().unwrap(),
        }
    }

    async fn source(&self, include_timestamp: bool) -> Arc<dyn Source> {
        let port = self.listener.local_addr().unwrap().port().into();
        let options = SocketOptions {
            host: "127.0.0.1".into(),
            port,
            include_timestamp,
            num_partitions: Some(2),
        };
        let context = context(self.dir.path(), &ManualClock::new(5_000));
        SocketDefinition::new(options)
            .create(context)
            .await
            .unwrap()
    }

    async fn accept(&self) -> tokio::net::TcpStream {
        self.listener.accept().await.unwrap().0
    }
}

async fn latest(source: &dyn Source, start: Option<&str>) -> i64 {
    let start = start.map(Offset::new);
    let offset = source
        .latest_offset(start.as_ref(), ReadLimit::AllAvailable)
        .await
        .unwrap();
    offset.unwrap().json().parse().unwrap()
}

/// Waits until the source has the row `number`.
async fn arrived(source: &dyn Source, number: i64) {
    let wait = async {
        while latest(source, None).await < number {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), wait)
        .await
        .unwrap();
    assert_eq!(latest(source, None).await, number);
}

async fn values(source: &dyn Source, start: &str, end: &str) -> Vec<String> {
    let partitions = source
        .plan_batch(Some(&Offset::new(start)), &Offset::new(end))
        .await
        .unwrap();
    if partitions.is_empty() {
        return vec![];
    }
    let batch = read(&partitions, &source.schema()).await;
    batch
        .column(0)
        .as_string::<i32>()
        .iter()
        .map(|value| value.unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn lines_are_rows_dealt_out_to_the_partitions_and_replayed_until_committed() {
    let server = Server::new().await;
    let source = server.source(true).await;
    assert_eq!(
        latest(source.as_ref(), None).await,
        -1,
        "the first batch is empty"
    );
    let mut client = server.accept().await;
    client.write_all(b"a\nb\r\nc\rd\n\nla").await.unwrap();
    arrived(source.as_ref(), 4).await;
    assert_eq!(
        values(source.as_ref(), "-1", "4").await,
        ["a", "c", "", "b", "d"]
    );
    assert_eq!(
        values(source.as_ref(), "-1", "4").await,
        ["a", "c", "", "b", "d"]
    );

    let partitions = source.plan_batch(None, &Offset::new("1")).await.unwrap();
    let batch = read(&partitions, &source.schema()).await;
    assert_eq!(
        batch
            .column(1)
            .as_primitive::<TimestampMicrosecondType>()
            .value(0),
        5_000_000
    );

    source.commit(&Offset::new("4")).await.unwrap();
    let error = source
        .plan_batch(None, &Offset::new("4"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("asked for rows 0 to 4"),
        "{error}"
    );
    client.write_all(b"st\n").await.unwrap();
    arrived(source.as_ref(), 5).await;
    assert_eq!(values(source.as_ref(), "4", "5").await, ["last"]);
}

#[tokio::test]
async fn a_server_that_goes_away_leaves_its_last_line_and_the_query_goes_on() {
    let server = Server::new().await;
    let source = server.source(false).await;
    latest(source.as_ref(), None).await;
    let mut client = server.accept().await;
    client.write_all(b"one\ntail without end").await.unwrap();
    drop(client);
    arrived(source.as_ref(), 1).await;
    assert_eq!(
        values(source.as_ref(), "-1", "1").await,
        ["one", "tail without end"]
    );
    source.commit(&Offset::new("1")).await.unwrap();
    assert_eq!(latest(source.as_ref(), Some("1")).await, 1);
}

#[tokio::test]
async fn a_restart_goes_on_after_what_was_committed() {
    let server = Server::new().await;
    let source = server.source(false).await;
    latest(source.as_ref(), None).await;
    let mut client = server.accept().await;
    client.write_all(b"a\nb\n").await.unwrap();
    arrived(source.as_ref(), 1).await;
    source.commit(&Offset::new("1")).await.unwrap();
    drop(source);

    let source = server.source(false).await;
    assert_eq!(latest(source.as_ref(), Some("1")).await, 1);
    let mut client = server.accept().await;
    client.write_all(b"c\n").await.unwrap();
    arrived(source.as_ref(), 2).await;
    assert_eq!(values(source.as_ref(), "1", "2").await, ["c"]);
    source.commit(&Offset::new("2")).await.unwrap();
}

#[tokio::test]
async fn a_batch_that_was_not_committed_runs_again_without_rows() {
    let server = Server::new().await;
    let source = server.source(false).await;
    assert!(values(source.as_ref(), "4", "6").await.is_empty());
    source.commit(&Offset::new("6")).await.unwrap();
    assert_eq!(latest(source.as_ref(), Some("6")).await, 6);
    let mut client = server.accept().await;
    client.write_all(b"next\n").await.unwrap();
    arrived(source.as_ref(), 7).await;
    assert_eq!(values(source.as_ref(), "6", "7").await, ["next"]);
}

#[tokio::test]
async fn nobody_listening_is_an_error_that_says_where() {
    let server = Server::new().await;
    let address = server.listener.local_addr().unwrap();
    let source = server.source(false).await;
    drop(server);
    let error = source
        .latest_offset(None, ReadLimit::AllAvailable)
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("cannot connect to {address}: Connection refused")
    );
}

#[tokio::test]
async fn stopping_closes_the_connection() {
    let server = Server::new().await;
    let source = server.source(false).await;
    latest(source.as_ref(), None).await;
    let client = server.accept().await;
    source.stop().await;
    let mut byte = [0];
    client.readable().await.unwrap();
    assert_eq!(client.try_read(&mut byte).unwrap(), 0);
}

#[tokio::test]
async fn offsets_of_another_source_and_steps_back_are_refused() {
    let server = Server::new().await;
    let source = server.source(false).await;
    let error = source
        .commit(&Offset::new("{\"logOffset\":0}"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("logOffset"), "{error}");
    source.commit(&Offset::new("7")).await.unwrap();
    let error = source.commit(&Offset::new("-1")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Offsets committed out of order: 7 followed by -1"
    );
}
