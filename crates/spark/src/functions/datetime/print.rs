//! Dates and timestamps as text.
use arrow::{
    array::ArrayRef,
    datatypes::{DataType, Date32Type, TimestampMicrosecondType},
};
use datafusion::logical_expr::Volatility;
use millstream_connectors::datetime::{MICROS_PER_SECOND, civil_from_days};

use super::{pattern::Patterns, read::DEFAULT_PATTERN, weekday};
use crate::{
    error::Result,
    functions::{
        Accepts, Batch, Function, Kernel, Parameters, Registry, Returns,
        rows::{Rows, with_args, with_defaults},
    },
    typed::TypedExpr,
};

const WEEKDAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

pub(super) fn register(registry: &mut Registry) {
    let text = || Returns::Type(DataType::Utf8);
    registry.add(Function::rewrite(
        "date_format",
        [Accepts::Any, Accepts::STRING],
        |call| {
            // Spark also prints TIME, and names types that it has not got yet.
            const REQUIRED: &str = "(\"TIMESTAMP\" or \"TIME\" or \
                                \"(TIMESTAMP_LTZ(P) OR TIMESTAMP_NTZ(P) WITH P IN [7, 9])\")";
            let value = call.arg(0)?;
            let instant = Accepts::timestamp();
            if instant
                .implicit_cast(&value.data_type, call.context.eval.ansi)
                .is_none()
            {
                return Err(call.unexpected_type(0, REQUIRED));
            }
            let mut call = with_args(call, call.args.clone());
            call.check_arguments(&Parameters::fixed([instant, Accepts::STRING]))?;
            let (kernel, nullable) = (Kernel::Plain(date_format), call.any_nullable());
            Ok(call.kernel_with(
                "date_format",
                kernel,
                DataType::Utf8,
                nullable,
                Volatility::Immutable,
            ))
        },
    ));
    registry.add(Function::scalar(
        "dayname",
        [Accepts::DATE],
        text(),
        dayname,
    ));
    registry.add(Function::scalar(
        "monthname",
        [Accepts::DATE],
        text(),
        monthname,
    ));
    let parameters = Parameters::fixed([Accepts::LONG]).optional([Accepts::STRING]);
    registry.add(Function::rewrite("from_unixtime", parameters, |call| {
        let call = with_defaults(call, 2, [TypedExpr::string(DEFAULT_PATTERN)]);
        let kernel = Kernel::Plain(from_unixtime);
        Ok(call.kernel_with(
            "from_unixtime",
            kernel,
            DataType::Utf8,
            true,
            Volatility::Immutable,
        ))
    }));
}

/// Instants, given by row, printed with the patterns of argument 1.
fn printed(batch: &Batch<'_>, rows: &Rows, micros: impl Fn(usize) -> i64) -> Result<ArrayRef> {
    let patterns = rows.strings(1)?;
    let zone = batch.context().zone()?;
    let mut compiled = Patterns::for_formatting(batch.context().time_parser);
    rows.text(|row| {
        let mut text = String::new();
        compiled
            .get(patterns.value(row))?
            .print(micros(row), &zone, &mut text)?;
        Ok(Some(text))
    })
}

fn date_format(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let instants = rows.primitive::<TimestampMicrosecondType>(0)?;
    printed(batch, &rows, |row| instants.value(row))
}

/// Seconds beyond the range of TIMESTAMP wrap, as in Spark.
fn from_unixtime(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let seconds = rows.longs(0)?;
    printed(batch, &rows, |row| {
        seconds.value(row).wrapping_mul(MICROS_PER_SECOND)
    })
}

fn dayname(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let dates = rows.primitive::<Date32Type>(0)?;
    rows.text(|row| {
        let day = weekday(i64::from(dates.value(row)));
        Ok(usize::try_from(day).ok().and_then(|d| WEEKDAYS.get(d)))
    })
}

fn monthname(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let dates = rows.primitive::<Date32Type>(0)?;
    rows.text(|row| {
        let (_, month, _) = civil_from_days(i64::from(dates.value(row)));
        Ok(MONTHS.get(month.saturating_sub(1) as usize))
    })
}
