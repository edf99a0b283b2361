//! State that is moved to another number of partitions when its query starts again.
use millstream_checkpoint::{CheckpointDir, CommitMetadata, OffsetSeq, storage};

use super::*;

impl Bench {
    fn dir(&self) -> CheckpointDir {
        let root = storage::open(self.folder.path().to_str().unwrap()).unwrap();
        CheckpointDir::new(root, Faults::none())
    }

    async fn record(&self, batch: u64) -> Option<OffsetSeq> {
        self.dir().offsets().get(batch).await.unwrap()
    }

    async fn commit(&self, batch: u64) -> Option<CommitMetadata> {
        self.dir().commits().get(batch).await.unwrap()
    }

    fn has(&self, path: &str) -> bool {
        self.folder.path().join("state").join(path).exists()
    }

    /// The number of partitions that the next run asks for.
    fn ask(&mut self, partitions: usize, moves: bool) {
        self.partitions = partitions;
        self.settings.repartition_state = moves;
    }

    /// One run: everything that is there, and these rows.
    async fn run(&self, plan: LogicalPlan, of: &[(i64, &str, i64)]) -> Result<(), String> {
        let query = self.start(plan).await.map_err(|error| error.to_string())?;
        if !of.is_empty() {
            self.stream.add(rows(of));
        }
        let done = query.process_all_available().await;
        query.stop().await;
        done.map_err(|failure| failure.error.to_string())
    }

    fn failing_at(&mut self, point: FaultPoint) {
        self.faults = Faults::new();
        self.faults.arm(point, 1, FaultAction::Fail);
    }

    fn healed(&mut self) {
        self.faults = Faults::none();
    }
}

