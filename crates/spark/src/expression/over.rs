//! Window functions: `f(…) OVER (PARTITION BY … ORDER BY … frame)`.
use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    logical_expr::{
        Expr, WindowFrame, WindowFrameBound, WindowFrameUnits, WindowFunctionDefinition,
        expr::{NullTreatment, Sort, WindowFunction, WindowFunctionParams},
    },
};
use spark_connect_proto::{
    Expression,
    expression::{
        ExprType, Window,
        window::{
            WindowFrame as ProtoFrame,
            window_frame::{FrameBoundary, FrameType, frame_boundary::Boundary},
        },
    },
};

use super::{Expressions, not_set, query_context};
use crate::{
    error::{QueryContext, Result, SparkError},
    functions::{Resolution, WindowCall},
    typed::TypedExpr,
};

/// A window specification, resolved.
struct Spec {
    partition_by: Vec<TypedExpr>,
    order_by: Vec<Sort>,
    order_types: Vec<DataType>,
    text: Vec<String>,
}

impl Expressions<'_> {
    pub(super) fn over(&self, window: &Window, place: Option<&QueryContext>) -> Result<TypedExpr> {
        let function = window
            .window_function
            .as_deref()
            .ok_or_else(|| not_set("Window", "window_function"))?;
        let call = self.windowed(function, place)?;
        let spec = self.spec(window)?;
        if call.fixed_frame.is_some() && spec.order_by.is_empty() {
            let name = call.name.split('(').next().unwrap_or_default();
            return Err(SparkError::analysis(
                "WINDOW_FUNCTION_FRAME_NOT_ORDERED",
                &[("wf_name", name), ("wf_expr", &call.name)],
            ));
        }
        let (frame, frame_text) = match (&window.frame_spec, &call.fixed_frame) {
            (_, Some(fixed)) => (WindowFrame::new(Some(true)), fixed.clone()),
            (Some(frame), None) => self.frame(frame, &spec)?,
            (None, None) if spec.order_by.is_empty() => {
                let bound = |v| WindowFrameBound::from_unbounded(v);
                let frame =
                    WindowFrame::new_bounds(WindowFrameUnits::Rows, bound(true), bound(false));
                (
                    frame,
                    "ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING".to_string(),
                )
            }
            (None, None) => {
                let frame = WindowFrame::new_bounds(
                    WindowFrameUnits::Range,
                    WindowFrameBound::from_unbounded(true),
                    WindowFrameBound::CurrentRow,
                );
                (
                    frame,
                    "RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW".to_string(),
                )
            }
        };
        let mut text = spec.text.clone();
        text.push(frame_text);
        let name = format!("{} OVER ({})", call.name, text.join(" "));
        let expr = Expr::WindowFunction(Box::new(WindowFunction {
            fun: call.function,
            params: WindowFunctionParams {
                args: call.args,
                partition_by: spec.partition_by.into_iter().map(|p| p.expr).collect(),
                order_by: spec.order_by,
                window_frame: frame,
                filter: None,
                null_treatment: call.ignore_nulls.then_some(NullTreatment::IgnoreNulls),
                distinct: false,
            },
        }));
        let expr = match call.cast_from {
            Some(_) => Expr::Cast(datafusion::logical_expr::Cast::new(
                Box::new(expr),
                call.data_type.clone(),
            )),
            None => expr,
        };
        Ok(TypedExpr::new(expr, call.data_type, call.nullable, name))
    }

    /// The function before OVER: a window function, or an aggregate.
    fn windowed(
        &self,
        expression: &Expression,
        place: Option<&QueryContext>,
    ) -> Result<WindowCall> {
        if let Some(ExprType::ExpressionString(text)) = &expression.expr_type {
            let parsed = self.planner().parse_expression(&text.expression)?;
            return self.windowed(&parsed, place);
        }
        let Some(ExprType::UnresolvedFunction(function)) = &expression.expr_type else {
            let value = self.value(expression)?;
            return Err(unsupported(&value.name));
        };
        let own = query_context(expression.common.as_ref());
        self.windowed.set(true);
        match self.function(function, own.as_ref().or(place))? {
            Resolution::Window(call) => Ok(call),
            Resolution::Generator(generator) => Err(unsupported(&generator.name)),
            Resolution::Value(value) => {
                let Expr::AggregateFunction(aggregate) = value.expr else {
                    return Err(unsupported(&value.name));
                };
                if aggregate.params.distinct {
                    return Err(SparkError::analysis(
                        "DISTINCT_WINDOW_FUNCTION_UNSUPPORTED",
                        &[("windowExpr", &crate::error::quoted(&value.name))],
                    ));
                }
                Ok(WindowCall {
                    function: WindowFunctionDefinition::AggregateUDF(aggregate.func),
                    args: aggregate.params.args,
                    data_type: value.data_type,
                    nullable: value.nullable,
                    name: value.name,
                    ignore_nulls: aggregate.params.null_treatment
                        == Some(NullTreatment::IgnoreNulls),
                    fixed_frame: None,
                    cast_from: None,
                    default: None,
                })
            }
        }
    }

    fn spec(&self, window: &Window) -> Result<Spec> {
        let partition_by = window
            .partition_spec
            .iter()
            .map(|e| self.value(e))
            .collect::<Result<Vec<_>>>()?;
        let mut text = vec![];
        if !partition_by.is_empty() {
            let names: Vec<&str> = partition_by.iter().map(|p| p.name.as_str()).collect();
            text.push(format!("PARTITION BY {}", names.join(", ")));
        }
        let (mut order_by, mut order_types, mut order_text) = (vec![], vec![], vec![]);
        for order in &window.order_spec {
            let expression = Expression {
                common: None,
                expr_type: Some(ExprType::SortOrder(Box::new(order.clone()))),
            };
            let sort = self.sort_expression(&expression)?;
            let value = self.value(&expression)?;
            let direction = if sort.asc { "ASC" } else { "DESC" };
            let nulls = if sort.nulls_first { "FIRST" } else { "LAST" };
            order_text.push(format!("{} {direction} NULLS {nulls}", value.name));
            order_types.push(value.data_type);
            order_by.push(sort);
        }
        if !order_text.is_empty() {
            text.push(format!("ORDER BY {}", order_text.join(", ")));
        }
        Ok(Spec {
            partition_by,
            order_by,
            order_types,
            text,
        })
    }

    fn frame(&self, frame: &ProtoFrame, spec: &Spec) -> Result<(WindowFrame, String)> {
        let (units, word) = match frame.frame_type() {
            FrameType::Range => (WindowFrameUnits::Range, "RANGE"),
            _ => (WindowFrameUnits::Rows, "ROWS"),
        };
        let lower = frame.lower.as_deref().ok_or_else(|| {
            SparkError::analysis(
                "CONNECT_INVALID_PLAN.LOWER_BOUND_REQUIRED_IN_WINDOW_FRAME",
                &[],
            )
        })?;
        let upper = frame.upper.as_deref().ok_or_else(|| {
            SparkError::analysis(
                "CONNECT_INVALID_PLAN.UPPER_BOUND_REQUIRED_IN_WINDOW_FRAME",
                &[],
            )
        })?;
        let order = spec.order_types.first();
        if units == WindowFrameUnits::Range && spec.order_by.is_empty() {
            return Err(SparkError::analysis(
                "DATATYPE_MISMATCH.RANGE_FRAME_WITHOUT_ORDER",
                &[("sqlExpr", "\"windowspecdefinition\"")],
            ));
        }
        let (lower, lower_text) = self.bound(lower, true, units, order)?;
        let (upper, upper_text) = self.bound(upper, false, units, order)?;
        let (lower, upper) = match units == WindowFrameUnits::Rows && ends_before(&lower, &upper) {
            true => (beyond(), beyond()),
            false => (lower, upper),
        };
        let frame = WindowFrame::new_bounds(units, lower, upper);
        Ok((
            frame,
            format!("{word} BETWEEN {lower_text} AND {upper_text}"),
        ))
    }

    fn bound(
        &self,
        boundary: &FrameBoundary,
        lower: bool,
        units: WindowFrameUnits,
        order: Option<&DataType>,
    ) -> Result<(WindowFrameBound, String)> {
        match &boundary.boundary {
            Some(Boundary::CurrentRow(_)) => {
                Ok((WindowFrameBound::CurrentRow, "CURRENT ROW".into()))
            }
            Some(Boundary::Unbounded(_)) | None => {
                let word = if lower {
                    "UNBOUNDED PRECEDING"
                } else {
                    "UNBOUNDED FOLLOWING"
                };
                Ok((WindowFrameBound::from_unbounded(lower), word.into()))
            }
            Some(Boundary::Value(value)) => {
                let value = self.value(value)?;
                let text = format!("{} FOLLOWING", value.name);
                let offset = crate::fold::fold(&value.expr)?;
                if let Some((interval, back)) = interval_offset(&offset) {
                    let bound = if back {
                        WindowFrameBound::Preceding(interval)
                    } else {
                        WindowFrameBound::Following(interval)
                    };
                    return Ok((bound, text));
                }
                let number = offset.cast_to(&DataType::Int64).ok().and_then(|v| match v {
                    ScalarValue::Int64(v) => v,
                    _ => None,
                });
                let Some(number) = number else {
                    return Err(SparkError::analysis(
                        "DATATYPE_MISMATCH.SPECIFIED_WINDOW_FRAME_UNACCEPTED_TYPE",
                        &[
                            ("sqlExpr", &value.sql()),
                            ("location", if lower { "lower" } else { "upper" }),
                            ("exprType", &value.type_sql()),
                            ("expectedType", "\"INT\""),
                        ],
                    ));
                };
                let distance = |n: u64| match units {
                    WindowFrameUnits::Range => {
                        let target = order.cloned().unwrap_or(DataType::Int64);
                        let exact = ScalarValue::Int64(i64::try_from(n).ok());
                        exact.cast_to(&target).map_err(SparkError::from)
                    }
                    _ => Ok(ScalarValue::UInt64(Some(n))),
                };
                let bound = match number {
                    0 => WindowFrameBound::CurrentRow,
                    n if n < 0 => WindowFrameBound::Preceding(distance(n.unsigned_abs())?),
                    n => WindowFrameBound::Following(distance(n.unsigned_abs())?),
                };
                Ok((
                    bound,
                    if number == 0 {
                        "CURRENT ROW".into()
                    } else {
                        text
                    },
                ))
            }
        }
    }
}

