//! Statements that are not queries: of the protocol, and of SQL.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use spark_connect_proto::{
    Catalog as CatalogRelation, Command, CreateDataFrameViewCommand, LocalRelation, Relation, Sql,
    SqlCommand, catalog::CatType, command::CommandType, relation::RelType,
};
use tokio::runtime::Handle;

use super::{Session, execute, lock, tables};
use crate::{
    error::{Exception, Result, SparkError, quoted_id},
    planner::Planner,
    relation::table_of_batches,
    scope::Resolved,
    sql::{self, ExplainMode, SetCommand, Statement},
    types,
};

/// What came of a command.
#[derive(Debug)]
pub enum CommandOutput {
    /// It is done.
    Done,
    /// SQL text: the relation that holds its result.
    Relation(Box<Relation>),
}

/// Runs a command of the protocol.
pub(super) async fn run(session: &Session, command: &Command) -> Result<CommandOutput> {
    match &command.command_type {
        Some(CommandType::CreateDataframeView(view)) => {
            let input = view
                .input
                .clone()
                .ok_or_else(|| SparkError::internal("a view without input"))?;
            let resolved = session.resolve(&input).await?;
            create_view(session, view, resolved)?;
            Ok(CommandOutput::Done)
        }
        Some(CommandType::SqlCommand(command)) => sql_command(session, command).await,
        Some(CommandType::WriteOperation(write)) => {
            tables::write(session, write).await?;
            Ok(CommandOutput::Done)
        }
        Some(CommandType::RemoveCachedRemoteRelationCommand(remove)) => {
            if let Some(relation) = &remove.relation {
                lock(&session.inner.cached).remove(&relation.relation_id);
            }
            Ok(CommandOutput::Done)
        }
        Some(CommandType::RegisterFunction(function)) => Err(SparkError::unsupported(format!(
            "the user-defined function {}",
            function.function_name
        ))),
        Some(other) => Err(SparkError::unsupported(format!(
            "the command {}",
            name_of(other)
        ))),
        None => Err(SparkError::internal("an empty command")),
    }
}

fn name_of(command: &CommandType) -> String {
    let text = format!("{command:?}");
    text.split(['(', ' '])
        .next()
        .unwrap_or_default()
        .to_string()
}

/// A view's name must be free unless it replaces, and without a database.
fn create_view(
    session: &Session,
    view: &CreateDataFrameViewCommand,
    resolved: Resolved,
) -> Result<()> {
    let name = view.name.trim_matches('`').to_ascii_lowercase();
    let views = if view.is_global {
        &session.environment().global_views
    } else {
        &session.inner.views
    };
    let mut views = lock(views);
    if !view.replace && views.contains_key(&name) {
        return Err(SparkError::analysis(
            "TEMP_TABLE_OR_VIEW_ALREADY_EXISTS",
            &[("relationName", &quoted_id(&view.name))],
        ));
    }
    views.insert(name, resolved);
    Ok(())
}

/// A query is run when its result is asked for, a statement at once.
async fn sql_command(session: &Session, command: &SqlCommand) -> Result<CommandOutput> {
    let relation = match &command.input {
        Some(input) => input.clone(),
        None => of_deprecated_fields(command),
    };
    let query = match &relation.rel_type {
        Some(RelType::Sql(query)) => Some(query),
        Some(RelType::WithRelations(with)) => {
            match with.root.as_ref().and_then(|root| root.rel_type.as_ref()) {
                Some(RelType::Sql(query)) => Some(query),
                _ => None,
            }
        }
        _ => None,
    };
    let Some(query) = query else {
        return Ok(CommandOutput::Relation(Box::new(relation)));
    };
    if let Statement::Query(_) = sql::parse_sql_relation(query, &session.conf().time_zone())? {
        // Names and types are checked now, as Spark does.
        session.resolve(&relation).await?;
        return Ok(CommandOutput::Relation(Box::new(relation)));
    }
    let done = session.resolve(&relation).await?;
    let rows = execute::collect(session, &done).await?;
    let schema = Arc::new(Schema::new(done.fields()));
    let mut data = vec![];
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(&mut data, &schema)?;
    for batch in rows {
        let options =
            arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        writer.write(&RecordBatch::try_new_with_options(
            Arc::clone(&schema),
            batch.columns().to_vec(),
            &options,
        )?)?;
    }
    writer.finish()?;
    drop(writer);
    let local = LocalRelation {
        data: Some(data.into()),
        schema: Some(types::schema_to_json(schema.fields())),
    };
    let relation = Relation {
        rel_type: Some(RelType::LocalRelation(local)),
        ..Default::default()
    };
    Ok(CommandOutput::Relation(Box::new(relation)))
}

