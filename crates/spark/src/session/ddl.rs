//! Statements that make, fill and drop tables.
//!
//! A table's partition columns are its last ones, wherever they were declared. A table without a `LOCATION` is managed:
//! its files are below the warehouse folder and go when it is dropped; files at a location that the user chose are
//! the user's. Rows are inserted by position unless names are given, and cast as Spark's store assignment allows.
//!
//! A statement is not a transaction: if the engine dies in a `CREATE TABLE … AS` or an `INSERT OVERWRITE`, the files
//! that were written stay.
use std::{collections::HashMap, path::PathBuf, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema};
use datafusion::logical_expr::LogicalPlanBuilder;
use millstream_connectors::file::SaveMode;
use spark_connect_proto::{DropTable, Expression, expression::ExprType};
use tokio::runtime::Handle;

use super::{
    Session, lock,
    tables::{self, SavedTable},
};
use crate::{
    cast::{CastMode, cast},
    error::{Result, SparkError, quoted, quoted_id, quoted_name},
    expression::Expressions,
    planner::Planner,
    relation::{table_not_found, table_of_batches},
    scope::{Attribute, Resolved},
    sql,
    typed::TypedExpr,
    types,
};

fn nothing(planner: &Planner<'_>) -> Result<Resolved> {
    table_of_batches(planner, &Schema::empty(), vec![])
}

/// Folder of managed tables.
pub(super) fn warehouse(session: &Session) -> PathBuf {
    let warehouse = session.environment().warehouse();
    std::path::absolute(warehouse).unwrap_or_else(|_| warehouse.clone())
}

/// Whether a table's files are ours to delete.
pub(super) fn is_managed(session: &Session, table: &SavedTable) -> bool {
    std::path::Path::new(&table.location).starts_with(warehouse(session))
}

/// Says once that tables are not cached.
pub(super) fn tell_no_cache() {
    static TOLD: std::sync::Once = std::sync::Once::new();
    TOLD.call_once(|| {
        tracing::warn!("CACHE TABLE has no effect: tables are read anew by every query")
    });
}

/// `DROP TABLE`.
pub(super) fn drop_table(
    session: &Session,
    planner: &Planner<'_>,
    drop: &DropTable,
) -> Result<Resolved> {
    let parts = sql::parse_multipart_identifier(&drop.table_name)?;
    let name = parts
        .last()
        .map(|name| name.to_ascii_lowercase())
        .unwrap_or_default();
    // A view of that name is what the name means; Spark drops it.
    if let [_] = parts.as_slice()
        && lock(&session.inner.views).remove(&name).is_some()
    {
        return nothing(planner);
    }
    match forget(session, &name) {
        false if !drop.if_exists => Err(nothing_to_drop(&name)),
        _ => nothing(planner),
    }
}

/// Takes a table out of the catalog, with its files if they are the catalog's; whether it was there.
fn forget(session: &Session, name: &str) -> bool {
    let Some(table) = lock(&session.environment().tables).remove(name) else {
        return false;
    };
    session.inner.relations.forget(name);
    if is_managed(session, &table)
        && let Err(error) = std::fs::remove_dir_all(&table.location)
    {
        tracing::warn!(location = table.location, %error, "cannot delete the files of a dropped table");
    }
    true
}

/// What is dropped is looked for in the current database alone.
pub(super) fn nothing_to_drop(name: &str) -> SparkError {
    let database = [
        super::listing::CATALOG,
        super::environment::DEFAULT_DATABASE,
    ];
    let [catalog, schema] = database;
    SparkError::analysis(
        "TABLE_OR_VIEW_NOT_FOUND",
        &[
            ("relationName", &quoted_name(&[catalog, schema, name])),
            ("searchPath", &format!("[{}]", quoted_name(&database))),
        ],
    )
}

/// `TRUNCATE TABLE`.
pub(super) fn truncate_table(
    session: &Session,
    planner: &Planner<'_>,
    table: &str,
) -> Result<Resolved> {
    let parts = sql::parse_multipart_identifier(table)?;
    let saved = parts
        .last()
        .and_then(|name| session.environment().saved_table(name));
    let saved = saved.ok_or_else(|| table_not_found(&parts))?;
    let failed = |error: std::io::Error| {
        let message = format!(
            "cannot truncate the table folder {}: {error}",
            saved.location
        );
        SparkError::plain(crate::error::Exception::Spark, message)
    };
    if saved.location.contains("://") {
        return Err(SparkError::unsupported("TRUNCATE TABLE in an object store"));
    }
    let what = || format!("TRUNCATE TABLE {}, at {}", saved.name, saved.location);
    if !session.environment().permits(&saved.location, what) {
        return nothing(planner);
    }
    std::fs::remove_dir_all(&saved.location).map_err(failed)?;
    std::fs::create_dir_all(&saved.location).map_err(failed)?;
    Handle::current().block_on(session.inner.relations.written(&saved.name))?;
    nothing(planner)
}

