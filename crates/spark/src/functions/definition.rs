//! What a function is: how it is called and what becomes of a call.
use std::sync::Arc;

use arrow::{array::ArrayRef, datatypes::DataType};
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, Volatility, WindowFunctionDefinition},
};

use super::{Accepts, Batch, Call, Generator, Kernel};
use crate::{
    error::{Result, SparkError},
    typed::TypedExpr,
};

/// Parameters of a function.
#[derive(Debug, Clone)]
pub struct Parameters {
    listed: Vec<Accepts>,
    required: usize,
    /// What every further argument must be; `None`: no further arguments.
    rest: Option<Accepts>,
}

impl Parameters {
    /// No parameters.
    pub fn none() -> Self {
        Self::fixed([])
    }

    /// Exactly these.
    pub fn fixed<const N: usize>(listed: [Accepts; N]) -> Self {
        Self {
            listed: listed.into(),
            required: N,
            rest: None,
        }
    }

    /// These, and then up to all of `optional`.
    pub fn optional<const N: usize>(mut self, optional: [Accepts; N]) -> Self {
        self.listed.extend(optional);
        self
    }

    /// These, and then any number of `rest`.
    pub fn then_any(mut self, rest: Accepts) -> Self {
        self.rest = Some(rest);
        self
    }

    /// At least `required` arguments, all of them `rest`.
    pub fn variadic(required: usize, rest: Accepts) -> Self {
        Self {
            listed: vec![],
            required,
            rest: Some(rest),
        }
    }

    /// What argument `index` must be.
    pub fn accepts(&self, index: usize) -> Option<&Accepts> {
        self.listed.get(index).or(self.rest.as_ref())
    }

    /// Whether a call may have `count` arguments.
    pub fn allows(&self, count: usize) -> bool {
        count >= self.required && (self.rest.is_some() || count <= self.listed.len())
    }

    /// The numbers of arguments allowed, as `WRONG_NUM_ARGS` words them.
    pub fn expected(&self) -> String {
        match &self.rest {
            Some(_) => format!("> {}", self.required.saturating_sub(1)),
            None if self.listed.len() == self.required => self.required.to_string(),
            None => {
                let counts: Vec<String> = (self.required..=self.listed.len())
                    .map(|n| n.to_string())
                    .collect();
                format!("[{}]", counts.join(", "))
            }
        }
    }
}

impl<const N: usize> From<[Accepts; N]> for Parameters {
    fn from(listed: [Accepts; N]) -> Self {
        Self::fixed(listed)
    }
}

