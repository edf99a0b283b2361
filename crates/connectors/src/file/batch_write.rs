//! `df.write…save(path)`: a batch query's rows as files.
//!
//! All tasks write hidden files first. Only when every one of them has succeeded does `overwrite`
//! remove what was there, and the new files get their names; `_SUCCESS` comes last. A write that
//! fails leaves the old content.
use std::{collections::HashSet, fs, io, str::FromStr, sync::Arc};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{
    definition::{blocking, exists, single_path},
    location::{FileSystem, Location, join, object_path, parent_of},
    writer::{WritePlan, WrittenFile, partition_columns, sync_directory},
};
use crate::{
    error::ConnectorError,
    format::{Direction, FileFormat, check_names, file_format, spark_type::sql_name},
    options::Options,
    settings::ConnectorSettings,
};

/// What happens when something is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SaveMode {
    /// Files are added.
    Append,
    /// What is there goes away.
    Overwrite,
    /// The write fails.
    #[default]
    ErrorIfExists,
    /// Nothing is written.
    Ignore,
}

impl FromStr for SaveMode {
    type Err = ConnectorError;

    fn from_str(text: &str) -> Result<Self, ConnectorError> {
        match text.to_ascii_lowercase().as_str() {
            "append" => Ok(Self::Append),
            "overwrite" => Ok(Self::Overwrite),
            "error" | "errorifexists" | "default" => Ok(Self::ErrorIfExists),
            "ignore" => Ok(Self::Ignore),
            _ => Err(ConnectorError::SaveMode {
                mode: text.to_owned(),
            }),
        }
    }
}

/// What `df.write` says.
#[derive(Debug, Clone)]
pub struct BatchWriteRequest {
    /// Format name, in any case.
    pub format: String,
    /// Options as given.
    pub options: Options,
    /// Path given to `save`.
    pub path: Option<String>,
    /// Names given to `partitionBy`.
    pub partition_by: Vec<String>,
    /// What happens when something is there already.
    pub mode: SaveMode,
    /// What the session decides.
    pub settings: ConnectorSettings,
}

/// Writes the rows of `partitions`, which have the columns of `schema`, and returns their number.
/// The partitions are only started if there is something to write.
///
/// # Errors
/// If the request is wrong, the query fails or the file system does.
pub async fn write_batch_files(
    request: &BatchWriteRequest,
    schema: SchemaRef,
    partitions: Vec<SendableRecordBatchStream>,
) -> Result<u64, ConnectorError> {
    let format = file_format(&request.format, &request.options, &request.settings.format)?;
    write_with_format(request, format, schema, partitions).await
}

async fn write_with_format(
    request: &BatchWriteRequest,
    format: Arc<dyn FileFormat>,
    schema: SchemaRef,
    partitions: Vec<SendableRecordBatchStream>,
) -> Result<u64, ConnectorError> {
    let plan = Arc::new(plan(request, format, &schema)?);
    let location = &plan.location;
    if exists(location).await? {
        match request.mode {
            SaveMode::ErrorIfExists => {
                return Err(ConnectorError::PathExists {
                    path: location.hadoop_text(),
                });
            }
            SaveMode::Ignore => return Ok(0),
            SaveMode::Append | SaveMode::Overwrite => {}
        }
    }
    let dynamic = dynamic_overwrite(request)?;
    let (files, rows) = write_all(&plan, partitions).await?;
    if request.mode == SaveMode::Overwrite {
        clear(location, &files, dynamic).await?;
    }
    plan.publish(files).await?;
    if !dynamic {
        mark_success(location).await?;
    }
    Ok(rows)
}

fn plan(
    request: &BatchWriteRequest,
    format: Arc<dyn FileFormat>,
    schema: &SchemaRef,
) -> Result<WritePlan, ConnectorError> {
    let BatchWriteRequest {
        options, settings, ..
    } = request;
    let paths: Vec<_> = request.path.iter().cloned().collect();
    let location = Location::parse(single_path(options, &paths, "save")?)?;
    let missing = |column: &str| ConnectorError::PartitionColumnNotInSchema {
        column: column.to_owned(),
        schema: simple_string(schema),
    };
    let case_sensitive = settings.format.case_sensitive;
    // Spark lets CSV files name two columns alike: their readers go by position.
    if format.name() != "csv" {
        check_names(schema.fields(), case_sensitive)?;
    }
    let columns = partition_columns(schema, &request.partition_by, case_sensitive, missing)?;
    let session_max = i64::try_from(settings.file_records_max).unwrap_or(i64::MAX);
    let records_max = options.long("maxRecordsPerFile", session_max)?;
    let plan = WritePlan::new(
        location,
        format,
        schema,
        columns,
        settings.format.time_zone,
        u64::try_from(records_max).unwrap_or_default(),
    )?;
    plan.format
        .check_schema(&plan.data_schema, Direction::Write)?;
    Ok(plan)
}

/// `struct<v:int,k:string>`.
fn simple_string(schema: &SchemaRef) -> String {
    let name = |data_type: &DataType| sql_name(data_type).to_lowercase().replace(": ", ":");
    let fields: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| format!("{}:{}", field.name(), name(field.data_type())))
        .collect();
    format!("struct<{}>", fields.join(","))
}

