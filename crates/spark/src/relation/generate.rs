//! Generators in select lists, as unnests.
//!
//! ```text
//!   Projection: *, get_field(entry, 'key') AS key, …     maps and arrays of structs only
//!     Unnest: list [, positions]
//!       Projection: *, list expression AS list [, positions(list) AS positions]
//! ```
//!
//! A row whose list is NULL or empty gives no row; with an outer generator it gives one row of NULLs, because the list is
//! replaced by one NULL element first. Several generators in one list follow each other: every combination is a row.
use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, Int32Array, ListArray, UInt64Array},
    buffer::OffsetBuffer,
    compute::take,
    datatypes::DataType,
};
use datafusion::{
    common::UnnestOptions,
    functions::core::expr_fn::get_field,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Volatility},
};

use super::project::{NamedColumn, projection_of};
use crate::{
    error::{Result, SparkError},
    expression::SelectItem,
    functions::{Batch, Call, Generator, GeneratorKind, Kernel},
    planner::Planner,
    scope::Resolved,
    typed::TypedExpr,
    types::{list, map_fields, relabel},
};

impl Planner<'_> {
    /// The plan with all generators of a select list applied, and the list with their columns in their places.
    pub(super) fn generate(
        &self,
        input: &Resolved,
        items: Vec<SelectItem>,
    ) -> Result<(LogicalPlan, Vec<NamedColumn>)> {
        let mut plan = input.plan.clone();
        let mut columns = vec![];
        for item in items {
            match item {
                SelectItem::Column {
                    name,
                    value,
                    aliased,
                } => columns.push((name, value, aliased)),
                SelectItem::Generator { generator, names } => {
                    let (next, made) = self.unnest(plan, &generator)?;
                    plan = next;
                    for (index, value) in made.into_iter().enumerate() {
                        let own = generator
                            .columns
                            .get(index)
                            .map(|(n, _, _)| n.clone())
                            .unwrap_or_default();
                        let name = names.get(index).cloned().unwrap_or(own);
                        columns.push((name, value, true));
                    }
                }
            }
        }
        Ok((plan, columns))
    }

    /// The plan with a generator's rows, and the values of its columns.
    pub(super) fn unnest(
        &self,
        plan: LogicalPlan,
        generator: &Generator,
    ) -> Result<(LogicalPlan, Vec<TypedExpr>)> {
        let base = self.base_list(generator)?;
        let elements = self.padded(base.clone(), generator.outer)?;
        let list_column = self.ids.column("generated");
        let mut columns: Vec<Expr> = plan
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        let mut unnested = vec![list_column.clone()];
        let DataType::List(item) = elements.data_type.clone() else {
            return Err(SparkError::internal("a generator over what is no list"));
        };
        columns.push(elements.expr.clone().alias(list_column.name()));
        let position = self.ids.column("position");
        if generator.position {
            let nullable = base.nullable;
            let call = Call::new("positions", vec![base], &self.context);
            let data_type = list(DataType::Int32, false);
            let kernel = Kernel::Plain(positions);
            let positions = call.kernel_with(
                "positions",
                kernel,
                data_type,
                nullable,
                Volatility::Immutable,
            );
            let positions = self.padded(positions, generator.outer)?;
            columns.push(positions.expr.alias(position.name()));
            unnested.insert(0, position.clone());
        }
        let plan = LogicalPlanBuilder::from(projection_of(columns, plan)?)
            .unnest_columns_with_options(unnested, UnnestOptions::new().with_preserve_nulls(false))?
            .build()?;
        let mut values = vec![];
        let mut wanted = generator.columns.iter();
        if generator.position
            && let Some((name, data_type, nullable)) = wanted.next()
        {
            values.push(TypedExpr::new(
                Expr::Column(position),
                data_type.clone(),
                *nullable,
                name,
            ));
        }
        let element = Expr::Column(list_column);
        for (index, (name, data_type, nullable)) in wanted.enumerate() {
            let expr = match generator.kind {
                GeneratorKind::Array => element.clone(),
                GeneratorKind::Map | GeneratorKind::Inline => {
                    let DataType::Struct(fields) = item.data_type() else {
                        return Err(SparkError::internal("entries that are no structs"));
                    };
                    let field = fields
                        .get(index)
                        .ok_or_else(|| SparkError::internal("no such field"))?;
                    get_field(element.clone(), field.name().as_str())
                }
            };
            values.push(TypedExpr::new(expr, data_type.clone(), *nullable, name));
        }
        Ok((plan, values))
    }

    /// What is unnested, as a list.
    fn base_list(&self, generator: &Generator) -> Result<TypedExpr> {
        let mut value = generator.input.clone();
        if let Some((key, mapped)) = map_fields(&value.data_type) {
            let entry = crate::types::structure([
                ("key", key.data_type().clone(), generator.outer),
                (
                    "value",
                    mapped.data_type().clone(),
                    mapped.is_nullable() || generator.outer,
                ),
            ]);
            let call = Call::new("map_entries_list", vec![value.clone()], &self.context);
            let data_type = list(entry, generator.outer);
            let kernel = Kernel::Plain(entries);
            value = call.kernel_with(
                "map_entries_list",
                kernel,
                data_type,
                value.nullable,
                Volatility::Immutable,
            );
        }
        Ok(value)
    }

    /// The list, with one NULL where it has no elements if the generator is an outer one.
    fn padded(&self, value: TypedExpr, outer: bool) -> Result<TypedExpr> {
        if !outer {
            return Ok(value);
        }
        let DataType::List(item) = &value.data_type else {
            return Err(SparkError::internal("a generator over what is no list"));
        };
        let data_type = list(item.data_type().clone(), true);
        let call = Call::new("outer_elements", vec![value], &self.context);
        let kernel = Kernel::Plain(outer_elements);
        Ok(call.kernel_with(
            "outer_elements",
            kernel,
            data_type,
            false,
            Volatility::Immutable,
        ))
    }
}

