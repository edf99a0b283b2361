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

/// Functions of the DataFrame API that SQL does not know.
const CLIENT_ONLY: [&str; 1] = ["product"];

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
        if ignore_nulls {
            // Spark lets nothing follow this form.
            return Ok(ignoring_nulls(call, &simple_name));
        }
        self.after_call(call, &simple_name)
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
        let client_only = CLIENT_ONLY
            .iter()
            .any(|name| name.eq_ignore_ascii_case(&function_name));
        expression(ExprType::UnresolvedFunction(
            spark_connect_proto::expression::UnresolvedFunction {
                function_name,
                arguments,
                is_distinct,
                // Some functions clients can call have no name in SQL: the name is then some registered function's.
                is_user_defined_function: qualified || client_only,
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
        if self.is_word(0, "TABLE") && self.is_name(1) && self.closes(2) {
            return Err(self.table_without_parentheses());
        }
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

    fn table_without_parentheses(&mut self) -> super::ParseError {
        let start = self.offset();
        self.skip(2);
        let message = format!(
            "Syntax error: call to table-valued function is invalid because parentheses are \
             missing around the provided TABLE argument `{}`; please surround this with \
             parentheses and try again.",
            self.source_since(start)
                .trim_start_matches(|c: char| !c.is_whitespace())
                .trim()
        );
        self.error_since(
            start,
            ParseErrorKind::InvalidSyntax {
                subclass: "INVALID_TABLE_FUNCTION_IDENTIFIER_ARGUMENT_MISSING_PARENTHESES",
                message,
            },
        )
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
    fn after_call(&mut self, mut call: Expression, name: &str) -> Parsed<Expression> {
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
        if self.eat_phrase(&["IGNORE", "NULLS"]) {
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
        if self.closes(2) || !(self.has_argument_word("AS") || self.lacks_comma()) {
            return self.name_or_call();
        }
        self.skip(2);
        let child = self.expression()?;
        if !self.is_word(0, "AS") {
            // What Spark reports when the function `cast` would have taken the text.
            self.expect_symbol(Symbol::RightParen)?;
        }
        self.expect_word("AS")?;
        let data_type = self.data_type()?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(cast(child, data_type, eval_mode))
    }

    /// Whether the call here, whose parenthesis comes next, has this word between its first two
    /// arguments. Looking beats trying: a form that is read twice at each level of nesting takes
    /// time exponential in the depth.
    fn has_argument_word(&self, keyword: &str) -> bool {
        self.first_argument_end(|parser, ahead| {
            parser.is_word(ahead, keyword)
                && ahead > 2
                && !parser.is_symbol(ahead - 1, Symbol::Dot)
                && !parser.closes(ahead + 1)
        })
    }

    fn lacks_comma(&self) -> bool {
        !self.first_argument_end(|parser, ahead| parser.is_symbol(ahead, Symbol::Comma))
    }

    /// Whether a token that the test finds stands in the first argument or ends it.
    fn first_argument_end(&self, found: impl Fn(&Self, usize) -> bool) -> bool {
        let mut ahead = 2;
        loop {
            if found(self, ahead) {
                return true;
            }
            match self.token(ahead) {
                Token::Symbol(Symbol::LeftParen) => ahead = self.matching(ahead),
                Token::End | Token::Symbol(Symbol::RightParen | Symbol::Comma) => return false,
                _ => {}
            }
            ahead += 1;
        }
    }

    /// Calls with words between their arguments; `None` if what stands here is not one.
    pub fn special_call(&mut self, keyword: &str) -> Parsed<Option<Expression>> {
        if !self.is_symbol(1, Symbol::LeftParen) {
            return Ok(None);
        }
        let special = match keyword {
            "EXTRACT" if self.is_word(3, "FROM") && self.is_name(2) && !self.closes(4) => {
                self.extract()?
            }
            "TRIM" if self.has_argument_word("FROM") || self.is_trim_side() => self.trim()?,
            "SUBSTR" | "SUBSTRING" if self.has_argument_word("FROM") => self.substring()?,
            "POSITION" if self.has_argument_word("IN") => self.position_in()?,
            "OVERLAY" if self.has_argument_word("PLACING") => self.overlay()?,
            "STRUCT" => self.struct_call()?,
            "IDENTIFIER" => self.identifier_clause()?,
            "TIMESTAMPADD" | "DATEADD" | "DATE_ADD" => {
                return self.datetime_arithmetic("timestampadd");
            }
            "TIMESTAMPDIFF" | "DATEDIFF" | "DATE_DIFF" | "TIMEDIFF" => {
                return self.datetime_arithmetic("timestampdiff");
            }
            _ => return Ok(None),
        };
        Ok(Some(special))
    }

    /// `EXTRACT(field FROM source)`.
    fn extract(&mut self) -> Parsed<Expression> {
        self.skip(2);
        let field = self.expect_name()?;
        self.expect_word("FROM")?;
        let source = self.value()?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(function("extract", vec![string(field), source]))
    }

    /// `TRIM(BOTH 'x' …`, which nothing else can begin with.
    fn is_trim_side(&self) -> bool {
        let side = self.is_any_word(2, &["BOTH", "LEADING", "TRAILING"]);
        side && matches!(self.token(3), Token::String(_))
    }

    /// `TRIM([BOTH | LEADING | TRAILING] [characters] FROM source)`.
    fn trim(&mut self) -> Parsed<Expression> {
        const SIDES: &[(&str, &str)] = &[
            ("BOTH", "trim"),
            ("LEADING", "ltrim"),
            ("TRAILING", "rtrim"),
        ];
        self.skip(2);
        let side = SIDES.iter().find(|(word, _)| self.is_word(0, word));
        let side = side.filter(|_| !self.is_symbol(1, Symbol::Dot));
        if side.is_some() {
            self.advance();
        }
        let mut arguments = Vec::new();
        if side.is_none() || !self.is_word(0, "FROM") {
            arguments.push(self.value()?);
        }
        self.expect_word("FROM")?;
        arguments.push(self.value()?);
        self.expect_symbol(Symbol::RightParen)?;
        Ok(function(side.map_or("trim", |(_, name)| name), arguments))
    }

    /// `SUBSTRING(text FROM start [FOR length])`.
    fn substring(&mut self) -> Parsed<Expression> {
        self.skip(2);
        let mut arguments = vec![self.value()?];
        self.expect_word("FROM")?;
        arguments.push(self.value()?);
        arguments.push(self.for_length(i32::MAX)?);
        self.expect_symbol(Symbol::RightParen)?;
        Ok(function("substring", arguments))
    }

    /// `FOR length`, or the length that stands for none.
    fn for_length(&mut self, default: i32) -> Parsed<Expression> {
        if self.eat_word("FOR") {
            return self.value();
        }
        Ok(literal(LiteralType::Integer(default)))
    }

    /// `POSITION(part IN text)`.
    fn position_in(&mut self) -> Parsed<Expression> {
        self.skip(2);
        let part = self.value()?;
        self.expect_word("IN")?;
        let text = self.value()?;
        self.expect_symbol(Symbol::RightParen)?;
        let first = literal(LiteralType::Integer(1));
        Ok(function("locate", vec![part, text, first]))
    }

    /// `OVERLAY(text PLACING replacement FROM start [FOR length])`.
    fn overlay(&mut self) -> Parsed<Expression> {
        self.skip(2);
        let text = self.value()?;
        self.expect_word("PLACING")?;
        let replacement = self.value()?;
        self.expect_word("FROM")?;
        let start = self.value()?;
        let length = self.for_length(-1)?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(function("overlay", vec![text, replacement, start, length]))
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
    fn identifier_clause(&mut self) -> Parsed<Expression> {
        self.skip(2);
        let start = self.offset();
        let argument = self.expression()?;
        self.expect_symbol(Symbol::RightParen)?;
        let parts = self.constant_identifier(argument, start)?;
        if self.is_symbol(0, Symbol::LeftParen) {
            return self.call(parts);
        }
        Ok(super::construct::attribute(&parts))
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
        if !self.is_symbol(3, Symbol::Comma) {
            return Ok(None);
        }
        let unit = match self.token(2) {
            Token::Word(unit) if self.is_any_word(2, DATETIME_UNITS) => unit.clone(),
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
        self.skip(4);
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
