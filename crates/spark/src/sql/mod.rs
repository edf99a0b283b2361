//! Spark SQL text, read into the protobuf that a Spark Connect client would send.
//!
//! `spark.sql(…)`, `expr(…)`, `selectExpr(…)`, `where("…")` and DDL schemas all come in as text. This
//! module turns them into the same [`Relation`]s and [`Expression`]s that the Python client builds
//! from DataFrame calls, so that one resolver gives both their meaning. It decides syntax alone: it
//! knows no table, no column, no type and no function but those the grammar itself names.
//!
//! ```
//! use millstream_spark::sql::{Statement, parse_expression, parse_query};
//! let expression = parse_expression("ClickTime BETWEEN t AND t + interval 15 minute")?;
//! let Statement::Query(relation) = parse_query("SELECT word, count(*) FROM w GROUP BY word")?
//!     else { unreachable!() };
//! # Ok::<(), millstream_spark::sql::ParseError>(())
//! ```
//!
//! # What the resolver meets that no client sends
//!
//! - `Aggregate` of group type `UNSPECIFIED`: SQL's `GROUP BY`. Its output is
//!   `aggregate_expressions` alone; its keys may be ordinals, aliases or `ALL`; see `select.rs`.
//! - `UnresolvedFunction` with `is_internal`: the constructs in [`internal_function`].
//! - `Project` without input: one row. Without expressions, too, it is one row of no columns.
//! - `WithRelations` around a whole statement, whose references have negative plan ids.
//! - `LateralJoin` with a table-valued function on its right, for `LATERAL VIEW`.
//! - Literals of intervals carry `data_type`, which tells `DAY TO SECOND` from `MINUTE`.
//!
//! `current_date` and its like without parentheses are columns here: Spark calls the function only
//! if there is no column of that name.
//!
//! # Parts
//!
//! `lexer` → `parser` (cursor, scopes, limits) → `expression`, `predicate`, `primary`, `function`,
//! `window`, `literal`, `datetime`, `interval`, `data_type` for expressions and types; `query`,
//! `select`, `relation`, `statement`, `create` for statements, which `command` lists; `construct`
//! spells the nodes and `error` the errors.

mod command;
mod construct;
mod create;
mod data_type;
mod datetime;
mod error;
mod expression;
mod function;
mod interval;
mod lexer;
mod literal;
mod parser;
mod predicate;
mod primary;
mod query;
mod relation;
mod reshape;
mod select;
mod statement;
mod window;

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use spark_connect_proto::{DataType, Expression, Relation, Sql};

pub use command::{Command, CreateTable, ExplainMode, Insert, Listing, SetCommand, Statement};
pub use construct::quote_parts;
pub use error::{ParseError, ParseErrorKind};

use parser::Parser;

/// Names of the internal functions: constructs of SQL that Spark has no function and the protobuf
/// no message for. They come as an `UnresolvedFunction` with `is_internal` set.
pub mod internal_function {
    /// `call FILTER (WHERE condition)`: the aggregate call, then the condition.
    pub const AGGREGATE_FILTER: &str = "aggregate_filter";
    /// `call IGNORE NULLS`, where the function has no argument for it: the call.
    pub const IGNORE_NULLS: &str = "ignore_nulls";
    /// `call WITHIN GROUP (ORDER BY …)`: the call, then the sort orders.
    pub const WITHIN_GROUP: &str = "within_group";
    /// The condition of a `NATURAL JOIN`: no arguments.
    pub const NATURAL_JOIN: &str = "natural_join";
    /// `QUALIFY condition`, as the condition of a filter: the condition, in which window functions may stand.
    pub const QUALIFY: &str = "qualify";
    /// The columns that a `PIVOT` or `UNPIVOT` does not mention: no arguments.
    pub const REMAINING_COLUMNS: &str = "remaining_columns";
}

/// What the text means depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct ParseOptions {
    /// `spark.sql.session.timeZone`, in which a `TIMESTAMP '…'` without a zone is read. An unknown
    /// zone is taken for UTC.
    pub session_time_zone: String,
    /// Values of `:name` or `?`.
    pub parameters: Parameters,
    /// Whether expressions say where in the text they stand, for errors of evaluation.
    pub origins: bool,
}

impl Default for ParseOptions {
    fn default() -> Self {
        Self {
            session_time_zone: "UTC".to_owned(),
            parameters: Parameters::None,
            origins: false,
        }
    }
}

/// Values of the parameters in a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Parameters {
    /// There are none.
    #[default]
    None,
    /// Values of `:name`.
    Named(HashMap<String, Expression>),
    /// Values of `?`, in order.
    Positional(Vec<Expression>),
}

/// An expression, and the relations that its subqueries refer to by plan id.
#[derive(Debug, Clone, PartialEq)]
pub struct ParsedExpression {
    /// The expression.
    pub expression: Expression,
    /// To be put beside the relation that takes the expression; empty if it has no subqueries.
    pub references: Vec<Relation>,
}

