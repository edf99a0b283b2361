//! Sessions of a table: which session each row belongs to.
//!
//! `session_window(time, gap)` gives each row a session of its own. Where such a column is a grouping key, the sessions of
//! equal other keys are merged first, and the key is what a row's session became:
//!
//! ```text
//!   Aggregate: keys, session
//!     Projection: *, merged as session
//!       Window: merged = session_merge(session) OVER (PARTITION BY other keys ORDER BY session.start)
//! ```
//!
//! So every aggregate works over sessions, DISTINCT ones too. Any key that is marked as a session is merged, also one that an
//! aggregation below has merged already, as in Spark. Sessions of streams are kept in state (`engine/operator/session`).
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StructArray},
    buffer::ScalarBuffer,
    datatypes::{DataType, FieldRef, TimestampMicrosecondType},
};
use datafusion::{
    common::{Column, exec_datafusion_err, internal_err},
    functions::core::expr_fn::get_field,
    logical_expr::{
        Expr, LogicalPlan, LogicalPlanBuilder, PartitionEvaluator, Signature, Volatility,
        WindowFrame, WindowFunctionDefinition, WindowUDF, WindowUDFImpl,
        expr::{WindowFunction, WindowFunctionParams},
        function::{PartitionEvaluatorArgs, WindowUDFFieldArgs},
    },
};
use millstream_engine::time::merge_sessions;

use super::{
    grouping::Key,
    project::{aliased_expr, projection_of},
};
use crate::{
    error::{Result, SparkError},
    types::SESSION_WINDOW_KEY,
};

/// The input of an aggregation, with the column of the key that is a session, if one is, merged. With grouping sets it has
/// no meaning: Spark fails on the NULL session of the sets without it.
pub(super) fn merged_sessions(
    input: LogicalPlan,
    keys: &[Key],
    in_sets: bool,
) -> Result<LogicalPlan> {
    let is_session = |key: &&Key| key.value.metadata.contains_key(SESSION_WINDOW_KEY);
    let Some(session) = keys.iter().find(is_session) else {
        return Ok(input);
    };
    if in_sets {
        return Err(SparkError::internal("Grouping Session should not be null."));
    }
    let own = Expr::Column(session.column.clone());
    let others = keys.iter().filter(|key| key.column != session.column);
    let start = get_field(own.clone(), "start");
    let merged = Expr::WindowFunction(Box::new(WindowFunction {
        fun: WindowFunctionDefinition::WindowUDF(Arc::new(WindowUDF::from(SessionMerge::new()))),
        params: WindowFunctionParams {
            args: vec![own],
            partition_by: others.map(|key| Expr::Column(key.column.clone())).collect(),
            order_by: vec![start.sort(true, true)],
            window_frame: WindowFrame::new(Some(false)),
            filter: None,
            null_treatment: None,
            distinct: false,
        },
    }));
    const MERGED: &str = "merged_session#";
    let columns: Vec<Expr> = input
        .schema()
        .columns()
        .into_iter()
        .map(|column| match column == session.column {
            true => aliased_expr(
                Expr::Column(Column::new_unqualified(MERGED)),
                &column,
                &session.value.metadata,
            ),
            false => Expr::Column(column),
        })
        .collect();
    let plan = LogicalPlanBuilder::from(input)
        .window([merged.alias(MERGED)])?
        .build()?;
    projection_of(columns, plan)
}

/// `session_merge(session) OVER (PARTITION BY keys ORDER BY session.start)`: the merged session that a row belongs to.
#[derive(Debug, PartialEq, Eq, Hash)]
struct SessionMerge {
    signature: Signature,
}

impl SessionMerge {
    fn new() -> Self {
        Self {
            signature: Signature::any(1, Volatility::Immutable),
        }
    }
}

impl WindowUDFImpl for SessionMerge {
    fn name(&self) -> &str {
        "session_merge"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(
        &self,
        _: PartitionEvaluatorArgs,
    ) -> datafusion::error::Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Sessions))
    }

    fn field(&self, args: WindowUDFFieldArgs) -> datafusion::error::Result<FieldRef> {
        match args.get_input_field(0) {
            Some(field) => Ok(Arc::new(field.as_ref().clone().with_name(args.name()))),
            None => internal_err!("session_merge takes a session"),
        }
    }
}

/// The sessions of one partition, which comes ordered by start.
#[derive(Debug)]
struct Sessions;

impl PartitionEvaluator for Sessions {
    fn evaluate_all(
        &mut self,
        values: &[ArrayRef],
        _: usize,
    ) -> datafusion::error::Result<ArrayRef> {
        let sessions = values.first().and_then(|session| session.as_struct_opt());
        let (Some(sessions), [DataType::Struct(fields)]) = (
            sessions,
            values
                .iter()
                .map(|v| v.data_type())
                .collect::<Vec<_>>()
                .as_slice(),
        ) else {
            return internal_err!("session_merge takes a session");
        };
        if sessions.null_count() > 0 {
            return internal_err!("a session is NULL");
        }
        let bound = |index: usize| {
            sessions
                .columns()
                .get(index)
                .and_then(|bound| bound.as_primitive_opt::<TimestampMicrosecondType>())
                .ok_or_else(|| exec_datafusion_err!("a session has two timestamps"))
        };
        let (starts, ends) = (bound(0)?, bound(1)?);
        let (mut merged_starts, mut merged_ends) = (vec![], vec![]);
        let parts = starts
            .values()
            .iter()
            .copied()
            .zip(ends.values().iter().copied());
        for session in merge_sessions(parts) {
            merged_starts.extend(std::iter::repeat_n(session.start, session.parts));
            merged_ends.extend(std::iter::repeat_n(session.end, session.parts));
        }
        let like = |times: Vec<i64>, bound: &arrow::array::PrimitiveArray<_>| -> ArrayRef {
            let times: ScalarBuffer<i64> = times.into();
            let times = arrow::array::PrimitiveArray::<TimestampMicrosecondType>::new(times, None);
            Arc::new(times.with_data_type(bound.data_type().clone()))
        };
        let columns = vec![like(merged_starts, starts), like(merged_ends, ends)];
        Ok(Arc::new(StructArray::try_new(
            fields.clone(),
            columns,
            None,
        )?))
    }
}
