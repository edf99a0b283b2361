//! How the files of a batch are dealt out to threads.
use std::path::PathBuf;

use super::*;
use crate::format::FileLocation;

fn file(size: u64) -> PlannedFile {
    let location = FileLocation::Local(PathBuf::new());
    let file = FileRef {
        location,
        url: String::new(),
        size,
        modified_ms: 0,
    };
    PlannedFile {
        file,
        values: vec![],
    }
}

fn packed(sizes: &[u64], parallelism: usize, bytes_max: u64, cost: u64) -> Vec<Vec<u64>> {
    let files = sizes.iter().copied().map(file).collect();
    let partitions = pack(files, parallelism, bytes_max, cost);
    let sizes = |files: Vec<PlannedFile>| files.iter().map(|file| file.file.size).collect();
    partitions.into_iter().map(sizes).collect()
}

#[test]
fn files_are_spread_over_the_threads_by_size() {
    assert!(packed(&[], 4, 100, 1).is_empty());
    assert_eq!(packed(&[50, 50, 50, 50], 2, 1000, 1), [[50, 50], [50, 50]]);
    assert_eq!(packed(&[1, 90, 5], 2, 1000, 1), [vec![90], vec![5, 1]]);
    assert_eq!(
        packed(&[400, 10], 1, 100, 1),
        [vec![400], vec![10]],
        "a file is never split"
    );
    assert_eq!(packed(&[1; 8], 2, 128, 4), [[1, 1, 1, 1], [1, 1, 1, 1]]);
}
