//! Statements that are not queries.
//!
//! Those that the Python client has a message for carry that message. A statement that Spark runs
//! and we do not is refused by name, so that nobody takes it for a spelling mistake.

use std::collections::HashMap;

use spark_connect_proto::data_type::{Kind, Struct};
use spark_connect_proto::read::{DataSource, ReadType};
use spark_connect_proto::relation::RelType;
use spark_connect_proto::{
    CreateDataFrameViewCommand, CreateDatabase, DataType, DropDatabase, DropTable, DropView,
    Expression, Read, Relation, TruncateTable,
};

use super::construct::{data_type, quote_parts, relation, to_df};
use super::error::{ParseError, ParseErrorKind};
use super::lexer::{Symbol, Token};
use super::parser::{Parsed, Parser};

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Statement {
    /// A query, to run when its result is asked for.
    Query(Relation),
    /// A command, to run at once.
    Command(Box<Command>),
}

/// A command. Names of tables and views are quoted as identifiers are in SQL; see
/// [`super::parse_multipart_identifier`].
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

/// Statements of Spark that we refuse by name.
const UNSUPPORTED: &[&str] = &[
    "ADD", "ALTER", "ANALYZE", "BEGIN", "CALL", "COMMENT", "COMMIT", "DECLARE", "DELETE", "DFS",
    "EXECUTE", "EXPORT", "GRANT", "IMPORT", "LIST", "LOAD", "LOCK", "MERGE", "MSCK", "REPAIR",
    "REVOKE", "ROLLBACK", "UNLOCK", "UPDATE",
];

