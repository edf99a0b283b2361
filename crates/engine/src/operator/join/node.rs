//! The logical side of a join between streams.
use std::{cmp::Ordering, fmt, sync::Arc};

use datafusion::{
    common::{DFSchema, DFSchemaRef, JoinType, Result, internal_err, plan_err},
    logical_expr::{
        Expr, ExprSchemable, Extension, Join, LogicalPlan, UserDefinedLogicalNodeCore,
        build_join_schema, lit, utils::conjunction,
    },
    physical_plan::{ExecutionPlan, projection::ProjectionExec},
};

use super::{
    StateBounds,
    bounds::{self, SideBound},
    condition::{JoinCondition, JoinKey},
    exec::{JoinSide, SymmetricHashJoinExec},
    layout::{KeyPart, SideLayout},
};
use crate::{
    batch::external,
    operator::exchange::ExchangeExec,
    plan::{Lowering, PlannedNode, UnsupportedOperation},
    time::event_time::is_window,
};

/// A join of two streams, both sides of which are kept in state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamJoinNode {
    left: LogicalPlan,
    right: LogicalPlan,
    join_type: JoinType,
    keys: Vec<JoinKey>,
    /// What a row needs by itself to have a match, by side.
    filters: [Option<Expr>; 2],
    /// What a pair needs beside equal keys.
    pair: Option<Expr>,
    bounds: StateBounds,
    operator_id: u32,
    partitions: usize,
    schema: DFSchemaRef,
}

/// A join that has been taken apart and awaits its number.
#[derive(Debug)]
pub(crate) struct UnnumberedJoin {
    node: StreamJoinNode,
}

impl UnnumberedJoin {
    /// Takes a plan's join between streams apart.
    pub fn of(join: &Join) -> Result<Self> {
        if !matches!(
            join.join_type,
            JoinType::Inner
                | JoinType::Left
                | JoinType::Right
                | JoinType::Full
                | JoinType::LeftSemi
        ) {
            return plan_err!("a {} join of two streams has no operator", join.join_type);
        }
        let condition = JoinCondition::of(join)?;
        if condition.keys.is_empty() {
            return Err(external(UnsupportedOperation::StreamJoinWithoutEquality));
        }
        let bounds = bounds::of_condition(&condition, join.left.schema(), join.right.schema())?;
        let (left, right) = (join.left.as_ref(), join.right.as_ref());
        let schema = build_join_schema(left.schema(), right.schema(), &join.join_type)?;
        let node = StreamJoinNode {
            left: left.clone(),
            right: right.clone(),
            join_type: join.join_type,
            filters: [conjunction(condition.left), conjunction(condition.right)],
            pair: conjunction(condition.pair),
            keys: condition.keys,
            bounds,
            operator_id: 0,
            partitions: 0,
            schema: Arc::new(schema),
        };
        Ok(Self { node })
    }

    /// When its rows leave state.
    pub fn bounds(&self) -> &StateBounds {
        &self.node.bounds
    }

    /// The node, under its number.
    pub fn numbered(self, operator_id: u32, partitions: usize) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(StreamJoinNode {
                operator_id,
                partitions,
                ..self.node
            }),
        })
    }
}

impl StreamJoinNode {
    /// Id of the operator, stable across restarts.
    pub fn operator_id(&self) -> u32 {
        self.operator_id
    }

    /// What its state is made of: which rows are kept and which of them remember that they had a match.
    pub fn parts(&self) -> Vec<(&'static str, Expr)> {
        let mut parts = vec![("join type", lit(self.join_type.to_string().to_lowercase()))];
        for key in &self.keys {
            parts.push(("left key", key.left.clone()));
            parts.push(("right key", key.right.clone()));
            let equality = if key.null_safe { "<=>" } else { "=" };
            parts.push(("equality", lit(equality)));
        }
        let [left, right] = &self.filters;
        let conditions = [
            ("condition on the left", left),
            ("condition on the right", right),
            ("condition on both", &self.pair),
        ];
        let conditions = conditions.into_iter().filter_map(|(what, condition)| {
            let condition = condition.as_ref()?;
            Some((what, condition.clone()))
        });
        parts.extend(conditions);
        parts
    }

    fn optional(&self) -> impl Iterator<Item = &Expr> {
        self.filters.iter().chain([&self.pair]).flatten()
    }

    /// One side: its keys, apart from the row, and what state makes of them.
    fn side(&self, lowering: &Lowering<'_>, side: usize) -> Result<JoinSide> {
        let inputs = lowering.inputs::<2>()?;
        let Some(input) = inputs.get(side) else {
            return internal_err!("a join has two sides");
        };
        let (logical, bound, exprs) = match side {
            0 => (
                self.left.schema(),
                self.bounds.left(),
                self.key_exprs(|key| &key.left),
            ),
            _ => (
                self.right.schema(),
                self.bounds.right(),
                self.key_exprs(|key| &key.right),
            ),
        };
        let (keeps_left, keeps_right) = super::condition::preserved(self.join_type);
        let keeps = if side == 0 { keeps_left } else { keeps_right };
        let parts = self.key_parts(&exprs, logical)?;
        let layout = SideLayout::try_new(parts, logical, bound, keeps)?;
        let projected = layout
            .lead()
            .iter()
            .map(|part| Ok((lowering.expr(&part.expr, side)?, part.field.name().clone())))
            .chain(
                input
                    .schema()
                    .fields()
                    .iter()
                    .enumerate()
                    .map(|(index, field)| {
                        let column = datafusion::physical_expr::expressions::Column::new(
                            field.name(),
                            index,
                        );
                        Ok((Arc::new(column) as _, field.name().clone()))
                    }),
            )
            .collect::<Result<Vec<_>>>()?;
        let projection = Arc::new(ProjectionExec::try_new(projected, Arc::clone(input))?);
        let exchange = ExchangeExec::new(projection, layout.keys(), self.partitions);
        let filter = self.filters.get(side).and_then(Option::as_ref);
        let filter = filter
            .map(|filter| lowering.expr(filter, side))
            .transpose()?;
        Ok(JoinSide::new(Arc::new(exchange), layout, filter))
    }

