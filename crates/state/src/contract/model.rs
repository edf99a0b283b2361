//! Random histories against a map per version.
//!
//! Keys come from a small domain per key shape, given by index; each domain also has an alias for every
//! key, equal to it and, where the type allows, of other bits. The model maps indices to values.
use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
        StringArray, StringViewArray, StructArray, TimestampMicrosecondArray, UInt32Array,
    },
    compute::take_record_batch,
    datatypes::{DataType, Field, Fields, Int32Type, Schema, TimeUnit},
};
use futures::executor::block_on;
use proptest::prelude::*;

use crate::{
    StateLogOptions, StateSchema, StateStore, StateStoreId, StateStoreProviderRef,
    testing::{Kind, MemoryStorage, batch, every_provider, options, project, texts},
};

const KEYS: usize = 12;
/// Unit of the event times, chosen so that they are seconds apart, and thresholds between them.
const TICK: i64 = 1 << 18;

type Value = (Option<i64>, Option<String>);
type Model = BTreeMap<usize, Value>;

/// A shape of keys with its domain.
struct Shape {
    schema: StateSchema,
    domain: RecordBatch,
    alias: RecordBatch,
    /// By key index; `None` where NULL or without event time.
    event_times: Vec<Option<i64>>,
    /// Key indices that share the prefix of the given one.
    prefix_of: Vec<usize>,
}

fn value_schema() -> Schema {
    Schema::new(vec![
        Field::new("count", DataType::Int64, true),
        Field::new("last", DataType::Utf8View, true),
    ])
}

fn shape(number: usize) -> Shape {
    let ids = 0..KEYS as i64;
    let name = |i: i64| (i != 3).then(|| format!("user {} with a long name", i));
    let event_time = |i: i64| (i != 5).then_some(i / 3 * 10 * TICK);
    let times = || ids.clone().map(event_time).collect::<Vec<_>>();
    let (columns, alias, event_time, prefix): (Vec<ArrayRef>, Option<Vec<ArrayRef>>, _, _) =
        match number {
            0 => (
                vec![Arc::new(StringArray::from_iter(ids.clone().map(name)))],
                None,
                None,
                0,
            ),
            1 => {
                let times = TimestampMicrosecondArray::from(times()).with_timezone("UTC");
                let names = StringViewArray::from_iter(ids.clone().map(name));
                (
                    vec![Arc::new(times) as ArrayRef, Arc::new(names)],
                    None,
                    Some(0),
                    1,
                )
            }
            2 => {
                let floats = |zero: f64, nan: f64| {
                    let value = move |i: i64| match i % 4 {
                        0 => Some(zero),
                        1 => Some(nan),
                        2 => None,
                        _ => Some(-1.5),
                    };
                    Float64Array::from_iter((0..KEYS as i64).map(value))
                };
                let part = BooleanArray::from_iter(ids.clone().map(|i| match i / 4 {
                    0 => None,
                    third => Some(third == 1),
                }));
                let columns = |floats: Float64Array| -> Vec<ArrayRef> {
                    vec![Arc::new(floats), Arc::new(part.clone())]
                };
                let other_nan = f64::from_bits(0x7ff8_0000_dead_beef);
                (
                    columns(floats(0.0, f64::NAN)),
                    Some(columns(floats(-0.0, other_nan))),
                    None,
                    1,
                )
            }
            3 => {
                let fields = Fields::from(vec![
                    Field::new("n", DataType::Int32, true),
                    Field::new("s", DataType::Utf8, true),
                ]);
                let n = Int32Array::from_iter(ids.clone().map(|i| (i % 2 == 0).then_some(7)));
                let s = StringArray::from_iter(ids.clone().map(name));
                let columns: Vec<ArrayRef> = vec![Arc::new(n), Arc::new(s)];
                let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(
                    ids.clone()
                        .map(|i| (i != 1).then(|| vec![Some(i as i32), None])),
                );
                let structs = StructArray::new(fields, columns, None);
                (vec![Arc::new(structs), Arc::new(lists)], None, None, 0)
            }
            _ => {
                let groups = Int64Array::from_iter_values(ids.clone().map(|i| i % 3));
                let times = Int64Array::from(times());
                let sequence = Int64Array::from_iter_values(ids.clone());
                let columns: Vec<ArrayRef> =
                    vec![Arc::new(groups), Arc::new(times), Arc::new(sequence)];
                (columns, None, Some(1), 1)
            }
        };
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(i, column)| Field::new(format!("k{i}"), column.data_type().clone(), true))
        .collect();
    let key = Arc::new(Schema::new(fields));
    let domain = batch(&key, columns);
    let alias = alias.map_or_else(|| domain.clone(), |columns| batch(&key, columns));
    let prefixes = texts(&project(&domain, &Vec::from_iter(0..prefix)));
    let first = |prefix: &String| prefixes.iter().position(|p| p == prefix).unwrap();
    Shape {
        event_times: event_time.map_or_else(|| vec![None; KEYS], |_: usize| times()),
        prefix_of: prefixes.iter().map(first).collect(),
        schema: StateSchema {
            key,
            value: Arc::new(value_schema()),
            event_time,
            prefix,
        },
        domain,
        alias,
    }
}

