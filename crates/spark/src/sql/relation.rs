//! What stands in `FROM`: tables, streams, functions, subqueries, joins, lateral views, samples
//! and watermarks.
//!
//! `LATERAL VIEW f(x) t AS c` and `LATERAL f(x) AS t(c)` both become a `LateralJoin` with a
//! table-valued function under its alias, `OUTER` a left outer one. A join's `NATURAL` has no field
//! in the protobuf: its condition is the internal function
//! [`NATURAL_JOIN`](super::internal_function::NATURAL_JOIN), without arguments.

use std::collections::HashMap;

use spark_connect_proto::expression::ExprType;
use spark_connect_proto::join::JoinType;
use spark_connect_proto::read::{NamedTable, ReadType};
use spark_connect_proto::relation::RelType;
use spark_connect_proto::{
    Expression, Join, LateralJoin, Read, Relation, Sample, UnresolvedTableValuedFunction,
    WithWatermark,
};

use super::construct::{internal, project, quote_parts, relation, subquery_alias, to_df};
use super::error::ParseErrorKind;
use super::expression::star;
use super::internal_function;
use super::interval::interval_text;
use super::lexer::{NumberKind, Symbol, Token};
use super::parser::{Parsed, Parser};
use super::query::limited;

/// Words that cannot name a table without `AS`: they go on with the relation.
const NOT_AN_ALIAS: &[&str] = &[
    "ANTI",
    "CROSS",
    "EXCEPT",
    "FULL",
    "INNER",
    "INTERSECT",
    "JOIN",
    "LATERAL",
    "LEFT",
    "MINUS",
    "NATURAL",
    "ON",
    "RIGHT",
    "SEMI",
    "UNION",
    "USING",
];

