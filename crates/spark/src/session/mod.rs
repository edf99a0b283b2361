//! A session: one client's configuration, views and queries, and the way from a relation to rows.
//!
//! | module | owns |
//! |---|---|
//! | [`Environment`] | what all sessions of a process share: threads, tables, active queries |
//! | `catalog` | what names in plans mean: views, tables, memory sinks, data sources |
//! | `settings` | confs as connectors know them |
//! | `execute` | running a resolved plan, rows as clients want them |
//! | `command` | statements that are not queries |
//! | `listing` | `SHOW`, `DESCRIBE`, `spark.catalog` |
//! | `ddl` | tables made, filled and dropped by SQL |
//! | `observed` | metrics that plans observe, as clients are told them |
//! | `tables` | saved tables and writes to files; `streamed`: streams into them |
//! | `relations` | which files saved tables have |
//!
//! Resolution may read files (schema inference) and is CPU work on deep trees, so it runs on a blocking thread; plans run on
//! the environment's plan runtime.
mod catalog;
mod command;
mod ddl;
mod environment;
mod execute;
mod in_order;
mod listing;
mod observed;
mod relations;
mod settings;
mod streamed;
mod tables;

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::datatypes::Schema;
use bytes::Bytes;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use millstream_connectors::memory::MemoryTables;
use millstream_engine::{
    operator::observe::ObservedMetrics,
    query::{StreamingQuery, StreamingQueryManager},
};
use spark_connect_proto::{
    Command, DataType as ProtoType, Relation, WriteStreamOperationStart,
    analyze_plan_request::explain::ExplainMode,
};

pub use command::CommandOutput;
pub(crate) use environment::DEFAULT_DATABASE;
pub use environment::Environment;
pub use execute::refuse_streaming;
pub use observed::Observed;

use crate::{
    conf::RuntimeConf,
    error::{Result, SparkError},
    functions::FunctionContext,
    planner::Planner,
    scope::{ColumnIds, Resolved},
    sql, streaming, types,
};
use catalog::SessionCatalog;
use relations::Relations;

/// Finds the bytes of a cached local relation by their hash.
pub type CachedLocal = Arc<dyn Fn(&str) -> Option<Bytes> + Send + Sync>;

/// A session; clones are the same session.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
    /// Where plans that this handle runs report their observed metrics.
    observed: Option<Arc<ObservedMetrics>>,
}

struct Inner {
    environment: Arc<Environment>,
    id: String,
    user: String,
    conf: RuntimeConf,
    streams: StreamingQueryManager,
    views: Mutex<HashMap<String, Resolved>>,
    cached: Mutex<HashMap<String, Resolved>>,
    relations: Relations,
    memory_tables: MemoryTables,
    cached_local: Mutex<Option<CachedLocal>>,
    state: SessionState,
    /// Plans that views keep; see [`ColumnIds::of_generation`].
    kept_plans: AtomicU64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.inner.id)
            .finish()
    }
}

