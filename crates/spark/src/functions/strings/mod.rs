//! Strings: the functions that word counts and the like are made of.
mod split;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, StringArray},
    datatypes::{DataType, Int32Type},
};

use super::{Accepts, Batch, Call, Function, Kernel, Parameters, Registry, Returns, java_regex::JavaRegex};
use crate::{
    cast::coerce,
    coercion,
    error::{Result, SparkError},
    typed::TypedExpr,
    types::list,
};
use datafusion::logical_expr::Volatility;

pub(super) fn register(registry: &mut Registry) {
    let text = || Returns::Type(DataType::Utf8);
    registry.add(Function::scalar("upper", [Accepts::STRING], text(), upper).alias("ucase"));
    registry.add(Function::scalar("lower", [Accepts::STRING], text(), lower).alias("lcase"));
    registry.add(
        Function::scalar("length", [Accepts::string_or_binary()], Returns::Type(DataType::Int32), length)
            .alias("len")
            .alias("char_length")
            .alias("character_length"),
    );
    let flag = || Returns::Type(DataType::Boolean);
    for (name, kernel) in [
        ("contains", contains as fn(&Batch<'_>) -> Result<ArrayRef>),
        ("startswith", starts_with),
        ("endswith", ends_with),
    ] {
        registry.add(Function::scalar(name, [Accepts::STRING, Accepts::STRING], flag(), kernel));
    }
    registry.add(Function::rewrite("rlike", Parameters::fixed([Accepts::STRING, Accepts::STRING]), |call| {
        let name = format!("RLIKE({}, {})", call.arg(0)?.name, call.arg(1)?.name);
        let nullable = call.any_nullable();
        let kernel = Kernel::Plain(rlike);
        Ok(call.kernel_with("rlike", kernel, DataType::Boolean, nullable, Volatility::Immutable).named(name))
    }).alias("regexp").alias("regexp_like"));
    for (name, word) in [("like", "LIKE"), ("ilike", "ILIKE")] {
        let parameters =
            Parameters::fixed([Accepts::STRING, Accepts::STRING]).optional([Accepts::STRING]);
        registry.add(Function::rewrite(name, parameters, move |call| like(call, word)));
    }
    let parameters =
        Parameters::fixed([Accepts::string_or_binary(), Accepts::INT]).optional([Accepts::INT]);
    registry.add(Function::rewrite("substring", parameters, substring).alias("substr"));
    for (name, word, kernel) in [
        ("trim", "BOTH", trim_both as fn(&Batch<'_>) -> Result<ArrayRef>),
        ("ltrim", "LEADING", trim_start),
        ("rtrim", "TRAILING", trim_end),
    ] {
        let parameters = Parameters::fixed([Accepts::STRING]).optional([Accepts::STRING]);
        registry.add(Function::rewrite(name, parameters, move |call| trim(call, name, word, kernel)));
    }
    registry.add(Function::rewrite("concat", Parameters::variadic(0, Accepts::Any), concat));
    let parameters = Parameters::fixed([Accepts::STRING, Accepts::STRING]).optional([Accepts::INT]);
    registry.add(Function::rewrite("split", parameters, |call| {
        let mut inner = Call::new("split", call.args.clone(), call.context);
        inner.place.clone_from(&call.place);
        if inner.args.len() == 2 {
            inner.args.push(TypedExpr::int(-1));
        }
        let nullable = call.any_nullable();
        let kernel = Kernel::Plain(split::split);
        let data_type = list(DataType::Utf8, false);
        Ok(inner.kernel_with("split", kernel, data_type, nullable, Volatility::Immutable))
    }));
}

fn map_text(batch: &Batch<'_>, convert: impl Fn(&str) -> String) -> Result<ArrayRef> {
    let text = batch.strings(0)?;
    let converted: StringArray = text.iter().map(|t| t.map(&convert)).collect();
    Ok(Arc::new(converted))
}

fn upper(batch: &Batch<'_>) -> Result<ArrayRef> {
    map_text(batch, |t| if t.is_ascii() { t.to_ascii_uppercase() } else { t.to_uppercase() })
}

fn lower(batch: &Batch<'_>) -> Result<ArrayRef> {
    map_text(batch, |t| if t.is_ascii() { t.to_ascii_lowercase() } else { t.to_lowercase() })
}

/// Characters of text, bytes of binary.
fn length(batch: &Batch<'_>) -> Result<ArrayRef> {
    let array = batch.array(0)?;
    let lengths: Int32Array = match array.data_type() {
        DataType::Binary => {
            array.as_binary::<i32>().iter().map(|b| b.map(|b| b.len() as i32)).collect()
        }
        _ => array.as_string::<i32>().iter().map(|t| t.map(|t| t.chars().count() as i32)).collect(),
    };
    Ok(Arc::new(lengths))
}

fn test_text(batch: &Batch<'_>, test: impl Fn(&str, &str) -> bool) -> Result<ArrayRef> {
    let (text, other) = (batch.strings(0)?, batch.strings(1)?);
    let tested: BooleanArray =
        text.iter().zip(other.iter()).map(|(t, o)| Some(test(t?, o?))).collect();
    Ok(Arc::new(tested))
}

fn contains(batch: &Batch<'_>) -> Result<ArrayRef> {
    if let Some(needle) = batch.constant_str(1) {
        let finder = memchr::memmem::Finder::new(needle);
        let text = batch.strings(0)?;
        let tested: BooleanArray =
            text.iter().map(|t| t.map(|t| finder.find(t.as_bytes()).is_some())).collect();
        return Ok(Arc::new(tested));
    }
    test_text(batch, |t, o| t.contains(o))
}

fn starts_with(batch: &Batch<'_>) -> Result<ArrayRef> {
    test_text(batch, |t, o| t.starts_with(o))
}

fn ends_with(batch: &Batch<'_>) -> Result<ArrayRef> {
    test_text(batch, |t, o| t.ends_with(o))
}

fn rlike(batch: &Batch<'_>) -> Result<ArrayRef> {
    let (text, patterns) = (batch.strings(0)?, batch.strings(1)?);
    let constant = batch.constant_str(1).map(|p| JavaRegex::compile(p, "rlike")).transpose()?;
    let mut tested = Vec::with_capacity(batch.len());
    for (t, p) in text.iter().zip(patterns.iter()) {
        tested.push(match (t, p) {
            (Some(t), Some(p)) => Some(match &constant {
                Some(regex) => regex.is_match(t)?,
                None => JavaRegex::compile(p, "rlike")?.is_match(t)?,
            }),
            _ => None,
        });
    }
    Ok(Arc::new(BooleanArray::from(tested)))
}

/// `LIKE` is DataFusion's own where the pattern is a constant, so that sources see it.
fn like(call: &Call<'_>, word: &str) -> Result<TypedExpr> {
    let (value, pattern) = (call.arg(0)?.clone(), call.arg(1)?.clone());
    let mut name = format!("{} {word} {}", value.name, pattern.name);
    let mut escape = '\\';
    if let Some(given) = call.args.get(2) {
        name.push_str(&format!(" ESCAPE '{}'", given.name));
        let mut chars = given.as_string_literal().unwrap_or_default().chars();
        escape = match (chars.next(), chars.next()) {
            (Some(c), None) => c,
            _ => {
                return Err(SparkError::analysis("INVALID_ESCAPE_CHAR", &[("sqlExpr", &given.sql())]));
            }
        };
    }
    let nullable = value.nullable || pattern.nullable;
    let expr = datafusion::logical_expr::Expr::Like(datafusion::logical_expr::Like {
        negated: false,
        expr: Box::new(value.expr),
        pattern: Box::new(pattern.expr.clone()),
        // Arrow's kernel takes a backslash without being told, and no other character.
        escape_char: (escape != '\\').then_some(escape),
        case_insensitive: word == "ILIKE",
    });
    if escape != '\\' {
        let rewritten = pattern.as_literal().cloned();
        if let Some(datafusion::common::ScalarValue::Utf8(Some(text))) = rewritten {
            let translated = translate_escape(&text, escape);
            let expr = datafusion::logical_expr::Expr::Like(datafusion::logical_expr::Like {
                negated: false,
                expr: Box::new(call.arg(0)?.expr.clone()),
                pattern: Box::new(datafusion::logical_expr::lit(translated)),
                escape_char: None,
                case_insensitive: word == "ILIKE",
            });
            return Ok(call.result(expr, DataType::Boolean, nullable).named(name));
        }
        return Err(SparkError::unsupported("LIKE with an escape character and a pattern that is no constant"));
    }
    Ok(call.result(expr, DataType::Boolean, nullable).named(name))
}

/// A pattern with its own escape character as one with backslashes.
fn translate_escape(pattern: &str, escape: char) -> String {
    let mut out = String::with_capacity(pattern.len() + 4);
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c == escape => {
                out.push('\\');
                out.extend(chars.next());
            }
            '\\' => out.push_str("\\\\"),
            c => out.push(c),
        }
    }
    out
}

fn substring(call: &Call<'_>) -> Result<TypedExpr> {
    let mut inner = Call::new("substring", call.args.clone(), call.context);
    inner.shown.clone_from(&call.shown);
    inner.place.clone_from(&call.place);
    if inner.args.len() == 2 {
        inner.args.push(TypedExpr::int(i32::MAX));
    }
    let data_type = call.arg(0)?.data_type.clone();
    let kernel = Kernel::Plain(substring_kernel);
    Ok(inner.kernel_with("substring", kernel, data_type, call.any_nullable(), Volatility::Immutable))
}

/// Positions count from 1, from the end if negative; 0 is the first as well.
fn span(position: i32, length: i32, count: usize) -> (usize, usize) {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let start = match i64::from(position) {
        p if p > 0 => p - 1,
        p if p < 0 => count + p,
        _ => 0,
    };
    let end = start.saturating_add(i64::from(length)).min(count);
    let start = start.clamp(0, count);
    (start as usize, end.max(start) as usize)
}

fn substring_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    let array = batch.array(0)?;
    let (positions, lengths) = (batch.primitive::<Int32Type>(1)?, batch.primitive::<Int32Type>(2)?);
    let spans = positions.iter().zip(lengths.iter());
    if *array.data_type() == DataType::Binary {
        let cut: BinaryArray = array
            .as_binary::<i32>()
            .iter()
            .zip(spans)
            .map(|(bytes, (p, n))| {
                let bytes = bytes?;
                let (start, end) = span(p?, n?, bytes.len());
                bytes.get(start..end)
            })
            .collect();
        return Ok(Arc::new(cut));
    }
    let cut: StringArray = array
        .as_string::<i32>()
        .iter()
        .zip(spans)
        .map(|(text, (p, n))| Some(cut_text(text?, p?, n?)))
        .collect();
    Ok(Arc::new(cut))
}

fn cut_text(text: &str, position: i32, length: i32) -> String {
    if text.is_ascii() {
        let (start, end) = span(position, length, text.len());
        return text.get(start..end).unwrap_or_default().to_string();
    }
    let (start, end) = span(position, length, text.chars().count());
    text.chars().skip(start).take(end - start).collect()
}

/// `trim(text)`, or `trim(characters, text)` as the grammar writes it.
fn trim(
    call: &Call<'_>,
    id: &'static str,
    word: &str,
    kernel: fn(&Batch<'_>) -> Result<ArrayRef>,
) -> Result<TypedExpr> {
    let name = match call.args.as_slice() {
        [characters, text] => format!("TRIM({word} {} FROM {})", characters.name, text.name),
        _ => call.name(),
    };
    let nullable = call.any_nullable();
    let kernel = Kernel::Plain(kernel);
    Ok(call.kernel_with(id, kernel, DataType::Utf8, nullable, Volatility::Immutable).named(name))
}

fn trimmed(batch: &Batch<'_>, cut: fn(&str, &[char]) -> String) -> Result<ArrayRef> {
    if batch.arity() == 1 {
        return map_text(batch, |t| cut(t, &[' ']));
    }
    let (characters, text) = (batch.strings(0)?, batch.strings(1)?);
    let result: StringArray = characters
        .iter()
        .zip(text.iter())
        .map(|(c, t)| {
            let set: Vec<char> = c?.chars().collect();
            Some(cut(t?, &set))
        })
        .collect();
    Ok(Arc::new(result))
}

fn trim_both(batch: &Batch<'_>) -> Result<ArrayRef> {
    trimmed(batch, |t, set| t.trim_matches(set).to_string())
}

fn trim_start(batch: &Batch<'_>) -> Result<ArrayRef> {
    trimmed(batch, |t, set| t.trim_start_matches(set).to_string())
}

fn trim_end(batch: &Batch<'_>) -> Result<ArrayRef> {
    trimmed(batch, |t, set| t.trim_end_matches(set).to_string())
}

/// Text, binary or arrays, one after the other; NULL if any is.
fn concat(call: &Call<'_>) -> Result<TypedExpr> {
    let context = &call.context.eval;
    let types: Vec<&DataType> = call.args.iter().map(|a| &a.data_type).collect();
    let all_binary = !types.is_empty() && types.iter().all(|t| **t == DataType::Binary);
    let any_list = types.iter().any(|t| matches!(t, DataType::List(_)));
    if any_list {
        return concat_arrays(call);
    }
    let target = if all_binary { DataType::Binary } else { DataType::Utf8 };
    let args = call
        .args
        .iter()
        .enumerate()
        .map(|(i, a)| match &a.data_type {
            t if crate::types::is_atomic(t) || matches!(t, DataType::Null) => {
                Ok(coerce(a.clone(), &target, context)?)
            }
            _ => Err(call.unexpected_type(i, "(\"STRING\" or \"BINARY\" or \"ARRAY\")")),
        })
        .collect::<Result<Vec<TypedExpr>>>()?;
    let name = call.name();
    let mut inner = Call::new("concat", args, context_of(call));
    inner.place.clone_from(&call.place);
    let nullable = inner.any_nullable();
    let kernel = Kernel::Plain(concat_kernel);
    Ok(inner.kernel_with("concat", kernel, target, nullable, Volatility::Immutable).named(name))
}

fn context_of<'a>(call: &Call<'a>) -> &'a super::FunctionContext {
    call.context
}