/// `CREATE TABLE`.
pub(super) fn create_table(
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
        return Err(tables::already_exists(&name));
    }
    if table.or_replace {
        return Err(SparkError::unsupported("REPLACE TABLE"));
    }
    if !table.clustered_by.is_empty() {
        return Err(SparkError::unsupported("CLUSTER BY in CREATE TABLE"));
    }
    let query = table.query.as_ref().map(|query| planner.relation(query));
    let query = query.transpose()?;
    let fields: Vec<_> = match (&query, &table.schema) {
        (Some(query), _) => query.fields().iter().cloned().collect(),
        (None, Some(schema)) => match types::data_type_from_proto(schema)? {
            DataType::Struct(fields) => fields.iter().cloned().collect(),
            other => return Err(SparkError::internal(format!("a table of type {other}"))),
        },
        (None, None) => return Err(SparkError::unsupported("a table without columns")),
    };
    let partition_by = partition_columns(&table.partitioned_by)?;
    let format = tables::format_of(session, table.provider.as_deref());
    let saved = tables::create(
        session,
        tables::NewTable {
            name: &name,
            format: &format,
            schema: Schema::new(fields),
            location: table.location.clone(),
            options: table.options.clone(),
            partition_by,
        },
    )?;
    if let Some(query) = query {
        let written = rows_for(planner, &query, &saved, &Targets::by_name())
            .and_then(|rows| append(session, &rows, &saved, SaveMode::Append));
        if written.is_err() {
            // The table is there when its rows are.
            forget(session, &saved.name);
        }
        written?;
    }
    nothing(planner)
}

fn partition_columns(expressions: &[Expression]) -> Result<Vec<String>> {
    let name = |expression: &Expression| match &expression.expr_type {
        Some(ExprType::UnresolvedAttribute(column)) => {
            let parts = sql::parse_multipart_identifier(&column.unparsed_identifier)?;
            Ok(parts.last().cloned().unwrap_or_default())
        }
        _ => Err(SparkError::unsupported(
            "partition transforms of file tables",
        )),
    };
    expressions.iter().map(name).collect()
}

fn append(session: &Session, rows: &Resolved, table: &SavedTable, mode: SaveMode) -> Result<()> {
    let path = Some(table.location.clone());
    let written = async {
        tables::write_to(
            session,
            rows,
            &table.format,
            path,
            &table.options,
            &table.partition_by,
            mode,
        )
        .await?;
        Ok(session.inner.relations.written(&table.name).await?)
    };
    Handle::current().block_on(written)
}

/// `INSERT INTO` and `INSERT OVERWRITE`.
pub(super) fn insert(
    session: &Session,
    planner: &Planner<'_>,
    insert: &sql::Insert,
) -> Result<Resolved> {
    let parts = sql::parse_multipart_identifier(&insert.table)?;
    let name = parts.last().cloned().unwrap_or_default();
    let table = session
        .environment()
        .saved_table(&name)
        .ok_or_else(|| table_not_found(&parts))?;
    let rows = planner.relation(&insert.input)?;
    let targets = Targets {
        by_name: insert.by_name,
        columns: insert.columns.clone(),
        fixed: fixed_values(planner, &insert.partition)?,
    };
    let rows = rows_for(planner, &rows, &table, &targets)?;
    let mode = match insert.overwrite {
        true => SaveMode::Overwrite,
        false => SaveMode::Append,
    };
    append(session, &rows, &table, mode)?;
    nothing(planner)
}

/// The values of `PARTITION (column = value)`.
fn fixed_values(
    planner: &Planner<'_>,
    partition: &[(String, Option<Expression>)],
) -> Result<HashMap<String, TypedExpr>> {
    let scope = Expressions::new(planner, vec![]);
    let given = partition
        .iter()
        .filter_map(|(name, value)| Some((name, value.as_ref()?)));
    given
        .map(|(name, value)| Ok((name.to_ascii_lowercase(), scope.value(value)?)))
        .collect()
}

/// Which columns of a table the columns of a query go to.
pub(super) struct Targets {
    by_name: bool,
    /// Columns of the table, in the query's order; all of them if empty.
    columns: Vec<String>,
    /// Values that are the same for every row, by lower-case name.
    fixed: HashMap<String, TypedExpr>,
}

impl Targets {
    /// Every column goes to the one of its position.
    pub(super) fn by_position() -> Self {
        Self {
            by_name: false,
            columns: vec![],
            fixed: HashMap::new(),
        }
    }

    /// Every column goes to the one of its name.
    pub(super) fn by_name() -> Self {
        Self {
            by_name: true,
            ..Self::by_position()
        }
    }
}

