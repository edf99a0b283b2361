//! Calls: what stands before the parentheses, what stands within them, and what SQL writes behind them.
//!
//! A name is a time window (computed below the node), a built-in function, or a function the session registered, in this
//! order. Arguments may be stars (`count(*)`, `struct(t.*)`), lambdas, and generators, which only the caller of the whole
//! call may place: their value here is a stand-in, and a call over one is refused by name. FILTER, IGNORE NULLS and
//! WITHIN GROUP arrive as calls around the call ([`sql::internal_function`]); they are taken off and handed to the function.
use arrow::datatypes::DataType;
use datafusion::{common::tree_node::TreeNode, logical_expr::LogicalPlan};
use spark_connect_proto::{
    Expression,
    expression::{ExprType, UnresolvedFunction},
};

use super::{Expressions, lambda, query_context};
use crate::{
    error::{QueryContext, Result, SparkError, quoted},
    functions::{Call, Ordering, Registry, Resolution, unresolved_routine},
    scope::{parse_attribute_name, resolve_name},
    sql,
    typed::TypedExpr,
};

/// Functions whose own errors Spark throws without their place, of whatever condition they are.
const PLACELESS: [&str; 3] = ["abs", "make_interval", "split_part"];

impl Expressions<'_> {
    pub(super) fn function_value(
        &self,
        function: &UnresolvedFunction,
        place: Option<&QueryContext>,
    ) -> Result<TypedExpr> {
        match self.function(function, place)? {
            Resolution::Value(value) => Ok(value),
            Resolution::Window(call) => Err(SparkError::analysis(
                "WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE",
                &[("funcName", &quoted(&call.name))],
            )),
            Resolution::Generator(generator) => Err(generator.nested_in(&generator.name)),
        }
    }

    /// A call; generators and window functions are told apart by the caller.
    pub(crate) fn function(
        &self,
        function: &UnresolvedFunction,
        place: Option<&QueryContext>,
    ) -> Result<Resolution> {
        let lower = function.function_name.to_ascii_lowercase();
        if function.is_internal == Some(true)
            && let Some(resolved) = self.internal_function(&lower, function, place)?
        {
            return Ok(resolved);
        }
        if let Some(window) = self.time_window(&lower, &function.arguments)? {
            return Ok(Resolution::Value(window));
        }
        if let Some(value) = self.of_file(&lower, &function.arguments)? {
            return Ok(Resolution::Value(value));
        }
        let registry = Registry::builtin();
        let definition = registry.find(&lower);
        let client_only = lower == "product" && function.is_user_defined_function;
        if definition.is_none() || client_only {
            return self.registered(&lower, function);
        }
        let is_aggregate = definition.is_some_and(crate::functions::Function::is_aggregate);
        let was_in_aggregate = self
            .in_aggregate
            .replace(self.in_aggregate.get() || is_aggregate);
        let windowed = self.windowed.take();
        let arguments = self.arguments(&lower, &function.arguments);
        self.in_aggregate.set(was_in_aggregate);
        let (args, lambdas) = arguments?;
        let nested = self.nested.take();
        let mut call = Call::new(&lower, args, &self.planner.context);
        call.lambdas = lambdas;
        call.distinct = function.is_distinct;
        call.windowed = windowed;
        call.place = place
            .filter(|_| !PLACELESS.contains(&lower.as_str()))
            .cloned();
        let resolved = registry.call(call);
        match (nested, resolved) {
            (None, resolved) => resolved,
            (Some(generator), Ok(Resolution::Value(value))) => {
                Err(generator.nested_in(&value.name))
            }
            (Some(generator), _) => Err(generator.nested_in(&generator.name)),
        }
    }

    /// What is told of the file that a row comes from: fields of the hidden column that files have. `None` where rows come
    /// from no file, of which Spark has something to say as well.
    fn of_file(&self, function: &str, arguments: &[Expression]) -> Result<Option<TypedExpr>> {
        let field = match function {
            "input_file_name" => "file_path",
            "input_file_block_start" => "file_block_start",
            "input_file_block_length" => "file_block_length",
            _ => return Ok(None),
        };
        if !arguments.is_empty() {
            return Ok(None);
        }
        let parts = ["_metadata".to_string(), field.to_string()];
        let hidden = self.inputs.iter().flat_map(|input| input.hidden.iter());
        if let Some(found) = resolve_name(&parts, hidden, self.names())? {
            let name = format!("{function}()");
            return Ok(Some(TypedExpr::new(
                found.expr,
                found.data_type,
                false,
                &name,
            )));
        }
        for input in &self.inputs {
            if reads_files(&input.plan)? {
                return Err(SparkError::unsupported(format!(
                    "{function}() above a projection, join or aggregation; select _metadata.{field} right above the files"
                )));
            }
        }
        Ok(None)
    }

    /// A function that the session registered.
    fn registered(&self, name: &str, function: &UnresolvedFunction) -> Result<Resolution> {
        let Some(udf) = self.planner.catalog.registered_function(name) else {
            return Err(unresolved_routine(name, &self.planner.context.database));
        };
        let (args, _) = self.arguments(name, &function.arguments)?;
        self.planner
            .catalog
            .user_function(&udf, args)
            .map(Resolution::Value)
    }

    /// Constructs of SQL that are not functions: FILTER, IGNORE NULLS, WITHIN GROUP.
    fn internal_function(
        &self,
        name: &str,
        function: &UnresolvedFunction,
        place: Option<&QueryContext>,
    ) -> Result<Option<Resolution>> {
        use sql::internal_function::{AGGREGATE_FILTER, IGNORE_NULLS, WITHIN_GROUP};
        if ![AGGREGATE_FILTER, IGNORE_NULLS, WITHIN_GROUP].contains(&name) {
            return Ok(None);
        }
        let mut modifiers = Modifiers::default();
        let inner = self.modified_call(function, &mut modifiers)?;
        let lower = inner.function_name.to_ascii_lowercase();
        let was = self.in_aggregate.replace(true);
        let resolved = self
            .arguments(&lower, &inner.arguments)
            .and_then(|(args, lambdas)| {
                let filter = modifiers.filter.map(|f| self.condition(f)).transpose()?;
                let within = modifiers
                    .within
                    .iter()
                    .map(|o| {
                        self.typed_sort(o)
                            .map(|(sort, value)| Ordering { sort, value })
                    })
                    .collect::<Result<_>>()?;
                let mut call = Call::new(&lower, args, &self.planner.context);
                call.lambdas = lambdas;
                call.distinct = inner.is_distinct;
                call.filter = filter;
                call.ignore_nulls = modifiers.ignore_nulls;
                call.within_group = within;
                call.place = place.cloned();
                Registry::builtin().call(call)
            });
        self.in_aggregate.set(was);
        resolved.map(Some)
    }

    fn modified_call<'e>(
        &self,
        function: &'e UnresolvedFunction,
        modifiers: &mut Modifiers<'e>,
    ) -> Result<&'e UnresolvedFunction> {
        use sql::internal_function::{AGGREGATE_FILTER, IGNORE_NULLS, WITHIN_GROUP};
        if function.is_internal != Some(true) {
            return Ok(function);
        }
        let Some((inner, rest)) = function.arguments.split_first() else {
            return Err(SparkError::internal(format!(
                "{} without a call",
                function.function_name
            )));
        };
        match function.function_name.as_str() {
            AGGREGATE_FILTER => modifiers.filter = rest.first(),
            IGNORE_NULLS => modifiers.ignore_nulls = true,
            WITHIN_GROUP => modifiers.within = rest,
            _ => return Ok(function),
        }
        match &inner.expr_type {
            Some(ExprType::UnresolvedFunction(inner)) => self.modified_call(inner, modifiers),
            _ => Err(SparkError::internal(format!(
                "{} of what is no call",
                function.function_name
            ))),
        }
    }

    #[allow(clippy::type_complexity, reason = "a pair that lives for one line")]
    pub(super) fn arguments<'s>(
        &'s self,
        function: &str,
        arguments: &'s [Expression],
    ) -> Result<(
        Vec<TypedExpr>,
        Vec<Box<dyn crate::functions::LambdaBody + 's>>,
    )> {
        let mut values = Vec::with_capacity(arguments.len());
        let mut lambdas: Vec<Box<dyn crate::functions::LambdaBody + 's>> = vec![];
        for argument in arguments {
            match &argument.expr_type {
                Some(ExprType::LambdaFunction(lambda)) => {
                    lambdas.push(Box::new(lambda::Unbound::new(self, lambda)));
                }
                Some(ExprType::UnresolvedStar(star)) => {
                    if let ("count", Some(target)) = (function, &star.unparsed_target) {
                        let table = parse_attribute_name(target.trim_end_matches(".*"))?;
                        return Err(SparkError::analysis(
                            "INVALID_USAGE_OF_STAR_WITH_TABLE_IDENTIFIER_IN_COUNT",
                            &[("tableName", &crate::error::quoted_name(&table))],
                        ));
                    }
                    if function == "count" && star.unparsed_target.is_none() && arguments.len() == 1
                    {
                        values.push(TypedExpr::int(1));
                    } else {
                        values.extend(self.star(star)?.into_iter().map(named_argument));
                    }
                }
                Some(ExprType::UnresolvedRegex(regex)) => {
                    values.extend(self.regex(regex)?.into_iter().map(named_argument));
                }
                Some(ExprType::ExpressionString(text)) => {
                    let parsed = self.planner.parse_expression(&text.expression)?;
                    if let Some(ExprType::UnresolvedStar(star)) = &parsed.expr_type {
                        values.extend(self.star(star)?.into_iter().map(named_argument));
                    } else {
                        values.push(self.argument(&parsed)?);
                    }
                }
                _ => values.push(self.argument(argument)?),
            }
        }
        Ok((values, lambdas))
    }

    fn argument(&self, argument: &Expression) -> Result<TypedExpr> {
        if let Some(ExprType::UnresolvedFunction(inner)) = &argument.expr_type {
            let place = query_context(argument.common.as_ref());
            return match self.function(inner, place.as_ref())? {
                Resolution::Value(value) => Ok(value),
                Resolution::Generator(generator) => {
                    // The error names the whole call, which is only known when it is resolved.
                    let first = generator.columns.first();
                    let data_type = first.map_or(DataType::Null, |(_, t, _)| t.clone());
                    let null = crate::literal::null_of(&data_type)?;
                    let stand_in = TypedExpr::literal(null, &generator.name);
                    self.nested.replace(Some(generator));
                    Ok(stand_in)
                }
                Resolution::Window(call) => Err(SparkError::analysis(
                    "WINDOW_FUNCTION_WITHOUT_OVER_CLAUSE",
                    &[("funcName", &quoted(&call.name))],
                )),
            };
        }
        self.value(argument)
    }
}

/// A column of a star among arguments keeps its name where arguments have names, as fields of `struct(…)`.
fn named_argument((name, mut value): (String, TypedExpr)) -> TypedExpr {
    value.output_name = Some(name);
    value
}

#[derive(Default)]
struct Modifiers<'e> {
    filter: Option<&'e Expression>,
    within: &'e [Expression],
    ignore_nulls: bool,
}

/// Whether rows of a plan come from files.
fn reads_files(plan: &LogicalPlan) -> Result<bool> {
    const MARK: &str = "__file_source_metadata_col";
    let found = plan.exists(|plan| {
        Ok(match plan {
            LogicalPlan::TableScan(scan) => {
                let schema = scan.source.schema();
                let mut fields = schema.fields().iter();
                fields.any(|field| field.metadata().contains_key(MARK))
            }
            _ => false,
        })
    })?;
    Ok(found)
}
