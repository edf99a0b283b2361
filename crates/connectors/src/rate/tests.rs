use arrow::{
    array::AsArray,
    datatypes::{Int64Type, TimestampMicrosecondType},
};
use millstream_engine::time::ManualClock;
use tempfile::tempdir;

use super::*;
use crate::{
    options::Options,
    scan_test::{context, read, read_columns},
};

fn definition(options: &[(&str, &str)]) -> RateDefinition {
    let options: Options = options.iter().copied().collect();
    RateDefinition::new(RateOptions::parse(&options).unwrap())
}

async fn rows(source: &dyn Source, start: &str, end: &str) -> Vec<(i64, i64)> {
    let partitions = source
        .plan_batch(Some(&Offset::new(start)), &Offset::new(end))
        .await
        .unwrap();
    let batch = read(&partitions, &source.schema()).await;
    let times = batch.column(0).as_primitive::<TimestampMicrosecondType>();
    let values = batch.column(1).as_primitive::<Int64Type>();
    let mut rows: Vec<_> = values
        .values()
        .iter()
        .copied()
        .zip(times.values().iter().copied())
        .collect();
    rows.sort_unstable();
    rows
}

#[tokio::test]
async fn a_second_makes_its_rows_and_a_restart_makes_them_again() {
    let dir = tempdir().unwrap();
    let clock = ManualClock::new(1_000_250);
    let rate = definition(&[("rowsPerSecond", "4"), ("numPartitions", "3")]);
    let source = rate.create(context(dir.path(), &clock)).await.unwrap();
    let text = std::fs::read_to_string(dir.path().join("0")).unwrap();
    assert_eq!(text, "v1\n1000250");

    let first = source
        .latest_offset(None, ReadLimit::AllAvailable)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.json(), "0", "no second has passed");
    clock.advance(2_900);
    let latest = source
        .latest_offset(Some(&first), ReadLimit::AllAvailable)
        .await
        .unwrap();
    assert_eq!(latest.unwrap().json(), "2");
    let expected: Vec<_> = (0..8).map(|v| (v, 1_000_250_000 + v * 250_000)).collect();
    assert_eq!(rows(source.as_ref(), "0", "2").await, expected);

    let again = rate.create(context(dir.path(), &clock)).await.unwrap();
    assert_eq!(rows(again.as_ref(), "0", "2").await, expected);
    assert_eq!(rows(again.as_ref(), "1", "2").await, expected[4..]);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_move_the_offset_back() {
    let dir = tempdir().unwrap();
    let clock = ManualClock::new(10_000);
    let source = definition(&[])
        .create(context(dir.path(), &clock))
        .await
        .unwrap();
    clock.advance(5_000);
    let latest = || async {
        source
            .latest_offset(None, ReadLimit::AllAvailable)
            .await
            .unwrap()
            .unwrap()
            .json()
            .to_owned()
    };
    assert_eq!(latest().await, "5");
    clock.advance(-4_000);
    assert_eq!(latest().await, "5");
    // What a run before this one logged also counts.
    rows(source.as_ref(), "5", "9").await;
    assert_eq!(latest().await, "9");
}

#[tokio::test]
async fn rows_count_even_when_no_column_is_wanted() {
    let dir = tempdir().unwrap();
    let clock = ManualClock::new(0);
    let source = definition(&[("rowsPerSecond", "10")])
        .create(context(dir.path(), &clock))
        .await
        .unwrap();
    let partitions = source.plan_batch(None, &Offset::new("1")).await.unwrap();
    assert_eq!(partitions.len(), 2, "the engine's threads");
    assert_eq!(
        read_columns(&partitions, &source.schema(), vec![])
            .await
            .num_rows(),
        10
    );
    assert!(
        source
            .plan_batch(Some(&Offset::new("1")), &Offset::new("1"))
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_log_of_another_source_is_refused() {
    let dir = tempdir().unwrap();
    std::fs::write(dir.path().join("0"), "v1\n{\"path\":\"x\"}").unwrap();
    let clock = ManualClock::new(0);
    let error = definition(&[])
        .create(context(dir.path(), &clock))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("{\"path\":\"x\"}"), "{error}");
    let source = definition(&[])
        .create(context(&dir.path().join("x"), &clock))
        .await
        .unwrap();
    let error = source
        .plan_batch(None, &Offset::new("{\"logOffset\":1}"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("logOffset"), "{error}");
}

#[test]
fn bad_options_are_refused_in_sparks_words() {
    for (name, value, text) in [
        (
            "rowsPerSecond",
            "0",
            "Invalid value '0'. The option 'rowsPerSecond' must be positive",
        ),
        ("rowsPerSecond", "x", "For input string: \"x\""),
        (
            "rampUpTime",
            "-5s",
            "Invalid value '-5'. The option 'rampUpTime' must not be negative",
        ),
        (
            "numPartitions",
            "0",
            "Invalid value '0'. The option 'numPartitions' must be positive",
        ),
        (
            "numPartitions",
            "99999999999",
            "For input string: \"99999999999\"",
        ),
    ] {
        let options: Options = [(name, value)].into_iter().collect();
        assert_eq!(RateOptions::parse(&options).unwrap_err().to_string(), text);
    }
}

#[tokio::test]
async fn the_description_is_sparks_with_its_missing_bracket() {
    let dir = tempdir().unwrap();
    let clock = ManualClock::new(0);
    let source = definition(&[("rampUpTime", "1500ms")])
        .create(context(dir.path(), &clock))
        .await;
    assert_eq!(
        source.unwrap().description(),
        "RateStreamV2[rowsPerSecond=1, rampUpTimeSeconds=1, numPartitions=default"
    );
}
