//! The file source: one log record a batch, and the files that the record names.
//!
//! # Offsets
//!
//! `{"logOffset":n}` means "up to and with record `n` of `sources/<i>/`". A record is written when
//! the next batch is constructed, before the offset log has the batch, so a restart may find one
//! record more than the offset log knows: its files were chosen, but not read, and become part of
//! the next batch.
//!
//! # What is new
//!
//! All records together are the files taken up. They fill [`SeenFiles`] when the source is created;
//! from then on [`Listing`] hands out what appears, and what is new in the sense of [`SeenFiles`]
//! becomes a candidate. A trigger takes as many candidates as the limits allow, oldest first
//! (`latestFirst`: newest first), files of one time by path.
//!
//! If the path is the output of a file sink, its log `_spark_metadata` says what is there, not the
//! directory.
//!
//! # On a restart
//!
//! The last record tells whether the files seen are those of this path. If they lie elsewhere, the checkpoint is another
//! directory's, everything here would look new, and the run is refused. Spark compares the files of the last batch, and
//! so lets a query pass whose last batch read nothing.
//!
//! # On a crash
//!
//! The record decides what a batch reads. A file that went away meanwhile fails the batch with its
//! name, unless `ignoreMissingFiles` is set.
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    sync::Arc,
};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use millstream_checkpoint::{Faults, FileEntry, SinkLog, SourceLog, storage};
use millstream_engine::{
    BoxError,
    source::{InputPartition, Offset, ReadLimit, Source, SourceContext},
    time::ClockRef,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::{
    admission::{Leftovers, NewFile, admit},
    cleaner::Cleaner,
    definition::{FileDefinition, bases, blocking, exists, is_below},
    glob::is_glob,
    listing::{Found, Listing},
    location::FileSystem,
    options::FileStreamOptions,
    scan::{FilePartition, FileReading, pack},
    seen_files::SeenFiles,
    sink::METADATA_DIR,
};
use crate::{
    error::ConnectorError,
    format::{Direction, check_all_names},
};

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogOffset {
    log_offset: i64,
}

/// Number of the record before the first.
const BEFORE_FIRST: i64 = -1;

fn record(offset: &Offset) -> Result<i64, ConnectorError> {
    let parsed = serde_json::from_str::<LogOffset>(offset.json());
    let number = parsed.ok().map(|offset| offset.log_offset);
    number
        .filter(|number| *number >= BEFORE_FIRST)
        .ok_or_else(|| ConnectorError::ForeignOffset {
            format: "file",
            offset: offset.json().to_owned(),
        })
}

/// The source of one run.
#[derive(Debug)]
pub(super) struct FileSource {
    definition: FileDefinition,
    options: FileStreamOptions,
    reading: Arc<FileReading>,
    log: SourceLog,
    clock: ClockRef,
    parallelism: usize,
    cleaner: Option<Cleaner>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    origin: Origin,
    /// `None` while a thread looks at the directories.
    listing: Option<Listing>,
    /// What the path stands for, as of the last listing.
    roots: Vec<String>,
    seen: SeenFiles,
    /// Files that were found and not taken, in reading order.
    candidates: Vec<NewFile>,
    /// How many of them are taken before the next listing.
    cached: usize,
    /// Last record of the log.
    latest: i64,
    /// Files of the last record, so that planning it needs no look at them.
    last_batch: HashMap<String, NewFile>,
    /// Whether the run ends with the candidates that there are.
    frozen: bool,
    /// Last record that was committed in this run.
    committed: Option<i64>,
}

/// Where the list of files comes from.
#[derive(Debug)]
enum Origin {
    /// No file was found yet: the path may still become the output of a sink.
    Undecided,
    Directories,
    SinkLog {
        log: Box<SinkLog>,
        latest: Option<u64>,
    },
}

impl FileSource {
    pub(super) async fn create(
        definition: &FileDefinition,
        context: SourceContext,
    ) -> Result<Self, ConnectorError> {
        let FileDefinition {
            options,
            settings,
            location,
            listing,
            reading,
            ..
        } = definition;
        let options = FileStreamOptions::parse(options)?;
        reading
            .format
            .check_schema(&reading.data_schema, Direction::Read)?;
        let cleaner = Cleaner::start(&options.clean_source, location, settings.cleaner_threads)?;
        let log_options = settings.log_options(settings.source_log, None);
        let log = SourceLog::open(context.log, log_options, context.faults).await?;
        let mut seen = SeenFiles::new(options.max_file_age_ms, options.file_name_only);
        for entry in log.all_files(context.clock.now_ms()).await? {
            seen.add(&reading.fs.path_of(&entry.path), entry.timestamp);
        }
        seen.purge();
        let latest = log.latest_id().await.map_or(BEFORE_FIRST, |id| id as i64);
        let plain = settings.ignore_sink_metadata || is_glob(&location.path);
        let state = State {
            origin: if plain {
                Origin::Directories
            } else {
                Origin::Undecided
            },
            listing: Some(Listing::new(location.clone(), listing.clone())),
            roots: vec![],
            seen,
            candidates: vec![],
            cached: 0,
            latest,
            last_batch: HashMap::new(),
            frozen: false,
            committed: None,
        };
        Ok(Self {
            definition: definition.clone(),
            options,
            reading: Arc::new(reading.clone()),
            log,
            clock: context.clock,
            parallelism: context.parallelism,
            cleaner,
            state: Mutex::new(state),
        })
    }

    /// Finds what has appeared since the last look.
    async fn look(&self, state: &mut State) -> Result<(), ConnectorError> {
        self.decide(state).await?;
        let found = match &mut state.origin {
            Origin::SinkLog { log, latest } => self.look_at_log(log, latest).await?,
            Origin::Undecided | Origin::Directories => self.look_at_directories(state).await?,
        };
        if matches!(state.origin, Origin::Undecided) && !found.files.is_empty() {
            state.origin = Origin::Directories;
            // A sink may have begun between the decision and the look.
            if exists(&self.definition.location.child(METADATA_DIR)).await? {
                state.origin = Origin::Undecided;
                return Box::pin(self.look(state)).await;
            }
        }
        state.roots = found.roots;
        let State {
            candidates, seen, ..
        } = state;
        // With `fileNameOnly`, taking a file may have made another one old.
        candidates.retain(|file| seen.is_new(&file.path, file.modified_ms));
        if found.files.is_empty() {
            return Ok(());
        }
        // Object stores and interrupted looks hand out files that are candidates already.
        let known: HashSet<_> = candidates.iter().map(|file| file.path.clone()).collect();
        candidates.extend(found.files.into_iter().filter(|file| {
            !known.contains(&file.path) && seen.is_new(&file.path, file.modified_ms)
        }));
        if self.options.latest_first {
            candidates.sort_by(|a, b| {
                (Reverse(a.modified_ms), &a.path).cmp(&(Reverse(b.modified_ms), &b.path))
            });
        } else {
            candidates.sort_by(|a, b| (a.modified_ms, &a.path).cmp(&(b.modified_ms, &b.path)));
        }
        Ok(())
    }

    async fn decide(&self, state: &mut State) -> Result<(), ConnectorError> {
        if !matches!(state.origin, Origin::Undecided) {
            return Ok(());
        }
        let metadata = self.definition.location.child(METADATA_DIR);
        if !exists(&metadata).await? {
            return Ok(());
        }
        let settings = &self.definition.settings;
        let options = settings.log_options(settings.sink_log, None);
        let log = SinkLog::open(storage::open(&metadata.url())?, options, Faults::none()).await?;
        state.origin = Origin::SinkLog {
            log: Box::new(log),
            latest: None,
        };
        Ok(())
    }

    async fn look_at_log(
        &self,
        log: &SinkLog,
        latest: &mut Option<u64>,
    ) -> Result<Found, ConnectorError> {
        let root = self.definition.location.path.clone();
        let mut found = Found {
            roots: vec![root],
            files: vec![],
        };
        log.refresh().await?;
        let now = log.latest_id().await;
        if now != *latest {
            let filter = self.definition.listing.name_filter.as_ref();
            let files = log.all_files(self.clock.now_ms()).await?;
            let files = files.into_iter().map(|file| NewFile {
                path: self.reading.fs.path_of(&file.path),
                size: file.size,
                modified_ms: file.modification_time,
            });
            found.files.extend(files.filter(|file| {
                filter.is_none_or(|glob| glob.matches(super::location::name_of(&file.path)))
            }));
            *latest = now;
        }
        Ok(found)
    }

    async fn look_at_directories(&self, state: &mut State) -> Result<Found, ConnectorError> {
        let FileDefinition {
            location,
            listing: options,
            ..
        } = &self.definition;
        // Missing only if an earlier look was cancelled half-way; what it knew is found again.
        let mut listing = state
            .listing
            .take()
            .unwrap_or_else(|| Listing::new(location.clone(), options.clone()));
        let (listing, found) = match location.fs {
            FileSystem::Local => {
                let looked = blocking(move || {
                    let found = listing.poll_local();
                    Ok((listing, found))
                });
                looked.await?
            }
            FileSystem::Object { .. } => {
                let found = listing.poll_store().await;
                (listing, found)
            }
        };
        state.listing = Some(listing);
        found
    }

    /// Takes the next files, if there are any, and records them.
    async fn take(&self, state: &mut State, limit: ReadLimit) -> Result<(), ConnectorError> {
        if state.frozen {
            // With `fileNameOnly`, the batch before may have made files old. Spark asks this of what is available now, not
            // of what other runs keep for the batches after a listing.
            let State {
                candidates, seen, ..
            } = &mut *state;
            candidates.retain(|file| seen.is_new(&file.path, file.modified_ms));
            state.cached = state.candidates.len();
        } else if state.cached == 0 {
            self.look(state).await?;
            state.cached = state.candidates.len();
        }
        let beyond = state
            .candidates
            .split_off(state.cached.min(state.candidates.len()));
        let pool = std::mem::take(&mut state.candidates);
        let leftovers = Leftovers {
            latest_first: self.options.latest_first,
            cached_max: self.options.cached_files_max,
            discard_ratio: self.options.discard_ratio,
        };
        let admission = admit(pool, limit, leftovers);
        if !admission.batch.is_empty() {
            self.record(state, &admission.batch).await?;
        }
        state.cached = admission.cached;
        state.candidates = admission.rest;
        state.candidates.extend(beyond);
        Ok(())
    }

    async fn record(&self, state: &mut State, files: &[NewFile]) -> Result<(), ConnectorError> {
        let number = state.latest + 1;
        let batch_id = number.unsigned_abs();
        let entry = |file: &NewFile| FileEntry {
            path: self.reading.fs.url(&file.path),
            timestamp: file.modified_ms,
            batch_id,
        };
        let entries = files.iter().map(entry).collect();
        self.log.add(batch_id, entries, self.clock.now_ms()).await?;
        state.latest = number;
        for file in files {
            state.seen.add(&file.path, file.modified_ms);
        }
        state.seen.purge();
        state.last_batch = files
            .iter()
            .map(|file| (file.path.clone(), file.clone()))
            .collect();
        tracing::debug!(record = number, files = files.len(), "files taken up");
        Ok(())
    }

    /// The files of the records *(start, end]*.
    async fn files(
        &self,
        state: &State,
        start: i64,
        end: i64,
    ) -> Result<Vec<NewFile>, ConnectorError> {
        if start >= end {
            return Ok(vec![]);
        }
        let entries = self
            .log
            .files((start + 1).unsigned_abs(), end.unsigned_abs())
            .await?;
        let mut files = Vec::with_capacity(entries.len());
        for entry in entries {
            let path = self.reading.fs.path_of(&entry.path);
            files.push(match state.last_batch.get(&path) {
                Some(file) => file.clone(),
                None => self.look_again(path, entry.timestamp).await?,
            });
        }
        Ok(files)
    }

    /// The size of a file that an earlier run recorded. One that is gone is found out when it is
    /// read.
    async fn look_again(&self, path: String, modified_ms: i64) -> Result<NewFile, ConnectorError> {
        use object_store::ObjectStoreExt;
        let size = match &self.reading.fs {
            FileSystem::Local => {
                let path = path.clone();
                let size = move || Ok(std::fs::metadata(path).map(|file| file.len()));
                blocking(size).await?.unwrap_or_default()
            }
            FileSystem::Object { store, .. } => {
                let head = store.head(&super::location::object_path(&path)).await;
                head.map(|object| object.size).unwrap_or_default()
            }
        };
        Ok(NewFile {
            path,
            size,
            modified_ms,
        })
    }

    /// Refuses a record of another directory's files: they are not the ones that were seen here. What a pattern stands
    /// for may change.
    async fn check_directory(&self, record: i64) -> Result<(), ConnectorError> {
        let location = &self.definition.location;
        let base = match &self.definition.base {
            Some(base) if is_glob(&location.path) => base,
            None if is_glob(&location.path) => return Ok(()),
            _ => &location.path,
        };
        let record = record.unsigned_abs();
        for file in self.log.files(record, record).await? {
            let path = self.reading.fs.path_of(&file.path);
            if !is_below(&path, base) {
                return Err(ConnectorError::WrongBasePath {
                    base_path: base.clone(),
                    path: self.reading.fs.hadoop_text(&path),
                });
            }
        }
        Ok(())
    }

    /// Where partition columns begin. Before the first listing only a path without a pattern tells.
    fn bases(&self, state: &State) -> Result<Vec<String>, ConnectorError> {
        let path = &self.definition.location.path;
        let roots = match state.roots.as_slice() {
            [] if !is_glob(path) => vec![path.clone()],
            roots => roots.to_vec(),
        };
        bases(self.definition.base.as_deref(), &roots)
    }
}

#[async_trait]
impl Source for FileSource {
    fn schema(&self) -> SchemaRef {
        self.reading.schema()
    }

    fn description(&self) -> String {
        format!(
            "FileStreamSource[{}]",
            self.definition.location.hadoop_text()
        )
    }

    async fn resume(&self, end: &Offset) -> Result<(), BoxError> {
        match record(end)? {
            BEFORE_FIRST => Ok(()),
            end => {
                self.log.check_reaches(end.unsigned_abs()).await?;
                Ok(self.check_directory(end).await?)
            }
        }
    }

    fn read_limit(&self) -> ReadLimit {
        self.options.limit
    }

    async fn latest_offset(
        &self,
        _start: Option<&Offset>,
        limit: ReadLimit,
    ) -> Result<Option<Offset>, BoxError> {
        let mut state = self.state.lock().await;
        self.take(&mut state, limit).await?;
        let offset = LogOffset {
            log_offset: state.latest,
        };
        Ok(match state.latest {
            BEFORE_FIRST => None,
            _ => Some(Offset::new(serde_json::to_string(&offset)?)),
        })
    }

    async fn plan_batch(
        &self,
        start: Option<&Offset>,
        end: &Offset,
    ) -> Result<Vec<Arc<dyn InputPartition>>, BoxError> {
        let start = start.map_or(Ok(BEFORE_FIRST), record)?;
        let end = record(end)?;
        let schema = self.definition.shown_schema();
        let case_sensitive = self.definition.settings.format.case_sensitive;
        check_all_names(schema.fields(), case_sensitive).map_err(ConnectorError::from)?;
        let state = self.state.lock().await;
        let bases = self.bases(&state)?;
        let mut planned = Vec::new();
        for file in self.files(&state, start, end).await? {
            // Spark takes the path for the base path of its partition columns, and refuses a file as one.
            if file.path == self.definition.location.path {
                return Err(ConnectorError::BasePathNotDirectory.into());
            }
            planned.push(self.reading.plan(file, &bases)?);
        }
        let settings = &self.definition.settings;
        let partitions = pack(
            planned,
            self.parallelism,
            settings.partition_bytes_max,
            settings.open_cost_bytes,
        );
        let partition = |files| -> Arc<dyn InputPartition> {
            Arc::new(FilePartition {
                reading: Arc::clone(&self.reading),
                files,
            })
        };
        Ok(partitions.into_iter().map(partition).collect())
    }

    async fn commit(&self, end: &Offset) -> Result<(), BoxError> {
        let end = record(end)?;
        let mut state = self.state.lock().await;
        if let Some(cleaner) = &self.cleaner {
            let start = state.committed.unwrap_or(end - 1).max(BEFORE_FIRST);
            if start < end {
                let files = self
                    .log
                    .files((start + 1).unsigned_abs(), end.unsigned_abs())
                    .await?;
                for file in files {
                    cleaner.clean(self.reading.fs.path_of(&file.path)).await;
                }
            }
        }
        state.committed = Some(end);
        Ok(())
    }

    async fn prepare_for_available_now(&self) -> Result<bool, BoxError> {
        let mut state = self.state.lock().await;
        self.look(&mut state).await?;
        state.frozen = true;
        Ok(true)
    }

    async fn stop(&self) {
        if let Some(cleaner) = &self.cleaner {
            cleaner.stop().await;
        }
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
