//! Reaching into values: `struct.field`, `map[key]`, `array[index]`, and changing fields of structs.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, ListArray, UInt64Array, make_comparator},
    compute::{SortOptions, take},
    datatypes::DataType,
};
use datafusion::{
    common::ScalarValue,
    functions::core::expr_fn::get_field,
    logical_expr::{Expr, Volatility},
};
use spark_connect_proto::expression::{ExprType, UpdateFields};

use super::{Expressions, not_set};
use crate::{
    cast::coerce,
    coercion,
    error::{Exception, QueryContext, Result, SparkError, quoted},
    functions::{Batch, Call, FunctionContext, Kernel},
    scope::{NameMatch, find_field, parse_attribute_name},
    typed::TypedExpr,
    types::{self, list, map_fields, sql_name},
};

/// `value.field`, as in a dotted name.
pub(crate) fn by_name(value: TypedExpr, field: &str, names: NameMatch) -> Result<TypedExpr> {
    match &value.data_type {
        DataType::Struct(fields) => {
            let index = find_field(fields, field, names)?;
            struct_field(value.clone(), index)
        }
        DataType::List(item) => match item.data_type() {
            DataType::Struct(fields) => {
                let index = find_field(fields, field, names)?;
                array_struct_field(value.clone(), index)
            }
            _ => Err(cannot_extract(&value)),
        },
        DataType::Map(_, _) => {
            let key = TypedExpr::string(field);
            map_value(value, key, &FunctionContext::default_for_extraction())
        }
        _ => Err(cannot_extract(&value)),
    }
}

fn cannot_extract(value: &TypedExpr) -> SparkError {
    SparkError::analysis(
        "INVALID_EXTRACT_BASE_FIELD_TYPE",
        &[("base", &value.sql()), ("other", &value.type_sql())],
    )
}

/// `value[key]`.
pub(crate) fn by_value(
    value: TypedExpr,
    key: TypedExpr,
    expressions: &Expressions<'_>,
    place: Option<&QueryContext>,
) -> Result<TypedExpr> {
    let context = &expressions.planner().context;
    match (&value.data_type, key.as_string_literal()) {
        (DataType::Struct(fields), Some(name)) => {
            let index = find_field(fields, name, expressions.planner().names)?;
            struct_field(value.clone(), index)
        }
        (DataType::Struct(_), None) => Err(SparkError::analysis(
            "INVALID_EXTRACT_FIELD",
            &[("field", &key.sql()), ("expr", &value.sql())],
        )),
        (DataType::List(item), Some(name)) if matches!(item.data_type(), DataType::Struct(_)) => {
            by_name(value.clone(), name, expressions.planner().names)
        }
        (DataType::List(_), _) => array_item(value, key, context, place),
        (DataType::Map(_, _), _) => map_value(value, key, context),
        _ => Err(SparkError::analysis(
            "INVALID_EXTRACT_BASE_FIELD_TYPE",
            &[("base", &value.sql()), ("other", &value.type_sql())],
        )),
    }
}

/// Field `index` of a struct.
pub(crate) fn struct_field(value: TypedExpr, index: usize) -> Result<TypedExpr> {
    let DataType::Struct(fields) = &value.data_type else {
        return Err(SparkError::internal("a field of what is no struct"));
    };
    let field = fields
        .get(index)
        .ok_or_else(|| SparkError::internal("no such field"))?;
    let expr = get_field(value.expr.clone(), field.name().as_str());
    let nullable = value.nullable || field.is_nullable();
    let name = format!("{}.{}", value.name, field.name());
    let mut typed = TypedExpr::new(expr, field.data_type().clone(), nullable, name);
    typed.metadata = field
        .metadata()
        .iter()
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    Ok(typed)
}

/// The array of one field of an array of structs.
fn array_struct_field(value: TypedExpr, index: usize) -> Result<TypedExpr> {
    let context = FunctionContext::default_for_extraction();
    let DataType::List(item) = &value.data_type else {
        return Err(SparkError::internal("elements of what is no array"));
    };
    let DataType::Struct(fields) = item.data_type() else {
        return Err(SparkError::internal("fields of what are no structs"));
    };
    let field = fields
        .get(index)
        .ok_or_else(|| SparkError::internal("no such field"))?;
    let data_type = list(
        field.data_type().clone(),
        item.is_nullable() || field.is_nullable(),
    );
    let (nullable, name) = (value.nullable, format!("{}.{}", value.name, field.name()));
    let position = TypedExpr::int(index as i32);
    let call = Call::new("get_array_struct_fields", vec![value], &context);
    let mut call = call;
    call.args.push(position);
    let kernel = Kernel::Plain(array_struct_field_kernel);
    let typed = call.kernel_with(
        "get_array_struct_fields",
        kernel,
        data_type,
        nullable,
        Volatility::Immutable,
    );
    Ok(typed.named(name))
}

