//! Queries: `WITH`, set operations, ordering and limits around [`super::select`].
//!
//! **Common tables are inlined**: a mention of `x` after `WITH x AS (q)` becomes `q` under the
//! alias `x`, so that the resolver needs no scopes of its own. What copying costs is bounded, see
//! [`COPIED_MAX`].
//!
//! **Subqueries in expressions** are what the Python client makes of them: a `SubqueryExpression`
//! that names a plan id, and the plan itself beside the statement in one `WithRelations` around
//! the whole query. Ids are negative, which the client's never are, and unique in the process, so
//! that plans from several SQL texts can be put together.

use std::sync::atomic::{AtomicI64, Ordering};

use spark_connect_proto::expression::ExprType;
use spark_connect_proto::expression::literal::LiteralType;
use spark_connect_proto::relation::RelType;
use spark_connect_proto::set_operation::SetOpType;
use spark_connect_proto::subquery_expression::SubqueryType;
use spark_connect_proto::{
    Expression, Limit, Offset, Relation, RelationCommon, RepartitionByExpression, SetOperation,
    Sort, SubqueryExpression, WithRelations,
};

use super::construct::{alias, expression, project, relation, subquery_alias, to_df};
use super::error::ParseErrorKind;
use super::lexer::{Symbol, Token};
use super::parser::{CommonTable, Parsed, Parser};

/// Tokens that copies of common tables may add to a statement.
const COPIED_MAX: usize = 500_000;

static NEXT_PLAN_ID: AtomicI64 = AtomicI64::new(-1);