impl Parser<'_> {
    /// The relations after `FROM` with the lateral views after them.
    pub fn relations_of_from(&mut self) -> Parsed<Relation> {
        let mut from = self.joined_relation()?;
        let mut length = 0;
        while self.eat_symbol(Symbol::Comma) {
            length += 1;
            self.chain(length)?;
            if self.is_lateral() {
                self.advance();
                let right = self.relation_primary()?;
                from = lateral_join(from, right, None, JoinType::Inner);
                from = self.joins(from)?;
            } else {
                let right = self.relation_primary()?;
                from = join(from, right, None, Vec::new(), JoinType::Inner);
                from = self.joins(from)?;
            }
        }
        self.lateral_views(from)
    }

    fn is_lateral(&self) -> bool {
        self.is_word(0, "LATERAL")
            && (self.is_symbol(1, Symbol::LeftParen) || self.is_name(1))
            && !self.is_word(1, "VIEW")
    }

    fn joined_relation(&mut self) -> Parsed<Relation> {
        self.nested(|parser| {
            let first = parser.relation_primary()?;
            parser.joins(first)
        })
    }

    /// Every join that follows, left to right.
    fn joins(&mut self, mut left: Relation) -> Parsed<Relation> {
        let mut length = 0;
        while let Some((join_type, natural)) = self.join_type()? {
            length += 1;
            self.chain(length)?;
            let lateral = self.is_lateral() && self.eat_word("LATERAL");
            let right = self.nested(Self::relation_primary)?;
            let (condition, columns) = self.join_criteria(natural)?;
            left = if lateral {
                if natural || !columns.is_empty() {
                    return Err(self.unsupported("LATERAL joins with NATURAL or USING"));
                }
                lateral_join(left, right, condition, join_type)
            } else {
                join(left, right, condition, columns, join_type)
            };
        }
        self.reshaped(left)
    }

    fn join_type(&mut self) -> Parsed<Option<(JoinType, bool)>> {
        let natural = usize::from(self.is_word(0, "NATURAL"));
        let outer = |ahead: usize| usize::from(self.is_word(ahead, "OUTER"));
        let word = match self.token(natural) {
            Token::Word(word) => word.to_ascii_uppercase(),
            _ => return Ok(None),
        };
        let next = natural + 1;
        let (join_type, words) = match word.as_str() {
            "JOIN" => (JoinType::Inner, natural),
            "INNER" => (JoinType::Inner, next),
            "CROSS" => (JoinType::Cross, next),
            "LEFT" if self.is_word(next, "SEMI") => (JoinType::LeftSemi, next + 1),
            "LEFT" if self.is_word(next, "ANTI") => (JoinType::LeftAnti, next + 1),
            "LEFT" => (JoinType::LeftOuter, next + outer(next)),
            "RIGHT" => (JoinType::RightOuter, next + outer(next)),
            "FULL" => (JoinType::FullOuter, next + outer(next)),
            "SEMI" => (JoinType::LeftSemi, next),
            "ANTI" => (JoinType::LeftAnti, next),
            _ => return Ok(None),
        };
        self.skip(words);
        self.expect_word("JOIN")?;
        Ok(Some((join_type, natural == 1)))
    }

    fn join_criteria(&mut self, natural: bool) -> Parsed<(Option<Expression>, Vec<String>)> {
        if natural {
            return Ok((
                Some(internal(internal_function::NATURAL_JOIN, Vec::new())),
                Vec::new(),
            ));
        }
        if self.eat_word("ON") {
            return Ok((Some(self.expression()?), Vec::new()));
        }
        if self.is_word(0, "USING") && self.is_symbol(1, Symbol::LeftParen) {
            self.advance();
            return Ok((None, self.parenthesized_names()?));
        }
        Ok((None, Vec::new()))
    }

    /// `LATERAL VIEW [OUTER] f(…) table [[AS] column, …]`, any number of times.
    pub fn lateral_views(&mut self, mut input: Relation) -> Parsed<Relation> {
        let mut length = 0;
        while self.eat_phrase(&["LATERAL", "VIEW"]) {
            length += 1;
            self.chain(length)?;
            let outer = self.is_word(0, "OUTER") && self.is_name(1) && self.eat_word("OUTER");
            let function_name = self.multipart_name()?;
            let mut view = self.table_function(&function_name)?;
            let table = self.expect_name()?;
            let named = self.eat_word("AS") || (self.is_name(0) && !self.begins_clause());
            if named {
                view = to_df(view, self.comma_separated(Self::expect_name)?);
            }
            let join_type = if outer {
                JoinType::LeftOuter
            } else {
                JoinType::Inner
            };
            input = lateral_join(input, subquery_alias(view, table), None, join_type);
        }
        Ok(input)
    }

    fn relation_primary(&mut self) -> Parsed<Relation> {
        if self.is_symbol(0, Symbol::LeftParen) {
            let is_query = self.begins_query(1);
            return self.nested(|parser| {
                parser.advance();
                let inner = if is_query {
                    parser.query()?
                } else {
                    parser.joined_relation()?
                };
                parser.expect_query_end()?;
                parser.dressed(inner)
            });
        }
        if self.is_word(0, "VALUES") && !self.closes(1) && !self.is_word(1, "AS") {
            return self.inline_table();
        }
        if self.is_stream() {
            return self.stream();
        }
        let start = self.offset();
        let is_identifier = self.is_word(0, "IDENTIFIER") && self.is_symbol(1, Symbol::LeftParen);
        let parts = if is_identifier {
            self.table_identifier()?
        } else {
            self.multipart_name()?
        };
        if self.is_symbol(0, Symbol::LeftParen) && !is_identifier {
            let call = self.table_function(&parts)?;
            return self.dressed(call);
        }
        self.refuse_time_travel(start)?;
        let options = self.options_clause()?;
        let table = match parts.as_slice() {
            [name] if options.is_empty() => self.common_table_by_name(name)?,
            _ => None,
        };
        let table = table.unwrap_or_else(|| read_table(&parts, options, false));
        self.dressed(table)
    }

    /// A table by its name alone.
    pub fn named_table(&mut self, is_streaming: bool) -> Parsed<Relation> {
        let is_identifier = self.is_word(0, "IDENTIFIER") && self.is_symbol(1, Symbol::LeftParen);
        let parts = if is_identifier {
            self.table_identifier()?
        } else {
            self.multipart_name()?
        };
        let table = match parts.as_slice() {
            [name] if !is_streaming => self.common_table_by_name(name)?,
            _ => None,
        };
        Ok(table.unwrap_or_else(|| read_table(&parts, HashMap::new(), is_streaming)))
    }

    /// `IDENTIFIER('name')`.
    fn table_identifier(&mut self) -> Parsed<Vec<String>> {
        self.skip(2);
        let start = self.offset();
        let argument = self.expression()?;
        self.expect_symbol(Symbol::RightParen)?;
        self.constant_identifier(argument, start)
    }

    /// `name.name…`; a hyphen in a bare name gets Spark's advice to quote it.
    pub fn multipart_name(&mut self) -> Parsed<Vec<String>> {
        let mut parts = Vec::new();
        loop {
            let start = self.offset();
            parts.push(self.expect_name()?);
            if self.is_symbol(0, Symbol::Minus) && self.touches_next(0) && self.is_name(1) {
                let hyphen = self.offset();
                while self.is_symbol(0, Symbol::Minus) && self.is_name(1) {
                    self.skip(2);
                }
                let identifier = self.source_since(start).to_owned();
                let kind = ParseErrorKind::InvalidIdentifier { identifier };
                return Err(super::ParseError::at(kind, self.text, hyphen));
            }
            if !self.eat_symbol(Symbol::Dot) {
                return Ok(parts);
            }
        }
    }

    fn is_stream(&self) -> bool {
        let named = self.is_name(1) && !self.is_any_word(1, NOT_AN_ALIAS);
        let clause = self.is_any_word(1, &["WHERE", "GROUP", "ORDER", "HAVING", "AS", "WATERMARK"])
            && self.is_name(2);
        let parenthesized = self.is_symbol(1, Symbol::LeftParen) && self.is_name(2);
        self.is_word(0, "STREAM") && ((named && !clause) || parenthesized)
    }

    /// `STREAM table`, `STREAM(table)` or `STREAM function(…)`.
    fn stream(&mut self) -> Parsed<Relation> {
        self.advance();
        let parenthesized = self.eat_symbol(Symbol::LeftParen);
        let start = self.offset();
        let parts = self.multipart_name()?;
        if self.is_symbol(0, Symbol::LeftParen) {
            // Spark's own streaming functions read a batch, too.
            let call = self.table_function(&parts)?;
            if parenthesized {
                self.expect_symbol(Symbol::RightParen)?;
            }
            return self.dressed(call);
        }
        if parenthesized {
            self.expect_symbol(Symbol::RightParen)?;
        }
        if self.is_word(0, "CHANGES") && !self.closes(1) {
            return Err(self.unsupported("STREAM … CHANGES"));
        }
        self.refuse_time_travel(start)?;
        let options = self.options_clause()?;
        if self.is_phrase(0, &["IDENTIFIED", "BY"]) {
            return Err(self.unsupported("naming a stream with IDENTIFIED BY"));
        }
        let table = match parts.as_slice() {
            [name] if options.is_empty() => self.common_table_by_name(name)?,
            _ => None,
        };
        self.dressed(table.unwrap_or_else(|| read_table(&parts, options, true)))
    }

    fn refuse_time_travel(&self, start: usize) -> Parsed<()> {
        let travels = ["VERSION", "TIMESTAMP", "SYSTEM_VERSION", "SYSTEM_TIME"];
        let ahead = usize::from(self.is_word(0, "FOR"));
        let travelling =
            self.is_any_word(ahead, &travels) && self.is_phrase(ahead + 1, &["AS", "OF"]);
        if travelling {
            let feature = "reading an earlier version of a table".to_owned();
            return Err(self.error_since(start, ParseErrorKind::Unsupported { feature }));
        }
        Ok(())
    }

    /// `WITH (key = value, …)` after a table.
    fn options_clause(&mut self) -> Parsed<HashMap<String, String>> {
        if self.is_word(0, "WITH") && self.is_symbol(1, Symbol::LeftParen) {
            self.advance();
            return self.property_list();
        }
        Ok(HashMap::new())
    }

    /// `name(argument, …)` as a table.
    fn table_function(&mut self, name: &[String]) -> Parsed<Relation> {
        let function_name = if let [simple] = name {
            simple.clone()
        } else {
            quote_parts(name)
        };
        let arguments = self.arguments()?;
        let function = UnresolvedTableValuedFunction {
            function_name,
            arguments,
        };
        Ok(relation(RelType::UnresolvedTableValuedFunction(function)))
    }

    /// A relation with what may follow it: a sample, a watermark, an alias.
    fn dressed(&mut self, input: Relation) -> Parsed<Relation> {
        let sampling = self.sampling()?;
        let watermark = self.watermark()?;
        let mut dressed = self.aliased(input)?;
        match sampling {
            Some(Sampling::Rows(count)) => dressed = limited(dressed, count),
            Some(Sampling::Fraction { upper_bound, seed }) => {
                dressed = relation(RelType::Sample(Box::new(Sample {
                    input: Some(Box::new(dressed)),
                    lower_bound: 0.0,
                    upper_bound,
                    with_replacement: Some(false),
                    seed,
                    deterministic_order: false,
                })));
            }
            None => {}
        }
        match watermark {
            Some(watermark) => Ok(watermark.over(dressed)),
            None => Ok(dressed),
        }
    }

    /// `[AS] name [(column, …)]`.
    pub fn aliased(&mut self, input: Relation) -> Parsed<Relation> {
        let explicit = self.is_word(0, "AS") && self.is_name(1);
        if explicit {
            self.advance();
        }
        let implicit = self.is_name(0)
            && !self.is_any_word(0, NOT_AN_ALIAS)
            && !self.begins_clause()
            && !self.begins_other_statement_part();
        if !explicit && !implicit {
            return Ok(input);
        }
        let name = self.expect_name()?;
        let input = if self.is_symbol(0, Symbol::LeftParen) {
            to_df(input, self.parenthesized_names()?)
        } else {
            input
        };
        Ok(subquery_alias(input, name))
    }

    /// Words after a relation that belong to a statement around the query.
    fn begins_other_statement_part(&self) -> bool {
        self.is_phrase(0, &["WHEN", "MATCHED"]) || self.is_word(0, "SET") && !self.closes(1)
    }

    /// `TABLESAMPLE (… PERCENT | ROWS | BUCKET x OUT OF y) [REPEATABLE (seed)]`.
    fn sampling(&mut self) -> Parsed<Option<Sampling>> {
        if !self.is_word(0, "TABLESAMPLE") || !self.is_symbol(1, Symbol::LeftParen) {
            return Ok(None);
        }
        self.skip(2);
        let sampling = if self.eat_word("BUCKET") {
            let bucket = self.sample_number()?;
            self.expect_phrase(&["OUT", "OF"])?;
            let upper_bound = bucket / self.sample_number()?;
            if self.is_word(0, "ON") {
                return Err(self.unsupported("TABLESAMPLE (BUCKET … ON …)"));
            }
            Sampling::Fraction {
                upper_bound,
                seed: None,
            }
        } else if self.is_symbol(1, Symbol::RightParen) || self.is_word(1, "BYTES") {
            return Err(self.unsupported("TABLESAMPLE by bytes"));
        } else if self.is_word(1, "PERCENT") || self.is_word(2, "PERCENT") {
            let negative = self.eat_symbol(Symbol::Minus);
            let percent = self.sample_number()?;
            self.expect_word("PERCENT")?;
            let upper_bound = if negative { -percent } else { percent } / 100.0;
            Sampling::Fraction {
                upper_bound,
                seed: None,
            }
        } else {
            let start = self.position();
            let mut end = start;
            while !self.is_word(0, "ROWS") && *self.token(0) != Token::End {
                self.advance();
                end = self.position();
            }
            self.rewind(start);
            if start == end {
                return Err(self.syntax_error());
            }
            let count = self.row_count("limit")?;
            self.expect_word("ROWS")?;
            Sampling::Rows(count)
        };
        self.expect_symbol(Symbol::RightParen)?;
        let seed = if self.is_word(0, "REPEATABLE") && self.is_symbol(1, Symbol::LeftParen) {
            self.skip(2);
            let seed = self.source(0).parse().map_err(|_| self.syntax_error())?;
            self.advance();
            self.expect_symbol(Symbol::RightParen)?;
            Some(seed)
        } else {
            None
        };
        match sampling {
            Sampling::Fraction { upper_bound, .. } if !(0.0..=1.0).contains(&upper_bound) => {
                let message =
                    format!("Sampling fraction ({upper_bound}) must be on interval [0, 1].");
                Err(self.error_here(ParseErrorKind::Legacy { message }))
            }
            Sampling::Fraction { upper_bound, .. } => {
                Ok(Some(Sampling::Fraction { upper_bound, seed }))
            }
            rows => Ok(Some(rows)),
        }
    }

    fn sample_number(&mut self) -> Parsed<f64> {
        let value = match self.token(0) {
            Token::Number(NumberKind::Integer | NumberKind::Decimal) => self.source(0).parse().ok(),
            _ => None,
        };
        let value = value.ok_or_else(|| self.syntax_error())?;
        self.advance();
        Ok(value)
    }

    /// `WATERMARK column DELAY OF INTERVAL …`, or over `expression AS name`.
    fn watermark(&mut self) -> Parsed<Option<Watermark>> {
        if !self.is_word(0, "WATERMARK") || self.closes(1) || self.is_symbol(1, Symbol::LeftParen) {
            return Ok(None);
        }
        self.advance();
        let start = self.offset();
        let expression = self.named_expression()?;
        let written = self.source_since(start).to_owned();
        self.expect_phrase(&["DELAY", "OF"])?;
        let delay = self.delay_interval()?;
        let (event_time, computed) = match &expression.expr_type {
            Some(ExprType::UnresolvedAttribute(column)) => {
                (column.unparsed_identifier.clone(), None)
            }
            Some(ExprType::Alias(alias)) if alias.name.len() == 1 => {
                (quote_parts(&alias.name), Some(expression))
            }
            _ => {
                let kind = ParseErrorKind::WatermarkName {
                    expression: written,
                };
                return Err(self.error_since(start, kind));
            }
        };
        Ok(Some(Watermark {
            event_time,
            computed,
            delay_threshold: interval_text(&delay),
        }))
    }
}

