//! The options of the CSV format, parsed once.
use crate::format::{
    Encoding, FormatError, FormatSettings, Options, ParseMode,
    input::Codec,
    json::line_separator,
    temporal::{TemporalReader, TemporalWriter},
};

/// What happens to a quote inside a quoted value that is neither escaped nor the value's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UnescapedQuotes {
    /// The value goes on to the closing quote.
    StopAtClosingQuote,
    /// The value is taken as it stands, up to the delimiter.
    StopAtDelimiter,
    /// Like the former, but delimiters passed already count.
    BackToDelimiter,
    /// The value is empty.
    SkipValue,
    /// The record is malformed.
    RaiseError,
}

/// How a line is cut into values.
#[derive(Debug, Clone)]
pub(crate) struct Dialect {
    pub delimiter: Vec<u8>,
    /// NUL for none.
    pub quote: u8,
    pub escape: u8,
    /// What makes an escape character in front of a quote literal.
    pub escape_of_escape: Option<u8>,
    pub comment: Option<u8>,
    pub unescaped: UnescapedQuotes,
    pub trim_leading: bool,
    pub trim_trailing: bool,
    pub columns_max: usize,
    /// Whether line ends within quotes become `\n`: unless `lineSep` is given.
    pub normalize_line_ends: bool,
    /// Longest value in characters; `None` for no limit.
    pub value_max: Option<usize>,
}

/// Options for reading.
#[derive(Debug, Clone)]
pub struct CsvOptions {
    pub(crate) dialect: Dialect,
    pub(crate) mode: ParseMode,
    pub(crate) corrupt_column: String,
    pub(crate) header: bool,
    pub(crate) enforce_schema: bool,
    pub(crate) infer_schema: bool,
    pub(crate) prefers_date: bool,
    pub(crate) sampling_ratio: f64,
    pub(crate) column_pruning: bool,
    pub(crate) multi_line: bool,
    pub(crate) line_separator: Option<Vec<u8>>,
    pub(crate) encoding: Encoding,
    pub(crate) null_value: String,
    pub(crate) empty_value: String,
    pub(crate) nan_value: String,
    pub(crate) positive_infinity: String,
    pub(crate) negative_infinity: String,
    pub(crate) temporal: TemporalReader,
    /// Whether dates can be read as timestamps, when a column has both.
    pub(crate) dates_are_timestamps: bool,
    pub(crate) timestamp_ntz: bool,
    pub(crate) case_sensitive: bool,
}

/// Options for writing.
#[derive(Debug, Clone)]
pub(crate) struct CsvWriteOptions {
    pub delimiter: String,
    pub quote: char,
    pub escape: char,
    pub escape_of_escape: Option<char>,
    pub comment: char,
    pub header: bool,
    pub quote_all: bool,
    pub escape_quotes: bool,
    pub trim_leading: bool,
    pub trim_trailing: bool,
    pub null_value: String,
    pub empty_value: String,
    pub line_separator: String,
    pub codec: Codec,
    pub encoding: Encoding,
    pub temporal: TemporalWriter,
}

impl CsvOptions {
    /// Reads the options of a reader.
    ///
    /// # Errors
    /// If a value is not one Spark allows.
    pub fn new(options: &Options, settings: &FormatSettings) -> Result<Self, FormatError> {
        if let Some(locale) = options.get("locale") {
            tracing::debug!(
                locale,
                "option locale has no effect: names and numbers are read in English"
            );
        }
        let text = |name: &str, default: &str| options.get(name).unwrap_or(default).to_owned();
        let encoding = Encoding::from_options(options)?;
        let prefers_date = options.flag("preferDate", true)?;
        let default_date = prefers_date.then_some("yyyy-MM-dd");
        let date_pattern = options
            .get("dateFormat")
            .or(default_date)
            .unwrap_or_default();
        let zoneless = options.get("timestampFormat").is_none();
        let infer_ntz = settings.infer_timestamp_ntz;
        let lenient = if infer_ntz {
            options.get("timestampNTZFormat").is_none()
        } else {
            zoneless
        };
        let multi_line = options.flag("multiLine", false)?;
        if let Some(separator) = options.get("lineSep")
            && separator.chars().count() > 2
        {
            return Err(FormatError::InvalidOption {
                option: "lineSep".to_owned(),
                value: separator.to_owned(),
                reason: "'lineSep' can contain at most 2 characters".to_owned(),
                class: Some("INVALID_LINE_SEPARATOR.TOO_LONG"),
            });
        }
        Ok(Self {
            dialect: Dialect::new(options)?,
            mode: ParseMode::from_options(options),
            corrupt_column: text(
                "columnNameOfCorruptRecord",
                &settings.column_name_of_corrupt_record,
            ),
            header: options.flag("header", false)?,
            enforce_schema: options.flag("enforceSchema", true)?,
            infer_schema: options.flag("inferSchema", false)?,
            prefers_date,
            sampling_ratio: options.number("samplingRatio", 1.0)?,
            column_pruning: settings.csv_column_pruning,
            multi_line,
            line_separator: line_separator(options, encoding)?,
            encoding,
            null_value: text("nullValue", ""),
            empty_value: text("emptyValue", ""),
            nan_value: text("nanValue", "NaN"),
            positive_infinity: text("positiveInf", "Inf"),
            negative_infinity: text("negativeInf", "-Inf"),
            temporal: TemporalReader::new(options, settings, default_date)?,
            dates_are_timestamps: lenient && READ_AS_TIMESTAMP.contains(&date_pattern),
            timestamp_ntz: infer_ntz,
            case_sensitive: settings.case_sensitive,
        })
    }
}