impl Parser<'_> {
    /// `[WITH …] term [ORDER BY …] [LIMIT …]`.
    pub fn query(&mut self) -> Parsed<Relation> {
        self.scoped(|parser| {
            parser.with_clause()?;
            parser.query_without_with()
        })
    }

    /// A query whose `WITH` has been read.
    pub fn query_without_with(&mut self) -> Parsed<Relation> {
        let body = self.set_operations()?;
        self.organized(body)
    }

    /// Binds the common tables that `WITH` defines, if it is there.
    pub fn with_clause(&mut self) -> Parsed<()> {
        if !self.is_word(0, "WITH") || !self.is_name(1) {
            return Ok(());
        }
        let start = self.offset();
        self.advance();
        if self.is_word(0, "RECURSIVE") && self.is_name(1) && !self.is_word(1, "AS") {
            return Err(self.unsupported("recursive common table expressions"));
        }
        let mut names: Vec<String> = Vec::new();
        loop {
            let table = self.common_table()?;
            let duplicate = names
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&table.name));
            if duplicate {
                let names = format!("`{}`", table.name);
                return Err(self.error_over_rest(start, ParseErrorKind::DuplicateCte { names }));
            }
            names.push(table.name.clone());
            self.common_tables.push(table);
            if !self.eat_symbol(Symbol::Comma) {
                return Ok(());
            }
        }
    }

    fn common_table(&mut self) -> Parsed<CommonTable> {
        let name = self.expect_name()?;
        let columns = if self.is_symbol(0, Symbol::LeftParen) && !self.begins_query(1) {
            Some(self.parenthesized_names()?)
        } else {
            None
        };
        self.eat_word("AS");
        let (start, copied) = (self.position(), self.copied);
        self.expect_symbol(Symbol::LeftParen)?;
        let body = self.nested(Self::query)?;
        self.expect_query_end()?;
        let size = (self.position() - start) + (self.copied - copied);
        let body = match columns {
            Some(columns) => to_df(body, columns),
            None => body,
        };
        Ok(CommonTable {
            relation: subquery_alias(body, name.clone()),
            name,
            size,
        })
    }

    /// A copy of the common table of this name, if `WITH` defines one.
    pub fn common_table_by_name(&mut self, name: &str) -> Parsed<Option<Relation>> {
        let table = self
            .common_tables
            .iter()
            .rev()
            .find(|t| t.name.eq_ignore_ascii_case(name));
        let Some(table) = table else { return Ok(None) };
        self.copied += table.size;
        if self.copied > COPIED_MAX {
            return Err(self.error_here(ParseErrorKind::TooComplex { limit: COPIED_MAX }));
        }
        Ok(Some(table.relation.clone()))
    }

    /// `UNION`, `EXCEPT` and `MINUS`, left to right; `INTERSECT` binds tighter.
    fn set_operations(&mut self) -> Parsed<Relation> {
        let mut left = self.intersections()?;
        let mut length = 0;
        loop {
            let set_op_type = match self.token(0) {
                Token::Word(word) if !self.closes(1) => match word.to_ascii_uppercase().as_str() {
                    "UNION" => SetOpType::Union,
                    "EXCEPT" | "MINUS" => SetOpType::Except,
                    _ => return Ok(left),
                },
                _ => return Ok(left),
            };
            self.advance();
            length += 1;
            self.chain(length)?;
            let is_all = self.set_quantifier();
            let right = self.intersections()?;
            left = set_operation(left, right, set_op_type, is_all);
        }
    }

    fn intersections(&mut self) -> Parsed<Relation> {
        let mut left = self.query_primary()?;
        let mut length = 0;
        while self.is_word(0, "INTERSECT") && !self.closes(1) {
            self.advance();
            length += 1;
            self.chain(length)?;
            let is_all = self.set_quantifier();
            let right = self.query_primary()?;
            left = set_operation(left, right, SetOpType::Intersect, is_all);
        }
        Ok(left)
    }

    fn set_quantifier(&mut self) -> bool {
        let is_all = self.eat_word("ALL");
        if !is_all {
            self.eat_word("DISTINCT");
        }
        is_all
    }

    fn query_primary(&mut self) -> Parsed<Relation> {
        if self.is_symbol(0, Symbol::LeftParen) {
            return self.nested(|parser| {
                parser.advance();
                let inner = parser.query()?;
                parser.expect_query_end()?;
                Ok(inner)
            });
        }
        if self.is_word(0, "SELECT") {
            return self.select(None);
        }
        if self.is_word(0, "FROM") {
            self.advance();
            let input = self.relations_of_from()?;
            if self.is_word(0, "INSERT") {
                return Err(self.unsupported("FROM … INSERT"));
            }
            let more = self.is_word(0, "SELECT");
            return if more {
                self.select(Some(input))
            } else {
                Ok(input)
            };
        }
        if self.is_word(0, "TABLE") && self.is_name(1) {
            self.advance();
            return self.named_table(false);
        }
        if self.is_word(0, "VALUES") {
            return self.inline_table();
        }
        Err(self.syntax_error())
    }

    /// `VALUES row, …`: a union of single rows, which is what widens the types of a column.
    pub fn inline_table(&mut self) -> Parsed<Relation> {
        let start = self.offset();
        self.expect_word("VALUES")?;
        let rows = self.comma_separated(Self::expression)?;
        let mut width = None;
        let mut relations = Vec::new();
        for (index, row) in rows.into_iter().enumerate() {
            let values = row_values(row);
            let expected = *width.get_or_insert(values.len());
            if values.len() != expected {
                let found = values.len();
                return Err(self.error_since(start, ParseErrorKind::InlineTable {
                    message: format!(
                        "Inline table expected {expected} columns but found {found} columns in row \
                         {index}."
                    ),
                }));
            }
            let named = values
                .into_iter()
                .enumerate()
                .map(|(column, value)| alias(value, vec![format!("col{}", column + 1)]));
            relations.push(project(None, named.collect()));
        }
        let table = balanced_union(relations);
        self.aliased(table)
    }

    /// Ordering, distribution, limit and offset, in Spark's order.
    fn organized(&mut self, mut body: Relation) -> Parsed<Relation> {
        let start = self.offset();
        let mut clauses = 0;
        if self.eat_clause(&["ORDER", "BY"]) {
            let order = self.comma_separated(Self::sort_order)?;
            body = sort(body, order, true);
            clauses += 1;
        }
        if self.eat_clause(&["CLUSTER", "BY"]) {
            let keys = self.comma_separated(Self::expression)?;
            let order = keys.iter().cloned().map(super::window::ascending).collect();
            body = sort(distributed(body, keys), order, false);
            clauses += 1;
        }
        let distribute = self.eat_clause(&["DISTRIBUTE", "BY"]);
        if distribute {
            body = distributed(body, self.comma_separated(Self::expression)?);
            clauses += 1;
        }
        if self.eat_clause(&["SORT", "BY"]) {
            let order = self.comma_separated(Self::sort_order)?;
            body = sort(body, order, false);
            clauses += usize::from(!distribute);
        }
        if clauses > 1 {
            return Err(self.error_since(start, ParseErrorKind::ClauseCombination));
        }
        self.pass_window_clause()?;
        let mut limit = None;
        if self.is_word(0, "LIMIT") && !self.closes(1) {
            self.advance();
            let all = self.is_word(0, "ALL") && (self.closes(1) || self.is_word(1, "OFFSET"));
            if all {
                self.advance();
            } else {
                limit = Some(self.row_count("limit")?);
            }
        }
        if self.is_word(0, "OFFSET") && !self.closes(1) {
            self.advance();
            let offset = self.row_count("offset")?;
            let input = Some(Box::new(body));
            body = relation(RelType::Offset(Box::new(Offset { input, offset })));
        }
        if let Some(limit) = limit {
            body = limited(body, limit);
        }
        if self.is_symbol(0, Symbol::PipeForward) {
            return Err(self.unsupported("the SQL pipe operator (|>)"));
        }
        Ok(body)
    }

    /// Eats a clause's keywords unless they end the text, where they would be an alias.
    fn eat_clause(&mut self, keywords: &[&str]) -> bool {
        !self.closes(keywords.len()) && self.eat_phrase(keywords)
    }

    /// A number of rows: a constant integer.
    pub fn row_count(&mut self, clause: &'static str) -> Parsed<i32> {
        let start = self.offset();
        let count = self.expression()?;
        let written = self.source_since(start).to_owned();
        let invalid = |subclass, reason| {
            let kind = ParseErrorKind::InvalidLimit {
                subclass,
                expression: written.clone(),
                reason,
            };
            self.error_since(start, kind)
        };
        match constant(&count) {
            Some(value) if value < 0 => Err(invalid(
                "IS_NEGATIVE",
                format!(
                    "The {clause} expression must be equal to or greater than 0, but got {value}."
                ),
            )),
            Some(value) => i32::try_from(value).map_err(|_| {
                let reason =
                    format!("The {clause} expression must be integer type, but got \"BIGINT\".");
                invalid("DATA_TYPE", reason)
            }),
            None => Err(invalid(
                "IS_UNFOLDABLE",
                format!("The {clause} expression must evaluate to a constant value."),
            )),
        }
    }

    /// Keeps a relation for a subquery expression and gives the id to refer to it by.
    pub fn refer_to(&mut self, mut relation: Relation) -> i64 {
        let plan_id = NEXT_PLAN_ID.fetch_sub(1, Ordering::Relaxed);
        relation.common = Some(RelationCommon {
            plan_id: Some(plan_id),
            ..Default::default()
        });
        self.subqueries.push(relation);
        plan_id
    }

    /// A subquery expression over a relation.
    pub fn subquery_of(&mut self, relation: Relation, subquery_type: SubqueryType) -> Expression {
        let plan_id = self.refer_to(relation);
        expression(ExprType::SubqueryExpression(SubqueryExpression {
            plan_id,
            subquery_type: subquery_type.into(),
            table_arg_options: None,
            in_subquery_values: Vec::new(),
        }))
    }

    /// Puts the subqueries met so far beside the relation whose expressions refer to them.
    pub fn with_subqueries(&mut self, root: Relation) -> Relation {
        if self.subqueries.is_empty() {
            return root;
        }
        relation(RelType::WithRelations(Box::new(WithRelations {
            root: Some(Box::new(root)),
            references: std::mem::take(&mut self.subqueries),
        })))
    }
}

