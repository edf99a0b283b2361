//! Expressions: from unresolved protobuf to [`TypedExpr`].
//!
//! An [`Expressions`] resolves the expressions of one plan node against the node's inputs. Names are tried in Spark's
//! order (`reference.rs`). What a node must compute below itself (time windows) is collected on the way and applied by
//! [`crate::relation`].
//!
//! `call.rs` resolves calls; `extract.rs` reaches into structs, maps and arrays; `named.rs` makes select items of expressions (aliases, stars,
//! generators); `over.rs` resolves window functions; `subquery.rs` nested queries; `time_window.rs` `window(…)`.
mod call;
pub(crate) mod extract;
mod lambda;
mod named;
mod over;
mod reference;
mod subquery;
mod time_window;

use std::cell::{Cell, RefCell};

use arrow::datatypes::DataType;
use datafusion::logical_expr::expr::Sort;
use spark_connect_proto::{
    Expression, ExpressionCommon,
    expression::{Cast, ExprType, UnresolvedFunction, cast},
    origin::Function as OriginFunction,
};

pub(crate) use named::SelectItem;
pub(crate) use subquery::OuterScope;
pub(crate) use time_window::{TimeWindow, TimeWindowKind};

use crate::{
    cast::{CastMode, cast as cast_value},
    error::{QueryContext, Result, SparkError, quoted},
    functions::Generator,
    literal::typed_literal,
    planner::Planner,
    scope::{NameMatch, Resolved},
    sql,
    typed::TypedExpr,
    types::data_type_from_proto,
};

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
    pub(crate) fn of_predicate(mut self) -> Self {
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

    /// A sort order as DataFusion has it.
    pub(crate) fn sort_expression(&self, expression: &Expression) -> Result<Sort> {
        Ok(self.named_sort(expression)?.0)
    }

    /// A sort order, and the text of what is sorted by.
    pub(crate) fn named_sort(&self, expression: &Expression) -> Result<(Sort, String)> {
        let (sort, value) = self.typed_sort(expression)?;
        Ok((sort, value.name))
    }

    /// A sort order, and what is sorted by.
    fn typed_sort(&self, expression: &Expression) -> Result<(Sort, TypedExpr)> {
        use spark_connect_proto::expression::sort_order::{NullOrdering, SortDirection};
        let Some(ExprType::SortOrder(order)) = &expression.expr_type else {
            let value = self.value(expression)?;
            return Ok((Sort::new(value.expr.clone(), true, true), value));
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
        let sort = Sort::new(value.expr.clone(), ascending, nulls_first);
        Ok((sort, value))
    }

    /// The value of an expression below the input, if it has one there.
    fn below_value(&self, expression: &Expression) -> Option<TypedExpr> {
        let below = self.below?;
        Expressions::new(self.planner, vec![below])
            .value(expression)
            .ok()
    }
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
