//! `array`, `map`, `struct`, `named_struct`.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, ListArray, MapArray, StructArray, make_comparator, new_empty_array},
    buffer::OffsetBuffer,
    compute::{SortOptions, interleave},
    datatypes::{DataType, Field},
};
use datafusion::logical_expr::{Expr, ScalarUDF, Volatility, expr::ScalarFunction};

use super::{
    Accepts, Batch, Call, Function, FunctionContext, Kernel, KernelUdf, Parameters, PreparedKernel,
    Registry,
};
use crate::{
    coercion,
    error::{Exception, Result, SparkError, quoted},
    typed::TypedExpr,
    types::{self, list, relabel},
};

pub(super) fn register(registry: &mut Registry) {
    registry.add(Function::rewrite(
        "array",
        Parameters::variadic(0, Accepts::Any),
        array,
    ));
    registry.add(
        Function::rewrite("map", Parameters::variadic(0, Accepts::Any), map).alias("create_map"),
    );
    registry.add(Function::rewrite(
        "struct",
        Parameters::variadic(0, Accepts::Any),
        |call| {
            let name = call.name();
            let fields = call
                .args
                .iter()
                .enumerate()
                .map(|(i, arg)| {
                    let own = arg
                        .output_name
                        .clone()
                        .or_else(|| arg.as_column().map(|_| arg.name.clone()));
                    (own.unwrap_or_else(|| format!("col{}", i + 1)), arg.clone())
                })
                .collect();
            Ok(named_struct(fields).named(name))
        },
    ));
    registry.add(Function::rewrite(
        "named_struct",
        Parameters::variadic(0, Accepts::Any),
        |call| {
            if call.args.len() % 2 == 1 {
                return Err(super::wrong_num_args(
                    "named_struct",
                    "2n (n > 0)",
                    call.args.len(),
                ));
            }
            let mut fields = vec![];
            for pair in call.args.chunks(2) {
                let [key, value] = pair else { continue };
                let Some(field) = key.as_string_literal() else {
                    return Err(call.mismatch(
                        "CREATE_NAMED_STRUCT_WITHOUT_FOLDABLE_STRING",
                        &[("inputExprs", &format!("[{}]", key.sql()))],
                    ));
                };
                fields.push((field.to_string(), value.clone()));
            }
            Ok(named_struct(fields).named(call.name()))
        },
    ));
}

fn unified(call: &Call<'_>, values: Vec<TypedExpr>) -> Result<(Vec<TypedExpr>, DataType)> {
    coercion::unify(values.clone(), &call.context.eval)?.ok_or_else(|| {
        let types: Vec<String> = values.iter().map(TypedExpr::type_sql).collect();
        call.mismatch(
            "DATA_DIFF_TYPES",
            &[
                ("functionName", &crate::error::quoted_id(&call.shown)),
                ("dataType", &format!("({})", types.join(" or "))),
            ],
        )
    })
}

fn array(call: &Call<'_>) -> Result<TypedExpr> {
    let (values, element) = unified(call, call.args.clone())?;
    let data_type = list(element, values.iter().any(|v| v.nullable));
    let name = call.name();
    let inner = Call {
        args: values,
        ..Call::new("array", vec![], call.context)
    };
    let kernel = Kernel::Plain(array_kernel);
    let mut typed = inner
        .kernel_with("array", kernel, data_type, false, Volatility::Immutable)
        .named(name);
    typed.context.clone_from(&call.place);
    Ok(typed)
}

fn array_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    let DataType::List(item) = batch.return_type() else {
        return Err(SparkError::internal("an array is a list"));
    };
    let columns = batch
        .arrays()?
        .iter()
        .map(|c| relabel(c, item.data_type()))
        .collect::<Result<Vec<ArrayRef>>>()?;
    let values = interleaved(&columns, batch.len(), item.data_type())?;
    let offsets = OffsetBuffer::from_repeated_length(columns.len(), batch.len());
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        offsets,
        values,
        None,
    )?))
}

/// The values of each row, row after row.
fn interleaved(columns: &[ArrayRef], rows: usize, data_type: &DataType) -> Result<ArrayRef> {
    if columns.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    let picks: Vec<(usize, usize)> = (0..rows)
        .flat_map(|row| (0..columns.len()).map(move |column| (column, row)))
        .collect();
    let columns: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    Ok(interleave(&columns, &picks)?)
}

