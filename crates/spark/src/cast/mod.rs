//! `CAST`, in Spark's sense.
//!
//! Every change of type in a plan goes through [`cast`]: the ones users write, and the implicit ones that type rules
//! insert. Casts that can neither fail nor differ from Arrow's are plain DataFusion casts, which the optimizer can push
//! down and fold; all others are a `spark_cast` kernel with Spark's parsing, printing, overflow and time zone rules.
//!
//! | [`EvalMode`] | malformed or out of range |
//! |---|---|
//! | `Ansi` (default) | `CAST_INVALID_INPUT`, `CAST_OVERFLOW`, `NUMERIC_VALUE_OUT_OF_RANGE` |
//! | `Legacy` (`spark.sql.ansi.enabled=false`) | NULL, or integers wrap |
//! | `Try` (`TRY_CAST`) | NULL |
mod error;
mod from_string;
mod kernel;
mod numeric;
mod rules;
mod temporal;
mod to_string;

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, ScalarUDF, Volatility, expr::ScalarFunction};

use crate::{
    error::{QueryContext, Result},
    functions::{EvalContext, Kernel},
    typed::TypedExpr,
    types::sql_name,
};

pub(crate) use error::decimal_out_of_range;
pub(crate) use kernel::cast_array;
pub(crate) use numeric::{
    decimal_from_text, decimal_text as display_decimal, fits_decimal, rescale_value,
};
pub use rules::{can_cast, can_store_assign, can_up_cast};
pub use to_string::{ToStringStyle, display_strings};

/// What happens to values that do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EvalMode {
    /// Errors.
    Ansi,
    /// NULL, and integers wrap.
    Legacy,
    /// NULL.
    Try,
}

/// How to cast.
#[derive(Debug, Clone)]
pub struct CastMode {
    /// What happens to values that do not fit.
    pub eval: EvalMode,
    /// Session facts.
    pub context: Arc<EvalContext>,
    /// Where in the program.
    pub place: Option<QueryContext>,
}

impl CastMode {
    /// As the session's ANSI setting says.
    pub fn implicit(context: &Arc<EvalContext>) -> Self {
        let eval = if context.ansi {
            EvalMode::Ansi
        } else {
            EvalMode::Legacy
        };
        Self {
            eval,
            context: Arc::clone(context),
            place: None,
        }
    }

    /// `TRY_CAST`.
    pub fn tolerant(context: &Arc<EvalContext>) -> Self {
        Self {
            eval: EvalMode::Try,
            context: Arc::clone(context),
            place: None,
        }
    }
}

/// `value` cast to `to` and named `CAST(value AS TO)`; refused if there is no such cast. A cast to the type that `value`
/// has changes nothing but the name.
pub fn cast(value: TypedExpr, to: &DataType, mode: CastMode) -> Result<TypedExpr> {
    let word = if mode.eval == EvalMode::Try {
        "TRY_CAST"
    } else {
        "CAST"
    };
    // Spark does not print casts to types with parts.
    let name = match to {
        DataType::List(_) | DataType::Map(_, _) | DataType::Struct(_) => value.name.clone(),
        _ => format!("{word}({} AS {})", value.name, sql_name(to)),
    };
    if value.data_type == *to {
        return Ok(value.named(name));
    }
    let from = value.data_type.clone();
    if !can_cast(&from, to, mode.eval) {
        return Err(error::no_such_cast(&name, &from, to, mode.eval));
    }
    let nullable =
        value.nullable || mode.eval == EvalMode::Try || rules::may_null(&from, to, mode.eval);
    let fields = value.metadata.get(crate::types::INTERVAL_FIELDS).cloned();
    let expr = cast_expr(value.expr, &from, to, nullable, &mode, fields);
    let mut typed = TypedExpr::new(expr, to.clone(), nullable, name);
    typed.context = mode.place;
    Ok(typed)
}

/// `value` as a `to`, its name kept: what type rules insert.
pub fn coerce(value: TypedExpr, to: &DataType, context: &Arc<EvalContext>) -> Result<TypedExpr> {
    if value.data_type == *to {
        return Ok(value);
    }
    let (name, output) = (value.name.clone(), value.output_name.clone());
    let mut mode = CastMode::implicit(context);
    mode.place.clone_from(&value.context);
    let mut typed = cast(value, to, mode)?.named(name);
    typed.output_name = output;
    Ok(typed)
}

fn cast_expr(
    expr: Expr,
    from: &DataType,
    to: &DataType,
    nullable: bool,
    mode: &CastMode,
    fields: Option<String>,
) -> Expr {
    if let Expr::Literal(value, _) = &expr
        && (value.is_null() || *from == DataType::Null)
        && let Ok(null) = datafusion::common::ScalarValue::try_from(to)
    {
        return datafusion::logical_expr::lit(null);
    }
    if rules::is_arrows_own(from, to) {
        return Expr::Cast(datafusion::logical_expr::Cast::new(
            Box::new(expr),
            to.clone(),
        ));
    }
    // Small constants (bounds of a comparison, defaults) are worth folding here: sources see through them.
    let udf = kernel::udf(from, to, nullable, mode, fields);
    let call = Expr::ScalarFunction(ScalarFunction::new_udf(Arc::new(udf), vec![expr.clone()]));
    if matches!(expr, Expr::Literal(_, _))
        && let Ok(value) = crate::fold::fold(&call)
    {
        return datafusion::logical_expr::lit(value);
    }
    call
}

/// Whether an implicit cast may turn a value into NULL, or fail.
pub(crate) fn cast_may_null(from: &DataType, to: &DataType) -> bool {
    rules::may_null(from, to, EvalMode::Ansi)
}

/// The kernel as a DataFusion function.
fn kernel_udf(
    kernel: Arc<dyn crate::functions::PreparedKernel>,
    (from, to): (&DataType, &DataType),
    nullable: bool,
    mode: &CastMode,
) -> ScalarUDF {
    let udf = crate::functions::KernelUdf::new(
        "spark_cast",
        Kernel::Prepared(kernel),
        (to.clone(), nullable),
        Arc::clone(&mode.context),
        mode.place.clone(),
        Volatility::Immutable,
    );
    ScalarUDF::from(udf.taking(vec![from.clone()]))
}

#[cfg(test)]
mod tests;
