//! Expressions: operators by binding power, and what they become.
//!
//! Spark's grammar has two storeys. *Value expressions* bind, loosest first:
//!
//! | level | operators |
//! |---|---|
//! | 1 | `=` `==` `<=>` `<>` `!=` `<` `<=` `!>` `>` `>=` `!<` |
//! | 2 | `\|` |
//! | 3 | `^` |
//! | 4 | `&` |
//! | 5 | `<<` `>>` `>>>` |
//! | 6 | `+` `-` `\|\|` |
//! | 7 | `*` `/` `%` `DIV` |
//! | 8 | unary `-` `+` `~` |
//! | 9 | `.field` `[key]` `::type` `COLLATE` |
//!
//! all left-associative. Above them, *boolean expressions*: a value expression with at most one
//! predicate (`BETWEEN`, `IN`, `LIKE`, `IS` …, see [`super::predicate`]), then `NOT`, `AND`, `OR`.
//! So the operand of `NOT` is everything up to the next `AND`, and a comparison may stand inside
//! the bounds of a `BETWEEN`.
//!
//! Operators become calls of the functions the Python client sends; chains of `AND` and `OR`
//! become balanced trees, as in Spark, so that a filter of a thousand terms is ten levels deep.

use spark_connect_proto::Expression;
use spark_connect_proto::expression::{ExprType, UnresolvedStar, cast};

use super::construct::{alias, attribute, expression, extract_value, function, not, string};
use super::lexer::{Symbol, Token};
use super::parser::{Parsed, Parser};

/// How tightly the unary operators bind their operand.
const UNARY_LEVEL: u8 = 8;

/// A binary operator of a value expression.
struct Operator {
    level: u8,
    /// Tokens of its spelling.
    tokens: usize,
    function: &'static str,
    negated: bool,
}

