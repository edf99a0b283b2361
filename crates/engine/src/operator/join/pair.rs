//! What a pair needs beside equal keys, answered from the columns that it reads.
//!
//! Most of what a probe finds by key is often turned down by the times, so the rows are put together only for the pairs
//! that are accepted: the condition itself has a batch of its own columns.
use std::{fmt, sync::Arc};

use arrow::{
    array::{BooleanArray, RecordBatch, UInt32Array},
    compute::take,
    datatypes::{Schema, SchemaRef},
};
use datafusion::{
    common::{
        Result, internal_datafusion_err,
        tree_node::{Transformed, TreeNode},
    },
    physical_expr::{PhysicalExpr, expressions::Column, utils::collect_columns},
};
use millstream_state::FoundEntries;

use super::{
    layout::{SideLayout, with_rows},
    run::{Side, answers},
};
use crate::batch::external;

/// A condition on a left and a right row.
#[derive(Debug, Clone)]
pub(super) struct PairCondition {
    /// Over `schema`.
    condition: Arc<dyn PhysicalExpr>,
    schema: SchemaRef,
    /// Where each column of `schema` is from: a side, and the number of the column in its row.
    columns: Vec<(Side, usize)>,
}

impl PairCondition {
    /// From a condition over the columns of the `left` row, then those of the `right` one.
    pub(super) fn try_new(
        condition: Arc<dyn PhysicalExpr>,
        left: &Schema,
        right: &Schema,
    ) -> Result<Self> {
        let mut read: Vec<usize> = collect_columns(&condition)
            .iter()
            .map(Column::index)
            .collect();
        read.sort_unstable();
        read.dedup();
        let condition = condition.transform(|expr| {
            let Some(column) = expr.downcast_ref::<Column>() else {
                return Ok(Transformed::no(expr));
            };
            let index = read
                .binary_search(&column.index())
                .map_err(|_| internal_datafusion_err!("a column of a join's condition is lost"))?;
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(column.name(), index));
            Ok(Transformed::yes(column))
        })?;
        let lefts = left.fields().len();
        let columns: Vec<_> = read
            .iter()
            .map(|index| match index.checked_sub(lefts) {
                None => (Side::Left, *index),
                Some(index) => (Side::Right, index),
            })
            .collect();
        let fields = columns.iter().map(|(side, column)| {
            let row = side.of(&[left, right]).fields();
            row.get(*column).cloned().ok_or_else(|| {
                internal_datafusion_err!("a join's condition reads a column that is not there")
            })
        });
        Ok(Self {
            condition: condition.data,
            schema: Arc::new(Schema::new(fields.collect::<Result<Vec<_>>>()?)),
            columns,
        })
    }

    /// Which of the `found` entries, whose rows lie as `theirs` says, make pairs with the rows of `side` that asked for them.
    pub(super) fn accepts(
        &self,
        side: Side,
        rows: &RecordBatch,
        found: &dyn FoundEntries,
        theirs: &SideLayout,
    ) -> Result<BooleanArray> {
        let asked: &UInt32Array = found.asked();
        let places: Vec<usize> = self
            .columns
            .iter()
            .filter(|(of, _)| *of != side)
            .map(|(_, column)| theirs.place(*column))
            .collect::<Result<_>>()?;
        let mut entries = found.columns(&places).map_err(external)?.into_iter();
        let columns = self.columns.iter().map(|(of, column)| match *of == side {
            true => Ok(take(rows.column(*column), asked, None)?),
            false => entries
                .next()
                .ok_or_else(|| internal_datafusion_err!("a join's entries have too few columns")),
        });
        let columns = columns.collect::<Result<Vec<_>>>()?;
        answers(
            &self.condition,
            &with_rows(&self.schema, columns, asked.len())?,
        )
    }
}

impl fmt::Display for PairCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.condition.fmt(f)
    }
}
