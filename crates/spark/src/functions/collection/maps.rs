//! Maps taken apart and put together.
//!
//! A map has no NULL key (`NULL_MAP_KEY`) and no key twice: `DUPLICATED_MAP_KEY`, or the last value if
//! `spark.sql.mapKeyDedupPolicy` is `LAST_WIN`.
use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, StringBuilder, StructArray,
        UInt64Array, make_comparator,
    },
    compute::{SortOptions, concat, take},
    datatypes::DataType,
    row::{OwnedRow, RowConverter, Rows, SortField},
};
use datafusion::logical_expr::Volatility;

use super::elements::{Spans, comparable, item_of, null_test};
use crate::{
    cast::coerce,
    coercion,
    error::{Exception, Result, SparkError, quoted_id},
    functions::{
        Accepts, Batch, Call, Function, Kernel, Parameters, PreparedKernel, Registry, Returns,
        constructors::duplicated_key,
        rows::{with_args, with_defaults},
    },
    typed::TypedExpr,
    types::{list, map, map_fields, relabel, structure},
};

pub(super) fn register(registry: &mut Registry) {
    registry.add(Function::scalar(
        "map_keys",
        [Accepts::Map],
        Returns::With(|call| {
            let (key, _) = fields(call, 0)?;
            Ok((list(key.0, false), call.arg(0)?.nullable))
        }),
        keys,
    ));
    registry.add(Function::scalar(
        "map_values",
        [Accepts::Map],
        Returns::With(|call| {
            let (_, value) = fields(call, 0)?;
            Ok((list(value.0, value.1), call.arg(0)?.nullable))
        }),
        values,
    ));
    registry.add(Function::scalar(
        "map_entries",
        [Accepts::Map],
        Returns::With(|call| {
            let (key, value) = fields(call, 0)?;
            let entry = structure([("key", key.0, false), ("value", value.0, value.1)]);
            Ok((list(entry, false), call.arg(0)?.nullable))
        }),
        entries,
    ));
    registry.add(Function::rewrite(
        "map_from_arrays",
        Parameters::fixed([Accepts::Array, Accepts::Array]),
        |call| {
            let (key, value) = (item_of(call, 0)?, item_of(call, 1)?);
            Ok(made(
                call,
                from_arrays,
                map(key.0, value.0, value.1),
                call.any_nullable(),
            ))
        },
    ));
    registry.add(Function::rewrite(
        "map_from_entries",
        Parameters::fixed([Accepts::Any]),
        |call| {
            let DataType::List(item) = &call.arg(0)?.data_type else {
                return Err(call.unexpected_type(0, "\"ARRAY\" of pair \"STRUCT\""));
            };
            let pair = match item.data_type() {
                DataType::Struct(fields) => fields
                    .first()
                    .zip(fields.get(1))
                    .filter(|_| fields.len() == 2),
                _ => None,
            };
            let Some((key, value)) = pair else {
                return Err(call.unexpected_type(0, "\"ARRAY\" of pair \"STRUCT\""));
            };
            let data_type = map(
                key.data_type().clone(),
                value.data_type().clone(),
                value.is_nullable(),
            );
            Ok(made(
                call,
                from_entries,
                data_type,
                call.arg(0)?.nullable || item.is_nullable(),
            ))
        },
    ));
    registry.add(Function::rewrite(
        "map_concat",
        Parameters::variadic(0, Accepts::Any),
        concat_call,
    ));
    registry.add(Function::rewrite(
        "map_contains_key",
        Parameters::fixed([Accepts::Map, Accepts::Any]),
        |call| {
            if call.args.iter().any(|a| a.data_type == DataType::Null) {
                return Err(call.mismatch("NULL_TYPE", &[("functionName", "`map_contains_key`")]));
            }
            let (key, _) = fields(call, 0)?;
            let wanted = call.arg(1)?;
            let common = coercion::tightest(&key.0, &wanted.data_type, false)
                .filter(|t| crate::types::same_type(t, &key.0));
            let Some(common) = common else {
                return Err(call.mismatch(
                    "MAP_FUNCTION_DIFF_TYPES",
                    &[
                        ("functionName", "`map_contains_key`"),
                        ("dataType", "\"MAP\""),
                        ("leftType", &call.arg(0)?.type_sql()),
                        ("rightType", &wanted.type_sql()),
                    ],
                ));
            };
            let wanted = coerce(wanted.clone(), &common, &call.context.eval)?;
            let call = with_args(call, vec![call.arg(0)?.clone(), wanted]);
            // Spark looks the key up among `map_keys`, which it takes to be able to hold NULLs.
            let kernel = Kernel::Plain(contains_key);
            Ok(call.kernel_with(
                "map_contains_key",
                kernel,
                DataType::Boolean,
                true,
                Volatility::Immutable,
            ))
        },
    ));
    let text = Parameters::fixed([Accepts::STRING]).optional([Accepts::STRING, Accepts::STRING]);
    registry.add(Function::rewrite("str_to_map", text, |call| {
        let call = with_defaults(call, 3, [TypedExpr::string(","), TypedExpr::string(":")]);
        Ok(made(
            &call,
            from_text,
            map(DataType::Utf8, DataType::Utf8, true),
            call.any_nullable(),
        ))
    }));
}

