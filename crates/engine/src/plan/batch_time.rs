//! The time of a batch, as an expression.
//!
//! `current_timestamp()` is one value for all rows of a batch, and the same value again when the batch is re-run: it
//! is the batch's timestamp in the offset log. Since plans are built once, it cannot be a literal. It is a call of
//! [`batch_time`], whose run-time cell the query loop sets before every batch.
use std::{
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::{
    common::{
        Result, ScalarValue, exec_err,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{
        ColumnarValue, Expr, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
        Volatility, expr::ScalarFunction,
    },
};

/// The cell that holds the running batch's time, in microseconds since the epoch.
#[derive(Debug, Clone, Default)]
pub struct BatchTime(Arc<AtomicI64>);

impl BatchTime {
    /// Sets the time for the batch that runs next.
    pub fn set_ms(&self, batch_timestamp_ms: i64) {
        self.0
            .store(batch_timestamp_ms.saturating_mul(1000), Ordering::Release);
    }

    fn micros(&self) -> i64 {
        self.0.load(Ordering::Acquire)
    }
}

/// The time of the running batch: a timestamp in UTC, microseconds. Outside a streaming query it cannot be evaluated.
pub fn batch_time() -> Expr {
    ScalarUDF::new_from_impl(BatchTimeFunction::new(None)).call(vec![])
}

/// Binds every [`batch_time`] (and DataFusion's `now()`, which would be frozen at planning) to a run's cell.
pub(super) fn bind_batch_time(plan: LogicalPlan, time: &BatchTime) -> Result<LogicalPlan> {
    let bound = Arc::new(ScalarUDF::new_from_impl(BatchTimeFunction::new(Some(
        time.clone(),
    ))));
    let plan = plan.transform_up_with_subqueries(|plan| {
        plan.map_expressions(|expr| {
            expr.transform_up(|expr| match expr {
                Expr::ScalarFunction(call) if is_clock(&call) => {
                    let call = ScalarFunction::new_udf(Arc::clone(&bound), vec![]);
                    Ok(Transformed::yes(Expr::ScalarFunction(call)))
                }
                other => Ok(Transformed::no(other)),
            })
        })
    })?;
    Ok(plan.data)
}

/// Whether any expression of the plan asks for the batch's time.
pub fn uses_batch_time(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|plan| {
        let mut found = false;
        plan.apply_expressions(|expr| {
            found |= expr
                .exists(|expr| Ok(matches!(expr, Expr::ScalarFunction(call) if is_clock(call))))?;
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })?;
        Ok(found)
    })
}

fn is_clock(call: &ScalarFunction) -> bool {
    call.args.is_empty() && matches!(call.name(), BatchTimeFunction::NAME | "now")
}

#[derive(Debug)]
struct BatchTimeFunction {
    time: Option<BatchTime>,
    signature: Signature,
}

impl BatchTimeFunction {
    const NAME: &'static str = "batch_time";

    fn new(time: Option<BatchTime>) -> Self {
        Self {
            time,
            signature: Signature::nullary(Volatility::Volatile),
        }
    }
}

impl PartialEq for BatchTimeFunction {
    fn eq(&self, other: &Self) -> bool {
        match (&self.time, &other.time) {
            (Some(one), Some(two)) => Arc::ptr_eq(&one.0, &two.0),
            (None, None) => true,
            _ => false,
        }
    }
}

impl Eq for BatchTimeFunction {}

impl Hash for BatchTimeFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.time.is_some().hash(state);
    }
}

impl ScalarUDFImpl for BatchTimeFunction {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Timestamp(
            TimeUnit::Microsecond,
            Some("UTC".into()),
        ))
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let Some(time) = &self.time else {
            return exec_err!("the batch time is only known inside a streaming query");
        };
        let now = ScalarValue::TimestampMicrosecond(Some(time.micros()), Some("UTC".into()));
        Ok(ColumnarValue::Scalar(now))
    }
}
