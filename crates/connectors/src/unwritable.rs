//! A sink that was given wrong options.
//!
//! Spark reads the options of a sink when the first batch is written: the query starts, and fails. So does one that is
//! written here.
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use millstream_engine::{
    BoxError,
    sink::{BatchWriter, CommitMessage, Sink, SinkBatch},
};

use crate::error::ConnectorError;

/// Fails its query's first batch.
#[derive(Debug)]
pub(crate) struct UnwritableSink {
    description: String,
    counts_rows: bool,
    error: Mutex<Option<ConnectorError>>,
}

impl UnwritableSink {
    /// Stands for the sink that reports call `description`, whose options are wrong in the way that `error` tells.
    pub fn new(description: String, counts_rows: bool, error: ConnectorError) -> Self {
        Self {
            description,
            counts_rows,
            error: Mutex::new(Some(error)),
        }
    }
}

#[async_trait]
impl Sink for UnwritableSink {
    fn description(&self) -> String {
        self.description.clone()
    }

    fn counts_rows(&self) -> bool {
        self.counts_rows
    }

    async fn begin(&self, _batch: &SinkBatch) -> Result<Arc<dyn BatchWriter>, BoxError> {
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        Err(match error.take() {
            Some(error) => error.into(),
            None => format!("{} was given wrong options", self.description).into(),
        })
    }

    async fn commit(&self, _: &SinkBatch, _: Vec<CommitMessage>) -> Result<(), BoxError> {
        Ok(())
    }
}