/// A query's rows as rows of a table.
pub(super) fn rows_for(
    planner: &Planner<'_>,
    rows: &Resolved,
    table: &SavedTable,
    targets: &Targets,
) -> Result<Resolved> {
    let mut projection = vec![];
    let mut output = vec![];
    let wanted: Vec<String> = match targets.columns.is_empty() {
        false => targets.columns.clone(),
        true => {
            let open = |field: &&Arc<Field>| {
                !targets
                    .fixed
                    .contains_key(&field.name().to_ascii_lowercase())
            };
            let open = table.schema.fields().iter().filter(open);
            open.map(|field| field.name().clone()).collect()
        }
    };
    if wanted.len() != rows.output.len() {
        return Err(arity(table, &wanted, rows));
    }
    for field in table.schema.fields() {
        let value = match targets.fixed.get(&field.name().to_ascii_lowercase()) {
            Some(value) => value.clone(),
            None => source_of(field.name(), &wanted, rows, targets)
                .map_or_else(TypedExpr::null, Attribute::reference),
        };
        let value = assigned(planner, value, field, table)?;
        let column = planner.ids.column(field.name());
        projection.push(value.expr.alias(column.name.clone()));
        output.push(Attribute {
            name: field.name().clone(),
            column,
            data_type: field.data_type().clone(),
            nullable: true,
            metadata: Default::default(),
            qualifier: vec![],
        });
    }
    let plan = LogicalPlanBuilder::from(rows.plan.clone())
        .project(projection)?
        .build()?;
    Ok(Resolved::leaf(plan, output, rows.is_streaming))
}

/// The query's column for a column of the table.
fn source_of<'r>(
    name: &str,
    wanted: &[String],
    rows: &'r Resolved,
    targets: &Targets,
) -> Option<&'r Attribute> {
    if targets.by_name {
        return rows
            .output
            .iter()
            .find(|a| a.name.eq_ignore_ascii_case(name));
    }
    let at = wanted.iter().position(|w| w.eq_ignore_ascii_case(name))?;
    rows.output.get(at)
}

fn arity(table: &SavedTable, wanted: &[String], rows: &Resolved) -> SparkError {
    let subclass = match rows.output.len() < wanted.len() {
        true => "NOT_ENOUGH_DATA_COLUMNS",
        false => "TOO_MANY_DATA_COLUMNS",
    };
    let list =
        |names: &mut dyn Iterator<Item = &str>| names.map(quoted_id).collect::<Vec<_>>().join(", ");
    SparkError::analysis(
        &format!("INSERT_COLUMN_ARITY_MISMATCH.{subclass}"),
        &[
            ("tableName", &quoted_name(&table.qualified_name())),
            (
                "tableColumns",
                &list(&mut wanted.iter().map(String::as_str)),
            ),
            (
                "dataColumns",
                &list(&mut rows.output.iter().map(|a| a.name.as_str())),
            ),
        ],
    )
}

/// The value as the column's type, if Spark's store assignment allows it.
fn assigned(
    planner: &Planner<'_>,
    value: TypedExpr,
    field: &Field,
    table: &SavedTable,
) -> Result<TypedExpr> {
    if !is_assignable(&value.data_type, field.data_type()) {
        return Err(SparkError::analysis(
            "INCOMPATIBLE_DATA_FOR_TABLE.CANNOT_SAFELY_CAST",
            &[
                ("tableName", &quoted_name(&table.qualified_name())),
                ("colName", &quoted_id(field.name())),
                ("srcType", &value.type_sql()),
                ("targetType", &quoted(types::sql_name(field.data_type()))),
            ],
        ));
    }
    cast(
        value,
        field.data_type(),
        CastMode::implicit(&planner.context.eval),
    )
}

fn is_assignable(from: &DataType, to: &DataType) -> bool {
    use DataType::{Date32, Null, Timestamp, Utf8};
    match (from, to) {
        _ if from == to => true,
        (Null, _) => true,
        (_, Utf8) => !from.is_nested(),
        (Date32 | Timestamp(_, _), Date32 | Timestamp(_, _)) => true,
        _ if from.is_nested() && to.is_nested() => true,
        _ => from.is_numeric() && to.is_numeric(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn store_assignment_takes_numbers_for_numbers_and_no_text_for_them() {
        assert!(is_assignable(&DataType::Int64, &DataType::Int32));
        assert!(is_assignable(&DataType::Null, &DataType::Int32));
        assert!(is_assignable(&DataType::Int32, &DataType::Utf8));
        assert!(!is_assignable(&DataType::Utf8, &DataType::Int32));
        assert!(!is_assignable(&DataType::Boolean, &DataType::Int32));
    }
}
