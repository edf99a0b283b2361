//! Expressions over time as sums: columns, and constants in microseconds, each with a sign.
//!
//! `rt <= lt + INTERVAL 5 MINUTES` says `0 <= lt - rt + 5 min`; the sum is what a state watermark is solved from. What is
//! understood is what Spark understands: sums and differences of timestamps, intervals without months, and numbers,
//! through casts between timestamps and numbers, where a number counts seconds. A day is 24 hours. Anything else is a term
//! of its own that nothing can be solved for. A column of numbers is a time like any other, so that `lv > 0`, where it stays
//! in the condition of an outer join, keeps left rows for ever.
//!
//! The engine meets the functions of the language only here, by the names under which they stand in plans.
use std::sync::Arc;

use arrow::{
    array::{RecordBatch, RecordBatchOptions},
    datatypes::{DataType, Schema, TimeUnit},
};
use datafusion::{
    common::{Column, DFSchema, ExprSchema, ScalarValue, tree_node::TreeNode},
    logical_expr::{ColumnarValue, Expr, Operator, execution_props::ExecutionProps},
    physical_expr::create_physical_expr,
};

/// Adds an interval or a number.
const ADDITIONS: [&str; 3] = ["time_add", "interval_add", "+"];
/// Takes an interval or a number away.
const SUBTRACTIONS: [&str; 3] = ["time_sub", "interval_sub", "-"];
const NEGATION: &str = "negative";
const CAST: &str = "spark_cast";
/// Functions other than the above that are NULL if an argument is.
const NULL_INTOLERANT: [&str; 7] = [
    "*",
    "months_add",
    "months_sub",
    "subtract_timestamps",
    "unix_seconds",
    "unix_millis",
    "unix_micros",
];
const MICROS_PER_SECOND: f64 = 1e6;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A term of a sum.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    /// A column of timestamps or, since Spark takes any for a time, of numbers.
    Column(Column),
    /// Microseconds.
    Constant(f64),
    /// What is not understood, and the columns in it.
    Other(Vec<Column>),
}

/// A term and whether it is subtracted.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SignedTerm {
    pub negated: bool,
    pub term: Term,
}

/// The terms of `left - right`; `None` if there is something in it that makes the sum meaningless, as months do.
pub(super) fn difference(left: &Expr, right: &Expr, schema: &DFSchema) -> Option<Vec<SignedTerm>> {
    let mut terms = vec![];
    collect(left, false, schema, &mut terms)?;
    collect(right, true, schema, &mut terms)?;
    Some(terms)
}

fn collect(
    expr: &Expr,
    negated: bool,
    schema: &DFSchema,
    terms: &mut Vec<SignedTerm>,
) -> Option<()> {
    let mut push = |term| {
        terms.push(SignedTerm { negated, term });
        Some(())
    };
    if expr.column_refs().is_empty() && !expr.is_volatile() {
        return push(Term::Constant(micros(&constant(expr)?)?));
    }
    match expr {
        Expr::Alias(alias) => collect(&alias.expr, negated, schema, terms),
        Expr::Column(column) => {
            let field = schema.field_from_column(column).ok()?;
            let data_type = field.data_type();
            push(match is_instant(data_type) || data_type.is_numeric() {
                true => Term::Column(column.clone()),
                false => Term::Other(vec![column.clone()]),
            })
        }
        Expr::Negative(inner) => collect(inner, !negated, schema, terms),
        Expr::Cast(cast) => {
            collect_cast(&cast.expr, cast.field.data_type(), negated, schema, terms)
        }
        Expr::BinaryExpr(sum) if matches!(sum.op, Operator::Plus | Operator::Minus) => {
            collect(&sum.left, negated, schema, terms)?;
            collect(
                &sum.right,
                negated != (sum.op == Operator::Minus),
                schema,
                terms,
            )
        }
        Expr::ScalarFunction(call) => match (call.name(), call.args.as_slice()) {
            (name, [left, right]) if ADDITIONS.contains(&name) => {
                collect(left, negated, schema, terms)?;
                collect(right, negated, schema, terms)
            }
            (name, [left, right]) if SUBTRACTIONS.contains(&name) => {
                collect(left, negated, schema, terms)?;
                collect(right, !negated, schema, terms)
            }
            (NEGATION, [inner]) => collect(inner, !negated, schema, terms),
            (CAST, [inner]) => {
                let to = call.func.return_type(&[]).ok()?;
                collect_cast(inner, &to, negated, schema, terms)
            }
            _ => push(other(expr)),
        },
        _ => push(other(expr)),
    }
}

