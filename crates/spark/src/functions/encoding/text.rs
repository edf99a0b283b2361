//! Base64 and hexadecimal.
use std::fmt::Write as _;

use arrow::{array::ArrayRef, datatypes::DataType};
use base64::Engine;
use datafusion::{common::ScalarValue, logical_expr::Volatility};

use crate::{
    error::{Exception, Result, SparkError, quoted, quoted_id},
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, Registry, Returns, rows::Rows,
    },
    typed::TypedExpr,
    types::is_integral,
};

pub(super) fn register(registry: &mut Registry) {
    let text = || Returns::Type(DataType::Utf8);
    registry.add(Function::scalar(
        "base64",
        [Accepts::BINARY],
        text(),
        base64,
    ));
    let bytes = Returns::Type(DataType::Binary);
    registry.add(Function::scalar(
        "unbase64",
        [Accepts::STRING],
        bytes,
        unbase64,
    ));
    let bytes = || Returns::Nullable(DataType::Binary);
    registry.add(Function::scalar("unhex", [Accepts::STRING], bytes(), unhex));
    let numbers = Accepts::one_of([Accepts::LONG, Accepts::BINARY, Accepts::STRING]);
    let hex_input = Accepts::one_of([Accepts::Numeric, numbers]);
    registry.add(Function::rewrite("hex", [hex_input], hex_call));
    let parameters = || Parameters::fixed([Accepts::STRING]).optional([Accepts::STRING]);
    registry.add(Function::rewrite("to_binary", parameters(), |call| {
        to_binary(call, false)
    }));
    registry.add(Function::rewrite("try_to_binary", parameters(), |call| {
        to_binary(call, true)
    }));
}

/// Lines of 76 characters, as MIME has them.
fn base64(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let bytes = rows.binaries(0)?;
    rows.text(|row| {
        let whole = base64::engine::general_purpose::STANDARD.encode(bytes.value(row));
        if whole.len() <= 76 {
            return Ok(Some(whole));
        }
        let mut out = String::with_capacity(whole.len() + whole.len() / 38);
        let mut rest = whole.as_str();
        while let Some((line, tail)) = rest.split_at_checked(76).filter(|(_, t)| !t.is_empty()) {
            out.push_str(line);
            out.push_str("\r\n");
            rest = tail;
        }
        out.push_str(rest);
        Ok(Some(out))
    })
}

/// Base64 as Java's MIME decoder reads it: characters outside the alphabet are skipped, padding may be missing but not
/// wrong. An error is Java's message.
fn decode_base64(text: &str) -> std::result::Result<Vec<u8>, String> {
    let ending = || "Input byte array has wrong 4-byte ending unit".to_string();
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    let (mut bits, mut count) = (0_u32, 0);
    let mut bytes = text.bytes().enumerate();
    while let Some((_, byte)) = bytes.next() {
        if byte == b'=' {
            // Two characters need two signs, three need one.
            let fits = match count {
                2 => bytes.next().is_some_and(|(_, next)| next == b'='),
                n => n == 3,
            };
            if !fits {
                return Err(ending());
            }
            break;
        }
        let Some(value) = sextet(byte) else { continue };
        bits = bits << 6 | value;
        count += 1;
        if count == 4 {
            out.extend(bits.to_be_bytes().get(1..).unwrap_or_default());
            (bits, count) = (0, 0);
        }
    }
    if let Some((at, _)) = bytes.find(|(_, b)| *b == b'=' || sextet(*b).is_some())
        && count > 0
        && text.as_bytes().get(at) != Some(&b'=')
    {
        return Err(format!(
            "Input byte array has incorrect ending byte at {}",
            at + 1
        ));
    }
    match count {
        0 => {}
        1 => return Err("Last unit does not have enough valid bits".to_string()),
        n => {
            let whole = (bits << (6 * (4 - n))).to_be_bytes();
            out.extend(whole.get(1..n).unwrap_or_default());
        }
    }
    Ok(out)
}

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

fn unbase64(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.bytes(|row| {
        let bytes = decode_base64(texts.value(row));
        bytes
            .map(Some)
            .map_err(|why| SparkError::plain(Exception::IllegalArgument, why))
    })
}

fn decode_hex(text: &str) -> Option<Vec<u8>> {
    let mut digits: Vec<u8> = Vec::with_capacity(text.len() + 1);
    if text.len() % 2 == 1 {
        digits.push(0);
    }
    for c in text.chars() {
        digits.push(u8::try_from(c.to_digit(16)?).ok()?);
    }
    Some(
        digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | d))
            .collect(),
    )
}

fn unhex(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.bytes(|row| Ok(decode_hex(texts.value(row))))
}