/// The columns of a row: `(a, b)` has two, anything else is one.
fn row_values(row: Expression) -> Vec<Expression> {
    match row.expr_type {
        Some(ExprType::UnresolvedFunction(row))
            if row.function_name == "struct" && row.is_internal.is_none() =>
        {
            row.arguments
        }
        kind => vec![Expression {
            common: row.common,
            expr_type: kind,
        }],
    }
}

/// A tree of `UNION ALL`s over relations in order, as flat as can be.
fn balanced_union(mut relations: Vec<Relation>) -> Relation {
    match relations.len() {
        0 => project(None, Vec::new()),
        1 => relations.remove(0),
        count => {
            let right = relations.split_off(count.div_ceil(2));
            let (left, right) = (balanced_union(relations), balanced_union(right));
            set_operation(left, right, SetOpType::Union, true)
        }
    }
}

fn set_operation(
    left: Relation,
    right: Relation,
    set_op_type: SetOpType,
    is_all: bool,
) -> Relation {
    relation(RelType::SetOp(Box::new(SetOperation {
        left_input: Some(Box::new(left)),
        right_input: Some(Box::new(right)),
        set_op_type: set_op_type.into(),
        is_all: Some(is_all),
        by_name: Some(false),
        allow_missing_columns: Some(false),
    })))
}

