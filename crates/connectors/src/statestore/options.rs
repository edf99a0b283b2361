//! Options of `statestore`, checked in the order in which Spark complains.
use millstream_checkpoint::CheckpointDir;

use super::StateDataError;
use crate::{error::ConnectorError, options::Options};

/// Which of a join's two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinSide {
    /// The left one.
    Left,
    /// The right one.
    Right,
}

/// What is to be read of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The state after a batch.
    Batch(u64),
    /// The state after a batch, of one partition, from the snapshot that another batch left.
    FromSnapshot {
        /// The batch asked for.
        batch_id: u64,
        /// The batch of the snapshot.
        start: u64,
        /// The partition.
        partition: u32,
    },
    /// What the batches changed, both ends included.
    Changes {
        /// First batch.
        start: u64,
        /// Last batch.
        end: u64,
    },
}

/// Options of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateReadOptions {
    /// Operator.
    pub operator_id: u32,
    /// Store of the operator.
    pub store_name: String,
    /// Side of a join, whose stores are then chosen by the reader.
    pub join_side: Option<JoinSide>,
    /// Which state, or changes.
    pub extent: Extent,
    /// Whether collections of `transformWithState` come out as rows.
    flatten: bool,
    state_variable: Option<String>,
    timers: bool,
}

/// A number that is not negative.
fn natural(options: &Options, name: &'static str) -> Result<Option<u64>, ConnectorError> {
    if !options.contains(name) {
        return Ok(None);
    }
    let number = u64::try_from(options.long(name, 0)?);
    Ok(Some(
        number.map_err(|_| StateDataError::Negative { option: name })?,
    ))
}

fn invalid(option: &'static str, message: impl Into<String>) -> ConnectorError {
    let message = message.into();
    StateDataError::Invalid { option, message }.into()
}

fn conflict(options: &'static str) -> ConnectorError {
    StateDataError::Conflict { options }.into()
}

impl StateReadOptions {
    /// Reads the options; the checkpoint says which batches there are.
    ///
    /// # Errors
    /// The first complaint, in Spark's order.
    pub async fn parse(options: &Options, dir: &CheckpointDir) -> Result<Self, ConnectorError> {
        let batch_id = natural(options, "batchId")?;
        let operator = natural(options, "operatorId")?.unwrap_or(0);
        let operator_id = u32::try_from(operator)
            .map_err(|_| invalid("operatorId", format!("{operator} is too large")))?;
        let store_name = options.get("storeName").unwrap_or("default").trim();
        if store_name.is_empty() {
            let option = "storeName";
            return Err(StateDataError::Empty { option }.into());
        }
        let join_side = join_side(options)?;
        if join_side.is_some() && store_name != "default" {
            return Err(conflict("['joinSide', 'storeName']"));
        }
        let read_changes = options.boolean("readChangeFeed", false)?;
        let extent = match read_changes {
            true => changes(options, dir, join_side, batch_id).await?,
            false => state(options, dir, batch_id).await?,
        };
        Ok(Self {
            operator_id,
            store_name: store_name.to_owned(),
            join_side,
            extent,
            flatten: options.boolean("flattenCollectionTypes", true)?,
            state_variable: options.get("stateVarName").map(str::to_owned),
            timers: options.boolean("readRegisteredTimers", false)?,
        })
    }

    /// Refuses what only `transformWithState` has; `operator` is the operator that was found.
    ///
    /// # Errors
    /// [`StateDataError::Invalid`].
    pub fn check_operator(&self, operator: &str) -> Result<(), ConnectorError> {
        let only = |what: &str| {
            format!(
                "Providing {what} is only supported with the transformWithState operator. Found operator={operator}. \
                 Please remove this option and re-run the query."
            )
        };
        // Spark takes the name of a store that is not the default one for a state variable.
        let named = self.store_name != "default" && !operator.starts_with("symmetricHashJoin");
        if self.state_variable.is_some() || named {
            return Err(invalid("stateVarName", only("state variable names")));
        }
        match self.timers {
            true => Err(invalid(
                "readRegisteredTimers",
                only("readRegisteredTimers=true"),
            )),
            false => Ok(()),
        }
    }

    /// The batch whose columns count.
    pub fn batch_id(&self) -> u64 {
        match self.extent {
            Extent::Batch(batch_id) | Extent::FromSnapshot { batch_id, .. } => batch_id,
            Extent::Changes { end, .. } => end,
        }
    }

