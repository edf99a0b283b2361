//! Errors of the layers below, in Spark's terms.
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;

use super::{Exception, SparkError};

impl From<DataFusionError> for SparkError {
    /// Finds the Spark error inside, or words what DataFusion says.
    fn from(error: DataFusionError) -> Self {
        match error {
            DataFusionError::External(inner) => from_boxed(inner),
            DataFusionError::ArrowError(inner, _) => (*inner).into(),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
                (*inner).into()
            }
            DataFusionError::Shared(inner) => match find(inner.as_ref()) {
                Some(found) => found,
                None => worded(&inner),
            },
            DataFusionError::Collection(mut errors) if !errors.is_empty() => {
                errors.swap_remove(0).into()
            }
            other => worded(&other),
        }
    }
}

fn worded(error: &DataFusionError) -> SparkError {
    match error {
        DataFusionError::ResourcesExhausted(message) => SparkError::plain(
            Exception::Spark,
            format!("[UNABLE_TO_ACQUIRE_MEMORY] {message} SQLSTATE: 53200"),
        ),
        DataFusionError::Execution(message)
            if message.contains("Scalar subquery returned more than one row") =>
        {
            SparkError::new(Exception::Spark, "SCALAR_SUBQUERY_TOO_MANY_ROWS", &[])
        }
        DataFusionError::NotImplemented(message) => SparkError::unsupported(message),
        other => SparkError::internal(other.strip_backtrace()),
    }
}

/// Finds a Spark error anywhere in a chain of causes.
pub(crate) fn find(error: &(dyn std::error::Error + 'static)) -> Option<SparkError> {
    let mut current = Some(error);
    while let Some(e) = current {
        if let Some(found) = e.downcast_ref::<SparkError>() {
            return Some(found.clone());
        }
        if let Some(found) = crate::streaming::failure::of_layer(e) {
            return Some(found);
        }
        current = crate::streaming::failure::next_cause(e);
    }
    None
}

fn from_boxed(error: Box<dyn std::error::Error + Send + Sync>) -> SparkError {
    let error = match error.downcast::<SparkError>() {
        Ok(found) => return *found,
        Err(other) => other,
    };
    match error.downcast::<DataFusionError>() {
        Ok(inner) => (*inner).into(),
        Err(other) => match find(other.as_ref()) {
            Some(found) => found,
            None => SparkError::plain(Exception::Spark, other.to_string()),
        },
    }
}

impl From<ArrowError> for SparkError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::ExternalError(inner) => from_boxed(inner),
            ArrowError::DivideByZero => divide_by_zero(),
            ArrowError::ArithmeticOverflow(_) => arithmetic_overflow("overflow", ""),
            other => SparkError::internal(other),
        }
    }
}

/// Division by zero under ANSI rules.
pub fn divide_by_zero() -> SparkError {
    SparkError::arithmetic(
        "DIVIDE_BY_ZERO",
        &[("config", "\"spark.sql.ansi.enabled\"")],
    )
}

/// `%` by zero under ANSI rules.
pub fn remainder_by_zero() -> SparkError {
    SparkError::arithmetic(
        "REMAINDER_BY_ZERO",
        &[("config", "\"spark.sql.ansi.enabled\"")],
    )
}

/// Overflow under ANSI rules. `alternative` is the function that tolerates it, e.g. `try_add`, or empty.
pub fn arithmetic_overflow(message: &str, alternative: &str) -> SparkError {
    let hint = match alternative {
        "" => String::new(),
        function => format!(" Use '{function}' to tolerate overflow and return NULL instead."),
    };
    SparkError::arithmetic(
        "ARITHMETIC_OVERFLOW",
        &[
            ("message", message),
            ("alternative", &hint),
            ("config", "\"spark.sql.ansi.enabled\""),
        ],
    )
}

impl From<crate::sql::ParseError> for SparkError {
    fn from(error: crate::sql::ParseError) -> Self {
        if error.class().is_empty() {
            return SparkError::plain(error.exception(), error.to_string());
        }
        let parameters = error.parameters();
        let parameters: Vec<(&str, &str)> =
            parameters.iter().map(|(k, v)| (*k, v.as_str())).collect();
        SparkError::worded(
            error.exception(),
            &error.class(),
            Some(error.sql_state()).filter(|state| !state.is_empty()),
            &parameters,
            error.to_string(),
        )
    }
}
