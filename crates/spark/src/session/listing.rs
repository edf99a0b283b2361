//! What there is: `SHOW …`, `DESCRIBE …` and the listings of `spark.catalog`.
//!
//! There is one catalog, `spark_catalog`, and one database, `default`. Temporary views are in none: their namespace is
//! empty. Patterns are Spark's: `*` stands for anything, `|` stands between alternatives, case does not count.
use std::sync::Arc;

use arrow::{
    array::{ArrayRef, BooleanArray, ListBuilder, RecordBatch, StringArray, StringBuilder},
    datatypes::{Field, Schema},
};
use spark_connect_proto::{Catalog as CatalogRelation, catalog::CatType};
use tokio::runtime::Handle;

use super::{Session, ddl, environment::DEFAULT_DATABASE, lock, tables::SavedTable};
use crate::{
    error::{Result, SparkError, quoted_name},
    planner::Planner,
    relation::{table_not_found, table_of_batches},
    scope::Resolved,
    sql::{self, Listing},
    types,
};

/// The catalog of tables.
pub(super) const CATALOG: &str = "spark_catalog";

/// The values of one column of a listing.
enum Column {
    Texts(Vec<Option<String>>),
    Flags(Vec<bool>),
    Lists(Vec<Option<Vec<String>>>),
}

impl Column {
    fn into_array(self) -> ArrayRef {
        match self {
            Self::Texts(values) => Arc::new(StringArray::from(values)),
            Self::Flags(values) => Arc::new(BooleanArray::from(values)),
            Self::Lists(values) => {
                let mut lists = ListBuilder::new(StringBuilder::new());
                for value in values {
                    lists.append_option(value.map(|texts| texts.into_iter().map(Some)));
                }
                Arc::new(lists.finish())
            }
        }
    }
}

