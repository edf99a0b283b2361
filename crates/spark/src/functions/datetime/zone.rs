//! The wall clock of one zone read in another.
use arrow::{array::ArrayRef, datatypes::TimestampMicrosecondType};
use datafusion::logical_expr::Volatility;
use millstream_connectors::datetime::{MICROS_PER_DAY, Zone};

use super::{instant, other_function, pattern::Zones};
use crate::{
    error::Result,
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, Registry, Returns,
        rows::{Rows, with_args},
    },
    typed::TypedExpr,
    types::{TIMESTAMP_NTZ, timestamp},
};

pub(super) fn register(registry: &mut Registry) {
    let parameters = || [Accepts::timestamp(), Accepts::STRING];
    let returns = || Returns::Type(timestamp());
    registry.add(Function::scalar(
        "from_utc_timestamp",
        parameters(),
        returns(),
        from_utc,
    ));
    registry.add(Function::scalar(
        "to_utc_timestamp",
        parameters(),
        returns(),
        to_utc,
    ));
    let parameters = Parameters::fixed([Accepts::Any, Accepts::Any]).optional([Accepts::Any]);
    registry.add(Function::rewrite(
        "convert_timezone",
        parameters,
        convert_timezone,
    ));
}

fn from_utc(batch: &Batch<'_>) -> Result<ArrayRef> {
    moved(batch, |micros, zone| Some(zone.to_local_micros(micros)))
}

fn to_utc(batch: &Batch<'_>) -> Result<ArrayRef> {
    moved(batch, instant_of_local)
}

fn instant_of_local(local: i64, zone: &Zone) -> Option<i64> {
    instant(
        local.div_euclid(MICROS_PER_DAY),
        local.rem_euclid(MICROS_PER_DAY),
        zone,
    )
}

fn moved(batch: &Batch<'_>, to: fn(i64, &Zone) -> Option<i64>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (times, ids) = (
        rows.primitive::<TimestampMicrosecondType>(0)?,
        rows.strings(1)?,
    );
    let mut zones = Zones::new();
    rows.numbers::<TimestampMicrosecondType>(|row| {
        Ok(to(times.value(row), &zones.get(ids.value(row))?))
    })
}

/// `convert_timezone([from, ]to, time)`; from the session time zone if none is given.
fn convert_timezone(call: &Call<'_>) -> Result<TypedExpr> {
    let mut args = call.args.clone();
    if args.len() == 2 {
        args.insert(0, other_function(call, "current_timezone")?);
    }
    let mut call = with_args(call, args);
    let parameters = [Accepts::STRING, Accepts::STRING, Accepts::TIMESTAMP_NTZ];
    call.check_arguments(&Parameters::fixed(parameters))?;
    let (kernel, nullable) = (Kernel::Plain(converted), call.any_nullable());
    Ok(call.kernel_with(
        "convert_timezone",
        kernel,
        TIMESTAMP_NTZ,
        nullable,
        Volatility::Immutable,
    ))
}

fn converted(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (sources, targets) = (rows.strings(0)?, rows.strings(1)?);
    let times = rows.primitive::<TimestampMicrosecondType>(2)?;
    let (mut from, mut to) = (Zones::new(), Zones::new());
    rows.numbers::<TimestampMicrosecondType>(|row| {
        let (from, to) = (from.get(sources.value(row))?, to.get(targets.value(row))?);
        Ok(instant_of_local(times.value(row), &from).map(|micros| to.to_local_micros(micros)))
    })
}
