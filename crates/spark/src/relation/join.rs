//! Joins.
use datafusion::{
    common::JoinType,
    logical_expr::{Expr, LogicalPlanBuilder},
};
use spark_connect_proto::{Join, expression::ExprType, join::JoinType as ProtoJoin};
use std::sync::Arc;

use super::aggregate::has_grouping_call;
use crate::{
    cast::coerce,
    coercion,
    error::{Exception, Result, SparkError, quoted_id},
    expression::Expressions,
    planner::Planner,
    scope::{Attribute, Lineage, Resolved, resolve_name},
    typed::TypedExpr,
};

impl Planner<'_> {
    pub(super) fn join(&self, node: &Join) -> Result<Resolved> {
        let side = |r: &Option<Box<spark_connect_proto::Relation>>, name: &str| match r.as_deref() {
            Some(relation) => self.relation(relation),
            None => Err(crate::expression::not_set("spark.connect.Join", name)),
        };
        let (left, right) = (side(&node.left, "left")?, side(&node.right, "right")?);
        let kind = join_type(node.join_type())?;
        if node.join_condition.is_some() && !node.using_columns.is_empty() {
            return Err(SparkError::analysis(
                "CONNECT_INVALID_PLAN.USING_COLUMNS_OR_JOIN_CONDITION_SET_IN_JOIN",
                &[],
            ));
        }
        if let Some(condition) = &node.join_condition {
            if is_natural(condition) {
                let shared = shared_names(self, &left, &right);
                return self.using_join(left, right, kind, &shared);
            }
            return self.join_on(left, right, kind, Some(condition));
        }
        if !node.using_columns.is_empty() {
            return self.using_join(left, right, kind, &node.using_columns);
        }
        self.join_on(left, right, kind, None)
    }

    pub(super) fn join_on(
        &self,
        left: Resolved,
        right: Resolved,
        kind: JoinType,
        condition: Option<&spark_connect_proto::Expression>,
    ) -> Result<Resolved> {
        let condition = match condition {
            None => None,
            Some(condition) => {
                let scope = Expressions::new(self, vec![&left, &right]);
                let value = scope.value(condition)?;
                if has_grouping_call(&value.expr) {
                    return Err(SparkError::analysis("UNSUPPORTED_GROUPING_EXPRESSION", &[]));
                }
                if !scope.take_windows().is_empty() {
                    // Spark adds a window to the one input of a node; its planner breaks down here.
                    return Err(SparkError::plain(
                        Exception::Analysis,
                        format!(
                            "a join condition cannot make windows: give each side its window as a column, and compare \
                             these. Condition: {}",
                            value.sql()
                        ),
                    ));
                }
                if value.data_type != arrow::datatypes::DataType::Boolean {
                    return Err(SparkError::analysis(
                        "JOIN_CONDITION_IS_NOT_BOOLEAN_TYPE",
                        &[
                            ("joinCondition", &value.sql()),
                            ("conditionType", &value.type_sql()),
                        ],
                    ));
                }
                Some(value)
            }
        };
        let plan = join_plan(&left, &right, kind, condition.map(|c| c.expr))?;
        let output = joined_output(&left.output, &right.output, kind);
        let hidden = joined_output(&left.hidden, &right.hidden, kind);
        Ok(joined(&left, &right, plan, output, hidden))
    }

    /// `USING (a, b)`: the key columns once, first.
    fn using_join(
        &self,
        left: Resolved,
        right: Resolved,
        kind: JoinType,
        names: &[String],
    ) -> Result<Resolved> {
        let mut pairs = vec![];
        for name in names {
            let key = |side: &Resolved, which: &str| -> Result<Attribute> {
                let value =
                    resolve_name(std::slice::from_ref(name), side.output.iter(), self.names)?;
                let column = value.as_ref().and_then(TypedExpr::as_column).cloned();
                side.output
                    .iter()
                    .find(|a| Some(&a.column) == column.as_ref())
                    .cloned()
                    .ok_or_else(|| {
                        let mut suggestion: Vec<String> =
                            side.output.iter().map(|a| quoted_id(&a.name)).collect();
                        suggestion.sort();
                        SparkError::analysis(
                            "UNRESOLVED_USING_COLUMN_FOR_JOIN",
                            &[
                                ("colName", &quoted_id(name)),
                                ("side", which),
                                ("suggestion", &suggestion.join(", ")),
                            ],
                        )
                    })
            };
            pairs.push((key(&left, "left")?, key(&right, "right")?));
        }
        let mut condition: Option<Expr> = None;
        let context = &self.context.eval;
        for (l, r) in &pairs {
            let common = coercion::for_comparison(&l.data_type, &r.data_type, context.ansi)
                .ok_or_else(|| {
                    SparkError::analysis(
                        "DATATYPE_MISMATCH.BINARY_OP_DIFF_TYPES",
                        &[
                            (
                                "sqlExpr",
                                &crate::error::quoted(format!("({} = {})", l.name, r.name)),
                            ),
                            ("left", &l.reference().type_sql()),
                            ("right", &r.reference().type_sql()),
                        ],
                    )
                })?;
            let (x, y) = (
                coerce(l.reference(), &common, context)?,
                coerce(r.reference(), &common, context)?,
            );
            let equal = x.expr.eq(y.expr);
            condition = Some(match condition {
                Some(all) => all.and(equal),
                None => equal,
            });
        }
        let plan = join_plan(&left, &right, kind, condition)?;
        if matches!(kind, JoinType::LeftSemi | JoinType::LeftAnti) {
            let keys: Vec<Attribute> = pairs.iter().map(|(l, _)| l.clone()).collect();
            let rest = left
                .output
                .iter()
                .filter(|a| !keys.iter().any(|k| k.column == a.column))
                .cloned();
            let output = keys.iter().cloned().chain(rest).collect();
            let hidden = left.hidden.clone();
            return Ok(joined(&left, &right, plan, output, hidden));
        }
        self.using_output(&left, &right, kind, plan, &pairs)
    }

    fn using_output(
        &self,
        left: &Resolved,
        right: &Resolved,
        kind: JoinType,
        plan: datafusion::logical_expr::LogicalPlan,
        pairs: &[(Attribute, Attribute)],
    ) -> Result<Resolved> {
        let (nullable_left, nullable_right) = nullable_sides(kind);
        let widen = |a: &Attribute, widen: bool| Attribute {
            nullable: a.nullable || widen,
            ..a.clone()
        };
        let mut keys = vec![];
        let mut hidden = vec![];
        let mut plan = plan;
        if kind == JoinType::Full {
            // Neither side's key will do: the one that is there is taken.
            let mut columns: Vec<Expr> = plan
                .schema()
                .columns()
                .into_iter()
                .map(Expr::Column)
                .collect();
            for (l, r) in pairs {
                let column = self.ids.column(&l.name);
                let common = coercion::wider(&l.data_type, &r.data_type, true)
                    .unwrap_or(l.data_type.clone());
                let x = coerce(l.reference(), &common, &self.context.eval)?;
                let y = coerce(r.reference(), &common, &self.context.eval)?;
                let value = datafusion::logical_expr::when(x.expr.clone().is_not_null(), x.expr)
                    .otherwise(y.expr)?;
                columns.push(value.alias(column.name()));
                keys.push(Attribute {
                    column,
                    data_type: common,
                    nullable: true,
                    qualifier: vec![],
                    ..l.clone()
                });
                hidden.push(widen(l, true));
                hidden.push(widen(r, true));
            }
            plan = super::project::projection_of(columns, plan)?;
        } else {
            for (l, r) in pairs {
                let (shown, other) = if kind == JoinType::Right {
                    (r, l)
                } else {
                    (l, r)
                };
                keys.push(shown.clone());
                let other_nullable = if kind == JoinType::Right {
                    nullable_left
                } else {
                    nullable_right
                };
                hidden.push(widen(other, other_nullable));
            }
        }
        let is_key = |a: &Attribute| {
            pairs
                .iter()
                .any(|(l, r)| l.column == a.column || r.column == a.column)
        };
        let rest = |side: &Resolved, nullable: bool| -> Vec<Attribute> {
            side.output
                .iter()
                .filter(|a| !is_key(a))
                .map(|a| widen(a, nullable))
                .collect()
        };
        let mut output = keys;
        output.extend(rest(left, nullable_left));
        output.extend(rest(right, nullable_right));
        hidden.extend(left.hidden.iter().map(|a| widen(a, nullable_left)));
        hidden.extend(right.hidden.iter().map(|a| widen(a, nullable_right)));
        Ok(joined(left, right, plan, output, hidden))
    }
}