fn listing(planner: &Planner<'_>, columns: Vec<(&str, Column)>) -> Result<Resolved> {
    let (names, columns): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let arrays: Vec<ArrayRef> = columns.into_iter().map(Column::into_array).collect();
    let fields = names.iter().zip(&arrays);
    let fields = fields.map(|(name, array)| Field::new(*name, array.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
    table_of_batches(planner, &schema, vec![batch])
}

/// A result of string columns.
pub(super) fn strings(
    planner: &Planner<'_>,
    names: &[&str],
    rows: Vec<Vec<Option<String>>>,
) -> Result<Resolved> {
    let column = |index: usize| {
        let values = rows.iter().map(|row| row.get(index).cloned().flatten());
        Column::Texts(values.collect())
    };
    let columns = names.iter().enumerate();
    listing(
        planner,
        columns
            .map(|(index, name)| (*name, column(index)))
            .collect(),
    )
}

/// A table or a temporary view, as listings show it.
struct Entry {
    name: String,
    is_temporary: bool,
}

impl Entry {
    fn namespace(&self) -> String {
        match self.is_temporary {
            true => String::new(),
            false => DEFAULT_DATABASE.to_string(),
        }
    }
}

/// Tables, then views, each by name.
fn entries(session: &Session, of: &Listing) -> Result<Vec<Entry>> {
    if let Some(database) = &of.database {
        known_database(database)?;
    }
    let mut tables: Vec<_> = lock(&session.environment().tables)
        .keys()
        .cloned()
        .collect();
    let mut views: Vec<_> = lock(&session.inner.views).keys().cloned().collect();
    tables.sort();
    views.sort();
    let entry = |is_temporary: bool| move |name: String| Entry { name, is_temporary };
    let all = tables.into_iter().map(entry(false));
    let all = all.chain(views.into_iter().map(entry(true)));
    Ok(all
        .filter(|entry| matches_pattern(of.pattern.as_deref(), &entry.name))
        .collect())
}

fn known_database(name: &str) -> Result<()> {
    let parts = sql::parse_multipart_identifier(name)?;
    if let Some(last) = parts.last()
        && last.eq_ignore_ascii_case(DEFAULT_DATABASE)
    {
        return Ok(());
    }
    let mut qualified = vec![CATALOG.to_string()];
    qualified.extend(parts.into_iter().filter(|part| part != CATALOG));
    Err(SparkError::analysis(
        "SCHEMA_NOT_FOUND",
        &[("schemaName", &quoted_name(&qualified))],
    ))
}

/// Whether Spark's pattern covers a name; no pattern covers all.
fn matches_pattern(pattern: Option<&str>, name: &str) -> bool {
    let Some(pattern) = pattern else { return true };
    let name = name.to_ascii_lowercase();
    pattern.split('|').any(|one| {
        let one = one.trim().to_ascii_lowercase();
        let mut pieces = one.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let pieces: Vec<_> = pieces.collect();
        let Some((last, between)) = pieces.split_last() else {
            return rest.is_empty();
        };
        for piece in between {
            match rest.find(piece) {
                Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
                None => return false,
            }
        }
        rest.ends_with(last)
    })
}

/// `SHOW TABLES`.
pub(super) fn show_tables(
    session: &Session,
    planner: &Planner<'_>,
    of: &Listing,
) -> Result<Resolved> {
    show(planner, "tableName", &entries(session, of)?)
}

/// `SHOW VIEWS`.
pub(super) fn show_views(
    session: &Session,
    planner: &Planner<'_>,
    of: &Listing,
) -> Result<Resolved> {
    let mut views = entries(session, of)?;
    views.retain(|entry| entry.is_temporary);
    show(planner, "viewName", &views)
}

fn show(planner: &Planner<'_>, name: &str, entries: &[Entry]) -> Result<Resolved> {
    let texts = |text: fn(&Entry) -> String| {
        Column::Texts(entries.iter().map(|entry| Some(text(entry))).collect())
    };
    listing(
        planner,
        vec![
            ("namespace", texts(Entry::namespace)),
            (name, texts(|entry| entry.name.clone())),
            (
                "isTemporary",
                Column::Flags(entries.iter().map(|entry| entry.is_temporary).collect()),
            ),
        ],
    )
}

/// `SHOW COLUMNS IN table`.
pub(super) fn show_columns(planner: &Planner<'_>, table: &str) -> Result<Resolved> {
    let found = relation(planner, table)?;
    let rows = found.output.iter().map(|a| vec![Some(a.name.clone())]);
    strings(planner, &["col_name"], rows.collect())
}

/// `SHOW DATABASES`.
pub(super) fn show_databases(planner: &Planner<'_>, of: &Listing) -> Result<Resolved> {
    let shown = matches_pattern(of.pattern.as_deref(), DEFAULT_DATABASE);
    let rows = shown.then(|| vec![Some(DEFAULT_DATABASE.to_string())]);
    strings(planner, &["namespace"], rows.into_iter().collect())
}

/// `USE database`.
pub(super) fn use_database(planner: &Planner<'_>, name: &str) -> Result<Resolved> {
    known_database(name)?;
    table_of_batches(planner, &Schema::empty(), vec![])
}

/// The table or view of that name.
pub(super) fn relation(planner: &Planner<'_>, table: &str) -> Result<Resolved> {
    let parts = sql::parse_multipart_identifier(table)?;
    let found = planner.catalog.table(planner, &parts, false)?;
    found.ok_or_else(|| table_not_found(&parts))
}

fn saved(session: &Session, table: &str) -> Result<Option<SavedTable>> {
    let parts = sql::parse_multipart_identifier(table)?;
    let hidden = matches!(parts.as_slice(), [name]
        if lock(&session.inner.views).contains_key(&name.to_ascii_lowercase()));
    Ok(match parts.last() {
        Some(name) if !hidden => session.environment().saved_table(name),
        _ => None,
    })
}

/// `REFRESH TABLE`.
pub(super) fn refresh(session: &Session, table: &str) -> Result<()> {
    match saved(session, table)? {
        Some(table) => {
            Ok(Handle::current().block_on(session.inner.relations.written(&table.name))?)
        }
        None => Ok(()),
    }
}

/// `DESCRIBE [EXTENDED] table`.
pub(super) fn describe_table(
    session: &Session,
    planner: &Planner<'_>,
    table: &str,
    extended: bool,
) -> Result<Resolved> {
    let found = relation(planner, table)?;
    let mut rows = columns_of(&found);
    let Some(table) = saved(session, table)? else {
        return describe_rows(planner, rows);
    };
    let line = |name: &str, value: &str, comment: &str| {
        [name, value, comment]
            .map(|text| Some(text.to_string()))
            .to_vec()
    };
    if !table.partition_by.is_empty() {
        let of_path: Vec<_> = rows
            .iter()
            .filter(|row| {
                let name = row.first().cloned().flatten().unwrap_or_default();
                table
                    .partition_by
                    .iter()
                    .any(|p| p.eq_ignore_ascii_case(&name))
            })
            .cloned()
            .collect();
        rows.push(line("# Partition Information", "", ""));
        rows.push(line("# col_name", "data_type", "comment"));
        rows.extend(of_path);
    }
    if extended {
        rows.push(line("", "", ""));
        rows.push(line("# Detailed Table Information", "", ""));
        rows.push(line("Catalog", CATALOG, ""));
        rows.push(line("Database", DEFAULT_DATABASE, ""));
        rows.push(line("Table", &table.name, ""));
        let managed = ddl::is_managed(session, &table);
        rows.push(line(
            "Type",
            if managed { "MANAGED" } else { "EXTERNAL" },
            "",
        ));
        rows.push(line("Provider", &table.format, ""));
        rows.push(line("Location", &format!("file:{}", table.location), ""));
    }
    describe_rows(planner, rows)
}

/// `DESCRIBE QUERY`.
pub(super) fn describe(planner: &Planner<'_>, of: &Resolved) -> Result<Resolved> {
    describe_rows(planner, columns_of(of))
}

fn columns_of(of: &Resolved) -> Vec<Vec<Option<String>>> {
    let row = |attribute: &crate::scope::Attribute| {
        let data_type = types::simple_string(&attribute.data_type);
        let comment = comment_of(attribute);
        vec![Some(attribute.name.clone()), Some(data_type), comment]
    };
    of.output.iter().map(row).collect()
}

/// A column's comment: metadata is JSON, so it is a JSON string there.
fn comment_of(attribute: &crate::scope::Attribute) -> Option<String> {
    let text = attribute.metadata.get("comment")?;
    serde_json::from_str(text)
        .ok()
        .or_else(|| Some(text.clone()))
}

fn describe_rows(planner: &Planner<'_>, rows: Vec<Vec<Option<String>>>) -> Result<Resolved> {
    strings(planner, &["col_name", "data_type", "comment"], rows)
}

/// `spark.catalog…`.
pub(super) fn catalog_relation(
    session: &Session,
    planner: &Planner<'_>,
    catalog: &CatalogRelation,
) -> Result<Resolved> {
    let flag = |value: bool| listing(planner, vec![("value", Column::Flags(vec![value]))]);
    let text = |value: &str| strings(planner, &["value"], vec![vec![Some(value.to_string())]]);
    let of = |database: &Option<String>, pattern: &Option<String>| Listing {
        database: database.clone(),
        pattern: pattern.clone(),
    };
    let Some(wanted) = &catalog.cat_type else {
        return Err(crate::expression::not_set(
            "spark.connect.Catalog",
            "cat_type",
        ));
    };
    match wanted {
        CatType::CurrentDatabase(_) => text(DEFAULT_DATABASE),
        CatType::CurrentCatalog(_) => text(CATALOG),
        CatType::SetCurrentDatabase(set) => use_database(planner, &set.db_name),
        CatType::ListCatalogs(list) => {
            let shown = matches_pattern(list.pattern.as_deref(), CATALOG);
            let rows = shown.then(|| vec![Some(CATALOG.to_string()), None]);
            strings(
                planner,
                &["name", "description"],
                rows.into_iter().collect(),
            )
        }
        CatType::ListDatabases(list) => {
            let shown = matches_pattern(list.pattern.as_deref(), DEFAULT_DATABASE);
            databases(session, planner, shown)
        }
        CatType::GetDatabase(get) => {
            known_database(&get.db_name)?;
            databases(session, planner, true)
        }
        CatType::DatabaseExists(asked) => flag(known_database(&asked.db_name).is_ok()),
        CatType::ListTables(list) => {
            let of = of(&list.db_name, &list.pattern);
            tables(session, planner, &entries(session, &of)?)
        }
        CatType::ListViews(list) => {
            let mut views = entries(session, &of(&list.db_name, &list.pattern))?;
            views.retain(|entry| entry.is_temporary);
            tables(session, planner, &views)
        }
        CatType::GetTable(get) => {
            relation(planner, &get.table_name)?;
            let is_temporary = saved(session, &get.table_name)?.is_none();
            let parts = sql::parse_multipart_identifier(&get.table_name)?;
            let name = parts.last().cloned().unwrap_or_default();
            tables(session, planner, &[Entry { name, is_temporary }])
        }
        CatType::TableExists(table) => {
            let parts = sql::parse_multipart_identifier(&table.table_name)?;
            flag(planner.catalog.table(planner, &parts, false)?.is_some())
        }
        CatType::ListColumns(list) => columns(session, planner, &list.table_name),
        CatType::DropTempView(view) => {
            let views = &mut lock(&session.inner.views);
            let dropped = views.remove(&view.view_name.to_ascii_lowercase()).is_some();
            flag(dropped)
        }
        CatType::DropGlobalTempView(view) => {
            let views = &mut lock(&session.environment().global_views);
            let dropped = views.remove(&view.view_name.to_ascii_lowercase()).is_some();
            flag(dropped)
        }
        CatType::DropTable(drop) => ddl::drop_table(session, planner, drop),
        CatType::IsCached(asked) => {
            relation(planner, &asked.table_name)?;
            flag(false)
        }
        CatType::CacheTable(cache) => {
            relation(planner, &cache.table_name)?;
            ddl::tell_no_cache();
            table_of_batches(planner, &Schema::empty(), vec![])
        }
        CatType::RefreshTable(table) => {
            relation(planner, &table.table_name)?;
            refresh(session, &table.table_name)?;
            table_of_batches(planner, &Schema::empty(), vec![])
        }
        CatType::ClearCache(_) | CatType::RefreshByPath(_) | CatType::UncacheTable(_) => {
            table_of_batches(planner, &Schema::empty(), vec![])
        }
        other => {
            let text = format!("{other:?}");
            let name = text.split(['(', ' ']).next().unwrap_or_default();
            Err(SparkError::unsupported(format!("spark.catalog: {name}")))
        }
    }
}

fn databases(session: &Session, planner: &Planner<'_>, shown: bool) -> Result<Resolved> {
    let location = format!("file:{}", ddl::warehouse(session).display());
    let row = [DEFAULT_DATABASE, CATALOG, "default database", &location];
    let row = row.map(|text| Some(text.to_string())).to_vec();
    strings(
        planner,
        &["name", "catalog", "description", "locationUri"],
        shown.then_some(row).into_iter().collect(),
    )
}

fn tables(session: &Session, planner: &Planner<'_>, entries: &[Entry]) -> Result<Resolved> {
    let texts =
        |text: &dyn Fn(&Entry) -> Option<String>| Column::Texts(entries.iter().map(text).collect());
    let of_table = |entry: &Entry, text: &str| (!entry.is_temporary).then(|| text.to_string());
    let kind = |entry: &Entry| {
        let table = session.environment().saved_table(&entry.name);
        let kind = match table.filter(|_| !entry.is_temporary) {
            None => "TEMPORARY",
            Some(table) if ddl::is_managed(session, &table) => "MANAGED",
            Some(_) => "EXTERNAL",
        };
        Some(kind.to_string())
    };
    let namespaces = entries
        .iter()
        .map(|entry| Some(of_table(entry, DEFAULT_DATABASE).into_iter().collect()));
    listing(
        planner,
        vec![
            ("name", texts(&|entry| Some(entry.name.clone()))),
            ("catalog", texts(&|entry| of_table(entry, CATALOG))),
            ("namespace", Column::Lists(namespaces.collect())),
            ("description", texts(&|_| None)),
            ("tableType", texts(&kind)),
            (
                "isTemporary",
                Column::Flags(entries.iter().map(|entry| entry.is_temporary).collect()),
            ),
        ],
    )
}

fn columns(session: &Session, planner: &Planner<'_>, table: &str) -> Result<Resolved> {
    let found = relation(planner, table)?;
    let partition_by = saved(session, table)?
        .map(|t| t.partition_by)
        .unwrap_or_default();
    let attributes = &found.output;
    let is_partition = |name: &str| partition_by.iter().any(|p| p.eq_ignore_ascii_case(name));
    let texts = |text: &dyn Fn(&crate::scope::Attribute) -> Option<String>| {
        Column::Texts(attributes.iter().map(text).collect())
    };
    let flags = |of: &dyn Fn(&crate::scope::Attribute) -> bool| {
        Column::Flags(attributes.iter().map(of).collect())
    };
    listing(
        planner,
        vec![
            ("name", texts(&|a| Some(a.name.clone()))),
            ("description", texts(&comment_of)),
            (
                "dataType",
                texts(&|a| Some(types::simple_string(&a.data_type))),
            ),
            ("nullable", flags(&|a| a.nullable)),
            ("isPartition", flags(&|a| is_partition(&a.name))),
            ("isBucket", flags(&|_| false)),
            ("isCluster", flags(&|_| false)),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_cover_names_as_spark_says() {
        assert!(matches_pattern(None, "sales"));
        assert!(matches_pattern(Some("*"), "sales"));
        assert!(matches_pattern(Some("S*"), "sales"));
        assert!(matches_pattern(Some("*a*e*"), "sales"));
        assert!(matches_pattern(Some("x|sales"), "sales"));
        assert!(!matches_pattern(Some("sale"), "sales"));
        assert!(!matches_pattern(Some("*x*"), "sales"));
        assert!(!matches_pattern(Some("sa*sales"), "sales"));
    }

    #[test]
    fn only_the_default_database_is_known() {
        assert!(known_database("default").is_ok());
        assert!(known_database("spark_catalog.DEFAULT").is_ok());
        let error = known_database("nope").unwrap_err();
        assert_eq!(error.class, "SCHEMA_NOT_FOUND");
        assert!(error.message.contains("`spark_catalog`.`nope`"));
    }
}
