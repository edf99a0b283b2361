//! Data types and schemas in Spark's DDL: `decimal(10,2)`, `a INT NOT NULL, b STRUCT<x: STRING>`.

use spark_connect_proto::data_type::{self, Kind};
use spark_connect_proto::{DataType, data_type::StructField};

use super::construct::data_type;
use super::error::{ParseError, ParseErrorKind};
use super::lexer::{NumberKind, Symbol, Token};
use super::parser::{Parsed, Parser};

const DECIMAL_PRECISION_MAX: u64 = 38;
const DECIMAL_PRECISION_DEFAULT: u64 = 10;
const TIME_PRECISION_DEFAULT: i32 = 6;

/// Types that take no parameters, by every name they have.
fn simple_type(name: &str) -> Option<Kind> {
    Some(match name {
        "BOOLEAN" => Kind::Boolean(Default::default()),
        "TINYINT" | "BYTE" => Kind::Byte(Default::default()),
        "SMALLINT" | "SHORT" => Kind::Short(Default::default()),
        "INT" | "INTEGER" => Kind::Integer(Default::default()),
        "BIGINT" | "LONG" => Kind::Long(Default::default()),
        "FLOAT" | "REAL" => Kind::Float(Default::default()),
        "DOUBLE" => Kind::Double(Default::default()),
        "DATE" => Kind::Date(Default::default()),
        "TIMESTAMP" | "TIMESTAMP_LTZ" => Kind::Timestamp(Default::default()),
        "TIMESTAMP_NTZ" => Kind::TimestampNtz(Default::default()),
        "BINARY" => Kind::Binary(Default::default()),
        "VOID" => Kind::Null(Default::default()),
        "VARIANT" => Kind::Variant(Default::default()),
        _ => return None,
    })
}