/// The entries of a map as a list of structs.
fn entries(batch: &Batch<'_>) -> Result<ArrayRef> {
    let maps = batch.maps(0)?;
    let DataType::List(item) = batch.return_type() else {
        return Err(SparkError::internal("entries are a list"));
    };
    let inner: ArrayRef = Arc::new(maps.entries().clone());
    let inner = relabel(&inner, item.data_type())?;
    let (offsets, nulls) = (maps.offsets().clone(), maps.nulls().cloned());
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        offsets,
        inner,
        nulls,
    )?))
}

/// Lists with one NULL element where they were NULL or empty.
fn outer_elements(batch: &Batch<'_>) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let DataType::List(item) = batch.return_type() else {
        return Err(SparkError::internal("elements are a list"));
    };
    let offsets = lists.value_offsets();
    let mut picks: Vec<Option<u64>> = Vec::with_capacity(lists.values().len());
    let mut lengths = Vec::with_capacity(batch.len());
    for row in 0..batch.len() {
        let (start, end) = match (offsets.get(row), offsets.get(row + 1)) {
            (Some(s), Some(e)) if lists.is_valid(row) => (*s as u64, *e as u64),
            _ => (0, 0),
        };
        if start == end {
            picks.push(None);
        }
        picks.extend((start..end).map(Some));
        lengths.push((end - start).max(1) as usize);
    }
    let values = take(lists.values(), &UInt64Array::from(picks), None)?;
    let values = relabel(&values, item.data_type())?;
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        OffsetBuffer::from_lengths(lengths),
        values,
        None,
    )?))
}

/// `[0, 1, …]` as long as each list.
fn positions(batch: &Batch<'_>) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let DataType::List(item) = batch.return_type() else {
        return Err(SparkError::internal("positions are a list"));
    };
    let mut values: Vec<i32> = Vec::with_capacity(lists.values().len());
    let mut lengths = Vec::with_capacity(batch.len());
    for row in 0..batch.len() {
        let length = if lists.is_valid(row) {
            lists.value_length(row).max(0)
        } else {
            0
        };
        values.extend(0..length);
        lengths.push(length as usize);
    }
    let values: ArrayRef = Arc::new(Int32Array::from(values));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(
        Arc::clone(item),
        offsets,
        values,
        lists.nulls().cloned(),
    )?))
}
