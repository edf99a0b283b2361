//! Expressions: from unresolved protobuf to [`TypedExpr`].
//!
//! An [`Expressions`] resolves the expressions of one plan node against the node's inputs. Names are tried in Spark's
//! order: lambda variables, columns of the inputs, columns below the input (for nodes that may reach through a projection
//! or aggregation: filters, sorts), aliases to the left in the same select list, columns of an outer query, and functions
//! that need no parentheses. What a node must compute below itself (time windows) is collected on the way and applied by
//! [`crate::relation`].
//!
//! `extract.rs` reaches into structs, maps and arrays; `named.rs` makes select items of expressions (aliases, stars,
//! generators); `over.rs` resolves window functions; `subquery.rs` nested queries; `time_window.rs` `window(…)`.
pub(crate) mod extract;
mod lambda;
mod named;
mod over;
mod subquery;
mod time_window;

use std::cell::{Cell, RefCell};

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, expr::Sort};
use spark_connect_proto::{
    Expression, ExpressionCommon,
    expression::{Cast, ExprType, UnresolvedAttribute, UnresolvedFunction, cast},
    origin::Function as OriginFunction,
};

pub(crate) use named::SelectItem;
pub(crate) use subquery::OuterScope;
pub(crate) use time_window::{TimeWindow, TimeWindowKind};

use crate::{
    cast::{CastMode, cast as cast_value},
    error::{QueryContext, Result, SparkError, quoted},
    functions::{Call, Generator, Registry, Resolution, unresolved_routine},
    literal::typed_literal,
    planner::Planner,
    scope::{
        Attribute, NameMatch, Resolved, parse_attribute_name, resolve_in_plan, resolve_name,
        unresolved_column,
    },
    sql,
    typed::TypedExpr,
    types::data_type_from_proto,
};

/// Functions that may be called without parentheses.
const LITERAL_FUNCTIONS: [&str; 7] = [
    "current_date",
    "current_timestamp",
    "current_time",
    "localtimestamp",
    "current_user",
    "user",
    "session_user",
];

/// Resolves the expressions of one node.
pub(crate) struct Expressions<'a> {
    planner: &'a Planner<'a>,
    inputs: Vec<&'a Resolved>,
    below: Option<&'a Resolved>,
    aliases: RefCell<Vec<(String, TypedExpr)>>,
    lambdas: RefCell<Vec<lambda::Frame>>,
    windows: RefCell<Vec<TimeWindow>>,
    nested: RefCell<Option<Generator>>,
    in_aggregate: Cell<bool>,
    /// Whether the call being resolved stands before OVER.
    windowed: Cell<bool>,
    /// Whether DataFusion evaluates subqueries here: only filters and joins do.
    is_predicate: bool,
}

impl<'a> Expressions<'a> {
    /// Expressions over these inputs.
    pub(crate) fn new(planner: &'a Planner<'a>, inputs: Vec<&'a Resolved>) -> Self {
        Self {
            planner,
            inputs,
            below: None,
            aliases: RefCell::default(),
            lambdas: RefCell::default(),
            windows: RefCell::default(),
            nested: RefCell::default(),
            in_aggregate: Cell::new(false),
            windowed: Cell::new(false),
            is_predicate: false,
        }
    }

    /// Names that the inputs do not have are looked for here; inside aggregate functions, here first.
    pub(crate) fn with_below(mut self, below: Option<&'a Resolved>) -> Self {
        self.below = below;
        self
    }

    /// The expressions are conditions of a filter.
    pub(crate) fn as_predicate(mut self) -> Self {
        self.is_predicate = true;
        self
    }

    /// The time windows met so far, to be computed below the node.
    pub(crate) fn take_windows(&self) -> Vec<TimeWindow> {
        self.windows.take()
    }

    pub(crate) fn planner(&self) -> &'a Planner<'a> {
        self.planner
    }

    fn names(&self) -> NameMatch {
        self.planner.names
    }

    /// An expression that is a value (not a star, alias list or generator).
    pub(crate) fn value(&self, expression: &Expression) -> Result<TypedExpr> {
        let place = query_context(expression.common.as_ref());
        let resolved = self.value_inner(expression, place.as_ref());
        match place {
            // Errors of resolution carry no context in Spark's messages, only run-time errors do.
            Some(place) => resolved.map(|mut typed| {
                typed.context.get_or_insert(place);
                typed
            }),
            None => resolved,
        }
    }

