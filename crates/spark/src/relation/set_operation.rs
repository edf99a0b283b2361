//! `UNION`, `INTERSECT` and `EXCEPT`.
//!
//! Both sides are first projected to the common types under the same names. `INTERSECT ALL` and `EXCEPT ALL` count
//! duplicates: every row gets its number among its equals, and the numbered rows are compared.
use std::sync::Arc;

use datafusion::{
    common::{Column, JoinType, NullEquality},
    logical_expr::{
        Expr, LogicalPlan, LogicalPlanBuilder, Union, WindowFunctionDefinition,
        expr::{WindowFunction, WindowFunctionParams},
    },
};
use millstream_engine::plan::{Operation, OperationNode};
use spark_connect_proto::{SetOperation, set_operation::SetOpType};

use crate::{
    cast::coerce,
    coercion,
    error::{Result, SparkError, quoted, quoted_id},
    planner::Planner,
    scope::{Attribute, Lineage, Resolved, columns_of},
    typed::TypedExpr,
    types::sql_name,
};

impl Planner<'_> {
    pub(super) fn set_operation(&self, node: &SetOperation) -> Result<Resolved> {
        let (Some(left), Some(right)) = (node.left_input.as_deref(), node.right_input.as_deref())
        else {
            return Err(SparkError::analysis(
                "CONNECT_INVALID_PLAN.SET_OPERATION_MUST_HAVE_TWO_INPUTS",
                &[],
            ));
        };
        let (left, right) = (self.relation(left)?, self.relation(right)?);
        let all = node.is_all();
        let (operator, distinct) = match node.set_op_type() {
            SetOpType::Union => ("UNION", !all),
            SetOpType::Intersect => ("INTERSECT", !all),
            SetOpType::Except => ("EXCEPT", !all),
            SetOpType::Unspecified => {
                return Err(SparkError::unsupported("an unspecified set operation"));
            }
        };
        if node.by_name() && operator != "UNION" {
            let class = format!("CONNECT_INVALID_PLAN.{operator}_DOES_NOT_SUPPORT_UNION_BY_NAME");
            return Err(SparkError::analysis(&class, &[]));
        }
        let (left_values, right_values, names) = if node.by_name() {
            self.by_name(&left, &right, node.allow_missing_columns())?
        } else {
            self.by_position(&left, &right, operator)?
        };
        self.combine(
            left,
            right,
            left_values,
            right_values,
            names,
            node.set_op_type(),
            distinct,
        )
    }

    #[allow(clippy::type_complexity, reason = "three lists that live for one call")]
    fn by_position(
        &self,
        left: &Resolved,
        right: &Resolved,
        operator: &str,
    ) -> Result<(Vec<TypedExpr>, Vec<TypedExpr>, Vec<String>)> {
        if left.output.len() != right.output.len() {
            return Err(SparkError::analysis(
                "NUM_COLUMNS_MISMATCH",
                &[
                    ("operator", operator),
                    ("firstNumColumns", &left.output.len().to_string()),
                    ("invalidOrdinalNum", "second"),
                    ("invalidNumColumns", &right.output.len().to_string()),
                ],
            ));
        }
        let values = |r: &Resolved| r.output.iter().map(Attribute::reference).collect();
        Ok((
            values(left),
            values(right),
            left.output.iter().map(|a| a.name.clone()).collect(),
        ))
    }

    #[allow(clippy::type_complexity, reason = "three lists that live for one call")]
    fn by_name(
        &self,
        left: &Resolved,
        right: &Resolved,
        allow_missing: bool,
    ) -> Result<(Vec<TypedExpr>, Vec<TypedExpr>, Vec<String>)> {
        for side in [left, right] {
            for (i, a) in side.output.iter().enumerate() {
                if side
                    .output
                    .iter()
                    .skip(i + 1)
                    .any(|b| self.names.same(&a.name, &b.name))
                {
                    return Err(SparkError::analysis(
                        "COLUMN_ALREADY_EXISTS",
                        &[("columnName", &quoted_id(&a.name.to_lowercase()))],
                    ));
                }
            }
        }
        let find = |side: &Resolved, name: &str| {
            side.output
                .iter()
                .find(|a| self.names.same(&a.name, name))
                .map(Attribute::reference)
        };
        let null = |t: &arrow::datatypes::DataType, name: &str| -> Result<TypedExpr> {
            Ok(TypedExpr::literal(crate::literal::null_of(t)?, name))
        };
        let (mut l, mut r, mut names) = (vec![], vec![], vec![]);
        for attribute in &left.output {
            l.push(attribute.reference());
            r.push(match find(right, &attribute.name) {
                Some(value) => value,
                None if allow_missing => null(&attribute.data_type, &attribute.name)?,
                None => {
                    return Err(crate::scope::unresolved_column(
                        std::slice::from_ref(&attribute.name),
                        right.output.iter(),
                    ));
                }
            });
            names.push(attribute.name.clone());
        }
        for attribute in &right.output {
            if find(left, &attribute.name).is_some() {
                continue;
            }
            if !allow_missing {
                return Err(SparkError::analysis(
                    "NUM_COLUMNS_MISMATCH",
                    &[
                        ("operator", "UNION"),
                        ("firstNumColumns", &left.output.len().to_string()),
                        ("invalidOrdinalNum", "second"),
                        ("invalidNumColumns", &right.output.len().to_string()),
                    ],
                ));
            }
            l.push(null(&attribute.data_type, &attribute.name)?);
            r.push(attribute.reference());
            names.push(attribute.name.clone());
        }
        Ok((l, r, names))
    }

    #[allow(clippy::too_many_arguments, reason = "two sides, each with its values")]
    fn combine(
        &self,
        left: Resolved,
        right: Resolved,
        left_values: Vec<TypedExpr>,
        right_values: Vec<TypedExpr>,
        names: Vec<String>,
        kind: SetOpType,
        distinct: bool,
    ) -> Result<Resolved> {
        let context = &self.context.eval;
        let (mut l, mut r, mut output): (Vec<Expr>, Vec<Expr>, Vec<Attribute>) = Default::default();
        let mut before: Vec<(Option<Column>, Option<Column>)> = vec![];
        for (index, ((x, y), name)) in left_values
            .into_iter()
            .zip(right_values)
            .zip(names)
            .enumerate()
        {
            let common = coercion::wider(&x.data_type, &y.data_type, context.ansi)
                .ok_or_else(|| incompatible(kind, index, &x, &y))?;
            // Spark takes the first side's word for a union: an event time stays one.
            let metadata = match kind {
                SetOpType::Union => x.metadata.clone(),
                _ if x.metadata == y.metadata => x.metadata.clone(),
                _ => Default::default(),
            };
            // A column that both sides have twice is one column of theirs together. Where only the first side has, Spark takes
            // its name for the first of the two; here such a name is ambiguous.
            let sides = (x.as_column().cloned(), y.as_column().cloned());
            let same = before
                .iter()
                .position(|other| sides.0.is_some() && sides.1.is_some() && *other == sides);
            before.push(sides);
            let (x, y) = (coerce(x, &common, context)?, coerce(y, &common, context)?);
            let nullable = match kind {
                SetOpType::Union => x.nullable || y.nullable,
                SetOpType::Intersect => x.nullable && y.nullable,
                _ => x.nullable,
            };
            let column = self.ids.column(&name);
            l.push(super::project::aliased_expr(x.expr, &column, &metadata));
            r.push(super::project::aliased_expr(y.expr, &column, &metadata));
            let same = same.and_then(|at| output.get(at));
            let column = same.map_or(column, |first| first.column.clone());
            output.push(Attribute {
                name,
                column,
                data_type: common,
                nullable,
                metadata,
                qualifier: vec![],
            });
        }
        let (l, r) = (
            super::project::projection_of(l, left.plan.clone())?,
            super::project::projection_of(r, right.plan.clone())?,
        );
        // What may run as a stream is decided by what the user wrote, not by the joins it becomes.
        let marked = (left.is_streaming || right.is_streaming)
            .then_some(match kind {
                SetOpType::Intersect => Some(Operation::Intersect),
                SetOpType::Except => Some(Operation::Except),
                _ => None,
            })
            .flatten();
        let (l, r) = match marked {
            Some(_) => (OperationNode::operand(l), OperationNode::operand(r)),
            None => (l, r),
        };
        let plan = match (kind, distinct) {
            (SetOpType::Union, _) => {
                let union = LogicalPlan::Union(Union::try_new_with_loose_types(vec![
                    Arc::new(l),
                    Arc::new(r),
                ])?);
                if distinct && left.is_streaming {
                    let columns = columns_of(output.iter()).into_iter().map(Expr::Column);
                    super::deduplicate::groups_of(union, columns.collect())?
                } else if distinct {
                    LogicalPlanBuilder::from(union).distinct()?.build()?
                } else {
                    union
                }
            }
            (SetOpType::Intersect, true) => LogicalPlanBuilder::intersect(l, r, false)?,
            (SetOpType::Except, true) => rows_without(l, r)?,
            (_, _) => self.counted(l, r, kind, &output)?,
        };
        let plan = match marked {
            Some(operation) => OperationNode::operation(operation, plan),
            None => plan,
        };
        // A union hides the nodes below it from references through DataFrames.
        let lineage = Arc::new(Lineage {
            plan_id: None,
            output: output.clone(),
            inputs: vec![],
        });
        Ok(Resolved {
            plan,
            output,
            hidden: vec![],
            is_streaming: left.is_streaming || right.is_streaming,
            lineage,
            below: None,
        })
    }

    /// `INTERSECT ALL` and `EXCEPT ALL`.
    fn counted(
        &self,
        left: LogicalPlan,
        right: LogicalPlan,
        kind: SetOpType,
        output: &[Attribute],
    ) -> Result<LogicalPlan> {
        let compared = columns_of(output.iter());
        let columns: Vec<Expr> = compared.iter().cloned().map(Expr::Column).collect();
        let number = |plan: LogicalPlan, name: &str| -> Result<LogicalPlan> {
            let row_number = Expr::WindowFunction(Box::new(WindowFunction {
                fun: WindowFunctionDefinition::WindowUDF(
                    datafusion::functions_window::row_number::row_number_udwf(),
                ),
                params: WindowFunctionParams {
                    args: vec![],
                    partition_by: columns.clone(),
                    order_by: vec![],
                    window_frame: datafusion::logical_expr::WindowFrame::new(None),
                    filter: None,
                    null_treatment: None,
                    distinct: false,
                },
            }));
            Ok(LogicalPlanBuilder::from(plan)
                .window([row_number.alias(name)])?
                .build()?)
        };
        let left = number(left, "occurrence#")?;
        // The right side needs other names, or the condition could not tell the sides apart.
        let mut renamed: Vec<Expr> = vec![];
        let mut pairs: (Vec<Column>, Vec<Column>) = (vec![], vec![]);
        for column in compared {
            let other = self.ids.column(&column.name);
            renamed.push(Expr::Column(column.clone()).alias(other.name()));
            pairs.0.push(column);
            pairs.1.push(other);
        }
        let numbered = number(right, "occurrence#")?;
        renamed
            .push(Expr::Column(Column::new_unqualified("occurrence#")).alias("other_occurrence#"));
        pairs.0.push(Column::new_unqualified("occurrence#"));
        pairs.1.push(Column::new_unqualified("other_occurrence#"));
        let right = super::project::projection_of(renamed, numbered)?;
        let join = if kind == SetOpType::Intersect {
            JoinType::LeftSemi
        } else {
            JoinType::LeftAnti
        };
        Ok(LogicalPlanBuilder::from(left)
            .join_detailed(right, join, pairs, None, NullEquality::NullEqualsNull)?
            .project(columns)?
            .build()?)
    }
}

/// Distinct rows of the left side that the right side has not. The distinction comes last, so that in a stream nothing but
/// these rows is remembered.
fn rows_without(left: LogicalPlan, right: LogicalPlan) -> Result<LogicalPlan> {
    let pairs = (left.schema().columns(), right.schema().columns());
    let nulls = NullEquality::NullEqualsNull;
    Ok(LogicalPlanBuilder::from(left)
        .join_detailed(right, JoinType::LeftAnti, pairs, None, nulls)?
        .distinct()?
        .build()?)
}

fn incompatible(kind: SetOpType, index: usize, left: &TypedExpr, right: &TypedExpr) -> SparkError {
    let operator = match kind {
        SetOpType::Intersect => "INTERSECT",
        SetOpType::Except => "EXCEPT",
        _ => "UNION",
    };
    SparkError::analysis(
        "INCOMPATIBLE_COLUMN_TYPE",
        &[
            ("operator", operator),
            ("columnOrdinalNumber", crate::functions::ordinal(index)),
            ("tableOrdinalNumber", "second"),
            ("dataType1", &quoted(sql_name(&right.data_type))),
            ("dataType2", &quoted(sql_name(&left.data_type))),
            ("hint", ""),
        ],
    )
}
