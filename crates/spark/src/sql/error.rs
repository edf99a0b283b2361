//! Errors of the SQL parser, in Spark's classes, words and layout.
//!
//! An error keeps its cause as a [`ParseErrorKind`], the text that was parsed and the place in it.
//! [`ParseError::class`], [`ParseError::parameters`] and [`ParseError::sql_state`] are what Spark's
//! clients read; `Display` is Spark's full message. Spark shows a place in one of two ways, and so
//! do we: grammar errors count from the line and underline one spot, errors about the meaning of a
//! piece of SQL quote that piece.

use std::fmt;
use std::ops::Range;

use crate::error::Exception;

/// SQL text that Spark, or Millstream, does not accept.
#[derive(Debug, Clone, PartialEq)]
pub struct ParseError(Box<Report>);

#[derive(Debug, Clone, PartialEq)]
struct Report {
    kind: ParseErrorKind,
    command: String,
    place: Place,
}

#[derive(Debug, Clone, PartialEq)]
enum Place {
    /// Spark does not even say which text it was.
    Nowhere,
    /// Somewhere in the text.
    Unknown,
    /// Byte offset of the offending token.
    Spot(usize),
    /// Bytes of the offending fragment.
    Fragment(Range<usize>),
}

/// Why the text was refused. Each variant is one of Spark's error conditions, or one of ours
/// beneath Spark's `UNSUPPORTED_FEATURE`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs)]
pub enum ParseErrorKind {
    #[error("Syntax error at or near {found}{hint}.")]
    Syntax { found: String, hint: String },
    #[error("Syntax error, unexpected empty statement.")]
    EmptyStatement,
    #[error("Found an unclosed bracketed comment. Please, append */ at the end of the comment.")]
    UnclosedComment,
    #[error(
        "The unquoted identifier {identifier} is invalid and must be back quoted as: \
         `{identifier}`.\nUnquoted identifiers can only contain ASCII letters ('a' - 'z', 'A' - \
         'Z'), digits ('0' - '9'), and underbar ('_').\nUnquoted identifiers must also not start \
         with a digit.\nDifferent data sources and meta stores may impose additional restrictions \
         on valid identifiers."
    )]
    InvalidIdentifier { identifier: String },
    #[error("The value of the typed literal \"{literal_type}\" is invalid: '{value}'.")]
    InvalidTypedLiteral { literal_type: String, value: String },
    #[error(
        "Literals of the type \"{literal_type}\" are not supported. Supported types are \"DATE\", \
         \"TIMESTAMP_NTZ\", \"TIMESTAMP_LTZ\", \"TIMESTAMP\", \"INTERVAL\", \"X\", \"TIME\"."
    )]
    UnsupportedTypedLiteral { literal_type: String },
    #[error(
        "Numeric literal {raw} is outside the valid range for {type_name} with minimum value of \
         {min} and maximum value of {max}. Please adjust the value accordingly."
    )]
    NumericLiteralRange {
        raw: String,
        type_name: &'static str,
        min: String,
        max: String,
    },
    #[error("Decimal precision {precision} exceeds max precision 38.")]
    DecimalPrecision { precision: u64 },
    #[error("Decimal scale ({scale}) cannot be greater than precision ({precision}).")]
    DecimalScale { scale: u64, precision: u64 },
    #[error(
        "Error parsing '{input}' to interval. Please ensure that the value provided is in a valid \
         format for defining an interval. You can reference the documentation for the correct \
         format. {reason}"
    )]
    IntervalFormat {
        subclass: &'static str,
        input: String,
        /// What Spark names besides the input.
        detail: Option<(&'static str, String)>,
        reason: String,
    },
    /// One of the few errors that Spark raises without a class.
    #[error("{message}")]
    Legacy { message: String },
    #[error("Cannot mix year-month and day-time fields: {literal}.")]
    MixedIntervalFields { literal: String },
    /// Spark lets this one escape from its parser as it is.
    #[error(
        "Integer overflow while operating with intervals. Try devising appropriate values for the \
         interval parameters."
    )]
    IntervalOverflow,
    #[error("Unsupported data type \"{type_name}\".")]
    UnsupportedDataType { type_name: String },
    #[error(
        "DataType \"{type_name}\" requires a length parameter, for example \"{type_name}\"(10). \
         Please specify the length."
    )]
    MissingTypeLength { type_name: String },
    #[error(
        "Incomplete complex type: The definition of \"{type_name}\" type is incomplete. You must \
         provide {what}. For example: \"{example}\"."
    )]
    IncompleteType {
        type_name: &'static str,
        what: &'static str,
        example: &'static str,
    },
    #[error("Invalid SQL syntax: {message}")]
    InvalidSyntax {
        subclass: &'static str,
        message: String,
    },
    #[error(
        "Found an invalid escape string: {escape}. The escape string must contain only one \
         character."
    )]
    InvalidEscape { escape: String },
    #[error("The value of parameter(s) `{parameter}` in `{function}` is invalid: {reason}")]
    InvalidParameterValue {
        subclass: &'static str,
        function: String,
        parameter: &'static str,
        reason: String,
    },
    #[error(
        "Found the unbound parameter: {name}. Please, fix `args` and provide a mapping of the \
         parameter to either a SQL literal or collection constructor functions such as `map()`, \
         `array()`, `struct()`."
    )]
    UnboundParameter { name: String },
    #[error("CTE definition can't have duplicate names: {names}.")]
    DuplicateCte { names: String },
    #[error("Found duplicate clauses: {clause}. Please, remove one of them.")]
    DuplicateClause { clause: String },
    #[error(
        "The feature is not supported: Combination of ORDER BY/SORT BY/DISTRIBUTE BY/CLUSTER BY."
    )]
    ClauseCombination,
    #[error("Invalid inline table. {message}")]
    InlineTable { message: String },
    #[error(
        "Window specification is not defined in the WINDOW clause for {name}. For more information \
         about WINDOW clauses, please refer to \
         'https://spark.apache.org/docs/latest/sql-ref-syntax-qry-select-window.html'."
    )]
    MissingWindow { name: String },
    #[error(
        "Expected format is 'SET', 'SET key', or 'SET key=value'. If you want to include special \
         characters in key, or include semicolon in value, please use backquotes, e.g., SET \
         `key`=`value`."
    )]
    InvalidSet,
    #[error("The limit like expression \"{expression}\" is invalid. {reason}")]
    InvalidLimit {
        subclass: &'static str,
        expression: String,
        reason: String,
    },
    #[error(
        "The watermark clause requires an explicit name if expression is specified, but got \
         {expression}."
    )]
    WatermarkName { expression: String },
    /// Spark's own check of an argument, which is no matter of syntax to it.
    #[error("requirement failed: delay threshold ({interval}) should not be negative.")]
    NegativeDelay { interval: String },
    #[error(
        "Statement is too complex to be parsed: it nests or chains more than {limit} levels. To \
         mitigate this error divide the statement into multiple, less complex chunks."
    )]
    TooComplex { limit: usize },
    #[error("The feature is not supported: {feature}.")]
    Unsupported { feature: String },
}

