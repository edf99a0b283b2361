//! Statements that are not queries, except `CREATE`.
//!
//! A statement that Spark runs and we do not is refused by name, so that nobody takes it for a
//! spelling mistake.

use std::collections::HashMap;

use spark_connect_proto::{DropDatabase, DropTable, DropView, Expression, Relation, TruncateTable};

use super::command::{Command, ExplainMode, Insert, Listing, SetCommand, Statement};
use super::construct::quote_parts;
use super::error::{ParseError, ParseErrorKind};
use super::lexer::{Symbol, Token};
use super::parser::{Parsed, Parser};

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
        let ended = self.is_symbol(0, Symbol::Semicolon);
        while self.eat_symbol(Symbol::Semicolon) {}
        if ended && *self.token(0) != Token::End {
            return Err(self.extra_input());
        }
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
                if !self.is_name(0) {
                    return Err(self.unsupported("REFRESH of a path"));
                }
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
    pub fn rooted_query(&mut self) -> Parsed<Relation> {
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

    pub fn table_name(&mut self) -> Parsed<String> {
        self.multipart_name().map(|parts| quote_parts(&parts))
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
        self.eat_word("TEMPORARY");
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
