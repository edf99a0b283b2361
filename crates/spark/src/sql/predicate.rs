//! Predicates: what may follow a value expression once.
//!
//! `BETWEEN` is a function of its own in Spark (`between(a, low, high)` is also its column name).
//! A quantified `LIKE` becomes the comparisons it stands for.

use spark_connect_proto::Expression;
use spark_connect_proto::expression::ExprType;
use spark_connect_proto::expression::literal::LiteralType;
use spark_connect_proto::subquery_expression::SubqueryType;

use super::construct::{expression, function, literal, negate_if, string};
use super::error::ParseErrorKind;
use super::expression::balanced;
use super::lexer::Symbol;
use super::parser::{Parsed, Parser};

impl Parser<'_> {
    /// A value expression with at most one predicate.
    pub fn predicate(&mut self) -> Parsed<Expression> {
        let begin = self.offset();
        let left = self.value()?;
        let read = self.position();
        let predicate = self.predicate_of(left)?;
        if self.position() == read {
            return Ok(predicate);
        }
        Ok(self.placed(begin, predicate))
    }

    /// The value, or the predicate about it that follows.
    fn predicate_of(&mut self, left: Expression) -> Parsed<Expression> {
        let start = self.offset();
        if self.is_word(0, "IS") && !self.closes(1) {
            self.advance();
            return self.is_predicate(left);
        }
        let negated = self.is_word(0, "NOT") && self.introduces_predicate(1);
        if !negated && !self.introduces_predicate(0) {
            return Ok(left);
        }
        if negated {
            self.advance();
        }
        let positive = if self.eat_word("BETWEEN") {
            let low = self.value()?;
            self.expect_word("AND")?;
            let high = self.value()?;
            function("between", vec![left, low, high])
        } else if self.eat_word("IN") {
            self.in_predicate(left, start)?
        } else if self.eat_word("RLIKE") || self.eat_word("REGEXP") {
            let pattern = self.value()?;
            function("rlike", vec![left, pattern])
        } else {
            return self.like_predicate(left, negated, start);
        };
        Ok(negate_if(negated, positive))
    }

    fn introduces_predicate(&self, ahead: usize) -> bool {
        const KEYWORDS: &[&str] = &["BETWEEN", "IN", "RLIKE", "REGEXP", "LIKE", "ILIKE"];
        self.is_any_word(ahead, KEYWORDS) && !self.closes(ahead + 1)
    }

    fn is_predicate(&mut self, left: Expression) -> Parsed<Expression> {
        let negated = self.eat_word("NOT");
        if self.eat_word("NULL") || self.eat_word("UNKNOWN") {
            let name = if negated { "isNotNull" } else { "isNull" };
            return Ok(function(name, vec![left]));
        }
        let right = if self.eat_word("TRUE") {
            literal(LiteralType::Boolean(true))
        } else if self.eat_word("FALSE") {
            literal(LiteralType::Boolean(false))
        } else if self.eat_phrase(&["DISTINCT", "FROM"]) {
            // DISTINCT FROM is the negation of null-safe equality.
            let right = self.value()?;
            return Ok(negate_if(!negated, function("<=>", vec![left, right])));
        } else {
            return Err(self.syntax_error());
        };
        Ok(negate_if(negated, function("<=>", vec![left, right])))
    }

    fn in_predicate(&mut self, left: Expression, start: usize) -> Parsed<Expression> {
        self.expect_symbol(Symbol::LeftParen)?;
        if self.eat_symbol(Symbol::RightParen) {
            return Err(self.error_since(
                start,
                ParseErrorKind::InvalidSyntax {
                    subclass: "EMPTY_IN_PREDICATE",
                    message:
                        "IN predicate requires at least one value. Empty IN clauses like 'IN ()' \
                          are not allowed. Consider using 'WHERE FALSE' if you need an \
                          always-false condition, or provide at least one value in the IN list."
                            .to_owned(),
                },
            ));
        }
        if self.begins_query(0) {
            let values = match left.expr_type {
                Some(ExprType::UnresolvedFunction(row)) if row.function_name == "struct" => {
                    row.arguments
                }
                kind => vec![Expression {
                    common: left.common,
                    expr_type: kind,
                }],
            };
            let subquery = self.subquery(SubqueryType::In, values)?;
            self.expect_query_end()?;
            return Ok(subquery);
        }
        let mut arguments = vec![left];
        arguments.extend(self.comma_separated(Self::expression)?);
        self.expect_symbol(Symbol::RightParen)?;
        Ok(function("in", arguments))
    }

    fn like_predicate(
        &mut self,
        left: Expression,
        negated: bool,
        start: usize,
    ) -> Parsed<Expression> {
        let name = if self.eat_word("ILIKE") {
            "ilike"
        } else {
            "like"
        };
        if name == "like" {
            self.expect_word("LIKE")?;
        }
        if self.is_any_word(0, &["ANY", "SOME", "ALL"]) && self.is_symbol(1, Symbol::LeftParen) {
            return self.quantified_like(left, name, negated, start);
        }
        let mut arguments = vec![left, self.value()?];
        if self.is_word(0, "ESCAPE") && !self.closes(1) {
            self.advance();
            let escape = self.expect_string()?;
            if escape.chars().count() != 1 {
                let escape = format!("'{escape}'");
                return Err(self.error_since(start, ParseErrorKind::InvalidEscape { escape }));
            }
            arguments.push(string(escape));
        }
        Ok(negate_if(negated, function(name, arguments)))
    }

    /// `LIKE ANY (…)` holds if one pattern matches, `LIKE ALL (…)` if all do; `NOT` negates each
    /// comparison, not the whole.
    fn quantified_like(
        &mut self,
        left: Expression,
        name: &str,
        negated: bool,
        start: usize,
    ) -> Parsed<Expression> {
        let combine = if self.is_word(0, "ALL") { "and" } else { "or" };
        self.advance();
        self.expect_symbol(Symbol::LeftParen)?;
        if self.eat_symbol(Symbol::RightParen) {
            return Err(self.error_since(
                start,
                ParseErrorKind::InvalidSyntax {
                    subclass: "EMPTY_QUANTIFIED_PATTERN",
                    message: "Expected something between '(' and ')'.".to_owned(),
                },
            ));
        }
        let patterns = self.comma_separated(Self::expression)?;
        self.expect_symbol(Symbol::RightParen)?;
        let comparisons = patterns
            .into_iter()
            .map(|pattern| negate_if(negated, function(name, vec![left.clone(), pattern])))
            .collect();
        Ok(balanced(combine, comparisons))
    }

    /// A subquery used as an expression; the cursor stands after the opening parenthesis.
    pub fn subquery(
        &mut self,
        subquery_type: SubqueryType,
        in_subquery_values: Vec<Expression>,
    ) -> Parsed<Expression> {
        let relation = self.nested(Self::query)?;
        let plan_id = self.refer_to(relation);
        Ok(expression(ExprType::SubqueryExpression(
            spark_connect_proto::SubqueryExpression {
                plan_id,
                subquery_type: subquery_type.into(),
                table_arg_options: None,
                in_subquery_values,
            },
        )))
    }
}