impl ParseErrorKind {
    /// Spark's error class with its subclass and its SQL state. Spark has classes for all but a
    /// few old errors about intervals.
    fn class_and_state(&self) -> (String, &'static str) {
        let plain = |class: &str, state| (class.to_owned(), state);
        let sub = |class: &str, subclass: &str, state| (format!("{class}.{subclass}"), state);
        match self {
            Self::Syntax { .. } => plain("PARSE_SYNTAX_ERROR", "42601"),
            Self::EmptyStatement => plain("PARSE_EMPTY_STATEMENT", "42617"),
            Self::UnclosedComment => plain("UNCLOSED_BRACKETED_COMMENT", "42601"),
            Self::InvalidIdentifier { .. } => plain("INVALID_IDENTIFIER", "42602"),
            Self::InvalidTypedLiteral { .. } => plain("INVALID_TYPED_LITERAL", "42604"),
            Self::UnsupportedTypedLiteral { .. } => plain("UNSUPPORTED_TYPED_LITERAL", "0A000"),
            Self::NumericLiteralRange { .. } => plain("INVALID_NUMERIC_LITERAL_RANGE", "22003"),
            Self::DecimalPrecision { .. } => {
                plain("DECIMAL_PRECISION_EXCEEDS_MAX_PRECISION", "22003")
            }
            Self::DecimalScale { .. } => plain("DECIMAL_SCALE_EXCEEDS_PRECISION", "22003"),
            Self::IntervalFormat { subclass, .. } => {
                sub("INVALID_INTERVAL_FORMAT", subclass, "22006")
            }
            Self::Legacy { .. } => plain("_LEGACY_ERROR", ""),
            Self::NegativeDelay { .. } => plain("", ""),
            Self::MixedIntervalFields { .. } => plain("_LEGACY_ERROR_TEMP_0029", ""),
            Self::IntervalOverflow => sub(
                "INTERVAL_ARITHMETIC_OVERFLOW",
                "WITHOUT_SUGGESTION",
                "22015",
            ),
            Self::UnsupportedDataType { .. } => plain("UNSUPPORTED_DATATYPE", "0A000"),
            Self::MissingTypeLength { .. } => plain("DATATYPE_MISSING_SIZE", "42K01"),
            Self::IncompleteType { type_name, .. } => {
                sub("INCOMPLETE_TYPE_DEFINITION", type_name, "42K01")
            }
            Self::InvalidSyntax { subclass, .. } => sub("INVALID_SQL_SYNTAX", subclass, "42000"),
            Self::InvalidEscape { .. } => plain("INVALID_ESC", "42604"),
            Self::InvalidParameterValue { subclass, .. } => {
                sub("INVALID_PARAMETER_VALUE", subclass, "22023")
            }
            Self::UnboundParameter { .. } => plain("UNBOUND_SQL_PARAMETER", "42P02"),
            Self::DuplicateCte { .. } => plain("DUPLICATED_CTE_NAMES", "42602"),
            Self::DuplicateClause { .. } => plain("DUPLICATE_CLAUSES", "42614"),
            Self::InvalidLimit { subclass, .. } => {
                sub("INVALID_LIMIT_LIKE_EXPRESSION", subclass, "42K0E")
            }
            Self::ClauseCombination => sub(
                "UNSUPPORTED_FEATURE",
                "COMBINATION_QUERY_RESULT_CLAUSES",
                "0A000",
            ),
            Self::InlineTable { .. } => {
                sub("INVALID_INLINE_TABLE", "NUM_COLUMNS_MISMATCH", "42000")
            }
            Self::MissingWindow { .. } => plain("MISSING_WINDOW_SPECIFICATION", "42P20"),
            Self::InvalidSet => plain("INVALID_SET_SYNTAX", "42000"),
            Self::WatermarkName { .. } => {
                plain("REQUIRES_EXPLICIT_NAME_IN_WATERMARK_CLAUSE", "42000")
            }
            Self::TooComplex { .. } => plain("FAILED_TO_PARSE_TOO_COMPLEX", "54001"),
            Self::Unsupported { .. } => sub("UNSUPPORTED_FEATURE", "SQL", "0A000"),
        }
    }