fn array_struct_field_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    let structs = batch.lists(0)?;
    let Some(ScalarValue::Int32(Some(index))) = batch.constant(1) else {
        return Err(SparkError::internal("the index of a field is a constant"));
    };
    let DataType::List(item) = batch.return_type() else {
        return Err(SparkError::internal("fields of an array are an array"));
    };
    let values = structs.values().as_struct();
    let column = values.column(*index as usize);
    // A NULL struct has NULL fields, whatever the child arrays hold.
    let nulls = arrow::buffer::NullBuffer::union(values.nulls(), column.nulls());
    let data = column.to_data().into_builder().nulls(nulls).build()?;
    let column = types::relabel(&arrow::array::make_array(data), item.data_type())?;
    let (offsets, nulls) = (structs.offsets().clone(), structs.nulls().cloned());
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        offsets,
        column,
        nulls,
    )?))
}

/// `array[index]`, from zero.
fn array_item(
    value: TypedExpr,
    index: TypedExpr,
    context: &FunctionContext,
    place: Option<&QueryContext>,
) -> Result<TypedExpr> {
    let DataType::List(item) = &value.data_type else {
        return Err(SparkError::internal("an element of what is no array"));
    };
    if !types::is_integral(&index.data_type) && index.data_type != DataType::Null {
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
            &[
                (
                    "sqlExpr",
                    &quoted(format!("{}[{}]", value.name, index.name)),
                ),
                ("paramIndex", "second"),
                ("requiredType", "\"INTEGRAL\""),
                ("inputSql", &index.sql()),
                ("inputType", &index.type_sql()),
            ],
        ));
    }
    let ansi = context.eval.ansi;
    let element_nullable = value.nullable || item.is_nullable();
    let nullable = match (index.as_literal(), &value.expr) {
        // Spark looks into `array(…)` and gives up on any other array.
        (Some(literal), expr) if !literal.is_null() => match array_arity(expr) {
            Some(count) if within(literal, count) => item.is_nullable(),
            Some(_) => !ansi,
            None => true,
        },
        _ => !ansi || element_nullable || index.nullable,
    };
    let data_type = item.data_type().clone();
    let name = format!("{}[{}]", value.name, index.name);
    let index = coerce(index, &DataType::Int64, &context.eval)?;
    let mut call = Call::new("getarrayitem", vec![value, index], context);
    call.place = place.cloned();
    let kernel = Kernel::Plain(array_item_kernel);
    let typed = call.kernel_with(
        "getarrayitem",
        kernel,
        data_type,
        nullable,
        Volatility::Immutable,
    );
    Ok(typed.named(name))
}

fn array_arity(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::ScalarFunction(f) if f.name() == "array" => Some(f.args.len()),
        Expr::Literal(ScalarValue::List(list), _) => Some(list.value_length(0) as usize),
        _ => None,
    }
}

fn within(literal: &ScalarValue, count: usize) -> bool {
    let index = match literal {
        ScalarValue::Int8(Some(v)) => i64::from(*v),
        ScalarValue::Int16(Some(v)) => i64::from(*v),
        ScalarValue::Int32(Some(v)) => i64::from(*v),
        ScalarValue::Int64(Some(v)) => *v,
        _ => return false,
    };
    usize::try_from(index).is_ok_and(|i| i < count)
}

fn array_item_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    let arrays = batch.lists(0)?;
    let indexes: Int64Array = batch.typed(1)?;
    let mut picks: Vec<Option<u64>> = Vec::with_capacity(batch.len());
    for row in 0..batch.len() {
        if arrays.is_null(row) || indexes.is_null(row) {
            picks.push(None);
            continue;
        }
        let (index, count) = (indexes.value(row), i64::from(arrays.value_length(row)));
        if (0..count).contains(&index) {
            let start = arrays.value_offsets().get(row).copied().unwrap_or(0);
            picks.push(u64::try_from(i64::from(start) + index).ok());
        } else if batch.context().ansi {
            return Err(SparkError::new(
                Exception::ArrayIndexOutOfBounds,
                "INVALID_ARRAY_INDEX",
                &[
                    ("indexValue", &index.to_string()),
                    ("arraySize", &count.to_string()),
                ],
            ));
        } else {
            picks.push(None);
        }
    }
    Ok(take(arrays.values(), &UInt64Array::from(picks), None)?)
}

