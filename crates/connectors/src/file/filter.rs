//! Conditions that a scan of files applies itself.
//!
//! | condition | applied to |
//! |---|---|
//! | on partition columns alone | each file before it is opened: a file that fails it is not read |
//! | a comparison of a CSV column with constants | each row as it is parsed |
//! | the same of a JSON column | each record that has all columns of the condition; the others count as input, and are dropped above the scan |
//!
//! What is applied here decides what counts as input, which users see as `numInputRows`, so the conditions are exactly
//! those that Spark hands to its readers: comparisons, `IN`, `IS NULL`, `LIKE 'a%'` and their combinations. Whatever
//! computes with a column stays above the scan, where its errors belong too.
use std::{collections::HashMap, sync::Arc};

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch, RecordBatchOptions},
    compute::{and, filter_record_batch, is_null, or, prep_null_mask_filter},
    datatypes::{DataType, Field, Schema},
};
use datafusion::{
    common::{
        DFSchema, ScalarValue, internal_datafusion_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    error::Result,
    logical_expr::{Expr, ExprSchemable, Operator, TableProviderFilterPushDown},
    physical_expr::expressions::Column,
    physical_plan::PhysicalExpr,
};

/// The columns that conditions may be on.
#[derive(Debug)]
pub(super) struct Filterable<'a> {
    /// Columns of the paths.
    pub partition_columns: &'a [Field],
    /// All columns of a row.
    pub schema: &'a Schema,
    /// Which rows are compared as they are parsed.
    pub rows: RowConditions,
    /// The column that holds a record which could not be parsed; known only after parsing.
    pub corrupt_column: &'a str,
}

/// Which rows conditions are applied to as they are parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum RowConditions {
    /// None.
    #[default]
    Never,
    /// All rows.
    Always,
    /// Rows whose columns of the condition are there: a parser that compares a value when it meets it says nothing of values
    /// that it never meets.
    Present,
}

impl RowConditions {
    /// What Spark's reader of a format does.
    pub(super) fn of(format: &str) -> Self {
        match format {
            "json" => Self::Present,
            "csv" => Self::Always,
            _ => Self::Never,
        }
    }
}

impl Filterable<'_> {
    /// Whether the scan applies the condition.
    pub(super) fn applies(&self, filter: &Expr) -> TableProviderFilterPushDown {
        if only_uses(filter, self.partition_columns) {
            return TableProviderFilterPushDown::Exact;
        }
        let sound = filter
            .column_refs()
            .iter()
            .all(|column| column.name() != self.corrupt_column);
        if !sound || filter.column_refs().is_empty() || !self.compares(filter) {
            return TableProviderFilterPushDown::Unsupported;
        }
        match self.rows {
            RowConditions::Never => TableProviderFilterPushDown::Unsupported,
            RowConditions::Always => TableProviderFilterPushDown::Exact,
            RowConditions::Present => TableProviderFilterPushDown::Inexact,
        }
    }

    fn compares(&self, filter: &Expr) -> bool {
        match filter {
            Expr::BinaryExpr(both) if matches!(both.op, Operator::And | Operator::Or) => {
                self.compares(&both.left) && self.compares(&both.right)
            }
            Expr::BinaryExpr(both) if is_comparison(both.op) => {
                let sides = [(&both.left, &both.right), (&both.right, &both.left)];
                sides
                    .iter()
                    .any(|(column, value)| self.is_column(column) && is_constant(value))
            }
            Expr::Not(inner) => self.compares(inner),
            Expr::IsNull(inner)
            | Expr::IsNotNull(inner)
            | Expr::IsTrue(inner)
            | Expr::IsFalse(inner) => matches!(**inner, Expr::Column(_)),
            Expr::InList(list) => self.is_column(&list.expr) && list.list.iter().all(is_constant),
            Expr::Column(column) => {
                self.type_of(&Expr::Column(column.clone())) == Some(DataType::Boolean)
            }
            Expr::ScalarFunction(call) => match (call.name(), call.args.as_slice()) {
                ("startswith" | "endswith" | "contains", [Expr::Column(_), text]) => {
                    is_constant(text)
                }
                ("like", [Expr::Column(_), Expr::Literal(pattern, _)]) => is_affix(pattern),
                _ => false,
            },
            _ => false,
        }
    }

    /// A column, or a number widened for the comparison.
    fn is_column(&self, expr: &Expr) -> bool {
        let widened = match expr {
            Expr::Column(_) => return true,
            Expr::Cast(cast) => cast.expr.as_ref(),
            Expr::ScalarFunction(call) if call.name() == "spark_cast" => match call.args.as_slice()
            {
                [one] => one,
                _ => return false,
            },
            _ => return false,
        };
        let numeric = |expr: &Expr| self.type_of(expr).is_some_and(|t| t.is_numeric());
        matches!(widened, Expr::Column(_)) && numeric(widened) && numeric(expr)
    }

    fn type_of(&self, expr: &Expr) -> Option<DataType> {
        let schema = DFSchema::try_from(self.schema.clone()).ok()?;
        let bare = datafusion::logical_expr::expr_rewriter::unnormalize_col(expr.clone());
        bare.get_type(&schema).ok()
    }
}

