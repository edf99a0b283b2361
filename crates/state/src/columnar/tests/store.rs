//! The contract, obligation by obligation.
use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Float64Array, Int32Array, Int64Array, LargeStringArray,
        RecordBatch, StringArray, StringViewArray,
    },
    datatypes::{DataType, Field, Fields, Int64Type, Schema},
};
use futures::executor::block_on;

use crate::{
    StateError, StateSchema, StateStore, StateStoreId, StateStoreProvider,
    testing::{
        MemoryStorage, batch, counts, counts_by_user, counts_by_window, options, provider, rows,
        texts, users, windows,
    },
};

fn open(storage: &Arc<MemoryStorage>, schema: &StateSchema, version: u64) -> Box<dyn StateStore> {
    let provider = provider(storage, options());
    block_on(provider.open(&StateStoreId::new(0, 0), schema, version)).unwrap()
}

fn empty(schema: &StateSchema) -> Box<dyn StateStore> {
    open(&Arc::default(), schema, 0)
}

#[test]
fn get_answers_in_the_order_asked_with_null_for_absent_keys() {
    let mut store = empty(&counts_by_user());
    store
        .put(&users(&["a", "b", "c"]), &counts(&[1, 2, 3]))
        .unwrap();
    let lookup = store.get(&users(&["c", "x", "a", "c"])).unwrap();
    assert_eq!(lookup.found, vec![true, false, true, true].into());
    assert_eq!(texts(&lookup.values), ["3", "∅", "1", "3"]);
    assert_eq!(store.metrics().num_keys, 3, "asking does not add keys");
}

#[test]
fn the_last_of_equal_keys_in_one_put_wins() {
    let mut store = empty(&counts_by_user());
    store
        .put(&users(&["a", "b", "a"]), &counts(&[1, 2, 3]))
        .unwrap();
    assert_eq!(rows(&store.scan().unwrap()), ["a|3", "b|2"]);
    let summary = block_on(store.commit()).unwrap();
    assert_eq!((summary.rows_updated, summary.rows_removed), (2, 0));
}

#[test]
fn a_put_of_the_keys_just_asked_for_does_not_depend_on_that() {
    let mut store = empty(&counts_by_user());
    let keys = users(&["a", "new", "b", "new"]);
    store.put(&users(&["a", "b"]), &counts(&[1, 2])).unwrap();
    store.get(&keys).unwrap();
    store.put(&keys, &counts(&[10, 11, 12, 13])).unwrap();
    assert_eq!(rows(&store.scan().unwrap()), ["a|10", "b|12", "new|13"]);
    // Equal keys in other arrays, and the same arrays after something else was asked.
    store
        .put(
            &users(&["a", "new", "b", "new"]),
            &counts(&[20, 21, 22, 23]),
        )
        .unwrap();
    store.get(&keys).unwrap();
    store.delete(&users(&["b"])).unwrap();
    store.put(&keys, &counts(&[30, 31, 32, 33])).unwrap();
    assert_eq!(rows(&store.scan().unwrap()), ["a|30", "b|32", "new|33"]);
}

#[test]
fn null_keys_equal_each_other_and_nothing_else() {
    let mut store = empty(&counts_by_user());
    let keys: ArrayRef = Arc::new(StringArray::from(vec![None, Some(""), None]));
    let keys = batch(&counts_by_user().key, vec![keys]);
    store.put(&keys, &counts(&[1, 2, 3])).unwrap();
    assert_eq!(rows(&store.scan().unwrap()), ["|2", "∅|3"]);
}

#[test]
fn floating_point_keys_compare_as_spark_groups_them() {
    let key = Schema::new(vec![Field::new("x", DataType::Float64, true)]);
    let schema = StateSchema {
        key: Arc::new(key),
        ..counts_by_user()
    };
    let mut store = empty(&schema);
    let keys = |values: Vec<f64>| {
        batch(
            &schema.key,
            vec![Arc::new(Float64Array::from(values)) as ArrayRef],
        )
    };
    store
        .put(&keys(vec![0.0, f64::NAN]), &counts(&[1, 2]))
        .unwrap();
    let other_nan = f64::from_bits(0xfff8_0000_0000_0001);
    assert!(other_nan.is_nan());
    let lookup = store.get(&keys(vec![-0.0, other_nan])).unwrap();
    assert_eq!(texts(&lookup.values), ["1", "2"]);
}

