//! Functions about the query and the types of values.
use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, NullArray},
    datatypes::DataType,
};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Volatility, lit, when},
};

use super::{
    Accepts, Batch, Call, Function, Kernel, Parameters, PreparedKernel, Registry, Returns,
    rows::{Rows, with_args},
};
use crate::{
    error::{Result, SparkError},
    literal::null_of,
    typed::TypedExpr,
    types::simple_string,
};

/// Adds the family.
pub(super) fn register(registry: &mut Registry) {
    place_of_rows(registry);
    let one = || Parameters::fixed([Accepts::Any]);
    registry.add(Function::rewrite("typeof", one(), |call| {
        let name = simple_string(&call.arg(0)?.data_type);
        Ok(constant(call, ScalarValue::from(name)))
    }));
    let message = Parameters::fixed([Accepts::BOOLEAN]).optional([Accepts::STRING]);
    registry.add(Function::rewrite("assert_true", message, assert_true_call));
    let void = Returns::Nullable(DataType::Null);
    registry.add(Function::volatile(
        "raise_error",
        [Accepts::STRING],
        void,
        raise_error,
    ));
    registry.add(Function::rewrite(
        "zeroifnull",
        [Accepts::Numeric],
        |call| {
            // A NULL without a type becomes an INT, as the zero is one.
            let data_type = match call.args.first().map(|a| &a.expr) {
                Some(datafusion::logical_expr::Expr::Literal(value, _)) if value.is_null() => {
                    DataType::Int32
                }
                _ => call.arg(0)?.data_type.clone(),
            };
            let arg = crate::cast::coerce(call.arg(0)?.clone(), &data_type, &call.context.eval)?;
            let zero = ScalarValue::new_zero(&arg.data_type)?;
            let expr = when(arg.expr.clone().is_null(), lit(zero)).otherwise(arg.expr.clone())?;
            Ok(call.result(expr, arg.data_type.clone(), false))
        },
    ));
    registry.add(Function::rewrite(
        "nullifzero",
        [Accepts::Numeric],
        |call| {
            let arg = call.arg(0)?;
            let zero = ScalarValue::new_zero(&arg.data_type)?;
            let null = lit(null_of(&arg.data_type)?);
            let expr = when(arg.expr.clone().eq(lit(zero)), null).otherwise(arg.expr.clone())?;
            Ok(call.result(expr, arg.data_type.clone(), true))
        },
    ));
}

/// Where a row comes from, as far as rows know.
fn place_of_rows(registry: &mut Registry) {
    // Of rows that come from no file; of others the caller knows more, see `Expressions::of_file`.
    registry.add(Function::rewrite(
        "input_file_name",
        Parameters::none(),
        |call| Ok(constant(call, ScalarValue::from(""))),
    ));
    for name in ["input_file_block_start", "input_file_block_length"] {
        registry.add(Function::rewrite(name, Parameters::none(), |call| {
            Ok(constant(call, ScalarValue::Int64(Some(-1))))
        }));
    }
    registry.add(Function::rewrite(
        "monotonically_increasing_id",
        Parameters::none(),
        |call| {
            let kernel = Kernel::Prepared(Arc::new(IncreasingId(AtomicI64::new(0))));
            let name = "monotonically_increasing_id";
            Ok(call.kernel_with(name, kernel, DataType::Int64, false, Volatility::Volatile))
        },
    ));
    registry.add(Function::rewrite(
        "spark_partition_id",
        Parameters::none(),
        |_| {
            Err(SparkError::unsupported(
                "spark_partition_id(): expressions do not know their partition",
            ))
        },
    ));
}

fn constant(call: &Call<'_>, value: ScalarValue) -> TypedExpr {
    let data_type = value.data_type();
    call.result(lit(value), data_type, false)
}

fn user_raised(message: Option<&str>) -> SparkError {
    SparkError::runtime(
        "USER_RAISED_EXCEPTION",
        &[("errorMessage", message.unwrap_or("null"))],
    )
}

fn assert_true_call(call: &Call<'_>) -> Result<TypedExpr> {
    let condition = call.arg(0)?;
    let message = match call.args.get(1) {
        Some(message) => message.clone(),
        None => TypedExpr::string(format!("'{}' is not true!", condition.name)),
    };
    let call = with_args(call, vec![condition.clone(), message]);
    let kernel = Kernel::Plain(assert_true);
    Ok(call.kernel_with(
        "assert_true",
        kernel,
        DataType::Null,
        true,
        Volatility::Volatile,
    ))
}

fn assert_true(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::requiring(batch, 0)?;
    let (conditions, messages) = (rows.booleans(0)?, rows.strings(1)?);
    for row in 0..batch.len() {
        if conditions.is_null(row) || !conditions.value(row) {
            return Err(user_raised(
                messages.is_valid(row).then(|| messages.value(row)),
            ));
        }
    }
    Ok(Arc::new(NullArray::new(batch.len())))
}

fn raise_error(batch: &Batch<'_>) -> Result<ArrayRef> {
    let messages = batch.array(0)?;
    if messages.is_empty() {
        return Ok(Arc::new(NullArray::new(0)));
    }
    let first = messages
        .as_string_opt::<i32>()
        .filter(|m| m.is_valid(0))
        .map(|m| m.value(0));
    Err(user_raised(first))
}

/// Numbers rows as they come. They are unique within a query and grow within a partition; unlike Spark's they do not
/// hold the partition's number in the upper bits.
#[derive(Debug)]
struct IncreasingId(AtomicI64);

impl PreparedKernel for IncreasingId {
    fn fingerprint(&self) -> String {
        String::new()
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let count = i64::try_from(batch.len()).unwrap_or(i64::MAX);
        let first = self.0.fetch_add(count, Ordering::Relaxed);
        Ok(Arc::new(Int64Array::from_iter_values(first..first + count)))
    }
}
