//! Rows that come with the plan: local relations, ranges, and tables in memory.
use std::{io::Cursor, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, RecordBatch,
        RecordBatchOptions, StructArray,
    },
    compute::nullif,
    datatypes::{DataType, Field, Schema, SchemaRef},
    ipc::reader::StreamReader,
};
use datafusion::{
    datasource::{MemTable, provider_as_source},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
};
use spark_connect_proto::{ChunkedCachedLocalRelation, LocalRelation, Range};

use crate::{
    cast::{EvalMode, cast_array},
    error::{Exception, Result, SparkError},
    planner::Planner,
    scope::{Attribute, Resolved},
    types::{
        Metadata, data_type_from_proto, is_timestamp, list, map, map_fields, schema_from_json,
        timestamp,
    },
};

impl Planner<'_> {
    pub(super) fn local_relation(&self, node: &LocalRelation) -> Result<Resolved> {
        let schema = node
            .schema
            .as_deref()
            .map(|s| self.schema_text(s))
            .transpose()?;
        let batches = match &node.data {
            Some(data) if !data.is_empty() => read_ipc(data)?,
            _ => vec![],
        };
        self.local(schema, batches)
    }

    fn local(&self, schema: Option<Schema>, batches: Vec<RecordBatch>) -> Result<Resolved> {
        let schema = match (&schema, batches.first()) {
            (Some(schema), _) => schema.clone(),
            (None, Some(first)) => first.schema().as_ref().clone(),
            (None, None) => {
                return Err(SparkError::analysis(
                    "CONNECT_INVALID_PLAN.SCHEMA_REQUIRED_FOR_LOCAL_RELATION",
                    &[],
                ));
            }
        };
        self.rows(&schema, batches)
    }

    /// A relation of these rows; types are made Spark's, and cast to `schema`.
    pub(crate) fn rows(&self, schema: &Schema, batches: Vec<RecordBatch>) -> Result<Resolved> {
        let fields: Vec<Field> = schema
            .fields()
            .iter()
            .map(|f| {
                f.as_ref()
                    .clone()
                    .with_data_type(normal_type(f.data_type()))
            })
            .collect();
        let internal: Vec<_> = fields.iter().map(|f| self.ids.column(f.name())).collect();
        let plan_schema: SchemaRef = Arc::new(Schema::new(
            fields
                .iter()
                .zip(&internal)
                .map(|(f, c)| Field::new(c.name(), f.data_type().clone(), f.is_nullable()))
                .collect::<Vec<_>>(),
        ));
        let context = &self.context.eval;
        let batches = batches
            .into_iter()
            .map(|batch| {
                if batch.num_columns() != fields.len() {
                    return Err(SparkError::plain(
                        Exception::InvalidPlan,
                        format!(
                            "the data has {} columns, the schema {}",
                            batch.num_columns(),
                            fields.len()
                        ),
                    ));
                }
                let columns = batch
                    .columns()
                    .iter()
                    .zip(&fields)
                    .map(|(c, f)| {
                        cast_array(&normalize(c)?, f.data_type(), EvalMode::Ansi, context)
                    })
                    .collect::<Result<Vec<ArrayRef>>>()?;
                checked_batch(&plan_schema, &fields, columns, batch.num_rows())
            })
            .collect::<Result<Vec<_>>>()?;
        let output = fields
            .iter()
            .zip(internal)
            .map(|(f, column)| Attribute {
                name: f.name().clone(),
                column,
                data_type: f.data_type().clone(),
                nullable: f.is_nullable(),
                metadata: f
                    .metadata()
                    .iter()
                    .map(|(k, v)| (k.clone(), v.clone()))
                    .collect::<Metadata>(),
                qualifier: vec![],
            })
            .collect();
        Ok(Resolved::leaf(
            scan_of(plan_schema, batches)?,
            output,
            false,
        ))
    }

    /// A schema as clients give it: StructType JSON or DDL.
    pub(crate) fn schema_text(&self, text: &str) -> Result<Schema> {
        if text.trim_start().starts_with('{') {
            return schema_from_json(text);
        }
        match data_type_from_proto(&crate::sql::parse_ddl(text)?)? {
            DataType::Struct(fields) => Ok(Schema::new(fields)),
            // A single type is a table of one column.
            other => Ok(Schema::new(vec![Field::new("value", other, true)])),
        }
    }

    pub(super) fn cached_local_relation(&self, hash: &str) -> Result<Resolved> {
        use prost::Message;
        let bytes = self.catalog.cached_local(hash)?;
        let relation = LocalRelation::decode(bytes).map_err(SparkError::internal)?;
        self.local_relation(&relation)
    }

    pub(super) fn chunked_local_relation(
        &self,
        node: &ChunkedCachedLocalRelation,
    ) -> Result<Resolved> {
        let schema = match &node.schema_hash {
            Some(hash) => {
                let bytes = self.catalog.cached_local(hash)?;
                let text = String::from_utf8(bytes.to_vec()).map_err(SparkError::internal)?;
                Some(self.schema_text(&text)?)
            }
            None => None,
        };
        let mut batches = vec![];
        for hash in &node.data_hashes {
            batches.extend(read_ipc(&self.catalog.cached_local(hash)?)?);
        }
        self.local(schema, batches)
    }

    pub(super) fn range(&self, node: &Range) -> Result<Resolved> {
        let start = node.start.unwrap_or(0);
        if node.step == 0 {
            return Err(SparkError::plain(
                Exception::IllegalArgument,
                "requirement failed: step (0) cannot be 0",
            ));
        }
        let column = self.ids.column("id");
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new(
            column.name(),
            DataType::Int64,
            false,
        )]));
        let span = i128::from(node.end) - i128::from(start);
        let step = i128::from(node.step);
        let count = if (span > 0) == (step > 0) && span != 0 {
            (span.abs() + step.abs() - 1) / step.abs()
        } else {
            0
        };
        let count = usize::try_from(count)
            .map_err(|_| SparkError::unsupported(format!("a range of {count} rows")))?;
        let plan = crate::range::scan(schema, start, node.step, count, node.num_partitions)?;
        let output = vec![Attribute {
            name: "id".to_string(),
            column,
            data_type: DataType::Int64,
            nullable: false,
            metadata: Metadata::new(),
            qualifier: vec![],
        }];
        Ok(Resolved::leaf(plan, output, false))
    }
}

