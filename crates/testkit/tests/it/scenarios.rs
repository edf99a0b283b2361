//! Plays every scenario file in every variation; a test for each group of variations, so that they run side by side.
use std::{fs, path::Path, time::Instant};

use millstream_engine::query::StateProvider;
use millstream_testkit::scenario::{Scenario, Variation, play, variations};

/// Plays all files in the variations of a group.
fn play_all(group: impl Fn(&Variation) -> bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there are no scenarios");
    let group: Vec<_> = variations().into_iter().filter(group).collect();
    assert!(!group.is_empty(), "there are no variations");
    let started = Instant::now();
    let mut failures = vec![];
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy();
        let scenario: Scenario = fs::read_to_string(file)
            .unwrap()
            .parse()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        for variation in &group {
            if let Err(error) = runtime.block_on(play(&scenario, *variation)) {
                failures.push(format!("{name}, {variation:?}: {error}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    println!(
        "{} scenarios in {} variations each, {} s",
        files.len(),
        group.len(),
        started.elapsed().as_secs()
    );
}

fn on(provider: StateProvider, repartition: bool) -> impl Fn(&Variation) -> bool {
    move |variation| variation.provider == provider && variation.repartition == repartition
}

#[test]
fn every_scenario_gives_its_answers_with_state_in_memory() {
    play_all(on(StateProvider::ColumnarLog, false));
}

#[test]
fn every_scenario_gives_its_answers_with_state_on_the_local_disk() {
    play_all(on(StateProvider::Lsm, false));
}

#[test]
fn every_scenario_gives_its_answers_while_state_in_memory_moves() {
    play_all(on(StateProvider::ColumnarLog, true));
}

#[test]
fn every_scenario_gives_its_answers_while_state_on_the_local_disk_moves() {
    play_all(on(StateProvider::Lsm, true));
}
