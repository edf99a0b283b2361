//! Running a resolved plan.
use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Field, FieldRef, Fields, Schema, SchemaRef, TimeUnit},
};
use datafusion::{
    common::Column,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
    physical_plan::{displayable, execute_stream, stream::RecordBatchStreamAdapter},
};
use futures::{StreamExt, TryStreamExt, stream};
use spark_connect_proto::analyze_plan_request::explain::ExplainMode;
use tokio::sync::mpsc;

use super::Session;
use crate::{
    conf::{arrow_zone_id, parse_time_zone},
    error::{Result, SparkError},
    relation::streaming_action,
    scope::Resolved,
    types::relabel,
};

/// Batches that wait for a slow client.
const QUEUED_BATCHES: usize = 4;

/// A plan whose columns are those of the output, in order.
pub(super) struct Output {
    pub plan: LogicalPlan,
}

impl Output {
    /// Puts the output's columns on top of the plan. A column that stands in the output twice gets a second name.
    pub(super) fn of(resolved: &Resolved) -> Result<Self> {
        let mut seen: Vec<&Column> = vec![];
        let columns = resolved
            .output
            .iter()
            .enumerate()
            .map(|(index, attribute)| {
                let column = Expr::Column(attribute.column.clone());
                if seen.contains(&&attribute.column) {
                    return column.alias(format!("{}#again{index}", attribute.name));
                }
                seen.push(&attribute.column);
                column
            });
        let columns: Vec<_> = columns.collect();
        let plan = LogicalPlanBuilder::from(resolved.plan.clone())
            .project(columns)?
            .build()?;
        Ok(Self { plan })
    }
}

/// A plan that reads a stream has no rows to give at once.
///
/// # Errors
/// Spark's, for a relation that does.
pub fn refuse_streaming(resolved: &Resolved) -> Result<()> {
    if resolved.is_streaming {
        return Err(streaming_action());
    }
    Ok(())
}

/// The rows of a batch relation, under the names that users see and in the session's zone.
pub(super) async fn execute(
    session: &Session,
    resolved: &Resolved,
) -> Result<SendableRecordBatchStream> {
    let rows = run(session, resolved).await?;
    let zone = arrow_zone_id(&parse_time_zone(&session.conf().time_zone())?);
    let fields: Fields = resolved
        .fields()
        .iter()
        .map(|field| in_zone(field, &zone))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let named = Arc::clone(&schema);
    let rows = rows.map(move |rows| as_clients_see(&rows?, &named).map_err(|e| e.into()));
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

/// The rows under the plan's own names.
pub(super) async fn run(
    session: &Session,
    resolved: &Resolved,
) -> Result<SendableRecordBatchStream> {
    refuse_streaming(resolved)?;
    let now_us = session
        .inner
        .environment
        .streaming()
        .clock
        .now_ms()
        .saturating_mul(1000);
    let plan = crate::functions::bind_clock(Output::of(resolved)?.plan, now_us)?;
    let state = session.state();
    let observed = session.observed.clone();
    let runtime = session.inner.environment.plans().clone();
    let (sender, receiver) = mpsc::channel(QUEUED_BATCHES);
    let started = runtime.spawn(async move {
        let physical = state.create_physical_plan(&plan).await?;
        let mut context = TaskContext::from(&state);
        if let Some(observed) = observed {
            let config = context.session_config().clone().with_extension(observed);
            context = context.with_session_config(config);
        }
        execute_stream(physical, Arc::new(context))
    });
    let rows = match started.await {
        Ok(rows) => rows?,
        Err(error) => return Err(SparkError::internal(format!("planning ended: {error}"))),
    };
    let schema = rows.schema();
    // The client's stream is polled by the front runtime; the plan is not.
    let task = runtime.spawn(forward(rows, sender));
    let abort = AbortOnDrop(task.abort_handle());
    let rows = stream::unfold((receiver, abort), |(mut receiver, abort)| async move {
        receiver.recv().await.map(|rows| (rows, (receiver, abort)))
    });
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
}

/// Ends a plan whose reader is gone.
struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn forward(
    mut rows: SendableRecordBatchStream,
    out: mpsc::Sender<datafusion::error::Result<RecordBatch>>,
) {
    while let Some(batch) = rows.next().await {
        if out.send(batch).await.is_err() {
            return;
        }
    }
}

/// All rows of a relation, under the plan's own names.
pub(super) async fn collect(session: &Session, resolved: &Resolved) -> Result<Vec<RecordBatch>> {
    Ok(run(session, resolved).await?.try_collect().await?)
}

/// Timestamps carry the session's zone on their way to clients.
fn in_zone(field: &FieldRef, zone: &str) -> FieldRef {
    let data_type = zoned(field.data_type(), zone);
    Arc::new(Field::clone(field).with_data_type(data_type))
}

fn zoned(data_type: &DataType, zone: &str) -> DataType {
    match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()))
        }
        DataType::List(item) => DataType::List(in_zone(item, zone)),
        DataType::Struct(fields) => {
            let names = distinct_names(fields);
            let fields = fields.iter().zip(names);
            let fields = fields
                .map(|(field, name)| Arc::new(Field::clone(&in_zone(field, zone)).with_name(name)));
            DataType::Struct(fields.collect())
        }
        DataType::Map(entries, sorted) => DataType::Map(in_zone(entries, zone), *sorted),
        other => other.clone(),
    }
}

