//! Primary expressions: what operators apply to.
//!
//! Because no keyword is reserved, each special form is recognised by its keyword *and* what
//! follows: `CASE` alone, or `case + 1`, is a column named `case`.

use spark_connect_proto::Expression;
use spark_connect_proto::expression::cast::EvalMode;
use spark_connect_proto::expression::literal::LiteralType;
use spark_connect_proto::subquery_expression::SubqueryType;

use super::Parameters;
use super::construct::{function, literal, null};
use super::error::ParseErrorKind;
use super::lexer::{Symbol, Token};
use super::parser::{DEPTH_MAX, Parsed, Parser};

impl Parser<'_> {
    pub fn primary(&mut self) -> Parsed<Expression> {
        match self.token(0) {
            Token::Number(_) => self.number(false),
            Token::Symbol(Symbol::Minus) => {
                self.advance();
                self.number(true)
            }
            Token::String(_) => {
                let value = self.expect_string()?;
                Ok(literal(LiteralType::String(value)))
            }
            Token::Symbol(Symbol::Star) => self.star(),
            Token::Symbol(Symbol::LeftParen) => self.parenthesized(),
            Token::Symbol(Symbol::Question) => self.positional_parameter(),
            Token::Symbol(Symbol::Colon) => self.named_parameter(),
            Token::Quoted(_) => self.name_or_call(),
            Token::Word(word) => {
                let keyword = word.to_ascii_uppercase();
                self.keyword(&keyword)
            }
            _ => Err(self.syntax_error()),
        }
    }

    fn star(&mut self) -> Parsed<Expression> {
        self.advance();
        Ok(super::expression::star(None))
    }

    /// What a word begins: a special form, or else a column or a call.
    fn keyword(&mut self, keyword: &str) -> Parsed<Expression> {
        if matches!(self.token(1), Token::String(_)) {
            return self.typed_literal(keyword);
        }
        let call = self.is_symbol(1, Symbol::LeftParen);
        let bare = !call && !self.is_symbol(1, Symbol::Dot) && !self.is_symbol(1, Symbol::Arrow);
        match keyword {
            "NULL" if !call => self.constant(null()),
            "TRUE" if bare => self.constant(literal(LiteralType::Boolean(true))),
            "FALSE" if bare => self.constant(literal(LiteralType::Boolean(false))),
            "INTERVAL" if self.begins_interval() => self.interval_literal(),
            "CASE" if self.begins_case() => self.case(),
            "EXISTS" if call && self.begins_query(2) => {
                self.skip(2);
                let subquery = self.subquery(SubqueryType::Exists, Vec::new())?;
                self.expect_query_end()?;
                Ok(subquery)
            }
            "CAST" if call => self.cast_call(EvalMode::Unspecified),
            "TRY_CAST" if call => self.cast_call(EvalMode::Try),
            _ => match self.special_call(keyword)? {
                Some(special) => Ok(special),
                None => self.name_or_call(),
            },
        }
    }

    fn constant(&mut self, value: Expression) -> Parsed<Expression> {
        self.advance();
        Ok(value)
    }

    /// `case when` alone is a column with an alias.
    fn begins_case(&self) -> bool {
        let alias = self.is_word(1, "WHEN") && self.closes(2);
        !self.closes(1) && !alias && !self.is_name_before_operator()
    }

    /// `CASE [operand] WHEN … THEN … [ELSE …] END`, as the client's `when(…)`.
    fn case(&mut self) -> Parsed<Expression> {
        self.expect_word("CASE")?;
        let operand = if self.is_word(0, "WHEN") {
            None
        } else {
            Some(self.expression()?)
        };
        let mut arguments = Vec::new();
        self.expect_word("WHEN")?;
        loop {
            let condition = self.expression()?;
            arguments.push(match &operand {
                Some(operand) => function("==", vec![operand.clone(), condition]),
                None => condition,
            });
            self.expect_word("THEN")?;
            arguments.push(self.expression()?);
            if !self.eat_word("WHEN") {
                break;
            }
        }
        if self.eat_word("ELSE") {
            arguments.push(self.expression()?);
        }
        self.expect_word("END")?;
        Ok(function("when", arguments))
    }

    /// A subquery, the parameters of a lambda, a row, or an expression in parentheses.
    fn parenthesized(&mut self) -> Parsed<Expression> {
        if self.begins_lambda_parameters() {
            return self.lambda();
        }
        self.expect_symbol(Symbol::LeftParen)?;
        if self.begins_query(0) {
            let subquery = self.subquery(SubqueryType::Scalar, Vec::new())?;
            self.expect_query_end()?;
            return Ok(subquery);
        }
        let mut items = self.comma_separated(Self::named_expression)?;
        if !self.is_symbol(0, Symbol::RightParen) {
            return Err(self.syntax_error());
        }
        self.advance();
        match items.len() {
            1 => Ok(items.remove(0)),
            _ => Ok(function("struct", items)),
        }
    }

    /// Whether a query begins `ahead` tokens from here. Parentheses around a query are part of it
    /// if what follows them goes on with a query: `((SELECT 1) + 2)` is arithmetic.
    pub fn begins_query(&self, ahead: usize) -> bool {
        let mut inner = ahead;
        while self.is_symbol(inner, Symbol::LeftParen) {
            inner += 1;
            if inner - ahead > DEPTH_MAX {
                return false;
            }
        }
        let word = match self.token(inner) {
            Token::Word(word) => word.to_ascii_uppercase(),
            _ => return false,
        };
        let begins = match word.as_str() {
            "SELECT" | "VALUES" => {
                let operator = self.is_symbol(inner + 1, Symbol::Dot)
                    || self.is_symbol(inner + 1, Symbol::Equal);
                !self.closes(inner + 1) && !operator
            }
            "WITH" | "FROM" | "TABLE" => self.is_name(inner + 1),
            _ => false,
        };
        begins && (ahead..inner).all(|opener| self.query_goes_on(self.matching(opener) + 1))
    }

    fn query_goes_on(&self, ahead: usize) -> bool {
        const WORDS: &[&str] = &[
            "UNION",
            "INTERSECT",
            "EXCEPT",
            "MINUS",
            "ORDER",
            "SORT",
            "CLUSTER",
            "DISTRIBUTE",
            "LIMIT",
            "OFFSET",
        ];
        self.is_symbol(ahead, Symbol::RightParen)
            || *self.token(ahead) == Token::End
            || self.is_any_word(ahead, WORDS)
    }

    /// `:name`.
    fn named_parameter(&mut self) -> Parsed<Expression> {
        let start = self.offset();
        self.advance();
        let name = self.expect_name()?;
        let bound = match &self.options.parameters {
            Parameters::Named(arguments) => arguments.get(&name).cloned(),
            _ => None,
        };
        bound.ok_or_else(|| self.error_since(start, ParseErrorKind::UnboundParameter { name }))
    }

    /// `?`, bound by its place in the text.
    fn positional_parameter(&mut self) -> Parsed<Expression> {
        let (start, index) = (self.offset(), self.count_before(Symbol::Question));
        self.advance();
        let bound = match &self.options.parameters {
            Parameters::Positional(arguments) => arguments.get(index).cloned(),
            _ => None,
        };
        bound.ok_or_else(|| {
            // Spark names a positional parameter after its place.
            let name = format!("_{start}");
            self.error_since(start, ParseErrorKind::UnboundParameter { name })
        })
    }
}