/// A cast between numbers and instants keeps the meaning of a term; any other ends it.
fn collect_cast(
    inner: &Expr,
    to: &DataType,
    negated: bool,
    schema: &DFSchema,
    terms: &mut Vec<SignedTerm>,
) -> Option<()> {
    match to.is_numeric() || is_instant(to) {
        true => collect(inner, negated, schema, terms),
        false => None,
    }
}

fn other(expr: &Expr) -> Term {
    Term::Other(expr.column_refs().into_iter().cloned().collect())
}

/// Whether values are points in time: a wall clock without a zone is not.
fn is_instant(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Timestamp(TimeUnit::Microsecond, Some(_))
    )
}

/// The value of an expression without columns.
fn constant(expr: &Expr) -> Option<ScalarValue> {
    if let Expr::Literal(value, _) = expr {
        return Some(value.clone());
    }
    let physical = create_physical_expr(
        expr,
        &DFSchema::empty(),
        &ExecutionProps::new(),
        &Default::default(),
    )
    .ok()?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row =
        RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).ok()?;
    match physical.evaluate(&row).ok()? {
        ColumnarValue::Scalar(value) => Some(value),
        ColumnarValue::Array(values) => ScalarValue::try_from_array(&values, 0).ok(),
    }
}

/// A constant in microseconds: intervals as long as they are, numbers as seconds. Of a constant instant Spark makes nothing: what
/// it makes of it cannot be evaluated.
fn micros(value: &ScalarValue) -> Option<f64> {
    Some(match value {
        ScalarValue::DurationMicrosecond(Some(micros)) => *micros as f64,
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.months == 0 => {
            let days = i64::from(interval.days).checked_mul(MICROS_PER_DAY)?;
            days.checked_add(interval.nanoseconds / 1000)? as f64
        }
        number if number.data_type().is_numeric() => {
            let seconds = number.cast_to(&DataType::Float64).ok()?;
            let ScalarValue::Float64(Some(seconds)) = seconds else {
                return None;
            };
            seconds * MICROS_PER_SECOND
        }
        _ => return None,
    })
}

/// The columns that make `predicate` anything but true when they are NULL.
pub(super) fn required_columns(predicate: &Expr, found: &mut Vec<Column>) {
    match predicate {
        Expr::BinaryExpr(both) if both.op == Operator::And => {
            required_columns(&both.left, found);
            required_columns(&both.right, found);
        }
        Expr::BinaryExpr(comparison) if is_null_intolerant(comparison.op) => {
            carried_columns(&comparison.left, found);
            carried_columns(&comparison.right, found);
        }
        Expr::IsNotNull(inner) => carried_columns(inner, found),
        Expr::Not(inner) if !inner.exists(|expr| Ok(is_connective(expr))).unwrap_or(true) => {
            required_columns(inner, found);
        }
        _ => {}
    }
}

fn is_null_intolerant(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

/// What does not turn NULL into NULL under a negation.
fn is_connective(expr: &Expr) -> bool {
    match expr {
        Expr::IsNotNull(_) | Expr::IsNull(_) => true,
        Expr::BinaryExpr(binary) => matches!(
            binary.op,
            Operator::And | Operator::Or | Operator::IsNotDistinctFrom | Operator::IsDistinctFrom
        ),
        _ => false,
    }
}

/// The columns whose NULL makes the value NULL.
fn carried_columns(value: &Expr, found: &mut Vec<Column>) {
    match value {
        Expr::Column(column) => found.push(column.clone()),
        Expr::Alias(alias) => carried_columns(&alias.expr, found),
        Expr::Negative(inner) => carried_columns(inner, found),
        Expr::Cast(cast) => carried_columns(&cast.expr, found),
        Expr::BinaryExpr(sum) if matches!(sum.op, Operator::Plus | Operator::Minus) => {
            carried_columns(&sum.left, found);
            carried_columns(&sum.right, found);
        }
        Expr::ScalarFunction(call)
            if ADDITIONS
                .iter()
                .chain(&SUBTRACTIONS)
                .chain(&NULL_INTOLERANT)
                .chain(&[NEGATION, CAST])
                .any(|name| *name == call.name()) =>
        {
            for arg in &call.args {
                carried_columns(arg, found);
            }
        }
        _ => {}
    }
}