#[derive(Debug, Clone)]
enum Op {
    /// (key, whether by alias, value); optionally after a `get` of the same arrays.
    Put(Vec<(usize, bool, Value)>, bool),
    PutAbsent(Vec<(usize, bool, Value)>),
    Delete(Vec<(usize, bool)>),
    Get(Vec<(usize, bool)>),
    Evict(i64, bool),
    PrefixScan(Vec<usize>),
    Commit,
    Rollback,
    /// Load from files the version that far behind the newest.
    Reopen(u64),
    Snapshot,
    RemoveObsolete(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let key = || (0..KEYS, any::<bool>());
    let keys = || prop::collection::vec(key(), 0..8);
    let value = (
        prop::option::of(0..100_i64),
        prop::option::of("[a-z]{0,20}"),
    );
    let entry = (0..KEYS, any::<bool>(), value);
    let op = prop_oneof![
        6 => (prop::collection::vec(entry.clone(), 0..10), any::<bool>()).prop_map(|(e, g)| Op::Put(e, g)),
        3 => prop::collection::vec(entry, 0..10).prop_map(Op::PutAbsent),
        2 => keys().prop_map(Op::Delete),
        2 => keys().prop_map(Op::Get),
        2 => (-10..60_i64, any::<bool>()).prop_map(|(t, rows)| Op::Evict(t * TICK, rows)),
        1 => prop::collection::vec(0..KEYS, 0..4).prop_map(Op::PrefixScan),
        5 => Just(Op::Commit),
        1 => Just(Op::Rollback),
        2 => (0..4_u64).prop_map(Op::Reopen),
        2 => Just(Op::Snapshot),
        1 => (0..4_u64).prop_map(Op::RemoveObsolete),
    ];
    prop::collection::vec(op, 1..60)
}

struct Run {
    shape: Shape,
    provider: StateStoreProviderRef,
    store: Box<dyn StateStore>,
    /// The model of each version, and of the uncommitted state.
    versions: Vec<Model>,
    current: Model,
    /// Oldest version that must load.
    oldest: u64,
}

impl Run {
    fn new(kind: Kind, shape_number: usize) -> Self {
        let shape = shape(shape_number);
        let options = StateLogOptions {
            min_deltas_for_snapshot: 2,
            snapshot_file_bytes: 64,
            ..options()
        };
        let storage: Arc<MemoryStorage> = Arc::default();
        let provider = kind.provider(&storage, options);
        let id = StateStoreId::new(1, 2);
        let store = block_on(provider.open(&id, &shape.schema, 0)).unwrap();
        let (versions, current) = (vec![Model::new()], Model::new());
        Self {
            shape,
            provider,
            store,
            versions,
            current,
            oldest: 0,
        }
    }

