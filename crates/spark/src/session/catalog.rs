//! What names in a plan mean in this session.
//!
//! A name without a database is looked for among temporary views, memory sinks, then saved tables. `global_temp.v` is a view
//! of all sessions. Every use gets columns of its own, so that a view joined with itself is two relations; the streaming
//! sources below stay the same one.
use std::{collections::HashMap, sync::Arc};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use bytes::Bytes;
use datafusion::{
    catalog::TableProvider,
    common::Column,
    datasource::provider_as_source,
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder},
};
use millstream_connectors::{
    file::{BatchReadRequest, FileDefinition, FileTable},
    memory::NumberedMemoryTable,
    options::Options,
    registry::{self, SourceRequest},
    settings::ConnectorSettings,
    statestore,
};
use millstream_engine::source::{SourceDefinition, StreamTable, WatchedTable};
use spark_connect_proto::{
    Catalog as CatalogRelation, CommonInlineUserDefinedFunction, read::DataSource,
};
use tokio::runtime::Handle;

use super::{Session, command, execute, listing, lock, settings, tables::SavedTable};
use crate::{
    error::{Result, SparkError},
    planner::{Catalog, Planner},
    scope::{Attribute, Resolved},
    sql,
    typed::TypedExpr,
    types::Metadata,
};

/// The catalog of a session.
pub(super) struct SessionCatalog {
    pub(super) session: Session,
}

impl SessionCatalog {
    fn settings(&self) -> Result<ConnectorSettings> {
        settings::connectors(self.session.conf(), self.session.parallelism())
    }

    /// A view of this session or of all.
    fn view(&self, name: &[String]) -> Option<Resolved> {
        match name {
            [view] => lock(&self.session.inner.views)
                .get(&view.to_ascii_lowercase())
                .cloned(),
            [database, view] if database.eq_ignore_ascii_case("global_temp") => {
                self.session.inner.environment.global_view(view)
            }
            _ => None,
        }
    }

    fn batch_request(&self, request: SourceRequest) -> BatchReadRequest {
        BatchReadRequest {
            format: request.format,
            options: request.options,
            paths: request.paths,
            user_schema: request.user_schema,
            settings: request.settings,
            clock: Arc::clone(&self.session.inner.environment.streaming().clock),
        }
    }

    fn read_files(&self, planner: &Planner<'_>, request: SourceRequest) -> Result<Resolved> {
        let request = self.batch_request(request);
        let table = Handle::current().block_on(FileTable::resolve(&request))?;
        scan_files(planner, table)
    }

    fn read_state(&self, planner: &Planner<'_>, request: &SourceRequest) -> Result<Resolved> {
        let table = Handle::current().block_on(statestore::table(request))?;
        let schema = table.schema();
        let source = LogicalPlanBuilder::scan("state", provider_as_source(table), None)?.build()?;
        let mut resolved = scan(planner, source, &schema, vec![], false)?;
        let output = std::mem::take(&mut resolved.output);
        (resolved.hidden, resolved.output) = output
            .into_iter()
            .partition(|attribute| attribute.name == statestore::PREFIX_COLUMN);
        Ok(resolved)
    }

    fn read_saved(
        &self,
        planner: &Planner<'_>,
        table: &SavedTable,
        streaming: bool,
    ) -> Result<Resolved> {
        let request = SourceRequest {
            format: table.format.clone(),
            options: Options::from_iter(table.options.clone()),
            paths: vec![table.location.clone()],
            user_schema: Some(Arc::clone(&table.schema)),
            settings: self.settings()?,
        };
        let mut resolved = if streaming {
            self.read_stream(planner, &request)?
        } else {
            let request = self.batch_request(request);
            let files = self.session.inner.relations.files(table, &request);
            scan_files(planner, Handle::current().block_on(files)?)?
        };
        qualify(&mut resolved, &table.qualified_name());
        Ok(resolved)
    }

