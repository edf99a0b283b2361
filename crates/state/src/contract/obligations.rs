//! The contract, obligation by obligation.
use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Float64Array, Int32Array, LargeStringArray, RecordBatch,
        StringArray, StringViewArray,
    },
    datatypes::{DataType, Field, Fields, Schema},
};
use futures::executor::block_on;

use crate::{
    StateError, StateSchema, StateStore, StateStoreId,
    testing::{
        Kind, MemoryStorage, batch, counts, counts_by_user, counts_by_window, every_provider,
        options, rows, texts, users, windows,
    },
};

every_provider!(
    get_answers_in_the_order_asked_with_null_for_absent_keys,
    the_last_of_equal_keys_in_one_put_wins,
    a_put_of_the_keys_just_asked_for_does_not_depend_on_that,
    null_keys_equal_each_other_and_nothing_else,
    floating_point_keys_compare_as_spark_groups_them,
    deleted_keys_are_gone_and_can_come_back,
    eviction_takes_what_is_as_old_as_the_threshold_and_leaves_null,
    eviction_is_one_record_in_the_changelog_however_many_keys_go,
    evictions_replay_when_the_query_no_longer_has_an_event_time,
    rollback_restores_what_was_committed,
    prefix_scan_finds_all_keys_that_start_alike,
    a_store_without_key_columns_has_one_key,
    a_store_without_value_columns_is_a_set,
    columns_of_other_types_are_refused,
    a_checkpoint_opens_under_other_names_and_string_layouts,
    a_checkpoint_with_other_types_is_refused_for_key_and_value_apart,
    types_that_state_cannot_hold_are_named,
    nested_and_wide_types_survive_the_round_trip,
);

fn open(
    kind: Kind,
    storage: &Arc<MemoryStorage>,
    schema: &StateSchema,
    version: u64,
) -> Box<dyn StateStore> {
    let provider = kind.provider(storage, options());
    block_on(provider.open(&StateStoreId::new(0, 0), schema, version)).unwrap()
}

fn empty(kind: Kind, schema: &StateSchema) -> Box<dyn StateStore> {
    open(kind, &Arc::default(), schema, 0)
}

fn get_answers_in_the_order_asked_with_null_for_absent_keys(kind: Kind) {
    let mut store = empty(kind, &counts_by_user());
    store
        .put(&users(&["a", "b", "c"]), &counts(&[1, 2, 3]))
        .unwrap();
    let lookup = store.get(&users(&["c", "x", "a", "c"])).unwrap();
    assert_eq!(lookup.found, vec![true, false, true, true].into());
    assert_eq!(texts(&lookup.values), ["3", "∅", "1", "3"]);
    assert_eq!(store.metrics().num_keys, 3, "asking does not add keys");
}

fn the_last_of_equal_keys_in_one_put_wins(kind: Kind) {
    let mut store = empty(kind, &counts_by_user());
    store
        .put(&users(&["a", "b", "a"]), &counts(&[1, 2, 3]))
        .unwrap();
    assert_eq!(rows(&store.scan().unwrap()), ["a|3", "b|2"]);
    let summary = block_on(store.commit()).unwrap();
    assert_eq!((summary.rows_updated, summary.rows_removed), (2, 0));
}

