//! URLs: percent encoding and their parts.
use std::fmt::Write as _;

use arrow::{array::ArrayRef, datatypes::DataType};

use super::uri::Uri;
use crate::{
    error::{Exception, Result, SparkError},
    functions::{Accepts, Batch, Function, Parameters, Registry, Returns, rows::Rows},
};

pub(super) fn register(registry: &mut Registry) {
    let text = || Returns::Nullable(DataType::Utf8);
    registry.add(Function::scalar(
        "url_encode",
        [Accepts::STRING],
        text(),
        url_encode,
    ));
    registry.add(Function::scalar(
        "url_decode",
        [Accepts::STRING],
        text(),
        url_decode,
    ));
    registry.add(Function::scalar(
        "try_url_decode",
        [Accepts::STRING],
        text(),
        try_url_decode,
    ));
    let parameters =
        || Parameters::fixed([Accepts::STRING, Accepts::STRING]).optional([Accepts::STRING]);
    registry.add(Function::scalar(
        "parse_url",
        parameters(),
        text(),
        parse_url,
    ));
    registry.add(Function::scalar(
        "try_parse_url",
        parameters(),
        text(),
        try_parse_url,
    ));
}

/// `application/x-www-form-urlencoded`, as Java's `URLEncoder`.
fn url_encode(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.text(|row| {
        let text = texts.value(row);
        let mut out = String::with_capacity(text.len() * 2);
        for byte in text.bytes() {
            match byte {
                b' ' => out.push('+'),
                b if b.is_ascii_alphanumeric() || b"*-_.".contains(&b) => out.push(char::from(b)),
                b => {
                    let _ = write!(out, "%{b:02X}");
                }
            }
        }
        Ok(Some(out))
    })
}

/// `None` where a percent sign is not followed by two hexadecimal digits.
fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => u8::try_from(digit(rest.next())? << 4 | digit(rest.next())?).ok()?,
            other => other,
        });
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn url_decode(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.text(|row| {
        let text = texts.value(row);
        decode(text).map(Some).ok_or_else(|| {
            SparkError::new(
                Exception::IllegalArgument,
                "CANNOT_DECODE_URL",
                &[("url", text)],
            )
        })
    })
}

fn try_url_decode(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.text(|row| Ok(decode(texts.value(row))))
}

fn parse_url(batch: &Batch<'_>) -> Result<ArrayRef> {
    parts(batch, false)
}

fn try_parse_url(batch: &Batch<'_>) -> Result<ArrayRef> {
    parts(batch, true)
}

fn parts(batch: &Batch<'_>, tolerant: bool) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let (texts, wanted) = (rows.strings(0)?, rows.strings(1)?);
    let keys = if batch.arity() > 2 {
        Some(rows.strings(2)?)
    } else {
        None
    };
    rows.text(|row| {
        let text = texts.value(row);
        let Some(uri) = Uri::parse(text) else {
            if tolerant {
                return Ok(None);
            }
            let class = "INVALID_URL";
            return Err(SparkError::new(
                Exception::IllegalArgument,
                class,
                &[("url", text)],
            ));
        };
        let part = wanted.value(row);
        let key = keys.map(|k| k.value(row));
        let borrowed = match (part, key) {
            ("QUERY", Some(key)) => uri.query.and_then(|q| parameter(q, key)),
            (_, Some(_)) => None,
            ("FILE", None) => {
                let Some(path) = uri.path else {
                    return Ok(None);
                };
                return Ok(Some(match uri.query {
                    Some(query) => format!("{path}?{query}"),
                    None => path.to_string(),
                }));
            }
            ("HOST", None) => uri.host,
            ("PATH", None) => uri.path,
            ("QUERY", None) => uri.query,
            ("REF", None) => uri.fragment,
            ("PROTOCOL", None) => uri.scheme,
            ("AUTHORITY", None) => uri.authority,
            ("USERINFO", None) => uri.user_info,
            _ => None,
        };
        Ok(borrowed.map(str::to_string))
    })
}

/// The first value of a query parameter.
fn parameter<'q>(query: &'q str, key: &str) -> Option<&'q str> {
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='))
}