#[test]
fn deleted_keys_are_gone_and_can_come_back() {
    let mut store = empty(&counts_by_user());
    store.put(&users(&["a", "b"]), &counts(&[1, 2])).unwrap();
    block_on(store.commit()).unwrap();
    assert_eq!(store.delete(&users(&["a", "x", "a"])).unwrap(), 1);
    assert_eq!(rows(&store.scan().unwrap()), ["b|2"]);
    store.put(&users(&["a"]), &counts(&[7])).unwrap();
    let summary = block_on(store.commit()).unwrap();
    assert_eq!((summary.rows_updated, summary.rows_removed), (1, 0));
    store.delete(&users(&["a"])).unwrap();
    let summary = block_on(store.commit()).unwrap();
    assert_eq!((summary.rows_updated, summary.rows_removed), (0, 1));
    assert_eq!(rows(&store.scan().unwrap()), ["b|2"]);
}

#[test]
fn eviction_takes_what_is_as_old_as_the_threshold_and_leaves_null() {
    let schema = counts_by_window();
    let mut store = empty(&schema);
    store
        .put(
            &windows(&[(10, "a"), (20, "b"), (20, "c"), (30, "d")]),
            &counts(&[1, 2, 3, 4]),
        )
        .unwrap();
    let null = batch(
        &schema.key,
        vec![
            arrow::array::new_null_array(schema.key.field(0).data_type(), 1),
            Arc::new(StringArray::from(vec!["n"])),
        ],
    );
    store.put(&null, &counts(&[5])).unwrap();
    let evicted = store.evict(20).unwrap();
    let names: Vec<_> = rows(&evicted)
        .iter()
        .map(|row| row.split_once('|').unwrap().1.to_owned())
        .collect();
    assert_eq!(names, ["a|1", "b|2", "c|3"]);
    assert_eq!(store.metrics().num_keys, 2);
    assert!(store.evict(20).unwrap().is_empty());
    assert_eq!(store.drop_expired(i64::MAX).unwrap(), 1);
    assert_eq!(rows(&store.scan().unwrap()), ["∅|n|5"]);
}

#[test]
fn eviction_is_one_record_in_the_changelog_however_many_keys_go() {
    let storage = Arc::default();
    let mut store = open(&storage, &counts_by_window(), 0);
    let keys: Vec<(i64, String)> = (0..10_000)
        .map(|i| (i / 100, format!("user-{i}")))
        .collect();
    let keys: Vec<(i64, &str)> = keys.iter().map(|(t, u)| (*t, u.as_str())).collect();
    store
        .put(&windows(&keys), &counts(&vec![1; keys.len()]))
        .unwrap();
    block_on(store.commit()).unwrap();
    assert_eq!(store.drop_expired(98).unwrap(), 9_900);
    let summary = block_on(store.commit()).unwrap();
    assert_eq!(summary.rows_removed, 9_900);
    assert!(
        summary.bytes_written < 2_000,
        "{} bytes",
        summary.bytes_written
    );
    assert_eq!(
        open(&storage, &counts_by_window(), 2).metrics().num_keys,
        100
    );
}

#[test]
fn evictions_replay_when_the_query_no_longer_has_an_event_time() {
    let storage = Arc::default();
    let mut store = open(&storage, &counts_by_window(), 0);
    store
        .put(&windows(&[(10, "a"), (20, "b")]), &counts(&[1, 2]))
        .unwrap();
    block_on(store.commit()).unwrap();
    store.drop_expired(10).unwrap();
    block_on(store.commit()).unwrap();
    let without = StateSchema {
        event_time: None,
        ..counts_by_window()
    };
    let mut store = open(&storage, &without, 2);
    assert_eq!(store.metrics().num_keys, 1);
    let error = store.evict(20).unwrap_err().to_string();
    assert!(error.contains("event-time column"), "{error}");
}

