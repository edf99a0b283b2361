//! Stands in for `millstream_spark`'s session until that exists: confs and streams work, plans are refused.
#![allow(missing_docs)]
use std::{collections::BTreeMap, sync::Arc};

use datafusion::execution::SendableRecordBatchStream;
use millstream_engine::query::{ActiveQueries, StreamingQuery, StreamingQueryManager};
use millstream_spark::{conf::RuntimeConf, error::SparkError};
use spark_connect_proto::{
    DataType, Relation, WriteStreamOperationStart, analyze_plan_request::explain::ExplainMode,
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

/// Finds the bytes of a cached local relation by their hash.
pub type CachedLocal = Arc<dyn Fn(&str) -> Option<bytes::Bytes> + Send + Sync>;

#[derive(Debug, Clone)]
pub struct Session {
    environment: Arc<Environment>,
    conf: RuntimeConf,
    streams: StreamingQueryManager,
}

#[derive(Debug)]
pub struct Resolved {
    pub is_streaming: bool,
}

pub fn same_semantics(_one: &Resolved, _other: &Resolved) -> bool {
    false
}
pub fn semantic_hash(_resolved: &Resolved) -> i32 {
    0
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
    pub fn clone_session(&self, _session_id: &str) -> Self {
        Self {
            conf: self.conf.snapshot(),
            ..self.clone()
        }
    }
    pub fn set_cached_local(&self, _find: CachedLocal) {}
    pub fn conf(&self) -> &RuntimeConf {
        &self.conf
    }
    pub fn streams(&self) -> &StreamingQueryManager {
        &self.streams
    }
    pub async fn resolve(&self, _relation: &Relation) -> Result<Resolved, SparkError> {
        let _ = &self.environment;
        not_yet()
    }
    pub fn schema(&self, _resolved: &Resolved) -> DataType {
        DataType::default()
    }
    pub async fn execute(
        &self,
        _resolved: &Resolved,
    ) -> Result<SendableRecordBatchStream, SparkError> {
        not_yet()
    }
    pub fn tree_string(&self, _resolved: &Resolved, _level: Option<i32>) -> String {
        String::new()
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
    pub async fn start_query(
        &self,
        _start: &WriteStreamOperationStart,
    ) -> Result<StreamingQuery, SparkError> {
        not_yet()
    }
}
