//! What would happen to a checkpoint if a query started on it, found out without starting.
//!
//! Nothing is written, no source is opened, and no lock is taken: the checkpoint may be of a query that runs.
use millstream_checkpoint::{CheckpointDir, Faults, NextBatch, OffsetSeq, storage};
use millstream_state::{StateReader, StateStoreId};

use super::{QuerySettings, QuerySpec, operators::compare, repartition::begun};
use crate::{
    EngineError,
    plan::{self, StreamingPlan, check_at_run},
};

/// What a start on a checkpoint would meet.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct RestartReport {
    /// What would happen, one statement a line.
    pub statements: Vec<String>,
    /// Why the query would not start, or would fail; `None` if it would go on.
    pub refusal: Option<String>,
}

/// Compares a query with its checkpoint.
///
/// # Errors
/// When the checkpoint cannot be read or the plan not be made; a query that does not fit is no error.
pub async fn rehearse(spec: &QuerySpec) -> Result<RestartReport, EngineError> {
    let mut report = RestartReport::default();
    let checks = spec.settings.checks;
    let verdict = plan::check(&spec.plan, spec.output_mode, checks).map_err(EngineError::Plan)?;
    let at_run = check_at_run(&spec.plan, spec.output_mode).map_err(EngineError::Plan)?;
    if let Err(objection) = verdict.and(at_run) {
        report.refusal = Some(objection.to_string());
        return Ok(report);
    }
    let root = storage::open(&spec.checkpoint.url)?;
    let dir = CheckpointDir::new(root, Faults::none());
    let next = dir.recover().await?;
    let begun_from = begun(&next)?;
    let say = &mut report.statements;
    let pinned = match &next {
        NextBatch::First => {
            say.push("the checkpoint is empty: the query would start with batch 0".to_string());
            None
        }
        NextBatch::Rerun {
            batch_id, offsets, ..
        } => {
            say.push(match begun_from.zip(offsets.state_partitions()) {
                Some((from, to)) => format!(
                    "batch {batch_id}, which moves state from {from} to {to} partitions, was begun and not committed: it \
                     would be finished"
                ),
                None => format!(
                    "batch {batch_id} was begun and not committed: it would run again, as recorded"
                ),
            });
            Some(offsets)
        }
        NextBatch::Fresh {
            batch_id, previous, ..
        } => {
            say.push(format!("the next batch would be {batch_id}, a new one"));
            Some(previous)
        }
    };
    let settings = match pinned {
        None => spec.settings.clone(),
        Some(record) => {
            let settings = spec.settings.clone().pinned_by(&record.metadata)?;
            say.extend(kept_settings(&spec.settings, &settings));
            settings
        }
    };
    let plan = StreamingPlan::build(
        spec.plan.clone(),
        &spec.session,
        spec.output_mode,
        settings.parallelism,
        settings.state_partitions,
    )
    .await
    .map_err(EngineError::Plan)?;
    report
        .statements
        .extend(move_of_state(&spec.settings, &settings, &next, &plan));
    report.refusal = sources(pinned, &plan);
    if report.refusal.is_none() {
        report.refusal = operators(&dir, &next, &plan, &settings, &mut report.statements).await?;
    }
    Ok(report)
}

/// Refuses the state that the stores would refuse: an operator that is described by the same words may keep other columns,
/// a join all those of its sides that are asked for above it.
async fn check_columns(
    dir: &CheckpointDir,
    next: &NextBatch,
    plan: &StreamingPlan,
) -> Result<(), EngineError> {
    let reader = StateReader::new(dir.state());
    for store in plan.stores().map_err(EngineError::Plan)? {
        let id = StateStoreId::named(store.operator_id, 0, store.name);
        let fits = reader.check(&id, &store.schema, next.batch_id());
        fits.await?;
    }
    Ok(())
}

/// Settings that the checkpoint decides, where the program wants others.
fn kept_settings(wanted: &QuerySettings, kept: &QuerySettings) -> Vec<String> {
    let mut told = vec![];
    if wanted.state_partitions != kept.state_partitions && !wanted.repartition_state {
        told.push(format!(
            "state would stay in {} partitions: the setting of {} has no effect on it",
            kept.state_partitions, wanted.state_partitions
        ));
    }
    if wanted.watermark_policy != kept.watermark_policy {
        told.push(format!(
            "the watermark policy would stay {}",
            kept.watermark_policy
        ));
    }
    told
}

/// Whether state would get another number of partitions.
fn move_of_state(
    wanted: &QuerySettings,
    kept: &QuerySettings,
    next: &NextBatch,
    plan: &StreamingPlan,
) -> Option<String> {
    let (from, to) = (kept.state_partitions, wanted.state_partitions);
    let moves = wanted.repartition_state
        && from != to
        && !plan.operators.is_empty()
        && !matches!(next, NextBatch::First);
    moves.then(|| {
        format!("state would be moved from {from} to {to} partitions, in a batch of its own")
    })
}

fn sources(record: Option<&OffsetSeq>, plan: &StreamingPlan) -> Option<String> {
    let refused = record?.check_sources(plan.sources.len()).err()?;
    Some(refused.to_string())
}

async fn operators(
    dir: &CheckpointDir,
    next: &NextBatch,
    plan: &StreamingPlan,
    settings: &QuerySettings,
    say: &mut Vec<String>,
) -> Result<Option<String>, EngineError> {
    let comparison = match compare(dir, next, plan).await {
        Ok(comparison) => comparison,
        Err(refusal @ (EngineError::MissingState { .. } | EngineError::OtherOperators { .. })) => {
            return Ok(Some(refusal.to_string()));
        }
        Err(error) => return Err(error),
    };
    let changes = comparison.changes();
    if changes.is_empty() || settings.allow_changed_operators && comparison.may_go_on() {
        check_columns(dir, next, plan).await?;
    }
    if changes.is_empty() {
        say.push(match plan.operators.len() {
            0 => "the query keeps no state".to_string(),
            _ if next.batch_id() == 0 => "there is no state yet".to_string(),
            n => format!("the state of {n} stateful operators would go on"),
        });
        return Ok(None);
    }
    if settings.allow_changed_operators && comparison.may_go_on() {
        say.push(format!(
            "state would go on under other operations, as the conf allows: {}",
            changes.join("; ")
        ));
        return Ok(None);
    }
    Ok(Some(comparison.refusal().to_string()))
}
