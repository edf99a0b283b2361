//! `millstream checkpoint state`: every store is loaded at its newest version.
//!
//! Partitions that the last committed batch did not have (state was moved to another number of them, or is about to be) are
//! shown, and their rows are not counted.
use std::{collections::BTreeSet, fmt::Write, time::Duration};

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

/// The stores of a checkpoint, and which of them the last committed batch had.
pub(super) struct Stores {
    all: Vec<StateStoreId>,
    /// `None` if no record says so: then every store counts.
    partitions: Option<usize>,
}

impl Stores {
    pub(super) async fn of_last_batch(dir: &CheckpointDir) -> Result<Self, CliError> {
        let all = provider(dir).stores().await.map_err(of_state)?;
        let done = dir.commits().latest_id().await.map_err(of_checkpoint)?;
        let partitions = match done {
            Some(batch) => dir.state_partitions(batch).await.map_err(of_checkpoint)?,
            None => None,
        };
        Ok(Self { all, partitions })
    }

    fn in_use(&self, id: &StateStoreId) -> bool {
        self.partitions
            .is_none_or(|partitions| (id.partition as usize) < partitions)
    }

    /// In how many partitions an operator's state is. What is recorded with the operator may be of a batch that was gone
    /// back from.
    pub(super) fn partitions(&self, operator: u32) -> usize {
        let stores = self.all.iter();
        let stores = stores.filter(|id| id.operator_id == operator && self.in_use(id));
        stores.map(|id| id.partition).collect::<BTreeSet<_>>().len()
    }
}

/// Operators, stores, versions and rows, as text.
pub async fn show(location: &str) -> Result<String, CliError> {
    let dir = open(location).await?;
    let provider = provider(&dir);
    let stores = Stores::of_last_batch(&dir).await?;
    if stores.all.is_empty() {
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
    let (mut total, mut others) = (0, 0);
    for id in &stores.all {
        let (mut row, keys) = store(&dir, &provider, id).await?;
        if !stores.in_use(id) {
            row.push("not in use".to_string());
            others += 1;
        } else {
            total += keys;
        }
        rows.push(row);
    }
    let mut text = columns(&rows);
    let _ = writeln!(text, "{} stores, {total} rows", stores.all.len() - others);
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