/// Names of a struct's fields; those that occur more than once are numbered, as clients want them.
fn distinct_names(fields: &Fields) -> Vec<String> {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    let often = |name: &str| fields.iter().filter(|f| f.name() == name).count() > 1;
    let name = |field: &FieldRef| field.name().clone();
    if !fields.iter().any(|f| often(f.name())) {
        return fields.iter().map(name).collect();
    }
    let numbered = fields.iter().map(|field| {
        if !often(field.name()) {
            return field.name().clone();
        }
        let count = seen.entry(field.name()).or_default();
        *count += 1;
        format!("{}_{}", field.name(), *count - 1)
    });
    numbered.collect()
}

fn as_clients_see(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let columns = rows
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| relabel(column, field.data_type()))
        .collect::<Result<Vec<ArrayRef>>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    // Spark's schema may promise no NULL where DataFusion cannot know; Arrow checks, so the promise is not repeated.
    match RecordBatch::try_new_with_options(Arc::clone(schema), columns.clone(), &options) {
        Ok(rows) => Ok(rows),
        Err(_) => {
            let fields: Fields = schema
                .fields()
                .iter()
                .map(|field| Arc::new(Field::clone(field).with_nullable(true)))
                .collect();
            Ok(RecordBatch::try_new_with_options(
                Arc::new(Schema::new(fields)),
                columns,
                &options,
            )?)
        }
    }
}

/// The plans as text.
pub(super) async fn explain(
    session: &Session,
    resolved: &Resolved,
    mode: ExplainMode,
) -> Result<String> {
    let plan = Output::of(resolved)?.plan;
    let logical = plan.display_indent().to_string();
    if resolved.is_streaming {
        return Ok(format!("== Logical Plan ==\n{logical}\n"));
    }
    let state = session.state();
    let optimized = state.optimize(&plan)?;
    let physical = state
        .query_planner()
        .create_physical_plan(&optimized, &state)
        .await?;
    let physical = displayable(physical.as_ref()).indent(false).to_string();
    Ok(match mode {
        ExplainMode::Extended | ExplainMode::Cost | ExplainMode::Codegen => format!(
            "== Analyzed Logical Plan ==\n{logical}\n\n== Optimized Logical Plan ==\n{}\n\n== Physical Plan ==\n{physical}\n",
            optimized.display_indent()
        ),
        _ => format!("== Physical Plan ==\n{physical}\n"),
    })
}