impl Parser<'_> {
    /// `expression [[AS] name]`, `expression [AS] (name, …)`, `*` or `target.*`: an item of a
    /// select list.
    pub fn named_expression(&mut self) -> Parsed<Expression> {
        let child = self.expression()?;
        let explicit = self.is_word(0, "AS") && (self.is_name(1) || self.opens_names(1));
        if explicit {
            self.advance();
        }
        if self.opens_names(0) {
            return Ok(alias(child, self.parenthesized_names()?));
        }
        if explicit || (self.is_name(0) && !self.begins_clause()) {
            return Ok(alias(child, vec![self.expect_name()?]));
        }
        Ok(child)
    }

    fn opens_names(&self, ahead: usize) -> bool {
        self.is_symbol(ahead, Symbol::LeftParen) && self.is_name(ahead + 1)
    }

    /// A boolean expression.
    pub fn expression(&mut self) -> Parsed<Expression> {
        self.nested(|parser| parser.logical("OR", |parser| parser.logical("AND", Self::negation)))
    }

    /// Operands joined by one logical operator.
    fn logical(
        &mut self,
        keyword: &'static str,
        operand: impl Fn(&mut Self) -> Parsed<Expression>,
    ) -> Parsed<Expression> {
        let mut operands = vec![operand(self)?];
        while self.is_word(0, keyword) && !self.closes(1) {
            self.advance();
            operands.push(operand(self)?);
        }
        Ok(balanced(
            if keyword == "OR" { "or" } else { "and" },
            operands,
        ))
    }

    fn negation(&mut self) -> Parsed<Expression> {
        let mut negations = 0;
        while self.is_symbol(0, Symbol::Bang) || self.is_prefix_not() {
            self.advance();
            negations += 1;
            self.chain(negations)?;
        }
        let mut operand = self.predicate()?;
        for _ in 0..negations {
            operand = not(operand);
        }
        Ok(operand)
    }

    /// `NOT` negates unless nothing follows that could be negated: then it is a column.
    fn is_prefix_not(&self) -> bool {
        self.is_word(0, "NOT") && !self.closes(1) && !self.is_name_before_operator()
    }

    /// A value expression: everything that binds tighter than the predicates.
    pub fn value(&mut self) -> Parsed<Expression> {
        self.binary(1)
    }

    fn binary(&mut self, level: u8) -> Parsed<Expression> {
        let start = self.offset();
        let mut left = self.unary()?;
        let mut length = 0;
        while let Some(operator) = self.operator().filter(|operator| operator.level >= level) {
            self.skip(operator.tokens);
            length += 1;
            self.chain(length)?;
            let right = self.binary(operator.level + 1)?;
            left = function(operator.function, vec![left, right]);
            left = self.placed(start, left);
            if operator.negated {
                left = not(left);
            }
        }
        Ok(left)
    }

    /// The binary operator here, if there is one.
    fn operator(&self) -> Option<Operator> {
        let one = |level, function| {
            Some(Operator {
                level,
                tokens: 1,
                function,
                negated: false,
            })
        };
        match self.token(0) {
            Token::Symbol(symbol) => match symbol {
                Symbol::Greater | Symbol::Less => Some(self.angle_operator()),
                Symbol::Equal => one(1, "=="),
                Symbol::NullSafeEqual => one(1, "<=>"),
                Symbol::NotEqual => Some(Operator {
                    level: 1,
                    tokens: 1,
                    function: "==",
                    negated: true,
                }),
                Symbol::LessOrEqual => one(1, "<="),
                Symbol::GreaterOrEqual => one(1, ">="),
                Symbol::Pipe => one(2, "|"),
                Symbol::Caret => one(3, "^"),
                Symbol::Ampersand => one(4, "&"),
                Symbol::Plus => one(6, "+"),
                Symbol::Minus => one(6, "-"),
                Symbol::Concat => one(6, "concat"),
                Symbol::Star => one(7, "*"),
                Symbol::Slash => one(7, "/"),
                Symbol::Percent => one(7, "%"),
                _ => None,
            },
            Token::Word(word) if word.eq_ignore_ascii_case("DIV") && !self.closes(1) => {
                one(7, "div")
            }
            _ => None,
        }
    }

    /// Angle brackets are single tokens; those that touch make a shift.
    fn angle_operator(&self) -> Operator {
        let right = self.is_symbol(0, Symbol::Greater);
        let same = |ahead| {
            let symbol = if right { Symbol::Greater } else { Symbol::Less };
            self.touches_next(ahead - 1) && self.is_symbol(ahead, symbol)
        };
        let (level, tokens, function) = match (right, same(1), same(1) && same(2)) {
            (true, _, true) => (5, 3, "shiftrightunsigned"),
            (true, true, _) => (5, 2, "shiftright"),
            (false, true, _) => (5, 2, "shiftleft"),
            (true, ..) => (1, 1, ">"),
            (false, ..) => (1, 1, "<"),
        };
        Operator {
            level,
            tokens,
            function,
            negated: false,
        }
    }

    fn unary(&mut self) -> Parsed<Expression> {
        let name = match self.token(0) {
            Token::Symbol(Symbol::Minus) if matches!(self.token(1), Token::Number(_)) => {
                return self.postfix();
            }
            Token::Symbol(Symbol::Minus) => "-",
            Token::Symbol(Symbol::Plus) => "positive",
            Token::Symbol(Symbol::Tilde) => "~",
            _ => return self.postfix(),
        };
        let start = self.offset();
        self.advance();
        let operand = self.nested(|parser| parser.binary(UNARY_LEVEL))?;
        Ok(self.placed(start, function(name, vec![operand])))
    }

    /// A primary expression with what may follow it directly.
    fn postfix(&mut self) -> Parsed<Expression> {
        let start = self.offset();
        let mut left = self.primary()?;
        let mut length = 0;
        loop {
            left = self.placed(start, left);
            length += 1;
            self.chain(length)?;
            if self.is_symbol(0, Symbol::LeftBracket) {
                self.advance();
                let key = self.nested(Self::value)?;
                self.expect_symbol(Symbol::RightBracket)?;
                left = extract_value(left, key);
            } else if self.is_symbol(0, Symbol::Dot) {
                left = self.dereference(left)?;
            } else if self.eat_symbol(Symbol::DoubleColon) {
                left = super::function::cast(left, self.data_type()?, cast::EvalMode::Unspecified);
            } else if self.is_word(0, "COLLATE") && self.is_name(1) {
                self.advance();
                let collation = self.multipart_name()?.join(".");
                left = function("collate", vec![left, string(collation)]);
            } else if self.is_symbol(0, Symbol::Colon) && self.is_name(1) {
                return Err(self.unsupported("semi-structured extraction (value:path)"));
            } else {
                return Ok(left);
            }
        }
    }

    /// `.field`: one more part of a column's name, or the field of whatever stands before it.
    fn dereference(&mut self, left: Expression) -> Parsed<Expression> {
        self.expect_symbol(Symbol::Dot)?;
        let name = self.expect_name()?;
        match left.expr_type {
            Some(ExprType::UnresolvedAttribute(mut column)) => {
                column.unparsed_identifier.push('.');
                column
                    .unparsed_identifier
                    .push_str(&super::construct::quote_parts(&[name]));
                Ok(expression(ExprType::UnresolvedAttribute(column)))
            }
            _ => Ok(extract_value(left, string(name))),
        }
    }

    /// A star, a column, a lambda or a call: what begins with a name.
    pub fn name_or_call(&mut self) -> Parsed<Expression> {
        if self.is_symbol(1, Symbol::Arrow) {
            return self.lambda();
        }
        let mut parts = vec![self.expect_name()?];
        while self.is_symbol(0, Symbol::Dot) && self.is_name(1) {
            self.advance();
            parts.push(self.expect_name()?);
        }
        if self.is_symbol(0, Symbol::LeftParen) {
            return self.call(parts);
        }
        if self.is_symbol(0, Symbol::Dot) && self.is_symbol(1, Symbol::Star) {
            self.skip(2);
            return Ok(star(Some(&parts)));
        }
        Ok(self.column(&parts))
    }

    /// A column, or the lambda variable that hides it, with its fields.
    fn column(&self, parts: &[String]) -> Expression {
        let Some((first, fields)) = parts.split_first() else {
            return attribute(parts);
        };
        let bound = self
            .lambda_variables
            .iter()
            .rev()
            .find(|v| v.eq_ignore_ascii_case(first));
        let Some(variable) = bound else {
            return attribute(parts);
        };
        let variable = super::function::lambda_variable(variable);
        let variable = expression(ExprType::UnresolvedNamedLambdaVariable(variable));
        fields.iter().fold(variable, |child, field| {
            extract_value(child, string(field.as_str()))
        })
    }

    /// Whether a word here is followed by an operator, so that it is an operand itself.
    pub fn is_name_before_operator(&self) -> bool {
        use Symbol::{
            Arrow, Concat, Dot, DoubleColon, Equal, Greater, GreaterOrEqual, LeftBracket, Less,
            LessOrEqual, NotEqual, NullSafeEqual, Percent, Slash, Star,
        };
        let Token::Symbol(symbol) = self.token(1) else {
            return self.is_word(1, "AS");
        };
        matches!(
            symbol,
            Dot | DoubleColon
                | Equal
                | NullSafeEqual
                | NotEqual
                | Less
                | LessOrEqual
                | Greater
                | GreaterOrEqual
                | Concat
                | Star
                | Slash
                | Percent
                | LeftBracket
                | Arrow
        )
    }
}

/// `*` or `target.*`.
pub(super) fn star(target: Option<&[String]>) -> Expression {
    expression(ExprType::UnresolvedStar(UnresolvedStar {
        unparsed_target: target.map(|parts| super::construct::quote_parts(parts) + ".*"),
        plan_id: None,
    }))
}

/// A balanced tree over operands in order, split where Spark splits it.
pub(super) fn balanced(name: &'static str, mut operands: Vec<Expression>) -> Expression {
    match operands.len() {
        0 => super::construct::null(),
        1 => operands.remove(0),
        count => {
            let right = operands.split_off((count - 1) / 2 + 1);
            function(name, vec![balanced(name, operands), balanced(name, right)])
        }
    }
}