#[test]
fn rollback_restores_what_was_committed() {
    let mut store = empty(&counts_by_window());
    store
        .put(
            &windows(&[(10, "a"), (20, "b"), (30, "c")]),
            &counts(&[1, 2, 3]),
        )
        .unwrap();
    block_on(store.commit()).unwrap();
    let committed = rows(&store.scan().unwrap());
    store
        .put(&windows(&[(10, "a"), (40, "d")]), &counts(&[9, 9]))
        .unwrap();
    store.evict(20).unwrap();
    store.put(&windows(&[(20, "b")]), &counts(&[8])).unwrap();
    store.delete(&windows(&[(30, "c"), (40, "d")])).unwrap();
    assert!(store.has_changes());
    store.rollback();
    assert!(!store.has_changes());
    assert_eq!(rows(&store.scan().unwrap()), committed);
    assert_eq!(store.metrics().num_keys, 3);
    assert_eq!(
        store
            .evict(20)
            .unwrap()
            .iter()
            .map(RecordBatch::num_rows)
            .sum::<usize>(),
        2
    );
}

#[test]
fn prefix_scan_finds_all_keys_that_start_alike() {
    let schema = counts_by_window().with_prefix(1);
    let mut store = empty(&schema);
    store
        .put(
            &windows(&[(1, "a"), (2, "b"), (1, "c"), (3, "d")]),
            &counts(&[1, 2, 3, 4]),
        )
        .unwrap();
    block_on(store.commit()).unwrap();
    store.delete(&windows(&[(3, "d")])).unwrap();
    let wanted = windows(&[(3, ""), (1, ""), (2, ""), (1, "")])
        .project(&[0])
        .unwrap();
    let matches = store.prefix_scan(&wanted).unwrap();
    let names = matches
        .entries
        .column(1)
        .as_string::<i32>()
        .iter()
        .flatten();
    let mut found: Vec<_> = matches.asked.values().iter().copied().zip(names).collect();
    found.sort_unstable();
    assert_eq!(found, [(1, "a"), (1, "c"), (2, "b"), (3, "a"), (3, "c")]);
    let wrong = store.prefix_scan(&users(&["a"])).unwrap_err();
    assert!(
        matches!(wrong, StateError::WrongColumns { part: "prefix", .. }),
        "{wrong}"
    );
}

#[test]
fn a_store_without_key_columns_has_one_key() {
    let schema = StateSchema {
        key: Arc::new(Schema::empty()),
        ..counts_by_user()
    };
    let storage = Arc::default();
    let mut store = open(&storage, &schema, 0);
    let key = crate::testing::project(&users(&["x"]), &[]);
    assert!(!store.get(&key).unwrap().found.value(0));
    store.put(&key, &counts(&[41])).unwrap();
    block_on(store.commit()).unwrap();
    let mut store = open(&storage, &schema, 1);
    assert_eq!(texts(&store.get(&key).unwrap().values), ["41"]);
    store.delete(&key).unwrap();
    block_on(store.commit()).unwrap();
    let mut store = open(&storage, &schema, 2);
    assert!(!store.get(&key).unwrap().found.value(0));
}

#[test]
fn a_store_without_value_columns_is_a_set() {
    let schema = StateSchema {
        value: Arc::new(Schema::empty()),
        ..counts_by_user()
    };
    let storage = Arc::default();
    let mut store = open(&storage, &schema, 0);
    let nothing = crate::testing::project(&users(&["", ""]), &[]);
    store.put(&users(&["a", "b"]), &nothing).unwrap();
    block_on(store.commit()).unwrap();
    let mut store = open(&storage, &schema, 1);
    let lookup = store.get(&users(&["b", "c"])).unwrap();
    assert_eq!(lookup.found, vec![true, false].into());
    assert_eq!(
        (lookup.values.num_rows(), lookup.values.num_columns()),
        (2, 0)
    );
}

#[test]
fn columns_of_other_types_are_refused() {
    let mut store = empty(&counts_by_user());
    let error = store.get(&windows(&[(1, "a")])).unwrap_err();
    assert!(
        matches!(error, StateError::WrongColumns { part: "key", .. }),
        "{error}"
    );
    let error = store.put(&users(&["a"]), &users(&["a"])).unwrap_err();
    assert!(
        matches!(error, StateError::WrongColumns { part: "value", .. }),
        "{error}"
    );
    let error = store.put(&users(&["a", "b"]), &counts(&[1])).unwrap_err();
    assert!(
        matches!(error, StateError::WrongColumns { part: "value", .. }),
        "{error}"
    );
    assert!(!store.has_changes());
}