    fn value_inner(
        &self,
        expression: &Expression,
        place: Option<&QueryContext>,
    ) -> Result<TypedExpr> {
        let Some(kind) = &expression.expr_type else {
            return Err(not_set("spark.connect.Expression", "expr_type"));
        };
        match kind {
            ExprType::Literal(literal) => typed_literal(literal, &self.planner.context.eval),
            ExprType::UnresolvedAttribute(attribute) => self.attribute(attribute),
            ExprType::ExpressionString(text) => {
                let parsed = self.planner.parse_expression(&text.expression)?;
                self.value(&parsed)
            }
            ExprType::Alias(alias) => {
                let inner = alias
                    .expr
                    .as_deref()
                    .ok_or_else(|| not_set("Alias", "expr"))?;
                let value = self.value(inner)?;
                let name = alias.name.first().cloned().unwrap_or_default();
                let shown = format!("{} AS {name}", value.name);
                let mut value = value.named(shown);
                value.output_name = Some(name);
                Ok(value)
            }
            ExprType::Cast(cast) => self.cast(cast, place),
            ExprType::UnresolvedFunction(function) => self.function_value(function, place),
            ExprType::CallFunction(call) => {
                let parts = sql::parse_multipart_identifier(&call.function_name)?;
                let name = parts.last().cloned().unwrap_or_default();
                let function = UnresolvedFunction {
                    function_name: name,
                    arguments: call.arguments.clone(),
                    ..Default::default()
                };
                self.function_value(&function, place)
            }
            ExprType::UnresolvedExtractValue(extract) => {
                let child = extract
                    .child
                    .as_deref()
                    .ok_or_else(|| not_set("ExtractValue", "child"))?;
                let key = extract
                    .extraction
                    .as_deref()
                    .ok_or_else(|| not_set("ExtractValue", "extraction"))?;
                extract::by_value(self.value(child)?, self.value(key)?, self, place)
            }
            ExprType::UpdateFields(update) => extract::update_fields(self, update),
            ExprType::Window(window) => self.over(window, place),
            ExprType::UnresolvedNamedLambdaVariable(variable) => {
                self.lambda_variable(&variable.name_parts)
            }
            ExprType::SubqueryExpression(subquery) => self.subquery(subquery),
            ExprType::SortOrder(order) => {
                let child = order
                    .child
                    .as_deref()
                    .ok_or_else(|| not_set("SortOrder", "child"))?;
                self.value(child)
            }
            ExprType::CommonInlineUserDefinedFunction(udf) => {
                let args = udf
                    .arguments
                    .iter()
                    .map(|a| self.value(a))
                    .collect::<Result<Vec<_>>>()?;
                self.planner.catalog.user_function(udf, args)
            }
            ExprType::NamedArgumentExpression(named) => {
                let value = named
                    .value
                    .as_deref()
                    .ok_or_else(|| not_set("NamedArgument", "value"))?;
                self.value(value)
            }
            ExprType::UnresolvedStar(_) | ExprType::UnresolvedRegex(_) => {
                Err(SparkError::analysis(
                    "INVALID_USAGE_OF_STAR_OR_REGEX",
                    &[("elem", "'*'"), ("prettyName", "expression")],
                ))
            }
            ExprType::LambdaFunction(_) => Err(SparkError::analysis(
                "INVALID_LAMBDA_FUNCTION_CALL.NON_HIGHER_ORDER_FUNCTION",
                &[("class", "a function without lambda parameters")],
            )),
            ExprType::MergeAction(_)
            | ExprType::TypedAggregateExpression(_)
            | ExprType::DirectShufflePartitionId(_)
            | ExprType::Extension(_) => Err(SparkError::unsupported("this kind of expression")),
        }
    }

    /// A value of type BOOLEAN.
    pub(crate) fn condition(&self, expression: &Expression) -> Result<TypedExpr> {
        let value = self.value(expression)?;
        match value.data_type {
            DataType::Boolean => Ok(value),
            DataType::Null => {
                crate::cast::coerce(value, &DataType::Boolean, &self.planner.context.eval)
            }
            _ => Err(SparkError::analysis(
                "DATATYPE_MISMATCH.FILTER_NOT_BOOLEAN",
                &[
                    ("sqlExpr", &value.sql()),
                    ("filter", &value.sql()),
                    ("type", &value.type_sql()),
                ],
            )),
        }
    }

    fn attribute(&self, attribute: &UnresolvedAttribute) -> Result<TypedExpr> {
        let parts = parse_attribute_name(&attribute.unparsed_identifier)?;
        if let Some(plan_id) = attribute.plan_id {
            return self.plan_attribute(&parts, plan_id);
        }
        if let Some(found) = self.find(&parts)? {
            return Ok(found);
        }
        Err(unresolved_column(
            &parts,
            self.inputs.iter().flat_map(|r| r.output.iter()),
        ))
    }

