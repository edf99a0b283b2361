//! A server that compares queries with a checkpoint instead of running them (`millstream checkpoint explain`).
use std::sync::{Arc, Mutex, PoisonError};

use millstream_checkpoint::{StorageError, storage};
use millstream_engine::query::{QuerySpec, RestartReport, StreamingQuery, rehearse};

use crate::error::{Exception, Result, SparkError};

/// No query is started; those of one checkpoint are compared with it. Clones share what was found.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    checkpoint: String,
    told: Arc<Mutex<Vec<Rehearsed>>>,
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
    /// Of the checkpoint at a path or URL.
    ///
    /// # Errors
    /// When that is no location.
    pub fn of(checkpoint: &str) -> std::result::Result<Self, StorageError> {
        Ok(Self {
            checkpoint: storage::open(checkpoint)?.url().to_string(),
            told: Arc::default(),
        })
    }

    /// The checkpoint, as a URL.
    pub fn checkpoint(&self) -> &str {
        &self.checkpoint
    }

    /// What was found so far.
    pub fn told(&self) -> Vec<Rehearsed> {
        self.told
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Compares the query if it is one of the checkpoint; never starts it.
    pub(super) async fn instead_of_start(&self, spec: QuerySpec) -> Result<StreamingQuery> {
        let location = storage::open(&spec.checkpoint.url);
        let location = location.map_err(millstream_engine::EngineError::Storage)?;
        if location.url() == self.checkpoint {
            let report = rehearse(&spec).await.unwrap_or_else(|error| RestartReport {
                refusal: Some(super::failure::cause_of(&error).message.clone()),
                ..RestartReport::default()
            });
            self.told
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Rehearsed {
                    name: spec.name,
                    report,
                });
        }
        Err(SparkError::plain(
            Exception::Spark,
            format!(
                "the query was not started: only its checkpoint was asked about ({})",
                self.checkpoint
            ),
        ))
    }
}