fn read_ipc(data: &[u8]) -> Result<Vec<RecordBatch>> {
    let reader = StreamReader::try_new(Cursor::new(data), None)?;
    let schema = reader.schema();
    let mut batches = reader.collect::<std::result::Result<Vec<_>, _>>()?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    Ok(batches)
}

fn checked_batch(
    schema: &SchemaRef,
    fields: &[Field],
    columns: Vec<ArrayRef>,
    rows: usize,
) -> Result<RecordBatch> {
    for (column, field) in columns.iter().zip(fields) {
        if !field.is_nullable() && column.null_count() > 0 {
            return Err(SparkError::new(
                Exception::Runtime,
                "NOT_NULL_ASSERT_VIOLATION",
                &[("walkedTypePath", &format!("field: {}", field.name()))],
            ));
        }
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

/// A scan of rows in memory.
pub(crate) fn scan_of(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = schema
        .fields()
        .iter()
        .map(|f| Expr::Column(datafusion::common::Column::new_unqualified(f.name())))
        .collect();
    let batches = batches
        .into_iter()
        .map(|b| {
            let options = RecordBatchOptions::new().with_row_count(Some(b.num_rows()));
            RecordBatch::try_new_with_options(Arc::clone(&schema), b.columns().to_vec(), &options)
        })
        .collect::<std::result::Result<Vec<_>, _>>()?;
    let table = MemTable::try_new(schema, vec![batches])?;
    let scan =
        LogicalPlanBuilder::scan("rows", provider_as_source(Arc::new(table)), None)?.build()?;
    unqualified(scan, columns)
}

/// A projection that takes the table's name off the columns of a scan.
pub(crate) fn unqualified(scan: LogicalPlan, columns: Vec<Expr>) -> Result<LogicalPlan> {
    let named: Vec<Expr> = scan
        .schema()
        .columns()
        .into_iter()
        .zip(columns)
        .map(|(qualified, plain)| match plain {
            Expr::Column(c) => Expr::Column(qualified).alias(c.name()),
            other => other,
        })
        .collect();
    super::project::projection_of(named, scan)
}

/// A relation of rows that the session itself made, for answers to commands.
pub(crate) fn table_of_batches(
    planner: &Planner<'_>,
    schema: &Schema,
    batches: Vec<RecordBatch>,
) -> Result<Resolved> {
    planner.rows(schema, batches)
}

/// The Spark type that values of an Arrow type become.
pub(crate) fn normal_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            DataType::Binary
        }
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 => DataType::Int64,
        DataType::UInt64 => DataType::Decimal128(20, 0),
        DataType::Float16 => DataType::Float32,
        DataType::Date64 => DataType::Date32,
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => DataType::Decimal128(*p, *s),
        t if is_timestamp(t) => timestamp(),
        DataType::Timestamp(_, None) => crate::types::TIMESTAMP_NTZ,
        DataType::Time32(_) | DataType::Time64(_) => crate::types::TIME,
        DataType::Duration(_) => crate::types::DAY_TIME,
        DataType::Dictionary(_, value) => normal_type(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            list(normal_type(item.data_type()), item.is_nullable())
        }
        DataType::Struct(fields) => DataType::Struct(
            fields
                .iter()
                .map(|f| {
                    f.as_ref()
                        .clone()
                        .with_data_type(normal_type(f.data_type()))
                })
                .collect(),
        ),
        DataType::Map(_, _) => match map_fields(data_type) {
            Some((k, v)) => map(
                normal_type(k.data_type()),
                normal_type(v.data_type()),
                v.is_nullable(),
            ),
            None => data_type.clone(),
        },
        other => other.clone(),
    }
}

