//! `millstream checkpoint rewind`: a batch becomes the latest one.
//!
//! First everything is looked at, then it is done: the records of the batch and of the one before it must be there, it must
//! be committed, and every state store must have the version that it left. Commits go first, then offsets, then
//! state; whatever interrupts that leaves a checkpoint that restarts at the batch or re-runs a later one as recorded.
//!
//! What sources and sinks hold elsewhere does not go back. Sources are asked for their data again; sinks keep what they
//! have, and the command says so.
use std::fmt::Write;

use millstream_checkpoint::CheckpointDir;
use millstream_state::{ColumnarLogProvider, StateStoreId, StateStoreProvider};

use super::{
    RewindArguments, of_checkpoint, open, refused,
    state::{of_state, provider},
};
use crate::cli::CliError;

/// Goes back; what was done, as text.
pub async fn rewind(arguments: &RewindArguments) -> Result<String, CliError> {
    let dir = open(&arguments.dir).await?;
    let batch = arguments.to_batch;
    let hold = dir.storage().hold(true);
    let hold = hold.map_err(|error| refused(&arguments.dir, &error))?;
    let latest = dir.offsets().latest_id().await.map_err(of_checkpoint)?;
    let Some(latest) = latest.filter(|latest| *latest >= batch) else {
        return Err(CliError::Usage(format!(
            "cannot go back to batch {batch}: the latest one recorded is {}",
            latest.map_or("none".to_string(), |latest| latest.to_string())
        )));
    };
    let provider = provider(&dir);
    let stores = provider.stores().await.map_err(of_state)?;
    check(&dir, &provider, &stores, batch).await?;
    dir.rewind(batch).await.map_err(of_checkpoint)?;
    let mut removed = 0;
    for id in &stores {
        let newer = provider.remove_newer(id, batch + 1).await;
        removed += newer.map_err(of_state)?;
    }
    let mut text = format!("batch {batch} is the latest one now");
    if latest == batch {
        text.push_str("; it was before\n");
    } else {
        let _ = writeln!(
            text,
            ": {} later ones are forgotten, {removed} state files deleted",
            latest - batch
        );
        let _ = writeln!(
            text,
            "sinks keep what batches {} to {latest} have put out: these batches will come again, with data as it is then. \
             Files are committed by batch number in the output's _spark_metadata: move the entries above {batch} away, or \
             their batches are taken for done and their new rows are lost. Other sinks get rows a second time unless \
             they look at the batch id",
            batch + 1
        );
    }
    if !hold.is_held() {
        let _ = writeln!(
            text,
            "this storage cannot tell whether a query runs: make sure that none did"
        );
    }
    Ok(text)
}

/// Whether the batch can be gone back to.
async fn check(
    dir: &CheckpointDir,
    provider: &ColumnarLogProvider,
    stores: &[StateStoreId],
    batch: u64,
) -> Result<(), CliError> {
    let no = |why: String| CliError::Usage(format!("cannot go back to batch {batch}: {why}"));
    let recorded = |id: u64| async move { dir.offsets().get(id).await.map_err(of_checkpoint) };
    if recorded(batch).await?.is_none() {
        return Err(no("its record in the offset log is gone".to_string()));
    }
    if let Some(before) = batch.checked_sub(1)
        && recorded(before).await?.is_none()
    {
        return Err(no(format!(
            "the record of batch {before}, where it starts, is gone"
        )));
    }
    let committed = dir.commits().get(batch).await.map_err(of_checkpoint)?;
    if committed.is_none() {
        return Err(no("it is not committed".to_string()));
    }
    let partitions = dir.state_partitions(batch).await.map_err(of_checkpoint)?;
    // Partitions that state got later, or had before, hold nothing of the batch.
    let had = |id: &&StateStoreId| partitions.is_none_or(|had| (id.partition as usize) < had);
    for id in stores.iter().filter(had) {
        let versions = provider.versions(id).await.map_err(of_state)?;
        if versions.binary_search(&(batch + 1)).is_err() {
            return Err(no(format!("the state that it left is gone ({id})")));
        }
    }
    Ok(())
}
