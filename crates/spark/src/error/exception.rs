//! The JVM classes under which errors are known to clients.

/// JVM class of an error, as far as clients tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Exception {
    /// `org.apache.spark.sql.AnalysisException`
    Analysis,
    /// `org.apache.spark.sql.catalyst.parser.ParseException`
    Parse,
    /// `org.apache.spark.sql.streaming.StreamingQueryException`
    StreamingQuery,
    /// `org.apache.spark.SparkRuntimeException`
    Runtime,
    /// `org.apache.spark.SparkArithmeticException`
    Arithmetic,
    /// `org.apache.spark.SparkNumberFormatException`
    NumberFormat,
    /// `org.apache.spark.SparkDateTimeException`
    DateTime,
    /// `org.apache.spark.SparkArrayIndexOutOfBoundsException`
    ArrayIndexOutOfBounds,
    /// `org.apache.spark.SparkIllegalArgumentException`
    IllegalArgument,
    /// `org.apache.spark.SparkUnsupportedOperationException`
    Unsupported,
    /// `java.lang.IllegalStateException`
    IllegalState,
    /// `org.apache.spark.SparkNoSuchElementException`
    NoSuchElement,
    /// `org.apache.spark.SparkClassNotFoundException`
    ClassNotFound,
    /// `org.apache.spark.SparkUpgradeException`
    Upgrade,
    /// `org.apache.spark.SparkException`
    Spark,
    /// `org.apache.spark.SparkSQLException`
    SparkSql,
    /// `org.apache.spark.sql.connect.common.InvalidPlanInput`
    InvalidPlan,
    /// `org.apache.spark.sql.execution.QueryExecutionException`
    QueryExecution,
    /// `java.util.concurrent.TimeoutException`
    Timeout,
    /// `com.fasterxml.jackson.core.JsonParseException`
    JsonParse,
    /// `org.apache.spark.api.python.PythonException`
    Python,
    /// `org.apache.spark.api.python.StreamingPythonRunner$StreamingPythonRunnerInitializationException`
    PythonRunnerInitialization,
}

impl Exception {
    /// The class and its ancestors, nearest first, without `java.lang.Object`.
    pub fn hierarchy(self) -> &'static [&'static str] {
        const EXC: &str = "java.lang.Exception";
        const THR: &str = "java.lang.Throwable";
        const RT: &str = "java.lang.RuntimeException";
        const ILLEGAL: &str = "java.lang.IllegalArgumentException";
        match self {
            Self::Analysis => &["org.apache.spark.sql.AnalysisException", EXC, THR],
            Self::Parse => &[
                "org.apache.spark.sql.catalyst.parser.ParseException",
                "org.apache.spark.sql.AnalysisException",
                EXC,
                THR,
            ],
            Self::StreamingQuery => &[
                "org.apache.spark.sql.streaming.StreamingQueryException",
                EXC,
                THR,
            ],
            Self::Runtime => &["org.apache.spark.SparkRuntimeException", RT, EXC, THR],
            Self::Arithmetic => &[
                "org.apache.spark.SparkArithmeticException",
                "java.lang.ArithmeticException",
                RT,
                EXC,
                THR,
            ],
            Self::NumberFormat => &[
                "org.apache.spark.SparkNumberFormatException",
                "java.lang.NumberFormatException",
                ILLEGAL,
                RT,
                EXC,
                THR,
            ],
            Self::DateTime => &[
                "org.apache.spark.SparkDateTimeException",
                "java.time.DateTimeException",
                RT,
                EXC,
                THR,
            ],
            Self::ArrayIndexOutOfBounds => &[
                "org.apache.spark.SparkArrayIndexOutOfBoundsException",
                "java.lang.ArrayIndexOutOfBoundsException",
                "java.lang.IndexOutOfBoundsException",
                RT,
                EXC,
                THR,
            ],
            Self::IllegalArgument => &[
                "org.apache.spark.SparkIllegalArgumentException",
                ILLEGAL,
                RT,
                EXC,
                THR,
            ],
            Self::Unsupported => &[
                "org.apache.spark.SparkUnsupportedOperationException",
                "java.lang.UnsupportedOperationException",
                RT,
                EXC,
                THR,
            ],
            Self::IllegalState => &["java.lang.IllegalStateException", RT, EXC, THR],
            Self::NoSuchElement => &[
                "org.apache.spark.SparkNoSuchElementException",
                "java.util.NoSuchElementException",
                RT,
                EXC,
                THR,
            ],
            Self::ClassNotFound => &[
                "org.apache.spark.SparkClassNotFoundException",
                "java.lang.ClassNotFoundException",
                "java.lang.ReflectiveOperationException",
                EXC,
                THR,
            ],
            Self::Upgrade => &["org.apache.spark.SparkUpgradeException", RT, EXC, THR],
            Self::Spark => &["org.apache.spark.SparkException", EXC, THR],
            Self::SparkSql => &[
                "org.apache.spark.SparkSQLException",
                "java.sql.SQLException",
                EXC,
                THR,
            ],
            Self::InvalidPlan => &[
                "org.apache.spark.sql.connect.common.InvalidPlanInput",
                RT,
                EXC,
                THR,
            ],
            Self::QueryExecution => &[
                "org.apache.spark.sql.execution.QueryExecutionException",
                RT,
                EXC,
                THR,
            ],
            Self::Timeout => &["java.util.concurrent.TimeoutException", EXC, THR],
            Self::JsonParse => &[
                "com.fasterxml.jackson.core.JsonParseException",
                "com.fasterxml.jackson.core.JsonProcessingException",
                "com.fasterxml.jackson.core.JacksonException",
                "java.io.IOException",
                EXC,
                THR,
            ],
            Self::Python => &["org.apache.spark.api.python.PythonException", RT, EXC, THR],
            Self::PythonRunnerInitialization => &[
                "org.apache.spark.api.python.StreamingPythonRunner$StreamingPythonRunnerInitializationException",
                "org.apache.spark.SparkException",
                EXC,
                THR,
            ],
        }
    }

    /// The exception of a JVM class name; [`Exception::Spark`] for one that clients do not tell apart.
    pub fn of_class(name: &str) -> Self {
        const ALL: [Exception; 21] = [
            Exception::Analysis,
            Exception::Parse,
            Exception::StreamingQuery,
            Exception::Runtime,
            Exception::Arithmetic,
            Exception::NumberFormat,
            Exception::DateTime,
            Exception::ArrayIndexOutOfBounds,
            Exception::IllegalArgument,
            Exception::Unsupported,
            Exception::NoSuchElement,
            Exception::ClassNotFound,
            Exception::Upgrade,
            Exception::Spark,
            Exception::SparkSql,
            Exception::InvalidPlan,
            Exception::QueryExecution,
            Exception::Timeout,
            Exception::JsonParse,
            Exception::Python,
            Exception::IllegalState,
        ];
        // A class that only ancestors stand for is the one that is nearest to it.
        let distance = |exception: &Self| exception.hierarchy().iter().position(|c| *c == name);
        let found = ALL
            .into_iter()
            .filter_map(|exception| distance(&exception).map(|steps| (steps, exception)))
            .min_by_key(|(steps, _)| *steps);
        found.map_or(Self::Spark, |(_, exception)| exception)
    }

    /// The class itself.
    pub fn class_name(self) -> &'static str {
        self.hierarchy()
            .first()
            .copied()
            .unwrap_or("java.lang.Exception")
    }
}
