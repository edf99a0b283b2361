//! `millstream checkpoint state`: every store is loaded at its newest version.
//!
//! Partitions that the last committed batch did not have (state was moved to another number of them, or is about to be) are
//! shown, and their rows are not counted.
use std::{fmt::Write, time::Duration};

use millstream_checkpoint::CheckpointDir;
use millstream_state::{
    ColumnarLogProvider, MonotonicClock, StateLogOptions, StateStoreId, StateStoreProvider,
};

use super::{columns, of_checkpoint, open, size};
use crate::cli::CliError;

/// The provider of a checkpoint's state.
pub(super) fn provider(dir: &CheckpointDir) -> ColumnarLogProvider {
    // Nothing here measures time.
    let options = StateLogOptions::new(MonotonicClock::new(|| Duration::ZERO));
    ColumnarLogProvider::new(dir.state(), options)
}

pub(super) fn of_state(error: millstream_state::StateError) -> CliError {
    CliError::Usage(error.to_string())
}

/// Operators, stores, versions and rows, as text.
pub async fn show(location: &str) -> Result<String, CliError> {
    let dir = open(location).await?;
    let provider = provider(&dir);
    let stores = provider.stores().await.map_err(of_state)?;
    if stores.is_empty() {
        return Ok(format!("{} has no state\n", dir.location()));
    }
    let header = [
        "operator",
        "partition",
        "store",
        "versions",
        "rows",
        "memory",
    ];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    let done = dir.commits().latest_id().await.map_err(of_checkpoint)?;
    let partitions = match done {
        Some(batch) => dir.state_partitions(batch).await.map_err(of_checkpoint)?,
        None => None,
    };
    let (mut total, mut others) = (0, 0);
    for id in &stores {
        let (mut row, keys) = store(&dir, &provider, id).await?;
        if partitions.is_some_and(|partitions| id.partition as usize >= partitions) {
            row.push("not in use".to_string());
            others += 1;
        } else {
            total += keys;
        }
        rows.push(row);
    }
    let mut text = columns(&rows);
    let _ = writeln!(text, "{} stores, {total} rows", stores.len() - others);
    if others > 0 {
        let _ = writeln!(
            text,
            "{others} stores of partitions that state was in before, or is to be moved to"
        );
    }
    Ok(text)
}

async fn store(
    dir: &CheckpointDir,
    provider: &ColumnarLogProvider,
    id: &StateStoreId,
) -> Result<(Vec<String>, u64), CliError> {
    let versions = provider.versions(id).await.map_err(of_state)?;
    let named = dir.operators().metadata(id.operator_id).await;
    let name = match named.map_err(of_checkpoint)? {
        Some(metadata) => metadata.operator_info.operator_name,
        None => String::new(),
    };
    let range = match (versions.first(), versions.last()) {
        (Some(first), Some(last)) if first != last => format!("{first} to {last}"),
        (Some(only), _) => only.to_string(),
        _ => "none that loads".to_string(),
    };
    let (keys, memory) = match versions.last() {
        // A store that does not load is shown with the reason; the others are still worth seeing.
        Some(newest) => match provider.size(id, *newest).await {
            Ok(Some((keys, bytes))) => (keys, size(bytes)),
            Ok(None) => (0, String::new()),
            Err(error) => (0, error.to_string()),
        },
        None => (0, String::new()),
    };
    let row = vec![
        format!("{} {name}", id.operator_id).trim_end().to_string(),
        id.partition.to_string(),
        id.store_name.clone(),
        range,
        keys.to_string(),
        memory,
    ];
    Ok((row, keys))
}
