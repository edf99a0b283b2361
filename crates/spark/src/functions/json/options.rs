//! The options of functions that parse or print text.
use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use millstream_connectors::format::{FormatError, FormatSettings, Options};

use crate::{
    error::{Exception, Result, SparkError, quoted},
    functions::Call,
    types::{map_fields, sql_name},
};

/// Argument `index`, a constant map of text to text; no options if it is not there.
pub(in crate::functions) fn options_of(call: &Call<'_>, index: usize) -> Result<Options> {
    let mut options = Options::new();
    let Some(arg) = call.args.get(index) else {
        return Ok(options);
    };
    let Some((keys, values)) = map_fields(&arg.data_type).filter(|_| arg.is_foldable()) else {
        return Err(SparkError::analysis(
            "INVALID_OPTIONS.NON_MAP_FUNCTION",
            &[],
        ));
    };
    // `map()` has no types yet.
    let text = |t: &DataType| matches!(t, DataType::Utf8 | DataType::Null);
    if !text(keys.data_type()) || !text(values.data_type()) {
        let map_type = quoted(sql_name(&arg.data_type));
        return Err(SparkError::analysis(
            "INVALID_OPTIONS.NON_STRING_TYPE",
            &[("mapType", &map_type)],
        ));
    }
    if let ScalarValue::Map(map) = call.constant(index, "options")? {
        let entries = map.value(0);
        let pairs = entries
            .column(0)
            .as_string_opt::<i32>()
            .zip(entries.column(1).as_string_opt::<i32>());
        if let Some((keys, values)) = pairs {
            for row in (0..keys.len()).filter(|row| values.is_valid(*row)) {
                options.insert(keys.value(row), values.value(row));
            }
        }
    }
    Ok(options)
}

/// What the session says about formats.
pub(in crate::functions) fn format_settings(call: &Call<'_>) -> Result<FormatSettings> {
    let conf = &call.context.conf;
    let mut settings = FormatSettings {
        time_zone: call.context.eval.zone()?,
        case_sensitive: conf.case_sensitive(),
        ..FormatSettings::default()
    };
    if let Some(name) = conf.get_option("spark.sql.columnNameOfCorruptRecord") {
        settings.column_name_of_corrupt_record = name;
    }
    settings.time_parser_policy = conf.time_parser_policy();
    let flag = |key: &str, default: bool| match conf.get_option(key) {
        Some(value) => value.trim().eq_ignore_ascii_case("true"),
        None => default,
    };
    settings.json_partial_results = flag(
        "spark.sql.json.enablePartialResults",
        settings.json_partial_results,
    );
    settings.json_ignore_null_fields = flag(
        "spark.sql.jsonGenerator.ignoreNullFields",
        settings.json_ignore_null_fields,
    );
    let ntz = conf.get_option("spark.sql.timestampType");
    settings.infer_timestamp_ntz = ntz.is_some_and(|t| t.eq_ignore_ascii_case("TIMESTAMP_NTZ"));
    Ok(settings)
}

/// A format's error in Spark's terms. `function` is the one that was called.
pub(in crate::functions) fn format_error(error: FormatError, function: &str) -> SparkError {
    let class = error.error_class();
    if class == "PARSE_MODE_UNSUPPORTED" {
        let function = crate::error::quoted_id(function);
        let parameters = [("funcName", function.as_str()), ("mode", "DROPMALFORMED")];
        return SparkError::new(Exception::Analysis, class, &parameters);
    }
    let parameters = error.message_parameters();
    let parameters: Vec<(&str, &str)> = parameters.iter().map(|(k, v)| (*k, v.as_str())).collect();
    match error {
        FormatError::MalformedRecord { .. } => {
            SparkError::new(Exception::Spark, class, &parameters)
        }
        FormatError::Pattern(_) => SparkError::new(Exception::Upgrade, class, &parameters),
        FormatError::Unsupported { feature } => SparkError::unsupported(feature),
        FormatError::UnsupportedType { .. } | FormatError::CorruptRecordType { .. } => {
            SparkError::analysis(class, &parameters)
        }
        other => SparkError::plain(Exception::IllegalArgument, other.to_string()),
    }
}