impl Parser<'_> {
    /// A data type.
    pub fn data_type(&mut self) -> Parsed<DataType> {
        self.nested(Self::data_type_here)
    }

    fn data_type_here(&mut self) -> Parsed<DataType> {
        let start = self.offset();
        let name = match self.token(0) {
            Token::Word(name) => name.to_ascii_uppercase(),
            _ => return Err(self.syntax_error()),
        };
        self.advance();
        let parameters = self.is_symbol(0, Symbol::LeftParen);
        let kind = match name.as_str() {
            "ARRAY" => self.array_type(start)?,
            "MAP" => self.map_type(start)?,
            "STRUCT" => self.struct_type(start)?,
            "STRING" if !parameters => Kind::String(data_type::String {
                collation: self.collation()?,
                ..Default::default()
            }),
            "DECIMAL" | "DEC" | "NUMERIC" => self.decimal_type()?,
            "CHAR" | "CHARACTER" | "VARCHAR" => self.sized_string(&name, start)?,
            "TIME" if parameters || !self.is_word(0, "WITHOUT") => self.time_type()?,
            "TIMESTAMP" if self.eat_phrase(&["WITHOUT", "TIME", "ZONE"]) => {
                Kind::TimestampNtz(Default::default())
            }
            "TIMESTAMP" if self.eat_phrase(&["WITH", "LOCAL", "TIME", "ZONE"]) => {
                Kind::Timestamp(Default::default())
            }
            "INTERVAL" => self.interval_type()?,
            "GEOMETRY" | "GEOGRAPHY" => return Err(self.unsupported(format!("the type {name}"))),
            _ => match simple_type(&name).filter(|_| !parameters) {
                Some(kind) => kind,
                None => return Err(self.unsupported_type(start)),
            },
        };
        Ok(data_type(kind))
    }

    fn unsupported_type(&mut self, start: usize) -> ParseError {
        // By itself, a type that reads on is no type; Spark looks at names after the grammar.
        let goes_on = self.is_name(0) && !self.is_any_word(0, &["NOT", "COMMENT"])
            || self.is_symbol(0, Symbol::Dot);
        if self.types_only && goes_on {
            return self.syntax_error();
        }
        if self.eat_symbol(Symbol::LeftParen) {
            while !self.closes(0) || self.is_symbol(0, Symbol::Comma) {
                self.advance();
            }
            self.eat_symbol(Symbol::RightParen);
        }
        let type_name = self.source_since(start).to_ascii_uppercase();
        self.type_error(start, ParseErrorKind::UnsupportedDataType { type_name })
    }

    /// Spark quotes the type when it stands in an expression or a statement, and underlines it
    /// when it was parsed by itself.
    fn type_error(&self, start: usize, kind: ParseErrorKind) -> ParseError {
        if self.types_only {
            ParseError::at(kind, self.text, start)
        } else {
            self.error_since(start, kind)
        }
    }

    fn incomplete(&self, start: usize, type_name: &'static str) -> ParseError {
        let (what, example) = match type_name {
            "ARRAY" => ("an element type", "ARRAY<INT>"),
            "MAP" => ("a key type and a value type", "MAP<TIMESTAMP, INT>"),
            _ => (
                "at least one field type",
                "STRUCT<name STRING, phone DECIMAL(10, 0)>",
            ),
        };
        self.type_error(
            start,
            ParseErrorKind::IncompleteType {
                type_name,
                what,
                example,
            },
        )
    }

    fn array_type(&mut self, start: usize) -> Parsed<Kind> {
        if !self.eat_symbol(Symbol::Less) {
            return Err(self.incomplete(start, "ARRAY"));
        }
        let element_type = Some(Box::new(self.data_type()?));
        self.expect_symbol(Symbol::Greater)?;
        Ok(Kind::Array(Box::new(data_type::Array {
            element_type,
            contains_null: true,
            type_variation_reference: 0,
        })))
    }

    fn map_type(&mut self, start: usize) -> Parsed<Kind> {
        if !self.eat_symbol(Symbol::Less) {
            return Err(self.incomplete(start, "MAP"));
        }
        let key_type = Some(Box::new(self.data_type()?));
        self.expect_symbol(Symbol::Comma)?;
        let value_type = Some(Box::new(self.data_type()?));
        self.expect_symbol(Symbol::Greater)?;
        Ok(Kind::Map(Box::new(data_type::Map {
            key_type,
            value_type,
            value_contains_null: true,
            type_variation_reference: 0,
        })))
    }

    fn struct_type(&mut self, start: usize) -> Parsed<Kind> {
        // `<>` without a blank is one token.
        if self.eat_symbol(Symbol::NotEqual) {
            return Ok(Kind::Struct(Default::default()));
        }
        if !self.eat_symbol(Symbol::Less) {
            return Err(self.incomplete(start, "STRUCT"));
        }
        let mut fields = Vec::new();
        if !self.is_symbol(0, Symbol::Greater) {
            fields = self.comma_separated(|parser| parser.field(true))?;
        }
        self.expect_symbol(Symbol::Greater)?;
        Ok(Kind::Struct(data_type::Struct {
            fields,
            type_variation_reference: 0,
        }))
    }

    /// `name type [NOT NULL] [COMMENT 'text']`; inside a `STRUCT` a colon may follow the name.
    pub fn field(&mut self, in_struct: bool) -> Parsed<StructField> {
        let name = self.expect_name()?;
        if in_struct {
            self.eat_symbol(Symbol::Colon);
        }
        let data_type = self.data_type()?;
        let nullable = !self.eat_phrase(&["NOT", "NULL"]);
        let metadata = if self.eat_word("COMMENT") {
            let comment = self.expect_string()?;
            Some(serde_json::json!({ "comment": comment }).to_string())
        } else {
            None
        };
        Ok(StructField {
            name,
            data_type: Some(data_type),
            nullable,
            metadata,
        })
    }

    fn collation(&mut self) -> Parsed<String> {
        if !self.eat_word("COLLATE") {
            return Ok(String::new());
        }
        Ok(self.expect_name()?.to_ascii_uppercase())
    }

    fn decimal_type(&mut self) -> Parsed<Kind> {
        let (mut precision, mut scale) = (DECIMAL_PRECISION_DEFAULT, 0);
        if self.eat_symbol(Symbol::LeftParen) {
            precision = self.type_parameter()?;
            if self.eat_symbol(Symbol::Comma) {
                scale = self.type_parameter()?;
            }
            self.expect_symbol(Symbol::RightParen)?;
        }
        if precision > DECIMAL_PRECISION_MAX {
            let kind = ParseErrorKind::DecimalPrecision { precision };
            return Err(ParseError::without_text(kind, self.text));
        }
        if scale > precision {
            let kind = ParseErrorKind::DecimalScale { scale, precision };
            return Err(ParseError::without_position(kind, self.text));
        }
        Ok(Kind::Decimal(data_type::Decimal {
            scale: i32::try_from(scale).ok(),
            precision: i32::try_from(precision).ok(),
            type_variation_reference: 0,
        }))
    }

    fn sized_string(&mut self, name: &str, start: usize) -> Parsed<Kind> {
        let type_name = if name == "VARCHAR" { "VARCHAR" } else { "CHAR" };
        if !self.eat_symbol(Symbol::LeftParen) {
            let type_name = name.to_owned();
            return Err(self.type_error(start, ParseErrorKind::MissingTypeLength { type_name }));
        }
        let length = i32::try_from(self.type_parameter()?).map_err(|_| self.syntax_error())?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(if type_name == "VARCHAR" {
            Kind::VarChar(data_type::VarChar {
                length,
                type_variation_reference: 0,
            })
        } else {
            Kind::Char(data_type::Char {
                length,
                type_variation_reference: 0,
            })
        })
    }

    fn time_type(&mut self) -> Parsed<Kind> {
        let mut precision = TIME_PRECISION_DEFAULT;
        if self.eat_symbol(Symbol::LeftParen) {
            precision = i32::try_from(self.type_parameter()?).map_err(|_| self.syntax_error())?;
            self.expect_symbol(Symbol::RightParen)?;
        }
        Ok(Kind::Time(data_type::Time {
            precision: Some(precision),
            type_variation_reference: 0,
        }))
    }

    /// `INTERVAL`, `INTERVAL unit` or `INTERVAL unit TO unit`.
    fn interval_type(&mut self) -> Parsed<Kind> {
        const YEAR_MONTH: [&str; 2] = ["YEAR", "MONTH"];
        const DAY_TIME: [&str; 4] = ["DAY", "HOUR", "MINUTE", "SECOND"];
        let start = self.offset();
        for units in [&YEAR_MONTH[..], &DAY_TIME[..]] {
            let position = |parser: &Self| {
                let found = units.iter().position(|unit| parser.is_word(0, unit));
                found.and_then(|index| i32::try_from(index).ok())
            };
            let Some(start_field) = position(self) else {
                continue;
            };
            self.advance();
            let mut end_field = start_field;
            if self.eat_word("TO") {
                end_field = position(self)
                    .filter(|end| *end > start_field)
                    .ok_or_else(|| {
                        let type_name = format!(
                            "INTERVAL {} TO {}",
                            self.source_since(start),
                            self.source(0)
                        );
                        let type_name = type_name.to_ascii_uppercase();
                        self.type_error(start, ParseErrorKind::UnsupportedDataType { type_name })
                    })?;
                self.advance();
            }
            let (start_field, end_field) = (Some(start_field), Some(end_field));
            return Ok(if units.len() == YEAR_MONTH.len() {
                Kind::YearMonthInterval(data_type::YearMonthInterval {
                    start_field,
                    end_field,
                    type_variation_reference: 0,
                })
            } else {
                Kind::DayTimeInterval(data_type::DayTimeInterval {
                    start_field,
                    end_field,
                    type_variation_reference: 0,
                })
            });
        }
        Ok(Kind::CalendarInterval(Default::default()))
    }

    fn type_parameter(&mut self) -> Parsed<u64> {
        let value = match self.token(0) {
            Token::Number(NumberKind::Integer) => self.source(0).parse().ok(),
            _ => None,
        };
        let value = value.ok_or_else(|| self.syntax_error())?;
        self.advance();
        Ok(value)
    }

    /// `name type …, …` up to the end.
    pub fn table_schema(&mut self) -> Parsed<DataType> {
        let fields = self.comma_separated(|parser| parser.field(false))?;
        if *self.token(0) != Token::End {
            return Err(self.syntax_error());
        }
        let kind = Kind::Struct(data_type::Struct {
            fields,
            type_variation_reference: 0,
        });
        Ok(data_type(kind))
    }
}
