//! What all sessions of a process share.
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use datafusion::{
    execution::{SessionState, SessionStateBuilder, runtime_env::RuntimeEnv},
    prelude::SessionConfig,
};
use millstream_engine::{
    plan::StreamingQueryPlanner,
    query::{ActiveQueries, StreamingQueryManager},
};
use tokio::runtime::Handle;

use super::{lock, tables::SavedTable};
use crate::{scope::Resolved, streaming::StreamingEnvironment};

/// The database that names without one are in.
pub(crate) const DEFAULT_DATABASE: &str = "default";

/// What all sessions share. Tables live as long as the process, as with Spark's in-memory catalog.
#[derive(Debug)]
pub struct Environment {
    conf: Arc<BTreeMap<String, String>>,
    plans: Handle,
    streaming: StreamingEnvironment,
    active: Arc<ActiveQueries>,
    runtime: Arc<RuntimeEnv>,
    warehouse: PathBuf,
    pub(super) tables: Mutex<HashMap<String, SavedTable>>,
    pub(super) global_views: Mutex<HashMap<String, Resolved>>,
}

impl Environment {
    /// An environment whose plans run on `plans`.
    pub fn new(
        conf: Arc<BTreeMap<String, String>>,
        plans: Handle,
        streaming: StreamingEnvironment,
    ) -> Self {
        let warehouse = conf
            .get("spark.sql.warehouse.dir")
            .map_or("spark-warehouse", String::as_str);
        let warehouse = PathBuf::from(
            warehouse
                .trim_start_matches("file://")
                .trim_start_matches("file:"),
        );
        let rehearsal = streaming.rehearsal.as_ref();
        let warehouse = rehearsal.map_or(warehouse, |rehearsal| rehearsal.warehouse());
        Self {
            conf,
            plans,
            streaming,
            active: Arc::default(),
            runtime: Arc::default(),
            warehouse,
            tables: Mutex::default(),
            global_views: Mutex::default(),
        }
    }

    /// Configuration that the server was started with.
    pub fn conf(&self) -> &Arc<BTreeMap<String, String>> {
        &self.conf
    }

    /// Where plans run.
    pub fn plans(&self) -> &Handle {
        &self.plans
    }

    /// What streaming queries need.
    pub fn streaming(&self) -> &StreamingEnvironment {
        &self.streaming
    }

    /// Folder of tables without a location of their own.
    pub fn warehouse(&self) -> &PathBuf {
        &self.warehouse
    }

    /// Whether something may be done to the files at a path: not in a rehearsal, which is told `what` it was.
    pub(super) fn permits(&self, path: &str, what: impl FnOnce() -> String) -> bool {
        let rehearsal = self.streaming.rehearsal.as_ref();
        rehearsal.is_none_or(|rehearsal| rehearsal.permits(path, what))
    }

    pub(super) fn query_manager(&self) -> StreamingQueryManager {
        StreamingQueryManager::new(self.plans.clone(), Arc::clone(&self.active))
    }

    /// A DataFusion session over the process's memory pool.
    pub(super) fn session_state(&self) -> SessionState {
        let config = SessionConfig::new()
            .with_target_partitions(self.streaming.parallelism)
            .with_information_schema(false)
            // The rule mistakes two columns of one origin for duplicates when it moves field accesses below projections.
            .set_bool(
                "datafusion.optimizer.enable_leaf_expression_pushdown",
                false,
            )
            // Rows dealt out to threads would come back in another order.
            .with_round_robin_repartition(false);
        SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(Arc::clone(&self.runtime))
            .with_query_planner(Arc::new(StreamingQueryPlanner))
            .with_physical_optimizer_rule(Arc::new(super::in_order::MergeInOrder))
            .build()
    }

    pub(super) fn global_view(&self, name: &str) -> Option<Resolved> {
        lock(&self.global_views)
            .get(&name.to_ascii_lowercase())
            .cloned()
    }

    pub(super) fn saved_table(&self, name: &str) -> Option<SavedTable> {
        lock(&self.tables).get(&name.to_ascii_lowercase()).cloned()
    }
}