const FIRST: [(i64, &str, i64); 4] = [(1, "a", 1), (2, "b", 2), (3, "c", 3), (4, "d", 4)];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_is_moved_in_a_batch_of_its_own_and_only_if_it_is_wished() {
    let mut bench = Bench::new(OutputMode::Update, 2);
    bench.run(bench.word_counts(), &FIRST).await.unwrap();
    // As in Spark: the pinned number wins.
    bench.ask(7, false);
    bench
        .run(bench.word_counts(), &[(5, "a", 10)])
        .await
        .unwrap();
    assert_eq!(bench.batch(1), ["a 2 11"]);
    assert_eq!(bench.record(1).await.unwrap().state_partitions(), Some(2));
    assert!(!bench.has("0/2"));

    bench.ask(7, true);
    bench
        .run(bench.word_counts(), &[(6, "a", 100), (6, "b", 200)])
        .await
        .unwrap();
    let (before, moves) = (
        bench.record(1).await.unwrap(),
        bench.record(2).await.unwrap(),
    );
    assert_eq!(moves.repartitions(&before), Some((2, 7)));
    assert_eq!(moves.offsets, before.offsets);
    assert!(bench.commit(2).await.is_some());
    assert_eq!(bench.batch(2), Vec::<String>::new());
    assert_eq!(bench.batch(3), ["a 3 111", "b 2 202"]);
    assert!(bench.has("0/6/3.snapshot") && !bench.has("0/6/3.delta"));
    assert_eq!(bench.record(3).await.unwrap().state_partitions(), Some(7));
    let metadata = bench.dir().operators().metadata(0).await.unwrap().unwrap();
    assert_eq!(metadata.state_store_info[0].num_partitions, 7);

    // The same wish again is none, and the number stays without it.
    bench
        .run(bench.word_counts(), &[(7, "c", 1000)])
        .await
        .unwrap();
    assert_eq!(bench.batch(4), ["c 2 1003"]);
    bench.ask(2, false);
    bench
        .run(bench.word_counts(), &[(8, "d", 1000)])
        .await
        .unwrap();
    assert_eq!(bench.batch(5), ["d 2 1004"]);
    assert_eq!(bench.record(5).await.unwrap().state_partitions(), Some(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_run_after_a_crash_asks_for_what_was_begun_is_finished() {
    let points = [
        FaultPoint::AfterOffsetWrite,
        FaultPoint::SourceCommit,
        FaultPoint::BeforeRepartition,
        FaultPoint::SnapshotWrite,
        FaultPoint::MidRepartition,
        FaultPoint::AfterRepartition,
        FaultPoint::BeforeCommitLog,
        FaultPoint::AfterCommitLog,
    ];
    let asks = [(2, false), (7, false), (2, true), (7, true), (3, true)];
    for point in points {
        for (partitions, moves) in asks {
            let mut bench = Bench::new(OutputMode::Update, 2);
            bench.run(bench.word_counts(), &FIRST).await.unwrap();
            bench.ask(7, true);
            bench.failing_at(point);
            bench.run(bench.word_counts(), &[]).await.unwrap_err();
            assert_eq!(bench.faults.fired(), [point]);
            assert_eq!(bench.record(1).await.unwrap().state_partitions(), Some(7));
            bench.healed();
            bench.ask(partitions, moves);
            bench
                .run(bench.word_counts(), &[(5, "a", 10), (6, "d", 20)])
                .await
                .unwrap();
            assert!(bench.commit(1).await.is_some());
            // A third number is a batch more.
            let now = if moves { partitions } else { 7 };
            let last = if now == 7 { 2 } else { 3 };
            assert_eq!(
                bench.batch(last),
                ["a 2 11", "d 2 24"],
                "{point} {partitions}"
            );
            let record = bench.record(last).await.unwrap();
            assert_eq!(record.state_partitions(), Some(now));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_was_begun_runs_again_under_the_old_number_first() {
    for point in [
        FaultPoint::AfterOffsetWrite,
        FaultPoint::AfterStateCommit,
        FaultPoint::AfterSinkCommit,
    ] {
        let mut bench = Bench::new(OutputMode::Update, 2);
        bench.run(bench.word_counts(), &FIRST).await.unwrap();
        bench.failing_at(point);
        let begun = bench.run(bench.word_counts(), &[(5, "a", 10)]).await;
        begun.unwrap_err();
        bench.healed();
        bench.ask(7, true);
        bench.run(bench.word_counts(), &[]).await.unwrap();
        assert_eq!(bench.batch(1), ["a 2 11"]);
        assert_eq!(bench.record(1).await.unwrap().state_partitions(), Some(2));
        assert_eq!(bench.record(2).await.unwrap().state_partitions(), Some(7));
        bench
            .run(bench.word_counts(), &[(6, "a", 100)])
            .await
            .unwrap();
        assert_eq!(bench.batch(3), ["a 3 111"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moving_state_makes_no_row_late() {
    for crash in [
        None,
        Some(FaultPoint::BeforeRepartition),
        Some(FaultPoint::BeforeCommitLog),
    ] {
        let mut bench = Bench::new(OutputMode::Append, 2);
        // So that the watermark of 20 s that the first batch computes is one that no batch has run under yet.
        bench.settings.no_data_batches = false;
        bench
            .run(bench.by_event_time(), &[(30, "a", 1)])
            .await
            .unwrap();
        bench.ask(7, true);
        if let Some(point) = crash {
            bench.failing_at(point);
            bench.run(bench.by_event_time(), &[]).await.unwrap_err();
            bench.healed();
        }
        bench.run(bench.by_event_time(), &[]).await.unwrap();
        let moves = bench.record(1).await.unwrap();
        assert_eq!(moves.metadata.batch_watermark_ms, 0);
        assert_eq!(
            bench.commit(1).await.unwrap().next_batch_watermark_ms,
            20_000
        );
        // 15 s is below the watermark, and was not below that of the batch before: not late, and put out at once.
        bench
            .run(bench.by_event_time(), &[(15, "b", 2)])
            .await
            .unwrap();
        assert_eq!(bench.batch(2), ["1970-01-01T00:00:15Z 2"], "{crash:?}");
        let record = bench.record(2).await.unwrap();
        assert_eq!(record.metadata.batch_watermark_ms, 20_000);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_back_to_a_batch_before_the_move_gives_the_old_partitions() {
    let mut bench = Bench::new(OutputMode::Update, 7);
    bench.run(bench.word_counts(), &FIRST).await.unwrap();
    bench.ask(2, true);
    bench
        .run(bench.word_counts(), &[(5, "a", 10)])
        .await
        .unwrap();
    bench.dir().rewind(0).await.unwrap();
    // The state of the forgotten batches is still there, as after a rewind that was interrupted.
    bench.ask(3, false);
    bench.run(bench.word_counts(), &[]).await.unwrap();
    assert_eq!(
        bench.batch(1),
        ["a 2 11"],
        "the source gives its rows again"
    );
    assert_eq!(bench.record(1).await.unwrap().state_partitions(), Some(7));
    let metadata = bench.dir().operators().metadata(0).await.unwrap().unwrap();
    assert_eq!(metadata.state_store_info[0].num_partitions, 7);
    bench.ask(2, true);
    bench
        .run(bench.word_counts(), &[(6, "b", 20)])
        .await
        .unwrap();
    assert_eq!(bench.batch(3), ["b 2 22"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_former_partitions_go_when_no_retained_batch_needs_them() {
    let mut bench = Bench::new(OutputMode::Update, 7);
    bench.settings.min_batches_to_retain = 2;
    bench.settings.min_deltas_for_snapshot = 1;
    bench.run(bench.word_counts(), &FIRST).await.unwrap();
    bench.ask(2, true);
    for (n, kept) in [(1_u64, true), (2, false), (3, false)] {
        bench
            .run(bench.word_counts(), &[(5, "a", 10)])
            .await
            .unwrap();
        assert_eq!(bench.batch(n + 1), [format!("a {} {}", n + 1, n * 10 + 1)]);
        assert_eq!(bench.has("0/6/1.delta"), kept, "after batch {}", n + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_that_cannot_be_moved_stays_as_it_is_and_the_error_says_why() {
    let mut bench = Bench::new(OutputMode::Update, 2);
    bench.run(bench.word_counts(), &FIRST).await.unwrap();
    let stray = bench.folder.path().join("state/0/1/left");
    std::fs::create_dir_all(&stray).unwrap();
    let delta = bench.folder.path().join("state/0/1/1.delta");
    std::fs::copy(&delta, stray.join("1.delta")).unwrap();
    bench.ask(7, true);
    let error = bench.run(bench.word_counts(), &[]).await.unwrap_err();
    assert!(
        error.contains("store left belongs to no operator of the query"),
        "{error}"
    );
    std::fs::remove_dir_all(stray).unwrap();
    // Other types are the stores' matter, and found before anything is recorded.
    let other = bench
        .scan()
        .aggregate([col("n")], [count(lit(1))])
        .unwrap()
        .build()
        .unwrap();
    let error = bench.run(other, &[]).await.unwrap_err();
    assert!(error.contains("key schema"), "{error}");
    assert!(bench.record(1).await.is_none());
    // What goes wrong on the way is tried again, and can be taken back.
    bench.failing_at(FaultPoint::MidRepartition);
    let error = bench.run(bench.word_counts(), &[]).await.unwrap_err();
    assert!(
        error.contains("moving the state from 2 to 7 partitions in batch 1 failed"),
        "{error}"
    );
    assert!(error.contains("checkpoint rewind"), "{error}");
    bench.healed();
    bench.dir().rewind(0).await.unwrap();
    bench.ask(7, false);
    bench
        .run(bench.word_counts(), &[(5, "a", 10)])
        .await
        .unwrap();
    assert_eq!(bench.batch(1), ["a 2 11"]);
    assert_eq!(bench.record(1).await.unwrap().state_partitions(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_without_state_and_one_that_never_ran_have_nothing_to_move() {
    let mut bench = Bench::new(OutputMode::Append, 2);
    bench.ask(7, true);
    let plan = || bench.scan().build().unwrap();
    bench.run(plan(), &[(1, "a", 1)]).await.unwrap();
    assert_eq!(bench.record(0).await.unwrap().state_partitions(), Some(7));
    bench.partitions = 3;
    let plan = bench.scan().build().unwrap();
    bench.run(plan, &[(2, "b", 1)]).await.unwrap();
    assert_eq!(bench.batch(1).len(), 1);
    assert_eq!(bench.record(1).await.unwrap().state_partitions(), Some(7));
}