    fn keys(&self, keys: &[(usize, bool)]) -> RecordBatch {
        let rows = keys
            .iter()
            .map(|(key, alias)| (*key + if *alias { KEYS } else { 0 }) as u32);
        let both = [&self.shape.domain, &self.shape.alias];
        let both = arrow::compute::concat_batches(&self.shape.schema.key, both).unwrap();
        take_record_batch(&both, &UInt32Array::from_iter_values(rows)).unwrap()
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Put(entries, asked) => self.put(entries, asked),
            Op::PutAbsent(entries) => self.put_absent(entries),
            Op::Delete(keys) => {
                let removed = self.store.delete(&self.keys(&keys)).unwrap();
                let gone = keys
                    .iter()
                    .filter(|(key, _)| self.current.remove(key).is_some());
                assert_eq!(removed, gone.count() as u64);
            }
            Op::Get(keys) => {
                let lookup = self.store.get(&self.keys(&keys)).unwrap();
                let expected = keys.iter().map(|(key, _)| self.current.get(key));
                let found: Vec<bool> = expected.clone().map(|value| value.is_some()).collect();
                assert_eq!(lookup.found, found.into());
                let expected: Vec<String> = expected.map(text).collect();
                assert_eq!(texts(&lookup.values), expected);
            }
            Op::Evict(threshold, rows) => self.evict(threshold, rows),
            Op::PrefixScan(keys) => self.prefix_scan(&keys),
            Op::Commit => {
                let summary = block_on(self.store.commit()).unwrap();
                self.versions.push(self.current.clone());
                assert_eq!(summary.version, self.versions.len() as u64 - 1);
            }
            Op::Rollback => {
                self.store.rollback();
                self.current = self.versions.last().unwrap().clone();
            }
            Op::Reopen(back) => {
                let newest = self.versions.len() as u64 - 1;
                let version = newest.saturating_sub(back).max(self.oldest.min(newest));
                let id = self.store.id().clone();
                // As a process that ends: its lock on the local folder goes before the next one opens it.
                let nobody = StateStoreId::new(9, 9);
                let schema = &self.shape.schema;
                self.store = block_on(self.provider.open(&nobody, schema, 0)).unwrap();
                self.store = block_on(self.provider.open(&id, schema, version)).unwrap();
                self.versions.truncate(version as usize + 1);
                self.current = self.versions.last().unwrap().clone();
            }
            Op::Snapshot => {
                if let Some(task) = self.store.capture_snapshot() {
                    block_on(task.write()).unwrap();
                }
                if let Some(task) = self.store.capture_compaction() {
                    task.run().unwrap();
                }
            }
            Op::RemoveObsolete(keep) => {
                let oldest = self.store.version().saturating_sub(keep).max(self.oldest);
                block_on(self.provider.remove_obsolete(self.store.id(), oldest)).unwrap();
                self.oldest = oldest;
            }
        }
    }

    /// Entries as the store takes them.
    fn columns(&self, entries: &[(usize, bool, Value)]) -> (RecordBatch, RecordBatch) {
        let keys: Vec<_> = entries
            .iter()
            .map(|(key, alias, _)| (*key, *alias))
            .collect();
        let counts = Int64Array::from_iter(entries.iter().map(|(_, _, value)| value.0));
        let last = StringViewArray::from_iter(entries.iter().map(|(_, _, value)| value.1.clone()));
        let values: Vec<ArrayRef> = vec![Arc::new(counts), Arc::new(last)];
        let values = batch(&self.shape.schema.value, values);
        (self.keys(&keys), values)
    }

    fn put(&mut self, entries: Vec<(usize, bool, Value)>, asked: bool) {
        let (keys, values) = self.columns(&entries);
        if asked {
            self.store.get(&keys).unwrap();
        }
        self.store.put(&keys, &values).unwrap();
        self.current
            .extend(entries.into_iter().map(|(key, _, value)| (key, value)));
    }

    fn put_absent(&mut self, entries: Vec<(usize, bool, Value)>) {
        let (keys, values) = self.columns(&entries);
        let written = self.store.put_absent(&keys, &values).unwrap();
        let mut expected = Vec::new();
        for (key, _, value) in entries {
            expected.push(!self.current.contains_key(&key));
            self.current.entry(key).or_insert(value);
        }
        assert_eq!(written, expected.into());
    }