    fn read_stream(&self, planner: &Planner<'_>, request: &SourceRequest) -> Result<Resolved> {
        let definition: Arc<dyn SourceDefinition>;
        let schema;
        if registry::is_file_format(&request.format) {
            let files = Handle::current().block_on(FileDefinition::resolve(request))?;
            let files = files.with_metadata_column();
            schema = files.shown_schema();
            definition = Arc::new(files);
        } else {
            definition = Handle::current().block_on(registry::source(request))?;
            schema = definition.schema();
        }
        scan(
            planner,
            StreamTable::new(definition).scan_plan()?,
            &schema,
            vec![],
            true,
        )
    }
}

/// Name of the column that tells where a row of a file comes from.
const METADATA_COLUMN: &str = "_metadata";

fn scan_files(planner: &Planner<'_>, table: FileTable) -> Result<Resolved> {
    let table = table.with_metadata_column();
    let schema = table.schema();
    scan(planner, table.into_plan("files")?, &schema, vec![], false)
}

/// A scan as a relation; a file's `_metadata` is there for those who ask for it.
fn scan(
    planner: &Planner<'_>,
    scan: LogicalPlan,
    schema: &SchemaRef,
    qualifier: Vec<String>,
    is_streaming: bool,
) -> Result<Resolved> {
    let mut projection = vec![];
    let mut output = vec![];
    let mut hidden = vec![];
    for (source, field) in scan.schema().columns().into_iter().zip(schema.fields()) {
        let column = planner.ids.column(field.name());
        projection.push(Expr::Column(source).alias(column.name.clone()));
        let attribute = Attribute {
            name: field.name().clone(),
            column,
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
            metadata: field
                .metadata()
                .iter()
                .map(|(key, value)| (key.clone(), value.clone()))
                .collect::<Metadata>(),
            qualifier: qualifier.clone(),
        };
        if field.name() == METADATA_COLUMN {
            hidden.push(attribute)
        } else {
            output.push(attribute)
        }
    }
    let plan = LogicalPlanBuilder::from(scan)
        .project(projection)?
        .build()?;
    let mut resolved = Resolved::leaf(plan, output, is_streaming);
    resolved.hidden = hidden;
    Ok(resolved)
}

/// The same relation with columns of its own.
fn fresh(planner: &Planner<'_>, of: &Resolved, qualifier: &[String]) -> Result<Resolved> {
    let mut projection = vec![];
    let mut output = vec![];
    let mut renamed: HashMap<&Column, Column> = HashMap::new();
    for attribute in &of.output {
        let column = renamed.entry(&attribute.column).or_insert_with(|| {
            let column = planner.ids.column(&attribute.name);
            projection.push(Expr::Column(attribute.column.clone()).alias(column.name.clone()));
            column
        });
        output.push(Attribute {
            column: column.clone(),
            qualifier: qualifier.to_vec(),
            ..attribute.clone()
        });
    }
    let plan = LogicalPlanBuilder::from(of.plan.clone())
        .project(projection)?
        .build()?;
    Ok(Resolved::leaf(plan, output, of.is_streaming))
}

fn qualify(resolved: &mut Resolved, name: &[String]) {
    for attribute in &mut resolved.output {
        attribute.qualifier = name.to_vec();
    }
}

impl Catalog for SessionCatalog {
    fn table(
        &self,
        planner: &Planner<'_>,
        name: &[String],
        streaming: bool,
    ) -> Result<Option<Resolved>> {
        if let Some(view) = self.view(name) {
            if streaming && !view.is_streaming {
                let name = name.join(".");
                return Err(SparkError::analysis(
                    "_LEGACY_ERROR_TEMP_1008",
                    &[("quoted", &name)],
                ));
            }
            return fresh(planner, &view, name).map(Some);
        }
        let [.., table] = name else { return Ok(None) };
        if let ([_], Some(memory)) = (name, self.session.inner.memory_tables.get(table)) {
            let schema = memory.table_schema();
            let rows = NumberedMemoryTable::new(Arc::clone(&memory));
            let provider: Arc<dyn TableProvider> =
                Arc::new(WatchedTable::new(Arc::new(rows), memory));
            let source =
                LogicalPlanBuilder::scan("memory", provider_as_source(provider), None)?.build()?;
            return scan(planner, source, &schema, name.to_vec(), false).map(Some);
        }
        match self.session.inner.environment.saved_table(table) {
            Some(saved) => self.read_saved(planner, &saved, streaming).map(Some),
            None => Ok(None),
        }
    }