/// `map[key]`; NULL where the key is not there.
fn map_value(value: TypedExpr, key: TypedExpr, context: &FunctionContext) -> Result<TypedExpr> {
    let Some((key_field, value_field)) = map_fields(&value.data_type) else {
        return Err(SparkError::internal("a value of what is no map"));
    };
    let (key_type, data_type) = (
        key_field.data_type().clone(),
        value_field.data_type().clone(),
    );
    let name = format!("{}[{}]", value.name, key.name);
    let Some(common) = coercion::tightest(&key.data_type, &key_type, context.eval.ansi)
        .filter(|t| types::same_type(t, &key_type))
        .or_else(|| {
            crate::cast::can_store_assign(&key.data_type, &key_type).then(|| key_type.clone())
        })
    else {
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
            &[
                ("sqlExpr", &quoted(&name)),
                ("paramIndex", "second"),
                ("requiredType", &quoted(sql_name(&key_type))),
                ("inputSql", &key.sql()),
                ("inputType", &key.type_sql()),
            ],
        ));
    };
    let key = coerce(key, &common, &context.eval)?;
    let call = Call::new("getmapvalue", vec![value, key], context);
    let kernel = Kernel::Plain(map_value_kernel);
    let typed = call.kernel_with(
        "getmapvalue",
        kernel,
        data_type,
        true,
        Volatility::Immutable,
    );
    Ok(typed.named(name))
}

/// The value of each row's key in each row's map.
pub(crate) fn map_value_kernel(batch: &Batch<'_>) -> Result<ArrayRef> {
    let maps = batch.maps(0)?;
    let keys = batch.array(1)?;
    let compare = make_comparator(maps.keys(), &keys, SortOptions::default())?;
    let offsets = maps.value_offsets();
    let picks: UInt64Array = (0..batch.len())
        .map(|row| {
            if maps.is_null(row) || keys.is_null(row) {
                return None;
            }
            let (start, end) = (*offsets.get(row)? as usize, *offsets.get(row + 1)? as usize);
            (start..end)
                .find(|entry| compare(*entry, row).is_eq())
                .map(|entry| entry as u64)
        })
        .collect();
    Ok(take(maps.values(), &picks, None)?)
}

/// `withField` and `dropFields`: a struct with one field set, added or dropped; `a.b` reaches into nested structs.
pub(super) fn update_fields(
    expressions: &Expressions<'_>,
    update: &UpdateFields,
) -> Result<TypedExpr> {
    let base = update
        .struct_expression
        .as_deref()
        .ok_or_else(|| not_set("UpdateFields", "struct_expression"))?;
    let base = expressions.value(base)?;
    let new = match update.value_expression.as_deref() {
        Some(Expression {
            expr_type: Some(ExprType::UnresolvedStar(_)),
            ..
        })
        | None => None,
        Some(value) => Some(expressions.value(value)?),
    };
    let path = parse_attribute_name(&update.field_name)?;
    let name = format!("update_fields({})", base.name);
    let changed = update_path(base, &path, new, expressions.planner().names)?;
    Ok(changed.named(name))
}

use spark_connect_proto::Expression;

fn update_path(
    base: TypedExpr,
    path: &[String],
    new: Option<TypedExpr>,
    names: NameMatch,
) -> Result<TypedExpr> {
    let DataType::Struct(fields) = &base.data_type else {
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE",
            &[
                ("sqlExpr", &quoted(format!("update_fields({})", base.name))),
                ("paramIndex", "first"),
                ("requiredType", "\"STRUCT\""),
                ("inputSql", &base.sql()),
                ("inputType", &base.type_sql()),
            ],
        ));
    };
    let Some((name, rest)) = path.split_first() else {
        return Ok(base);
    };
    let mut parts: Vec<(String, TypedExpr)> = vec![];
    let mut found = false;
    for (index, field) in fields.iter().enumerate() {
        let current = struct_field(base.clone(), index)?;
        if !names.same(field.name(), name) {
            parts.push((field.name().clone(), current));
            continue;
        }
        found = true;
        if !rest.is_empty() {
            parts.push((
                field.name().clone(),
                update_path(current, rest, new.clone(), names)?,
            ));
        } else if let Some(new) = &new {
            parts.push((name.clone(), new.clone()));
        }
    }
    if !found {
        match (&new, rest.is_empty()) {
            (Some(new), true) => parts.push((name.clone(), new.clone())),
            (Some(_), false) => {
                find_field(fields, name, names)?;
            }
            // Dropping a field that is not there drops nothing.
            (None, _) => return Ok(base),
        }
    }
    if parts.is_empty() {
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.CANNOT_DROP_ALL_FIELDS",
            &[("sqlExpr", &quoted(format!("update_fields({})", base.name)))],
        ));
    }
    let nullable = base.nullable;
    let built = crate::functions::named_struct(parts);
    if !nullable {
        return Ok(built);
    }
    let data_type = built.data_type.clone();
    let null = datafusion::logical_expr::lit(crate::literal::null_of(&data_type)?);
    let expr = datafusion::logical_expr::when(base.expr.is_null(), null).otherwise(built.expr)?;
    Ok(TypedExpr::new(expr, data_type, true, built.name))
}
