//! Columns whose values stand in directory names: `year=2024/k=a%3Ab/part-0.json`.
//!
//! Names and values are escaped as Hive does it. A value's type is inferred from all directories:
//! the narrowest of int, bigint, decimal, double, date, timestamp and string that holds every one
//! of them.
use std::collections::BTreeSet;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion::common::ScalarValue;

use super::location::{FileSystem, decode, name_of, parent_of};
use crate::{
    datetime::{Zone, string_to_date, string_to_timestamp, string_to_timestamp_ntz},
    error::ConnectorError,
    format::spark_type::sql_name,
};

/// What Hive writes for null and for the empty string.
pub const DEFAULT_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// How values are understood.
#[derive(Debug, Clone, Copy)]
pub struct ValueRules {
    /// Whether types are inferred at all; otherwise all values are strings.
    pub infer: bool,
    /// Zone of timestamps.
    pub zone: Zone,
    /// Timestamps have no zone.
    pub timestamp_ntz: bool,
}

/// Escapes a column name or value for a directory name.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_control() || "\"#%'*/:=?\\{[]^".contains(c) {
            out.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Column and value of a directory name, if it has the form of one.
fn segment(dir: &str) -> Result<Option<(String, String)>, ConnectorError> {
    let Some((column, value)) = dir.split_once('=') else {
        return Ok(None);
    };
    if column.is_empty() || value.is_empty() {
        return Err(ConnectorError::EmptyPartitionValue {
            segment: dir.to_owned(),
        });
    }
    Ok(Some((decode(column), decode(value))))
}

/// The values between a base and a directory below it, outermost first, and the directory where
/// they begin.
fn parse(dir: &str, bases: &[String]) -> Result<(Vec<(String, String)>, String), ConnectorError> {
    let mut values = Vec::new();
    let mut at = dir;
    while at != "/" && !bases.iter().any(|base| base == at) {
        match segment(name_of(at))? {
            Some(value) => values.push(value),
            // Directories of another form below the values do not count, above them they end the
            // walk.
            None if values.is_empty() => {
                return Ok((values, dir.to_owned()));
            }
            None => break,
        }
        at = parent_of(at);
    }
    values.reverse();
    Ok((values, at.to_owned()))
}

/// The partition columns of the directories that hold data files.
///
/// # Errors
/// If the directories disagree about where columns begin or how they are called.
pub fn discover<'a>(
    dirs: impl IntoIterator<Item = &'a str>,
    bases: &[String],
    fs: &FileSystem,
    rules: ValueRules,
) -> Result<Vec<Field>, ConnectorError> {
    let mut roots = BTreeSet::new();
    let mut parsed = Vec::new();
    for dir in dirs.into_iter().collect::<BTreeSet<_>>() {
        let (values, root) = parse(dir, bases)?;
        roots.insert(root);
        if !values.is_empty() {
            parsed.push((dir, values));
        }
    }
    let Some((_, first)) = parsed.first() else {
        return Ok(vec![]);
    };
    let lines = |paths: &mut dyn Iterator<Item = &str>| -> String {
        paths
            .map(|path| format!("\n\t{}", fs.hadoop_text(path)))
            .collect()
    };
    if roots.len() > 1 {
        let paths = lines(&mut roots.iter().map(String::as_str)) + "\n";
        return Err(ConnectorError::ConflictingDirectories { paths });
    }
    let names = |values: &[(String, String)]| -> Vec<String> {
        values.iter().map(|(name, _)| name.clone()).collect()
    };
    let columns = names(first);
    let lists: BTreeSet<_> = parsed.iter().map(|(_, values)| names(values)).collect();
    if lists.len() > 1 {
        let list = |(i, names): (usize, &Vec<String>)| {
            format!("\n\tPartition column name list #{i}: {}", names.join(", "))
        };
        return Err(ConnectorError::ConflictingPartitionColumns {
            columns: lists.iter().enumerate().map(list).collect::<String>() + "\n",
            paths: lines(&mut parsed.iter().map(|(dir, _)| *dir)),
        });
    }
    let field = |(i, name): (usize, &String)| {
        let types = parsed.iter().filter_map(|(_, values)| values.get(i));
        let data_type = types.map(|(_, value)| infer(value, rules)).reduce(widen);
        Field::new(name, data_type.unwrap_or(DataType::Utf8), true)
    };
    Ok(columns.iter().enumerate().map(field).collect())
}

