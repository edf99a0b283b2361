//! `state-metadata`: the stateful operators of a checkpoint, one row per store.
use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Int32Array, Int64Array, RecordBatch, StringArray, new_null_array},
    datatypes::{DataType, Field, Schema},
};
use datafusion::{catalog::TableProvider, datasource::MemTable};
use millstream_checkpoint::{CheckpointDir, storage::StorageError};
use millstream_state::{StateReader, StateStoreId};
use serde::Deserialize;

use super::StateDataError;
use crate::{error::ConnectorError, options::Options};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperatorMetadata {
    operator_info: OperatorInfo,
    #[serde(default)]
    state_store_info: Vec<StoreInfo>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoreInfo {
    store_name: String,
    num_cols_prefix_key: i32,
}

impl OperatorMetadata {
    /// Leading key columns that scans of a store go by.
    fn prefix_of(&self, store_name: &str) -> i32 {
        let mut stores = self.state_store_info.iter();
        let store = stores.find(|store| store.store_name == store_name);
        store.map_or(0, |store| store.num_cols_prefix_key)
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OperatorInfo {
    operator_name: String,
}

/// Name of the metadata column, which is there for those who ask for it: with how many of the key's columns scans begin.
pub const PREFIX_COLUMN: &str = "_numColsPrefixKey";

/// Name of an operator, by what the query wrote of it when it first ran; `None` if it wrote nothing.
pub(super) async fn operator_name(
    dir: &CheckpointDir,
    operator_id: u32,
) -> Result<Option<String>, ConnectorError> {
    let metadata = operator(dir, operator_id).await?;
    Ok(metadata.map(|metadata| metadata.operator_info.operator_name))
}

async fn operator(
    dir: &CheckpointDir,
    operator_id: u32,
) -> Result<Option<OperatorMetadata>, ConnectorError> {
    let path = format!("{operator_id}/_metadata/metadata");
    let bytes = match dir.state().get(&path).await {
        Ok(bytes) => bytes,
        Err(StorageError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let json = bytes.splitn(2, |byte| *byte == b'\n').nth(1);
    Ok(json.and_then(|json| serde_json::from_slice(json).ok()))
}

/// The table.
pub(super) async fn table(
    dir: &CheckpointDir,
    options: &Options,
) -> Result<Arc<dyn TableProvider>, ConnectorError> {
    let commits = dir.commits();
    let last = commits.latest_id().await?;
    let asked = options.long("batchId", 0)?;
    let batch_id = match options.contains("batchId") {
        true => u64::try_from(asked).ok(),
        false => last,
    };
    let had = match batch_id {
        Some(batch_id) => dir.state_partitions(batch_id).await?,
        None => None,
    };
    let reader = StateReader::new(dir.state());
    let stores = reader.stores().await.map_err(StateDataError::State)?;
    let mut partitions: BTreeMap<(u32, String), i32> = BTreeMap::new();
    // State that got another number of partitions leaves files behind, and has none yet of those that it gets later.
    let had = |id: &StateStoreId| had.is_none_or(|had| (id.partition as usize) < had);
    for id in stores.into_iter().filter(had) {
        *partitions
            .entry((id.operator_id, id.store_name))
            .or_default() += 1;
    }
    let first = commits.ids().await?.first().copied();
    let batch = |id: Option<u64>| id.and_then(|id| i64::try_from(id).ok()).unwrap_or(-1);
    let (mut names, mut prefixes) = (vec![], vec![]);
    for (operator_id, store_name) in partitions.keys() {
        let metadata = operator(dir, *operator_id).await?;
        let prefix = metadata.as_ref().map(|it| it.prefix_of(store_name));
        prefixes.push(prefix.unwrap_or(0));
        names.push(metadata.map(|metadata| metadata.operator_info.operator_name));
    }
    let rows = partitions.len();
    let schema = Arc::new(Schema::new(vec![
        Field::new("operatorId", DataType::Int64, true),
        Field::new("operatorName", DataType::Utf8, true),
        Field::new("stateStoreName", DataType::Utf8, true),
        Field::new("numPartitions", DataType::Int32, true),
        Field::new("minBatchId", DataType::Int64, true),
        Field::new("maxBatchId", DataType::Int64, true),
        Field::new("operatorProperties", DataType::Utf8, true),
        Field::new(PREFIX_COLUMN, DataType::Int32, true),
    ]));
    let ids = partitions.keys().map(|(id, _)| i64::from(*id));
    let store_names = partitions.keys().map(|(_, name)| name.as_str());
    let table = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![
            Arc::new(Int64Array::from_iter_values(ids)),
            Arc::new(StringArray::from(names)),
            Arc::new(StringArray::from_iter_values(store_names)),
            Arc::new(Int32Array::from_iter_values(partitions.values().copied())),
            Arc::new(Int64Array::from(vec![batch(first); rows])),
            Arc::new(Int64Array::from(vec![batch(last); rows])),
            new_null_array(&DataType::Utf8, rows),
            Arc::new(Int32Array::from(prefixes)),
        ],
    )?;
    let table = MemTable::try_new(schema, vec![vec![table]]);
    Ok(Arc::new(table.map_err(ConnectorError::Query)?))
}