/// Reads an expression as `expr("…")` does: with an alias if there is one.
///
/// # Errors
/// Text that is no expression, or that has subqueries or parameters: see [`ParseOptions`].
pub fn parse_expression(text: &str) -> Result<Expression, ParseError> {
    let parsed = ParseOptions::default().parse_expression(text)?;
    if parsed.references.is_empty() {
        return Ok(parsed.expression);
    }
    let feature = "a subquery in an expression that is not part of a query".to_owned();
    Err(ParseError::at(
        ParseErrorKind::Unsupported { feature },
        text,
        0,
    ))
}

/// Reads one SQL statement.
///
/// # Errors
/// Text that is no statement, or a statement that we do not run.
pub fn parse_query(text: &str) -> Result<Statement, ParseError> {
    ParseOptions::default().parse_query(text)
}

/// Reads the statement of a `SQL` relation with its arguments.
///
/// # Errors
/// Those of [`parse_query`], and parameters without argument.
pub fn parse_sql_relation(sql: &Sql, session_time_zone: &str) -> Result<Statement, ParseError> {
    let options = ParseOptions {
        session_time_zone: session_time_zone.to_owned(),
        parameters: Parameters::of(sql),
        origins: true,
    };
    options.parse_query(&sql.query)
}

/// Reads a data type such as `decimal(10,2)` or `array<struct<a: int>>`.
///
/// # Errors
/// Text that is no data type.
pub fn parse_data_type(text: &str) -> Result<DataType, ParseError> {
    let options = ParseOptions::default();
    let mut parser = options.parser(text)?;
    parser.types_only = true;
    let data_type = parser.data_type()?;
    parser.expect_end()?;
    Ok(data_type)
}

/// Reads the columns of a table such as `a INT NOT NULL, b STRING COMMENT 'c'` into a struct.
///
/// # Errors
/// Text that is no list of columns.
pub fn parse_table_schema(text: &str) -> Result<DataType, ParseError> {
    let options = ParseOptions::default();
    let mut parser = options.parser(text)?;
    parser.types_only = true;
    parser.table_schema()
}

/// Reads whatever a user may give as a schema: the columns of a table, a data type, or the inside
/// of a struct (`a: int, b: string`).
///
/// # Errors
/// Text that is none of these; the error is that of reading it as columns.
pub fn parse_ddl(text: &str) -> Result<DataType, ParseError> {
    parse_table_schema(text).or_else(|error| {
        parse_data_type(text)
            .or_else(|_| parse_data_type(&format!("struct<{text}>")))
            .map_err(|_| error)
    })
}

/// The parts of a table's name such as `` catalog.`my db`.t ``.
///
/// # Errors
/// Text that is no name.
pub fn parse_multipart_identifier(text: &str) -> Result<Vec<String>, ParseError> {
    let options = ParseOptions::default();
    let mut parser = options.parser(text)?;
    let parts = parser.multipart_name()?;
    parser.expect_end()?;
    Ok(parts)
}

impl Parameters {
    /// The arguments of a `SQL` relation, old fields and new.
    #[allow(deprecated)]
    fn of(sql: &Sql) -> Self {
        let literal = |value: &spark_connect_proto::expression::Literal| {
            construct::expression(spark_connect_proto::expression::ExprType::Literal(
                value.clone(),
            ))
        };
        if !sql.named_arguments.is_empty() {
            Self::Named(sql.named_arguments.clone())
        } else if !sql.pos_arguments.is_empty() {
            Self::Positional(sql.pos_arguments.clone())
        } else if !sql.args.is_empty() {
            let named = sql
                .args
                .iter()
                .map(|(name, value)| (name.clone(), literal(value)));
            Self::Named(named.collect())
        } else if !sql.pos_args.is_empty() {
            Self::Positional(sql.pos_args.iter().map(literal).collect())
        } else {
            Self::None
        }
    }
}

impl ParseOptions {
    /// Reads an expression; see [`parse_expression`].
    ///
    /// # Errors
    /// Text that is no expression, and parameters without value.
    pub fn parse_expression(&self, text: &str) -> Result<ParsedExpression, ParseError> {
        let mut parser = self.parser(text)?;
        let expression = parser.named_expression()?;
        if parser.is_phrase(0, &["EXCEPT"]) {
            return Err(parser.unsupported("* EXCEPT (…) in an expression"));
        }
        parser.expect_end()?;
        Ok(ParsedExpression {
            expression,
            references: std::mem::take(&mut parser.subqueries),
        })
    }

    /// Reads one SQL statement; see [`parse_query`].
    ///
    /// # Errors
    /// Text that is no statement, a statement that we do not run, parameters without value.
    pub fn parse_query(&self, text: &str) -> Result<Statement, ParseError> {
        if let Some(set) = statement::set_statement(text) {
            return set.map(|command| Statement::Command(Box::new(command)));
        }
        self.parser(text)?.single_statement()
    }

    fn parser<'a>(&'a self, text: &'a str) -> Result<Parser<'a>, ParseError> {
        if text.trim().is_empty() {
            return Err(ParseError::at(ParseErrorKind::EmptyStatement, text, 0));
        }
        Parser::new(text, self)
    }
}
