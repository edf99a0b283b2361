//! Statements that are not queries: of the protocol, and of SQL.
use std::sync::Arc;

use arrow::{array::RecordBatch, datatypes::Schema};
use spark_connect_proto::{
    Command, CreateDataFrameViewCommand, LocalRelation, Relation, Sql, SqlCommand,
    command::CommandType, relation::RelType,
};
use tokio::runtime::Handle;

use super::{Session, ddl, execute, listing, listing::strings, lock, tables};
use crate::{
    error::{Result, SparkError, quoted_id},
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
        Some(CommandType::CheckpointCommand(checkpoint)) => {
            if let Some(input) = &checkpoint.relation {
                execute::refuse_streaming(&session.resolve(input).await?)?;
            }
            Err(SparkError::unsupported("checkpoints of a DataFrame"))
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
                return Err(ddl::nothing_to_drop(&name));
            }
            nothing(planner)
        }
        sql::Command::DropTable(drop) => ddl::drop_table(session, planner, drop),
        sql::Command::TruncateTable(truncate) => {
            ddl::truncate_table(session, planner, &truncate.table_name)
        }
        sql::Command::CreateTable(table) => ddl::create_table(session, planner, table),
        sql::Command::Insert(insert) => ddl::insert(session, planner, insert),
        sql::Command::UseDatabase { name } => listing::use_database(planner, name),
        sql::Command::ShowTables(of) => listing::show_tables(session, planner, of),
        sql::Command::ShowViews(of) => listing::show_views(session, planner, of),
        sql::Command::ShowDatabases(of) => listing::show_databases(planner, of),
        sql::Command::ShowColumns { table } => listing::show_columns(planner, table),
        sql::Command::DescribeTable { table, extended } => {
            listing::describe_table(session, planner, table, *extended)
        }
        sql::Command::DescribeQuery(query) => listing::describe(planner, &planner.relation(query)?),
        sql::Command::Explain { mode, statement } => explain(session, planner, *mode, statement),
        sql::Command::CacheTable {
            table, query: None, ..
        } => {
            listing::relation(planner, table)?;
            ddl::tell_no_cache();
            nothing(planner)
        }
        sql::Command::RefreshTable { table } => {
            listing::relation(planner, table)?;
            listing::refresh(session, table)?;
            nothing(planner)
        }
        sql::Command::ClearCache | sql::Command::UncacheTable { .. } => nothing(planner),
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