enum Sampling {
    Rows(i32),
    Fraction { upper_bound: f64, seed: Option<i64> },
}

struct Watermark {
    event_time: String,
    /// The expression to add as a column first.
    computed: Option<Expression>,
    delay_threshold: String,
}

impl Watermark {
    fn over(self, input: Relation) -> Relation {
        let input = match self.computed {
            // In front of the other columns, and no column of the relation's name.
            Some(expression) => project(Some(input), vec![expression, star(None)]),
            None => input,
        };
        relation(RelType::WithWatermark(Box::new(WithWatermark {
            input: Some(Box::new(input)),
            event_time: self.event_time,
            delay_threshold: self.delay_threshold,
        })))
    }
}

/// A read of a table or view.
fn read_table(parts: &[String], options: HashMap<String, String>, is_streaming: bool) -> Relation {
    let unparsed_identifier = quote_parts(parts);
    let table = NamedTable {
        unparsed_identifier,
        options,
    };
    relation(RelType::Read(Read {
        is_streaming,
        read_type: Some(ReadType::NamedTable(table)),
    }))
}

fn join(
    left: Relation,
    right: Relation,
    join_condition: Option<Expression>,
    using_columns: Vec<String>,
    join_type: JoinType,
) -> Relation {
    relation(RelType::Join(Box::new(Join {
        left: Some(Box::new(left)),
        right: Some(Box::new(right)),
        join_condition,
        join_type: join_type.into(),
        using_columns,
        join_data_type: None,
    })))
}

fn lateral_join(
    left: Relation,
    right: Relation,
    join_condition: Option<Expression>,
    join_type: JoinType,
) -> Relation {
    relation(RelType::LateralJoin(Box::new(LateralJoin {
        left: Some(Box::new(left)),
        right: Some(Box::new(right)),
        join_condition,
        join_type: join_type.into(),
    })))
}