    fn key_exprs(&self, of: impl Fn(&JoinKey) -> &Expr) -> Vec<Expr> {
        self.keys.iter().map(of).cloned().collect()
    }

    /// The key's columns; a time window is two of them.
    fn key_parts(&self, keys: &[Expr], schema: &DFSchema) -> Result<Vec<KeyPart>> {
        let mut parts = vec![];
        for (index, expr) in keys.iter().enumerate() {
            let (_, field) = expr.to_field(schema)?;
            let evicts = self.bounds.key == Some(index);
            if !is_window(&field) {
                parts.push(KeyPart::new(
                    expr.clone(),
                    field.data_type(),
                    index,
                    "",
                    evicts,
                ));
                continue;
            }
            let arrow::datatypes::DataType::Struct(bounds) = field.data_type() else {
                return internal_err!("a time window is a struct");
            };
            for bound in bounds {
                let part =
                    datafusion::functions::core::expr_fn::get_field(expr.clone(), bound.name());
                let evicts = evicts && bound.name() == "end";
                parts.push(KeyPart::new(
                    part,
                    bound.data_type(),
                    index,
                    bound.name(),
                    evicts,
                ));
            }
        }
        Ok(parts)
    }
}

impl PlannedNode for StreamJoinNode {
    /// On both sides: keys apart, exchange by key; then the join.
    fn plan(&self, lowering: &Lowering<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let sides = [self.side(lowering, 0)?, self.side(lowering, 1)?];
        let joined = self.left.schema().join(self.right.schema())?;
        let pair = match &self.pair {
            Some(pair) => Some(lowering.expr_over(pair, &joined)?),
            None => None,
        };
        Ok(Arc::new(SymmetricHashJoinExec::try_new(
            sides,
            self.join_type,
            pair,
            self.operator_id,
            self.output(),
        )?))
    }
}

impl PartialOrd for StreamJoinNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.operator_id, self.partitions)
            .partial_cmp(&(other.operator_id, other.partitions))
            .filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for StreamJoinNode {
    fn name(&self) -> &str {
        "StreamJoin"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        self.keys
            .iter()
            .flat_map(|key| [&key.left, &key.right])
            .chain(self.optional())
            .cloned()
            .collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let keys: Vec<_> = self
            .keys
            .iter()
            .map(|key| {
                format!(
                    "{} {} {}",
                    key.left,
                    if key.null_safe { "<=>" } else { "=" },
                    key.right
                )
            })
            .collect();
        let filters: Vec<_> = self.optional().map(ToString::to_string).collect();
        let evicts = |bound: Option<SideBound>| match bound {
            None => "never".to_string(),
            Some(SideBound::Key(key)) => format!("key {key}"),
            Some(SideBound::EventTime(range)) => format!("event time {:+} ms", range.at(0)),
        };
        write!(
            f,
            "StreamJoin: {}, keys=[{}], filters=[{}], evicts=[{}, {}], operator={}",
            self.join_type,
            keys.join(", "),
            filters.join(", "),
            evicts(self.bounds.left()),
            evicts(self.bounds.right()),
            self.operator_id,
        )
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([left, right]) = <[_; 2]>::try_from(inputs) else {
            return internal_err!("a join has two inputs");
        };
        let expected = self.expressions().len();
        if exprs.len() != expected {
            return internal_err!("a join has {expected} expressions, got {}", exprs.len());
        }
        let mut exprs = exprs.into_iter();
        let mut keys = self.keys.clone();
        for key in &mut keys {
            if let (Some(left), Some(right)) = (exprs.next(), exprs.next()) {
                (key.left, key.right) = (left, right);
            }
        }
        let mut filters = self.filters.clone();
        let mut pair = self.pair.clone();
        for place in filters.iter_mut().chain([&mut pair]) {
            if place.is_some() {
                *place = exprs.next();
            }
        }
        let schema = build_join_schema(left.schema(), right.schema(), &self.join_type)?;
        Ok(Self {
            left,
            right,
            keys,
            filters,
            pair,
            schema: Arc::new(schema),
            ..self.clone()
        })
    }

    /// Of each side what is read above; what the condition reads is added by DataFusion.
    fn necessary_children_exprs(&self, output: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.left.schema().fields().len();
        let (left, right): (Vec<_>, Vec<_>) = output.iter().partition(|column| **column < width);
        let right = right
            .into_iter()
            .map(|column: usize| column - width)
            .collect();
        Some(vec![left, right])
    }
}
