//! Writing rows to files: one task's share of a batch.
//!
//! ```text
//! part-00003-<uuid>-c000.json            task 3, first file
//! k=a%3Ab/part-00003-<uuid>.c000.json    with partition columns
//! ```
//!
//! On a local disk a file is written under a hidden name, `.<name>.inprogress`, which no reader
//! takes for input, and is synced when it is complete; the driver renames the files of all tasks
//! when it commits. An object store has neither half-written files nor a cheap rename, so there a
//! file is put under its own name when it is complete.
//!
//! A task that dies leaves hidden files. The file sink gives the files of a batch the same names
//! whenever the batch runs again, so that these are overwritten; what is left beyond that does no
//! harm.
use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, UInt32Array},
    compute::take_record_batch,
    datatypes::{DataType, Schema, SchemaRef},
};
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    definition::blocking,
    location::{FileSystem, Location, join, name_of, object_path, parent_of},
    partition_values::{DEFAULT_PARTITION, escape},
};
use crate::{
    batches,
    datetime::Zone,
    error::ConnectorError,
    format::{FileFormat, FormatWriter, spark_type::sql_name},
    text::{Style, render},
};

/// Partition directories that a task writes to at the same time; beyond that files are ended early.
const OPEN_FILES_MAX: usize = 128;

/// What is written where.
#[derive(Debug, Clone)]
pub(super) struct WritePlan {
    pub location: Location,
    pub format: Arc<dyn FileFormat>,
    /// Columns in the files.
    pub data_schema: SchemaRef,
    /// Columns of a row that go to the files.
    data_columns: Vec<usize>,
    /// Columns of a row that go to the paths, with their names.
    partition_columns: Vec<(usize, String)>,
    /// Session time zone, in which timestamps name directories.
    pub zone: Zone,
    /// Rows of a file at most; 0 is no limit.
    pub file_records_max: u64,
}

/// Which of a row's columns name directories.
///
/// # Errors
/// If a name is missing, or none is left for the files, or one has a type that cannot name a
/// directory.
pub(super) fn partition_columns(
    schema: &Schema,
    partition_by: &[String],
    case_sensitive: bool,
    missing: impl Fn(&str) -> ConnectorError,
) -> Result<Vec<(usize, String)>, ConnectorError> {
    let same = |left: &str, right: &str| {
        if case_sensitive {
            left == right
        } else {
            left.eq_ignore_ascii_case(right)
        }
    };
    let mut columns = Vec::with_capacity(partition_by.len());
    for name in partition_by {
        let found = schema
            .fields()
            .iter()
            .position(|field| same(field.name(), name));
        let index = found.ok_or_else(|| missing(name))?;
        let field = schema.field(index);
        if matches!(
            field.data_type(),
            DataType::Struct(_) | DataType::List(_) | DataType::Map(..)
        ) {
            let data_type = sql_name(field.data_type());
            return Err(ConnectorError::PartitionColumnType { data_type });
        }
        columns.push((index, field.name().clone()));
    }
    if !columns.is_empty() && columns.len() == schema.fields().len() {
        return Err(ConnectorError::AllPartitionColumns);
    }
    Ok(columns)
}

impl WritePlan {
    pub(super) fn new(
        location: Location,
        format: Arc<dyn FileFormat>,
        schema: &Schema,
        partition_columns: Vec<(usize, String)>,
        zone: Zone,
        file_records_max: u64,
    ) -> Result<Self, ConnectorError> {
        let in_path = |column: &usize| partition_columns.iter().any(|(index, _)| index == column);
        let data_columns: Vec<_> = (0..schema.fields().len())
            .filter(|column| !in_path(column))
            .collect();
        let data_schema = Arc::new(schema.project(&data_columns)?);
        Ok(Self {
            location,
            format,
            data_schema,
            data_columns,
            partition_columns,
            zone,
            file_records_max,
        })
    }

    /// Writes the rows of task `task`. The names of its files carry `job`.
    pub(super) async fn write_task(
        self: Arc<Self>,
        job: Uuid,
        task: usize,
        mut rows: SendableRecordBatchStream,
    ) -> Result<(Vec<WrittenFile>, u64), ConnectorError> {
        let mut files = TaskFiles::new(Arc::clone(&self), job, task);
        let mut count = 0;
        // Spark's first task leaves a file even without rows: the output has a schema then.
        if task == 0 && self.partition_columns.is_empty() {
            files.open("")?;
        }
        while let Some(batch) = rows.try_next().await? {
            count += batch.num_rows() as u64;
            for (dir, share) in self.split(&batch)? {
                files.write(&dir, &share).await?;
            }
        }
        files.finish().await?;
        Ok((std::mem::take(&mut files.written), count))
    }

