//! Saved tables and writes of batches.
//!
//! A table is a folder of files and an entry in the process's catalog: name, format, schema, location. Nothing but the
//! files outlives the process, as with Spark when no Hive metastore is configured.
use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    datasource::source_as_provider,
    logical_expr::LogicalPlan,
};
use millstream_connectors::{
    file::{BatchWriteRequest, FileTable, SaveMode, write_batch_files},
    options::Options,
    registry,
};
use spark_connect_proto::{
    WriteOperation,
    write_operation::{SaveType, save_table::TableSaveMethod},
};

use super::{Session, environment::DEFAULT_DATABASE, execute, lock, settings};
use crate::{
    error::{Exception, Result, SparkError, quoted_id, quoted_name},
    scope::Resolved,
    sql::parse_multipart_identifier,
};

/// A table of the catalog.
#[derive(Debug, Clone)]
pub(super) struct SavedTable {
    pub name: String,
    pub format: String,
    pub schema: SchemaRef,
    pub location: String,
    pub options: HashMap<String, String>,
    pub partition_by: Vec<String>,
}

impl SavedTable {
    /// Catalog, database, table.
    pub fn qualified_name(&self) -> Vec<String> {
        vec![
            "spark_catalog".to_string(),
            DEFAULT_DATABASE.to_string(),
            self.name.clone(),
        ]
    }
}

/// `df.write…`.
pub(super) async fn write(session: &Session, write: &WriteOperation) -> Result<()> {
    let input = write
        .input
        .as_ref()
        .ok_or_else(|| SparkError::internal("a write without input"))?;
    let resolved = session.resolve(input).await?;
    if resolved.is_streaming {
        return Err(SparkError::analysis(
            "CALL_ON_STREAMING_DATASET_UNSUPPORTED",
            &[("methodName", "`write`")],
        ));
    }
    if write.bucket_by.is_some()
        || !write.clustering_columns.is_empty()
        || !write.sort_column_names.is_empty()
    {
        return Err(SparkError::unsupported(
            "bucketed, sorted and clustered writes",
        ));
    }
    let format = format_of(session, write.source.as_deref());
    let mode = save_mode(write.mode());
    match &write.save_type {
        Some(SaveType::Table(table)) => {
            let insert = table.save_method() == TableSaveMethod::InsertInto;
            save_table(
                session,
                &resolved,
                &table.table_name,
                &format,
                mode,
                insert,
                write,
            )
            .await
        }
        save_type => {
            let path = match save_type {
                Some(SaveType::Path(path)) => Some(path.clone()),
                _ => None,
            };
            write_to(
                session,
                &resolved,
                &format,
                path,
                &write.options,
                &write.partitioning_columns,
                mode,
            )
            .await
        }
    }
}

pub(super) fn format_of(session: &Session, format: Option<&str>) -> String {
    match format {
        None | Some("") => session
            .conf()
            .get_option("spark.sql.sources.default")
            .unwrap_or_else(|| "parquet".to_string()),
        Some(format) => format.to_string(),
    }
}

fn save_mode(mode: spark_connect_proto::write_operation::SaveMode) -> SaveMode {
    use spark_connect_proto::write_operation::SaveMode as Asked;
    match mode {
        Asked::Append => SaveMode::Append,
        Asked::Overwrite => SaveMode::Overwrite,
        Asked::Ignore => SaveMode::Ignore,
        Asked::Unspecified | Asked::ErrorIfExists => SaveMode::ErrorIfExists,
    }
}

/// Writes a relation's rows to a sink of batches.
pub(super) async fn write_to(
    session: &Session,
    resolved: &Resolved,
    format: &str,
    path: Option<String>,
    options: &HashMap<String, String>,
    partition_by: &[String],
    mode: SaveMode,
) -> Result<()> {
    registry::check_format(format)?;
    let target = path.as_deref().or_else(|| {
        let mut given = options.iter();
        given.find_map(|(key, value)| key.eq_ignore_ascii_case("path").then_some(value.as_str()))
    });
    let target = target.unwrap_or("nowhere");
    let what = || format!("a batch of {format}, written to {target}");
    if !session.environment().permits(target, what) {
        return Ok(());
    }
    let rows = execute::run(session, resolved).await?;
    if format.eq_ignore_ascii_case("noop") {
        return drain(rows).await;
    }
    if !registry::is_file_format(format) {
        return Err(SparkError::unsupported(format!(
            "writing a batch to the data source {format}"
        )));
    }
    let request = BatchWriteRequest {
        format: format.to_string(),
        options: Options::from_iter(options.clone()),
        path,
        partition_by: partition_by.to_vec(),
        mode,
        settings: settings::connectors(session.conf(), session.parallelism())?,
    };
    let schema = Arc::new(Schema::new(resolved.fields()));
    write_batch_files(&request, schema, vec![rows]).await?;
    Ok(())
}

async fn drain(mut rows: datafusion::execution::SendableRecordBatchStream) -> Result<()> {
    use futures::StreamExt;
    while let Some(batch) = rows.next().await {
        batch?;
    }
    Ok(())
}