    /// Class of the exception: values that an interval cannot have are no matter of syntax to Spark.
    fn exception(&self) -> Exception {
        match self {
            Self::IntervalOverflow => Exception::Arithmetic,
            Self::NegativeDelay { .. } => Exception::IllegalArgument,
            Self::WatermarkName { .. } => Exception::Analysis,
            Self::IntervalFormat {
                subclass:
                    "ARITHMETIC_EXCEPTION"
                    | "INVALID_FRACTION"
                    | "INVALID_PRECISION"
                    | "INVALID_UNIT"
                    | "UNRECOGNIZED_NUMBER",
                ..
            } => Exception::IllegalArgument,
            _ => Exception::Parse,
        }
    }

    fn parameters(&self) -> Vec<(&'static str, String)> {
        match self {
            Self::Syntax { found, hint } => {
                vec![("error", found.clone()), ("hint", hint.clone())]
            }
            Self::InvalidIdentifier { identifier } => vec![("ident", identifier.clone())],
            Self::InvalidTypedLiteral {
                literal_type,
                value,
            } => vec![
                ("valueType", format!("\"{literal_type}\"")),
                ("value", format!("'{value}'")),
            ],
            Self::UnsupportedTypedLiteral { literal_type } => {
                vec![("unsupportedType", format!("\"{literal_type}\""))]
            }
            Self::NumericLiteralRange {
                raw,
                type_name,
                min,
                max,
            } => vec![
                ("rawStrippedQualifier", raw.clone()),
                ("minValue", min.clone()),
                ("maxValue", max.clone()),
                ("typeName", (*type_name).to_owned()),
            ],
            Self::DecimalPrecision { precision } => vec![
                ("precision", precision.to_string()),
                ("maxPrecision", "38".to_owned()),
            ],
            Self::DecimalScale { scale, precision } => vec![
                ("scale", scale.to_string()),
                ("precision", precision.to_string()),
            ],
            Self::UnsupportedDataType { type_name } => {
                vec![("typeName", format!("\"{type_name}\""))]
            }
            Self::MissingTypeLength { type_name } => vec![("type", format!("\"{type_name}\""))],
            Self::IntervalFormat { input, detail, .. } => {
                let mut parameters = vec![("input", input.clone())];
                parameters.extend(detail.clone());
                parameters
            }
            Self::MixedIntervalFields { literal } => vec![("literal", literal.clone())],
            Self::InvalidEscape { escape } => vec![("invalidEscape", escape.clone())],
            Self::UnboundParameter { name } => vec![("name", name.clone())],
            Self::Unsupported { feature } => vec![("feature", feature.clone())],
            Self::WatermarkName { expression } => {
                vec![("sqlExpr", format!("{expression} AS `{expression}`"))]
            }
            _ => Vec::new(),
        }
    }
}

