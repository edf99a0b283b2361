//! `encode` and `decode`.
use std::sync::Arc;

use arrow::{array::ArrayRef, datatypes::DataType};
use datafusion::logical_expr::{Case, Expr, Operator, Volatility, binary_expr};

use crate::{
    coercion,
    error::{Exception, Result, SparkError, quoted_id},
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, Registry, Returns, rows::Rows,
    },
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    let bytes = Returns::Nullable(DataType::Binary);
    registry.add(Function::scalar(
        "encode",
        [Accepts::STRING, Accepts::STRING],
        bytes,
        encode,
    ));
    registry.add(Function::rewrite(
        "decode",
        Parameters::variadic(2, Accepts::Any),
        |call| match call.args.len() {
            2 => decode_call(call),
            _ => decode_case(call),
        },
    ));
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
    /// Two bytes a unit; with a byte order mark.
    Utf16,
    Utf16Be,
    Utf16Le,
    Utf32,
}

impl Charset {
    fn named(function: &str, name: &str) -> Result<Self> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "UTF-8" => Self::Utf8,
            "US-ASCII" => Self::Ascii,
            "ISO-8859-1" => Self::Latin1,
            "UTF-16" => Self::Utf16,
            "UTF-16BE" => Self::Utf16Be,
            "UTF-16LE" => Self::Utf16Le,
            "UTF-32" => Self::Utf32,
            _ => {
                return Err(SparkError::new(
                    Exception::IllegalArgument,
                    "INVALID_PARAMETER_VALUE.CHARSET",
                    &[
                        ("functionName", &quoted_id(function)),
                        ("parameter", &quoted_id("charset")),
                        ("charset", name),
                        (
                            "charsets",
                            "iso-8859-1, us-ascii, utf-16, utf-16be, utf-16le, utf-32, utf-8",
                        ),
                    ],
                ));
            }
        })
    }

    /// `None` if the text has a character the set does not have.
    fn encode(self, text: &str) -> Option<Vec<u8>> {
        Some(match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Ascii => text.is_ascii().then(|| text.as_bytes().to_vec())?,
            Self::Latin1 => text
                .chars()
                .map(|c| u8::try_from(u32::from(c)).ok())
                .collect::<Option<_>>()?,
            Self::Utf16 if text.is_empty() => vec![],
            Self::Utf16 => {
                let units = text.encode_utf16().flat_map(u16::to_be_bytes);
                [0xFE, 0xFF].into_iter().chain(units).collect()
            }
            Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Utf32 => text
                .chars()
                .flat_map(|c| u32::from(c).to_be_bytes())
                .collect(),
        })
    }

    /// `None` if the bytes are not valid.
    fn decode(self, bytes: &[u8]) -> Option<String> {
        let utf16 = |bytes: &[u8], big: bool| {
            if bytes.len() % 2 == 1 {
                return None;
            }
            let unit = |pair: &[u8]| {
                let pair = <[u8; 2]>::try_from(pair).unwrap_or_default();
                if big {
                    u16::from_be_bytes(pair)
                } else {
                    u16::from_le_bytes(pair)
                }
            };
            String::from_utf16(&bytes.chunks(2).map(unit).collect::<Vec<_>>()).ok()
        };
        match self {
            Self::Utf8 => String::from_utf8(bytes.to_vec()).ok(),
            Self::Ascii => bytes
                .is_ascii()
                .then(|| String::from_utf8_lossy(bytes).into_owned()),
            Self::Latin1 => Some(bytes.iter().copied().map(char::from).collect()),
            Self::Utf16 => match bytes {
                [0xFE, 0xFF, rest @ ..] => utf16(rest, true),
                [0xFF, 0xFE, rest @ ..] => utf16(rest, false),
                all => utf16(all, true),
            },
            Self::Utf16Be => utf16(bytes, true),
            Self::Utf16Le => utf16(bytes, false),
            Self::Utf32 => bytes
                .chunks(4)
                .map(|c| char::from_u32(u32::from_be_bytes(<[u8; 4]>::try_from(c).ok()?)))
                .collect(),
        }
    }
}

fn malformed(function: &str, charset: &str) -> SparkError {
    SparkError::runtime(
        "MALFORMED_CHARACTER_CODING",
        &[("function", &quoted_id(function)), ("charset", charset)],
    )
}

fn encode(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, charsets) = (rows.strings(0)?, rows.strings(1)?);
    rows.bytes(|row| {
        let name = charsets.value(row);
        let bytes = Charset::named("encode", name)?.encode(texts.value(row));
        bytes.map(Some).ok_or_else(|| malformed("encode", name))
    })
}

fn decode(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (bytes, charsets) = (rows.binaries(0)?, rows.strings(1)?);
    rows.text(|row| {
        let name = charsets.value(row);
        let text = Charset::named("decode", name)?.decode(bytes.value(row));
        text.map(Some).ok_or_else(|| malformed("decode", name))
    })
}

/// `decode(bytes, charset)`.
fn decode_call(call: &Call<'_>) -> Result<TypedExpr> {
    let mut args = vec![];
    for (index, target) in [DataType::Binary, DataType::Utf8].into_iter().enumerate() {
        let arg = call.arg(index)?;
        let ansi = call.context.eval.ansi;
        let accepts = Accepts::Type(target);
        let Some(to) = accepts.implicit_cast(&arg.data_type, ansi) else {
            return Err(call.unexpected_type(index, &accepts.sql()));
        };
        args.push(crate::cast::coerce(arg.clone(), &to, &call.context.eval)?);
    }
    let call = crate::functions::rows::with_args(call, args);
    let kernel = Kernel::Plain(decode);
    Ok(call.kernel_with(
        "decode",
        kernel,
        DataType::Utf8,
        true,
        Volatility::Immutable,
    ))
}

/// `decode(value, search, result, …, default)`: the result of the first search value that is equal, NULL equal to NULL.
fn decode_case(call: &Call<'_>) -> Result<TypedExpr> {
    let value = call.arg(0)?.clone();
    let rest = call.args.get(1..).unwrap_or_default();
    let (pairs, default) = rest.as_chunks::<2>();
    let (mut searches, mut results) = (vec![value], vec![]);
    for [search, result] in pairs {
        searches.push(search.clone());
        results.push(result.clone());
    }
    results.extend(default.first().cloned());
    let incompatible = || SparkError::internal(format!("{} has no common type", call.name()));
    let context = Arc::clone(&call.context.eval);
    let (searches, _) = coercion::unify(searches, &context)?.ok_or_else(incompatible)?;
    let (results, data_type) = coercion::unify(results, &context)?.ok_or_else(incompatible)?;
    let nullable = default.is_empty() || results.iter().any(|r| r.nullable);
    let Some((value, searches)) = searches.split_first() else {
        return Err(incompatible());
    };
    let mut results = results.into_iter();
    let mut branches: Vec<(Box<Expr>, Box<Expr>)> = vec![];
    for (search, result) in searches.iter().zip(results.by_ref()) {
        let same = binary_expr(
            value.expr.clone(),
            Operator::IsNotDistinctFrom,
            search.expr.clone(),
        );
        branches.push((Box::new(same), Box::new(result.expr)));
    }
    let otherwise = results.next().map(|r| Box::new(r.expr));
    Ok(call.result(
        Expr::Case(Case::new(None, branches, otherwise)),
        data_type,
        nullable,
    ))
}
