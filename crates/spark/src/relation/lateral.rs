//! `LATERAL VIEW`, `LATERAL f(…)` and functions that stand for tables.
use datafusion::{common::JoinType, logical_expr::LogicalPlanBuilder};
use spark_connect_proto::{
    LateralJoin, Relation, UnresolvedTableValuedFunction, expression::UnresolvedFunction,
    relation::RelType,
};

use crate::{
    error::{Result, SparkError, quoted_id},
    expression::Expressions,
    functions::{Generator, Resolution},
    planner::Planner,
    scope::{Attribute, Resolved},
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
            return Err(SparkError::unsupported("a lateral subquery"));
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
        let mut columns: Vec<datafusion::logical_expr::Expr> = left
            .all_attributes()
            .map(|a| datafusion::logical_expr::Expr::Column(a.column.clone()))
            .collect();
        columns.extend(projection);
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
