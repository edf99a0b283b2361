//! A process that dies at a fault point, for real, and what the next one finds.
//!
//! The test binary starts itself again; the child runs batches in the folder it is given until the
//! armed point aborts it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{path::Path, process::Command};

use millstream_checkpoint::{
    CheckpointDir, CommitMetadata, Faults, NextBatch, OffsetSeq, storage::open,
};

const FOLDER: &str = "MILLSTREAM_TEST_FOLDER";
const FAULTS: &str = "MILLSTREAM_TEST_FAULTS";

fn offsets(n: u64) -> OffsetSeq {
    OffsetSeq {
        offsets: vec![Some(n.to_string())],
        ..OffsetSeq::default()
    }
}

fn checkpoint(folder: &Path, faults: Faults) -> CheckpointDir {
    CheckpointDir::new(open(folder.to_str().unwrap()).unwrap(), faults)
}

/// The child: not a test of its own, so it does nothing when run as one.
#[tokio::test]
async fn child() {
    let (Some(folder), Ok(spec)) = (std::env::var_os(FOLDER), std::env::var(FAULTS)) else {
        return;
    };
    let checkpoint = checkpoint(Path::new(&folder), Faults::from_spec(&spec).unwrap());
    for batch_id in 0..5 {
        checkpoint
            .offsets()
            .add(batch_id, &offsets(batch_id))
            .await
            .unwrap();
        checkpoint
            .commits()
            .add(batch_id, &CommitMetadata::default())
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn process_killed_around_each_log_write_is_resumed_at_the_right_batch() {
    for (spec, expected, rerun) in [
        ("before-offset-write:1", 0, false),
        ("before-offset-write:3", 2, false),
        ("after-offset-write:1", 0, true),
        ("after-offset-write:3", 2, true),
        ("before-commit-log:3", 2, true),
        ("after-commit-log:3", 3, false),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, folder.path())
            .env(FAULTS, spec)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stderr);
        assert!(
            !child.status.success() && said.contains("aborting the process"),
            "{spec}: {said}"
        );

        let next = checkpoint(folder.path(), Faults::none())
            .recover()
            .await
            .unwrap();
        assert_eq!(next.batch_id(), expected, "{spec}");
        assert_eq!(
            matches!(next, NextBatch::Rerun { .. }),
            rerun,
            "{spec}: {next:?}"
        );
        if let NextBatch::Rerun {
            offsets: record, ..
        } = next
        {
            assert_eq!(record, offsets(expected), "{spec}");
        }
    }
}
