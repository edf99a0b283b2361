//! A layer on its way to the tree: whatever happens above it meanwhile, no answer changes.
use std::collections::BTreeMap;

use lsm_tree::{Cache, DescriptorTable};
use proptest::prelude::*;

use super::{
    codec::{Codecs, encoding_fingerprint},
    local::{Caches, LocalTree},
    state::{Flush, LsmState},
};
use crate::{
    StateStoreId,
    schema::StorageSchema,
    testing::{MemoryStorage, counts, counts_by_window, rows, windows},
};

const USERS: [&str; 3] = ["a", "b", "c"];

#[derive(Debug, Clone)]
enum Step {
    Put(i64, usize, i64),
    Delete(i64, usize),
    Evict(i64),
    Commit,
    RollBack,
    BeginFlush,
    EndFlush,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..9_i64, 0..USERS.len(), 0..100_i64).prop_map(|(w, u, c)| Step::Put(w, u, c)),
        2 => (1..9_i64, 0..USERS.len()).prop_map(|(w, u)| Step::Delete(w, u)),
        1 => (1..9_i64).prop_map(Step::Evict),
        3 => Just(Step::Commit),
        1 => Just(Step::RollBack),
        2 => Just(Step::BeginFlush),
        2 => Just(Step::EndFlush),
    ]
}

type Model = BTreeMap<(i64, usize), i64>;

fn shown(model: &Model) -> Vec<String> {
    let lines = model.iter().map(|((window, user), count)| {
        format!(
            "1970-01-01T00:00:00.00000{window}Z|{}|{count}",
            USERS[*user]
        )
    });
    lines.collect()
}

fn empty(storage: &MemoryStorage) -> LsmState {
    let schema = StorageSchema::try_new(&counts_by_window()).unwrap();
    let codecs = Codecs::try_new(&schema, encoding_fingerprint().unwrap()).unwrap();
    let caches = Caches {
        blocks: Cache::with_capacity_bytes(1 << 20).into(),
        files: DescriptorTable::new(16).into(),
    };
    let id = StateStoreId::new(0, 0);
    let (tree, _) = LocalTree::open(&storage.local_folder(), &id, &caches, |_| false).unwrap();
    LsmState::new(id, schema, codecs, tree, 0)
}

fn end(state: &mut LsmState, flush: &mut Option<Flush>) {
    if let Some(flush) = flush.take() {
        flush.run().unwrap();
        state.flushed();
    }
}

fn check(state: &mut LsmState, model: &Model) {
    assert_eq!(rows(&state.scan().unwrap()), shown(model));
    assert_eq!(state.num_keys(), model.len() as u64);
    let all: Vec<(i64, usize)> = (1..9)
        .flat_map(|w| (0..USERS.len()).map(move |u| (w, u)))
        .collect();
    let asked: Vec<(i64, &str)> = all.iter().map(|(w, u)| (*w, USERS[*u])).collect();
    let found = state.get(&windows(&asked)).unwrap().found;
    let there: Vec<bool> = found.iter().map(|found| found == Some(true)).collect();
    let expected: Vec<bool> = all.iter().map(|key| model.contains_key(key)).collect();
    assert_eq!(there, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_layer_may_be_on_its_way_at_any_time(steps in prop::collection::vec(step(), 1..60)) {
        let storage = MemoryStorage::default();
        let mut state = empty(&storage);
        let (mut committed, mut running) = (Model::new(), Model::new());
        let (mut flush, mut version) = (None, 0);
        for step in steps {
            match step {
                Step::Put(window, user, count) => {
                    let keys = windows(&[(window, USERS[user])]);
                    if count % 2 == 0 {
                        // The `put` takes what this says.
                        state.get(&keys).unwrap();
                    }
                    state.put(&keys, &counts(&[count])).unwrap();
                    running.insert((window, user), count);
                }
                Step::Delete(window, user) => {
                    state.delete(&windows(&[(window, USERS[user])])).unwrap();
                    running.remove(&(window, user));
                }
                Step::Evict(through) => {
                    state.drop_expired(through).unwrap();
                    running.retain(|(window, _), _| *window > through);
                }
                Step::Commit => {
                    state.promote();
                    committed.clone_from(&running);
                    version += 1;
                }
                Step::RollBack => {
                    state.roll_back();
                    running.clone_from(&committed);
                }
                Step::BeginFlush if flush.is_none() => {
                    flush = Some(state.begin_flush(Some((version, 0))));
                }
                Step::EndFlush => end(&mut state, &mut flush),
                Step::BeginFlush => {}
            }
            check(&mut state, &running);
        }
        end(&mut state, &mut flush);
        state.roll_back();
        check(&mut state, &committed);
        state.flush(Some((version, 0))).unwrap();
        // Now all of it is in the tree, and nothing else.
        prop_assert_eq!(state.buffer.bytes(), 0);
        check(&mut state, &committed);
    }
}
