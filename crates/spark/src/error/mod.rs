//! Spark's errors: a condition name, its SQLSTATE, its parameters and the text that Spark prints.
//!
//! Everything this crate refuses is a [`SparkError`]. Its condition (`DIVIDE_BY_ZERO`,
//! `UNRESOLVED_COLUMN.WITH_SUGGESTION`) names a template of `conditions.json`, a table of Spark's condition names,
//! SQLSTATEs and message templates; the message is built from it exactly as Spark prints it:
//! `[CONDITION] text SQLSTATE: xxxxx`, followed by the query context on lines of its own. The [`Exception`] says which
//! JVM class a client is to believe was thrown: PySpark picks its Python exception by that name.
//!
//! Errors travel through DataFusion as `DataFusionError::External`; [`SparkError::from`] finds them again. What other
//! layers raise is converted once, in `convert.rs`.
mod conditions;
mod convert;
mod exception;

use std::{fmt, ops::Deref};

use datafusion::common::DataFusionError;
use indexmap::IndexMap;

pub(crate) use convert::find;
pub use convert::{arithmetic_overflow, divide_by_zero, remainder_by_zero};
pub use exception::Exception;

/// Result of everything that may fail with Spark's words.
pub type Result<T, E = SparkError> = std::result::Result<T, E>;

/// Where in the user's program an error comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryContext {
    /// A stretch of SQL text.
    Sql {
        /// The whole statement.
        text: String,
        /// First byte of the fragment.
        start: usize,
        /// Byte after the fragment.
        stop: usize,
    },
    /// A call of the DataFrame API.
    DataFrame {
        /// Method that was called, e.g. `divide`.
        fragment: String,
        /// File and line of the call.
        call_site: String,
    },
}

impl QueryContext {
    /// The lines Spark prints below the message.
    pub fn summary(&self) -> String {
        match self {
            Self::Sql { text, start, stop } => conditions::sql_context(text, *start, *stop),
            Self::DataFrame {
                fragment,
                call_site,
            } => format!("== DataFrame ==\n\"{fragment}\" was called from\n{call_site}\n"),
        }
    }
}

/// Conditions that an expression raises without telling its place. Most of them come from code that Spark's expressions
/// share with others.
const PLACELESS: [&str; 14] = [
    "CANNOT_PARSE_TIMESTAMP",
    "CAST_OVERFLOW",
    "CONVERSION_INVALID_INPUT",
    "DATETIME_FIELD_OUT_OF_BOUNDS",
    "DUPLICATED_MAP_KEY",
    "ILLEGAL_DAY_OF_WEEK",
    "INCONSISTENT_BEHAVIOR_CROSS_VERSION",
    "INVALID_FORMAT",
    "INVALID_PARAMETER_VALUE",
    "INVALID_TIMEZONE",
    "INVALID_URL",
    "MALFORMED_RECORD_IN_PARSING",
    "USER_RAISED_EXCEPTION",
    "_LEGACY_ERROR_TEMP_2128",
];

/// The facts of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorDetails {
    /// Condition, e.g. `CAST_INVALID_INPUT`; empty where Spark throws a plain Java exception.
    pub class: String,
    /// SQLSTATE, where the condition has one.
    pub sql_state: Option<String>,
    /// Parameters of the template, in Spark's formatting (names in backquotes, types in double quotes).
    pub message_parameters: IndexMap<String, String>,
    /// The whole message as Spark prints it.
    pub message: String,
    /// JVM class that Spark would throw.
    pub exception: Exception,
    /// Where in the program.
    pub query_context: Option<QueryContext>,
}

/// An error in Spark's terms. Cheap to move: the facts are boxed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SparkError(Box<ErrorDetails>);

impl Deref for SparkError {
    type Target = ErrorDetails;

    fn deref(&self) -> &ErrorDetails {
        &self.0
    }
}

impl fmt::Display for SparkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for SparkError {}

impl SparkError {
    /// An error of condition `class` that Spark throws as `exception`.
    pub fn new(exception: Exception, class: &str, parameters: &[(&str, &str)]) -> Self {
        let message_parameters: IndexMap<String, String> = parameters
            .iter()
            .map(|(k, v)| (k.to_string(), v.to_string()))
            .collect();
        let condition = conditions::find(class);
        let sql_state = condition.and_then(|c| c.sql_state.clone());
        let message = conditions::message(class, condition, &message_parameters);
        Self(Box::new(ErrorDetails {
            class: class.to_string(),
            sql_state,
            message_parameters,
            message,
            exception,
            query_context: None,
        }))
    }