fn map(call: &Call<'_>) -> Result<TypedExpr> {
    if call.args.len() % 2 == 1 {
        return Err(super::wrong_num_args(
            &call.shown,
            "2n (n > 0)",
            call.args.len(),
        ));
    }
    let keys: Vec<TypedExpr> = call.args.iter().step_by(2).cloned().collect();
    let values: Vec<TypedExpr> = call.args.iter().skip(1).step_by(2).cloned().collect();
    let mut shown = Call::new("map", call.args.clone(), call.context);
    shown.shown = "map".to_string();
    let name = shown.name();
    let kind = |k: &str| format!("DATATYPE_MISMATCH.CREATE_MAP_{k}_DIFF_TYPES");
    let diff = |k: &str, found: &[TypedExpr]| {
        let types: Vec<String> = found.iter().map(TypedExpr::type_sql).collect();
        SparkError::analysis(
            &kind(k),
            &[
                ("sqlExpr", &quoted(&name)),
                ("functionName", "`map`"),
                ("dataType", &format!("[{}]", types.join(", "))),
            ],
        )
    };
    let context = &call.context.eval;
    let (keys, key_type) =
        coercion::unify(keys.clone(), context)?.ok_or_else(|| diff("KEY", &keys))?;
    let (values, value_type) =
        coercion::unify(values.clone(), context)?.ok_or_else(|| diff("VALUE", &values))?;
    if matches!(key_type, DataType::Map(_, _)) {
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.INVALID_MAP_KEY_TYPE",
            &[
                ("sqlExpr", &quoted(&name)),
                ("keyType", &quoted(types::sql_name(&key_type))),
            ],
        ));
    }
    let data_type = types::map(key_type, value_type, values.iter().any(|v| v.nullable));
    let args = keys
        .into_iter()
        .zip(values)
        .flat_map(|(k, v)| [k, v])
        .collect();
    let last_wins = call
        .context
        .conf
        .get_option("spark.sql.mapKeyDedupPolicy")
        .is_some_and(|p| p.eq_ignore_ascii_case("last_win"));
    let mut inner = Call::new("map", args, call.context);
    inner.place.clone_from(&call.place);
    Ok(inner
        .kernel(Arc::new(MapKernel { last_wins }), data_type, false)
        .named(name))
}

/// Builds a map of alternating keys and values.
#[derive(Debug)]
struct MapKernel {
    last_wins: bool,
}

impl PreparedKernel for MapKernel {
    fn fingerprint(&self) -> String {
        format!("last_wins={}", self.last_wins)
    }

    fn evaluate(&self, batch: &Batch<'_>) -> Result<ArrayRef> {
        let Some((key, value)) = types::map_fields(batch.return_type()) else {
            return Err(SparkError::internal("a map is a map"));
        };
        let DataType::Map(entries, _) = batch.return_type() else {
            return Err(SparkError::internal("a map is a map"));
        };
        let arrays = batch.arrays()?;
        let column = |i: usize, t: &DataType| arrays.get(i).map(|a| relabel(a, t)).transpose();
        if arrays.iter().step_by(2).any(|k| k.logical_null_count() > 0) {
            return Err(SparkError::runtime("NULL_MAP_KEY", &[]));
        }
        let (mut keys, mut values) = (vec![], vec![]);
        for pair in 0..arrays.len() / 2 {
            keys.extend(column(pair * 2, key.data_type())?);
            values.extend(column(pair * 2 + 1, value.data_type())?);
        }
        let (picks, lengths) = self.kept(&keys, batch.len())?;
        let pick = |columns: &[ArrayRef], t: &DataType| -> Result<ArrayRef> {
            if columns.is_empty() {
                return Ok(new_empty_array(t));
            }
            let refs: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
            Ok(interleave(&refs, &picks)?)
        };
        let DataType::Struct(fields) = entries.data_type() else {
            return Err(SparkError::internal("entries are structs"));
        };
        let columns = vec![
            pick(&keys, key.data_type())?,
            pick(&values, value.data_type())?,
        ];
        let inner = StructArray::try_new(fields.clone(), columns, None)?;
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(MapArray::try_new(
            Arc::clone(entries),
            offsets,
            inner,
            None,
            false,
        )?))
    }
}