pub(super) fn join_plan(
    left: &Resolved,
    right: &Resolved,
    kind: JoinType,
    condition: Option<Expr>,
) -> Result<datafusion::logical_expr::LogicalPlan> {
    let builder = LogicalPlanBuilder::from(left.plan.clone());
    let right = right.plan.clone();
    Ok(match condition {
        None if kind == JoinType::Inner => builder.cross_join(right)?,
        None => builder.join_on(right, kind, [datafusion::logical_expr::lit(true)])?,
        Some(condition) => builder.join_on(right, kind, [condition])?,
    }
    .build()?)
}

/// Whether the left and the right side's columns become nullable.
fn nullable_sides(kind: JoinType) -> (bool, bool) {
    match kind {
        JoinType::Left => (false, true),
        JoinType::Right => (true, false),
        JoinType::Full => (true, true),
        _ => (false, false),
    }
}

fn joined_output(left: &[Attribute], right: &[Attribute], kind: JoinType) -> Vec<Attribute> {
    let (nullable_left, nullable_right) = nullable_sides(kind);
    let widen = |a: &Attribute, widen: bool| Attribute {
        nullable: a.nullable || widen,
        ..a.clone()
    };
    let left = left.iter().map(|a| widen(a, nullable_left));
    if matches!(kind, JoinType::LeftSemi | JoinType::LeftAnti) {
        return left.collect();
    }
    left.chain(right.iter().map(|a| widen(a, nullable_right)))
        .collect()
}

