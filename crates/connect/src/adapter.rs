//! Stands in for `millstream_spark`'s session until that exists: confs and streams work, plans are refused.
#![allow(missing_docs)]
use std::{collections::BTreeMap, sync::Arc};

use datafusion::execution::SendableRecordBatchStream;
use millstream_engine::query::{
    ActiveQueries, QueryFailure, StreamingQuery, StreamingQueryManager,
};
use millstream_spark::{conf::RuntimeConf, error::SparkError};
use spark_connect_proto::{
    DataType, Relation, StorageLevel, WriteStreamOperationStart,
    analyze_plan_request::explain::ExplainMode,
};
use tokio::runtime::Handle;

#[derive(Debug)]
pub struct Environment {
    conf: Arc<BTreeMap<String, String>>,
    plans: Handle,
    active: Arc<ActiveQueries>,
}

impl Environment {
    pub fn new(conf: Arc<BTreeMap<String, String>>, plans: Handle) -> Self {
        Self {
            conf,
            plans,
            active: Arc::default(),
        }
    }
}

#[derive(Debug)]
pub struct Session {
    environment: Arc<Environment>,
    conf: RuntimeConf,
    streams: StreamingQueryManager,
}

#[derive(Debug)]
pub struct Resolved;

impl Resolved {
    pub fn is_streaming(&self) -> bool {
        false
    }
    pub fn is_local(&self) -> bool {
        false
    }
    pub fn same_semantics(&self, _other: &Self) -> bool {
        false
    }
    pub fn semantic_hash(&self) -> i32 {
        0
    }
}

fn not_yet<T>() -> Result<T, SparkError> {
    Err(SparkError::unsupported("resolving plans"))
}

impl Session {
    pub fn new(environment: Arc<Environment>, _session_id: &str, _user_id: &str) -> Self {
        let conf = RuntimeConf::new(Arc::clone(&environment.conf));
        let streams =
            StreamingQueryManager::new(environment.plans.clone(), Arc::clone(&environment.active));
        Self {
            environment,
            conf,
            streams,
        }
    }
    pub fn clone_session(&self, session_id: &str) -> Self {
        Self::new(Arc::clone(&self.environment), session_id, "")
    }
    pub fn conf(&self) -> &RuntimeConf {
        &self.conf
    }
    pub fn streams(&self) -> &StreamingQueryManager {
        &self.streams
    }
    pub async fn resolve(&self, _relation: &Relation) -> Result<Resolved, SparkError> {
        not_yet()
    }
    pub fn schema(&self, _resolved: &Resolved) -> Result<DataType, SparkError> {
        not_yet()
    }
    pub async fn execute(
        &self,
        _resolved: &Resolved,
    ) -> Result<SendableRecordBatchStream, SparkError> {
        not_yet()
    }
    pub fn tree_string(
        &self,
        _resolved: &Resolved,
        _level: Option<i32>,
    ) -> Result<String, SparkError> {
        not_yet()
    }
    pub async fn explain(
        &self,
        _relation: &Relation,
        _mode: ExplainMode,
    ) -> Result<String, SparkError> {
        not_yet()
    }
    pub async fn input_files(&self, _resolved: &Resolved) -> Result<Vec<String>, SparkError> {
        not_yet()
    }
    pub fn ddl_parse(&self, _ddl: &str) -> Result<DataType, SparkError> {
        not_yet()
    }
    pub fn json_to_ddl(&self, _json: &str) -> Result<String, SparkError> {
        not_yet()
    }
    pub async fn persist(
        &self,
        _of: &Relation,
        _level: Option<StorageLevel>,
    ) -> Result<(), SparkError> {
        not_yet()
    }
    pub async fn unpersist(&self, _of: &Relation) -> Result<(), SparkError> {
        not_yet()
    }
    pub async fn storage_level(&self, _of: &Relation) -> Result<StorageLevel, SparkError> {
        not_yet()
    }
    pub async fn start_query(
        &self,
        _start: &WriteStreamOperationStart,
    ) -> Result<StreamingQuery, SparkError> {
        not_yet()
    }
}

/// The `StreamingQueryException` of a failed query.
pub fn query_exception(failure: &QueryFailure) -> SparkError {
    SparkError::internal(&failure.error)
}