#[allow(deprecated, reason = "clients before 4.0 send these")]
fn of_deprecated_fields(command: &SqlCommand) -> Relation {
    let query = Sql {
        query: command.sql.clone(),
        args: command.args.clone(),
        pos_args: command.pos_args.clone(),
        named_arguments: command.named_arguments.clone(),
        pos_arguments: command.pos_arguments.clone(),
    };
    Relation {
        rel_type: Some(RelType::Sql(query)),
        ..Default::default()
    }
}

/// Runs a statement of SQL; its result is a relation.
pub(super) fn statement(
    session: &Session,
    planner: &Planner<'_>,
    statement: &sql::Command,
) -> Result<Resolved> {
    match statement {
        sql::Command::CreateView(view) => {
            let input = view
                .input
                .as_ref()
                .ok_or_else(|| SparkError::internal("a view without a query"))?;
            let resolved = planner.relation(input)?;
            create_view(session, view, resolved)?;
            nothing(planner)
        }
        sql::Command::Set(set) => set_conf(session, planner, set),
        sql::Command::Reset { key } => {
            match key {
                Some(key) => session.conf().unset(key)?,
                None => {
                    for key in session.conf().explicit_settings().keys() {
                        // Static keys stay as they are.
                        let _ = session.conf().unset(key);
                    }
                }
            }
            nothing(planner)
        }
        sql::Command::DropView(drop) => {
            let name = drop.view_name.trim_matches('`').to_ascii_lowercase();
            let dropped = lock(&session.inner.views).remove(&name).is_some();
            if !dropped && !drop.if_exists {
                return Err(crate::relation::table_not_found(&[name]));
            }
            nothing(planner)
        }
        sql::Command::DropTable(drop) => drop_table(session, planner, drop),
        sql::Command::CreateTable(table) => create_table(session, planner, table),
        sql::Command::Insert(insert) => insert_rows(session, planner, insert),
        sql::Command::ShowTables(_) | sql::Command::ShowViews(_) => show_tables(session, planner),
        sql::Command::DescribeTable { table, .. } => {
            let parts = sql::parse_multipart_identifier(table)?;
            let found = planner.catalog.table(planner, &parts, false)?;
            let found = found.ok_or_else(|| crate::relation::table_not_found(&parts))?;
            describe(planner, &found)
        }
        sql::Command::DescribeQuery(query) => describe(planner, &planner.relation(query)?),
        sql::Command::Explain { mode, statement } => explain(session, planner, *mode, statement),
        sql::Command::RefreshTable { .. }
        | sql::Command::ClearCache
        | sql::Command::UncacheTable { .. } => nothing(planner),
        other => {
            let text = format!("{other:?}");
            let name = text.split(['(', ' ', '{']).next().unwrap_or_default();
            Err(SparkError::unsupported(format!("the statement {name}")))
        }
    }
}

/// An empty result without columns.
fn nothing(planner: &Planner<'_>) -> Result<Resolved> {
    table_of_batches(planner, &Schema::empty(), vec![])
}

/// A result of string columns.
fn strings(
    planner: &Planner<'_>,
    names: &[&str],
    rows: Vec<Vec<Option<String>>>,
) -> Result<Resolved> {
    let fields: Vec<_> = names
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8, true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let columns = (0..names.len()).map(|index| {
        let values: StringArray = rows
            .iter()
            .map(|row| row.get(index).cloned().flatten())
            .collect();
        Arc::new(values) as ArrayRef
    });
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect())?;
    table_of_batches(planner, &schema, vec![batch])
}

fn set_conf(session: &Session, planner: &Planner<'_>, set: &SetCommand) -> Result<Resolved> {
    let pair = |key: &str, value: Option<String>| vec![Some(key.to_string()), value];
    let rows = match set {
        SetCommand::Put(key, value) => {
            session.conf().set(key, value)?;
            vec![pair(key, Some(value.clone()))]
        }
        SetCommand::Get(key) => {
            vec![pair(
                key,
                Some(
                    session
                        .conf()
                        .get_option(key)
                        .unwrap_or_else(|| "<undefined>".to_string()),
                ),
            )]
        }
        SetCommand::Show { .. } => session
            .conf()
            .explicit_settings()
            .into_iter()
            .map(|(key, value)| pair(&key, Some(value)))
            .collect(),
    };
    strings(planner, &["key", "value"], rows)
}