/// An array from outside in Spark's own types.
pub(crate) fn normalize(array: &ArrayRef) -> Result<ArrayRef> {
    let target = normal_type(array.data_type());
    if *array.data_type() == target {
        return masked(array);
    }
    match crate::types::relabel(array, &target) {
        Ok(same) => masked(&same),
        Err(_) => masked(&arrow::compute::cast(array, &target)?),
    }
}

/// The array with the fields of its NULL structs NULL: clients write any value there.
fn masked(array: &ArrayRef) -> Result<ArrayRef> {
    Ok(match array.data_type() {
        DataType::Struct(fields) => {
            let from = array.as_struct();
            let nulls = from.nulls().filter(|n| n.null_count() > 0);
            let absent = nulls.map(|n| BooleanArray::new(!n.inner(), None));
            let columns = from.columns().iter().map(|column| match &absent {
                Some(absent) => masked(&nullif(column, absent)?),
                None => masked(column),
            });
            let columns = columns.collect::<Result<_>>()?;
            let (nulls, length) = (from.nulls().cloned(), from.len());
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                nulls,
                length,
            )?)
        }
        DataType::List(item) => {
            let from = array.as_list::<i32>();
            let (offsets, nulls) = (from.offsets().clone(), from.nulls().cloned());
            let values = masked(from.values())?;
            Arc::new(ListArray::try_new(
                Arc::clone(item),
                offsets,
                values,
                nulls,
            )?)
        }
        DataType::Map(item, sorted) => {
            let from = array.as_map();
            let (offsets, nulls) = (from.offsets().clone(), from.nulls().cloned());
            let entries: ArrayRef = Arc::new(from.entries().clone());
            let entries = masked(&entries)?.as_struct().clone();
            Arc::new(MapArray::try_new(
                Arc::clone(item),
                offsets,
                entries,
                nulls,
                *sorted,
            )?)
        }
        _ => Arc::clone(array),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::{
        array::Int32Array,
        buffer::{NullBuffer, OffsetBuffer},
        datatypes::Int32Type,
    };

    /// Structs `{x}`: 7, and a NULL over 8.
    fn structs() -> ArrayRef {
        let x: ArrayRef = Arc::new(Int32Array::from(vec![7, 8]));
        let fields = vec![Field::new("x", DataType::Int32, true)].into();
        let nulls = NullBuffer::from(vec![true, false]);
        Arc::new(StructArray::new(fields, vec![x], Some(nulls)))
    }

    fn xs(structs: &ArrayRef) -> Vec<Option<i32>> {
        let x = structs.as_struct().column(0);
        x.as_primitive::<Int32Type>().iter().collect()
    }

    fn one_list(values: &ArrayRef) -> ArrayRef {
        let item = Arc::new(Field::new_list_field(values.data_type().clone(), true));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Arc::new(ListArray::new(item, offsets, Arc::clone(values), None))
    }

    #[test]
    fn fields_of_null_structs_are_null() {
        assert_eq!(xs(&normalize(&structs()).unwrap()), [Some(7), None]);
        let listed = normalize(&one_list(&structs())).unwrap();
        assert_eq!(xs(listed.as_list::<i32>().values()), [Some(7), None]);
    }

    #[test]
    fn fields_of_null_structs_in_maps_are_null() {
        let keys: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
        let values = structs();
        let fields = vec![
            Field::new("keys", DataType::Int32, false),
            Field::new("values", values.data_type().clone(), true),
        ];
        let pairs = StructArray::new(fields.into(), vec![keys, values], None);
        let entries = Field::new("entries", pairs.data_type().clone(), false);
        let offsets = OffsetBuffer::from_lengths([2]);
        let map: ArrayRef = Arc::new(MapArray::new(entries.into(), offsets, pairs, None, false));
        assert_eq!(
            xs(normalize(&map).unwrap().as_map().values()),
            [Some(7), None]
        );
    }
}