#[test]
fn a_checkpoint_opens_under_other_names_and_string_layouts() {
    let storage = Arc::default();
    let mut store = open(&storage, &counts_by_user(), 0);
    store.put(&users(&["a"]), &counts(&[1])).unwrap();
    block_on(store.commit()).unwrap();
    let key = Schema::new(vec![Field::new("renamed", DataType::Utf8View, false)]);
    let value = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    let schema = StateSchema::new(Arc::new(key), Arc::new(value));
    let mut store = open(&storage, &schema, 1);
    let keys: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "absent"]));
    let lookup = store.get(&batch(&schema.key, vec![keys])).unwrap();
    assert_eq!(texts(&lookup.values), ["1", "∅"]);
    let scanned = store.scan().unwrap();
    assert_eq!(
        scanned[0].schema().field(0).data_type(),
        &DataType::Utf8View
    );
    assert_eq!(scanned[0].schema().field(0).name(), "renamed");
}

#[test]
fn a_checkpoint_with_other_types_is_refused_for_key_and_value_apart() {
    let storage = Arc::default();
    let mut store = open(&storage, &counts_by_user(), 0);
    store.put(&users(&["a"]), &counts(&[1])).unwrap();
    block_on(store.commit()).unwrap();
    let provider = provider(&storage, options());
    let int = Arc::new(Schema::new(vec![Field::new("x", DataType::Int32, true)]));
    let other_key = StateSchema {
        key: Arc::clone(&int),
        ..counts_by_user()
    };
    let error = block_on(provider.open(&StateStoreId::new(0, 0), &other_key, 1))
        .err()
        .unwrap();
    let StateError::KeySchemaMismatch {
        expected, found, ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (expected.as_str(), found.as_str()),
        ("[x int]", "[user string]")
    );
    let other_value = StateSchema {
        value: int,
        ..counts_by_user()
    };
    let error = block_on(provider.open(&StateStoreId::new(0, 0), &other_value, 1))
        .err()
        .unwrap();
    assert!(
        matches!(error, StateError::ValueSchemaMismatch { .. }),
        "{error}"
    );
}

#[test]
fn types_that_state_cannot_hold_are_named() {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let nested = DataType::Struct(Fields::from(vec![Field::new("d", dictionary, true)]));
    let value = Arc::new(Schema::new(vec![Field::new("v", nested, true)]));
    let schema = StateSchema {
        value,
        ..counts_by_user()
    };
    let provider = provider(&Arc::default(), options());
    let error = block_on(provider.open(&StateStoreId::new(0, 0), &schema, 0))
        .err()
        .unwrap();
    let StateError::UnsupportedType { column, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(column, "v");
}

#[test]
fn small_slices_of_large_columns_do_not_pin_them() {
    let mut store = empty(&counts_by_user());
    let big: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_000_000));
    for i in 0..50 {
        let value = batch(&counts_by_user().value, vec![big.slice(i, 1)]);
        store.put(&users(&[&format!("user-{i}")]), &value).unwrap();
        block_on(store.commit()).unwrap();
    }
    let metrics = store.metrics();
    assert!(metrics.memory_bytes < 100_000, "{metrics:?}");
    let values = store.get(&users(&["user-7"])).unwrap().values;
    assert_eq!(values.column(0).as_primitive::<Int64Type>().value(0), 7);
}