fn hex_call(call: &Call<'_>) -> Result<TypedExpr> {
    let arg = call.arg(0)?;
    let target = match &arg.data_type {
        t if is_integral(t) => DataType::Int64,
        DataType::Float32 | DataType::Float64 | DataType::Decimal128(_, _) => DataType::Int64,
        other => other.clone(),
    };
    let arg = crate::cast::coerce(arg.clone(), &target, &call.context.eval)?;
    let nullable = arg.nullable;
    let call = crate::functions::rows::with_args(call, vec![arg]);
    Ok(call.kernel_with(
        "hex",
        Kernel::Plain(hex),
        DataType::Utf8,
        nullable,
        Volatility::Immutable,
    ))
}

fn hex(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let of_bytes = |bytes: &[u8]| {
        let mut out = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            let _ = write!(out, "{byte:02X}");
        }
        out
    };
    match rows.array(0)?.data_type() {
        DataType::Int64 => {
            let values = rows.longs(0)?;
            rows.text(|row| Ok(Some(format!("{:X}", values.value(row)))))
        }
        DataType::Binary => {
            let values = rows.binaries(0)?;
            rows.text(|row| Ok(Some(of_bytes(values.value(row)))))
        }
        _ => {
            let values = rows.strings(0)?;
            rows.text(|row| Ok(Some(of_bytes(values.value(row).as_bytes()))))
        }
    }
}

const BINARY_FORMATS: &str = "'hex', 'utf-8', 'utf8', or 'base64'";

/// The format decides when the call is resolved, and with it whether the result may be NULL.
fn to_binary(call: &Call<'_>, tolerant: bool) -> Result<TypedExpr> {
    let format = match call.args.len() {
        1 => Some("hex".to_string()),
        _ => match call.constant(1, "fmt")? {
            ScalarValue::Utf8(text) => text,
            _ => None,
        },
    };
    let Some(format) = format else {
        let null = datafusion::logical_expr::lit(ScalarValue::Binary(None));
        return Ok(call.result(null, DataType::Binary, true));
    };
    let kernel: fn(&Batch<'_>) -> Result<ArrayRef> =
        match (format.to_lowercase().as_str(), tolerant) {
            ("hex", false) => from_hex,
            ("hex", true) => unhex,
            ("base64", false) => from_base64,
            ("base64", true) => try_from_base64,
            ("utf-8" | "utf8", _) => from_utf8,
            _ => {
                return Err(call.mismatch(
                    "INVALID_ARG_VALUE",
                    &[
                        ("inputName", "fmt"),
                        (
                            "requireType",
                            &format!("case-insensitive {}", quoted("STRING")),
                        ),
                        ("validValues", BINARY_FORMATS),
                        ("inputValue", &format!("'{format}'")),
                    ],
                ));
            }
        };
    let base64 = format.eq_ignore_ascii_case("base64");
    let nullable = !base64 || tolerant || call.arg(0)?.nullable;
    let name = format!("to_binary {} {tolerant}", format.to_lowercase());
    let value = crate::functions::rows::with_args(call, vec![call.arg(0)?.clone()]);
    let kernel = Kernel::Plain(kernel);
    let typed = value.kernel_with(
        &name,
        kernel,
        DataType::Binary,
        nullable,
        Volatility::Immutable,
    );
    Ok(typed.named(call.name()))
}

fn malformed(text: &str, format: &str) -> SparkError {
    SparkError::new(
        Exception::IllegalArgument,
        "CONVERSION_INVALID_INPUT",
        &[
            ("str", &format!("'{text}'")),
            ("fmt", &format!("'{format}'")),
            ("targetType", &quoted("BINARY")),
            ("suggestion", &quoted_id("try_to_binary")),
        ],
    )
}

fn from_hex(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.bytes(|row| {
        let text = texts.value(row);
        decode_hex(text)
            .map(Some)
            .ok_or_else(|| malformed(text, "HEX"))
    })
}

/// Unlike `unbase64`, nothing but base64 is accepted.
fn strict_base64(text: &str) -> Option<Vec<u8>> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=');
    let kept: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    if kept.bytes().all(plain) {
        decode_base64(&kept).ok()
    } else {
        None
    }
}

fn from_base64(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.bytes(|row| {
        let text = texts.value(row);
        strict_base64(text)
            .map(Some)
            .ok_or_else(|| malformed(text, "BASE64"))
    })
}

fn try_from_base64(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.bytes(|row| Ok(strict_base64(texts.value(row))))
}

fn from_utf8(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.bytes(|row| Ok(Some(texts.value(row).as_bytes())))
}
