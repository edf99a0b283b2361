//! A call of a function while it is being resolved.
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::ScalarValue,
    logical_expr::{
        AggregateUDF, Expr, ScalarUDF, Volatility, WindowFunctionDefinition, WindowUDF,
        expr::{AggregateFunction, NullTreatment, ScalarFunction, Sort},
    },
};

use super::{
    Accepts, EvalContext, Kernel, Parameters, Resolution, WindowCall,
    kernel::{KernelUdf, PreparedKernel},
};
use crate::{
    cast::{CastMode, cast},
    conf::RuntimeConf,
    error::{QueryContext, Result, SparkError, quoted, quoted_id},
    fold::fold,
    typed::TypedExpr,
    types::same_type,
};

/// What functions may know of the session when a call is resolved.
#[derive(Debug, Clone)]
pub struct FunctionContext {
    /// For kernels.
    pub eval: Arc<EvalContext>,
    /// The session's configuration.
    pub conf: RuntimeConf,
    /// Microseconds since the epoch at which the query was analyzed.
    pub now_us: i64,
    /// `user()`.
    pub user: String,
    /// The current database.
    pub database: String,
}

impl FunctionContext {
    /// A context for kernels that depend on nothing of the session.
    pub(crate) fn default_for_extraction() -> Self {
        Self {
            eval: Arc::default(),
            conf: RuntimeConf::default(),
            now_us: 0,
            user: String::new(),
            database: String::new(),
        }
    }
}

/// A lambda whose parameter types are known.
#[derive(Debug, Clone)]
pub struct BoundLambda {
    /// Names of its parameters in the body.
    pub parameters: Vec<String>,
    /// Types of its parameters.
    pub types: Vec<(DataType, bool)>,
    /// Its body.
    pub body: TypedExpr,
}

/// A lambda whose parameter types are not known yet.
pub trait LambdaBody {
    /// Number of parameters written.
    fn arity(&self) -> usize;
    /// Resolves the body for parameters of these types and nullabilities.
    fn bind(&self, types: &[(DataType, bool)]) -> Result<BoundLambda>;
}

/// One expression of `ORDER BY` within a call.
#[derive(Debug, Clone)]
pub struct Ordering {
    /// As DataFusion has it.
    pub sort: Sort,
    /// What is sorted by.
    pub value: TypedExpr,
}

/// A call, its arguments resolved, checked and cast.
pub struct Call<'a> {
    /// Name as called, lower case.
    pub called: &'a str,
    /// Name that is printed.
    pub shown: String,
    /// Arguments that are values.
    pub args: Vec<TypedExpr>,
    /// Arguments that are lambdas; they come after the values.
    pub lambdas: Vec<Box<dyn LambdaBody + 'a>>,
    /// `DISTINCT`.
    pub distinct: bool,
    /// `FILTER (WHERE …)`.
    pub filter: Option<TypedExpr>,
    /// `IGNORE NULLS`.
    pub ignore_nulls: bool,
    /// `WITHIN GROUP (ORDER BY …)`.
    pub within_group: Vec<Ordering>,
    /// Whether OVER follows: aggregates of the arguments are then computed before.
    pub windowed: bool,
    /// Where in the program.
    pub place: Option<QueryContext>,
    /// The session.
    pub context: &'a FunctionContext,
}

impl<'a> Call<'a> {
    /// A call of `called` with `args`.
    pub fn new(called: &'a str, args: Vec<TypedExpr>, context: &'a FunctionContext) -> Self {
        Self {
            called,
            shown: called.to_string(),
            args,
            lambdas: vec![],
            distinct: false,
            filter: None,
            ignore_nulls: false,
            within_group: vec![],
            windowed: false,
            place: None,
            context,
        }
    }

    /// Number of arguments, lambdas included.
    pub fn argument_count(&self) -> usize {
        self.args.len() + self.lambdas.len()
    }

    /// Argument `index`.
    pub fn arg(&self, index: usize) -> Result<&TypedExpr> {
        self.args
            .get(index)
            .ok_or_else(|| SparkError::internal(format!("{} has no argument {index}", self.called)))
    }

    /// The call as Spark prints it: `upper(a)`.
    pub fn name(&self) -> String {
        let names: Vec<&str> = self.args.iter().map(|a| a.name.as_str()).collect();
        let distinct = if self.distinct { "DISTINCT " } else { "" };
        let filter = match &self.filter {
            Some(f) => format!(" FILTER (WHERE {})", f.name),
            None => String::new(),
        };
        format!("{}({distinct}{}){filter}", self.shown, names.join(", "))
    }