fn is_comparison(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsNotDistinctFrom
    )
}

fn is_constant(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(_, _))
}

/// Whether a LIKE pattern asks for a text, a beginning, an end or a piece in between.
fn is_affix(pattern: &ScalarValue) -> bool {
    let ScalarValue::Utf8(Some(pattern)) = pattern else {
        return false;
    };
    let inner = pattern.strip_prefix('%').unwrap_or(pattern);
    let inner = inner.strip_suffix('%').unwrap_or(inner);
    !inner.contains(['%', '_', '\\'])
}

/// Whether the condition is on these columns alone, and always gives the same.
pub(super) fn only_uses(filter: &Expr, columns: &[Field]) -> bool {
    let used = filter.column_refs();
    !filter.is_volatile()
        && !used.is_empty()
        && used
            .iter()
            .all(|column| columns.iter().any(|field| field.name() == column.name()))
}

/// The conditions of one scan, bound to what it reads.
#[derive(Debug, Default)]
pub(super) struct RowFilter {
    /// Over the partition columns.
    files: Vec<Arc<dyn PhysicalExpr>>,
    /// Over the columns read.
    rows: Vec<Arc<dyn PhysicalExpr>>,
    /// Which rows those are applied to.
    applied_to: RowConditions,
}

impl RowFilter {
    /// Splits the conditions of a scan of `schema`, whose columns from `partitions` on are in the paths. Columns that only
    /// conditions on rows read are added to `read`.
    pub(super) fn new(
        filters: &[Arc<dyn PhysicalExpr>],
        applied_to: RowConditions,
        partitions: std::ops::Range<usize>,
        read: &mut Vec<usize>,
    ) -> Result<Self> {
        let mut files = vec![];
        let mut rows = vec![];
        for filter in filters {
            let used = columns_of(filter)?;
            if used.iter().all(|column| partitions.contains(column)) {
                let start = partitions.start;
                files.push(rebound(filter, &|column| column.checked_sub(start))?);
                continue;
            }
            read.extend(
                used.into_iter()
                    .filter(|column| !read.contains(column))
                    .collect::<Vec<_>>(),
            );
            rows.push(filter);
        }
        let places: HashMap<usize, usize> =
            read.iter().enumerate().map(|(at, c)| (*c, at)).collect();
        let rows = rows
            .into_iter()
            .map(|filter| rebound(filter, &|column| places.get(&column).copied()))
            .collect::<Result<_>>()?;
        Ok(Self {
            files,
            rows,
            applied_to,
        })
    }

    /// Whether a file with these partition values may hold rows that are wanted.
    pub(super) fn admits(&self, columns: &[Field], values: &[ScalarValue]) -> Result<bool> {
        if self.files.is_empty() {
            return Ok(true);
        }
        let arrays = values.iter().map(|value| value.to_array_of_size(1));
        let file = RecordBatch::try_new_with_options(
            Arc::new(Schema::new(columns.to_vec())),
            arrays.collect::<Result<_>>()?,
            &RecordBatchOptions::new().with_row_count(Some(1)),
        )?;
        Ok(
            kept(&self.files, RowConditions::Always, &file)?
                .is_none_or(|file| file.num_rows() == 1),
        )
    }

    /// The rows that are wanted.
    pub(super) fn apply(&self, rows: RecordBatch) -> Result<RecordBatch> {
        Ok(kept(&self.rows, self.applied_to, &rows)?.unwrap_or(rows))
    }
}

/// The rows that meet all conditions; `None` if there are none to meet.
fn kept(
    filters: &[Arc<dyn PhysicalExpr>],
    applied_to: RowConditions,
    rows: &RecordBatch,
) -> Result<Option<RecordBatch>> {
    let mut all = None;
    for filter in filters {
        let verdicts = filter.evaluate(rows)?.into_array(rows.num_rows())?;
        let verdicts = verdicts
            .as_boolean_opt()
            .ok_or_else(|| internal_datafusion_err!("the condition {filter} is not a boolean"))?;
        let verdicts = match verdicts.nulls() {
            Some(_) => prep_null_mask_filter(verdicts),
            None => verdicts.clone(),
        };
        let verdicts = match applied_to {
            RowConditions::Present => or(&verdicts, &lacking(filter, rows)?)?,
            _ => verdicts,
        };
        all = Some(match all {
            Some(before) => and(&before, &verdicts)?,
            None => verdicts,
        });
    }
    Ok(match all {
        Some(verdicts) if verdicts.true_count() < rows.num_rows() => {
            Some(filter_record_batch(rows, &verdicts)?)
        }
        _ => None,
    })
}

