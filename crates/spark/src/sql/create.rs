//! `CREATE`: temporary views, tables and databases.

use std::collections::HashMap;

use spark_connect_proto::data_type::{Kind, Struct};
use spark_connect_proto::read::{DataSource, ReadType};
use spark_connect_proto::relation::RelType;
use spark_connect_proto::{CreateDataFrameViewCommand, CreateDatabase, DataType, Read, Relation};

use super::command::{Command, CreateTable};
use super::construct::{data_type, relation, to_df};
use super::error::ParseErrorKind;
use super::lexer::{Symbol, Token};
use super::parser::{Parsed, Parser};

impl Parser<'_> {
    pub fn create(&mut self) -> Parsed<Command> {
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
        let properties = self.eat_word("TBLPROPERTIES");
        if properties {
            self.property_list()?;
        }
        self.expect_word("AS")?;
        let mut input = self.rooted_query()?;
        if properties {
            let message =
                "Operation not allowed: TBLPROPERTIES can't coexist with CREATE TEMPORARY VIEW.";
            let kind = ParseErrorKind::Legacy {
                message: message.to_owned(),
            };
            return Err(self.error_since(start, kind));
        }
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
                Err(self.error_over_rest(0, kind))
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
            let key = match parser.eat_one_string() {
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
        if let Some(text) = self.eat_one_string() {
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
}
