//! `LATERAL VIEW`, `LATERAL f(…)`, `LATERAL (SELECT …)` without a table, and functions that stand for tables.
//!
//! A lateral subquery without `FROM` is one row for each row of the left side: its columns are put beside those.
use datafusion::{
    common::JoinType,
    logical_expr::{Expr, LogicalPlanBuilder},
};
use spark_connect_proto::{
    Expression, LateralJoin, Relation, UnresolvedTableValuedFunction,
    expression::{ExprType, UnresolvedFunction, literal::LiteralType},
    relation::RelType,
};

use crate::{
    error::{Result, SparkError, quoted_id},
    expression::{Expressions, SelectItem},
    functions::{Generator, Resolution},
    planner::Planner,
    scope::{Attribute, Resolved, columns_of},
};

/// A table-valued function on the right of a lateral join, with its alias and column names.
struct LateralCall<'r> {
    function: &'r UnresolvedTableValuedFunction,
    alias: Option<&'r str>,
    columns: &'r [String],
}

impl Planner<'_> {
    pub(super) fn lateral_join(&self, node: &LateralJoin) -> Result<Resolved> {
        let not_set = |field: &str| crate::expression::not_set("spark.connect.LateralJoin", field);
        let left = self.relation(node.left.as_deref().ok_or_else(|| not_set("left"))?)?;
        let right = node.right.as_deref().ok_or_else(|| not_set("right"))?;
        let kind = super::join::lateral_type(node.join_type())?;
        let Some(call) = lateral_call(right) else {
            let Some(row) = lateral_row(right) else {
                // One that does not look at the left side is a table like any other.
                let Ok(right) = self.relation(right) else {
                    return Err(SparkError::unsupported("a lateral subquery over a table"));
                };
                return self.join_on(left, right, kind, node.join_condition.as_ref());
            };
            return self.beside(left, &row, kind, node.join_condition.as_ref());
        };
        if !matches!(kind, JoinType::Inner | JoinType::Left) {
            return Err(SparkError::analysis(
                "INVALID_LATERAL_JOIN_TYPE",
                &[("joinType", &format!("{kind:?}").to_uppercase())],
            ));
        }
        let mut generator = {
            let scope = Expressions::new(self, vec![&left]);
            self.table_generator(&scope, call.function)?
        };
        if kind == JoinType::Left {
            generator.outer = true;
            for (_, _, nullable) in &mut generator.columns {
                *nullable = true;
            }
        }
        let (plan, made) = self.unnest(left.plan.clone(), &generator)?;
        let made = self.named_columns(made, &generator, &call)?;
        let (projection, generated) = self.outputs(made);
        let columns = columns_of(left.all_attributes()).into_iter();
        let columns = columns.map(Expr::Column).chain(projection).collect();
        let plan = super::project::projection_of(columns, plan)?;
        let mut output = left.output.clone();
        output.extend(generated.into_iter().map(|a| match call.alias {
            Some(alias) => Attribute {
                qualifier: vec![alias.to_string()],
                ..a
            },
            None => a,
        }));
        let hidden = left.hidden.clone();
        let mut joined = left.derive(plan, output);
        joined.hidden = hidden;
        if let Some(condition) = &node.join_condition {
            let value = Expressions::new(self, vec![&joined]).condition(condition)?;
            return self.filtered(joined, value);
        }
        Ok(joined)
    }

    /// The left side with the columns of a lateral subquery that reads no table.
    fn beside(
        &self,
        left: Resolved,
        row: &LateralRow<'_>,
        kind: JoinType,
        condition: Option<&Expression>,
    ) -> Result<Resolved> {
        let condition = condition.filter(|condition| !is_true(condition));
        if kind != JoinType::Inner && (kind != JoinType::Left || condition.is_some()) {
            return Err(SparkError::unsupported(
                "a lateral subquery that may leave a row without its columns",
            ));
        }
        let items = Expressions::new(self, vec![&left]).select_list(row.expressions)?;
        let mut made = vec![];
        for item in items {
            match item {
                SelectItem::Column { name, value, .. }
                    if !value.has_aggregate() && !value.has_window() =>
                {
                    made.push((name, value, true));
                }
                _ => {
                    return Err(SparkError::unsupported(
                        "a lateral subquery that makes or counts rows",
                    ));
                }
            }
        }
        if !row.columns.is_empty() {
            if row.columns.len() != made.len() {
                return Err(SparkError::analysis(
                    "ASSIGNMENT_ARITY_MISMATCH",
                    &[
                        ("numExpr", &row.columns.len().to_string()),
                        ("numTarget", &made.len().to_string()),
                    ],
                ));
            }
            for ((name, ..), given) in made.iter_mut().zip(row.columns) {
                name.clone_from(given);
            }
        }
        let (projection, made) = self.outputs(made);
        let columns = columns_of(left.all_attributes()).into_iter();
        let columns = columns.map(Expr::Column).chain(projection).collect();
        let plan = super::project::projection_of(columns, left.plan.clone())?;
        let mut output = left.output.clone();
        output.extend(made.into_iter().map(|attribute| match row.alias {
            Some(alias) => Attribute {
                qualifier: vec![alias.to_string()],
                ..attribute
            },
            None => attribute,
        }));
        let hidden = left.hidden.clone();
        let mut joined = left.derive(plan, output);
        joined.hidden = hidden;
        match condition {
            Some(condition) => {
                let value = Expressions::new(self, vec![&joined]).condition(condition)?;
                self.filtered(joined, value)
            }
            None => Ok(joined),
        }
    }

    /// A table-valued function in FROM, over nothing.
    pub(super) fn table_function(&self, node: &UnresolvedTableValuedFunction) -> Result<Resolved> {
        if node.function_name.eq_ignore_ascii_case("range") {
            return self.range_function(node);
        }
        let empty = Resolved::leaf(LogicalPlanBuilder::empty(true).build()?, vec![], false);
        let generator = {
            let scope = Expressions::new(self, vec![&empty]);
            self.table_generator(&scope, node)?
        };
        let (plan, made) = self.unnest(empty.plan.clone(), &generator)?;
        let call = LateralCall {
            function: node,
            alias: None,
            columns: &[],
        };
        let made = self.named_columns(made, &generator, &call)?;
        let (projection, output) = self.outputs(made);
        Ok(empty.derive(super::project::projection_of(projection, plan)?, output))
    }

    fn named_columns(
        &self,
        made: Vec<crate::typed::TypedExpr>,
        generator: &Generator,
        call: &LateralCall<'_>,
    ) -> Result<Vec<(String, crate::typed::TypedExpr, bool)>> {
        if !call.columns.is_empty() && call.columns.len() != made.len() {
            return Err(SparkError::analysis(
                "NUM_TABLE_VALUE_ALIASES_MISMATCH",
                &[
                    ("funcName", &quoted_id(&call.function.function_name)),
                    ("aliasesNum", &call.columns.len().to_string()),
                    ("outColsNum", &made.len().to_string()),
                ],
            ));
        }
        let own = generator.columns.iter().map(|(n, _, _)| n.clone());
        Ok(made
            .into_iter()
            .zip(own)
            .enumerate()
            .map(|(i, (value, own))| (call.columns.get(i).cloned().unwrap_or(own), value, true))
            .collect())
    }

    fn table_generator(
        &self,
        scope: &Expressions<'_>,
        node: &UnresolvedTableValuedFunction,
    ) -> Result<Generator> {
        let function = UnresolvedFunction {
            function_name: node.function_name.clone(),
            arguments: node.arguments.clone(),
            ..Default::default()
        };
        let unknown = || {
            SparkError::analysis(
                "UNRESOLVABLE_TABLE_VALUED_FUNCTION",
                &[("name", &quoted_id(&node.function_name))],
            )
        };
        match scope.function(&function, None) {
            Ok(Resolution::Generator(generator)) => Ok(generator),
            Ok(_) => Err(unknown()),
            Err(error) if error.is("UNRESOLVED_ROUTINE") => Err(unknown()),
            Err(error) => Err(error),
        }
    }

    /// `range(end)`, `range(start, end[, step[, partitions]])`.
    fn range_function(&self, node: &UnresolvedTableValuedFunction) -> Result<Resolved> {
        let empty = Resolved::leaf(LogicalPlanBuilder::empty(true).build()?, vec![], false);
        let scope = Expressions::new(self, vec![&empty]);
        let mut numbers = vec![];
        for argument in &node.arguments {
            let value = crate::cast::coerce(
                scope.value(argument)?,
                &arrow::datatypes::DataType::Int64,
                &self.context.eval,
            )?;
            match crate::fold::fold(&value.expr)? {
                datafusion::common::ScalarValue::Int64(Some(n)) => numbers.push(n),
                _ => {
                    return Err(SparkError::analysis(
                        "UNEXPECTED_INPUT_TYPE",
                        &[
                            ("functionName", "`range`"),
                            ("paramIndex", crate::functions::ordinal(numbers.len())),
                            ("requiredType", "\"BIGINT\""),
                            ("inputSql", &value.sql()),
                            ("inputType", &value.type_sql()),
                        ],
                    ));
                }
            }
        }
        let (start, end, step, partitions) = match numbers.as_slice() {
            [end] => (0, *end, 1, None),
            [start, end] => (*start, *end, 1, None),
            [start, end, step] => (*start, *end, *step, None),
            [start, end, step, partitions] => {
                (*start, *end, *step, i32::try_from(*partitions).ok())
            }
            _ => {
                return Err(crate::functions::wrong_num_args(
                    "range",
                    "[1, 2, 3, 4]",
                    numbers.len(),
                ));
            }
        };
        self.range(&spark_connect_proto::Range {
            start: Some(start),
            end,
            step,
            num_partitions: partitions,
        })
    }
}

