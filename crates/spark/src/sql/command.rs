//! The statements there are, as values.
//!
//! Those that the Python client has a message for carry that message.

use std::collections::HashMap;

use spark_connect_proto::{
    CreateDataFrameViewCommand, CreateDatabase, DataType, DropDatabase, DropTable, DropView,
    Expression, Relation, TruncateTable,
};

/// A statement.
#[allow(
    clippy::large_enum_variant,
    reason = "made once per statement and taken apart at once"
)]
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// A query, to run when its result is asked for.
    Query(Relation),
    /// A command, to run at once.
    Command(Box<Command>),
}

/// A command. Names of tables and views are quoted as identifiers are in SQL; see
/// [`super::parse_multipart_identifier`].
#[allow(
    clippy::large_enum_variant,
    reason = "made once per statement and taken apart at once"
)]
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Command {
    /// `CREATE [OR REPLACE] [GLOBAL] TEMPORARY VIEW`.
    CreateView(CreateDataFrameViewCommand),
    /// `CREATE TABLE`, with or without `AS query`.
    CreateTable(CreateTable),
    /// `INSERT INTO` or `INSERT OVERWRITE`.
    Insert(Insert),
    /// `DROP TABLE`.
    DropTable(DropTable),
    /// `DROP VIEW`.
    DropView(DropView),
    /// `TRUNCATE TABLE`.
    TruncateTable(TruncateTable),
    /// `CREATE DATABASE`.
    CreateDatabase(CreateDatabase),
    /// `DROP DATABASE`.
    DropDatabase(DropDatabase),
    /// `USE`.
    UseDatabase {
        /// The database.
        name: String,
    },
    /// `SHOW TABLES [IN database] [LIKE 'pattern']`.
    ShowTables(Listing),
    /// `SHOW VIEWS [IN database] [LIKE 'pattern']`.
    ShowViews(Listing),
    /// `SHOW DATABASES [LIKE 'pattern']`.
    ShowDatabases(Listing),
    /// `SHOW COLUMNS IN table`.
    ShowColumns {
        /// The table.
        table: String,
    },
    /// `DESCRIBE [TABLE] [EXTENDED] table`.
    DescribeTable {
        /// The table.
        table: String,
        /// Whether to tell more than the columns.
        extended: bool,
    },
    /// `DESCRIBE QUERY query`.
    DescribeQuery(Relation),
    /// `SET`.
    Set(SetCommand),
    /// `RESET [key]`.
    Reset {
        /// The key, or all of them.
        key: Option<String>,
    },
    /// `EXPLAIN [mode] statement`.
    Explain {
        /// What to show.
        mode: ExplainMode,
        /// The statement to explain.
        statement: Box<Statement>,
    },
    /// `CACHE [LAZY] TABLE name [OPTIONS (…)] [AS query]`.
    CacheTable {
        /// The table, or the view to create.
        table: String,
        /// Whether to wait for the first use.
        lazy: bool,
        /// For example `storageLevel`.
        options: HashMap<String, String>,
        /// The query of the view to create.
        query: Option<Relation>,
    },
    /// `UNCACHE TABLE [IF EXISTS] name`.
    UncacheTable {
        /// The table.
        table: String,
        /// Whether a table that is not there is no error.
        if_exists: bool,
    },
    /// `CLEAR CACHE`.
    ClearCache,
    /// `REFRESH [TABLE] name`.
    RefreshTable {
        /// The table.
        table: String,
    },
}

/// Where `SHOW` looks and what for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The database, or the current one.
    pub database: Option<String>,
    /// Spark's pattern: `*` for anything, `|` between alternatives.
    pub pattern: Option<String>,
}

/// What `SET` does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetCommand {
    /// Shows what has been set; `SET -v` shows every known key with its meaning.
    Show {
        /// Whether `-v` was given.
        verbose: bool,
    },
    /// Shows one key.
    Get(String),
    /// Sets a key to a value.
    Put(String, String),
}

/// How much `EXPLAIN` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainMode {
    /// The physical plan.
    Simple,
    /// The logical plans, too.
    Extended,
    /// An outline, then the details of each node.
    Formatted,
    /// With statistics.
    Cost,
    /// With generated code.
    Codegen,
}

/// `CREATE TABLE`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CreateTable {
    /// The table.
    pub table: String,
    /// Whether a table that is there already is no error.
    pub if_not_exists: bool,
    /// Whether to replace a table that is there already.
    pub or_replace: bool,
    /// The struct of the columns, if they were given.
    pub schema: Option<DataType>,
    /// The format after `USING`.
    pub provider: Option<String>,
    /// `OPTIONS`.
    pub options: HashMap<String, String>,
    /// `TBLPROPERTIES`.
    pub properties: HashMap<String, String>,
    /// `PARTITIONED BY`: columns, or calls of transforms such as `days`.
    pub partitioned_by: Vec<Expression>,
    /// `CLUSTER BY`.
    pub clustered_by: Vec<String>,
    /// `LOCATION`.
    pub location: Option<String>,
    /// `COMMENT`.
    pub comment: Option<String>,
    /// `AS query`.
    pub query: Option<Relation>,
}

/// `INSERT`.
#[derive(Debug, Clone, PartialEq)]
pub struct Insert {
    /// The table.
    pub table: String,
    /// Whether to replace what is there.
    pub overwrite: bool,
    /// The columns that the query's columns go to, if they were named.
    pub columns: Vec<String>,
    /// Whether the query's columns go to the columns of the same names.
    pub by_name: bool,
    /// `PARTITION (column = value, column)`.
    pub partition: Vec<(String, Option<Expression>)>,
    /// What to insert.
    pub input: Relation,
}