    fn evict(&mut self, threshold: i64, rows: bool) {
        if self.shape.schema.event_time.is_none() {
            assert!(self.store.evict(threshold).is_err());
            return;
        }
        let times = &self.shape.event_times;
        let old = |key: &usize| times[*key].is_some_and(|time| time <= threshold);
        let gone: Model = self
            .current
            .iter()
            .filter(|(k, _)| old(k))
            .map(|(k, v)| (*k, v.clone()))
            .collect();
        self.current.retain(|key, _| !old(key));
        match rows {
            true => {
                let evicted = self.store.evict(threshold).unwrap();
                assert_eq!(crate::testing::rows(&evicted), self.entries(&gone));
            }
            false => {
                assert_eq!(
                    self.store.drop_expired(threshold).unwrap(),
                    gone.len() as u64
                );
            }
        }
    }

    fn prefix_scan(&mut self, keys: &[usize]) {
        let prefix = self.shape.schema.prefix;
        let asked = self.keys(&keys.iter().map(|key| (*key, true)).collect::<Vec<_>>());
        let asked = project(&asked, &Vec::from_iter(0..prefix));
        if prefix == 0 {
            assert!(self.store.prefix_scan(&asked).is_err());
            return;
        }
        let matches = self.store.prefix_scan(&asked).unwrap();
        let entries = texts(&matches.entries);
        let mut found: Vec<(u32, String)> = matches
            .asked
            .values()
            .iter()
            .copied()
            .zip(entries)
            .collect();
        assert!(found.is_sorted_by_key(|(asked, _)| *asked));
        found.sort_unstable();
        let groups = &self.shape.prefix_of;
        let mut expected = Vec::new();
        for (row, key) in keys.iter().enumerate() {
            let group = self
                .current
                .iter()
                .filter(|(other, _)| groups[**other] == groups[*key]);
            let group: Model = group.map(|(k, v)| (*k, v.clone())).collect();
            expected.extend(
                self.entries(&group)
                    .into_iter()
                    .map(|entry| (row as u32, entry)),
            );
        }
        expected.sort_unstable();
        assert_eq!(found, expected);
    }

    fn entries(&self, model: &Model) -> Vec<String> {
        let keys = texts(&self.shape.domain);
        let mut entries: Vec<String> = model
            .iter()
            .map(|(key, value)| format!("{}|{}", keys[*key], text(Some(value))))
            .collect();
        entries.sort_unstable();
        entries
    }

    fn check(&self) {
        assert_eq!(
            crate::testing::rows(&self.store.scan().unwrap()),
            self.entries(&self.current)
        );
        assert_eq!(self.store.metrics().num_keys, self.current.len() as u64);
        assert_eq!(self.store.version(), self.versions.len() as u64 - 1);
    }

    /// Every retained version loads as the model says.
    fn check_versions(&self) {
        for version in self.oldest as usize..self.versions.len() {
            let id = self.store.id();
            let opened = self.provider.open(id, &self.shape.schema, version as u64);
            let opened = block_on(opened).unwrap();
            let expected = self.entries(&self.versions[version]);
            assert_eq!(
                crate::testing::rows(&opened.scan().unwrap()),
                expected,
                "{version}"
            );
        }
    }
}

fn text(value: Option<&Value>) -> String {
    let (count, last) = value.cloned().unwrap_or_default();
    let count = count.map_or_else(|| "∅".to_owned(), |count| count.to_string());
    format!("{count}|{}", last.unwrap_or_else(|| "∅".to_owned()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases * 6 / 5))]

    #[test]
    fn every_history_reads_like_a_map_per_version(
        kind in prop::sample::select(&Kind::ALL),
        shape in 0..5_usize,
        ops in ops(),
    ) {
        let mut run = Run::new(kind, shape);
        for op in ops {
            run.apply(op);
            run.check();
        }
        run.check_versions();
    }
}

