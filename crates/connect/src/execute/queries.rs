//! The streaming queries that a session's client may still ask about.
//!
//! The engine forgets a query when it ends; clients read `lastProgress` and `exception()` afterwards. So a handle is
//! kept from the start of a query until [`KEPT_MS`] after it was first seen ended.
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use millstream_engine::query::StreamingQuery;
use millstream_spark::error::{Exception, SparkError};
use spark_connect_proto::StreamingQueryInstanceId;

/// How long an ended query can be asked about, in milliseconds.
const KEPT_MS: i64 = 60 * 60 * 1000;

/// The queries of one session, by run.
#[derive(Debug, Default)]
pub struct Queries {
    by_run: Mutex<HashMap<String, Known>>,
}

#[derive(Debug)]
struct Known {
    query: StreamingQuery,
    ended_at_ms: Option<i64>,
}

impl Queries {
    /// Remembers a query that was started.
    pub fn add(&self, query: StreamingQuery) {
        self.lock().insert(
            query.run_id().to_string(),
            Known {
                query,
                ended_at_ms: None,
            },
        );
    }

    /// The query a client means.
    pub fn find(&self, instance: &StreamingQueryInstanceId) -> Result<StreamingQuery, SparkError> {
        let queries = self.lock();
        if let Some(known) = queries.get(&instance.run_id) {
            return Ok(known.query.clone());
        }
        match queries
            .values()
            .find(|known| known.query.id().to_string() == instance.id)
        {
            Some(other) => Err(SparkError::new(
                Exception::InvalidPlan,
                "CONNECT_INVALID_PLAN.STREAMING_QUERY_RUN_ID_MISMATCH",
                &[
                    ("id", &instance.id),
                    ("runId", &instance.run_id),
                    ("serverRunId", &other.query.run_id().to_string()),
                ],
            )),
            None => Err(SparkError::new(
                Exception::InvalidPlan,
                "CONNECT_INVALID_PLAN.STREAMING_QUERY_NOT_FOUND",
                &[("id", &instance.id)],
            )),
        }
    }

    /// Forgets the queries that ended long enough ago.
    pub fn expire(&self, now_ms: i64) {
        self.lock().retain(|_, known| {
            if known.query.is_active() {
                return true;
            }
            now_ms - *known.ended_at_ms.get_or_insert(now_ms) < KEPT_MS
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.by_run.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
