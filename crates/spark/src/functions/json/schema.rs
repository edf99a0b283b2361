//! Schemas: `schema_of_json`, and the schema argument of `from_json` and `from_csv`.
use arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use millstream_connectors::{datetime::JavaPattern, format::Options};

use super::{
    cursor::{Cursor, Kind, Leniency, Malformed},
    format_error, format_settings, options_of,
};
use crate::{
    error::{Exception, Result, SparkError},
    functions::{Accepts, Call, Function, Parameters, Registry},
    sql::{parse_data_type, parse_ddl},
    typed::TypedExpr,
    types::{self, data_type_from_json, data_type_from_proto, sql_name, timestamp},
};

pub(super) fn register(registry: &mut Registry) {
    let parameters = Parameters::fixed([Accepts::STRING]).optional([Accepts::Any]);
    registry.add(Function::rewrite(
        "schema_of_json",
        parameters,
        schema_of_json,
    ));
}

/// The type that argument `index` names: DDL (`a INT, b STRING`, `ARRAY<INT>`) or StructType JSON.
pub(in crate::functions) fn schema_argument(call: &Call<'_>, index: usize) -> Result<DataType> {
    let arg = call.arg(index)?;
    let text = match arg.data_type {
        DataType::Utf8 if arg.is_foldable() => match call.constant(index, "schema")? {
            ScalarValue::Utf8(text) => text,
            _ => None,
        },
        _ => None,
    };
    let Some(text) = text else {
        return Err(SparkError::analysis(
            "INVALID_SCHEMA.NON_STRING_LITERAL",
            &[("inputSchema", &arg.sql())],
        ));
    };
    match parse_ddl(&text) {
        Ok(parsed) => data_type_from_proto(&parsed),
        // What is no JSON either is reported as the DDL it failed to be, by the analyzer: the query itself did parse.
        Err(error) => data_type_from_json(&text).map_err(|_| {
            let error = parse_data_type(&text).err().unwrap_or(error);
            SparkError::from(error).thrown_as(Exception::Analysis)
        }),
    }
}

fn schema_of_json(call: &Call<'_>) -> Result<TypedExpr> {
    let options = options_of(call, 1)?;
    let ScalarValue::Utf8(Some(text)) = call.constant(0, "json")? else {
        return Err(
            crate::functions::rows::with_args(call, vec![call.arg(0)?.clone()])
                .mismatch("UNEXPECTED_NULL", &[("exprName", "json")]),
        );
    };
    let inference = Inference::new(call, &options)?;
    let inferred = inference
        .infer(&text)
        .map_err(|complaint| SparkError::plain(Exception::JsonParse, complaint))?;
    let name = format!("schema_of_json({})", call.arg(0)?.name);
    let schema = ScalarValue::from(sql_name(&inferred));
    let result = call.result(datafusion::logical_expr::lit(schema), DataType::Utf8, false);
    Ok(result.named(name))
}

struct Inference {
    leniency: Leniency,
    primitives_as_string: bool,
    prefers_decimal: bool,
    timestamps: Option<TimestampFormat>,
    drop_all_null: bool,
}

struct TimestampFormat {
    pattern: Option<JavaPattern>,
    zone: millstream_connectors::datetime::Zone,
}

impl Inference {
    fn new(call: &Call<'_>, options: &Options) -> Result<Self> {
        let settings = format_settings(call)?;
        let flag = |name: &str, default: bool| {
            options
                .flag(name, default)
                .map_err(|e| format_error(e, "schema_of_json"))
        };
        let timestamps = match flag("inferTimestamp", false)? {
            false => None,
            true => {
                let pattern = match options.get("timestampFormat") {
                    Some(p) => Some(
                        JavaPattern::for_parsing(p)
                            .map_err(|e| format_error(e.into(), "schema_of_json"))?,
                    ),
                    None => None,
                };
                Some(TimestampFormat {
                    pattern,
                    zone: settings.time_zone,
                })
            }
        };
        Ok(Self {
            leniency: Leniency {
                unquoted_names: flag("allowUnquotedFieldNames", false)?,
                leading_zeros: flag("allowNumericLeadingZeros", false)?,
                non_numeric: flag("allowNonNumericNumbers", true)?,
                comments: flag("allowComments", false)?,
            },
            primitives_as_string: flag("primitivesAsString", false)?,
            prefers_decimal: flag("prefersDecimal", false)?,
            timestamps,
            drop_all_null: flag("dropFieldIfAllNull", false)?,
        })
    }

    /// The type of a text, or what the parser says of it.
    fn infer(&self, text: &str) -> std::result::Result<DataType, String> {
        let mut cursor = Cursor::new(text, self.leniency);
        if cursor.is_at_end() == Ok(true) {
            return Ok(DataType::Utf8);
        }
        let inferred = self.value(&mut cursor);
        let inferred = inferred.map_err(|Malformed| cursor.complaint())?;
        Ok(self
            .settle(inferred)
            .unwrap_or_else(|| match text.trim_start().starts_with('{') {
                true => DataType::Struct(Default::default()),
                false => DataType::Utf8,
            }))
    }

