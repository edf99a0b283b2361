//! Calls: functions, casts, lambdas and the forms with words between their arguments.

use spark_connect_proto::expression::cast::{CastToType, EvalMode};
use spark_connect_proto::expression::literal::LiteralType;
use spark_connect_proto::expression::{ExprType, UnresolvedNamedLambdaVariable};
use spark_connect_proto::subquery_expression::{SubqueryType, TableArgOptions};
use spark_connect_proto::{DataType, Expression, NamedArgumentExpression};

use super::construct::{expression, function, internal, literal, quote_parts, string};
use super::error::ParseErrorKind;
use super::internal_function;
use super::lexer::{Symbol, Token};
use super::parser::{Parsed, Parser};

/// Units of `timestampadd` and `timestampdiff`.
const DATETIME_UNITS: &[&str] = &[
    "YEAR",
    "QUARTER",
    "MONTH",
    "WEEK",
    "DAY",
    "DAYOFYEAR",
    "HOUR",
    "MINUTE",
    "SECOND",
    "MILLISECOND",
    "MICROSECOND",
];

/// Functions that take `IGNORE NULLS` as a last argument of their own.
const NULLS_AS_ARGUMENT: &[&str] = &["first", "first_value", "last", "last_value", "any_value"];

/// `CAST(child AS data_type)`.
pub(super) fn cast(child: Expression, data_type: DataType, eval_mode: EvalMode) -> Expression {
    expression(ExprType::Cast(Box::new(
        spark_connect_proto::expression::Cast {
            expr: Some(Box::new(child)),
            eval_mode: eval_mode.into(),
            cast_to_type: Some(CastToType::Type(data_type)),
        },
    )))
}

/// A lambda's variable by name.
pub(super) fn lambda_variable(name: &str) -> UnresolvedNamedLambdaVariable {
    UnresolvedNamedLambdaVariable {
        name_parts: vec![name.to_owned()],
    }
}

