//! The files of saved tables, as this session has listed them.
//!
//! Spark lists a table once in a session and lists it anew when the session writes into it. So a file that appears in the
//! table's folder in another way does not show before `REFRESH TABLE`. Everything that was resolved meanwhile shares one
//! list, a running query that is joined with the table too: the write shows there. But after the write the table has a
//! new list, and the next write does not show to those who hold the old one. A table that streams write is listed anew by
//! whoever asks.
use std::{collections::HashMap, sync::Mutex};

use millstream_connectors::{
    ConnectorError,
    file::{BatchReadRequest, FileTable},
};

use super::{lock, tables::SavedTable};

/// The listed tables of a session, by name.
#[derive(Debug, Default)]
pub(super) struct Relations(Mutex<HashMap<String, (SavedTable, FileTable)>>);

impl Relations {
    /// The files of a table, listed now if they were not.
    pub async fn files(
        &self,
        table: &SavedTable,
        request: &BatchReadRequest,
    ) -> Result<FileTable, ConnectorError> {
        let listed = lock(&self.0).get(&table.name).cloned();
        if let Some((of, files)) = listed
            && of.location == table.location
            && of.schema == table.schema
        {
            return files.read_as(request);
        }
        let files = FileTable::resolve(request).await?;
        if !files.is_output_of_a_sink() {
            lock(&self.0).insert(table.name.clone(), (table.clone(), files.clone()));
        }
        Ok(files)
    }

    /// The session has written into the table: whoever holds its list is shown the files there are now, and nothing that
    /// is written later.
    pub async fn written(&self, name: &str) -> Result<(), ConnectorError> {
        match self.forget(name) {
            Some(files) => files.refresh().await,
            None => Ok(()),
        }
    }

    /// The table is gone or another one. Who holds its list keeps it.
    pub fn forget(&self, name: &str) -> Option<FileTable> {
        let listed = lock(&self.0).remove(&name.to_ascii_lowercase());
        listed.map(|(_, files)| files)
    }
}
