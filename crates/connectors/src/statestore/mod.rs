//! `statestore` and `state-metadata`: the state of a checkpoint as a table.
//!
//! Batch readers only, as in Spark. The table's columns are decided when the plan is made, from the newest file of the
//! store; its rows are read when it runs. A state of the columnar log and one of the LSM tree read alike. Reading needs
//! nothing of the query and disturbs none that runs.
//!
//! Options are Spark's (`options`), and of a join `joinSide` tells the rows that each side keeps. Its stores have names of
//! their own, because they are others: `left` and `right`, where Spark has a count per key (`left-keyToNumValues`) and rows
//! numbered per key (`left-keyWithIndexToValue`). Here a row is told apart by when it came, not by a number that moves when
//! another row goes, and only outer joins remember which rows had a match; so those two stores cannot be shown as Spark
//! shows them, and asking for them is asking for a store that is not there. The change feed of a join is that of `left` or
//! `right`; with `joinSide` Spark refuses it, too.
mod columns;
mod error;
mod metadata;
mod options;
mod partitions;
mod types;

use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    datasource::MemTable,
    error::{DataFusionError, Result as DfResult},
    logical_expr::{Expr, TableType},
    physical_plan::ExecutionPlan,
};
use millstream_checkpoint::{CheckpointDir, Faults, storage};
use millstream_state::{StateReader, StateStoreId};

use self::{
    columns::StateColumns,
    options::{Extent, JoinSide, StateReadOptions},
    partitions::Partitions,
};
use crate::{error::ConnectorError, options::Options, registry::SourceRequest};

pub use error::StateDataError;
pub use metadata::PREFIX_COLUMN;

/// The checkpoint that a request names.
fn checkpoint(request: &SourceRequest) -> Result<CheckpointDir, ConnectorError> {
    let path = request.paths.first().map(String::as_str);
    let path = path.or_else(|| request.options.get("path"));
    let option = "path";
    let path = path.ok_or(StateDataError::Required { option })?;
    Ok(CheckpointDir::new(storage::open(path)?, Faults::none()))
}

/// The table of `statestore` or `state-metadata`.
///
/// # Errors
/// What is wrong with the options or the checkpoint, in Spark's words.
pub async fn table(request: &SourceRequest) -> Result<Arc<dyn TableProvider>, ConnectorError> {
    let is_metadata = request.format.eq_ignore_ascii_case("state-metadata");
    if request.user_schema.is_some() {
        return Err(ConnectorError::UserSchema {
            provider: match is_metadata {
                true => "StateMetadataSource",
                false => "StateDataSource",
            },
        });
    }
    let dir = checkpoint(request)?;
    if is_metadata {
        return metadata::table(&dir, &request.options).await;
    }
    Ok(Arc::new(StateTable::resolve(dir, &request.options).await?))
}

/// The state of an operator's store, or its changes.
#[derive(Debug)]
struct StateTable {
    reader: StateReader,
    options: StateReadOptions,
    /// Partitions that have the store.
    stores: Vec<StateStoreId>,
    partitions: Partitions,
    columns: StateColumns,
    stored: millstream_state::StateSchema,
    schema: SchemaRef,
}

impl StateTable {
    async fn resolve(dir: CheckpointDir, options: &Options) -> Result<Self, ConnectorError> {
        let options = StateReadOptions::parse(options, &dir).await?;
        let reader = StateReader::new(dir.state());
        let no_schema = || StateDataError::NoSchema {
            options: options.describe(dir.location()),
        };
        let all = reader.stores().await.map_err(StateDataError::State)?;
        let of_operator = |id: &&StateStoreId| id.operator_id == options.operator_id;
        if let Some(operator) = metadata::operator_name(&dir, options.operator_id).await? {
            options.check_operator(&operator)?;
        }
        let store_name = match options.join_side {
            None => options.store_name.as_str(),
            Some(JoinSide::Left) => "left",
            Some(JoinSide::Right) => "right",
        };
        let mut stores: Vec<StateStoreId> = all
            .iter()
            .filter(of_operator)
            .filter(|id| id.store_name == store_name)
            .cloned()
            .collect();
        let partitions = Partitions::read(&dir, &options.extent).await?;
        stores.retain(|id| partitions.ever_had(id.partition));
        let version = options.batch_id() + 1;
        let stored = match stores.first() {
            Some(id) => reader
                .schema(id, version)
                .await
                .map_err(StateDataError::State)?,
            None => None,
        };
        let stored = stored.ok_or_else(no_schema)?;
        if let Extent::FromSnapshot { partition, .. } = options.extent {
            stores.retain(|id| id.partition == partition);
            if stores.is_empty() {
                return Err(StateDataError::NoPartition {
                    partition,
                    operator: options.operator_id,
                    location: format!("{}/state", dir.location()),
                }
                .into());
            }
        }
        let columns = match options.join_side {
            None => StateColumns::new(&stored),
            Some(_) => {
                let columns = StateColumns::of_join(&stored);
                columns.ok_or_else(|| ConnectorError::Unsupported {
                    feature: "the option joinSide of the state reader for a checkpoint of an earlier release"
                        .to_owned(),
                })?
            }
        };
        let schema = match options.extent {
            Extent::Changes { .. } => columns.change_schema(),
            Extent::Batch(_) | Extent::FromSnapshot { .. } => columns.state_schema(),
        };
        Ok(Self {
            reader,
            options,
            stores,
            partitions,
            columns,
            stored,
            schema,
        })
    }

    /// The rows of one partition.
    async fn rows(&self, id: &StateStoreId) -> Result<Vec<RecordBatch>, ConnectorError> {
        let version = self.options.batch_id() + 1;
        let failed = StateDataError::State;
        let Extent::Changes { start, end } = self.options.extent else {
            let store = self.reader.open(id, &self.stored, version).await;
            let entries = store.and_then(|store| store.scan()).map_err(failed)?;
            let rows = entries
                .iter()
                .map(|entries| self.columns.state(entries, id.partition));
            return Ok(rows.collect::<Result<_, _>>()?);
        };
        let mut store = None;
        let mut rows = vec![];
        for batch_id in start..=end {
            if self.partitions.moved_by(batch_id) || !self.partitions.had(batch_id, id.partition) {
                // The same rows in other partitions are no change; the partition begins anew after it, or ends.
                store = None;
                continue;
            }
            let store = match &mut store {
                Some(store) => store,
                None => store.insert(
                    self.reader
                        .open(id, &self.stored, batch_id)
                        .await
                        .map_err(failed)?,
                ),
            };
            let changes = self
                .reader
                .changes(store.as_mut(), &self.stored, batch_id + 1);
            let changes = changes.await.map_err(failed)?;
            for (entries, removed) in [(&changes.updated, false), (&changes.removed, true)] {
                for entries in entries {
                    let partition = id.partition;
                    rows.push(
                        self.columns
                            .changes(entries, partition, batch_id, removed)?,
                    );
                }
            }
        }
        Ok(rows)
    }
}

#[async_trait]
impl TableProvider for StateTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let mut partitions = vec![];
        for id in &self.stores {
            let rows = self.rows(id).await;
            partitions.push(rows.map_err(|error| DataFusionError::External(Box::new(error)))?);
        }
        let table = MemTable::try_new(Arc::clone(&self.schema), partitions)?;
        table.scan(state, projection, filters, limit).await
    }
}