    /// The rows of a batch by the directory that they belong to.
    fn split(&self, batch: &RecordBatch) -> Result<Vec<(String, RecordBatch)>, ConnectorError> {
        let data = batch.project(&self.data_columns)?;
        let data = batches::with_schema(&data, &self.data_schema)?;
        if batch.num_rows() == 0 {
            return Ok(vec![]);
        }
        if self.partition_columns.is_empty() {
            return Ok(vec![(String::new(), data)]);
        }
        let style = Style::cast(self.zone);
        let mut names = Vec::with_capacity(self.partition_columns.len());
        for (index, name) in &self.partition_columns {
            let column: &ArrayRef = batch.column(*index);
            let schema = batch.schema();
            names.push((escape(name), render(column, schema.field(*index), &style)?));
        }
        let mut shares: HashMap<String, Vec<u32>> = HashMap::new();
        let mut order = Vec::new();
        let mut dir = String::new();
        for row in 0..batch.num_rows() {
            dir.clear();
            for (name, values) in &names {
                let null = values.is_null(row) || values.value(row).is_empty();
                let value = if null {
                    DEFAULT_PARTITION.to_owned()
                } else {
                    escape(values.value(row))
                };
                if !dir.is_empty() {
                    dir.push('/');
                }
                dir.push_str(name);
                dir.push('=');
                dir.push_str(&value);
            }
            let row = u32::try_from(row).unwrap_or(u32::MAX);
            match shares.get_mut(&dir) {
                Some(rows) => rows.push(row),
                None => {
                    order.push(dir.clone());
                    shares.insert(dir.clone(), vec![row]);
                }
            }
        }
        let share = |dir: String| {
            let rows = UInt32Array::from(shares.remove(&dir).unwrap_or_default());
            Ok((dir, take_record_batch(&data, &rows)?))
        };
        order.into_iter().map(share).collect()
    }

    fn file_name(&self, job: Uuid, task: usize, number: u32) -> String {
        let before_number = if self.partition_columns.is_empty() {
            '-'
        } else {
            '.'
        };
        let extension = self.format.extension();
        format!("part-{task:05}-{job}{before_number}c{number:03}{extension}")
    }

    /// Makes the files of all tasks visible. Returns them with their modification times.
    pub(super) async fn publish(
        &self,
        files: Vec<WrittenFile>,
    ) -> Result<Vec<PublishedFile>, ConnectorError> {
        let root = self.location.path.clone();
        match &self.location.fs {
            FileSystem::Local => blocking(move || publish_local(&root, &files)).await,
            FileSystem::Object { store, .. } => {
                let mut published = Vec::with_capacity(files.len());
                for file in files {
                    let path = join(&root, &file.path);
                    let object = store.head(&object_path(&path)).await?;
                    published.push(PublishedFile {
                        path,
                        size: file.size,
                        modified_ms: object.last_modified.timestamp_millis(),
                    });
                }
                Ok(published)
            }
        }
    }

    /// Removes what was written and will not be published.
    pub(super) async fn discard(&self, files: Vec<WrittenFile>) {
        let root = self.location.path.clone();
        if matches!(self.location.fs, FileSystem::Local) {
            let removed = blocking(move || {
                for file in &files {
                    let _ = fs::remove_file(hidden(&join(&root, &file.path)));
                }
                Ok(())
            });
            if let Err(error) = removed.await {
                tracing::warn!(%error, "unfinished files stay");
            }
        }
    }
}

/// A file that a task has written; what it tells the commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct WrittenFile {
    /// Final path, below the target.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
}

/// A file that readers see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PublishedFile {
    /// Full path.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Modification time, milliseconds since the epoch.
    pub modified_ms: i64,
}

/// Name of a file while it is written.
fn hidden(path: &str) -> PathBuf {
    PathBuf::from(join(
        parent_of(path),
        &format!(".{}.inprogress", name_of(path)),
    ))
}

fn publish_local(root: &str, files: &[WrittenFile]) -> Result<Vec<PublishedFile>, ConnectorError> {
    let mut dirs = HashSet::new();
    let mut published = Vec::with_capacity(files.len());
    for file in files {
        let path = join(root, &file.path);
        match fs::rename(hidden(&path), &path) {
            // Renamed by a commit that died before its log entry.
            Err(e) if e.kind() == io::ErrorKind::NotFound && Path::new(&path).exists() => {}
            done => done.map_err(ConnectorError::io("rename", &path))?,
        }
        let modified = fs::metadata(&path)
            .and_then(|metadata| metadata.modified())
            .map_err(ConnectorError::io("look at", &path))?;
        let modified_ms = chrono::DateTime::<chrono::Utc>::from(modified).timestamp_millis();
        let mut dir = parent_of(&path);
        while dirs.insert(dir.to_owned()) && dir != root && dir != "/" {
            dir = parent_of(dir);
        }
        published.push(PublishedFile {
            path,
            size: file.size,
            modified_ms,
        });
    }
    // A name survives a power cut once its directory is synced.
    for dir in dirs {
        sync_directory(&dir)?;
    }
    Ok(published)
}

pub(super) fn sync_directory(dir: &str) -> Result<(), ConnectorError> {
    File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(ConnectorError::io("sync", dir))
}

