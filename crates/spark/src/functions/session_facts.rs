//! Functions of the session rather than of values: the clock, the user, the database; and random numbers.
use std::{cell::RefCell, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray, Float64Array, PrimitiveArray},
    datatypes::{DataType, TimestampMicrosecondType},
};
use datafusion::{
    common::{
        ScalarValue,
        tree_node::{Transformed, TreeNode},
    },
    logical_expr::{Expr, LogicalPlan, Volatility, lit},
};
use millstream_engine::plan::{batch_time, uses_batch_time};
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::{Accepts, Batch, Call, Function, FunctionContext, Kernel, Parameters, Registry};
use crate::{
    cast::{CastMode, cast},
    error::{Result, SparkError},
    typed::TypedExpr,
    types::{SESSION_WINDOW_KEY, TIME_WINDOW_KEY, TIMESTAMP_NTZ, relabel, timestamp},
};

pub(super) fn register(registry: &mut Registry) {
    let none = Parameters::none;
    for name in ["current_timestamp", "now"] {
        registry.add(Function::rewrite(name, none(), |call| Ok(clock(call))));
    }
    registry.add(
        Function::rewrite("current_date", none(), |call| {
            let now = clock(call);
            let today = cast(
                now,
                &DataType::Date32,
                CastMode::implicit(&call.context.eval),
            )?;
            let mut today = today.named(format!("{}()", call.shown));
            today.nullable = false;
            Ok(today)
        })
        .alias("curdate")
        .shown_as("current_date"),
    );
    registry.add(Function::rewrite("localtimestamp", none(), |call| {
        let now = clock(call);
        let local = cast(now, &TIMESTAMP_NTZ, CastMode::implicit(&call.context.eval))?;
        Ok(local.named("localtimestamp()"))
    }));
    registry.add(Function::rewrite("current_timezone", none(), |call| {
        Ok(TypedExpr::string(&call.context.eval.time_zone).named("current_timezone()"))
    }));
    for (name, aliases) in [("current_user", &["user", "session_user"][..])] {
        let mut function = Function::rewrite(name, none(), |call| {
            Ok(TypedExpr::string(&call.context.user).named(call.name()))
        });
        for alias in aliases {
            function = function.alias(alias);
        }
        registry.add(function);
    }
    registry.add(
        Function::rewrite("current_database", none(), |call| {
            Ok(TypedExpr::string(&call.context.database).named("current_schema()"))
        })
        .alias("current_schema"),
    );
    registry.add(Function::rewrite("current_catalog", none(), |call| {
        Ok(TypedExpr::string("spark_catalog").named(call.name()))
    }));
    registry.add(Function::rewrite("version", none(), |call| {
        Ok(TypedExpr::string(concat!("millstream ", env!("CARGO_PKG_VERSION"))).named(call.name()))
    }));
    registry.add(
        Function::rewrite("rand", Parameters::none().optional([Accepts::LONG]), rand)
            .alias("random"),
    );
    registry.add(Function::rewrite("uuid", none(), |call| {
        let kernel = Kernel::Plain(uuid_kernel);
        Ok(call.kernel_with("uuid", kernel, DataType::Utf8, false, Volatility::Volatile))
    }));
    registry.add(Function::rewrite(
        "window_time",
        Parameters::fixed([Accepts::Any]),
        |call| {
            let window = call.arg(0)?.clone();
            if !window.metadata.contains_key(TIME_WINDOW_KEY)
                && !matches!(window.data_type, DataType::Struct(_))
            {
                return Err(call.unexpected_type(0, "\"STRUCT<start: TIMESTAMP, end: TIMESTAMP>\""));
            }
            Ok(window_time(window, call.context)?.named(call.name()))
        },
    ));
}

/// The time of the batch; a batch query binds it to its start with [`bind_clock`].
fn clock(call: &Call<'_>) -> TypedExpr {
    call.result(batch_time(), timestamp(), false)
}