fn drop_table(
    session: &Session,
    planner: &Planner<'_>,
    drop: &spark_connect_proto::DropTable,
) -> Result<Resolved> {
    let parts = sql::parse_multipart_identifier(&drop.table_name)?;
    let name = parts
        .last()
        .cloned()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let dropped = lock(&session.environment().tables).remove(&name);
    match dropped {
        None if !drop.if_exists => return Err(crate::relation::table_not_found(&parts)),
        // Files at a location that the user chose are the user's.
        Some(table) if std::path::Path::new(&table.location).starts_with(warehouse(session)) => {
            if let Err(error) = std::fs::remove_dir_all(&table.location) {
                tracing::warn!(location = table.location, %error, "cannot delete the files of a dropped table");
            }
        }
        _ => {}
    }
    nothing(planner)
}

fn warehouse(session: &Session) -> std::path::PathBuf {
    let warehouse = session.environment().warehouse();
    std::path::absolute(warehouse).unwrap_or_else(|_| warehouse.clone())
}

fn create_table(
    session: &Session,
    planner: &Planner<'_>,
    table: &sql::CreateTable,
) -> Result<Resolved> {
    let parts = sql::parse_multipart_identifier(&table.table)?;
    let name = parts.last().cloned().unwrap_or_default();
    if session.environment().saved_table(&name).is_some() {
        if table.if_not_exists {
            return nothing(planner);
        }
        return Err(SparkError::new(
            Exception::Analysis,
            "TABLE_OR_VIEW_ALREADY_EXISTS",
            &[("relationName", &crate::error::quoted_name(&parts))],
        ));
    }
    let query = table
        .query
        .as_ref()
        .map(|query| planner.relation(query))
        .transpose()?;
    let schema = match (&query, &table.schema) {
        (Some(query), _) => Schema::new(query.fields()),
        (None, Some(schema)) => match types::data_type_from_proto(schema)? {
            DataType::Struct(fields) => Schema::new(fields),
            other => return Err(SparkError::internal(format!("a table of type {other}"))),
        },
        (None, None) => return Err(SparkError::unsupported("a table without columns")),
    };
    if !table.partitioned_by.is_empty() || !table.clustered_by.is_empty() {
        return Err(SparkError::unsupported(
            "PARTITIONED BY and CLUSTER BY in CREATE TABLE",
        ));
    }
    let format = tables::format_of(session, table.provider.as_deref());
    let saved = tables::create(
        session,
        &name,
        &format,
        Arc::new(schema),
        table.location.clone(),
        table.options.clone(),
        vec![],
    )?;
    if let Some(query) = query {
        append(
            session,
            &query,
            &saved,
            millstream_connectors::file::SaveMode::Append,
        )?;
    }
    nothing(planner)
}

fn append(
    session: &Session,
    rows: &Resolved,
    table: &tables::SavedTable,
    mode: millstream_connectors::file::SaveMode,
) -> Result<()> {
    let path = Some(table.location.clone());
    Handle::current().block_on(tables::write_to(
        session,
        rows,
        &table.format,
        path,
        &table.options,
        &table.partition_by,
        mode,
    ))
}

fn insert_rows(session: &Session, planner: &Planner<'_>, insert: &sql::Insert) -> Result<Resolved> {
    use millstream_connectors::file::SaveMode;
    let parts = sql::parse_multipart_identifier(&insert.table)?;
    let name = parts.last().cloned().unwrap_or_default();
    let table = session
        .environment()
        .saved_table(&name)
        .ok_or_else(|| crate::relation::table_not_found(&parts))?;
    if insert.by_name || !insert.columns.is_empty() || !insert.partition.is_empty() {
        return Err(SparkError::unsupported(
            "INSERT with a column list or a PARTITION clause",
        ));
    }
    let rows = planner.relation(&insert.input)?;
    let rows = tables::as_rows_of(planner, &rows, &table.schema)?;
    append(
        session,
        &rows,
        &table,
        if insert.overwrite {
            SaveMode::Overwrite
        } else {
            SaveMode::Append
        },
    )?;
    nothing(planner)
}