/// Whether only the partitions that are written go away. The option has precedence over the
/// session.
fn dynamic_overwrite(request: &BatchWriteRequest) -> Result<bool, ConnectorError> {
    let dynamic = match request.options.get("partitionOverwriteMode") {
        None => request.settings.dynamic_partition_overwrite,
        Some(text) if text.eq_ignore_ascii_case("dynamic") => true,
        Some(text) if text.eq_ignore_ascii_case("static") => false,
        Some(text) => {
            return Err(ConnectorError::OptionValue {
                option: "partitionOverwriteMode",
                value: text.to_owned(),
                requirement: "'static' or 'dynamic'",
            });
        }
    };
    Ok(dynamic && request.mode == SaveMode::Overwrite && !request.partition_by.is_empty())
}

/// Runs all tasks; if one fails, what the others wrote is removed.
async fn write_all(
    plan: &Arc<WritePlan>,
    partitions: Vec<SendableRecordBatchStream>,
) -> Result<(Vec<WrittenFile>, u64), ConnectorError> {
    let job = Uuid::new_v4();
    let mut tasks = JoinSet::new();
    for (task, rows) in partitions.into_iter().enumerate() {
        let plan = Arc::clone(plan);
        tasks.spawn(async move { (task, plan.write_task(job, task, rows).await) });
    }
    let mut done = Vec::new();
    let mut failure = None;
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok((task, Ok((files, rows)))) => done.push((task, files, rows)),
            Ok((_, Err(e))) => failure = failure.or(Some(e)),
            Err(e) => {
                let source = io::Error::other(e);
                let error = ConnectorError::Io {
                    operation: "run",
                    path: "a write task".into(),
                    source,
                };
                failure = failure.or(Some(error));
            }
        }
    }
    done.sort_by_key(|(task, ..)| *task);
    let rows = done.iter().map(|(_, _, rows)| rows).sum();
    let files: Vec<_> = done.into_iter().flat_map(|(_, files, _)| files).collect();
    match failure {
        Some(error) => {
            plan.discard(files).await;
            Err(error)
        }
        None => Ok((files, rows)),
    }
}

/// Removes what the new files replace: everything, or the directories that they go to.
async fn clear(
    location: &Location,
    files: &[WrittenFile],
    dynamic: bool,
) -> Result<(), ConnectorError> {
    let root = location.path.clone();
    let dirs: HashSet<String> = files
        .iter()
        .map(|file| parent_of(&join(&root, &file.path)).to_owned())
        .collect();
    match &location.fs {
        FileSystem::Local => {
            let clear = move || {
                if dynamic {
                    dirs.iter()
                        .try_for_each(|dir| clear_directory(dir).map(drop))
                } else {
                    clear_directory(&root).map(drop)
                }
            };
            blocking(clear).await
        }
        FileSystem::Object { store, .. } => {
            let new: HashSet<_> = files
                .iter()
                .map(|file| object_path(&join(&root, &file.path)))
                .collect();
            let old: Vec<_> = store.list(Some(&object_path(&root))).try_collect().await?;
            for object in old {
                let path = format!("/{}", object.location);
                let replaced = !dynamic || dirs.contains(parent_of(&path));
                if replaced && !new.contains(&object.location) {
                    store.delete(&object.location).await?;
                }
            }
            Ok(())
        }
    }
}

/// Empties a directory of all but unfinished files. `true`: nothing is left, and the directory is
/// gone.
fn clear_directory(dir: &str) -> Result<bool, ConnectorError> {
    let failed = |e| ConnectorError::io("clear", dir)(e);
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
            fs::remove_file(dir).map_err(failed)?;
            return Ok(true);
        }
        Err(e) => return Err(failed(e)),
    };
    let mut empty = true;
    for entry in entries {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let path = entry.path();
        let is_dir = entry.file_type().map_err(failed)?.is_dir();
        if is_dir {
            empty &= match path.to_str() {
                Some(path) => clear_directory(path)?,
                None => fs::remove_dir_all(&path).map(|()| true).map_err(failed)?,
            };
        } else if name.to_string_lossy().ends_with(".inprogress") {
            empty = false;
        } else {
            fs::remove_file(&path).map_err(failed)?;
        }
    }
    if empty {
        fs::remove_dir(dir).map_err(failed)?;
    }
    Ok(empty)
}

async fn mark_success(location: &Location) -> Result<(), ConnectorError> {
    const SUCCESS: &str = "_SUCCESS";
    let path = join(&location.path, SUCCESS);
    match &location.fs {
        FileSystem::Local => {
            let dir = location.path.clone();
            let mark = move || {
                fs::create_dir_all(&dir).map_err(ConnectorError::io("create", &dir))?;
                fs::write(&path, "").map_err(ConnectorError::io("write", &path))?;
                sync_directory(&dir)
            };
            blocking(mark).await
        }
        FileSystem::Object { store, .. } => {
            store.put(&object_path(&path), Vec::new().into()).await?;
            Ok(())
        }
    }
}

#[cfg(test)]
#[path = "batch_write_tests.rs"]
mod tests;