fn is_true(condition: &Expression) -> bool {
    match &condition.expr_type {
        Some(ExprType::Literal(literal)) => {
            literal.literal_type == Some(LiteralType::Boolean(true))
        }
        _ => false,
    }
}

/// A `SELECT` without `FROM` on the right of a lateral join, with its alias and column names.
struct LateralRow<'r> {
    expressions: &'r [Expression],
    alias: Option<&'r str>,
    columns: &'r [String],
}

/// The row under aliases, if the relation is one.
fn lateral_row(relation: &Relation) -> Option<LateralRow<'_>> {
    match relation.rel_type.as_ref()? {
        RelType::Project(project) if project.input.is_none() => Some(LateralRow {
            expressions: &project.expressions,
            alias: None,
            columns: &[],
        }),
        RelType::SubqueryAlias(alias) => {
            let mut row = lateral_row(alias.input.as_deref()?)?;
            row.alias = Some(&alias.alias);
            Some(row)
        }
        RelType::ToDf(named) => {
            let mut row = lateral_row(named.input.as_deref()?)?;
            row.columns = &named.column_names;
            Some(row)
        }
        _ => None,
    }
}

/// The call under aliases, if the relation is one.
fn lateral_call(relation: &Relation) -> Option<LateralCall<'_>> {
    match relation.rel_type.as_ref()? {
        RelType::UnresolvedTableValuedFunction(function) => Some(LateralCall {
            function,
            alias: None,
            columns: &[],
        }),
        RelType::SubqueryAlias(alias) => {
            let mut call = lateral_call(alias.input.as_deref()?)?;
            call.alias = Some(&alias.alias);
            Some(call)
        }
        RelType::ToDf(named) => {
            let mut call = lateral_call(named.input.as_deref()?)?;
            call.columns = &named.column_names;
            Some(call)
        }
        _ => None,
    }
}
