//! What only the LSM tree promises: a local folder that may be damaged, lost or behind, and memory that is bounded.
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use futures::executor::block_on;

use super::{LsmOptions, LsmProvider};
use crate::{
    StateError, StateLogOptions, StateSchema, StateStore, StateStoreId, StateStoreProvider,
    testing::{
        Kind, MemoryStorage, batch, counts, counts_by_user, counts_by_window, options, rows, users,
        windows,
    },
};

fn id() -> StateStoreId {
    StateStoreId::new(0, 0)
}

fn open(storage: &Arc<MemoryStorage>, version: u64) -> Box<dyn StateStore> {
    let provider = Kind::LsmSpilling.provider(storage, options());
    block_on(provider.open(&id(), &counts_by_window(), version)).unwrap()
}

/// Commits versions up to 6, most of them in the tree.
fn history() -> Arc<MemoryStorage> {
    history_beside(&[])
}

/// As [`history`], beside keys of the first version that nobody asks for again.
fn history_beside(others: &[&str]) -> Arc<MemoryStorage> {
    let storage = Arc::default();
    let mut store = open(&storage, 0);
    let keys: Vec<(i64, &str)> = others.iter().map(|user| (0, *user)).collect();
    let values = counts(&vec![7; keys.len()]);
    store.put(&windows(&keys), &values).unwrap();
    for batch in 0..6 {
        let keys = windows(&[(batch, "a"), (batch, "b"), (0, "c")]);
        store.put(&keys, &counts(&[batch, 1, batch])).unwrap();
        store.delete(&windows(&[(batch - 1, "b")])).unwrap();
        block_on(store.commit()).unwrap();
    }
    storage
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files.sort();
    files
}

fn tree_files(storage: &MemoryStorage) -> Vec<PathBuf> {
    files_below(&storage.local_folder().join("0/0/default/tree"))
}

#[test]
fn the_next_process_goes_on_from_the_local_folder() {
    let storage = history();
    let before = tree_files(&storage);
    assert!(!before.is_empty());
    // Without the folder, version 6 would need these.
    for version in 1..=4 {
        storage.remove(&format!("0/0/{version}.delta"));
    }
    let store = open(&storage, 6);
    assert_eq!(store.metrics().num_keys, 8);
    drop(store);
    storage.lose_local_folder();
    let provider = Kind::LsmSpilling.provider(&storage, options());
    let lost = block_on(provider.open(&id(), &counts_by_window(), 6));
    assert!(matches!(lost.err(), Some(StateError::MissingFile { .. })));
}

#[test]
fn a_batch_that_runs_again_finds_its_input_in_the_tree() {
    let storage = history();
    for version in 1..=4 {
        storage.remove(&format!("0/0/{version}.delta"));
    }
    // Version 6 is durable, its batch is not known to be: the tree must not be ahead of 5.
    let mut store = open(&storage, 5);
    store.put(&windows(&[(9, "z")]), &counts(&[9])).unwrap();
    block_on(store.commit()).unwrap();
    drop(store);
    assert!(
        rows(&open(&storage, 6).scan().unwrap())
            .contains(&"1970-01-01T00:00:00.000009Z|z|9".to_owned())
    );
}

#[test]
fn a_folder_of_another_history_is_built_anew() {
    let storage = history();
    // The batches after the first run again elsewhere and make something else.
    let elsewhere = Arc::new(MemoryStorage::default());
    for (path, bytes) in storage.files.lock().unwrap().iter() {
        elsewhere.write(path, bytes.clone());
    }
    let mut store = open(&elsewhere, 1);
    for count in 0..5 {
        store
            .put(&windows(&[(7, "other")]), &counts(&[count]))
            .unwrap();
        block_on(store.commit()).unwrap();
    }
    let expected = rows(&store.scan().unwrap());
    for (path, bytes) in elsewhere.files.lock().unwrap().iter() {
        storage.write(path, bytes.clone());
    }
    assert_eq!(rows(&open(&storage, 6).scan().unwrap()), expected);
}

#[test]
fn a_folder_of_other_columns_is_built_anew() {
    let storage = history();
    let provider = Kind::Lsm.provider(&storage, options());
    let schema = StateSchema {
        event_time: None,
        ..counts_by_window()
    };
    let store = block_on(provider.open(&id(), &schema, 6)).unwrap();
    assert_eq!(store.metrics().num_keys, 8);
}