fn sort(
    input: Relation,
    order: Vec<spark_connect_proto::expression::SortOrder>,
    is_global: bool,
) -> Relation {
    let (input, is_global) = (Some(Box::new(input)), Some(is_global));
    relation(RelType::Sort(Box::new(Sort {
        input,
        order,
        is_global,
    })))
}

fn distributed(input: Relation, partition_exprs: Vec<Expression>) -> Relation {
    relation(RelType::RepartitionByExpression(Box::new(
        RepartitionByExpression {
            input: Some(Box::new(input)),
            partition_exprs,
            num_partitions: None,
        },
    )))
}

pub(super) fn limited(input: Relation, limit: i32) -> Relation {
    relation(RelType::Limit(Box::new(Limit {
        input: Some(Box::new(input)),
        limit,
    })))
}

/// The value of an integer, or of arithmetic over integers.
fn constant(expression: &Expression) -> Option<i64> {
    match expression.expr_type.as_ref()? {
        ExprType::Literal(literal) => match literal.literal_type.as_ref()? {
            LiteralType::Byte(value) | LiteralType::Short(value) | LiteralType::Integer(value) => {
                Some(i64::from(*value))
            }
            LiteralType::Long(value) => Some(*value),
            _ => None,
        },
        ExprType::UnresolvedFunction(call) => match call.arguments.as_slice() {
            [left, right] => {
                let (left, right) = (constant(left)?, constant(right)?);
                match call.function_name.as_str() {
                    "+" => left.checked_add(right),
                    "-" => left.checked_sub(right),
                    "*" => left.checked_mul(right),
                    _ => None,
                }
            }
            [operand] if call.function_name == "negative" => constant(operand)?.checked_neg(),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::construct::{function, literal};

    #[test]
    fn constants_fold_through_arithmetic_and_nothing_else() {
        let number = |value| literal(LiteralType::Integer(value));
        let sum = function(
            "+",
            vec![number(1), function("*", vec![number(2), number(3)])],
        );
        assert_eq!(constant(&sum), Some(7));
        assert_eq!(constant(&function("abs", vec![number(1)])), None);
    }
}
