//! `read_stream`: from a format and its options to a streaming `DataFrame`.
use datafusion::{
    arrow::datatypes::SchemaRef,
    prelude::{DataFrame, SessionContext},
};
use millstream_connectors::{
    options::Options,
    registry::{self, SourceRequest},
};
use millstream_engine::source::StreamTable;

use crate::{
    Result,
    streams::{Streams, settings},
};

/// Describes a stream to read. Options have Spark's names and meaning.
#[derive(Clone)]
pub struct DataStreamReader {
    context: SessionContext,
    format: String,
    options: Options,
    paths: Vec<String>,
    schema: Option<SchemaRef>,
}

impl DataStreamReader {
    pub(crate) fn new(context: SessionContext, format: String) -> Self {
        Self {
            context,
            format,
            options: Options::new(),
            paths: vec![],
            schema: None,
        }
    }

    /// Sets an option of the source.
    pub fn option(mut self, name: impl Into<String>, value: impl ToString) -> Self {
        self.options.insert(name, value.to_string());
        self
    }

    /// The columns of the rows, for sources that need to be told.
    pub fn schema(mut self, schema: SchemaRef) -> Self {
        self.schema = Some(schema);
        self
    }

    /// Where to read from, for sources of files.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.paths.push(path.into());
        self
    }

    /// The stream as a `DataFrame`. Nothing is read, except that files may be looked at for their schema.
    ///
    /// # Errors
    /// The format is unknown, its options are wrong, or there is no tokio runtime.
    pub async fn load(self) -> Result<DataFrame> {
        Streams::of(&self.context)?;
        let state = self.context.state();
        let request = SourceRequest {
            format: self.format,
            options: self.options,
            paths: self.paths,
            user_schema: self.schema,
            settings: settings(&state),
        };
        let definition = registry::source(&request).await?;
        let plan = StreamTable::new(definition).scan_plan()?;
        Ok(DataFrame::new(state, plan))
    }
}