fn a_put_of_the_keys_just_asked_for_does_not_depend_on_that(kind: Kind) {
    let mut store = empty(kind, &counts_by_user());
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

fn null_keys_equal_each_other_and_nothing_else(kind: Kind) {
    let mut store = empty(kind, &counts_by_user());
    let keys: ArrayRef = Arc::new(StringArray::from(vec![None, Some(""), None]));
    let keys = batch(&counts_by_user().key, vec![keys]);
    store.put(&keys, &counts(&[1, 2, 3])).unwrap();
    assert_eq!(rows(&store.scan().unwrap()), ["|2", "∅|3"]);
}

fn floating_point_keys_compare_as_spark_groups_them(kind: Kind) {
    let key = Schema::new(vec![Field::new("x", DataType::Float64, true)]);
    let schema = StateSchema {
        key: Arc::new(key),
        ..counts_by_user()
    };
    let mut store = empty(kind, &schema);
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

fn deleted_keys_are_gone_and_can_come_back(kind: Kind) {
    let mut store = empty(kind, &counts_by_user());
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

fn eviction_takes_what_is_as_old_as_the_threshold_and_leaves_null(kind: Kind) {
    let schema = counts_by_window();
    let mut store = empty(kind, &schema);
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

fn eviction_is_one_record_in_the_changelog_however_many_keys_go(kind: Kind) {
    let storage = Arc::default();
    let mut store = open(kind, &storage, &counts_by_window(), 0);
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
        open(kind, &storage, &counts_by_window(), 2)
            .metrics()
            .num_keys,
        100
    );
}

fn evictions_replay_when_the_query_no_longer_has_an_event_time(kind: Kind) {
    let storage = Arc::default();
    let mut store = open(kind, &storage, &counts_by_window(), 0);
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
    let mut store = open(kind, &storage, &without, 2);
    assert_eq!(store.metrics().num_keys, 1);
    let error = store.evict(20).unwrap_err().to_string();
    assert!(error.contains("event-time column"), "{error}");
}

fn rollback_restores_what_was_committed(kind: Kind) {
    let mut store = empty(kind, &counts_by_window());
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

fn prefix_scan_finds_all_keys_that_start_alike(kind: Kind) {
    let schema = counts_by_window().with_prefix(1);
    let mut store = empty(kind, &schema);
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

fn a_store_without_key_columns_has_one_key(kind: Kind) {
    let schema = StateSchema {
        key: Arc::new(Schema::empty()),
        ..counts_by_user()
    };
    let storage = Arc::default();
    let mut store = open(kind, &storage, &schema, 0);
    let key = crate::testing::project(&users(&["x"]), &[]);
    assert!(!store.get(&key).unwrap().found.value(0));
    store.put(&key, &counts(&[41])).unwrap();
    block_on(store.commit()).unwrap();
    let mut store = open(kind, &storage, &schema, 1);
    assert_eq!(texts(&store.get(&key).unwrap().values), ["41"]);
    store.delete(&key).unwrap();
    block_on(store.commit()).unwrap();
    let mut store = open(kind, &storage, &schema, 2);
    assert!(!store.get(&key).unwrap().found.value(0));
}

fn a_store_without_value_columns_is_a_set(kind: Kind) {
    let schema = StateSchema {
        value: Arc::new(Schema::empty()),
        ..counts_by_user()
    };
    let storage = Arc::default();
    let mut store = open(kind, &storage, &schema, 0);
    let nothing = crate::testing::project(&users(&["", ""]), &[]);
    store.put(&users(&["a", "b"]), &nothing).unwrap();
    block_on(store.commit()).unwrap();
    let mut store = open(kind, &storage, &schema, 1);
    let lookup = store.get(&users(&["b", "c"])).unwrap();
    assert_eq!(lookup.found, vec![true, false].into());
    assert_eq!(
        (lookup.values.num_rows(), lookup.values.num_columns()),
        (2, 0)
    );
}

fn columns_of_other_types_are_refused(kind: Kind) {
    let mut store = empty(kind, &counts_by_user());
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

fn a_checkpoint_opens_under_other_names_and_string_layouts(kind: Kind) {
    let storage = Arc::default();
    let mut store = open(kind, &storage, &counts_by_user(), 0);
    store.put(&users(&["a"]), &counts(&[1])).unwrap();
    block_on(store.commit()).unwrap();
    let key = Schema::new(vec![Field::new("renamed", DataType::Utf8View, false)]);
    let value = Schema::new(vec![Field::new("n", DataType::Int64, false)]);
    let schema = StateSchema::new(Arc::new(key), Arc::new(value));
    let mut store = open(kind, &storage, &schema, 1);
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

fn a_checkpoint_with_other_types_is_refused_for_key_and_value_apart(kind: Kind) {
    let storage = Arc::default();
    let mut store = open(kind, &storage, &counts_by_user(), 0);
    store.put(&users(&["a"]), &counts(&[1])).unwrap();
    block_on(store.commit()).unwrap();
    let provider = kind.provider(&storage, options());
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

fn types_that_state_cannot_hold_are_named(kind: Kind) {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let nested = DataType::Struct(Fields::from(vec![Field::new("d", dictionary, true)]));
    let value = Arc::new(Schema::new(vec![Field::new("v", nested, true)]));
    let schema = StateSchema {
        value,
        ..counts_by_user()
    };
    let provider = kind.provider(&Arc::default(), options());
    let error = block_on(provider.open(&StateStoreId::new(0, 0), &schema, 0))
        .err()
        .unwrap();
    let StateError::UnsupportedType { column, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(column, "v");
}

fn nested_and_wide_types_survive_the_round_trip(kind: Kind) {
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
    let mut store = open(kind, &storage, &schema, 0);
    store.put(&keys, &values).unwrap();
    block_on(store.commit()).unwrap();
    let mut store = open(kind, &storage, &schema, 1);
    let lookup = store.get(&keys).unwrap();
    assert_eq!(lookup.found.true_count(), 3);
    assert_eq!(texts(&lookup.values), texts(&values));
    assert!(lookup.values.column(0).is_null(1));
}