    /// As Spark prints them in messages.
    pub fn describe(&self, location: &str) -> String {
        let side = match self.join_side {
            None => "none",
            Some(JoinSide::Left) => "left",
            Some(JoinSide::Right) => "right",
        };
        format!(
            "StateSourceOptions(checkpointLocation={location}, batchId={}, operatorId={}, storeName={}, joinSide={side}, \
             stateVarName={}, flattenCollectionTypes={})",
            self.batch_id(),
            self.operator_id,
            self.store_name,
            self.state_variable.as_deref().unwrap_or("None"),
            self.flatten,
        )
    }
}

fn join_side(options: &Options) -> Result<Option<JoinSide>, ConnectorError> {
    match options.get("joinSide") {
        None | Some("none") => Ok(None),
        Some("left") => Ok(Some(JoinSide::Left)),
        Some("right") => Ok(Some(JoinSide::Right)),
        Some(_) => Err(invalid("joinSide", "Valid values are left,right,none")),
    }
}

/// The last batch that is committed.
pub(super) async fn last_committed(dir: &CheckpointDir) -> Result<u64, ConnectorError> {
    let last = dir.commits().latest_id().await?;
    last.ok_or_else(|| no_committed_batch(dir))
}

fn no_committed_batch(dir: &CheckpointDir) -> ConnectorError {
    let location = dir.location().to_owned();
    StateDataError::NoCommittedBatch { location }.into()
}

async fn committed(dir: &CheckpointDir, batch_id: Option<u64>) -> Result<u64, ConnectorError> {
    let last = last_committed(dir).await?;
    match batch_id {
        Some(batch_id) if batch_id > last => Err(no_committed_batch(dir)),
        asked => Ok(asked.unwrap_or(last)),
    }
}

async fn changes(
    options: &Options,
    dir: &CheckpointDir,
    join_side: Option<JoinSide>,
    batch_id: Option<u64>,
) -> Result<Extent, ConnectorError> {
    if join_side.is_some() {
        return Err(conflict("['joinSide', 'readChangeFeed']"));
    }
    if batch_id.is_some() {
        return Err(conflict("['batchId', 'readChangeFeed']"));
    }
    if options.contains("snapshotStartBatchId") {
        return Err(conflict("['snapshotStartBatchId', 'readChangeFeed']"));
    }
    if options.contains("snapshotPartitionId") {
        return Err(conflict("['snapshotPartitionId', 'readChangeFeed']"));
    }
    let option = "changeStartBatchId";
    let start = natural(options, option)?.ok_or(StateDataError::Required { option })?;
    let end = committed(dir, natural(options, "changeEndBatchId")?).await?;
    if end < start {
        return Err(invalid(
            "changeEndBatchId",
            format!(
                "changeEndBatchId cannot be smaller than changeStartBatchId. Please check the input to \
                 changeEndBatchId, or if you are using its default value, make sure that changeStartBatchId is less \
                 than {end}."
            ),
        ));
    }
    Ok(Extent::Changes { start, end })
}

async fn state(
    options: &Options,
    dir: &CheckpointDir,
    batch_id: Option<u64>,
) -> Result<Extent, ConnectorError> {
    for option in ["changeStartBatchId", "changeEndBatchId"] {
        if options.contains(option) {
            let only = "Only specify this option when readChangeFeed is set to true.";
            return Err(invalid(option, only));
        }
    }
    let start = natural(options, "snapshotStartBatchId")?;
    let partition = natural(options, "snapshotPartitionId")?;
    let batch_id = committed(dir, batch_id).await?;
    let required = |option| Err(StateDataError::Required { option }.into());
    match (start, partition) {
        (None, None) => Ok(Extent::Batch(batch_id)),
        (None, Some(_)) => required("snapshotStartBatchId"),
        (Some(_), None) => required("snapshotPartitionId"),
        (Some(start), Some(_)) if start > batch_id => Err(invalid(
            "snapshotStartBatchId",
            format!("value should be less than or equal to {batch_id}"),
        )),
        (Some(start), Some(partition)) => Ok(Extent::FromSnapshot {
            batch_id,
            start,
            partition: u32::try_from(partition)
                .map_err(|_| invalid("snapshotPartitionId", format!("{partition} is too large")))?,
        }),
    }
}