fn concat_arrays(call: &Call<'_>) -> Result<TypedExpr> {
    let Some((args, common)) = coercion::unify(call.args.clone(), &call.context.eval)?
        .filter(|(_, t)| matches!(t, DataType::List(_)))
    else {
        let types: Vec<String> = call.args.iter().map(TypedExpr::type_sql).collect();
        return Err(call.mismatch(
            "DATA_DIFF_TYPES",
            &[("functionName", "`concat`"), ("dataType", &format!("({})", types.join(" or ")))],
        ));
    };
    let name = call.name();
    let inner = Call::new("concat_arrays", args, context_of(call));
    let nullable = inner.any_nullable();
    let kernel = Kernel::Plain(concat_arrays_kernel);
    Ok(inner.kernel_with("concat_arrays", kernel, common, nullable, Volatility::Immutable).named(name))
}

fn concat_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    let nulls = batch.validity()?;
    let arrays = batch.arrays()?;
    let present = |row: usize| nulls.as_ref().is_none_or(|n| n.is_valid(row));
    if *batch.return_type() == DataType::Binary {
        let joined: BinaryArray = (0..batch.len())
            .map(|row| {
                present(row).then(|| {
                    arrays.iter().flat_map(|a| a.as_binary::<i32>().value(row).iter().copied()).collect::<Vec<u8>>()
                })
            })
            .collect();
        return Ok(Arc::new(joined));
    }
    let mut builder = arrow::array::StringBuilder::with_capacity(batch.len(), batch.len() * 16);
    let mut text = String::new();
    let columns: Vec<&StringArray> = arrays.iter().map(|a| a.as_string::<i32>()).collect();
    for row in 0..batch.len() {
        if !present(row) {
            builder.append_null();
            continue;
        }
        text.clear();
        for column in &columns {
            text.push_str(column.value(row));
        }
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

fn concat_arrays_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    let DataType::List(item) = batch.return_type() else {
        return Err(SparkError::internal("arrays join into an array"));
    };
    let nulls = batch.validity()?;
    let lists = (0..batch.arity()).map(|i| batch.lists(i)).collect::<Result<Vec<_>>>()?;
    let mut picks: Vec<(usize, usize)> = vec![];
    let mut lengths = Vec::with_capacity(batch.len());
    for row in 0..batch.len() {
        let before = picks.len();
        if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
            for (index, list) in lists.iter().enumerate() {
                let offsets = list.value_offsets();
                if let (Some(start), Some(end)) = (offsets.get(row), offsets.get(row + 1)) {
                    picks.extend((*start as usize..*end as usize).map(|at| (index, at)));
                }
            }
        }
        lengths.push(picks.len() - before);
    }
    let values = lists
        .iter()
        .map(|l| crate::types::relabel(l.values(), item.data_type()))
        .collect::<Result<Vec<_>>>()?;
    let refs: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    let values = if picks.is_empty() {
        arrow::array::new_empty_array(item.data_type())
    } else {
        arrow::compute::interleave(&refs, &picks)?
    };
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(arrow::array::ListArray::try_new(Arc::clone(item), offsets, values, nulls)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substring_counts_from_one_or_from_the_end() {
        for (position, length, expected) in [
            (1, 2, "ab"),
            (0, 2, "ab"),
            (-2, 2, "cd"),
            (-2, 10, "cd"),
            (-6, 4, "ab"),
            (3, i32::MAX, "cd"),
            (9, 1, ""),
            (1, 0, ""),
            (1, -1, ""),
        ] {
            assert_eq!(cut_text("abcd", position, length), expected, "{position} {length}");
            assert_eq!(cut_text("äbcd", position, length), expected.replace('a', "ä"));
        }
    }
}
