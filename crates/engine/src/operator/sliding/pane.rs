//! Which aggregations may be made by pane, and what becomes of their input.
use std::sync::Arc;

use arrow::{
    array::{AsArray, PrimitiveArray},
    datatypes::{DataType, TimestampMicrosecondType},
};
use datafusion::{
    common::{Column, Result, exec_datafusion_err, internal_err},
    logical_expr::{
        Aggregate, ColumnarValue, Expr, ExprSchemable, Extension, Filter, LogicalPlan, Projection,
        ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        expr::AggregateFunction,
    },
};

use super::SlidingWindowsNode;
use crate::{operator::aggregate::WINDOW_KEY, time::WindowGrid};

/// An aggregation that groups by pane first.
#[derive(Debug)]
pub(in crate::operator) struct SharedPanes {
    /// Its input, every row once.
    pub input: LogicalPlan,
    /// Which grouping expression is the window.
    pub key: usize,
    /// The pane of a row of the input.
    pub pane: Expr,
    /// The windows.
    pub grid: WindowGrid,
}

/// How an aggregation by a sliding window is made by pane; `None` if it cannot be.
pub(in crate::operator) fn share_panes(aggregate: &Aggregate) -> Result<Option<SharedPanes>> {
    for call in &aggregate.aggr_expr {
        if !shows_no_order(call, aggregate)? {
            return Ok(None);
        }
    }
    for (key, group) in aggregate.group_expr.iter().enumerate() {
        let Expr::Column(window) = group else {
            continue;
        };
        let others = aggregate.group_expr.iter().enumerate();
        let others = others.filter(|(index, _)| *index != key);
        let mut reads = others.map(|(_, expr)| expr).chain(&aggregate.aggr_expr);
        if reads.any(|expr| expr.column_refs().contains(window)) {
            continue;
        }
        if let Some(unexpanded) = unexpanded(&aggregate.input, window)? {
            return Ok(Some(SharedPanes {
                input: unexpanded.plan,
                key,
                pane: pane_of(Expr::Column(unexpanded.time), unexpanded.grid),
                grid: unexpanded.grid,
            }));
        }
    }
    Ok(None)
}

/// Whether an aggregate gives the same result, to the last digit, in whatever order and pieces its values come.
fn shows_no_order(call: &Expr, aggregate: &Aggregate) -> Result<bool> {
    let Expr::AggregateFunction(AggregateFunction { func, params }) = call.clone().unalias() else {
        return Ok(false);
    };
    let schema = aggregate.input.schema();
    let mut fractions = false;
    for argument in &params.args {
        fractions |= argument.get_type(schema)?.is_floating();
    }
    Ok(match func.name() {
        "count" | "min" | "max" => true,
        // A whole number is exact as a double, and so are their sums.
        "avg" => match params.args.as_slice() {
            [Expr::Cast(cast)] => matches!(
                cast.expr.get_type(schema)?,
                DataType::Int8 | DataType::Int16 | DataType::Int32
            ),
            _ => false,
        },
        _ => func.order_sensitivity().is_insensitive() && !fractions,
    } && params.order_by.is_empty())
}

/// A plan without the windows that it multiplied its rows by.
struct Unexpanded {
    plan: LogicalPlan,
    time: Column,
    grid: WindowGrid,
}

/// `plan` without its column `window`, if that is a sliding window and nothing in between looks at it.
fn unexpanded(plan: &LogicalPlan, window: &Column) -> Result<Option<Unexpanded>> {
    match plan {
        LogicalPlan::Filter(filter) => {
            if filter.predicate.column_refs().contains(window) {
                return Ok(None);
            }
            let Some(below) = unexpanded(&filter.input, window)? else {
                return Ok(None);
            };
            let plan = Filter::try_new(filter.predicate.clone(), Arc::new(below.plan))?;
            Ok(Some(Unexpanded {
                plan: LogicalPlan::Filter(plan),
                ..below
            }))
        }
        LogicalPlan::Projection(projection) => {
            let Ok(index) = projection.schema.index_of_column(window) else {
                return Ok(None);
            };
            without(projection, index)
        }
        _ => Ok(None),
    }
}

/// A projection without its expression `index`, which is the window.
fn without(projection: &Projection, index: usize) -> Result<Option<Unexpanded>> {
    let mut rest = projection.expr.clone();
    let window = rest.remove(index).unalias();
    let reads = |column: &Column| rest.iter().any(|expr| expr.column_refs().contains(column));
    match &window {
        Expr::Column(column) if !reads(column) => {
            let Some(below) = unexpanded(&projection.input, column)? else {
                return Ok(None);
            };
            rest.push(Expr::Column(below.time.clone()));
            let plan = Projection::try_new(rest, Arc::new(below.plan))?;
            Ok(Some(Unexpanded {
                plan: LogicalPlan::Projection(plan),
                ..below
            }))
        }
        Expr::ScalarFunction(call) if call.func.name() == WINDOW_KEY => {
            let LogicalPlan::Extension(Extension { node }) = projection.input.as_ref() else {
                return Ok(None);
            };
            let Some(node) = node.as_any().downcast_ref::<SlidingWindowsNode>() else {
                return Ok(None);
            };
            let own = node.bounds().clone().map(Expr::Column);
            if call.args != own || node.bounds().iter().any(reads) {
                return Ok(None);
            }
            // The time takes the name that the start of the window had.
            let [time, _] = node.bounds().clone();
            rest.push(node.time().clone().alias(time.name()));
            let plan = Projection::try_new(rest, Arc::new(node.input().clone()))?;
            Ok(Some(Unexpanded {
                plan: LogicalPlan::Projection(plan),
                time,
                grid: node.grid(),
            }))
        }
        _ => Ok(None),
    }
}

/// `window_pane(time)`: the start of the pane that a time lies in.
pub(super) fn pane_of(time: Expr, grid: WindowGrid) -> Expr {
    ScalarUDF::new_from_impl(Pane {
        grid,
        signature: Signature::any(1, Volatility::Immutable),
    })
    .call(vec![time])
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Pane {
    grid: WindowGrid,
    signature: Signature,
}

impl ScalarUDFImpl for Pane {
    fn name(&self) -> &str {
        "window_pane"
    }

    /// The windows are part of the name: state of other windows is another state.
    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        let args: Vec<String> = args
            .iter()
            .map(|arg| arg.schema_name().to_string())
            .collect();
        Ok(format!("window_pane[{}]({})", self.grid, args.join(", ")))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [time] => Ok(time.clone()),
            _ => internal_err!("window_pane takes a time"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time] = args.args.as_slice() else {
            return internal_err!("window_pane takes a time");
        };
        let times = time.to_array(args.number_rows)?;
        let Some(times) = times.as_primitive_opt::<TimestampMicrosecondType>() else {
            return internal_err!("window_pane takes a time in microseconds");
        };
        let panes: PrimitiveArray<TimestampMicrosecondType> = times.try_unary(|time| {
            self.grid
                .pane(time)
                .ok_or_else(|| exec_datafusion_err!("a window of time {time} is out of range"))
        })?;
        Ok(ColumnarValue::Array(Arc::new(
            panes.with_timezone_opt(times.timezone()),
        )))
    }
}
