//! The options of the JSON format, parsed once.
use crate::format::{
    Encoding, FormatError, FormatSettings, Options, ParseMode, input::Codec,
    temporal::TemporalReader,
};

/// Deviations from strict JSON that the tokenizer is asked to accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Syntax {
    pub comments: bool,
    pub unquoted_names: bool,
    pub single_quotes: bool,
    pub leading_zeros: bool,
    pub non_numeric: bool,
    pub escape_anything: bool,
    pub control_characters: bool,
}

/// Options for reading.
#[derive(Debug, Clone)]
pub struct JsonOptions {
    pub(crate) syntax: Syntax,
    pub(crate) mode: ParseMode,
    pub(crate) corrupt_column: String,
    pub(crate) partial_results: bool,
    pub(crate) multi_line: bool,
    pub(crate) line_separator: Option<Vec<u8>>,
    pub(crate) encoding: Encoding,
    pub(crate) temporal: TemporalReader,
    pub(crate) case_sensitive: bool,
    /// Whether a string column keeps a number's or object's own text (files) or a normalized one
    /// (`from_json`).
    pub(crate) exact_strings: bool,
    pub(crate) infer: InferOptions,
}

/// Options of schema inference.
#[derive(Debug, Clone)]
pub(crate) struct InferOptions {
    pub sampling_ratio: f64,
    pub primitives_as_string: bool,
    pub prefers_decimal: bool,
    pub drop_field_if_all_null: bool,
    pub timestamps: bool,
    pub timestamp_ntz: bool,
}

/// Options for writing.
#[derive(Debug, Clone)]
pub(crate) struct JsonWriteOptions {
    pub temporal: crate::format::temporal::TemporalWriter,
    pub ignore_null_fields: bool,
    pub line_separator: String,
    pub pretty: bool,
    pub codec: Codec,
    pub encoding: Encoding,
}

impl JsonOptions {
    /// Reads the options of a reader.
    ///
    /// # Errors
    /// If a value is not one Spark allows.
    pub fn new(options: &Options, settings: &FormatSettings) -> Result<Self, FormatError> {
        if let Some(locale) = options.get("locale") {
            tracing::debug!(
                locale,
                "option locale has no effect: names are read in English"
            );
        }
        let syntax = Syntax {
            comments: options.flag("allowComments", false)?,
            unquoted_names: options.flag("allowUnquotedFieldNames", false)?,
            single_quotes: options.flag("allowSingleQuotes", true)?,
            leading_zeros: options.flag("allowNumericLeadingZeros", false)?,
            non_numeric: options.flag("allowNonNumericNumbers", true)?,
            escape_anything: options.flag("allowBackslashEscapingAnyCharacter", false)?,
            control_characters: options.flag("allowUnquotedControlChars", false)?,
        };
        let multi_line = options.flag("multiLine", false)?;
        let encoding = Encoding::from_options(options)?;
        let line_separator = line_separator(options, encoding)?;
        if encoding != Encoding::Utf8 && !multi_line {
            refuse_encoding(encoding, line_separator.is_some())?;
        }
        Ok(Self {
            syntax,
            mode: ParseMode::from_options(options),
            corrupt_column: options
                .get("columnNameOfCorruptRecord")
                .unwrap_or(&settings.column_name_of_corrupt_record)
                .to_owned(),
            partial_results: settings.json_partial_results,
            multi_line,
            line_separator,
            encoding,
            temporal: TemporalReader::new(options, settings, None)?,
            case_sensitive: settings.case_sensitive,
            exact_strings: true,
            infer: InferOptions {
                sampling_ratio: options.number("samplingRatio", 1.0)?,
                primitives_as_string: options.flag("primitivesAsString", false)?,
                prefers_decimal: options.flag("prefersDecimal", false)?,
                drop_field_if_all_null: options.flag("dropFieldIfAllNull", false)?,
                timestamps: options.flag("inferTimestamp", false)?,
                timestamp_ntz: settings.infer_timestamp_ntz,
            },
        })
    }
}

impl JsonWriteOptions {
    pub(crate) fn new(options: &Options, settings: &FormatSettings) -> Result<Self, FormatError> {
        Ok(Self {
            temporal: crate::format::temporal::TemporalWriter::new(options, settings)?,
            ignore_null_fields: options
                .flag("ignoreNullFields", settings.json_ignore_null_fields)?,
            line_separator: options.get("lineSep").unwrap_or("\n").to_owned(),
            pretty: options.flag("pretty", false)?,
            codec: Codec::from_options(options)?,
            encoding: Encoding::from_options(options)?,
        })
    }
}

/// A wide encoding cannot be split into lines, and any other needs to be told what ends a line.
fn refuse_encoding(encoding: Encoding, separated: bool) -> Result<(), FormatError> {
    let reason = match encoding {
        Encoding::Utf16 | Encoding::Utf32 => {
            format!("the {encoding} encoding needs multiLine")
        }
        _ if !separated => {
            format!("the lineSep option must be specified for the {encoding} encoding")
        }
        _ => return Ok(()),
    };
    Err(FormatError::InvalidOption {
        option: "encoding".to_owned(),
        value: encoding.to_string(),
        reason,
        class: None,
    })
}

pub(crate) fn line_separator(
    options: &Options,
    encoding: Encoding,
) -> Result<Option<Vec<u8>>, FormatError> {
    match options.get("lineSep") {
        Some("") => Err(FormatError::InvalidOption {
            option: "lineSep".to_owned(),
            value: String::new(),
            reason: "'lineSep' cannot be an empty string.".to_owned(),
            class: None,
        }),
        Some(separator) => Ok(Some(encoding.encode(separator))),
        None => Ok(None),
    }
}

/// The share of records that inference looks at, between 0 and 1.
pub(crate) fn check_ratio(ratio: f64) -> Result<(), FormatError> {
    if ratio > 0.0 {
        return Ok(());
    }
    Err(FormatError::InvalidOption {
        option: "samplingRatio".to_owned(),
        value: ratio.to_string(),
        reason: "samplingRatio should be greater than 0".to_owned(),
        class: None,
    })
}