type Part = (DataType, bool);

/// Key and value of argument `index`, a map.
pub(super) fn fields(call: &Call<'_>, index: usize) -> Result<(Part, Part)> {
    match map_fields(&call.arg(index)?.data_type) {
        Some((key, value)) => Ok((
            (key.data_type().clone(), false),
            (value.data_type().clone(), value.is_nullable()),
        )),
        None => Err(call.unexpected_type(index, "\"MAP\"")),
    }
}

/// Whether a key that comes again replaces the value.
pub(super) fn last_wins(call: &Call<'_>) -> bool {
    let policy = call.context.conf.get_option("spark.sql.mapKeyDedupPolicy");
    policy.is_some_and(|p| p.eq_ignore_ascii_case("last_win"))
}

fn made(call: &Call<'_>, body: Body, data_type: DataType, nullable: bool) -> TypedExpr {
    call.kernel(
        Arc::new(Made {
            last_wins: last_wins(call),
            body,
        }),
        data_type,
        nullable,
    )
}

type Body = fn(&Batch<'_>, bool) -> Result<ArrayRef>;

/// A kernel that makes maps.
#[derive(Debug)]
struct Made {
    last_wins: bool,
    body: Body,
}

impl PreparedKernel for Made {
    fn fingerprint(&self) -> String {
        format!("last_wins={}", self.last_wins)
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        (self.body)(batch, self.last_wins)
    }
}

/// Maps out of keys and values that lie in two arrays.
pub(super) struct Maps {
    keys: ArrayRef,
    values: ArrayRef,
    rows: Rows,
    key_null: Box<dyn Fn(usize) -> bool>,
    last_wins: bool,
    picked: (Vec<u64>, Vec<u64>),
    seen: HashMap<OwnedRow, usize>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
    started: usize,
}

impl Maps {
    /// Keys and values are elements of these.
    pub(super) fn new(keys: ArrayRef, values: ArrayRef, last_wins: bool) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(keys.data_type().clone())])?;
        Ok(Self {
            rows: converter.convert_columns(&[comparable(&keys)?])?,
            key_null: Box::new(null_test(&keys)),
            keys,
            values,
            last_wins,
            picked: (vec![], vec![]),
            seen: HashMap::new(),
            lengths: vec![],
            valid: vec![],
            started: 0,
        })
    }

    /// An entry of the current map.
    pub(super) fn push(&mut self, key: usize, value: usize) -> Result<()> {
        if (self.key_null)(key) {
            return Err(SparkError::runtime("NULL_MAP_KEY", &[]));
        }
        let place = self.picked.0.len();
        match self.seen.insert(self.rows.row(key).owned(), place) {
            None => {
                self.picked.0.push(key as u64);
                self.picked.1.push(value as u64);
            }
            Some(_) if !self.last_wins => return Err(duplicated_key(Some(&self.keys), key)),
            Some(earlier) => {
                self.seen.insert(self.rows.row(key).owned(), earlier);
                if let (Some(k), Some(v)) = (
                    self.picked.0.get_mut(earlier),
                    self.picked.1.get_mut(earlier),
                ) {
                    (*k, *v) = (key as u64, value as u64);
                }
            }
        }
        Ok(())
    }

    /// Ends a map.
    pub(super) fn end(&mut self) {
        self.seen.clear();
        self.lengths.push(self.picked.0.len() - self.started);
        self.started = self.picked.0.len();
        self.valid.push(true);
    }

    /// Adds a NULL instead of a map.
    pub(super) fn end_null(&mut self) {
        self.lengths.push(0);
        self.valid.push(false);
    }

    /// The maps, of type `data_type`.
    pub(super) fn finish(self, data_type: &DataType) -> Result<ArrayRef> {
        let keys = take(&self.keys, &UInt64Array::from(self.picked.0), None)?;
        let values = take(&self.values, &UInt64Array::from(self.picked.1), None)?;
        assembled(data_type, keys, values, self.lengths, self.valid)
    }
}