    fn read(
        &self,
        planner: &Planner<'_>,
        source: &DataSource,
        streaming: bool,
    ) -> Result<Resolved> {
        let conf = &self.session.inner.conf;
        let format = match source.format.as_deref() {
            None | Some("") => conf
                .get_option("spark.sql.sources.default")
                .unwrap_or_else(|| "parquet".to_string()),
            Some(format) => format.to_string(),
        };
        let user_schema = match source.schema.as_deref() {
            None | Some("") => None,
            Some(text) => Some(Arc::new(planner.schema_text(text)?)),
        };
        if streaming && source.paths.len() > 1 {
            return Err(SparkError::new(
                crate::error::Exception::InvalidPlan,
                "CONNECT_INVALID_PLAN.MULTIPLE_PATHS_NOT_SUPPORTED_FOR_STREAMING_SOURCE",
                &[],
            ));
        }
        let request = SourceRequest {
            format,
            options: Options::from_iter(source.options.clone()),
            paths: source.paths.clone(),
            user_schema,
            settings: self.settings()?,
        };
        if streaming {
            return self.read_stream(planner, &request);
        }
        registry::check_format(&request.format)?;
        if registry::is_state_format(&request.format) {
            return self.read_state(planner, &request);
        }
        if !registry::is_file_format(&request.format) {
            return Err(SparkError::unsupported(format!(
                "reading the data source {} in a batch",
                request.format
            )));
        }
        self.read_files(planner, request)
    }

    fn cached_local(&self, hash: &str) -> Result<Bytes> {
        let find = lock(&self.session.inner.cached_local).clone();
        find.and_then(|find| find(hash)).ok_or_else(|| {
            SparkError::new(
                crate::error::Exception::InvalidPlan,
                "CONNECT_INVALID_PLAN.NOT_FOUND_CACHED_LOCAL_RELATION",
                &[("hash", hash)],
            )
        })
    }

    fn cached_remote(&self, planner: &Planner<'_>, id: &str) -> Result<Resolved> {
        let cached = lock(&self.session.inner.cached).get(id).cloned();
        let cached = cached.ok_or_else(|| {
            SparkError::new(
                crate::error::Exception::InvalidPlan,
                "CONNECT_INVALID_PLAN.DATAFRAME_NOT_FOUND",
                &[("dfId", id)],
            )
        })?;
        fresh(planner, &cached, &[])
    }

    fn user_function(
        &self,
        udf: &CommonInlineUserDefinedFunction,
        _: Vec<TypedExpr>,
    ) -> Result<TypedExpr> {
        Err(SparkError::unsupported(format!(
            "the user-defined function {}",
            udf.function_name
        )))
    }

    fn registered_function(&self, _: &str) -> Option<CommonInlineUserDefinedFunction> {
        None
    }

    fn collect(&self, resolved: &Resolved) -> Result<Vec<RecordBatch>> {
        Handle::current().block_on(execute::collect(&self.session, resolved))
    }

    fn statement(&self, planner: &Planner<'_>, statement: &sql::Command) -> Result<Resolved> {
        command::statement(&self.session, planner, statement)
    }

    fn catalog_relation(
        &self,
        planner: &Planner<'_>,
        catalog: &CatalogRelation,
    ) -> Result<Resolved> {
        listing::catalog_relation(&self.session, planner, catalog)
    }
}