impl Parser<'_> {
    /// One statement, with any number of semicolons after it.
    pub fn single_statement(&mut self) -> Parsed<Statement> {
        let statement = self.statement()?;
        while self.eat_symbol(Symbol::Semicolon) {}
        self.expect_end()?;
        Ok(statement)
    }

    fn statement(&mut self) -> Parsed<Statement> {
        let Token::Word(word) = self.token(0) else {
            return self.query_statement();
        };
        let keyword = word.to_ascii_uppercase();
        let command = match keyword.as_str() {
            "CREATE" | "REPLACE" => self.create()?,
            "INSERT" => self.insert()?,
            "DROP" => self.drop()?,
            "TRUNCATE" => {
                self.expect_phrase(&["TRUNCATE", "TABLE"])?;
                let table_name = self.table_name()?;
                Command::TruncateTable(TruncateTable { table_name })
            }
            "USE" => self.use_database()?,
            "SHOW" => self.show()?,
            "DESCRIBE" | "DESC" => self.describe()?,
            "RESET" => self.reset(),
            "EXPLAIN" => self.explain()?,
            "CACHE" => self.cache()?,
            "UNCACHE" => self.uncache()?,
            "CLEAR" => {
                self.expect_phrase(&["CLEAR", "CACHE"])?;
                Command::ClearCache
            }
            "REFRESH" => {
                self.advance();
                self.eat_word("TABLE");
                Command::RefreshTable {
                    table: self.table_name()?,
                }
            }
            "WITH" => return self.with_statement(),
            _ if UNSUPPORTED.contains(&keyword.as_str()) => {
                let next = self.source(1).to_ascii_uppercase();
                return Err(self.unsupported(format!("the statement {keyword} {next}")));
            }
            _ => return self.query_statement(),
        };
        Ok(Statement::Command(Box::new(command)))
    }

    fn query_statement(&mut self) -> Parsed<Statement> {
        self.rooted_query().map(Statement::Query)
    }

    /// A query with its subqueries beside it.
    fn rooted_query(&mut self) -> Parsed<Relation> {
        let query = self.query()?;
        Ok(self.with_subqueries(query))
    }

    /// `WITH` may stand before a query or before an `INSERT`.
    fn with_statement(&mut self) -> Parsed<Statement> {
        self.scoped(|parser| {
            parser.with_clause()?;
            if parser.is_word(0, "INSERT") {
                let insert = parser.insert()?;
                return Ok(Statement::Command(Box::new(insert)));
            }
            let query = parser.query_without_with()?;
            Ok(Statement::Query(parser.with_subqueries(query)))
        })
    }

    fn table_name(&mut self) -> Parsed<String> {
        self.multipart_name().map(|parts| quote_parts(&parts))
    }

    fn create(&mut self) -> Parsed<Command> {
        let start = self.offset();
        let or_replace = if self.eat_word("REPLACE") {
            true
        } else {
            self.expect_word("CREATE")?;
            self.eat_phrase(&["OR", "REPLACE"])
        };
        let is_global = self.eat_word("GLOBAL");
        if self.eat_word("TEMP") || self.eat_word("TEMPORARY") {
            if self.is_word(0, "FUNCTION") {
                return Err(self.unsupported("the statement CREATE TEMPORARY FUNCTION"));
            }
            return self.create_view(start, is_global, or_replace);
        }
        if self.eat_word("EXTERNAL") && !self.is_word(0, "TABLE") {
            return Err(self.syntax_error());
        }
        if self.eat_word("TABLE") {
            return self.create_table(or_replace);
        }
        if self.is_any_word(0, &["DATABASE", "SCHEMA", "NAMESPACE"]) {
            return self.create_database();
        }
        const REFUSED: &[&str] = &[
            "VIEW",
            "FUNCTION",
            "STREAMING",
            "MATERIALIZED",
            "FLOW",
            "INDEX",
            "VARIABLE",
        ];
        if self.is_any_word(0, REFUSED) {
            let what = self.source(0).to_ascii_uppercase();
            let note = if what == "VIEW" {
                " (temporary views are)"
            } else {
                ""
            };
            return Err(self.unsupported(format!("the statement CREATE {what}{note}")));
        }
        Err(self.syntax_error())
    }

    fn create_view(&mut self, start: usize, is_global: bool, replace: bool) -> Parsed<Command> {
        self.expect_word("VIEW")?;
        let if_not_exists = self.eat_phrase(&["IF", "NOT", "EXISTS"]);
        let name = self.table_name()?;
        let typed = self.is_symbol(0, Symbol::LeftParen) && self.is_name(1) && self.is_name(2);
        let mut columns = Vec::new();
        let mut schema = None;
        if typed && !self.is_word(2, "COMMENT") {
            schema = Some(self.parenthesized_schema()?);
        } else if self.is_symbol(0, Symbol::LeftParen) {
            columns = self.view_columns()?;
        }
        if self.eat_word("USING") {
            let input = self.data_source(schema)?;
            let view = CreateDataFrameViewCommand {
                input: Some(input),
                name,
                is_global,
                replace,
            };
            return Ok(Command::CreateView(view));
        }
        if self.eat_word("COMMENT") {
            self.expect_string()?;
            tracing::warn!(view = name, "comment of a temporary view is not kept");
        }
        self.expect_word("AS")?;
        let mut input = self.rooted_query()?;
        if if_not_exists {
            let message = "It is not allowed to define a TEMPORARY view with IF NOT EXISTS.";
            let kind = ParseErrorKind::Legacy {
                message: message.to_owned(),
            };
            return Err(self.error_since(start, kind));
        }
        if !columns.is_empty() {
            input = to_df(input, columns);
        }
        let view = CreateDataFrameViewCommand {
            input: Some(input),
            name,
            is_global,
            replace,
        };
        Ok(Command::CreateView(view))
    }

    /// `(name [COMMENT 'text'], …)`.
    fn view_columns(&mut self) -> Parsed<Vec<String>> {
        self.expect_symbol(Symbol::LeftParen)?;
        let columns = self.comma_separated(|parser| {
            let name = parser.expect_name()?;
            if parser.eat_word("COMMENT") {
                parser.expect_string()?;
                tracing::warn!(
                    column = name,
                    "comment of a temporary view's column is not kept"
                );
            }
            Ok(name)
        })?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(columns)
    }

    /// The read behind `USING format OPTIONS (…)`.
    fn data_source(&mut self, schema: Option<DataType>) -> Parsed<Relation> {
        if schema.is_some() {
            return Err(self.unsupported("columns of a temporary view USING a format"));
        }
        let format = Some(self.multipart_name()?.join("."));
        let options = if self.eat_word("OPTIONS") {
            self.property_list()?
        } else {
            HashMap::new()
        };
        let source = DataSource {
            format,
            options,
            ..Default::default()
        };
        let read_type = Some(ReadType::DataSource(source));
        Ok(relation(RelType::Read(Read {
            is_streaming: false,
            read_type,
        })))
    }

    fn parenthesized_schema(&mut self) -> Parsed<DataType> {
        self.expect_symbol(Symbol::LeftParen)?;
        let fields = self.comma_separated(|parser| {
            let field = parser.field(false)?;
            if parser.is_any_word(
                0,
                &["DEFAULT", "GENERATED", "CONSTRAINT", "PRIMARY", "UNIQUE"],
            ) {
                let what = parser.source(0).to_ascii_uppercase();
                return Err(parser.unsupported(format!("{what} in the columns of a table")));
            }
            Ok(field)
        })?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(data_type(Kind::Struct(Struct {
            fields,
            type_variation_reference: 0,
        })))
    }

    fn create_table(&mut self, or_replace: bool) -> Parsed<Command> {
        let if_not_exists = self.eat_phrase(&["IF", "NOT", "EXISTS"]);
        let table = self.table_name()?;
        if self.is_word(0, "LIKE") {
            return Err(self.unsupported("the statement CREATE TABLE LIKE"));
        }
        let mut create = CreateTable {
            table,
            if_not_exists,
            or_replace,
            ..Default::default()
        };
        if self.is_symbol(0, Symbol::LeftParen) && !self.begins_query(1) {
            create.schema = Some(self.parenthesized_schema()?);
        }
        if self.eat_word("USING") {
            create.provider = Some(self.multipart_name()?.join("."));
        }
        while self.table_clause(&mut create)? {}
        self.eat_word("AS");
        if self.begins_query(0) {
            create.query = Some(self.rooted_query()?);
        }
        Ok(Command::CreateTable(create))
    }

    /// One clause of `CREATE TABLE`, each at most once; `false` if none is here.
    fn table_clause(&mut self, create: &mut CreateTable) -> Parsed<bool> {
        let start = self.offset();
        let duplicate = if self.eat_word("OPTIONS") {
            let given = !create.options.is_empty();
            create.options = self.property_list()?;
            given.then_some("OPTIONS")
        } else if self.eat_word("TBLPROPERTIES") {
            let given = !create.properties.is_empty();
            create.properties = self.property_list()?;
            given.then_some("TBLPROPERTIES")
        } else if self.eat_phrase(&["PARTITIONED", "BY"]) {
            let given = !create.partitioned_by.is_empty();
            self.partitioned_by(create)?;
            given.then_some("PARTITIONED BY")
        } else if self.eat_phrase(&["CLUSTER", "BY"]) {
            let given = !create.clustered_by.is_empty();
            create.clustered_by = self.parenthesized_names()?;
            given.then_some("CLUSTER BY")
        } else if self.eat_word("LOCATION") {
            let given = create.location.replace(self.expect_string()?).is_some();
            given.then_some("LOCATION")
        } else if self.eat_word("COMMENT") {
            let given = create.comment.replace(self.expect_string()?).is_some();
            given.then_some("COMMENT")
        } else if self.is_phrase(0, &["CLUSTERED", "BY"])
            || self.is_any_word(0, &["STORED", "ROW", "SKEWED"])
        {
            let what = self.source(0).to_ascii_uppercase();
            return Err(self.unsupported(format!("CREATE TABLE with {what}")));
        } else {
            return Ok(false);
        };
        match duplicate {
            Some(clause) => {
                let kind = ParseErrorKind::DuplicateClause {
                    clause: clause.to_owned(),
                };
                Err(self.error_since(start, kind))
            }
            None => Ok(true),
        }
    }

    /// Columns or transforms, or columns with types, which Hive adds to the table's.
    fn partitioned_by(&mut self, create: &mut CreateTable) -> Parsed<()> {
        let typed = self.is_name(1) && self.is_name(2);
        if !typed {
            self.expect_symbol(Symbol::LeftParen)?;
            create.partitioned_by = self.comma_separated(Self::expression)?;
            return self.expect_symbol(Symbol::RightParen);
        }
        let partition = self.parenthesized_schema()?;
        let Some(Kind::Struct(partition)) = partition.kind else {
            return Ok(());
        };
        let name = |field: &spark_connect_proto::data_type::StructField| {
            super::construct::attribute(std::slice::from_ref(&field.name))
        };
        create.partitioned_by = partition.fields.iter().map(name).collect();
        let schema = create
            .schema
            .get_or_insert_with(|| data_type(Kind::Struct(Struct::default())));
        if let Some(Kind::Struct(schema)) = &mut schema.kind {
            schema.fields.extend(partition.fields);
        }
        Ok(())
    }

    /// `(key = value, 'key' value, a.b = true)`.
    pub fn property_list(&mut self) -> Parsed<HashMap<String, String>> {
        self.expect_symbol(Symbol::LeftParen)?;
        let pairs = self.comma_separated(|parser| {
            let key = match parser.eat_string() {
                Some(key) => key,
                None => parser.multipart_name()?.join("."),
            };
            parser.eat_symbol(Symbol::Equal);
            Ok((key, parser.property_value()?))
        })?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(pairs.into_iter().collect())
    }

    fn property_value(&mut self) -> Parsed<String> {
        if let Some(text) = self.eat_string() {
            return Ok(text);
        }
        let negative =
            self.is_symbol(0, Symbol::Minus) && matches!(self.token(1), Token::Number(_));
        if negative {
            self.advance();
        }
        let sign = if negative { "-" } else { "" };
        let value = match self.token(0) {
            Token::Number(_) => format!("{sign}{}", self.source(0)),
            Token::Word(word) if self.is_any_word(0, &["TRUE", "FALSE"]) => {
                word.to_ascii_lowercase()
            }
            _ => return Err(self.syntax_error()),
        };
        self.advance();
        Ok(value)
    }

    fn create_database(&mut self) -> Parsed<Command> {
        self.advance();
        let if_not_exists = self.eat_phrase(&["IF", "NOT", "EXISTS"]);
        let db_name = self.table_name()?;
        let mut properties = HashMap::new();
        loop {
            if self.eat_word("COMMENT") {
                properties.insert("comment".to_owned(), self.expect_string()?);
            } else if self.eat_word("LOCATION") {
                properties.insert("location".to_owned(), self.expect_string()?);
            } else if self.eat_phrase(&["WITH", "DBPROPERTIES"])
                || self.eat_phrase(&["WITH", "PROPERTIES"])
            {
                properties.extend(self.property_list()?);
            } else {
                break;
            }
        }
        Ok(Command::CreateDatabase(CreateDatabase {
            db_name,
            if_not_exists,
            properties,
        }))
    }

    fn insert(&mut self) -> Parsed<Command> {
        self.expect_word("INSERT")?;
        let overwrite = self.eat_word("OVERWRITE");
        if overwrite && self.is_any_word(0, &["LOCAL", "DIRECTORY"]) {
            return Err(self.unsupported("the statement INSERT OVERWRITE DIRECTORY"));
        }
        if !overwrite {
            self.expect_word("INTO")?;
        }
        let keyword = self.is_word(0, "TABLE") && self.is_name(1) && !self.is_word(1, "SELECT");
        if keyword {
            self.advance();
        }
        let table = self.table_name()?;
        let partition = self.partition_values()?;
        if self.eat_phrase(&["IF", "NOT", "EXISTS"]) {
            return Err(self.unsupported("INSERT … IF NOT EXISTS"));
        }
        let by_name = self.eat_phrase(&["BY", "NAME"]);
        let named = !by_name && self.is_symbol(0, Symbol::LeftParen) && !self.begins_query(1);
        let columns = if named {
            self.parenthesized_names()?
        } else {
            Vec::new()
        };
        if self.is_word(0, "REPLACE") {
            return Err(self.unsupported("INSERT … REPLACE"));
        }
        let input = self.rooted_query()?;
        Ok(Command::Insert(Insert {
            table,
            overwrite,
            columns,
            by_name,
            partition,
            input,
        }))
    }

    /// `PARTITION (column [= value], …)`.
    fn partition_values(&mut self) -> Parsed<Vec<(String, Option<Expression>)>> {
        if !self.is_word(0, "PARTITION") || !self.is_symbol(1, Symbol::LeftParen) {
            return Ok(Vec::new());
        }
        self.skip(2);
        let values = self.comma_separated(|parser| {
            let column = parser.expect_name()?;
            let value = if parser.eat_symbol(Symbol::Equal) {
                Some(parser.value()?)
            } else {
                None
            };
            Ok((column, value))
        })?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(values)
    }

    fn drop(&mut self) -> Parsed<Command> {
        self.expect_word("DROP")?;
        if self.eat_word("TABLE") {
            let if_exists = self.eat_phrase(&["IF", "EXISTS"]);
            let table_name = self.table_name()?;
            let purge = self.eat_word("PURGE");
            return Ok(Command::DropTable(DropTable {
                table_name,
                if_exists,
                purge,
            }));
        }
        if self.eat_word("VIEW") {
            let if_exists = self.eat_phrase(&["IF", "EXISTS"]);
            return Ok(Command::DropView(DropView {
                view_name: self.table_name()?,
                if_exists,
            }));
        }
        if self.is_any_word(0, &["DATABASE", "SCHEMA", "NAMESPACE"]) {
            self.advance();
            let if_exists = self.eat_phrase(&["IF", "EXISTS"]);
            let db_name = self.table_name()?;
            let cascade = self.eat_word("CASCADE");
            if !cascade {
                self.eat_word("RESTRICT");
            }
            return Ok(Command::DropDatabase(DropDatabase {
                db_name,
                if_exists,
                cascade,
            }));
        }
        if self.is_any_word(0, &["FUNCTION", "INDEX", "MATERIALIZED"]) {
            let what = self.source(0).to_ascii_uppercase();
            return Err(self.unsupported(format!("the statement DROP {what}")));
        }
        Err(self.syntax_error())
    }

    fn use_database(&mut self) -> Parsed<Command> {
        self.advance();
        if self.is_any_word(0, &["DATABASE", "SCHEMA", "NAMESPACE"]) && self.is_name(1) {
            self.advance();
        }
        Ok(Command::UseDatabase {
            name: self.table_name()?,
        })
    }

    fn show(&mut self) -> Parsed<Command> {
        self.expect_word("SHOW")?;
        if self.eat_word("TABLES") {
            return Ok(Command::ShowTables(self.listing()?));
        }
        if self.eat_word("VIEWS") {
            return Ok(Command::ShowViews(self.listing()?));
        }
        if self.eat_word("DATABASES") || self.eat_word("SCHEMAS") || self.eat_word("NAMESPACES") {
            return Ok(Command::ShowDatabases(self.listing()?));
        }
        if self.eat_word("COLUMNS") {
            self.expect_listing_place()?;
            let mut table = self.multipart_name()?;
            if self.is_any_word(0, &["IN", "FROM"]) {
                self.advance();
                let mut database = self.multipart_name()?;
                database.append(&mut table);
                table = database;
            }
            return Ok(Command::ShowColumns {
                table: quote_parts(&table),
            });
        }
        if self.is_name(0) {
            let what = self.source(0).to_ascii_uppercase();
            const KNOWN: &[&str] = &[
                "TABLE",
                "CREATE",
                "TBLPROPERTIES",
                "FUNCTIONS",
                "PARTITIONS",
                "CATALOGS",
                "CURRENT",
                "PROCEDURES",
                "COLLATIONS",
                "ALL",
                "SYSTEM",
                "USER",
            ];
            if KNOWN.contains(&what.as_str()) {
                return Err(self.unsupported(format!("the statement SHOW {what}")));
            }
        }
        Err(self.syntax_error())
    }

    fn expect_listing_place(&mut self) -> Parsed<()> {
        if self.eat_word("IN") {
            Ok(())
        } else {
            self.expect_word("FROM")
        }
    }

    fn listing(&mut self) -> Parsed<Listing> {
        let mut listing = Listing::default();
        if self.is_any_word(0, &["IN", "FROM"]) {
            self.advance();
            listing.database = Some(self.table_name()?);
        }
        if self.eat_word("LIKE") || matches!(self.token(0), Token::String(_)) {
            listing.pattern = Some(self.expect_string()?);
        }
        Ok(listing)
    }

    fn describe(&mut self) -> Parsed<Command> {
        self.advance();
        if self.is_any_word(
            0,
            &["FUNCTION", "DATABASE", "SCHEMA", "NAMESPACE", "PROCEDURE"],
        ) && self.is_name(1)
        {
            let what = self.source(0).to_ascii_uppercase();
            return Err(self.unsupported(format!("the statement DESCRIBE {what}")));
        }
        let query = self.is_word(0, "QUERY") && self.begins_query(1);
        if query {
            self.advance();
        }
        if query || (self.begins_query(0) && !self.is_word(0, "TABLE")) {
            return Ok(Command::DescribeQuery(self.rooted_query()?));
        }
        if self.is_word(0, "TABLE") && self.is_name(1) {
            self.advance();
        }
        let extended = self.is_any_word(0, &["EXTENDED", "FORMATTED"]) && self.is_name(1);
        if extended {
            self.advance();
        }
        let table = self.table_name()?;
        if self.is_name(0) {
            return Err(self.unsupported("DESCRIBE of a partition or a single column"));
        }
        Ok(Command::DescribeTable { table, extended })
    }

    /// `RESET [key]`; the key is the text up to the end, as written or back-quoted.
    fn reset(&mut self) -> Command {
        self.advance();
        let start = self.offset();
        while !matches!(self.token(0), Token::End | Token::Symbol(Symbol::Semicolon)) {
            self.advance();
        }
        let key = unquoted(self.text.get(start..self.offset()).unwrap_or(""));
        Command::Reset {
            key: (!key.is_empty()).then_some(key),
        }
    }

    fn explain(&mut self) -> Parsed<Command> {
        self.advance();
        const MODES: &[(&str, ExplainMode)] = &[
            ("EXTENDED", ExplainMode::Extended),
            ("FORMATTED", ExplainMode::Formatted),
            ("COST", ExplainMode::Cost),
            ("CODEGEN", ExplainMode::Codegen),
            ("LOGICAL", ExplainMode::Extended),
        ];
        let found = MODES.iter().find(|(word, _)| self.is_word(0, word));
        let mode = found.map_or(ExplainMode::Simple, |(_, mode)| *mode);
        if found.is_some() {
            self.advance();
        }
        let statement = Box::new(self.nested(Self::statement)?);
        Ok(Command::Explain { mode, statement })
    }

    fn cache(&mut self) -> Parsed<Command> {
        self.advance();
        let lazy = self.eat_word("LAZY");
        self.expect_word("TABLE")?;
        let table = self.table_name()?;
        let options = if self.eat_word("OPTIONS") {
            self.property_list()?
        } else {
            HashMap::new()
        };
        self.eat_word("AS");
        let query = if self.begins_query(0) {
            Some(self.rooted_query()?)
        } else {
            None
        };
        Ok(Command::CacheTable {
            table,
            lazy,
            options,
            query,
        })
    }

    fn uncache(&mut self) -> Parsed<Command> {
        self.advance();
        self.expect_word("TABLE")?;
        let if_exists = self.eat_phrase(&["IF", "EXISTS"]);
        Ok(Command::UncacheTable {
            table: self.table_name()?,
            if_exists,
        })
    }
}