/// Patterns of dates that are timestamps too when timestamps have no pattern.
const READ_AS_TIMESTAMP: [&str; 7] = [
    "yyyy-MM-dd",
    "yyyy-M-d",
    "yyyy-M-dd",
    "yyyy-MM-d",
    "yyyy-MM",
    "yyyy-M",
    "yyyy",
];

impl Dialect {
    fn new(options: &Options) -> Result<Self, FormatError> {
        let (quote, escape) = (
            ascii(options, "quote", '"')?,
            ascii(options, "escape", '\\')?,
        );
        let comment = ascii(options, "comment", '\0')?;
        let handling = options
            .get("unescapedQuoteHandling")
            .unwrap_or("STOP_AT_DELIMITER");
        let maximum = options.integer("maxCharsPerColumn", -1)?;
        Ok(Self {
            delimiter: delimiter(options)?.into_bytes(),
            quote,
            escape,
            escape_of_escape: escape_of_escape(options, char::from(quote), char::from(escape))?
                .and_then(|c| u8::try_from(c).ok()),
            comment: (comment != 0).then_some(comment),
            unescaped: match handling.to_ascii_uppercase().as_str() {
                "STOP_AT_CLOSING_QUOTE" => UnescapedQuotes::StopAtClosingQuote,
                "STOP_AT_DELIMITER" => UnescapedQuotes::StopAtDelimiter,
                "BACK_TO_DELIMITER" => UnescapedQuotes::BackToDelimiter,
                "SKIP_VALUE" => UnescapedQuotes::SkipValue,
                "RAISE_ERROR" => UnescapedQuotes::RaiseError,
                _ => {
                    return Err(FormatError::InvalidOption {
                        option: "unescapedQuoteHandling".to_owned(),
                        value: handling.to_owned(),
                        reason: "not a way to handle unescaped quotes".to_owned(),
                        class: None,
                    });
                }
            },
            trim_leading: options.flag("ignoreLeadingWhiteSpace", false)?,
            trim_trailing: options.flag("ignoreTrailingWhiteSpace", false)?,
            columns_max: usize::try_from(options.integer("maxColumns", 20480)?).unwrap_or(0),
            normalize_line_ends: options.get("lineSep").is_none(),
            value_max: usize::try_from(maximum).ok(),
        })
    }
}

impl CsvWriteOptions {
    pub(crate) fn new(options: &Options, settings: &FormatSettings) -> Result<Self, FormatError> {
        let text = |name: &str, default: &str| options.get(name).unwrap_or(default).to_owned();
        let (quote, escape) = (
            options.character("quote", '"')?,
            options.character("escape", '\\')?,
        );
        Ok(Self {
            delimiter: delimiter(options)?,
            quote,
            escape,
            escape_of_escape: escape_of_escape(options, quote, escape)?,
            comment: options.character("comment", '#')?,
            header: options.flag("header", false)?,
            quote_all: options.flag("quoteAll", false)?,
            escape_quotes: options.flag("escapeQuotes", true)?,
            trim_leading: options.flag("ignoreLeadingWhiteSpace", true)?,
            trim_trailing: options.flag("ignoreTrailingWhiteSpace", true)?,
            null_value: text("nullValue", ""),
            empty_value: text("emptyValue", "\"\""),
            line_separator: text("lineSep", "\n"),
            codec: Codec::from_options(options)?,
            encoding: Encoding::from_options(options)?,
            temporal: TemporalWriter::new(options, settings)?,
        })
    }
}

/// Without the option, the escape character stands for itself, unless it is the quote.
fn escape_of_escape(
    options: &Options,
    quote: char,
    escape: char,
) -> Result<Option<char>, FormatError> {
    let default = if quote == escape { '\0' } else { escape };
    let character = options.character("charToEscapeQuoteEscaping", default)?;
    Ok(Some(if character == '\0' {
        default
    } else {
        character
    })
    .filter(|c| *c != '\0'))
}

fn ascii(options: &Options, name: &str, default: char) -> Result<u8, FormatError> {
    let character = options.character(name, default)?;
    u8::try_from(character)
        .ok()
        .filter(u8::is_ascii)
        .ok_or_else(|| FormatError::Unsupported {
            feature: format!("the non-ASCII character '{character}' as {name} of a CSV reader"),
        })
}

/// Options `sep` and `delimiter`, with `\t` and the like.
fn delimiter(options: &Options) -> Result<String, FormatError> {
    let text = options
        .get("sep")
        .or_else(|| options.get("delimiter"))
        .unwrap_or(",");
    let invalid = |reason: &str, class| FormatError::InvalidOption {
        option: "sep".to_owned(),
        value: text.to_owned(),
        reason: reason.to_owned(),
        class: Some(class),
    };
    if text.is_empty() {
        return Err(invalid(
            "the delimiter cannot be empty",
            "INVALID_DELIMITER_VALUE.EMPTY_STRING",
        ));
    }
    if text == "\\" {
        return Err(invalid(
            "a single backslash is no delimiter",
            "INVALID_DELIMITER_VALUE.SINGLE_BACKSLASH",
        ));
    }
    let mut delimiter = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            delimiter.push(c);
            continue;
        }
        delimiter.push(match chars.next() {
            Some('t') => '\t',
            Some('r') => '\r',
            Some('n') => '\n',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('\\') => '\\',
            Some('"') => '"',
            Some('\'') => '\'',
            Some('u') if text == "\\u0000" => {
                chars.by_ref().for_each(drop);
                '\0'
            }
            _ => {
                return Err(invalid(
                    "unsupported special character",
                    "INVALID_DELIMITER_VALUE.UNSUPPORTED_SPECIAL_CHARACTER",
                ));
            }
        });
    }
    Ok(delimiter)
}