impl ParseError {
    pub(super) fn without_text(kind: ParseErrorKind, command: &str) -> Self {
        Self::new(kind, command, Place::Nowhere)
    }

    pub(super) fn without_position(kind: ParseErrorKind, command: &str) -> Self {
        Self::new(kind, command, Place::Unknown)
    }

    pub(super) fn at(kind: ParseErrorKind, command: &str, offset: usize) -> Self {
        Self::new(kind, command, Place::Spot(offset))
    }

    pub(super) fn over(kind: ParseErrorKind, command: &str, fragment: Range<usize>) -> Self {
        Self::new(kind, command, Place::Fragment(fragment))
    }

    fn new(kind: ParseErrorKind, command: &str, place: Place) -> Self {
        Self(Box::new(Report {
            kind,
            command: command.to_owned(),
            place,
        }))
    }

    /// The cause.
    pub fn kind(&self) -> &ParseErrorKind {
        &self.0.kind
    }

    /// Spark's error class, for example `PARSE_SYNTAX_ERROR` or
    /// `INVALID_SQL_SYNTAX.EMPTY_IN_PREDICATE`; empty where Spark raises a plain Java exception.
    pub fn class(&self) -> String {
        self.0.kind.class_and_state().0
    }

    /// Class of the exception that Spark raises.
    pub(crate) fn exception(&self) -> Exception {
        self.0.kind.exception()
    }

    /// The five characters of the SQL standard's state; empty for the few errors without one.
    pub fn sql_state(&self) -> &'static str {
        self.0.kind.class_and_state().1
    }

    /// Spark's message parameters by name.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        self.0.kind.parameters()
    }

    /// The text that was parsed.
    pub fn command(&self) -> &str {
        &self.0.command
    }

    /// The line, counted from 1, and the character in it, counted from 0, if the place is known.
    pub fn line_and_position(&self) -> Option<(usize, usize)> {
        match &self.0.place {
            Place::Nowhere | Place::Unknown => None,
            Place::Spot(offset) => Some(line_and_position(&self.0.command, *offset)),
            Place::Fragment(range) => Some(line_and_position(&self.0.command, range.start)),
        }
    }
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            kind,
            command,
            place,
        } = &*self.0;
        let (class, state) = kind.class_and_state();
        if *place != Place::Nowhere {
            writeln!(out)?;
        }
        if state.is_empty() {
            write!(out, "{kind}")?;
        } else {
            write!(out, "[{class}] {kind} SQLSTATE: {state}")?;
        }
        match place {
            Place::Nowhere => Ok(()),
            Place::Unknown => write!(out, "\n== SQL ==\n{command}"),
            Place::Spot(offset) => write_spot(out, command, *offset),
            Place::Fragment(range) => write_fragment(out, command, range),
        }
    }
}