/// A panic elsewhere leaves the maps consistent: they are changed by single calls.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// A new session with the server's configuration.
    pub fn new(environment: Arc<Environment>, session_id: &str, user_id: &str) -> Self {
        let conf = RuntimeConf::new(Arc::clone(environment.conf()));
        Self::with_conf(environment, session_id, user_id, conf)
    }

    fn with_conf(
        environment: Arc<Environment>,
        session_id: &str,
        user_id: &str,
        conf: RuntimeConf,
    ) -> Self {
        let inner = Inner {
            id: session_id.to_string(),
            user: user_id.to_string(),
            streams: environment.query_manager(),
            views: Mutex::default(),
            cached: Mutex::default(),
            relations: Relations::default(),
            memory_tables: MemoryTables::default(),
            cached_local: Mutex::default(),
            state: environment.session_state(),
            kept_plans: AtomicU64::new(0),
            conf,
            environment,
        };
        Self {
            inner: Arc::new(inner),
            observed: None,
        }
    }

    /// The same session for one operation, and the collector of what its plans observe.
    pub fn observing(&self) -> (Self, Observed) {
        let collector = Arc::new(ObservedMetrics::default());
        let session = Self {
            observed: Some(Arc::clone(&collector)),
            ..self.clone()
        };
        (session, Observed(collector))
    }

    /// A session that begins with this one's configuration and views.
    pub fn clone_session(&self, session_id: &str) -> Self {
        let inner = &self.inner;
        let copy = Self::with_conf(
            Arc::clone(&inner.environment),
            session_id,
            &inner.user,
            inner.conf.snapshot(),
        );
        lock(&copy.inner.views).clone_from(&lock(&inner.views));
        *lock(&copy.inner.cached_local) = lock(&inner.cached_local).clone();
        copy
    }

    /// Says where large local relations are found that a client uploaded.
    pub fn set_cached_local(&self, find: CachedLocal) {
        *lock(&self.inner.cached_local) = Some(find);
    }

    /// Id of the session.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The configuration.
    pub fn conf(&self) -> &RuntimeConf {
        &self.inner.conf
    }

    /// The streaming queries.
    pub fn streams(&self) -> &StreamingQueryManager {
        &self.inner.streams
    }

    /// What sessions share.
    pub fn environment(&self) -> &Arc<Environment> {
        &self.inner.environment
    }

    /// Resolves a relation: names, types, casts.
    ///
    /// # Errors
    /// What is wrong with it, as Spark would say it.
    pub async fn resolve(&self, relation: &Relation) -> Result<Resolved> {
        let relation = relation.clone();
        self.blocking(move |session| session.with_planner(|planner| planner.relation(&relation)))
            .await
    }

    /// Runs work that may block on a thread for that.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let session = self.clone();
        let span = tracing::Span::current();
        let done = tokio::task::spawn_blocking(move || span.in_scope(|| work(&session))).await;
        done.unwrap_or_else(|error| Err(SparkError::internal(format!("resolution ended: {error}"))))
    }

    /// Gives `work` a planner of its own.
    fn with_planner<T>(&self, work: impl FnOnce(&Planner<'_>) -> Result<T>) -> Result<T> {
        let catalog = SessionCatalog {
            session: self.clone(),
        };
        let ids = ColumnIds::of_generation(self.inner.kept_plans.load(Ordering::Relaxed));
        let planner = Planner::new(&catalog, self.function_context(), &ids);
        work(&planner)
    }

    /// How many threads one plan of this session may keep busy: `spark.default.parallelism`, which a program's own
    /// `master("local[N]")` sets, else all that the engine has.
    pub(crate) fn parallelism(&self) -> usize {
        let wanted = self.inner.conf.integer("spark.default.parallelism");
        wanted
            .and_then(|count| usize::try_from(count).ok())
            .filter(|count| *count > 0)
            .unwrap_or(self.inner.environment.streaming().parallelism)
    }

    /// DataFusion's session, for plans of this session's parallelism.
    fn state(&self) -> SessionState {
        let mut state = self.inner.state.clone();
        let execution = &mut state.config_mut().options_mut().execution;
        execution.target_partitions = self.parallelism();
        state
    }

    fn function_context(&self) -> FunctionContext {
        let conf = self.inner.conf.snapshot();
        FunctionContext {
            eval: conf.eval_context(),
            conf,
            now_us: self
                .inner
                .environment
                .streaming()
                .clock
                .now_ms()
                .saturating_mul(1000),
            user: self.inner.user.clone(),
            database: environment::DEFAULT_DATABASE.to_string(),
        }
    }

    /// The rows of a batch relation, under the names users see.
    ///
    /// # Errors
    /// A streaming relation is refused; so is what cannot be planned. Errors of running come from the stream.
    pub async fn execute(&self, resolved: &Resolved) -> Result<SendableRecordBatchStream> {
        execute::execute(self, resolved).await
    }

    /// Runs a command.
    ///
    /// # Errors
    /// What is wrong with it, as Spark would say it.
    pub async fn command(&self, command: &Command) -> Result<CommandOutput> {
        command::run(self, command).await
    }

    /// Starts a streaming query.
    ///
    /// # Errors
    /// What is wrong with the request; what fails later ends the query.
    pub async fn start_query(&self, start: &WriteStreamOperationStart) -> Result<StreamingQuery> {
        let input = start
            .input
            .as_ref()
            .ok_or_else(|| SparkError::internal("a streaming write without input"))?;
        let resolved = self.resolve(input).await?;
        let start = streamed::into_table(self, start, &resolved)?;
        let output = execute::Output::of(&resolved)?;
        let conf = self.inner.conf.snapshot();
        let input = streaming::StreamingInput {
            plan: output.plan,
            schema: Arc::new(Schema::new(resolved.fields())),
            session: self.state(),
            connectors: settings::connectors(&conf, self.parallelism())?,
            parallelism: self.parallelism(),
            conf,
            memory_tables: self.inner.memory_tables.clone(),
        };
        // The loop, its sources and its sink belong to the plan runtime.
        let environment = Arc::clone(&self.inner.environment);
        let manager = self.inner.streams.clone();
        let runtime = self.inner.environment.plans().clone();
        let started = runtime
            .spawn(async move {
                streaming::start(&start, input, environment.streaming(), &manager).await
            })
            .await;
        started.unwrap_or_else(|error| {
            Err(SparkError::internal(format!(
                "starting a query ended: {error}"
            )))
        })
    }

    /// The schema that clients see.
    pub fn schema(&self, resolved: &Resolved) -> ProtoType {
        types::schema_to_proto(&resolved.fields())
    }

    /// `printSchema()`.
    pub fn tree_string(&self, resolved: &Resolved, level: Option<i32>) -> String {
        let fields = resolved.fields();
        types::tree_string(fields.iter().map(AsRef::as_ref), level.unwrap_or(i32::MAX))
    }

    /// `explain()`.
    ///
    /// # Errors
    /// If the relation cannot be resolved or planned.
    pub async fn explain(&self, relation: &Relation, mode: ExplainMode) -> Result<String> {
        let resolved = self.resolve(relation).await?;
        execute::explain(self, &resolved, mode).await
    }

    /// The files that a batch relation reads.
    ///
    /// # Errors
    /// If it cannot be planned.
    pub async fn input_files(&self, resolved: &Resolved) -> Result<Vec<String>> {
        Ok(tables::input_files(&resolved.plan)?)
    }

    /// The type that DDL text describes.
    ///
    /// # Errors
    /// If it cannot be parsed.
    pub fn ddl_parse(&self, ddl: &str) -> Result<ProtoType> {
        Ok(sql::parse_ddl(ddl)?)
    }

    /// A schema in JSON as DDL.
    ///
    /// # Errors
    /// If it is not one.
    pub fn json_to_ddl(&self, json: &str) -> Result<String> {
        let schema = types::schema_from_json(json)?;
        let columns = schema.fields().iter().map(|field| {
            let null = if field.is_nullable() { "" } else { " NOT NULL" };
            format!(
                "{} {}{null}",
                field.name(),
                types::sql_name(field.data_type())
            )
        });
        Ok(columns.collect::<Vec<_>>().join(","))
    }

    /// A stream as a temporary view, for programs that make their own sources.
    ///
    /// # Errors
    /// If the plan is not what a table can be.
    pub fn create_view(&self, name: &str, resolved: Resolved) -> Result<()> {
        self.inner.kept_plans.fetch_add(1, Ordering::Relaxed);
        lock(&self.inner.views).insert(name.to_ascii_lowercase(), resolved);
        Ok(())
    }
}

/// Whether two relations give the same result because they are the same plan.
pub fn same_semantics(one: &Resolved, other: &Resolved) -> bool {
    canonical(one) == canonical(other)
}

/// A number that relations with the same semantics share.
pub fn semantic_hash(resolved: &Resolved) -> i32 {
    let mut hasher = DefaultHasher::new();
    canonical(resolved).hash(&mut hasher);
    (hasher.finish() & 0x7fff_ffff) as i32
}

/// Column ids count from zero in every resolution, so equal programs have equal texts.
fn canonical(resolved: &Resolved) -> String {
    let output: Vec<_> = resolved
        .output
        .iter()
        .map(|attribute| attribute.column.name.as_str())
        .collect();
    format!(
        "{}\n{}",
        output.join(","),
        resolved.plan.display_indent_schema()
    )
}