/// The values of a file's directory for `columns`; null where the directory has none.
///
/// # Errors
/// If a value is not of its column's type.
pub fn values_of(
    dir: &str,
    bases: &[String],
    columns: &[Field],
    rules: ValueRules,
) -> Result<Vec<ScalarValue>, ConnectorError> {
    if columns.is_empty() {
        return Ok(vec![]);
    }
    let (values, _) = parse(dir, bases)?;
    let value = |column: &Field| {
        let named = values
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(column.name()));
        match named {
            Some((_, value)) => cast(value, column, rules),
            None => Ok(ScalarValue::try_from(column.data_type())?),
        }
    };
    columns.iter().map(value).collect()
}

fn timestamp(rules: ValueRules) -> DataType {
    let zone = (!rules.timestamp_ntz).then(|| "UTC".into());
    DataType::Timestamp(TimeUnit::Microsecond, zone)
}

fn infer(value: &str, rules: ValueRules) -> DataType {
    if value == DEFAULT_PARTITION {
        DataType::Null
    } else if !rules.infer {
        DataType::Utf8
    } else if value.parse::<i32>().is_ok() {
        DataType::Int32
    } else if value.parse::<i64>().is_ok() {
        DataType::Int64
    } else if let Some(precision) = whole_digits(value) {
        DataType::Decimal128(precision, 0)
    } else if parse_double(value).is_some() {
        DataType::Float64
    } else if is_date(value) {
        DataType::Date32
    } else if is_timestamp(value) {
        timestamp(rules)
    } else {
        DataType::Utf8
    }
}

/// Digits of a whole number, if there are no more than a decimal holds; `1e5` is one.
fn whole_digits(value: &str) -> Option<u8> {
    const PRECISION_MAX: usize = 38;
    let plain = plain_whole(value)?;
    let significant = plain.trim_start_matches(['-', '0']).len().max(1);
    (significant <= PRECISION_MAX)
        .then(|| u8::try_from(significant).ok())
        .flatten()
}

/// A whole number without exponent: `100000` for `1e5`. Nothing for numbers with a fraction, and
/// for others.
fn plain_whole(value: &str) -> Option<String> {
    const ZEROS_MAX: i64 = 38;
    let (sign, unsigned) = match value.strip_prefix('-') {
        Some(unsigned) => ("-", unsigned),
        None => ("", value.strip_prefix('+').unwrap_or(value)),
    };
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let zeros = exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?;
    let zeros = usize::try_from(zeros).ok().filter(|_| zeros <= ZEROS_MAX)?;
    Some(format!("{sign}{digits}{}", "0".repeat(zeros)))
}

/// What Java takes for a double, which includes blanks around it and a suffix.
fn parse_double(value: &str) -> Option<f64> {
    let text = value.trim();
    let number = match text.strip_prefix(['+', '-']).unwrap_or(text) {
        "NaN" | "Infinity" => text,
        digits if digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') => {
            text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text)
        }
        _ => return None,
    };
    number.parse().ok()
}

fn is_date(value: &str) -> bool {
    has_shape(value, "dddd-dd-dd") && string_to_date(value.as_bytes()).is_some()
}

fn is_timestamp(value: &str) -> bool {
    let (seconds, fraction) = value.split_once('.').unwrap_or((value, "0"));
    has_shape(seconds, "dddd-dd-dd dd:dd:dd")
        && !fraction.is_empty()
        && fraction.bytes().all(|digit| digit.is_ascii_digit())
        && string_to_timestamp_ntz(value.as_bytes(), false).is_some()
}

/// Whether the text has digits where the shape has a `d`, and the shape's characters elsewhere.
fn has_shape(text: &str, shape: &str) -> bool {
    text.len() == shape.len()
        && text
            .bytes()
            .zip(shape.bytes())
            .all(|(byte, form)| match form {
                b'd' => byte.is_ascii_digit(),
                form => byte == form,
            })
}

