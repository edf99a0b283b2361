//! Dates and timestamps read from text, with a pattern or as a cast reads them.
//!
//! Without a pattern these functions are casts. With one, ANSI mode refuses a text that does not match
//! (`CANNOT_PARSE_TIMESTAMP`); otherwise, and in the `try_` forms, the result is NULL. A bad pattern is always an error.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray},
    datatypes::{ArrowPrimitiveType, DataType, Date32Type, Int64Type, TimestampMicrosecondType},
};
use datafusion::logical_expr::Volatility;
use millstream_connectors::datetime::{MICROS_PER_SECOND, Zone};

use super::{
    other_function,
    pattern::{Pattern, Patterns, cannot_parse, fails},
    uncast,
};
use crate::{
    cast::{CastMode, EvalMode, cast, cast_array, coerce},
    error::Result,
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, Registry,
        rows::{Rows, with_args, with_defaults},
    },
    typed::TypedExpr,
    types::{TIMESTAMP_NTZ, is_numeric, timestamp},
};

/// Pattern of `unix_timestamp` and `from_unixtime` where none is given.
pub(super) const DEFAULT_PATTERN: &str = "yyyy-MM-dd HH:mm:ss";

type KernelFn = fn(&Batch<'_>) -> Result<ArrayRef>;

pub(super) fn register(registry: &mut Registry) {
    let instants = || {
        Accepts::one_of([
            Accepts::STRING,
            Accepts::DATE,
            Accepts::timestamp(),
            Accepts::TIMESTAMP_NTZ,
            Accepts::Numeric,
        ])
    };
    let dates = || {
        Accepts::one_of([
            Accepts::STRING,
            Accepts::DATE,
            Accepts::timestamp(),
            Accepts::TIMESTAMP_NTZ,
        ])
    };
    let mut add = |name, accepts: Accepts, to: DataType, tolerant, kernel: KernelFn| {
        let parameters = Parameters::fixed([accepts]).optional([Accepts::STRING]);
        registry.add(Function::rewrite(name, parameters, move |call| {
            read(call, name, &to, tolerant, kernel)
        }));
    };
    add(
        "to_timestamp",
        instants(),
        timestamp(),
        false,
        read_timestamp,
    );
    add(
        "to_timestamp_ltz",
        instants(),
        timestamp(),
        false,
        read_timestamp,
    );
    add(
        "to_timestamp_ntz",
        instants(),
        TIMESTAMP_NTZ,
        false,
        read_timestamp_ntz,
    );
    add(
        "try_to_timestamp",
        instants(),
        timestamp(),
        true,
        try_read_timestamp,
    );
    add("to_date", dates(), DataType::Date32, false, read_date);
    add(
        "try_to_date",
        dates(),
        DataType::Date32,
        true,
        try_read_date,
    );

    let pattern = || Parameters::none().optional([Accepts::Any, Accepts::Any]);
    registry.add(Function::rewrite(
        "unix_timestamp",
        pattern(),
        unix_timestamp,
    ));
    let pattern = Parameters::fixed([Accepts::Any]).optional([Accepts::Any]);
    registry.add(Function::rewrite(
        "to_unix_timestamp",
        pattern,
        unix_timestamp,
    ));
}

fn read(
    call: &Call<'_>,
    name: &'static str,
    to: &DataType,
    tolerant: bool,
    kernel: KernelFn,
) -> Result<TypedExpr> {
    let shown = call.name();
    let value = call.arg(0)?.clone();
    let Some(pattern) = call.args.get(1) else {
        let mut mode = CastMode::implicit(&call.context.eval);
        mode.place.clone_from(&call.place);
        if tolerant {
            mode.eval = EvalMode::Legacy;
        }
        return Ok(cast(value, to, mode)?.named(shown));
    };
    let value = match is_numeric(&value.data_type) {
        true => coerce(value, &DataType::Utf8, &call.context.eval)?,
        false => value,
    };
    let nullable = tolerant || !call.context.eval.ansi || call.any_nullable();
    let inner = with_args(call, vec![value, pattern.clone()]);
    let typed = inner.kernel_with(
        name,
        Kernel::Plain(kernel),
        to.clone(),
        nullable,
        Volatility::Immutable,
    );
    Ok(typed.named(shown))
}

/// `unix_timestamp([value[, pattern]])`; without a value, the clock.
fn unix_timestamp(call: &Call<'_>) -> Result<TypedExpr> {
    const REQUIRED: &str = "(\"STRING\" or \"DATE\" or \"TIMESTAMP\" or \"TIMESTAMP_NTZ\" or \
                            \"(TIMESTAMP_LTZ(P) OR TIMESTAMP_NTZ(P) WITH P IN [7, 9])\")";
    let mut args = call.args.clone();
    if args.is_empty() {
        args.push(other_function(call, "current_timestamp")?);
    }
    let call = with_defaults(
        &with_args(call, args),
        2,
        [TypedExpr::string(DEFAULT_PATTERN)],
    );
    let accepted = Accepts::one_of([
        Accepts::STRING,
        Accepts::DATE,
        Accepts::timestamp(),
        Accepts::TIMESTAMP_NTZ,
    ]);
    let value = uncast(&call, 0, &accepted, REQUIRED)?;
    let pattern = uncast(&call, 1, &Accepts::STRING, "\"STRING\"")?;
    let nullable = !call.context.eval.ansi || value.nullable || pattern.nullable;
    let call = with_args(&call, vec![value, pattern]);
    let kernel = Kernel::Plain(read_unix_seconds);
    Ok(call.kernel_with(
        "unix_timestamp",
        kernel,
        DataType::Int64,
        nullable,
        Volatility::Immutable,
    ))
}

/// Texts read with their patterns; `suggested` is the function that tolerates what cannot be read. `made` is what becomes of
/// an instant in the session time zone.
fn read_texts<T: ArrowPrimitiveType>(
    batch: &Batch<'_>,
    tolerant: bool,
    suggested: &str,
    read: fn(&Pattern, &str, &Zone) -> Result<Option<i64>>,
    made: fn(i64, &Zone) -> Option<T::Native>,
    explain: fn(&Pattern, &str) -> String,
) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, patterns) = (rows.strings(0)?, rows.strings(1)?);
    let zone = batch.context().zone()?;
    let mut compiled = Patterns::for_parsing(batch.context().time_parser);
    rows.numbers::<T>(|row| {
        let text = texts.value(row);
        let pattern = compiled.get(patterns.value(row))?;
        match read(pattern, text, &zone)?.and_then(|micros| made(micros, &zone)) {
            None if fails(batch.context(), tolerant) => {
                Err(cannot_parse(&explain(pattern, text), suggested))
            }
            value => Ok(value),
        }
    })
}

