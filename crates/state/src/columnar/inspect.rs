//! Looking into a store without knowing what is in it: files describe themselves.
use super::provider::ColumnarLogProvider;
use crate::{
    Result, StateError, StateSchema, StateStoreId, StateStoreProvider,
    format::{self, FileKind},
};

impl ColumnarLogProvider {
    /// The columns that a version was written with, as its delta or else its snapshot says; `None` if it has neither.
    ///
    /// # Errors
    /// When the file is damaged or of a newer release.
    pub async fn stored_schema(
        &self,
        id: &StateStoreId,
        version: u64,
    ) -> Result<Option<StateSchema>> {
        let files = self.files(id);
        for kind in [FileKind::Delta, FileKind::Snapshot] {
            let Some(bytes) = files.get(kind, version).await? else {
                continue;
            };
            let decoded = format::decode(&bytes, kind, version, id).map_err(|error| {
                StateError::InvalidSchema {
                    reason: format!("{}: {error:?}", files.url(kind, version)),
                }
            })?;
            let (key, value) = decoded.schemas();
            let mut schema = StateSchema::new(key.into(), value.into());
            schema.event_time = decoded.event_time;
            return Ok(Some(schema));
        }
        Ok(None)
    }

    /// Keys and bytes in memory of a version; `None` if there are no files of it.
    ///
    /// # Errors
    /// When the version cannot be loaded.
    pub async fn size(&self, id: &StateStoreId, version: u64) -> Result<Option<(u64, u64)>> {
        let Some(schema) = self.stored_schema(id, version).await? else {
            return Ok(None);
        };
        let metrics = self.open(id, &schema, version).await?.metrics();
        Ok(Some((metrics.num_keys, metrics.memory_bytes)))
    }
}