/// Maps of keys and values in order.
pub(super) fn assembled(
    data_type: &DataType,
    keys: ArrayRef,
    values: ArrayRef,
    lengths: Vec<usize>,
    valid: Vec<bool>,
) -> Result<ArrayRef> {
    let (DataType::Map(entries, _), Some((key, value))) = (data_type, map_fields(data_type)) else {
        return Err(SparkError::internal("entries make a map"));
    };
    let DataType::Struct(fields) = entries.data_type() else {
        return Err(SparkError::internal("entries are structs"));
    };
    let columns = vec![
        relabel(&keys, key.data_type())?,
        relabel(&values, value.data_type())?,
    ];
    let inner = StructArray::try_new(fields.clone(), columns, None)?;
    let nulls = (!valid.iter().all(|v| *v)).then(|| arrow::buffer::NullBuffer::from(valid));
    let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(MapArray::try_new(
        Arc::clone(entries),
        offsets,
        inner,
        nulls,
        false,
    )?))
}

fn part(batch: &Batch<'_>, column: impl Fn(&MapArray) -> ArrayRef) -> Result<ArrayRef> {
    let maps = batch.maps(0)?;
    let DataType::List(item) = batch.return_type() else {
        return Err(SparkError::internal("parts of a map are an array"));
    };
    let values = relabel(&column(&maps), item.data_type())?;
    let (offsets, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        offsets,
        values,
        nulls,
    )?))
}

fn keys(batch: &Batch<'_>) -> Result<ArrayRef> {
    part(batch, |m| Arc::clone(m.keys()))
}

fn values(batch: &Batch<'_>) -> Result<ArrayRef> {
    part(batch, |m| Arc::clone(m.values()))
}

fn entries(batch: &Batch<'_>) -> Result<ArrayRef> {
    part(batch, |m| Arc::new(m.entries().clone()))
}

fn from_arrays(batch: &Batch<'_>, last_wins: bool) -> Result<ArrayRef> {
    let (keys, values) = (batch.lists(0)?, batch.lists(1)?);
    let mut out = Maps::new(
        Arc::clone(keys.values()),
        Arc::clone(values.values()),
        last_wins,
    )?;
    for row in 0..batch.len() {
        let (Some(k), Some(v)) = (keys.span(row), values.span(row)) else {
            out.end_null();
            continue;
        };
        if k.len() != v.len() {
            let message = "The key array and value array of MapData must have the same length.";
            let class = "_LEGACY_ERROR_TEMP_2128";
            return Err(SparkError::worded(
                Exception::Runtime,
                class,
                None,
                &[],
                message.to_string(),
            ));
        }
        for (key, value) in k.zip(v) {
            out.push(key, value)?;
        }
        out.end();
    }
    out.finish(batch.return_type())
}

/// NULL if one of the entries is.
fn from_entries(batch: &Batch<'_>, last_wins: bool) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let structs = lists.values().as_struct();
    let (Some(keys), Some(values)) = (structs.columns().first(), structs.columns().get(1)) else {
        return Err(SparkError::internal("entries are pairs"));
    };
    let mut out = Maps::new(Arc::clone(keys), Arc::clone(values), last_wins)?;
    for row in 0..batch.len() {
        match lists.span(row) {
            Some(mut span) if span.clone().all(|at| structs.is_valid(at)) => {
                span.try_for_each(|at| out.push(at, at))?;
                out.end();
            }
            _ => out.end_null(),
        }
    }
    out.finish(batch.return_type())
}

fn concat_call(call: &Call<'_>) -> Result<TypedExpr> {
    if call.args.is_empty() {
        return Ok(made(
            call,
            concat_maps,
            map(DataType::Utf8, DataType::Utf8, false),
            false,
        ));
    }
    let types: Vec<String> = call.args.iter().map(TypedExpr::type_sql).collect();
    if call
        .args
        .iter()
        .any(|a| !matches!(a.data_type, DataType::Map(_, _)))
    {
        return Err(call.mismatch(
            "MAP_CONCAT_DIFF_TYPES",
            &[
                ("functionName", &quoted_id(&call.shown)),
                ("dataType", &format!("[{}]", types.join(", "))),
            ],
        ));
    }
    let unified = coercion::unify(call.args.clone(), &call.context.eval)?;
    let Some((args, common)) = unified.filter(|(_, t)| matches!(t, DataType::Map(_, _))) else {
        return Err(call.mismatch(
            "DATA_DIFF_TYPES",
            &[
                ("functionName", &quoted_id(&call.shown)),
                ("dataType", &format!("({})", types.join(" or "))),
            ],
        ));
    };
    let call = with_args(call, args);
    Ok(made(&call, concat_maps, common, call.any_nullable()))
}

