//! `PIVOT` and `UNPIVOT` after a relation.
//!
//! Both become what the client's `pivot` and `unpivot` send, except that SQL does not name the columns that stay as they
//! are: in their place stands the internal function
//! [`REMAINING_COLUMNS`](super::internal_function::REMAINING_COLUMNS). Its arguments are the names that `AS` gives to the
//! values or columns of the `IN` list, NULL for those without.

use spark_connect_proto::aggregate::{GroupType, Pivot};
use spark_connect_proto::expression::{ExprType, Literal};
use spark_connect_proto::relation::RelType;
use spark_connect_proto::unpivot::Values;
use spark_connect_proto::{Aggregate, Expression, Relation, Unpivot};

use super::construct::{attribute, filter, function, internal, null, relation, string};
use super::internal_function::REMAINING_COLUMNS;
use super::lexer::Symbol;
use super::parser::{Parsed, Parser};

impl Parser<'_> {
    /// The relation, pivoted or unpivoted if that follows.
    pub fn reshaped(&mut self, mut input: Relation) -> Parsed<Relation> {
        let mut length = 0;
        loop {
            length += 1;
            self.chain(length)?;
            if self.is_word(0, "PIVOT") && self.is_symbol(1, Symbol::LeftParen) {
                input = self.pivot(input)?;
            } else if self.is_word(0, "UNPIVOT") && !self.closes(1) {
                input = self.unpivot(input)?;
            } else {
                return Ok(input);
            }
        }
    }

    /// `PIVOT (aggregate, … FOR column IN (value [[AS] name], …)) [[AS] name]`.
    fn pivot(&mut self, input: Relation) -> Parsed<Relation> {
        self.skip(2);
        let aggregates = self.comma_separated(|parser| {
            let call = parser.expression()?;
            let named = parser.eat_word("AS") || (parser.is_name(0) && !parser.is_word(0, "FOR"));
            Ok(match named {
                true => super::construct::alias(call, vec![parser.expect_name()?]),
                false => call,
            })
        })?;
        self.expect_word("FOR")?;
        if self.is_symbol(0, Symbol::LeftParen) {
            return Err(self.unsupported("PIVOT for several columns at once"));
        }
        let column = attribute(&[self.expect_name()?]);
        self.expect_word("IN")?;
        self.expect_symbol(Symbol::LeftParen)?;
        let values = self.comma_separated(|parser| {
            let value = parser.pivot_value()?;
            Ok((value, parser.listed_name()?))
        })?;
        self.expect_symbol(Symbol::RightParen)?;
        self.expect_symbol(Symbol::RightParen)?;
        let (values, names): (Vec<_>, Vec<_>) = values.into_iter().unzip();
        let pivoted = relation(RelType::Aggregate(Box::new(Aggregate {
            input: Some(Box::new(input)),
            group_type: GroupType::Pivot.into(),
            grouping_expressions: vec![internal(REMAINING_COLUMNS, names)],
            aggregate_expressions: aggregates,
            pivot: Some(Pivot {
                col: Some(column),
                values,
            }),
            grouping_sets: Vec::new(),
        })));
        self.aliased(pivoted)
    }

    fn pivot_value(&mut self) -> Parsed<Literal> {
        match self.expression()?.expr_type {
            Some(ExprType::Literal(literal)) => Ok(literal),
            _ => Err(self.unsupported("PIVOT values that are computed")),
        }
    }

    /// `UNPIVOT [INCLUDE | EXCLUDE NULLS] (value FOR name IN (column [[AS] name], …)) [[AS] name]`.
    fn unpivot(&mut self, input: Relation) -> Parsed<Relation> {
        self.advance();
        let with_nulls = self.eat_phrase(&["INCLUDE", "NULLS"]);
        if !with_nulls {
            self.eat_phrase(&["EXCLUDE", "NULLS"]);
        }
        self.expect_symbol(Symbol::LeftParen)?;
        if self.is_symbol(0, Symbol::LeftParen) {
            return Err(self.unsupported("UNPIVOT into several value columns"));
        }
        let value_column_name = self.expect_name()?;
        self.expect_word("FOR")?;
        let variable_column_name = self.expect_name()?;
        self.expect_word("IN")?;
        self.expect_symbol(Symbol::LeftParen)?;
        let columns = self.comma_separated(|parser| {
            let column = attribute(&parser.multipart_name()?);
            Ok((column, parser.listed_name()?))
        })?;
        self.expect_symbol(Symbol::RightParen)?;
        self.expect_symbol(Symbol::RightParen)?;
        let (values, names): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        let value = attribute(std::slice::from_ref(&value_column_name));
        let mut unpivoted = relation(RelType::Unpivot(Box::new(Unpivot {
            input: Some(Box::new(input)),
            ids: vec![internal(REMAINING_COLUMNS, names)],
            values: Some(Values { values }),
            variable_column_name,
            value_column_name,
        })));
        if !with_nulls {
            unpivoted = filter(unpivoted, function("isNotNull", vec![value]));
        }
        self.aliased(unpivoted)
    }

    /// `[[AS] name]` of an item in a list.
    fn listed_name(&mut self) -> Parsed<Expression> {
        if self.eat_word("AS") || self.is_name(0) {
            return Ok(string(self.expect_name()?));
        }
        Ok(null())
    }
}
