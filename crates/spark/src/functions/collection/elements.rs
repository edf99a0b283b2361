//! What the functions of this family share: where the elements of a row are, building new arrays out of old elements, and
//! the equality Spark compares elements with.
use std::{ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Float32Array, Float64Array, ListArray, MapArray, StructArray,
        make_array, new_empty_array, new_null_array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::interleave,
    datatypes::{DataType, Float32Type, Float64Type},
};

use crate::{
    coercion,
    error::{Result, SparkError, quoted_id},
    functions::{Call, rows::with_args},
    typed::TypedExpr,
    types::{is_orderable, list, relabel},
};

/// Where the elements or entries of a row are in the values below.
pub(super) trait Spans {
    /// Places of the elements of `row`; `None` if the row is NULL.
    fn span(&self, row: usize) -> Option<Range<usize>>;
}

fn between(offsets: &[i32], row: usize) -> Option<Range<usize>> {
    let (start, end) = (*offsets.get(row)?, *offsets.get(row + 1)?);
    Some(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

impl Spans for ListArray {
    fn span(&self, row: usize) -> Option<Range<usize>> {
        if self.is_null(row) {
            None
        } else {
            between(self.value_offsets(), row)
        }
    }
}

impl Spans for MapArray {
    fn span(&self, row: usize) -> Option<Range<usize>> {
        if self.is_null(row) {
            None
        } else {
            between(self.value_offsets(), row)
        }
    }
}

/// Whether element `index` is NULL, VOID included.
pub(super) fn null_test(values: &ArrayRef) -> impl Fn(usize) -> bool + use<> {
    let nulls = values.logical_nulls();
    move |index| nulls.as_ref().is_some_and(|n| n.is_null(index))
}

/// Arrays made of elements of other arrays, row after row. Elements are only named here, and copied once at the end.
pub(super) struct Gathered {
    sources: Vec<ArrayRef>,
    picks: Vec<(usize, usize)>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
    started: usize,
    nulls_used: bool,
}

impl Gathered {
    /// Elements come from `sources`.
    pub(super) fn new(sources: Vec<ArrayRef>, rows: usize) -> Self {
        Self {
            sources,
            picks: vec![],
            lengths: Vec::with_capacity(rows),
            valid: Vec::with_capacity(rows),
            started: 0,
            nulls_used: false,
        }
    }

    /// Element `index` of source `source` comes next.
    pub(super) fn push(&mut self, source: usize, index: usize) {
        self.picks.push((source, index));
    }

    /// A stretch of source `source` comes next.
    pub(super) fn extend(&mut self, source: usize, span: Range<usize>) {
        self.picks.extend(span.map(|index| (source, index)));
    }

    /// A NULL element comes next.
    pub(super) fn push_null(&mut self) {
        self.nulls_used = true;
        self.picks.push((self.sources.len(), 0));
    }

    /// Ends an array.
    pub(super) fn end(&mut self) {
        self.lengths.push(self.picks.len() - self.started);
        self.started = self.picks.len();
        self.valid.push(true);
    }

    /// Adds a NULL instead of an array.
    pub(super) fn end_null(&mut self) {
        self.lengths.push(0);
        self.valid.push(false);
    }

    /// The elements, and how they are divided.
    pub(super) fn parts(
        self,
        element: &DataType,
    ) -> Result<(ArrayRef, OffsetBuffer<i32>, Option<NullBuffer>)> {
        let mut sources = self
            .sources
            .iter()
            .map(|s| relabel(s, element))
            .collect::<Result<Vec<ArrayRef>>>()?;
        if self.nulls_used {
            sources.push(new_null_array(element, 1));
        }
        let values = if self.picks.is_empty() {
            new_empty_array(element)
        } else {
            let refs: Vec<&dyn Array> = sources.iter().map(AsRef::as_ref).collect();
            interleave(&refs, &self.picks)?
        };
        let nulls = (!self.valid.iter().all(|v| *v)).then(|| NullBuffer::from(self.valid));
        Ok((values, OffsetBuffer::from_lengths(self.lengths), nulls))
    }

    /// The arrays, of type `data_type`.
    pub(super) fn finish(self, data_type: &DataType) -> Result<ArrayRef> {
        let DataType::List(item) = data_type else {
            return Err(SparkError::internal("elements make an array"));
        };
        let (values, offsets, nulls) = self.parts(item.data_type())?;
        Ok(Arc::new(ListArray::try_new(
            Arc::clone(item),
            offsets,
            values,
            nulls,
        )?))
    }
}

/// The same values such that equal ones have equal bytes: one NaN, and no negative zero.
pub(super) fn comparable(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Float32 => {
            let one = |v: f32| if v.is_nan() { f32::NAN } else { v + 0.0 };
            Arc::new(
                array
                    .as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(one),
            ) as Arc<Float32Array>
        }
        DataType::Float64 => {
            let one = |v: f64| if v.is_nan() { f64::NAN } else { v + 0.0 };
            Arc::new(
                array
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(one),
            ) as Arc<Float64Array>
        }
        DataType::List(item) if has_floats(array.data_type()) => {
            let lists = array.as_list::<i32>();
            let values = comparable(lists.values())?;
            let (offsets, nulls) = (lists.offsets().clone(), lists.nulls().cloned());
            Arc::new(ListArray::try_new(
                Arc::clone(item),
                offsets,
                values,
                nulls,
            )?)
        }
        DataType::Struct(fields) if has_floats(array.data_type()) => {
            let structs = array.as_struct();
            let columns = structs
                .columns()
                .iter()
                .map(comparable)
                .collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new(
                fields.clone(),
                columns,
                structs.nulls().cloned(),
            )?)
        }
        _ => make_array(array.to_data()),
    })
}

