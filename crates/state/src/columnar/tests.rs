//! What only the columnar log promises: memory that follows what is live.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Int64Array},
    datatypes::Int64Type,
};
use futures::executor::block_on;

use crate::{
    StateSchema, StateStore, StateStoreId, StateStoreProvider,
    testing::{
        MemoryStorage, batch, counts, counts_by_user, counts_by_window, options, provider, users,
        windows,
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