/// Type and nullability of a scalar function's result.
#[derive(Debug, Clone)]
pub enum Returns {
    /// This type; NULL only if an argument may be.
    Type(DataType),
    /// This type; may always be NULL.
    Nullable(DataType),
    /// This type; never NULL.
    NotNull(DataType),
    /// The type of an argument; NULL only if an argument may be.
    Argument(usize),
    /// Computed from the call, which may also be refused.
    With(fn(&Call<'_>) -> Result<(DataType, bool)>),
}

impl Returns {
    pub(super) fn resolve(&self, call: &Call<'_>) -> Result<(DataType, bool)> {
        let any_null = call.args.iter().any(|a| a.nullable);
        Ok(match self {
            Self::Type(t) => (t.clone(), any_null),
            Self::Nullable(t) => (t.clone(), true),
            Self::NotNull(t) => (t.clone(), false),
            Self::Argument(i) => (call.arg(*i)?.data_type.clone(), any_null),
            Self::With(compute) => compute(call)?,
        })
    }
}

/// A window function that waits for its OVER clause.
#[derive(Debug, Clone)]
pub struct WindowCall {
    /// What is computed.
    pub function: WindowFunctionDefinition,
    /// Arguments, of the function's types.
    pub args: Vec<Expr>,
    /// Result type.
    pub data_type: DataType,
    /// Whether the result may be NULL.
    pub nullable: bool,
    /// Text of the call, without OVER.
    pub name: String,
    /// Whether NULLs are skipped.
    pub ignore_nulls: bool,
    /// Frame that the function always has, as Spark prints it; `None`: the OVER clause decides.
    pub fixed_frame: Option<String>,
    /// Cast of DataFusion's result to `data_type`, where they differ.
    pub cast_from: Option<DataType>,
    /// Value for rows without one.
    pub default: Option<ScalarValue>,
}

/// What a call turned out to be.
#[derive(Debug, Clone)]
pub enum Resolution {
    /// A value for every row, or (if an aggregate is inside) for every group.
    Value(TypedExpr),
    /// Rows for every row.
    Generator(Generator),
    /// Needs OVER.
    Window(WindowCall),
}

/// Builds the expression of a call.
pub(super) type Build = Arc<dyn Fn(&Call<'_>) -> Result<Resolution> + Send + Sync>;

/// A function under all its names.
#[derive(Clone)]
pub struct Function {
    pub(super) name: &'static str,
    pub(super) aliases: Vec<&'static str>,
    pub(super) shown_as: Option<&'static str>,
    pub(super) parameters: Parameters,
    pub(super) build: Build,
    pub(super) aggregate: bool,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .field("parameters", &self.parameters)
            .finish_non_exhaustive()
    }
}

impl Function {
    /// A function of rows, computed by a kernel.
    pub fn scalar(
        name: &'static str,
        parameters: impl Into<Parameters>,
        returns: Returns,
        kernel: fn(&Batch<'_>) -> Result<ArrayRef>,
    ) -> Self {
        Self::scalar_with(name, parameters, returns, kernel, Volatility::Immutable)
    }

    /// As [`Function::scalar`], but every evaluation may differ.
    pub fn volatile(
        name: &'static str,
        parameters: impl Into<Parameters>,
        returns: Returns,
        kernel: fn(&Batch<'_>) -> Result<ArrayRef>,
    ) -> Self {
        Self::scalar_with(name, parameters, returns, kernel, Volatility::Volatile)
    }

    fn scalar_with(
        name: &'static str,
        parameters: impl Into<Parameters>,
        returns: Returns,
        kernel: fn(&Batch<'_>) -> Result<ArrayRef>,
        volatility: Volatility,
    ) -> Self {
        Self::rewrite(name, parameters, move |call| {
            let (data_type, nullable) = returns.resolve(call)?;
            Ok(call.kernel_with(name, Kernel::Plain(kernel), data_type, nullable, volatility))
        })
    }

    /// A function that becomes some other expression.
    pub fn rewrite(
        name: &'static str,
        parameters: impl Into<Parameters>,
        build: impl Fn(&Call<'_>) -> Result<TypedExpr> + Send + Sync + 'static,
    ) -> Self {
        Self::special(name, parameters, move |call| {
            build(call).map(Resolution::Value)
        })
    }

    /// An aggregate function: DISTINCT, FILTER and IGNORE NULLS are allowed.
    pub fn aggregate(
        name: &'static str,
        parameters: impl Into<Parameters>,
        build: impl Fn(&Call<'_>) -> Result<TypedExpr> + Send + Sync + 'static,
    ) -> Self {
        let mut function = Self::rewrite(name, parameters, build);
        function.aggregate = true;
        function
    }

    /// A function that becomes anything.
    pub fn special(
        name: &'static str,
        parameters: impl Into<Parameters>,
        build: impl Fn(&Call<'_>) -> Result<Resolution> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            aliases: vec![],
            shown_as: None,
            parameters: parameters.into(),
            build: Arc::new(build),
            aggregate: false,
        }
    }

    /// Another name for it. Calls by that name also print it.
    pub fn alias(mut self, alias: &'static str) -> Self {
        self.aliases.push(alias);
        self
    }

    /// The name it prints, whatever it was called by.
    pub fn shown_as(mut self, name: &'static str) -> Self {
        self.shown_as = Some(name);
        self
    }

    /// Whether it aggregates.
    pub fn is_aggregate(&self) -> bool {
        self.aggregate
    }

    /// Its main name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Checks and casts the arguments, then builds the expression.
    pub(super) fn call(&self, mut call: Call<'_>) -> Result<Resolution> {
        let count = call.argument_count();
        if !self.parameters.allows(count) {
            return Err(wrong_num_args(
                call.called,
                &self.parameters.expected(),
                count,
            ));
        }
        if !self.aggregate && (call.distinct || call.filter.is_some()) {
            return Err(call.not_an_aggregate());
        }
        call.shown = self
            .shown_as
            .map(str::to_string)
            .unwrap_or_else(|| call.called.to_string());
        call.check_arguments(&self.parameters)?;
        (self.build)(&call)
    }
}

/// `WRONG_NUM_ARGS.WITHOUT_SUGGESTION`.
pub fn wrong_num_args(function: &str, expected: &str, actual: usize) -> SparkError {
    SparkError::analysis(
        "WRONG_NUM_ARGS.WITHOUT_SUGGESTION",
        &[
            ("functionName", &crate::error::quoted_id(function)),
            ("expectedNum", expected),
            ("actualNum", &actual.to_string()),
            ("docroot", "https://spark.apache.org/docs/latest"),
        ],
    )
}