pub(super) fn joined(
    left: &Resolved,
    right: &Resolved,
    plan: datafusion::logical_expr::LogicalPlan,
    output: Vec<Attribute>,
    hidden: Vec<Attribute>,
) -> Resolved {
    let inputs = vec![Arc::clone(&left.lineage), Arc::clone(&right.lineage)];
    let mut all = output.clone();
    all.extend(hidden.iter().cloned());
    // A reference through a DataFrame may mean a hidden key.
    let lineage = Arc::new(Lineage {
        plan_id: None,
        output: all,
        inputs,
    });
    Resolved {
        plan,
        output,
        hidden,
        is_streaming: left.is_streaming || right.is_streaming,
        lineage,
        below: None,
    }
}

fn join_type(kind: ProtoJoin) -> Result<JoinType> {
    Ok(match kind {
        ProtoJoin::Inner | ProtoJoin::Cross | ProtoJoin::Unspecified => JoinType::Inner,
        ProtoJoin::FullOuter => JoinType::Full,
        ProtoJoin::LeftOuter => JoinType::Left,
        ProtoJoin::RightOuter => JoinType::Right,
        ProtoJoin::LeftAnti => JoinType::LeftAnti,
        ProtoJoin::LeftSemi => JoinType::LeftSemi,
    })
}

pub(super) fn lateral_type(kind: ProtoJoin) -> Result<JoinType> {
    join_type(kind)
}

fn is_natural(condition: &spark_connect_proto::Expression) -> bool {
    match &condition.expr_type {
        Some(ExprType::UnresolvedFunction(f)) => {
            f.is_internal == Some(true)
                && f.function_name == crate::sql::internal_function::NATURAL_JOIN
        }
        _ => false,
    }
}

fn shared_names(planner: &Planner<'_>, left: &Resolved, right: &Resolved) -> Vec<String> {
    left.output
        .iter()
        .filter(|l| {
            right
                .output
                .iter()
                .any(|r| planner.names.same(&l.name, &r.name))
        })
        .map(|l| l.name.clone())
        .collect()
}