impl Parser<'_> {
    /// `name(…)` with everything that may follow the arguments; the cursor stands at the
    /// parenthesis.
    pub fn call(&mut self, name: Vec<String>) -> Parsed<Expression> {
        self.expect_symbol(Symbol::LeftParen)?;
        let quantified = !self.closes(1);
        let is_distinct = quantified && self.eat_word("DISTINCT");
        if quantified
            && !is_distinct
            && self.is_word(0, "ALL")
            && !self.is_symbol(1, Symbol::LeftParen)
        {
            self.advance();
        }
        let mut arguments = Vec::new();
        if !self.is_symbol(0, Symbol::RightParen) {
            arguments = self.comma_separated(Self::argument)?;
        }
        let simple_name = if let [simple] = name.as_slice() {
            simple.clone()
        } else {
            String::new()
        };
        let ignore_nulls = self.inner_ignore_nulls(&simple_name);
        self.expect_symbol(Symbol::RightParen)?;
        if simple_name.eq_ignore_ascii_case("count") && !is_distinct {
            count_of_star_counts_rows(&mut arguments);
        }
        let call = self.function_of(name, arguments, is_distinct);
        self.after_call(call, &simple_name, ignore_nulls)
    }

    fn function_of(
        &self,
        name: Vec<String>,
        arguments: Vec<Expression>,
        is_distinct: bool,
    ) -> Expression {
        let qualified = name.len() > 1;
        let function_name = if qualified {
            quote_parts(&name)
        } else {
            name.concat()
        };
        expression(ExprType::UnresolvedFunction(
            spark_connect_proto::expression::UnresolvedFunction {
                function_name,
                arguments,
                is_distinct,
                is_user_defined_function: qualified,
                is_internal: None,
            },
        ))
    }

    /// `(argument, …)` and nothing after it.
    pub fn arguments(&mut self) -> Parsed<Vec<Expression>> {
        self.expect_symbol(Symbol::LeftParen)?;
        if self.eat_symbol(Symbol::RightParen) {
            return Ok(Vec::new());
        }
        let arguments = self.comma_separated(Self::argument)?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(arguments)
    }

    /// An argument: an expression, `name => expression`, or `TABLE(…)`.
    fn argument(&mut self) -> Parsed<Expression> {
        if self.is_name(0) && self.is_symbol(1, Symbol::FatArrow) {
            let key = self.expect_name()?;
            self.advance();
            let value = Some(Box::new(self.table_argument_or_expression()?));
            let named = NamedArgumentExpression { key, value };
            return Ok(expression(ExprType::NamedArgumentExpression(Box::new(
                named,
            ))));
        }
        self.table_argument_or_expression()
    }

    fn table_argument_or_expression(&mut self) -> Parsed<Expression> {
        if self.is_word(0, "TABLE") && self.is_symbol(1, Symbol::LeftParen) {
            self.skip(2);
            let mut argument = if self.begins_query(0) {
                self.subquery(SubqueryType::TableArg, Vec::new())?
            } else {
                let table = self.named_table(false)?;
                self.subquery_of(table, SubqueryType::TableArg)
            };
            self.expect_symbol(Symbol::RightParen)?;
            let options = self.table_argument_options()?;
            if let Some(ExprType::SubqueryExpression(subquery)) = &mut argument.expr_type {
                subquery.table_arg_options = Some(options);
            }
            return Ok(argument);
        }
        self.expression()
    }

    fn table_argument_options(&mut self) -> Parsed<TableArgOptions> {
        let mut options = TableArgOptions::default();
        if self.eat_phrase(&["WITH", "SINGLE", "PARTITION"]) {
            options.with_single_partition = Some(true);
        } else if self.eat_phrase(&["PARTITION", "BY"]) || self.eat_phrase(&["DISTRIBUTE", "BY"]) {
            options.partition_spec = self.comma_separated(Self::expression)?;
        }
        if self.eat_phrase(&["ORDER", "BY"]) || self.eat_phrase(&["SORT", "BY"]) {
            options.order_spec = self.comma_separated(Self::sort_order)?;
        }
        Ok(options)
    }

    /// `first(x IGNORE NULLS)`.
    fn inner_ignore_nulls(&mut self, name: &str) -> bool {
        let takes = NULLS_AS_ARGUMENT
            .iter()
            .any(|taker| name.eq_ignore_ascii_case(taker));
        takes && self.eat_phrase(&["IGNORE", "NULLS"])
    }

    /// `WITHIN GROUP (…)`, `FILTER (…)`, `IGNORE NULLS` and `OVER …`, in this order.
    fn after_call(
        &mut self,
        mut call: Expression,
        name: &str,
        inner_ignore_nulls: bool,
    ) -> Parsed<Expression> {
        if self.eat_phrase(&["WITHIN", "GROUP"]) {
            self.expect_symbol(Symbol::LeftParen)?;
            self.expect_phrase(&["ORDER", "BY"])?;
            let mut arguments = vec![call];
            for order in self.comma_separated(Self::sort_order)? {
                arguments.push(expression(ExprType::SortOrder(Box::new(order))));
            }
            self.expect_symbol(Symbol::RightParen)?;
            call = internal(internal_function::WITHIN_GROUP, arguments);
        }
        if self.is_word(0, "FILTER") && self.is_symbol(1, Symbol::LeftParen) {
            self.skip(2);
            self.expect_word("WHERE")?;
            let condition = self.expression()?;
            self.expect_symbol(Symbol::RightParen)?;
            call = internal(internal_function::AGGREGATE_FILTER, vec![call, condition]);
        }
        if inner_ignore_nulls || self.eat_phrase(&["IGNORE", "NULLS"]) {
            call = ignoring_nulls(call, name);
        } else {
            self.eat_phrase(&["RESPECT", "NULLS"]);
        }
        let over =
            self.is_word(0, "OVER") && (self.is_symbol(1, Symbol::LeftParen) || self.is_name(1));
        if over { self.window(call) } else { Ok(call) }
    }

    /// `x -> body` or `(x, y) -> body`.
    pub fn lambda(&mut self) -> Parsed<Expression> {
        let names = if self.is_symbol(0, Symbol::LeftParen) {
            self.parenthesized_names()?
        } else {
            vec![self.expect_name()?]
        };
        self.expect_symbol(Symbol::Arrow)?;
        let body = self.with_lambda_variables(&names, Self::expression)?;
        let lambda = spark_connect_proto::expression::LambdaFunction {
            function: Some(Box::new(body)),
            arguments: names.iter().map(|name| lambda_variable(name)).collect(),
        };
        Ok(expression(ExprType::LambdaFunction(Box::new(lambda))))
    }

    /// Whether `(a, b) ->` begins here; one name in parentheses is no parameter list to Spark.
    pub fn begins_lambda_parameters(&self) -> bool {
        let mut ahead = 1;
        while self.is_name(ahead) && self.is_symbol(ahead + 1, Symbol::Comma) {
            ahead += 2;
        }
        ahead > 1
            && self.is_name(ahead)
            && self.is_symbol(ahead + 1, Symbol::RightParen)
            && self.is_symbol(ahead + 2, Symbol::Arrow)
    }

    /// `CAST(child AS type)`, or the function `cast(child, …)` if there is no `AS`.
    pub fn cast_call(&mut self, eval_mode: EvalMode) -> Parsed<Expression> {
        let start = self.position();
        self.skip(2);
        if self.closes(0) {
            self.rewind(start);
            return self.name_or_call();
        }
        let child = self.expression()?;
        if self.is_symbol(0, Symbol::Comma) {
            self.rewind(start);
            return self.name_or_call();
        }
        self.expect_word("AS")?;
        let data_type = self.data_type()?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(cast(child, data_type, eval_mode))
    }

    /// Calls with words between their arguments; `None` if what stands here is not one.
    pub fn special_call(&mut self, keyword: &str) -> Parsed<Option<Expression>> {
        if !self.is_symbol(1, Symbol::LeftParen) {
            return Ok(None);
        }
        let start = self.position();
        let special = match keyword {
            "EXTRACT" => self.extract()?,
            "TRIM" => self.trim()?,
            "SUBSTR" | "SUBSTRING" => self.substring()?,
            "POSITION" => self.position_in()?,
            "OVERLAY" => self.overlay()?,
            "STRUCT" => Some(self.struct_call()?),
            "IDENTIFIER" => self.identifier_clause()?,
            "TIMESTAMPADD" | "DATEADD" | "DATE_ADD" => self.datetime_arithmetic("timestampadd")?,
            "TIMESTAMPDIFF" | "DATEDIFF" | "DATE_DIFF" | "TIMEDIFF" => {
                self.datetime_arithmetic("timestampdiff")?
            }
            _ => None,
        };
        if special.is_none() {
            self.rewind(start);
        }
        Ok(special)
    }

    /// `EXTRACT(field FROM source)`.
    fn extract(&mut self) -> Parsed<Option<Expression>> {
        self.skip(2);
        if !self.is_name(0) || !self.is_word(1, "FROM") || self.closes(2) {
            return Ok(None);
        }
        let field = self.expect_name()?;
        self.advance();
        let source = self.value()?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(Some(function("extract", vec![string(field), source])))
    }

    /// `TRIM([BOTH | LEADING | TRAILING] [characters] FROM source)`.
    fn trim(&mut self) -> Parsed<Option<Expression>> {
        self.skip(2);
        let name = match self.token(0) {
            Token::Word(word) => match word.to_ascii_uppercase().as_str() {
                "BOTH" => Some("trim"),
                "LEADING" => Some("ltrim"),
                "TRAILING" => Some("rtrim"),
                _ => None,
            },
            _ => None,
        };
        let name = name.filter(|_| !self.closes(1) && !self.is_symbol(1, Symbol::Dot));
        if name.is_some() {
            self.advance();
        }
        let mut arguments = Vec::new();
        if name.is_none() || !self.is_word(0, "FROM") {
            if self.closes(0) {
                return Ok(None);
            }
            arguments.push(self.value()?);
        }
        if name.is_none() && !self.is_word(0, "FROM") {
            return Ok(None);
        }
        self.expect_word("FROM")?;
        arguments.push(self.value()?);
        self.expect_symbol(Symbol::RightParen)?;
        Ok(Some(function(name.unwrap_or("trim"), arguments)))
    }

    /// `SUBSTRING(text FROM start [FOR length])`.
    fn substring(&mut self) -> Parsed<Option<Expression>> {
        self.skip(2);
        if self.closes(0) {
            return Ok(None);
        }
        let mut arguments = vec![self.value()?];
        if !self.eat_word("FROM") {
            return Ok(None);
        }
        arguments.push(self.value()?);
        arguments.push(if self.eat_word("FOR") {
            self.value()?
        } else {
            literal(LiteralType::Integer(i32::MAX))
        });
        self.expect_symbol(Symbol::RightParen)?;
        Ok(Some(function("substring", arguments)))
    }

    /// `POSITION(part IN text)`.
    fn position_in(&mut self) -> Parsed<Option<Expression>> {
        self.skip(2);
        if self.closes(0) {
            return Ok(None);
        }
        let part = self.value()?;
        if !self.eat_word("IN") {
            return Ok(None);
        }
        let text = self.value()?;
        self.expect_symbol(Symbol::RightParen)?;
        let first = literal(LiteralType::Integer(1));
        Ok(Some(function("locate", vec![part, text, first])))
    }

    /// `OVERLAY(text PLACING replacement FROM start [FOR length])`.
    fn overlay(&mut self) -> Parsed<Option<Expression>> {
        self.skip(2);
        if self.closes(0) {
            return Ok(None);
        }
        let text = self.value()?;
        if !self.eat_word("PLACING") {
            return Ok(None);
        }
        let replacement = self.value()?;
        self.expect_word("FROM")?;
        let mut arguments = vec![text, replacement, self.value()?];
        arguments.push(if self.eat_word("FOR") {
            self.value()?
        } else {
            literal(LiteralType::Integer(-1))
        });
        self.expect_symbol(Symbol::RightParen)?;
        Ok(Some(function("overlay", arguments)))
    }

    /// `STRUCT(item [AS name], …)`.
    fn struct_call(&mut self) -> Parsed<Expression> {
        let name = self.expect_name()?;
        self.expect_symbol(Symbol::LeftParen)?;
        let mut arguments = Vec::new();
        if !self.is_symbol(0, Symbol::RightParen) {
            arguments = self.comma_separated(Self::named_expression)?;
        }
        self.expect_symbol(Symbol::RightParen)?;
        Ok(function(name.to_ascii_lowercase(), arguments))
    }

    /// `IDENTIFIER('name')`: the name, taken from a string or a parameter.
    fn identifier_clause(&mut self) -> Parsed<Option<Expression>> {
        self.skip(2);
        let start = self.offset();
        let argument = self.expression()?;
        self.expect_symbol(Symbol::RightParen)?;
        let parts = self.constant_identifier(argument, start)?;
        if self.is_symbol(0, Symbol::LeftParen) {
            return self.call(parts).map(Some);
        }
        Ok(Some(super::construct::attribute(&parts)))
    }

    /// The name parts in the constant argument of `IDENTIFIER`.
    pub fn constant_identifier(&self, argument: Expression, start: usize) -> Parsed<Vec<String>> {
        match argument.expr_type {
            Some(ExprType::Literal(constant)) => match constant.literal_type {
                Some(LiteralType::String(text)) => super::parse_multipart_identifier(&text),
                _ => Err(self.error_since(start, not_a_name())),
            },
            _ => Err(self.error_since(start, not_a_name())),
        }
    }

    /// `timestampadd(unit, …)`: with a unit in the place of the first argument.
    fn datetime_arithmetic(&mut self, name: &str) -> Parsed<Option<Expression>> {
        let (start, called) = (self.offset(), self.source(0).to_owned());
        self.skip(2);
        if !self.is_symbol(1, Symbol::Comma) {
            return Ok(None);
        }
        let unit = match self.token(0) {
            Token::Word(unit) if self.is_any_word(0, DATETIME_UNITS) => unit.clone(),
            Token::String(unit) if called.to_ascii_uppercase().starts_with("TIMESTAMP") => {
                let reason = format!(
                    "expects one of the units without quotes {}, but got the string literal \
                     '{unit}'.",
                    DATETIME_UNITS.join(", ")
                );
                while !self.is_symbol(0, Symbol::RightParen) && *self.token(0) != Token::End {
                    self.advance();
                }
                self.advance();
                return Err(self.error_since(
                    start,
                    ParseErrorKind::InvalidParameterValue {
                        subclass: "DATETIME_UNIT",
                        function: called,
                        parameter: "unit",
                        reason,
                    },
                ));
            }
            _ => return Ok(None),
        };
        self.skip(2);
        let first = self.value()?;
        self.expect_symbol(Symbol::Comma)?;
        let second = self.value()?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(Some(function(name, vec![string(unit), first, second])))
    }
}

/// Spark turns `count(*)` into `count(1)`, which shows in the column's name.
fn count_of_star_counts_rows(arguments: &mut [Expression]) {
    if let [only] = arguments
        && let Some(ExprType::UnresolvedStar(star)) = &only.expr_type
        && star.unparsed_target.is_none()
    {
        *only = literal(LiteralType::Integer(1));
    }
}

fn ignoring_nulls(call: Expression, name: &str) -> Expression {
    let as_argument = NULLS_AS_ARGUMENT
        .iter()
        .any(|taker| name.eq_ignore_ascii_case(taker));
    match call.expr_type {
        Some(ExprType::UnresolvedFunction(mut function))
            if as_argument && function.arguments.len() == 1 =>
        {
            function.arguments.push(literal(LiteralType::Boolean(true)));
            expression(ExprType::UnresolvedFunction(function))
        }
        kind => {
            let call = Expression {
                common: call.common,
                expr_type: kind,
            };
            internal(internal_function::IGNORE_NULLS, vec![call])
        }
    }
}

fn not_a_name() -> ParseErrorKind {
    ParseErrorKind::Unsupported {
        feature: "IDENTIFIER over anything but a string literal or a string parameter".to_owned(),
    }
}
