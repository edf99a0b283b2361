//! Observed metrics of one operation over tables, as clients are told them.
use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::Field};
use datafusion::common::ScalarValue;
use millstream_engine::operator::observe::ObservedMetrics;
use spark_connect_proto::{
    execute_plan_response::ObservedMetrics as Reported,
    expression::{
        Literal,
        literal::{Decimal, LiteralType},
    },
};

use crate::{
    error::{Result, SparkError},
    types::data_type_to_proto,
};

/// What the plans of an operation have observed.
#[derive(Debug)]
pub struct Observed(pub(super) Arc<ObservedMetrics>);

impl Observed {
    /// The metrics by name. To be asked once, when the operation has run.
    ///
    /// # Errors
    /// A metric that cannot be computed, or whose type no client could be told.
    pub fn take(self) -> Result<Vec<Reported>> {
        let rows = self.0.take()?.into_iter();
        rows.map(|(name, row)| reported(name, &row)).collect()
    }
}

fn reported(name: String, row: &RecordBatch) -> Result<Reported> {
    let schema = row.schema();
    let fields = schema.fields().iter().zip(row.columns());
    let values = fields.clone().map(|(field, column)| {
        let value = ScalarValue::try_from_array(column, 0)?;
        literal(&value, field)
    });
    Ok(Reported {
        name,
        values: values.collect::<Result<_>>()?,
        keys: fields.map(|(field, _)| field.name().clone()).collect(),
        ..Default::default()
    })
}

fn literal(value: &ScalarValue, field: &Field) -> Result<Literal> {
    let literal_type = match value {
        value if value.is_null() => LiteralType::Null(data_type_to_proto(field.data_type())),
        ScalarValue::Boolean(Some(v)) => LiteralType::Boolean(*v),
        ScalarValue::Int8(Some(v)) => LiteralType::Byte(i32::from(*v)),
        ScalarValue::Int16(Some(v)) => LiteralType::Short(i32::from(*v)),
        ScalarValue::Int32(Some(v)) => LiteralType::Integer(*v),
        ScalarValue::Int64(Some(v)) => LiteralType::Long(*v),
        ScalarValue::Float32(Some(v)) => LiteralType::Float(*v),
        ScalarValue::Float64(Some(v)) => LiteralType::Double(*v),
        ScalarValue::Utf8(Some(v))
        | ScalarValue::LargeUtf8(Some(v))
        | ScalarValue::Utf8View(Some(v)) => LiteralType::String(v.clone()),
        ScalarValue::Binary(Some(v)) => LiteralType::Binary(v.clone().into()),
        ScalarValue::Date32(Some(v)) => LiteralType::Date(*v),
        ScalarValue::TimestampMicrosecond(Some(v), Some(_)) => LiteralType::Timestamp(*v),
        ScalarValue::TimestampMicrosecond(Some(v), None) => LiteralType::TimestampNtz(*v),
        ScalarValue::DurationMicrosecond(Some(v)) => LiteralType::DayTimeInterval(*v),
        ScalarValue::Decimal128(Some(_), precision, scale) => LiteralType::Decimal(Decimal {
            value: value.to_string(),
            precision: Some(i32::from(*precision)),
            scale: Some(i32::from(*scale)),
        }),
        _ => {
            return Err(SparkError::unsupported(format!(
                "observe() with the metric {} of type {}",
                field.name(),
                field.data_type()
            )));
        }
    };
    Ok(Literal {
        literal_type: Some(literal_type),
        ..Default::default()
    })
}