/// The narrowest type that holds the values of both.
fn widen(left: DataType, right: DataType) -> DataType {
    use DataType::{Date32, Decimal128, Float64, Int32, Int64, Null, Timestamp, Utf8};
    match (left, right) {
        (left, right) if left == right => left,
        (Null, other) | (other, Null) => other,
        (Int32, Int64) | (Int64, Int32) => Int64,
        (Int32, Decimal128(p, s)) | (Decimal128(p, s), Int32) => Decimal128(p.max(10), s),
        (Int64, Decimal128(p, s)) | (Decimal128(p, s), Int64) => Decimal128(p.max(20), s),
        (Decimal128(left, s), Decimal128(right, _)) => Decimal128(left.max(right), s),
        (Int32, Float64) | (Float64, Int32) => Float64,
        (Date32, Timestamp(unit, zone)) | (Timestamp(unit, zone), Date32) => Timestamp(unit, zone),
        // Also bigint with double: neither holds all values of the other.
        _ => Utf8,
    }
}

fn cast(value: &str, column: &Field, rules: ValueRules) -> Result<ScalarValue, ConnectorError> {
    let data_type = column.data_type();
    if value == DEFAULT_PARTITION {
        return Ok(ScalarValue::try_from(data_type)?);
    }
    let refused = || ConnectorError::PartitionValue {
        value: value.to_owned(),
        data_type: sql_name(data_type),
        column: column.name().clone(),
    };
    let bytes = value.as_bytes();
    let scalar = match data_type {
        DataType::Null => ScalarValue::Null,
        DataType::Utf8 => ScalarValue::from(value),
        DataType::Float64 => ScalarValue::from(parse_double(value).ok_or_else(refused)?),
        DataType::Date32 => ScalarValue::Date32(Some(string_to_date(bytes).ok_or_else(refused)?)),
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) => {
            let micros = string_to_timestamp(bytes, &rules.zone).ok_or_else(refused)?;
            ScalarValue::TimestampMicrosecond(Some(micros), Some(zone.clone()))
        }
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            let micros = string_to_timestamp_ntz(bytes, true).ok_or_else(refused)?;
            ScalarValue::TimestampMicrosecond(Some(micros), None)
        }
        other => {
            let text = value.trim().trim_start_matches('+');
            let text = ScalarValue::from(plain_whole(text).unwrap_or_else(|| text.to_owned()));
            text.cast_to(other)
                .ok()
                .filter(|scalar| !scalar.is_null())
                .ok_or_else(refused)?
        }
    };
    Ok(scalar)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: ValueRules = ValueRules {
        infer: true,
        zone: Zone::UTC,
        timestamp_ntz: false,
    };

    fn columns(dirs: &[&str], base: &str) -> Result<Vec<Field>, ConnectorError> {
        discover(
            dirs.iter().copied(),
            &[base.to_owned()],
            &FileSystem::Local,
            RULES,
        )
    }

    fn type_of(values: &[&str]) -> DataType {
        let dirs: Vec<_> = values
            .iter()
            .map(|value| format!("/t/p={}", escape(value)))
            .collect();
        let dirs: Vec<_> = dirs.iter().map(String::as_str).collect();
        columns(&dirs, "/t").unwrap()[0].data_type().clone()
    }

    /// The types that Spark 4.3.0 infers for the same directories.
    #[test]
    fn types_are_those_of_spark() {
        let timestamp = timestamp(RULES);
        for (values, data_type) in [
            (vec!["1", "x"], DataType::Utf8),
            (vec!["1", "1.5"], DataType::Float64),
            (vec!["2024-01-01", "2024-01-02"], DataType::Date32),
            (vec!["2024-01-01 10:00:00"], timestamp.clone()),
            (vec!["9223372036854775807", "1"], DataType::Int64),
            (vec!["99999999999999999999"], DataType::Decimal128(20, 0)),
            (vec!["true"], DataType::Utf8),
            (vec!["1e5"], DataType::Decimal128(6, 0)),
            (vec!["-3", "007"], DataType::Int32),
            (vec!["1.50"], DataType::Float64),
            (vec!["1", DEFAULT_PARTITION], DataType::Int32),
            (vec![DEFAULT_PARTITION], DataType::Null),
            (vec!["2024-01-01", "2024-01-01 10:00:00"], timestamp),
            (vec!["1", "2024-01-01"], DataType::Utf8),
            (vec!["1.5", "99999999999999999999"], DataType::Utf8),
            (vec!["NaN"], DataType::Float64),
            (vec!["2024-1-1"], DataType::Utf8),
            (vec!["1L"], DataType::Utf8),
            (vec![" 1"], DataType::Float64),
            (vec!["+5"], DataType::Int32),
            (vec!["1d"], DataType::Float64),
            (vec!["0x1"], DataType::Utf8),
            (vec!["2024-01-01T10:00:00"], DataType::Utf8),
        ] {
            assert_eq!(type_of(&values), data_type, "{values:?}");
        }
    }

    #[test]
    fn values_are_read_back_as_their_types() {
        let read = |value: &str, data_type: DataType| {
            let dir = format!("/t/p={}", escape(value));
            let field = [Field::new("P", data_type, true)];
            values_of(&dir, &["/t".to_owned()], &field, RULES).map(|values| values[0].clone())
        };
        assert_eq!(read("007", DataType::Int32).unwrap(), ScalarValue::from(7));
        assert_eq!(read("+5", DataType::Int32).unwrap(), ScalarValue::from(5));
        assert_eq!(
            read(" 1", DataType::Float64).unwrap(),
            ScalarValue::from(1.0)
        );
        assert_eq!(
            read("1e5", DataType::Decimal128(6, 0)).unwrap(),
            ScalarValue::Decimal128(Some(100_000), 6, 0)
        );
        assert_eq!(
            read("a/b=c", DataType::Utf8).unwrap(),
            ScalarValue::from("a/b=c")
        );
        assert!(read(DEFAULT_PARTITION, DataType::Int32).unwrap().is_null());
        assert_eq!(
            read("2024-01-01", timestamp(RULES)).unwrap(),
            ScalarValue::TimestampMicrosecond(Some(1_704_067_200_000_000), Some("UTC".into()))
        );
        let error = read("x", DataType::Int32).unwrap_err();
        assert_eq!(error.error_class(), Some("INVALID_PARTITION_VALUE"));
        assert!(
            error.to_string().contains("`x` to data type \"INT\""),
            "{error}"
        );
    }

    #[test]
    fn directories_that_disagree_are_refused_with_their_paths() {
        let error = columns(&["/t/a=1", "/t/b=2"], "/t").unwrap_err();
        assert_eq!(
            error.error_class(),
            Some("CONFLICTING_PARTITION_COLUMN_NAMES")
        );
        assert!(
            error.to_string().contains("\n\tfile:/t/a=1\n\tfile:/t/b=2"),
            "{error}"
        );
        let bases = ["/t/y=1".to_owned(), "/t/y=2".to_owned()];
        let error = discover(
            ["/t/y=1/k=a", "/t/y=2/k=a"],
            &bases,
            &FileSystem::Local,
            RULES,
        )
        .unwrap_err();
        assert_eq!(
            error.message_parameters(),
            [(
                "discoveredBasePaths",
                "\n\tfile:/t/y=1\n\tfile:/t/y=2\n".to_owned()
            )]
        );
        let error = columns(&["/t/p="], "/t").unwrap_err();
        assert_eq!(
            error.message_parameters(),
            [("columnSpec", "p=".to_owned())]
        );
    }

    #[test]
    fn files_beside_the_directories_and_plain_directories_have_no_columns() {
        assert!(columns(&["/t"], "/t").unwrap().is_empty());
        let both = columns(&["/t", "/t/k=a/n=1"], "/t").unwrap();
        let names: Vec<_> = both.iter().map(Field::name).collect();
        assert_eq!(names, ["k", "n"]);
        let values = values_of("/t", &["/t".to_owned()], &both, RULES).unwrap();
        assert!(values.iter().all(ScalarValue::is_null));
    }

    /// The directory name that Spark 4.3.0 makes for the same value.
    #[test]
    fn names_are_escaped_as_hive_does() {
        let value = "a:b/c=d%e x\"'*#?\\{}[]^\n\té~";
        let name = "a%3Ab%2Fc%3Dd%25e x%22%27%2A%23%3F%5C%7B}%5B%5D%5E%0A%09é~";
        assert_eq!(escape(value), name);
        assert_eq!(decode(name), value);
    }
}
