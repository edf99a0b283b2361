//! Replaying a version's files into columns.
use std::collections::BTreeSet;

use super::state::ColumnarState;
use crate::{
    Result, StateStoreId,
    format::Lineage,
    log::{FileContent, Loader, Replay, StoreFiles},
    schema::StorageSchema,
};

/// A version in memory.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) state: ColumnarState,
    pub(super) lineage: Lineage,
    /// The snapshot it was built on; 0 when there was none.
    pub(super) snapshot: u64,
    /// Snapshots of later versions, left by a history that is about to be written anew.
    pub(super) superseded: BTreeSet<u64>,
}

/// Loads a version.
pub(super) async fn load(
    files: &StoreFiles,
    schema: &StorageSchema,
    version: u64,
) -> Result<Loaded> {
    let loader = Loader::new(files, schema, version).await?;
    let (id, schema) = (files.id.clone(), schema.clone());
    let mut target = Target {
        state: ColumnarState::try_new(id.clone(), schema.clone())?,
        id,
        schema,
        lineage: 0,
    };
    let snapshot = loader.run(&mut target).await?;
    let Target {
        mut state, lineage, ..
    } = target;
    state.compact_fully()?;
    Ok(Loaded {
        state,
        lineage,
        snapshot,
        superseded: loader.superseded(),
    })
}

struct Target {
    id: StateStoreId,
    schema: StorageSchema,
    state: ColumnarState,
    lineage: Lineage,
}

impl Replay for Target {
    fn reset(&mut self) -> Result<()> {
        self.lineage = 0;
        self.state = ColumnarState::try_new(self.id.clone(), self.schema.clone())?;
        Ok(())
    }

    fn fill(&mut self, content: FileContent) -> Result<()> {
        let FileContent {
            evicted,
            tombstones,
            upserts,
        } = content;
        self.state.apply(evicted, &tombstones, &upserts)
    }

    fn advance(&mut self, _: u64, lineage: Lineage, delta: Option<FileContent>) -> Result<()> {
        self.lineage = lineage;
        delta.map_or(Ok(()), |delta| self.fill(delta))
    }
}