fn concat_maps(batch: &Batch<'_>, last_wins: bool) -> Result<ArrayRef> {
    let Some((key, value)) = map_fields(batch.return_type()) else {
        return Err(SparkError::internal("maps join into a map"));
    };
    let maps = (0..batch.arity())
        .map(|i| batch.maps(i))
        .collect::<Result<Vec<MapArray>>>()?;
    let joined = |column: &dyn Fn(&MapArray) -> ArrayRef, t: &DataType| -> Result<ArrayRef> {
        let parts = maps
            .iter()
            .map(|m| relabel(&column(m), t))
            .collect::<Result<Vec<_>>>()?;
        if parts.is_empty() {
            return Ok(arrow::array::new_empty_array(t));
        }
        Ok(concat(
            &parts.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>(),
        )?)
    };
    let keys = joined(&|m| Arc::clone(m.keys()), key.data_type())?;
    let values = joined(&|m| Arc::clone(m.values()), value.data_type())?;
    let mut out = Maps::new(keys, values, last_wins)?;
    for row in 0..batch.len() {
        if maps.iter().any(|m| m.is_null(row)) {
            out.end_null();
            continue;
        }
        let mut base = 0;
        for one in &maps {
            one.span(row)
                .unwrap_or(0..0)
                .try_for_each(|at| out.push(base + at, base + at))?;
            base += one.keys().len();
        }
        out.end();
    }
    out.finish(batch.return_type())
}

fn contains_key(batch: &Batch<'_>) -> Result<ArrayRef> {
    let maps = batch.maps(0)?;
    let (keys, wanted) = (comparable(maps.keys())?, comparable(&batch.array(1)?)?);
    let wanted_null = null_test(&wanted);
    let compare = make_comparator(&keys, &wanted, SortOptions::default())?;
    let flags: BooleanArray = (0..batch.len())
        .map(|row| {
            let mut span = maps.span(row).filter(|_| !wanted_null(row))?;
            Some(span.any(|at| compare(at, row).is_eq()))
        })
        .collect();
    Ok(Arc::new(flags))
}

/// Separators are regular expressions; a pair without the second one has the value NULL.
fn from_text(batch: &Batch<'_>, last_wins: bool) -> Result<ArrayRef> {
    let texts = batch.strings(0)?;
    let (pairs, keys) = (batch.strings(1)?, batch.strings(2)?);
    let (mut key_text, mut value_text) = (StringBuilder::new(), StringBuilder::new());
    let mut counts: Vec<Option<usize>> = Vec::with_capacity(batch.len());
    let mut patterns: HashMap<String, regex::Regex> = HashMap::new();
    for row in 0..batch.len() {
        if texts.is_null(row) || pairs.is_null(row) || keys.is_null(row) {
            counts.push(None);
            continue;
        }
        for pattern in [pairs.value(row), keys.value(row)] {
            if !patterns.contains_key(pattern) {
                patterns.insert(pattern.to_string(), compiled(pattern)?);
            }
        }
        let (Some(by_pair), Some(by_key)) = (
            patterns.get(pairs.value(row)),
            patterns.get(keys.value(row)),
        ) else {
            continue;
        };
        let mut count = 0;
        for pair in by_pair.split(texts.value(row)) {
            let mut halves = by_key.splitn(pair, 2);
            key_text.append_value(halves.next().unwrap_or_default());
            value_text.append_option(halves.next());
            count += 1;
        }
        counts.push(Some(count));
    }
    let mut out = Maps::new(
        Arc::new(key_text.finish()),
        Arc::new(value_text.finish()),
        last_wins,
    )?;
    let mut start = 0;
    for count in counts {
        match count {
            Some(count) => {
                (start..start + count).try_for_each(|at| out.push(at, at))?;
                start += count;
                out.end();
            }
            None => out.end_null(),
        }
    }
    out.finish(batch.return_type())
}

fn compiled(pattern: &str) -> Result<regex::Regex> {
    regex::Regex::new(pattern).map_err(|_| {
        SparkError::runtime(
            "INVALID_PARAMETER_VALUE.PATTERN",
            &[
                ("parameter", "`regexp`"),
                ("functionName", "`str_to_map`"),
                ("value", &format!("'{pattern}'")),
            ],
        )
    })
}