fn line_and_position(command: &str, offset: usize) -> (usize, usize) {
    let before = command.get(..offset).unwrap_or(command);
    let line = before.matches('\n').count() + 1;
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before.get(line_start..).unwrap_or("").chars().count())
}

fn write_spot(out: &mut fmt::Formatter<'_>, command: &str, offset: usize) -> fmt::Result {
    let (line, position) = line_and_position(command, offset);
    write!(out, " (line {line}, pos {position})\n\n== SQL ==\n")?;
    for (index, text) in command.split('\n').enumerate() {
        writeln!(out, "{text}")?;
        if index + 1 == line {
            writeln!(out, "{}^^^", "-".repeat(position))?;
        }
    }
    Ok(())
}

/// Spark quotes a fragment with this many characters of its surroundings.
const FRAGMENT_SURROUNDINGS: usize = 32;

fn write_fragment(
    out: &mut fmt::Formatter<'_>,
    command: &str,
    fragment: &Range<usize>,
) -> fmt::Result {
    let (line, position) = line_and_position(command, fragment.start);
    let characters: Vec<(usize, char)> = command.char_indices().collect();
    let index_of = |offset| characters.partition_point(|(at, _)| *at < offset);
    let (start, end) = (index_of(fragment.start), index_of(fragment.end));
    let from = start.saturating_sub(FRAGMENT_SURROUNDINGS);
    let to = (end + FRAGMENT_SURROUNDINGS).min(characters.len());
    let mut quoted = Vec::new();
    if from > 0 {
        quoted.extend([('.', false); 3]);
    }
    for (index, (_, character)) in characters.iter().enumerate().take(to).skip(from) {
        quoted.push((*character, (start..end).contains(&index)));
    }
    if to < characters.len() {
        quoted.extend([('.', false); 3]);
    }
    write!(out, "\n== SQL (line {line}, position {}) ==", position + 1)?;
    for text in quoted.split(|(character, _)| *character == '\n') {
        let content: String = text.iter().map(|(character, _)| *character).collect();
        let marks: String = text
            .iter()
            .map(|(_, marked)| if *marked { '^' } else { ' ' })
            .collect();
        write!(out, "\n{content}\n{}", marks.trim_end())?;
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn syntax(found: &str) -> ParseErrorKind {
        ParseErrorKind::Syntax {
            found: found.into(),
            hint: String::new(),
        }
    }

    #[test]
    fn a_spot_is_underlined_beneath_its_line() {
        let error = ParseError::at(syntax("'x'"), "a\nb x\nc", 4);
        assert_eq!(error.line_and_position(), Some((2, 2)));
        assert_eq!(
            error.to_string(),
            "\n[PARSE_SYNTAX_ERROR] Syntax error at or near 'x'. SQLSTATE: 42601 (line 2, pos 2)\
             \n\n== SQL ==\na\nb x\n--^^^\nc\n"
        );
    }

    #[test]
    fn a_fragment_is_quoted_with_its_surroundings() {
        let text = format!("{}bad{}", "é".repeat(40), "y".repeat(40));
        let error = ParseError::over(syntax("'bad'"), &text, 80..83);
        let expected = format!(
            "\n[PARSE_SYNTAX_ERROR] Syntax error at or near 'bad'. SQLSTATE: 42601\n== SQL (line 1, \
             position 41) ==\n...{}bad{}...\n{}^^^\n",
            "é".repeat(32),
            "y".repeat(32),
            " ".repeat(35)
        );
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_place_beyond_the_text_does_not_panic() {
        let error = ParseError::at(syntax("end of input"), "é", 9);
        assert!(error.to_string().contains("(line 1, pos 1)"));
    }
}