/// Damage may make a read fail, which throws the folder away; it must not change an answer.
#[test]
fn damage_to_any_local_file_never_changes_an_answer() {
    // So many that the few keys of a delta are looked up one by one, which does not see all of the tree.
    let others: Vec<String> = (0..200).map(|n| format!("other {n}")).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let pristine = history_beside(&others);
    let expected = rows(&open(&pristine, 6).scan().unwrap());
    let root = pristine.local_folder();
    let mut names = files_below(&root);
    names.retain(|name| !name.ends_with("lock"));
    let contents: Vec<Vec<u8>> = names.iter().map(|name| fs::read(name).unwrap()).collect();
    let (mut rebuilt, mut failed) = (0, 0);
    for (name, content) in names.iter().zip(&contents) {
        for at in (0..content.len()).step_by(content.len() / 24 + 1) {
            for (path, bytes) in names.iter().zip(&contents) {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            for left_over in files_below(&root) {
                if left_over.to_string_lossy().contains("/tree/") && !names.contains(&left_over) {
                    fs::remove_file(left_over).unwrap();
                }
            }
            let mut damaged = content.clone();
            damaged[at] ^= 0x55;
            fs::write(name, damaged).unwrap();
            let provider = Kind::LsmSpilling.provider(&pristine, options());
            let mut answer = None;
            for attempt in 0..2 {
                let opened = block_on(provider.open(&id(), &counts_by_window(), 6));
                let scanned = opened.and_then(|store| store.scan());
                match scanned {
                    Ok(batches) => {
                        rebuilt += attempt;
                        answer = Some(rows(&batches));
                        break;
                    }
                    Err(StateError::LocalStorage { .. }) => failed += 1,
                    Err(error) => panic!("{} at {at}: {error}", name.display()),
                }
            }
            assert_eq!(
                answer.as_ref(),
                Some(&expected),
                "{} at {at}",
                name.display()
            );
        }
    }
    assert!(
        failed > 0 && rebuilt == failed,
        "{failed} reads failed, {rebuilt} built anew"
    );
}

#[test]
fn a_second_owner_gets_a_private_folder_that_goes_with_it() {
    let storage = history();
    let first = open(&storage, 6);
    let second = open(&storage, 6);
    assert_eq!(rows(&second.scan().unwrap()), rows(&first.scan().unwrap()));
    let private = || {
        let entries = fs::read_dir(storage.local_folder()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with("private-"))
            .count()
    };
    assert_eq!(private(), 1);
    drop(second);
    assert_eq!(private(), 0);
}

#[test]
fn committed_changes_in_memory_stay_below_the_bound() {
    let storage: Arc<MemoryStorage> = Arc::default();
    let options = LsmOptions {
        buffer_bytes: 100_000,
        cache_bytes: 100_000,
        ..LsmOptions::new(options(), storage.local_folder())
    };
    let provider = LsmProvider::try_new(Arc::clone(&storage) as _, options).unwrap();
    let mut store = block_on(provider.open(&id(), &counts_by_user(), 0)).unwrap();
    let mut peak = 0;
    for round in 0..60_i64 {
        let names: Vec<String> = (0..200).map(|i| format!("user {} of {round}", i)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        store.put(&users(&names), &counts(&[round; 200])).unwrap();
        block_on(store.commit()).unwrap();
        if let Some(task) = store.capture_compaction() {
            task.run().unwrap();
        }
        peak = peak.max(store.metrics().memory_bytes);
    }
    let metrics = store.metrics();
    assert_eq!(metrics.num_keys, 12_000);
    assert!(peak < 400_000, "{peak}");
    assert!(metrics.current_version_bytes > 100_000, "{metrics:?}");
    let again = block_on(provider.open(&StateStoreId::new(0, 0), &counts_by_user(), 60)).unwrap();
    assert_eq!(again.metrics().num_keys, 12_000);
}

#[test]
fn a_snapshot_in_several_files_loads_under_either_provider() {
    let storage: Arc<MemoryStorage> = Arc::default();
    let small = StateLogOptions {
        min_deltas_for_snapshot: 1,
        snapshot_file_bytes: 2_000,
        ..options()
    };
    let provider = Kind::Lsm.provider(&storage, small.clone());
    let mut store = block_on(provider.open(&id(), &counts_by_user(), 0)).unwrap();
    let names: Vec<String> = (0..500).map(|i| format!("user {i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    store.put(&users(&names), &counts(&[7; 500])).unwrap();
    block_on(store.commit()).unwrap();
    block_on(store.capture_snapshot().unwrap().write()).unwrap();
    let parts = || {
        let names = storage.names();
        names.into_iter().filter(|name| name.ends_with(".part"))
    };
    assert!(parts().count() > 3, "{:?}", storage.names());
    let delta = storage.read("0/0/1.delta").unwrap();
    storage.remove("0/0/1.delta");
    for kind in Kind::ALL {
        let provider = kind.provider(&storage, small.clone());
        let store = block_on(provider.open(&id(), &counts_by_user(), 1)).unwrap();
        assert_eq!(store.metrics().num_keys, 500, "{kind:?}");
        drop(store);
        storage.lose_local_folder();
    }
    // A part that is missing, or of another writing, makes the snapshot unusable.
    let first = parts().next().unwrap();
    let original = storage.read(&first).unwrap();
    let last = parts().next_back().unwrap();
    for broken in [None, Some(storage.read(&last).unwrap())] {
        match broken {
            None => storage.remove(&first),
            Some(bytes) => storage.write(&first, bytes),
        }
        for kind in Kind::ALL {
            let provider = kind.provider(&storage, small.clone());
            assert!(block_on(provider.open(&id(), &counts_by_user(), 1)).is_err());
        }
    }
    storage.write("0/0/1.delta", delta);
    let store = block_on(provider.open(&id(), &counts_by_user(), 1)).unwrap();
    assert_eq!(store.metrics().num_keys, 500, "the delta makes up for it");
    storage.write(&first, original);
}

#[test]
fn keys_too_long_for_the_tree_are_refused_by_size() {
    let storage = Arc::default();
    let provider = Kind::Lsm.provider(&storage, options());
    let mut store = block_on(provider.open(&id(), &counts_by_user(), 0)).unwrap();
    let long = "x".repeat(70_000);
    let error = store.put(&users(&[&long]), &counts(&[1])).unwrap_err();
    assert!(
        matches!(error, StateError::KeyTooLong { bytes, .. } if bytes > 70_000),
        "{error}"
    );
    store.rollback();
    let fits = "x".repeat(60_000);
    let wide = batch(&counts_by_user().value, counts(&[1]).columns().to_vec());
    store.put(&users(&[&fits]), &wide).unwrap();
    block_on(store.commit()).unwrap();
    drop(store);
    let provider = Kind::LsmSpilling.provider(&storage, options());
    let mut store = block_on(provider.open(&id(), &counts_by_user(), 1)).unwrap();
    block_on(store.commit()).unwrap();
    assert!(store.get(&users(&[&fits])).unwrap().found.value(0));
}
