//! `show()`: the rows of a DataFrame as one text.
//!
//! The rows are fetched while the plan is resolved: the result is a table of one row, as Spark's is.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder};
use millstream_connectors::console::TableText;
use spark_connect_proto::{HtmlString, ShowString};

use super::{filter::streaming_action, input};
use crate::{
    cast::{ToStringStyle, display_strings},
    error::{Result, SparkError},
    planner::Planner,
    scope::Resolved,
};

impl Planner<'_> {
    pub(super) fn show_string(&self, node: &ShowString) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "ShowString")?)?;
        let wanted = usize::try_from(node.num_rows).unwrap_or(0);
        let (schema, batches) = self.head(&rows, wanted)?;
        let table = TableText {
            num_rows: wanted,
            truncate: usize::try_from(node.truncate).unwrap_or(0),
            vertical: node.vertical,
            zone: self.context.eval.zone()?,
        };
        let text = table
            .format(&schema, &batches)
            .map_err(SparkError::internal)?;
        text_row(self, "show_string", text)
    }

    pub(super) fn html_string(&self, node: &HtmlString) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "HtmlString")?)?;
        let wanted = usize::try_from(node.num_rows).unwrap_or(0);
        let (schema, batches) = self.head(&rows, wanted)?;
        let text = self.html(&schema, &batches, wanted, node.truncate)?;
        text_row(self, "html_string", text)
    }

    /// The first rows and one more, so that it is known whether there are more.
    fn head(&self, rows: &Resolved, wanted: usize) -> Result<(SchemaRef, Vec<RecordBatch>)> {
        if rows.is_streaming {
            return Err(streaming_action());
        }
        let columns = rows.columns().into_iter().map(Expr::Column);
        let plan = LogicalPlanBuilder::from(rows.plan.clone())
            .limit(0, Some(wanted.saturating_add(1)))?
            .build()?;
        let plan = super::project::projection_of(columns.collect(), plan)?;
        let head = rows.with_plan(plan);
        let batches = self.catalog.collect(&head)?;
        let fields: Vec<Field> = rows
            .output
            .iter()
            .map(|a| a.field().as_ref().clone().with_nullable(true))
            .collect();
        let schema: SchemaRef = Arc::new(Schema::new(fields));
        let batches = batches
            .into_iter()
            .map(|b| {
                let options = RecordBatchOptions::new().with_row_count(Some(b.num_rows()));
                RecordBatch::try_new_with_options(
                    Arc::clone(&schema),
                    b.columns().to_vec(),
                    &options,
                )
            })
            .collect::<std::result::Result<Vec<_>, _>>()?;
        Ok((schema, batches))
    }

    fn html(
        &self,
        schema: &SchemaRef,
        batches: &[RecordBatch],
        wanted: usize,
        truncate: i32,
    ) -> Result<String> {
        let escape = |t: &str| {
            t.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
        };
        let head: Vec<String> = schema
            .fields()
            .iter()
            .map(|f| format!("<th>{}</th>", escape(f.name())))
            .collect();
        let mut lines = vec![
            "<table border='1'>".to_string(),
            format!("<tr>{}</tr>", head.concat()),
        ];
        let mut total = 0;
        for batch in batches {
            let cells = batch
                .columns()
                .iter()
                .map(|c| display_strings(c, ToStringStyle::Table, &self.context.eval))
                .collect::<Result<Vec<StringArray>>>()?;
            for row in 0..batch.num_rows() {
                total += 1;
                if total > wanted {
                    break;
                }
                let mut line = String::from("<tr>");
                for column in &cells {
                    let value = if arrow::array::Array::is_null(column, row) {
                        "NULL"
                    } else {
                        column.value(row)
                    };
                    line.push_str(&format!("<td>{}</td>", escape(&cut(value, truncate))));
                }
                line.push_str("</tr>");
                lines.push(line);
            }
        }
        let mut text = lines.join("\n");
        text.push_str("\n</table>\n");
        if total > wanted {
            let plural = if wanted == 1 { "" } else { "s" };
            text.push_str(&format!("only showing top {wanted} row{plural}\n"));
        }
        Ok(text)
    }
}

fn cut(text: &str, truncate: i32) -> String {
    let max = usize::try_from(truncate).unwrap_or(0);
    if max == 0 || text.chars().count() <= max {
        return text.to_string();
    }
    if max < 4 {
        return text.chars().take(max).collect();
    }
    let head: String = text.chars().take(max - 3).collect();
    format!("{head}...")
}

/// A table of one row and one column of text.
pub(crate) fn text_row(planner: &Planner<'_>, column: &str, text: String) -> Result<Resolved> {
    let schema = Schema::new(vec![Field::new(column, DataType::Utf8, false)]);
    let values: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let batch = RecordBatch::try_new(Arc::new(schema.clone()), vec![values])?;
    planner.rows(&schema, vec![batch])
}