async fn save_table(
    session: &Session,
    resolved: &Resolved,
    name: &str,
    format: &str,
    mode: SaveMode,
    insert: bool,
    write: &WriteOperation,
) -> Result<()> {
    let parts = parse_multipart_identifier(name)?;
    let table = parts.last().cloned().unwrap_or_default();
    let relations = &session.inner.relations;
    let existing = session.environment().saved_table(&table);
    let (saved, mode) = match (existing, mode) {
        (None, _) if insert => return Err(crate::relation::table_not_found(&parts)),
        (Some(saved), _) if insert => (
            saved,
            if mode == SaveMode::Overwrite {
                mode
            } else {
                SaveMode::Append
            },
        ),
        (Some(_), SaveMode::Ignore) => return Ok(()),
        (Some(saved), SaveMode::Append) => (saved, SaveMode::Append),
        (Some(_), SaveMode::ErrorIfExists) => return Err(already_exists(&table)),
        (_, mode) => {
            let options = write.options.clone();
            let new = NewTable {
                name: &table,
                format,
                schema: Schema::new(resolved.fields()),
                location: options.get("path").cloned(),
                options,
                partition_by: write.partitioning_columns.clone(),
            };
            relations.forget(&table);
            (create(session, new)?, mode)
        }
    };
    let mode = if mode == SaveMode::ErrorIfExists {
        SaveMode::Overwrite
    } else {
        mode
    };
    write_to(
        session,
        resolved,
        &saved.format,
        Some(saved.location.clone()),
        &without_path(&saved.options),
        &saved.partition_by,
        mode,
    )
    .await?;
    Ok(relations.written(&saved.name).await?)
}

fn without_path(options: &HashMap<String, String>) -> HashMap<String, String> {
    options
        .iter()
        .filter(|(key, _)| !key.eq_ignore_ascii_case("path"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// A table of that name is there.
pub(super) fn already_exists(name: &str) -> SparkError {
    let parts = [super::listing::CATALOG, DEFAULT_DATABASE, name];
    SparkError::new(
        Exception::Analysis,
        "TABLE_OR_VIEW_ALREADY_EXISTS",
        &[("relationName", &quoted_name(&parts))],
    )
}

/// A table to be put into the catalog.
pub(super) struct NewTable<'a> {
    pub name: &'a str,
    pub format: &'a str,
    pub schema: Schema,
    /// Where its files are; below the warehouse folder if nowhere else.
    pub location: Option<String>,
    pub options: HashMap<String, String>,
    pub partition_by: Vec<String>,
}

/// Puts a table into the catalog.
pub(super) fn create(session: &Session, new: NewTable<'_>) -> Result<SavedTable> {
    let NewTable {
        name,
        format,
        schema,
        location,
        options,
        partition_by,
    } = new;
    let schema = Arc::new(partitions_last(&schema, &partition_by)?);
    registry::check_format(format)?;
    let location = match location {
        Some(location) => location,
        None => {
            let folder = session
                .environment()
                .warehouse()
                .join(name.to_ascii_lowercase());
            let folder = std::path::absolute(&folder).unwrap_or(folder);
            folder.to_string_lossy().into_owned()
        }
    };
    let what = || format!("the folder {location} of the table {name}");
    if !location.contains("://") && session.environment().permits(&location, what) {
        std::fs::create_dir_all(&location).map_err(|error| {
            SparkError::plain(
                Exception::Spark,
                format!("cannot create the table folder {location}: {error}"),
            )
        })?;
    }
    let table = SavedTable {
        name: name.to_ascii_lowercase(),
        format: format.to_string(),
        schema,
        location,
        options: without_path(&options),
        partition_by,
    };
    lock(&session.environment().tables).insert(table.name.clone(), table.clone());
    Ok(table)
}

/// The schema with its partition columns at the end, in the order of partitioning.
fn partitions_last(schema: &Schema, partition_by: &[String]) -> Result<Schema> {
    let is = |field: &FieldRef, name: &str| field.name().eq_ignore_ascii_case(name);
    let in_path = |field: &&FieldRef| partition_by.iter().any(|name| is(field, name));
    let mut fields: Vec<_> = schema
        .fields()
        .iter()
        .filter(|f| !in_path(f))
        .cloned()
        .collect();
    for name in partition_by {
        let field = schema.fields().iter().find(|field| is(field, name));
        fields.push(field.cloned().ok_or_else(|| {
            let columns: Vec<_> = schema
                .fields()
                .iter()
                .map(|f| quoted_id(f.name()))
                .collect();
            SparkError::analysis(
                "_LEGACY_ERROR_TEMP_1196",
                &[
                    ("columnType", "partition"),
                    ("columnName", name),
                    ("validColumnNames", &columns.join(", ")),
                ],
            )
        })?);
    }
    Ok(Schema::new(fields))
}

/// Files below a plan.
pub(super) fn input_files(plan: &LogicalPlan) -> datafusion::error::Result<Vec<String>> {
    let mut files = vec![];
    plan.apply(|plan| {
        if let LogicalPlan::TableScan(scan) = plan
            && let Ok(provider) = source_as_provider(&scan.source)
        {
            let table = FileTable::of(&provider);
            files.extend(table.map(FileTable::input_files).unwrap_or_default());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(files)
}