/// Values that are no text are cast; their pattern matters only where it is NULL. `None` for texts.
fn cast_values(batch: &Batch<'_>, to: &DataType) -> Result<Option<ArrayRef>> {
    let values = batch.array(0)?;
    if *values.data_type() == DataType::Utf8 {
        return Ok(None);
    }
    let cast = cast_array(&values, to, EvalMode::Legacy, batch.context())?;
    let no_pattern = arrow::compute::is_null(&batch.array(1)?)?;
    Ok(Some(arrow::compute::nullif(&cast, &no_pattern)?))
}

fn timestamps(batch: &Batch<'_>, tolerant: bool) -> Result<ArrayRef> {
    if let Some(cast) = cast_values(batch, batch.return_type())? {
        return Ok(cast);
    }
    read_texts::<TimestampMicrosecondType>(
        batch,
        tolerant,
        "try_to_timestamp",
        Pattern::timestamp,
        |micros, _| Some(micros),
        Pattern::explain,
    )
}

fn read_timestamp(batch: &Batch<'_>) -> Result<ArrayRef> {
    timestamps(batch, false)
}

fn try_read_timestamp(batch: &Batch<'_>) -> Result<ArrayRef> {
    timestamps(batch, true)
}

fn read_timestamp_ntz(batch: &Batch<'_>) -> Result<ArrayRef> {
    if let Some(cast) = cast_values(batch, batch.return_type())? {
        return Ok(cast);
    }
    read_texts::<TimestampMicrosecondType>(
        batch,
        false,
        "try_to_timestamp",
        |pattern, text, _| pattern.timestamp_ntz(text),
        |micros, _| Some(micros),
        Pattern::explain_ntz,
    )
}

/// The instant of the text, and then its date in the session time zone: a zone in the text counts.
fn dates(batch: &Batch<'_>, tolerant: bool) -> Result<ArrayRef> {
    if let Some(cast) = cast_values(batch, batch.return_type())? {
        return Ok(cast);
    }
    let date = |micros, zone: &Zone| {
        let (days, _) = super::wall_clock(micros, zone);
        i32::try_from(days).ok()
    };
    read_texts::<Date32Type>(
        batch,
        tolerant,
        "try_to_date",
        Pattern::timestamp,
        date,
        Pattern::explain,
    )
}

fn read_date(batch: &Batch<'_>) -> Result<ArrayRef> {
    dates(batch, false)
}

fn try_read_date(batch: &Batch<'_>) -> Result<ArrayRef> {
    dates(batch, true)
}

/// Whole seconds, cut off towards zero. A TIMESTAMP_NTZ counts from the epoch's wall clock, whatever the zone.
fn read_unix_seconds(batch: &Batch<'_>) -> Result<ArrayRef> {
    let own = match batch.array(0)?.data_type() {
        DataType::Timestamp(_, None) => TIMESTAMP_NTZ,
        _ => timestamp(),
    };
    if let Some(cast) = cast_values(batch, &own)? {
        let micros = cast.as_primitive::<TimestampMicrosecondType>();
        let seconds: PrimitiveArray<Int64Type> = micros.unary(|m| m / MICROS_PER_SECOND);
        return Ok(Arc::new(seconds));
    }
    read_texts::<Int64Type>(
        batch,
        false,
        "try_to_timestamp",
        Pattern::timestamp,
        |micros, _| Some(micros / MICROS_PER_SECOND),
        Pattern::explain,
    )
}