/// The rows that have not all columns of a condition.
fn lacking(filter: &Arc<dyn PhysicalExpr>, rows: &RecordBatch) -> Result<BooleanArray> {
    let mut lacking = BooleanArray::from(vec![false; rows.num_rows()]);
    for column in columns_of(filter)? {
        let column = rows
            .columns()
            .get(column)
            .ok_or_else(|| internal_datafusion_err!("a column of {filter} is not read"))?;
        if column.null_count() > 0 {
            lacking = or(&lacking, &is_null(column)?)?;
        }
    }
    Ok(lacking)
}

fn columns_of(filter: &Arc<dyn PhysicalExpr>) -> Result<Vec<usize>> {
    let mut used = vec![];
    filter.apply(|expr| {
        let any: &dyn std::any::Any = expr.as_ref();
        if let Some(column) = any.downcast_ref::<Column>() {
            used.push(column.index());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    used.sort_unstable();
    used.dedup();
    Ok(used)
}

/// The condition with every column at its new place.
fn rebound(
    filter: &Arc<dyn PhysicalExpr>,
    place: &dyn Fn(usize) -> Option<usize>,
) -> Result<Arc<dyn PhysicalExpr>> {
    Arc::clone(filter)
        .transform(|expr| {
            let any: &dyn std::any::Any = expr.as_ref();
            let Some(column) = any.downcast_ref::<Column>() else {
                return Ok(Transformed::no(expr));
            };
            let at = place(column.index()).ok_or_else(|| {
                internal_datafusion_err!("the column {column} of a condition is not read")
            })?;
            Ok(Transformed::yes(
                Arc::new(Column::new(column.name(), at)) as Arc<dyn PhysicalExpr>
            ))
        })
        .data()
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{binary_expr, col, lit};

    use super::*;

    fn applies(filter: &Expr) -> bool {
        let schema = Schema::new(vec![
            Field::new("v", DataType::Int32, true),
            Field::new("k", DataType::Utf8, true),
            Field::new("bad", DataType::Utf8, true),
            Field::new("day", DataType::Utf8, true),
        ]);
        let day = [schema.field(3).clone()];
        let of = |rows| Filterable {
            partition_columns: &day,
            schema: &schema,
            rows,
            corrupt_column: "bad",
        };
        let applies = |rows| of(rows).applies(filter) != TableProviderFilterPushDown::Unsupported;
        assert!(
            !filter.column_refs().iter().any(|c| c.name() != "day")
                || !applies(RowConditions::Never)
        );
        applies(RowConditions::Always)
    }

    #[test]
    fn comparisons_with_constants_are_applied() {
        assert!(applies(&col("v").gt(lit(4))));
        assert!(applies(&lit(4).lt(col("v"))));
        assert!(applies(&col("v").gt(lit(4)).or(col("k").is_null())));
        assert!(applies(
            &datafusion::logical_expr::cast(col("v"), DataType::Int64).gt(lit(4_i64))
        ));
        assert!(applies(&col("v").in_list(vec![lit(1), lit(2)], true)));
    }

    #[test]
    fn what_computes_with_a_column_stays_above_the_scan() {
        assert!(!applies(&(col("v") + lit(1)).gt(lit(4))));
        assert!(!applies(&col("v").gt(col("v"))));
        assert!(!applies(
            &datafusion::logical_expr::cast(col("v"), DataType::Utf8).eq(lit("4"))
        ));
        assert!(!applies(&col("bad").is_null()));
        assert!(!applies(&lit(false)));
    }

    #[test]
    fn any_condition_on_partition_columns_is_applied() {
        assert!(applies(
            &binary_expr(col("day"), Operator::StringConcat, lit("x")).eq(lit("ax"))
        ));
    }

    #[test]
    fn a_pattern_is_pushed_if_it_is_a_text_with_free_ends() {
        let affix = |pattern: &str| is_affix(&ScalarValue::from(pattern));
        assert!(affix("a") && affix("a%") && affix("%a") && affix("%a%") && affix("%"));
        assert!(!affix("a_") && !affix("a%b") && !affix("\\%"));
    }

    #[test]
    fn conditions_on_rows_add_the_columns_they_read() {
        let filter: Arc<dyn PhysicalExpr> = Arc::new(Column::new("flag", 3));
        let mut read = vec![1];
        let bound = |applied_to, read: &mut Vec<usize>| {
            RowFilter::new(&[Arc::clone(&filter)], applied_to, 5..5, read).unwrap()
        };
        let always = bound(RowConditions::Always, &mut read);
        let present = bound(RowConditions::Present, &mut read);
        assert_eq!(read, [1, 3]);
        let schema = Schema::new(vec![
            Field::new("v", DataType::Int32, true),
            Field::new("flag", DataType::Boolean, true),
        ]);
        let rows = RecordBatch::try_new(
            Arc::new(schema),
            vec![
                Arc::new(arrow::array::Int32Array::from(vec![1, 2, 3])),
                Arc::new(arrow::array::BooleanArray::from(vec![
                    Some(true),
                    None,
                    Some(false),
                ])),
            ],
        )
        .unwrap();
        assert_eq!(always.apply(rows.clone()).unwrap().num_rows(), 1);
        // A record without the flag counts as input.
        assert_eq!(present.apply(rows).unwrap().num_rows(), 2);
    }
}
