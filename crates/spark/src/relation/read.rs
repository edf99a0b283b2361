//! Tables, views and data sources.
use spark_connect_proto::{Read, read::ReadType};

use crate::{
    error::{Result, SparkError, quoted_name},
    planner::Planner,
    scope::Resolved,
    sql::parse_multipart_identifier,
};

impl Planner<'_> {
    pub(super) fn read(&self, node: &Read) -> Result<Resolved> {
        match &node.read_type {
            Some(ReadType::NamedTable(table)) => {
                let parts = parse_multipart_identifier(&table.unparsed_identifier)?;
                if let [name] = parts.as_slice()
                    && let Some(relation) = self.named_reference(name)
                {
                    return self.relation(&relation);
                }
                match self.catalog.table(self, &parts, node.is_streaming)? {
                    Some(found) => Ok(found),
                    None => Err(table_not_found(&parts)),
                }
            }
            Some(ReadType::DataSource(source)) => {
                self.catalog.read(self, source, node.is_streaming)
            }
            None => Err(crate::expression::not_set(
                "spark.connect.Read",
                "read_type",
            )),
        }
    }
}

/// `TABLE_OR_VIEW_NOT_FOUND`.
pub(crate) fn table_not_found(parts: &[String]) -> SparkError {
    SparkError::analysis(
        "TABLE_OR_VIEW_NOT_FOUND",
        &[
            ("relationName", &quoted_name(parts)),
            (
                "searchPath",
                &crate::functions::search_path(crate::session::DEFAULT_DATABASE),
            ),
        ],
    )
}
