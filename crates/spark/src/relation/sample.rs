//! `sample(fraction)`.
use datafusion::{
    common::ScalarValue,
    logical_expr::{Expr, Volatility, lit},
};
use millstream_engine::plan::{Operation, OperationNode};
use spark_connect_proto::Sample;

use super::input;
use crate::{
    error::{Exception, Result, SparkError},
    functions::{Call, Kernel},
    planner::Planner,
    scope::Resolved,
    typed::TypedExpr,
};

impl Planner<'_> {
    /// Every row is drawn on its own; the same seed over the same plan draws the same rows.
    pub(super) fn sample(&self, node: &Sample) -> Result<Resolved> {
        let mut rows = self.relation(input(&node.input, "Sample")?)?;
        if rows.is_streaming {
            rows.plan = OperationNode::operand(rows.plan);
        }
        let (low, high) = (node.lower_bound, node.upper_bound);
        // A bound that is no number is refused too.
        if low.partial_cmp(&high).is_none_or(|order| order.is_gt()) {
            return Err(SparkError::plain(
                Exception::IllegalArgument,
                format!(
                    "requirement failed: Lower bound ({low}) must be less than or equal to upper bound ({high})"
                ),
            ));
        }
        if node.with_replacement() {
            return Err(SparkError::unsupported("sampling with replacement"));
        }
        let seed = node.seed.unwrap_or_else(rand::random);
        let seed = TypedExpr::literal(ScalarValue::Int64(Some(seed)), seed.to_string());
        let call = Call::new("rand", vec![seed], &self.context);
        let kernel = Kernel::Plain(crate::functions::rand_kernel);
        let draw = call.kernel_with(
            "rand",
            kernel,
            arrow::datatypes::DataType::Float64,
            false,
            Volatility::Volatile,
        );
        let drawn: Expr = draw.expr.clone();
        let column = self.ids.column("draw");
        let mut columns: Vec<Expr> = rows
            .plan
            .schema()
            .columns()
            .into_iter()
            .map(Expr::Column)
            .collect();
        columns.push(drawn.alias(column.name()));
        let plan = super::project::projection_of(columns, rows.plan.clone())?;
        let value = Expr::Column(column);
        let condition = value.clone().gt_eq(lit(low)).and(value.lt(lit(high)));
        let plan = datafusion::logical_expr::LogicalPlanBuilder::from(plan)
            .filter(condition)?
            .build()?;
        let plan = match rows.is_streaming {
            true => OperationNode::operation(Operation::Sample, plan),
            false => plan,
        };
        Ok(rows.with_plan(plan))
    }
}
