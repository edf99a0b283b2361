//! `millstream checkpoint show`.
use std::fmt::Write;

use millstream_checkpoint::{CheckpointDir, NextBatch, OffsetSeq, OperatorFact, STATE_PARTITIONS};

use super::{ShowArguments, columns, moment, of_checkpoint, open, size, state::Stores, weigh};
use crate::cli::CliError;

/// What the checkpoint holds, as text.
pub async fn show(arguments: &ShowArguments) -> Result<String, CliError> {
    let dir = open(&arguments.dir).await?;
    let mut text = String::new();
    let id = dir.metadata().await.map_err(of_checkpoint)?;
    let id = id.map(|metadata| metadata.id.to_string());
    let _ = writeln!(text, "checkpoint  {}", dir.location());
    let _ = writeln!(text, "query       {}", id.unwrap_or_default());
    match dir.recover().await {
        Ok(next) => {
            let _ = writeln!(text, "next        {}", described(&next));
            if let Some((watermark_ms, record)) = latest(&next) {
                let _ = writeln!(text, "watermark   {}", moment(watermark_ms));
                if let Some(partitions) = record.metadata.conf.get(STATE_PARTITIONS) {
                    let _ = writeln!(text, "pinned      {STATE_PARTITIONS}={partitions}");
                }
            }
        }
        // A checkpoint that cannot be restarted is what one looks into most.
        Err(error) => {
            let _ = writeln!(text, "next        cannot restart: {error}");
        }
    }
    batches(&dir, arguments.batches, &mut text).await?;
    operators(&dir, &mut text).await?;
    sizes(&dir, &mut text).await?;
    Ok(text)
}

fn described(next: &NextBatch) -> String {
    match next {
        NextBatch::First => "batch 0: nothing was recorded yet".to_string(),
        NextBatch::Rerun {
            batch_id,
            offsets,
            previous,
            last_committed,
            ..
        } => {
            let done = last_committed.map_or("none".to_string(), |id| format!("batch {id}"));
            let moves = previous.as_ref().and_then(|it| offsets.repartitions(it));
            let what = moves.map_or(String::new(), |(from, to)| {
                format!(", which moves state from {from} to {to} partitions")
            });
            format!(
                "batch {batch_id} again{what}: it was begun and not committed (last one done: {done})"
            )
        }
        NextBatch::Fresh { batch_id, .. } => format!("batch {batch_id}, a new one"),
    }
}

fn latest(next: &NextBatch) -> Option<(i64, &OffsetSeq)> {
    match next {
        NextBatch::First => None,
        NextBatch::Rerun { offsets, .. } => Some((offsets.metadata.batch_watermark_ms, offsets)),
        NextBatch::Fresh {
            previous,
            watermark_ms,
            ..
        } => Some((*watermark_ms, previous)),
    }
}

async fn batches(dir: &CheckpointDir, last: usize, text: &mut String) -> Result<(), CliError> {
    let offsets = dir.offsets().ids().await.map_err(of_checkpoint)?;
    let commits = dir.commits().ids().await.map_err(of_checkpoint)?;
    let _ = writeln!(text, "\n{} batches recorded", offsets.len());
    let header = ["batch", "", "started", "watermark", "ends at"];
    let mut rows = vec![header.map(str::to_string).to_vec()];
    let mut before: Option<OffsetSeq> = None;
    let listed = offsets.len().saturating_sub(last);
    if let Some(id) = listed.checked_sub(1).and_then(|before| offsets.get(before)) {
        before = dir.offsets().get(*id).await.unwrap_or_default();
    }
    for id in offsets.iter().skip(listed) {
        let state = match commits.contains(id) {
            true => "committed",
            false => "begun",
        };
        let previous = before.take();
        rows.push(match dir.offsets().get(*id).await {
            Ok(Some(record)) => {
                let moves = previous.and_then(|previous| record.repartitions(&previous));
                let row = vec![
                    id.to_string(),
                    state.to_string(),
                    moment(record.metadata.batch_timestamp_ms),
                    moment(record.metadata.batch_watermark_ms),
                    match moves {
                        Some((from, to)) => format!("state moved from {from} to {to} partitions"),
                        None => ends(&record),
                    },
                ];
                before = Some(record);
                row
            }
            Ok(None) => vec![id.to_string(), "gone".to_string()],
            Err(error) => vec![id.to_string(), format!("unreadable: {error}")],
        });
    }
    if rows.len() > 1 {
        text.push_str(&columns(&rows));
    }
    Ok(())
}

/// Where every source stood at the end of a batch.
fn ends(record: &OffsetSeq) -> String {
    let ends = record.offsets.iter();
    let ends: Vec<&str> = ends.map(|end| end.as_deref().unwrap_or("-")).collect();
    ends.join("  ")
}

async fn operators(dir: &CheckpointDir, text: &mut String) -> Result<(), CliError> {
    let log = dir.operators();
    let ids = log.ids().await.map_err(of_checkpoint)?;
    if ids.is_empty() {
        return Ok(());
    }
    let stores = Stores::of_last_batch(dir).await?;
    let _ = writeln!(text, "\n{} stateful operators", ids.len());
    for id in ids {
        let metadata = log.metadata(id).await.map_err(of_checkpoint)?;
        let description = log.description(id).await.map_err(of_checkpoint)?;
        let name = match &metadata {
            Some(metadata) => metadata.operator_info.operator_name.clone(),
            None => "unknown: it has no metadata".to_string(),
        };
        let recorded = metadata.and_then(|it| Some(it.state_store_info.first()?.num_partitions));
        let partitions = match stores.partitions(id) {
            0 => recorded,
            there => u32::try_from(there).ok(),
        };
        let partitions = partitions.map(|count| format!(", {count} partitions"));
        let _ = writeln!(text, "{id}  {name}{}", partitions.unwrap_or_default());
        for OperatorFact {
            what,
            is,
            data_type,
        } in description.map(|it| it.facts).unwrap_or_default()
        {
            let _ = writeln!(text, "   {what}: {is} ({data_type})");
        }
    }
    Ok(())
}

async fn sizes(dir: &CheckpointDir, text: &mut String) -> Result<(), CliError> {
    let mut rows = vec![];
    for folder in ["offsets", "commits", "sources", "state"] {
        let (files, bytes) = weigh(dir.storage(), folder).await?;
        if files > 0 {
            rows.push(vec![
                folder.to_string(),
                format!("{files} files"),
                size(bytes),
            ]);
        }
    }
    if !rows.is_empty() {
        let _ = writeln!(text, "\nsizes");
        text.push_str(&columns(&rows));
    }
    Ok(())
}