/// Reads `SET …`, which is not made of tokens: a value is the text up to the end of the line.
/// `None` if the text is another statement.
pub(super) fn set_statement(text: &str) -> Option<Result<Command, ParseError>> {
    let trimmed = text.trim_start();
    let keyword = trimmed
        .get(..3)
        .filter(|word| word.eq_ignore_ascii_case("SET"))?;
    let rest = trimmed.get(keyword.len()..)?;
    if !rest.is_empty() && !rest.starts_with(|c: char| c.is_whitespace() || c == ';' || c == '`') {
        return None;
    }
    let rest = rest
        .trim()
        .trim_end_matches(|c: char| c == ';' || c.is_whitespace());
    let whole = text.len() - trimmed.len()..text.trim_end().len();
    let refuse = |kind| Some(Err(ParseError::over(kind, text, whole.clone())));
    let words: Vec<String> = rest
        .split_whitespace()
        .map(str::to_ascii_uppercase)
        .collect();
    let first = words.first().map_or("", String::as_str);
    if words.len() > 1 && matches!(first, "CATALOG" | "ROLE" | "VAR" | "VARIABLE" | "PATH") {
        let feature = format!("the statement SET {first}");
        return refuse(ParseErrorKind::Unsupported { feature });
    }
    let set = if rest.is_empty() || rest == "-v" {
        SetCommand::Show {
            verbose: rest == "-v",
        }
    } else if first == "TIME" && words.get(1).is_some_and(|word| word == "ZONE") {
        let zone = words.iter().skip(2).count();
        let original = rest
            .split_whitespace()
            .skip(2)
            .collect::<Vec<_>>()
            .join(" ");
        let quoted = original.trim_matches(['\'', '"']).to_owned();
        if zone == 0 || quoted.len() + 2 != original.len() {
            let feature = "SET TIME ZONE with anything but a string".to_owned();
            return refuse(ParseErrorKind::Unsupported { feature });
        }
        SetCommand::Put("spark.sql.session.timeZone".to_owned(), quoted)
    } else {
        let (key, value) = match rest.split_once('=') {
            Some((key, value)) => (key.trim(), Some(unquoted(value))),
            None => (rest, None),
        };
        let quoted = key.len() > 2 && key.starts_with('`') && key.ends_with('`');
        if key.is_empty() || (!quoted && key.contains(char::is_whitespace)) {
            return refuse(ParseErrorKind::InvalidSet);
        }
        match value {
            Some(value) => SetCommand::Put(unquoted(key), value),
            None => SetCommand::Get(unquoted(key)),
        }
    };
    Some(Ok(Command::Set(set)))
}

/// The text without blanks around it and without one pair of back quotes.
fn unquoted(text: &str) -> String {
    let text = text.trim();
    let inner = text
        .strip_prefix('`')
        .and_then(|rest| rest.strip_suffix('`'));
    inner.map_or_else(|| text.to_owned(), |inner| inner.replace("``", "`"))
}