    /// The value that a name stands for here, if any.
    pub(crate) fn find(&self, parts: &[String]) -> Result<Option<TypedExpr>> {
        if let Some(found) = self.find_lambda_variable(parts)? {
            return Ok(Some(found));
        }
        let below = self.below;
        if self.in_aggregate.get()
            && let Some(below) = below
            && let Some(found) = resolve_name(parts, below.output.iter(), self.names())?
        {
            return Ok(Some(found));
        }
        let visible = self.inputs.iter().flat_map(|r| r.output.iter());
        if let Some(found) = resolve_name(parts, visible, self.names())? {
            return Ok(Some(found));
        }
        let hidden = self.inputs.iter().flat_map(|r| r.hidden.iter());
        if let Some(found) = resolve_name(parts, hidden, self.names())? {
            return Ok(Some(found));
        }
        if let Some(below) = below
            && let Some(found) = resolve_name(parts, below.all_attributes(), self.names())?
        {
            return Ok(Some(found));
        }
        let windows: Vec<Attribute> = self
            .windows
            .borrow()
            .iter()
            .map(|w| w.attribute.clone())
            .collect();
        if let Some(found) = resolve_name(parts, windows.iter(), self.names())? {
            return Ok(Some(found));
        }
        if let Some(found) = self.find_alias(parts)? {
            return Ok(Some(found));
        }
        if let Some(outer) = &self.planner.outer
            && let Some(found) = outer.find(parts)?
        {
            return Ok(Some(found));
        }
        if let [name] = parts
            && let Some(function) = LITERAL_FUNCTIONS
                .iter()
                .find(|f| f.eq_ignore_ascii_case(name))
        {
            let call = Call::new(function, vec![], &self.planner.context);
            if let Ok(Resolution::Value(value)) = Registry::builtin().call(call) {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }

    /// An alias to the left in the same select list.
    fn find_alias(&self, parts: &[String]) -> Result<Option<TypedExpr>> {
        let Some((name, fields)) = parts.split_first() else {
            return Ok(None);
        };
        let aliases = self.aliases.borrow();
        let mut found = aliases
            .iter()
            .filter(|(alias, _)| self.names().same(alias, name));
        let Some((_, value)) = found.next() else {
            return Ok(None);
        };
        if found.next().is_some() {
            return Err(SparkError::analysis(
                "AMBIGUOUS_LATERAL_COLUMN_ALIAS",
                &[("name", &crate::error::quoted_name(parts)), ("n", "2")],
            ));
        }
        let mut value = value.clone();
        value.name.clone_from(name);
        value.output_name = None;
        for field in fields {
            value = extract::by_name(value, field, self.names())?;
        }
        Ok(Some(value))
    }

    fn plan_attribute(&self, parts: &[String], plan_id: i64) -> Result<TypedExpr> {
        if let Some(found) = resolve_in_plan(parts, plan_id, &self.inputs, self.names())? {
            return Ok(found);
        }
        if let Some(below) = self.below
            && let Some(found) = resolve_in_plan(parts, plan_id, &[below], self.names())?
        {
            return Ok(found);
        }
        if let Some(outer) = &self.planner.outer
            && let Some(found) = outer.find_in_plan(parts, plan_id)?
        {
            return Ok(found);
        }
        let name: Vec<String> = parts
            .iter()
            .map(|p| crate::types::quote_if_needed(p))
            .collect();
        Err(SparkError::analysis(
            "CANNOT_RESOLVE_DATAFRAME_COLUMN",
            &[("name", &quoted(name.join(".")))],
        ))
    }

    fn cast(&self, cast: &Cast, place: Option<&QueryContext>) -> Result<TypedExpr> {
        let child = cast
            .expr
            .as_deref()
            .ok_or_else(|| not_set("Cast", "expr"))?;
        let value = self.value(child)?;
        let to = match &cast.cast_to_type {
            Some(cast::CastToType::Type(t)) => data_type_from_proto(t)?,
            Some(cast::CastToType::TypeStr(text)) => {
                data_type_from_proto(&sql::parse_data_type(text)?)?
            }
            None => return Err(not_set("Cast", "cast_to_type")),
        };
        let context = &self.planner.context.eval;
        let mut mode = match cast.eval_mode() {
            cast::EvalMode::Try => CastMode::tolerant(context),
            cast::EvalMode::Legacy => CastMode {
                eval: crate::cast::EvalMode::Legacy,
                ..CastMode::implicit(context)
            },
            cast::EvalMode::Ansi => CastMode {
                eval: crate::cast::EvalMode::Ansi,
                ..CastMode::implicit(context)
            },
            cast::EvalMode::Unspecified => CastMode::implicit(context),
        };
        mode.place = place.cloned();
        cast_value(value, &to, mode)
    }

    /// Whether an expression has a name of its own: a column, a field of one by dots, an alias.
    fn is_named(&self, expression: &Expression) -> Result<bool> {
        Ok(match &expression.expr_type {
            Some(ExprType::UnresolvedAttribute(_) | ExprType::Alias(_)) => true,
            Some(ExprType::ExpressionString(text)) => {
                self.is_named(&self.planner.parse_expression(&text.expression)?)?
            }
            _ => false,
        })
    }

    fn function_value(
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
        let registry = Registry::builtin();
        let definition = registry.find(&lower);
        if definition.is_none() {
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
        call.place = place.cloned();
        let resolved = registry.call(call);
        match (nested, resolved) {
            (None, resolved) => resolved,
            (Some(generator), Ok(Resolution::Value(value))) => {
                Err(generator.nested_in(&value.name))
            }
            (Some(generator), _) => Err(generator.nested_in(&generator.name)),
        }
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
                    .map(|o| self.sort_expression(o))
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

    /// A sort order as DataFusion has it.
    pub(crate) fn sort_expression(&self, expression: &Expression) -> Result<Sort> {
        Ok(self.named_sort(expression)?.0)
    }

    /// A sort order, and the text of what is sorted by.
    pub(crate) fn named_sort(&self, expression: &Expression) -> Result<(Sort, String)> {
        use spark_connect_proto::expression::sort_order::{NullOrdering, SortDirection};
        let Some(ExprType::SortOrder(order)) = &expression.expr_type else {
            let value = self.value(expression)?;
            return Ok((Sort::new(value.expr, true, true), value.name));
        };
        let child = order
            .child
            .as_deref()
            .ok_or_else(|| not_set("SortOrder", "child"))?;
        let value = match self.value(child) {
            // Two outputs of one name: the column below that both may come from.
            Err(error) if error.is("AMBIGUOUS_REFERENCE") => {
                self.below_value(child).ok_or(error)?
            }
            value => value?,
        };
        let ascending = order.direction() != SortDirection::Descending;
        let nulls_first = match order.null_ordering() {
            NullOrdering::SortNullsFirst => true,
            NullOrdering::SortNullsLast => false,
            NullOrdering::SortNullsUnspecified => ascending,
        };
        if !crate::types::is_orderable(&value.data_type) {
            let direction = if ascending { "ASC" } else { "DESC" };
            let nulls = if nulls_first { "FIRST" } else { "LAST" };
            return Err(SparkError::analysis(
                "DATATYPE_MISMATCH.INVALID_ORDERING_TYPE",
                &[
                    (
                        "sqlExpr",
                        &quoted(format!("{} {direction} NULLS {nulls}", value.name)),
                    ),
                    ("functionName", "`sortorder`"),
                    ("dataType", &value.type_sql()),
                ],
            ));
        }
        Ok((Sort::new(value.expr, ascending, nulls_first), value.name))
    }

    /// The value of an expression below the input, if it has one there.
    fn below_value(&self, expression: &Expression) -> Option<TypedExpr> {
        let below = self.below?;
        Expressions::new(self.planner, vec![below])
            .value(expression)
            .ok()
    }

    #[allow(clippy::type_complexity, reason = "a pair that lives for one line")]
    fn arguments<'s>(
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
                        values.push(self.argument(&parsed, function)?);
                    }
                }
                _ => values.push(self.argument(argument, function)?),
            }
        }
        Ok((values, lambdas))
    }

    fn argument(&self, argument: &Expression, function: &str) -> Result<TypedExpr> {
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

fn find_node(lineage: &crate::scope::Lineage, plan_id: i64) -> Option<&crate::scope::Lineage> {
    if lineage.plan_id == Some(plan_id) {
        return Some(lineage);
    }
    lineage
        .inputs
        .iter()
        .find_map(|input| find_node(input, plan_id))
}

/// A field of a message that must be there is not.
pub(crate) fn not_set(message: &str, field: &str) -> SparkError {
    SparkError::new(
        crate::error::Exception::InvalidPlan,
        "CONNECT_INVALID_PLAN.INVALID_ONE_OF_FIELD_NOT_SET",
        &[("fullName", message), ("name", field)],
    )
}

/// Where in the user's program an expression was made.
pub(crate) fn query_context(common: Option<&ExpressionCommon>) -> Option<QueryContext> {
    let origin = common?.origin.as_ref()?;
    match origin.function.as_ref()? {
        OriginFunction::PythonOrigin(python) => Some(QueryContext::DataFrame {
            fragment: python.fragment.clone(),
            call_site: python.call_site.clone(),
        }),
        OriginFunction::JvmOrigin(jvm) => {
            let text = jvm.sql_text.clone()?;
            let start = usize::try_from(jvm.start_index?).ok()?;
            let stop = usize::try_from(jvm.stop_index?).ok()?;
            Some(QueryContext::Sql {
                text,
                start,
                stop: stop + 1,
            })
        }
    }
}

/// Whether an expression reads a column.
pub(crate) fn reads_columns(expr: &Expr) -> bool {
    use datafusion::common::tree_node::TreeNode;
    expr.exists(|e| Ok(matches!(e, Expr::Column(_))))
        .unwrap_or(true)
}