#[test]
fn memory_and_segments_stay_bounded_under_endless_updates() {
    let mut store = empty(&counts_by_user());
    let names: Vec<String> = (0..1_000).map(|i| format!("user-{i:06}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut peak = 0;
    for round in 0..300 {
        let some = users(&names[round % 10 * 100..][..100]);
        store.put(&some, &counts(&[round as i64; 100])).unwrap();
        block_on(store.commit()).unwrap();
        peak = peak.max(store.metrics().memory_bytes);
        assert!(store.metrics().segments < 32, "{:?}", store.metrics());
    }
    assert!(peak < 2_000_000, "{peak} bytes for 1000 keys");
    assert_eq!(store.metrics().num_keys, 1_000);
}

#[test]
fn a_store_that_was_emptied_gives_its_memory_back() {
    let mut store = empty(&counts_by_window());
    for round in 0..50_i64 {
        let keys: Vec<(i64, String)> = (0..2_000).map(|i| (round, format!("user-{i}"))).collect();
        let keys: Vec<(i64, &str)> = keys.iter().map(|(t, u)| (*t, u.as_str())).collect();
        store
            .put(&windows(&keys), &counts(&vec![1; keys.len()]))
            .unwrap();
        store.drop_expired(round - 2).unwrap();
        block_on(store.commit()).unwrap();
        assert!(
            store.metrics().memory_bytes < 6_000_000,
            "{:?}",
            store.metrics()
        );
    }
    store.drop_expired(i64::MAX).unwrap();
    block_on(store.commit()).unwrap();
    assert_eq!(store.metrics().num_keys, 0);
    assert!(
        store.metrics().memory_bytes < 1_500_000,
        "{:?}",
        store.metrics()
    );
}

#[test]
fn nested_and_wide_types_survive_the_round_trip() {
    let schema = {
        let fields = Fields::from(vec![
            Field::new("a", DataType::Int32, true),
            Field::new("b", DataType::LargeUtf8, true),
        ]);
        let key = Schema::new(vec![Field::new("s", DataType::Struct(fields), true)]);
        let list = DataType::new_list(DataType::Utf8, true);
        let value = Schema::new(vec![
            Field::new("l", list, true),
            Field::new("d", DataType::Decimal128(38, 6), true),
        ]);
        StateSchema::new(Arc::new(key), Arc::new(value))
    };
    let DataType::Struct(fields) = schema.key.field(0).data_type().clone() else {
        panic!()
    };
    let a: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(1)]));
    let b: ArrayRef = Arc::new(LargeStringArray::from(vec![Some("x"), Some("y"), None]));
    let key: ArrayRef = Arc::new(arrow::array::StructArray::new(fields, vec![a, b], None));
    let mut lists = arrow::array::ListBuilder::new(arrow::array::StringBuilder::new());
    lists.append_value([Some("p"), None]);
    lists.append_null();
    lists.append_value([] as [Option<&str>; 0]);
    let decimals = arrow::array::Decimal128Array::from(vec![Some(i128::MAX / 2), None, Some(-1)])
        .with_precision_and_scale(38, 6)
        .unwrap();
    let values = batch(
        &schema.value,
        vec![Arc::new(lists.finish()), Arc::new(decimals)],
    );
    let keys = batch(&schema.key, vec![key]);
    let storage = Arc::default();
    let mut store = open(&storage, &schema, 0);
    store.put(&keys, &values).unwrap();
    block_on(store.commit()).unwrap();
    let mut store = open(&storage, &schema, 1);
    let lookup = store.get(&keys).unwrap();
    assert_eq!(lookup.found.true_count(), 3);
    assert_eq!(texts(&lookup.values), texts(&values));
    assert!(lookup.values.column(0).is_null(1));
}

#[test]
fn commits_of_one_key_do_not_leave_a_segment_each() {
    let mut store = empty(&counts_by_user());
    for i in 0..600 {
        store
            .put(&users(&[&format!("user-{i}")]), &counts(&[i]))
            .unwrap();
        block_on(store.commit()).unwrap();
        assert!(
            store.metrics().segments <= 40,
            "{:?} after {i}",
            store.metrics()
        );
    }
    assert_eq!(store.metrics().num_keys, 600);
}

#[test]
fn garbage_in_large_segments_is_collected() {
    let mut store = empty(&counts_by_user());
    let names: Vec<String> = (0..40_000).map(|i| format!("user-{i:06}")).collect();
    for round in 0..16 {
        // A sixteenth less each time, so that every segment keeps a few rows for good.
        let touched = names.iter().enumerate().filter(|(i, _)| i % 16 >= round);
        let touched: Vec<&str> = touched.map(|(_, name)| name.as_str()).collect();
        store
            .put(
                &users(&touched),
                &counts(&vec![round as i64; touched.len()]),
            )
            .unwrap();
        block_on(store.commit()).unwrap();
        let metrics = store.metrics();
        assert_eq!(metrics.num_keys, 40_000);
        assert!(
            metrics.garbage_rows <= 60_000,
            "{metrics:?} after round {round}"
        );
    }
}
