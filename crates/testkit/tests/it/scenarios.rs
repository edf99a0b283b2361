//! Plays every scenario file in every variation.
use std::{fs, path::Path};

use millstream_testkit::scenario::{Scenario, play, variations};

#[test]
fn every_scenario_gives_its_answers_in_every_variation() {
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
    let mut failures = vec![];
    for file in &files {
        let name = file.file_name().unwrap().to_string_lossy();
        let scenario: Scenario = fs::read_to_string(file)
            .unwrap()
            .parse()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        for variation in variations() {
            if let Err(error) = runtime.block_on(play(&scenario, variation)) {
                failures.push(format!("{name}, {variation:?}: {error}"));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
    println!(
        "{} scenarios in {} variations each",
        files.len(),
        variations().len()
    );
}