fn has_floats(data_type: &DataType) -> bool {
    match data_type {
        DataType::Float32 | DataType::Float64 => true,
        DataType::List(item) => has_floats(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|f| has_floats(f.data_type())),
        _ => false,
    }
}

/// The element field of argument `index`, which must be an array.
pub(super) fn item_of(call: &Call<'_>, index: usize) -> Result<(DataType, bool)> {
    match &call.arg(index)?.data_type {
        DataType::List(item) => Ok((item.data_type().clone(), item.is_nullable())),
        _ => Err(call.unexpected_type(index, "\"ARRAY\"")),
    }
}

/// Refuses elements that have no order.
pub(super) fn require_order(call: &Call<'_>, data_type: &DataType) -> Result<()> {
    if is_orderable(data_type) {
        return Ok(());
    }
    Err(call.mismatch(
        "INVALID_ORDERING_TYPE",
        &[
            ("functionName", &quoted_id(&call.shown)),
            (
                "dataType",
                &crate::error::quoted(crate::types::sql_name(data_type)),
            ),
        ],
    ))
}

/// The call with its array (argument 0) and its value (argument `index`) cast to a common element type. Spark casts only
/// what loses nothing here, and never from or to text.
pub(super) fn with_common_element<'a>(
    call: &Call<'a>,
    index: usize,
) -> Result<(Call<'a>, DataType)> {
    let (element, contains_null) = item_of(call, 0)?;
    let value = call.arg(index)?;
    let Some(common) = coercion::tightest(&element, &value.data_type, false) else {
        return Err(call.mismatch(
            "ARRAY_FUNCTION_DIFF_TYPES",
            &[
                ("functionName", &quoted_id(&call.shown)),
                ("dataType", "\"ARRAY\""),
                ("leftType", &call.arg(0)?.type_sql()),
                ("rightType", &value.type_sql()),
            ],
        ));
    };
    let context = &call.context.eval;
    let mut args = call.args.clone();
    if let Some(slot) = args.first_mut() {
        *slot = crate::cast::coerce(slot.clone(), &list(common.clone(), contains_null), context)?;
    }
    if let Some(slot) = args.get_mut(index) {
        *slot = crate::cast::coerce(slot.clone(), &common, context)?;
    }
    Ok((with_args(call, args), common))
}

/// Two arrays cast to a common element type.
pub(super) fn with_common_arrays<'a>(call: &Call<'a>) -> Result<(Call<'a>, DataType)> {
    let (left, right) = (call.arg(0)?, call.arg(1)?);
    let common = match (&left.data_type, &right.data_type) {
        (DataType::List(l), DataType::List(r)) => {
            coercion::tightest(l.data_type(), r.data_type(), false)
                .map(|t| (t, l.is_nullable(), r.is_nullable()))
        }
        _ => None,
    };
    let Some((common, l, r)) = common else {
        return Err(call.mismatch(
            "BINARY_ARRAY_DIFF_TYPES",
            &[
                ("functionName", &quoted_id(&call.shown)),
                ("arrayType", "\"ARRAY\""),
                ("leftType", &left.type_sql()),
                ("rightType", &right.type_sql()),
            ],
        ));
    };
    require_order(call, &common)?;
    let context = &call.context.eval;
    let args: Vec<TypedExpr> = vec![
        crate::cast::coerce(left.clone(), &list(common.clone(), l), context)?,
        crate::cast::coerce(right.clone(), &list(common.clone(), r), context)?,
    ];
    Ok((with_args(call, args), common))
}
