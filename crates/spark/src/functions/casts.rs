//! Casts written as calls: `int('1')`, `string(x)`.
use arrow::datatypes::DataType;

use super::{Accepts, Function, Parameters, Registry};
use crate::{
    cast::{CastMode, cast},
    types::timestamp,
};

pub(super) fn register(registry: &mut Registry) {
    for (name, to) in [
        ("boolean", DataType::Boolean),
        ("tinyint", DataType::Int8),
        ("smallint", DataType::Int16),
        ("int", DataType::Int32),
        ("bigint", DataType::Int64),
        ("float", DataType::Float32),
        ("double", DataType::Float64),
        ("decimal", DataType::Decimal128(10, 0)),
        ("date", DataType::Date32),
        ("timestamp", timestamp()),
        ("binary", DataType::Binary),
        ("string", DataType::Utf8),
    ] {
        let one = Parameters::fixed([Accepts::Any]);
        registry.add(Function::rewrite(name, one, move |call| {
            let arg = call.arg(0)?.clone();
            // Spark names the column as if the cast were not there.
            let name = arg.name.clone();
            let mut mode = CastMode::implicit(&call.context.eval);
            mode.place.clone_from(&call.place);
            Ok(cast(arg, &to, mode)?.named(name))
        }));
    }
}