    /// Whether any argument may be NULL.
    pub fn any_nullable(&self) -> bool {
        self.args.iter().any(|a| a.nullable)
    }

    /// `expr`, named as the call.
    pub fn result(&self, expr: Expr, data_type: DataType, nullable: bool) -> TypedExpr {
        let mut typed = TypedExpr::new(expr, data_type, nullable, self.name());
        typed.context.clone_from(&self.place);
        typed
    }

    /// A prepared kernel over the arguments.
    pub fn kernel(
        &self,
        kernel: Arc<dyn PreparedKernel>,
        data_type: DataType,
        nullable: bool,
    ) -> TypedExpr {
        let kernel = Kernel::Prepared(kernel);
        self.kernel_with(
            self.called,
            kernel,
            data_type,
            nullable,
            Volatility::Immutable,
        )
    }

    /// A kernel over the arguments; `name` identifies it.
    pub fn kernel_with(
        &self,
        name: &str,
        kernel: Kernel,
        data_type: DataType,
        nullable: bool,
        volatility: Volatility,
    ) -> TypedExpr {
        let udf = KernelUdf::new(
            name,
            kernel,
            (data_type.clone(), nullable),
            Arc::clone(&self.context.eval),
            self.place.clone(),
            volatility,
        )
        .taking(self.args.iter().map(|a| a.data_type.clone()).collect());
        let args = self.args.iter().map(|a| a.expr.clone()).collect();
        let expr = Expr::ScalarFunction(ScalarFunction::new_udf(
            Arc::new(ScalarUDF::from(udf)),
            args,
        ));
        self.result(expr, data_type, nullable)
    }

    /// A DataFusion function over the arguments whose result DataFusion gives the type `data_type`.
    pub fn scalar_udf(
        &self,
        udf: Arc<ScalarUDF>,
        data_type: DataType,
        nullable: bool,
    ) -> TypedExpr {
        let args = self.args.iter().map(|a| a.expr.clone()).collect();
        let expr = Expr::ScalarFunction(ScalarFunction::new_udf(udf, args));
        self.result(expr, data_type, nullable)
    }

    /// An aggregate over the arguments, with the call's DISTINCT, FILTER and IGNORE NULLS.
    pub fn aggregate(
        &self,
        udaf: Arc<AggregateUDF>,
        data_type: DataType,
        nullable: bool,
    ) -> Result<TypedExpr> {
        let args = self.args.iter().map(|a| a.expr.clone()).collect();
        self.aggregate_of(udaf, args, data_type, nullable)
    }

    /// An aggregate over other arguments than the call's.
    pub fn aggregate_of(
        &self,
        udaf: Arc<AggregateUDF>,
        args: Vec<Expr>,
        data_type: DataType,
        nullable: bool,
    ) -> Result<TypedExpr> {
        let inner = self.args.iter().chain(&self.filter);
        for arg in inner {
            if arg.has_aggregate() && !self.windowed {
                return Err(SparkError::analysis("NESTED_AGGREGATE_FUNCTION", &[]));
            }
        }
        if !self.windowed && !self.args.iter().all(TypedExpr::is_deterministic) {
            return Err(SparkError::analysis(
                "AGGREGATE_FUNCTION_WITH_NONDETERMINISTIC_EXPRESSION",
                &[("sqlExpr", &quoted(self.name()))],
            ));
        }
        if let Some(filter) = self.filter.as_ref().filter(|f| !f.is_deterministic()) {
            return Err(SparkError::analysis(
                "INVALID_AGGREGATE_FILTER.NON_DETERMINISTIC",
                &[("filterExpr", &quoted(&filter.name))],
            ));
        }
        let filter = self.filter.as_ref().map(|f| Box::new(f.expr.clone()));
        let nulls = self.ignore_nulls.then_some(NullTreatment::IgnoreNulls);
        let order = self.within_group.iter().map(|o| o.sort.clone()).collect();
        let expr = AggregateFunction::new_udf(udaf, args, self.distinct, filter, order, nulls);
        Ok(self.result(Expr::AggregateFunction(expr), data_type, nullable))
    }