impl MapKernel {
    /// Which (column, row) make the maps, and how long each map is.
    #[allow(clippy::type_complexity, reason = "the two halves of one answer")]
    fn kept(&self, keys: &[ArrayRef], rows: usize) -> Result<(Vec<(usize, usize)>, Vec<usize>)> {
        let (mut picks, mut lengths) = (
            Vec::with_capacity(rows * keys.len()),
            Vec::with_capacity(rows),
        );
        let mut comparators = vec![];
        for a in keys {
            let row = keys
                .iter()
                .map(|b| make_comparator(a, b, SortOptions::default()))
                .collect::<std::result::Result<Vec<_>, _>>()?;
            comparators.push(row);
        }
        let same = |a: usize, b: usize, row: usize| {
            comparators
                .get(a)
                .and_then(|c| c.get(b))
                .is_some_and(|compare| compare(row, row).is_eq())
        };
        for row in 0..rows {
            let mut kept: Vec<usize> = vec![];
            for column in 0..keys.len() {
                match kept.iter().position(|k| same(*k, column, row)) {
                    Some(at) if self.last_wins => {
                        if let Some(slot) = kept.get_mut(at) {
                            *slot = column;
                        }
                    }
                    Some(_) => return Err(duplicated_key(keys.get(column), row)),
                    None => kept.push(column),
                }
            }
            lengths.push(kept.len());
            picks.extend(kept.into_iter().map(|column| (column, row)));
        }
        Ok((picks, lengths))
    }
}

/// `DUPLICATED_MAP_KEY`.
pub(crate) fn duplicated_key(keys: Option<&ArrayRef>, row: usize) -> SparkError {
    let shown = keys
        .map(|k| k.slice(row, 1))
        .and_then(|k| {
            crate::cast::display_strings(&k, crate::cast::ToStringStyle::Cast, &Default::default())
                .ok()
        })
        .filter(|t| t.is_valid(0))
        .map(|t| t.value(0).to_string())
        .unwrap_or_default();
    SparkError::new(
        Exception::Runtime,
        "DUPLICATED_MAP_KEY",
        &[
            ("key", &shown),
            ("mapKeyDedupPolicy", "\"spark.sql.mapKeyDedupPolicy\""),
        ],
    )
}

/// A struct of these fields, named `named_struct(…)`.
pub(crate) fn named_struct(fields: Vec<(String, TypedExpr)>) -> TypedExpr {
    let text: Vec<String> = fields
        .iter()
        .map(|(n, v)| format!("{n}, {}", v.name))
        .collect();
    let struct_fields: Vec<Field> = fields
        .iter()
        .map(|(n, v)| {
            let metadata = v
                .metadata
                .iter()
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect();
            Field::new(n, v.data_type.clone(), v.nullable).with_metadata(metadata)
        })
        .collect();
    let data_type = DataType::Struct(struct_fields.into());
    let types = fields.iter().map(|(_, v)| v.data_type.clone()).collect();
    let args = fields.into_iter().map(|(_, v)| v.expr).collect();
    let context = FunctionContext::default_for_extraction();
    let udf = KernelUdf::new(
        "named_struct",
        Kernel::Plain(struct_kernel),
        (data_type.clone(), false),
        Arc::clone(&context.eval),
        None,
        Volatility::Immutable,
    )
    .taking(types);
    let expr = Expr::ScalarFunction(ScalarFunction::new_udf(
        Arc::new(ScalarUDF::from(udf)),
        args,
    ));
    TypedExpr::new(
        expr,
        data_type,
        false,
        format!("named_struct({})", text.join(", ")),
    )
}

fn struct_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    let DataType::Struct(fields) = batch.return_type() else {
        return Err(SparkError::internal("a struct is a struct"));
    };
    let columns = batch
        .arrays()?
        .iter()
        .zip(fields)
        .map(|(c, f)| relabel(c, f.data_type()))
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(
        fields.clone(),
        columns,
        None,
        batch.len(),
    )?))
}