fn show_tables(session: &Session, planner: &Planner<'_>) -> Result<Resolved> {
    let mut rows: Vec<(String, String, bool)> = lock(&session.environment().tables)
        .keys()
        .map(|name| ("default".to_string(), name.clone(), false))
        .chain(
            lock(&session.inner.views)
                .keys()
                .map(|name| (String::new(), name.clone(), true)),
        )
        .collect();
    rows.sort();
    let schema = Arc::new(Schema::new(vec![
        Field::new("namespace", DataType::Utf8, false),
        Field::new("tableName", DataType::Utf8, false),
        Field::new("isTemporary", DataType::Boolean, false),
    ]));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|row| row.0.as_str()),
        )),
        Arc::new(StringArray::from_iter_values(
            rows.iter().map(|row| row.1.as_str()),
        )),
        Arc::new(BooleanArray::from_iter(rows.iter().map(|row| Some(row.2)))),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    table_of_batches(planner, &schema, vec![batch])
}

fn describe(planner: &Planner<'_>, of: &Resolved) -> Result<Resolved> {
    let rows = of.output.iter().map(|attribute| {
        let data_type = types::simple_string(&attribute.data_type);
        vec![Some(attribute.name.clone()), Some(data_type), None]
    });
    strings(
        planner,
        &["col_name", "data_type", "comment"],
        rows.collect(),
    )
}

fn explain(
    session: &Session,
    planner: &Planner<'_>,
    mode: ExplainMode,
    statement: &Statement,
) -> Result<Resolved> {
    use spark_connect_proto::analyze_plan_request::explain::ExplainMode as Mode;
    let Statement::Query(query) = statement else {
        return Err(SparkError::unsupported(
            "EXPLAIN of a statement that is not a query",
        ));
    };
    let resolved = planner.relation(query)?;
    let mode = match mode {
        ExplainMode::Simple => Mode::Simple,
        ExplainMode::Extended => Mode::Extended,
        ExplainMode::Formatted => Mode::Formatted,
        ExplainMode::Cost => Mode::Cost,
        ExplainMode::Codegen => Mode::Codegen,
    };
    let text = Handle::current().block_on(execute::explain(session, &resolved, mode))?;
    strings(planner, &["plan"], vec![vec![Some(text)]])
}

/// `spark.catalog…`.
pub(super) fn catalog_relation(
    session: &Session,
    planner: &Planner<'_>,
    catalog: &CatalogRelation,
) -> Result<Resolved> {
    let boolean = |name: &str, value: bool| {
        let schema = Arc::new(Schema::new(vec![Field::new(
            name,
            DataType::Boolean,
            false,
        )]));
        let values: ArrayRef = Arc::new(BooleanArray::from(vec![value]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![values])?;
        table_of_batches(planner, &schema, vec![batch])
    };
    match &catalog.cat_type {
        Some(CatType::DropTempView(view)) => {
            let dropped = lock(&session.inner.views).remove(&view.view_name.to_ascii_lowercase());
            boolean("value", dropped.is_some())
        }
        Some(CatType::DropGlobalTempView(view)) => {
            let dropped = lock(&session.environment().global_views)
                .remove(&view.view_name.to_ascii_lowercase());
            boolean("value", dropped.is_some())
        }
        Some(CatType::TableExists(table)) => {
            let parts = sql::parse_multipart_identifier(&table.table_name)?;
            boolean(
                "value",
                planner.catalog.table(planner, &parts, false)?.is_some(),
            )
        }
        Some(CatType::CurrentDatabase(_)) => {
            strings(planner, &["value"], vec![vec![Some("default".to_string())]])
        }
        Some(CatType::CurrentCatalog(_)) => strings(
            planner,
            &["value"],
            vec![vec![Some("spark_catalog".to_string())]],
        ),
        Some(CatType::ClearCache(_) | CatType::RefreshTable(_) | CatType::UncacheTable(_)) => {
            nothing(planner)
        }
        other => {
            let text = format!("{other:?}");
            let name = text
                .trim_start_matches("Some(")
                .split(['(', ' '])
                .next()
                .unwrap_or_default();
            Err(SparkError::unsupported(format!("spark.catalog: {name}")))
        }
    }
}