/// Whether a frame of rows ends before it starts: it holds no row, which is no error in Spark.
fn ends_before(lower: &WindowFrameBound, upper: &WindowFrameBound) -> bool {
    let rows = |value: &ScalarValue| match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(rows)) => rows,
        _ => None,
    };
    let offset = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::CurrentRow => Some(0),
        WindowFrameBound::Preceding(value) => rows(value).map(|rows| -rows),
        WindowFrameBound::Following(value) => rows(value),
    };
    match (offset(lower), offset(upper)) {
        (Some(lower), Some(upper)) => lower > upper,
        _ => false,
    }
}

/// A bound that lies behind the last row of any partition.
fn beyond() -> WindowFrameBound {
    WindowFrameBound::Following(ScalarValue::UInt64(Some(1 << 40)))
}

/// The length of an interval offset, and whether it points back.
fn interval_offset(offset: &ScalarValue) -> Option<(ScalarValue, bool)> {
    use arrow::datatypes::IntervalMonthDayNano;
    const DAY_US: i64 = 86_400_000_000;
    let (months, days, nanos, back) = match offset {
        ScalarValue::DurationMicrosecond(Some(us)) => {
            let abs = us.checked_abs()?;
            (
                0,
                i32::try_from(abs / DAY_US).ok()?,
                abs % DAY_US * 1000,
                *us < 0,
            )
        }
        ScalarValue::IntervalYearMonth(Some(months)) => (months.checked_abs()?, 0, 0, *months < 0),
        ScalarValue::IntervalMonthDayNano(Some(v)) => {
            let back = v.months < 0 || v.days < 0 || v.nanoseconds < 0;
            (
                v.months.checked_abs()?,
                v.days.checked_abs()?,
                v.nanoseconds.checked_abs()?,
                back,
            )
        }
        _ => return None,
    };
    Some((
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano::new(months, days, nanos))),
        back,
    ))
}

impl WindowFrameBoundExt for WindowFrameBound {
    fn from_unbounded(lower: bool) -> Self {
        let none = ScalarValue::UInt64(None);
        if lower {
            Self::Preceding(none)
        } else {
            Self::Following(none)
        }
    }
}

trait WindowFrameBoundExt {
    fn from_unbounded(lower: bool) -> Self;
}

fn unsupported(name: &str) -> SparkError {
    SparkError::analysis(
        "UNSUPPORTED_EXPR_FOR_WINDOW",
        &[("sqlExpr", &crate::error::quoted(name))],
    )
}