    /// A window function over the arguments.
    pub fn window(
        &self,
        udwf: Arc<WindowUDF>,
        data_type: DataType,
        nullable: bool,
    ) -> Result<Resolution> {
        Ok(Resolution::Window(WindowCall {
            function: WindowFunctionDefinition::WindowUDF(udwf),
            args: self.args.iter().map(|a| a.expr.clone()).collect(),
            data_type,
            nullable,
            name: self.name(),
            ignore_nulls: self.ignore_nulls,
            fixed_frame: None,
            cast_from: None,
            default: None,
        }))
    }

    /// Argument `index` cast to `data_type` by Spark's rules.
    pub fn cast(&self, index: usize, data_type: &DataType) -> Result<TypedExpr> {
        cast(
            self.arg(index)?.clone(),
            data_type,
            CastMode::implicit(&self.context.eval),
        )
    }

    /// The value of argument `index`, which must not depend on the row; `name` is the parameter's.
    pub fn constant(&self, index: usize, name: &str) -> Result<ScalarValue> {
        let arg = self.arg(index)?;
        if !arg.is_foldable() {
            return Err(self.mismatch(
                "NON_FOLDABLE_INPUT",
                &[
                    ("inputName", &quoted_id(name)),
                    ("inputType", &arg.type_sql()),
                    ("inputExpr", &arg.sql()),
                ],
            ));
        }
        fold(&arg.expr)
    }

    /// Resolves the body of lambda `index` for parameters of these types.
    pub fn bind(&self, index: usize, types: &[(DataType, bool)]) -> Result<BoundLambda> {
        let lambda = self.lambdas.get(index).ok_or_else(|| {
            SparkError::internal(format!("{} has no lambda {index}", self.called))
        })?;
        lambda.bind(types)
    }

    /// `DATATYPE_MISMATCH.<kind>` for this call.
    pub fn mismatch(&self, kind: &str, parameters: &[(&str, &str)]) -> SparkError {
        let sql = crate::error::quoted(self.name());
        let mut all = vec![("sqlExpr", sql.as_str())];
        all.extend_from_slice(parameters);
        SparkError::analysis(&format!("DATATYPE_MISMATCH.{kind}"), &all)
    }

    /// `DATATYPE_MISMATCH.UNEXPECTED_INPUT_TYPE` for argument `index`.
    pub fn unexpected_type(&self, index: usize, required: &str) -> SparkError {
        let Some(arg) = self.args.get(index) else {
            return SparkError::internal(format!("{} has no argument {index}", self.called));
        };
        self.mismatch(
            "UNEXPECTED_INPUT_TYPE",
            &[
                ("paramIndex", ordinal(index)),
                ("requiredType", required),
                ("inputSql", &arg.sql()),
                ("inputType", &arg.type_sql()),
            ],
        )
    }

    pub(super) fn not_an_aggregate(&self) -> SparkError {
        let clause = if self.distinct {
            "DISTINCT"
        } else {
            "FILTER clause"
        };
        SparkError::analysis(
            "INVALID_SQL_SYNTAX.FUNCTION_WITH_UNSUPPORTED_SYNTAX",
            &[
                ("prettyName", &quoted_id(self.called)),
                ("syntax", &crate::error::quoted(clause)),
            ],
        )
    }

    pub(super) fn check_arguments(&mut self, parameters: &Parameters) -> Result<()> {
        for index in 0..self.args.len() {
            let Some(accepts) = parameters.accepts(index) else {
                continue;
            };
            let cast_arg = self.implicit_cast(index, accepts)?;
            if let Some(slot) = self.args.get_mut(index) {
                *slot = cast_arg;
            }
        }
        Ok(())
    }

    fn implicit_cast(&self, index: usize, accepts: &Accepts) -> Result<TypedExpr> {
        let arg = self.arg(index)?;
        let target = accepts
            .implicit_cast(&arg.data_type, self.context.eval.ansi)
            .ok_or_else(|| self.unexpected_type(index, &accepts.sql()))?;
        if same_type(&target, &arg.data_type) {
            return Ok(arg.clone());
        }
        let name = arg.name.clone();
        let mut mode = CastMode::implicit(&self.context.eval);
        mode.place.clone_from(&self.place);
        Ok(cast(arg.clone(), &target, mode)?.named(name))
    }
}

/// `first`, `second`, …
pub(crate) fn ordinal(index: usize) -> &'static str {
    const NAMES: [&str; 10] = [
        "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth",
        "tenth",
    ];
    NAMES.get(index).copied().unwrap_or("last")
}