/// The files of one task.
struct TaskFiles {
    plan: Arc<WritePlan>,
    job: Uuid,
    task: usize,
    open: HashMap<String, OpenFile>,
    /// Files that a directory has had.
    numbers: HashMap<String, u32>,
    written: Vec<WrittenFile>,
}

struct OpenFile {
    path: String,
    writer: Box<dyn FormatWriter>,
    rows: u64,
    target: Target,
}

enum Target {
    Disk(File),
    Memory(Arc<Mutex<Vec<u8>>>),
}

/// Collects a file for an object store.
struct SharedBytes(Arc<Mutex<Vec<u8>>>);

impl Write for SharedBytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TaskFiles {
    fn new(plan: Arc<WritePlan>, job: Uuid, task: usize) -> Self {
        let (open, numbers) = (HashMap::new(), HashMap::new());
        Self {
            plan,
            job,
            task,
            open,
            numbers,
            written: vec![],
        }
    }

    fn open(&mut self, dir: &str) -> Result<(), ConnectorError> {
        let number = self.numbers.entry(dir.to_owned()).or_default();
        let name = self.plan.file_name(self.job, self.task, *number);
        *number += 1;
        let path = if dir.is_empty() {
            name
        } else {
            join(dir, &name)
        };
        let full = join(&self.plan.location.path, &path);
        let (target, out): (_, Box<dyn Write + Send>) = match &self.plan.location.fs {
            FileSystem::Local => {
                fs::create_dir_all(parent_of(&full))
                    .map_err(ConnectorError::io("create the directory of", &full))?;
                let hidden = hidden(&full);
                let created = File::create(&hidden).and_then(|file| Ok((file.try_clone()?, file)));
                let (kept, file) = created.map_err(ConnectorError::io("create", &full))?;
                (
                    Target::Disk(kept),
                    Box::new(BufWriter::with_capacity(128 * 1024, file)),
                )
            }
            FileSystem::Object { .. } => {
                let bytes = Arc::new(Mutex::new(Vec::new()));
                (
                    Target::Memory(Arc::clone(&bytes)),
                    Box::new(SharedBytes(bytes)),
                )
            }
        };
        let writer = self
            .plan
            .format
            .writer(Arc::clone(&self.plan.data_schema), out)?;
        self.open.insert(
            dir.to_owned(),
            OpenFile {
                path,
                writer,
                rows: 0,
                target,
            },
        );
        Ok(())
    }

    async fn write(&mut self, dir: &str, rows: &RecordBatch) -> Result<(), ConnectorError> {
        let max = match self.plan.file_records_max {
            0 => u64::MAX,
            max => max,
        };
        let mut start = 0;
        while start < rows.num_rows() {
            if self.open.get(dir).is_some_and(|file| file.rows >= max) {
                self.end(dir).await?;
            }
            if !self.open.contains_key(dir) {
                if self.open.len() >= OPEN_FILES_MAX {
                    self.finish().await?;
                }
                self.open(dir)?;
            }
            let Some(file) = self.open.get_mut(dir) else {
                continue;
            };
            let room = usize::try_from(max - file.rows).unwrap_or(usize::MAX);
            let count = room.min(rows.num_rows() - start);
            file.writer.write(&rows.slice(start, count))?;
            file.rows += count as u64;
            start += count;
        }
        Ok(())
    }

    async fn end(&mut self, dir: &str) -> Result<(), ConnectorError> {
        let Some(OpenFile {
            path,
            writer,
            target,
            ..
        }) = self.open.remove(dir)
        else {
            return Ok(());
        };
        writer.finish()?;
        let full = join(&self.plan.location.path, &path);
        let size = match target {
            Target::Disk(file) => {
                let synced = move || file.sync_all().and_then(|()| Ok(file.metadata()?.len()));
                blocking(move || synced().map_err(ConnectorError::io("sync", full))).await?
            }
            Target::Memory(bytes) => {
                let bytes =
                    std::mem::take(&mut *bytes.lock().unwrap_or_else(PoisonError::into_inner));
                let size = bytes.len() as u64;
                if let FileSystem::Object { store, .. } = &self.plan.location.fs {
                    store.put(&object_path(&full), bytes.into()).await?;
                }
                size
            }
        };
        self.written.push(WrittenFile { path, size });
        Ok(())
    }

    /// Ends all open files.
    async fn finish(&mut self) -> Result<(), ConnectorError> {
        let mut dirs: Vec<_> = self.open.keys().cloned().collect();
        dirs.sort_unstable();
        for dir in dirs {
            self.end(&dir).await?;
        }
        Ok(())
    }
}

impl Drop for TaskFiles {
    /// A task that fails removes the file that it was writing.
    fn drop(&mut self) {
        if matches!(self.plan.location.fs, FileSystem::Local) {
            for file in self.open.values() {
                let _ = fs::remove_file(hidden(&join(&self.plan.location.path, &file.path)));
            }
        }
    }
}