    /// Whether there is a template for condition `class`.
    pub fn knows(class: &str) -> bool {
        conditions::find(class).is_some()
    }

    /// An `AnalysisException`: the plan is wrong.
    pub fn analysis(class: &str, parameters: &[(&str, &str)]) -> Self {
        Self::new(Exception::Analysis, class, parameters)
    }

    /// A `ParseException`: the text is wrong.
    pub fn parse(class: &str, parameters: &[(&str, &str)]) -> Self {
        Self::new(Exception::Parse, class, parameters)
    }

    /// A `SparkRuntimeException`: a value is wrong.
    pub fn runtime(class: &str, parameters: &[(&str, &str)]) -> Self {
        Self::new(Exception::Runtime, class, parameters)
    }

    /// A `SparkArithmeticException`.
    pub fn arithmetic(class: &str, parameters: &[(&str, &str)]) -> Self {
        Self::new(Exception::Arithmetic, class, parameters)
    }

    /// A `SparkIllegalArgumentException`.
    pub fn illegal_argument(class: &str, parameters: &[(&str, &str)]) -> Self {
        Self::new(Exception::IllegalArgument, class, parameters)
    }

    /// A Java exception without a condition: only its message is known.
    pub fn plain(exception: Exception, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorDetails {
            class: String::new(),
            sql_state: None,
            message_parameters: IndexMap::new(),
            message: message.into(),
            exception,
            query_context: None,
        }))
    }

    /// An error whose message is known already.
    pub fn worded(
        exception: Exception,
        class: &str,
        sql_state: Option<&str>,
        parameters: &[(&str, &str)],
        message: String,
    ) -> Self {
        Self(Box::new(ErrorDetails {
            class: class.to_string(),
            sql_state: sql_state.map(str::to_string),
            message_parameters: parameters
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
            message,
            exception,
            query_context: None,
        }))
    }

    /// An internal fault of ours: never the user's doing.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(
            Exception::Spark,
            "INTERNAL_ERROR",
            &[("message", &message.to_string())],
        )
    }

    /// Spark can do it, this engine cannot (yet). `feature` completes "… is not supported".
    pub fn unsupported(feature: impl fmt::Display) -> Self {
        let mut error = Self::new(Exception::Unsupported, "UNSUPPORTED_FEATURE", &[]);
        error.0.sql_state = Some("0A000".to_string());
        error.0.message = format!(
            "[UNSUPPORTED_FEATURE] The feature is not supported: {feature}. SQLSTATE: 0A000"
        );
        error
    }

    /// A check of streaming plans: Spark's class without a name of its own.
    pub fn streaming_unsupported(message: impl fmt::Display) -> Self {
        Self::analysis("_LEGACY_ERROR_TEMP_3102", &[("msg", &message.to_string())])
    }

    /// Adds the place in the program, unless it is known already or Spark tells none.
    pub fn with_context(mut self, context: QueryContext) -> Self {
        let placeless = self.class.is_empty() || PLACELESS.iter().any(|class| self.is(class));
        if self.0.query_context.is_none() && !placeless {
            self.0.message = format!("{}\n{}", self.0.message, context.summary());
            self.0.query_context = Some(context);
        }
        self
    }

    /// The same error thrown as another JVM class.
    pub fn thrown_as(mut self, exception: Exception) -> Self {
        self.0.exception = exception;
        self
    }

    /// Whether the condition is `class` or one of its sub-conditions.
    pub fn is(&self, class: &str) -> bool {
        self.class == class
            || self
                .class
                .strip_prefix(class)
                .is_some_and(|rest| rest.starts_with('.'))
    }
}

impl From<SparkError> for DataFusionError {
    fn from(error: SparkError) -> Self {
        DataFusionError::External(Box::new(error))
    }
}

/// `text` as an identifier in messages: `` `a` ``.
pub fn quoted_id(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

/// Several name parts as an identifier in messages: `` `a`.`b` ``.
pub fn quoted_name<S: AsRef<str>>(parts: &[S]) -> String {
    parts
        .iter()
        .map(|p| quoted_id(p.as_ref()))
        .collect::<Vec<_>>()
        .join(".")
}

/// `text` between double quotes: types, expressions and configuration keys in messages.
pub fn quoted(text: impl fmt::Display) -> String {
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests;