    fn value(&self, cursor: &mut Cursor<'_>) -> std::result::Result<DataType, Malformed> {
        Ok(match cursor.kind()? {
            Kind::Null => {
                cursor.skip()?;
                DataType::Null
            }
            Kind::String => {
                let mut text = String::new();
                cursor.string(&mut text)?;
                self.string(&text)
            }
            Kind::Number => self.number(cursor.number()?),
            Kind::True | Kind::False => {
                cursor.skip()?;
                if self.primitives_as_string {
                    DataType::Utf8
                } else {
                    DataType::Boolean
                }
            }
            Kind::Array => {
                let mut element = DataType::Null;
                cursor.elements(|c| {
                    let next = self.value(c)?;
                    element = compatible(&element, &next);
                    Ok(())
                })?;
                types::list(element, true)
            }
            Kind::Object => {
                let mut fields: Vec<Field> = vec![];
                cursor.fields(|c, name| {
                    fields.push(Field::new(name, self.value(c)?, true));
                    Ok(())
                })?;
                fields.sort_by(|a, b| a.name().cmp(b.name()));
                DataType::Struct(fields.into())
            }
        })
    }

    fn string(&self, text: &str) -> DataType {
        let is_timestamp = self
            .timestamps
            .as_ref()
            .is_some_and(|format| match &format.pattern {
                Some(pattern) => pattern.parse_timestamp(text, &format.zone).is_some(),
                None => millstream_connectors::datetime::string_to_timestamp(
                    text.as_bytes(),
                    &format.zone,
                )
                .is_some(),
            });
        if is_timestamp {
            timestamp()
        } else {
            DataType::Utf8
        }
    }

    fn number(&self, text: &str) -> DataType {
        if self.primitives_as_string {
            return DataType::Utf8;
        }
        let whole = text
            .trim_start_matches('-')
            .bytes()
            .all(|b| b.is_ascii_digit());
        if whole {
            let digits = text.trim_start_matches(['-', '0']).len().max(1);
            return match (text.parse::<i64>(), u8::try_from(digits)) {
                (Ok(_), _) => DataType::Int64,
                (_, Ok(digits @ ..=38)) => DataType::Decimal128(digits, 0),
                _ => DataType::Float64,
            };
        }
        if self.prefers_decimal
            && let Some((precision, scale)) = decimal_digits(text)
        {
            return DataType::Decimal128(precision, scale);
        }
        DataType::Float64
    }

    /// What is still unknown is text, or dropped.
    fn settle(&self, inferred: DataType) -> Option<DataType> {
        match inferred {
            DataType::Null if self.drop_all_null => None,
            DataType::Null => Some(DataType::Utf8),
            DataType::List(item) => {
                let element = self.settle(item.data_type().clone())?;
                Some(types::list(element, true))
            }
            DataType::Struct(fields) => {
                let fields: Vec<Field> = fields
                    .iter()
                    .filter(|f| !f.name().is_empty())
                    .filter_map(|f| {
                        Some(Field::new(
                            f.name(),
                            self.settle(f.data_type().clone())?,
                            true,
                        ))
                    })
                    .collect();
                (!fields.is_empty()).then(|| DataType::Struct(fields.into()))
            }
            other => Some(other),
        }
    }
}

/// Precision and scale of a number with a fraction; `None` if a decimal cannot hold it.
fn decimal_digits(text: &str) -> Option<(u8, i8)> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa
        .trim_start_matches('-')
        .split_once('.')
        .unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let precision = i32::try_from(digits.trim_start_matches('0').len().max(1)).ok()?;
    let scale = i32::try_from(fraction.len()).ok()? - exponent;
    let precision = precision.max(scale);
    let fits = (0..=38).contains(&scale) && precision <= 38;
    if !fits {
        return None;
    }
    Some((u8::try_from(precision).ok()?, i8::try_from(scale).ok()?))
}

/// The type that values of both types have; text if nothing else fits.
fn compatible(a: &DataType, b: &DataType) -> DataType {
    match (a, b) {
        (a, b) if a == b => a.clone(),
        (DataType::Null, t) | (t, DataType::Null) => t.clone(),
        (DataType::List(x), DataType::List(y)) => {
            types::list(compatible(x.data_type(), y.data_type()), true)
        }
        (DataType::Struct(x), DataType::Struct(y)) => {
            let mut fields: Vec<Field> = x.iter().map(|f| f.as_ref().clone()).collect();
            for field in y {
                match fields.iter_mut().find(|f| f.name() == field.name()) {
                    Some(known) => {
                        let merged = compatible(known.data_type(), field.data_type());
                        known.set_data_type(merged);
                    }
                    None => fields.push(field.as_ref().clone()),
                }
            }
            fields.sort_by(|a, b| a.name().cmp(b.name()));
            DataType::Struct(fields.into())
        }
        (DataType::Int64, DataType::Float64) | (DataType::Float64, DataType::Int64) => {
            DataType::Float64
        }
        (DataType::Decimal128(_, _), DataType::Float64)
        | (DataType::Float64, DataType::Decimal128(_, _)) => DataType::Float64,
        (DataType::Decimal128(p, s), DataType::Int64)
        | (DataType::Int64, DataType::Decimal128(p, s)) => {
            let (p, s) = types::decimal::wider((*p, *s), (20, 0));
            DataType::Decimal128(p, s)
        }
        (DataType::Decimal128(p1, s1), DataType::Decimal128(p2, s2)) => {
            let (p, s) = types::decimal::wider((*p1, *s1), (*p2, *s2));
            DataType::Decimal128(p, s)
        }
        _ => DataType::Utf8,
    }
}