/// The plan of a batch query with the clock stopped at `now_us`.
pub(crate) fn bind_clock(plan: LogicalPlan, now_us: i64) -> Result<LogicalPlan> {
    if !uses_batch_time(&plan)? {
        return Ok(plan);
    }
    let now = ScalarValue::TimestampMicrosecond(Some(now_us), Some("UTC".into()));
    let bound = plan.transform_up_with_subqueries(|plan| {
        plan.map_expressions(|expr| {
            expr.transform_up(|expr| match &expr {
                Expr::ScalarFunction(call) if expr_is_clock(call) => {
                    Ok(Transformed::yes(lit(now.clone())))
                }
                _ => Ok(Transformed::no(expr)),
            })
        })
    })?;
    Ok(bound.data)
}

fn expr_is_clock(call: &datafusion::logical_expr::expr::ScalarFunction) -> bool {
    matches!(batch_time(), Expr::ScalarFunction(clock) if clock.func.name() == call.func.name())
}

/// The last instant of a window: its end minus a microsecond.
pub(crate) fn window_time(window: TypedExpr, context: &FunctionContext) -> Result<TypedExpr> {
    let DataType::Struct(fields) = &window.data_type else {
        return Err(SparkError::internal("a window is a struct"));
    };
    let index = fields.iter().position(|f| f.name() == "end").unwrap_or(1);
    let metadata = window.metadata.clone();
    let name = format!("window_time({})", window.name);
    let end = crate::expression::extract::struct_field(window, index)?;
    let (data_type, nullable) = (end.data_type.clone(), end.nullable);
    let call = Call::new("window_time", vec![end], context);
    let kernel = Kernel::Plain(before_end);
    let mut typed = call
        .kernel_with(
            "window_time",
            kernel,
            data_type,
            nullable,
            Volatility::Immutable,
        )
        .named(name);
    typed.metadata = metadata;
    typed.metadata.remove(TIME_WINDOW_KEY);
    typed.metadata.remove(SESSION_WINDOW_KEY);
    Ok(typed)
}

fn before_end(batch: &Batch<'_>) -> Result<ArrayRef> {
    let ends = batch.array(0)?;
    let ends = ends.as_primitive::<TimestampMicrosecondType>();
    let times: PrimitiveArray<TimestampMicrosecondType> = ends.unary(|end| end.saturating_sub(1));
    relabel(&(Arc::new(times) as ArrayRef), batch.return_type())
}

fn rand(call: &Call<'_>) -> Result<TypedExpr> {
    let seed = match call.args.first() {
        Some(_) => match call.constant(0, "seed")? {
            ScalarValue::Int64(Some(seed)) => seed,
            _ => 0,
        },
        None => rand::random(),
    };
    let name = if call.args.is_empty() {
        format!("{}()", call.shown)
    } else {
        call.name()
    };
    let mut inner = Call::new("rand", vec![], call.context);
    inner.args = vec![TypedExpr::literal(
        ScalarValue::Int64(Some(seed)),
        seed.to_string(),
    )];
    let kernel = Kernel::Plain(rand_kernel);
    Ok(inner
        .kernel_with(
            "rand",
            kernel,
            DataType::Float64,
            false,
            Volatility::Volatile,
        )
        .named(name))
}

thread_local! {
    /// Generators by seed: a plan's draws continue from batch to batch.
    static GENERATORS: RefCell<Vec<(i64, StdRng)>> = const { RefCell::new(vec![]) };
}

/// Uniform numbers in [0, 1). The same seed draws other numbers than Spark's generator does.
pub(crate) fn rand_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    const KEPT: usize = 16;
    let Some(ScalarValue::Int64(Some(seed))) = batch.constant(0) else {
        return Err(SparkError::internal("a seed is a constant"));
    };
    let numbers = GENERATORS.with_borrow_mut(|generators| {
        let at = match generators.iter().position(|(s, _)| s == seed) {
            Some(at) => at,
            None => {
                if generators.len() >= KEPT {
                    generators.remove(0);
                }
                generators.push((*seed, StdRng::seed_from_u64(*seed as u64)));
                generators.len() - 1
            }
        };
        match generators.get_mut(at) {
            Some((_, generator)) => (0..batch.len())
                .map(|_| generator.random::<f64>())
                .collect(),
            None => vec![],
        }
    });
    Ok(Arc::new(Float64Array::from(numbers)))
}

fn uuid_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    let ids: arrow::array::StringArray = (0..batch.len())
        .map(|_| Some(uuid::Uuid::new_v4().to_string()))
        .collect();
    Ok(Arc::new(ids))
}