#[test]
fn domains_have_distinct_keys_and_equal_aliases() {
    for number in 0..5 {
        let shape = shape(number);
        assert_eq!(shape.domain.num_rows(), KEYS);
        let mut keys = texts(&shape.domain);
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), KEYS, "shape {number}");
        assert_eq!(
            shape.schema.event_time.is_some(),
            shape.event_times.iter().any(Option::is_some)
        );
        let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        assert!(number != 1 || shape.schema.key.field(0).data_type() == &time);
    }
}

every_provider!(heavy_updates_with_compaction_read_like_a_map);

/// The random histories are too small for garbage to be collected.
fn heavy_updates_with_compaction_read_like_a_map(kind: Kind) {
    use crate::testing::{counts, counts_by_window, windows};
    let storage: Arc<MemoryStorage> = Arc::default();
    let provider = kind.provider(&storage, options());
    let id = StateStoreId::new(0, 0);
    let mut store = block_on(provider.open(&id, &counts_by_window(), 0)).unwrap();
    let mut model: BTreeMap<(i64, u64), i64> = BTreeMap::new();
    let mut peak_garbage = 0;
    let domain = match kind {
        Kind::Columnar => 30_000_u64,
        Kind::Lsm | Kind::LsmSpilling => 3_000,
    };
    let rows_of = |keys: &[(i64, u64)]| {
        let names: Vec<String> = keys
            .iter()
            .map(|(_, user)| format!("user-{user}"))
            .collect();
        windows(
            &keys
                .iter()
                .zip(&names)
                .map(|((w, _), n)| (*w, n.as_str()))
                .collect::<Vec<_>>(),
        )
    };
    for round in 0..40_i64 {
        // A different third of the keys each time, and every seventh of those deleted again.
        let touched: Vec<(i64, u64)> = (0..domain)
            .filter(|user| user.wrapping_mul(0x9e37_79b9) >> (round % 16) & 0xff < 0x55)
            .map(|user| (user as i64 % 4 + round / 10, user))
            .collect();
        store
            .put(&rows_of(&touched), &counts(&vec![round; touched.len()]))
            .unwrap();
        model.extend(touched.iter().map(|key| (*key, round)));
        let deleted: Vec<_> = touched.iter().step_by(7).copied().collect();
        assert_eq!(
            store.delete(&rows_of(&deleted)).unwrap(),
            deleted.len() as u64
        );
        for key in &deleted {
            model.remove(key);
        }
        store.drop_expired(round / 10 - 1).unwrap();
        model.retain(|(window, _), _| *window > round / 10 - 1);
        block_on(store.commit()).unwrap();
        peak_garbage = peak_garbage.max(store.metrics().garbage_rows);
        assert_eq!(
            store.metrics().num_keys,
            model.len() as u64,
            "round {round}"
        );
    }
    let bound = 2 * model.len().max(1 << 14) as u64 + 30_000;
    assert!(
        kind != Kind::Columnar || (peak_garbage > 1 << 14 && peak_garbage < bound),
        "{peak_garbage}"
    );
    let found = |store: &dyn StateStore| {
        let mut found = BTreeMap::new();
        for batch in store.scan().unwrap() {
            use arrow::{
                array::AsArray,
                datatypes::{Int64Type, TimestampMicrosecondType},
            };
            let windows = batch
                .column(0)
                .as_primitive::<TimestampMicrosecondType>()
                .values();
            let names = batch.column(1).as_string::<i32>();
            let counts = batch.column(2).as_primitive::<Int64Type>().values();
            for row in 0..batch.num_rows() {
                let user = names
                    .value(row)
                    .trim_start_matches("user-")
                    .parse()
                    .unwrap();
                found.insert((windows[row], user), counts[row]);
            }
        }
        found
    };
    assert!(found(store.as_ref()) == model);
    let loaded = block_on(provider.open(&id, &counts_by_window(), 40)).unwrap();
    assert!(found(loaded.as_ref()) == model);
    let all: Vec<(i64, u64)> = model.keys().copied().collect();
    let lookup = store.get(&rows_of(&all)).unwrap();
    assert_eq!(lookup.found.true_count(), all.len());
}
