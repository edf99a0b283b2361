//! A server that compares a query with a checkpoint instead of running it (`millstream checkpoint explain`).
//!
//! A program has to run up to the query, and nothing that it does to the data on the way may have an effect:
//!
//! | the program | what happens |
//! |---|---|
//! | starts the query of the checkpoint | it is compared; the answer is there, so the program need not go on |
//! | starts another query | a stand-in starts in its place: it reads nothing, writes nothing and has ended |
//! | makes, fills or drops a managed table | so it is, in a warehouse of its own, which goes away at the end |
//! | writes files elsewhere, or a table at a location of its own | left out, and told; what it reads there is what was there |
//! | collects, shows, counts | as ever: the program may need the result to go on |
//!
//! What a program does without the engine, with files that it opens itself, say, nobody sees.
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use arrow::datatypes::{DataType, Field, Schema};
use millstream_checkpoint::{StorageError, storage};
use millstream_connectors::noop::NoopSink;
use millstream_engine::{
    plan::OutputMode,
    query::{
        CheckpointLocation, QuerySpec, RestartReport, StreamingQuery, StreamingQueryManager,
        Trigger, rehearse,
    },
    source::{MemoryStream, StreamTable},
};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::error::{Result, SparkError};

/// No query is started; that of one checkpoint is compared with it. Clones share what was found.
#[derive(Debug, Clone)]
pub struct Rehearsal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    checkpoint: String,
    /// Managed tables, and checkpoints of stand-ins.
    scratch: PathBuf,
    found: Mutex<Found>,
    compared: Notify,
}

#[derive(Debug, Default)]
struct Found {
    queries: Vec<Rehearsed>,
    left_out: Vec<String>,
}

/// A query that was compared.
#[derive(Debug, Clone)]
pub struct Rehearsed {
    /// Its name.
    pub name: Option<String>,
    /// What its start would have met.
    pub report: RestartReport,
}

impl Rehearsal {
    /// Of the checkpoint at a path or URL; a folder of its own below `temporary` takes what must go somewhere.
    ///
    /// # Errors
    /// When that is no location.
    pub fn of(checkpoint: &str, temporary: &Path) -> std::result::Result<Self, StorageError> {
        Ok(Self(Arc::new(Inner {
            checkpoint: storage::open(checkpoint)?.url().to_string(),
            scratch: temporary.join(format!("rehearsal-{}", Uuid::new_v4())),
            found: Mutex::default(),
            compared: Notify::new(),
        })))
    }

    /// The checkpoint, as a URL.
    pub fn checkpoint(&self) -> &str {
        &self.0.checkpoint
    }

    /// What was found so far.
    pub fn told(&self) -> Vec<Rehearsed> {
        self.found().queries.clone()
    }

    /// Effects of the program that it did not have.
    pub fn left_out(&self) -> Vec<String> {
        self.found().left_out.clone()
    }

    /// Waits until the query was compared.
    pub async fn compared(&self) {
        self.0.compared.notified().await;
    }

    /// Deletes what had to go somewhere.
    pub fn clean(&self) {
        match std::fs::remove_dir_all(&self.0.scratch) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(folder = %self.0.scratch.display(), %error, "cannot delete the folder of the rehearsal");
            }
            _ => {}
        }
    }

    /// Folder of managed tables.
    pub(crate) fn warehouse(&self) -> PathBuf {
        self.0.scratch.join("warehouse")
    }

    /// Whether something may be done to the files at a path. If not, `what` is told as left out.
    pub(crate) fn permits(&self, path: &str, what: impl FnOnce() -> String) -> bool {
        let ours = Path::new(path.trim_start_matches("file://")).starts_with(&self.0.scratch);
        if !ours {
            self.found().left_out.push(what());
        }
        ours
    }

    /// Compares the query if it is the checkpoint's, which does not return; otherwise starts a stand-in.
    pub(super) async fn instead_of_start(
        &self,
        spec: QuerySpec,
        manager: &StreamingQueryManager,
    ) -> Result<StreamingQuery> {
        if !self.is_asked_about(&spec.checkpoint)? {
            return Ok(manager.start(self.stand_in(spec)?).await?);
        }
        let report = rehearse(&spec).await;
        let report = report.unwrap_or_else(|error| refused(&super::failure::cause_of(&error)));
        self.tell(spec.name, report).await
    }

    /// A query that was refused before it was one. That is an answer too, if it is the checkpoint's.
    pub(super) async fn instead_of_refusal(
        &self,
        name: Option<String>,
        checkpoint: &CheckpointLocation,
        refusal: SparkError,
    ) -> Result<StreamingQuery> {
        match self.is_asked_about(checkpoint)? {
            true => self.tell(name, refused(&refusal)).await,
            false => Err(refusal),
        }
    }

    fn is_asked_about(&self, checkpoint: &CheckpointLocation) -> Result<bool> {
        let location = storage::open(&checkpoint.url);
        let location = location.map_err(millstream_engine::EngineError::Storage)?;
        Ok(location.url() == self.0.checkpoint)
    }

    /// Keeps the answer. The program, which waits for its query, is about to be ended.
    async fn tell(&self, name: Option<String>, report: RestartReport) -> Result<StreamingQuery> {
        self.found().queries.push(Rehearsed { name, report });
        self.0.compared.notify_one();
        std::future::pending().await
    }

    /// A query of the same name, over nothing and into nothing.
    fn stand_in(&self, spec: QuerySpec) -> Result<QuerySpec> {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
        let nothing = StreamTable::new(Arc::new(MemoryStream::new(Arc::clone(&schema))));
        let checkpoint = self.0.scratch.join(Uuid::new_v4().to_string());
        Ok(QuerySpec {
            plan: nothing.scan_plan()?,
            schema,
            sink: Arc::new(NoopSink),
            output_mode: OutputMode::Append,
            trigger: Trigger::AvailableNow,
            checkpoint: CheckpointLocation {
                url: checkpoint.to_string_lossy().into_owned(),
                temporary: true,
            },
            ..spec
        })
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.0.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refused(refusal: &SparkError) -> RestartReport {
    RestartReport {
        refusal: Some(refusal.message.clone()),
        ..RestartReport::default()
    }
}
