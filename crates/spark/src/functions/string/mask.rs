//! Texts made unreadable, checked or quoted.
use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::DataType,
};
use datafusion::{common::ScalarValue, logical_expr::Volatility};

use crate::{
    error::{Exception, Result, SparkError},
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, Registry, Returns,
        rows::{Rows, with_defaults},
    },
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    let text = || Accepts::STRING;
    let parameters = Parameters::fixed([text()]).optional([text(), text(), text(), text()]);
    registry.add(Function::rewrite("mask", parameters, mask_call));
    let nullable_flag = || Returns::Nullable(DataType::Boolean);
    let nullable_text = || Returns::Nullable(DataType::Utf8);
    registry.add(Function::scalar(
        "luhn_check",
        [text()],
        nullable_flag(),
        luhn_check,
    ));
    registry.add(Function::scalar("quote", [text()], nullable_text(), quote));
    let either = Accepts::string_or_binary;
    registry.add(Function::scalar(
        "is_valid_utf8",
        [either()],
        nullable_flag(),
        is_valid_utf8,
    ));
    registry.add(Function::scalar(
        "make_valid_utf8",
        [either()],
        nullable_text(),
        make_valid_utf8,
    ));
    registry.add(Function::scalar(
        "validate_utf8",
        [either()],
        nullable_text(),
        validate_utf8,
    ));
    registry.add(Function::scalar(
        "try_validate_utf8",
        [either()],
        nullable_text(),
        try_validate_utf8,
    ));
}

const MASK_PARAMETERS: [&str; 4] = ["upperChar", "lowerChar", "digitChar", "otherChar"];

/// What stands for a class of characters must be one character, or NULL to leave the class alone.
fn mask_call(call: &Call<'_>) -> Result<TypedExpr> {
    let keep = TypedExpr::literal(ScalarValue::Utf8(None), "NULL");
    let defaults = ["X", "x", "n"].map(TypedExpr::string);
    let call = with_defaults(call, 5, defaults.into_iter().chain([keep]));
    for (index, name) in (1..).zip(MASK_PARAMETERS) {
        let length = match call.constant(index, name)? {
            ScalarValue::Utf8(Some(text)) => text.chars().count(),
            _ => 1,
        };
        if length != 1 {
            return Err(call.mismatch("INPUT_SIZE_NOT_ONE", &[("exprName", name)]));
        }
    }
    Ok(call.kernel_with(
        "mask",
        Kernel::Plain(mask),
        DataType::Utf8,
        true,
        Volatility::Immutable,
    ))
}

fn mask(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::requiring(batch, 1)?;
    let texts = rows.strings(0)?;
    let replacement = |index: usize, row: usize| -> Result<Option<char>> {
        let array = rows.strings(index)?;
        Ok(if array.is_null(row) {
            None
        } else {
            array.value(row).chars().next()
        })
    };
    rows.text(|row| {
        let (upper, lower) = (replacement(1, row)?, replacement(2, row)?);
        let (digit, other) = (replacement(3, row)?, replacement(4, row)?);
        let masked: String = texts
            .value(row)
            .chars()
            .map(|c| {
                let class = if c.is_uppercase() {
                    upper
                } else if c.is_lowercase() {
                    lower
                } else if c.is_numeric() {
                    digit
                } else {
                    other
                };
                class.unwrap_or(c)
            })
            .collect();
        Ok(Some(masked))
    })
}

fn luhn_check(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.flags(|row| Ok(Some(passes_luhn(texts.value(row)))))
}

fn passes_luhn(text: &str) -> bool {
    let mut sum = 0;
    for (place, c) in text.chars().rev().enumerate() {
        let Some(digit) = c.to_digit(10) else {
            return false;
        };
        let doubled = if place % 2 == 1 { digit * 2 } else { digit };
        sum += doubled / 10 + doubled % 10;
    }
    !text.is_empty() && sum % 10 == 0
}

fn quote(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    let texts = rows.strings(0)?;
    rows.text(|row| Ok(Some(format!("'{}'", texts.value(row).replace('\'', "\\'")))))
}

/// Bytes of argument 0, which our STRINGs always have in valid UTF-8.
fn bytes_of(rows: &Rows, row: usize) -> Result<&[u8]> {
    let array = rows.array(0)?;
    Ok(match array.data_type() {
        DataType::Binary => array.as_binary::<i32>().value(row),
        _ => rows.strings(0)?.value(row).as_bytes(),
    })
}

fn is_valid_utf8(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    rows.flags(|row| Ok(Some(std::str::from_utf8(bytes_of(&rows, row)?).is_ok())))
}

fn make_valid_utf8(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    rows.text(|row| Ok(Some(String::from_utf8_lossy(bytes_of(&rows, row)?))))
}

fn validate_utf8(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    rows.text(|row| {
        let bytes = bytes_of(&rows, row)?;
        std::str::from_utf8(bytes).map(Some).map_err(|_| {
            let hex: String = bytes.iter().map(|b| format!("\\x{b:02X}")).collect();
            SparkError::new(
                Exception::IllegalArgument,
                "INVALID_UTF8_STRING",
                &[("str", &hex)],
            )
        })
    })
}

fn try_validate_utf8(batch: &Batch<'_>) -> Result<ArrayRef> {
    let rows = Rows::new(batch)?;
    rows.text(|row| Ok(std::str::from_utf8(bytes_of(&rows, row)?).ok()))
}
