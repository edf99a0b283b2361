//! The first half of every streaming aggregation: what a batch brought, one row per group and input partition.
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::{
    common::{Result, ScalarValue},
    logical_expr::{Aggregate, Expr},
    physical_expr::{
        PhysicalExpr,
        aggregate::AggregateFunctionExpr,
        expressions::{CastExpr, Column, Literal},
    },
    physical_plan::{
        ExecutionPlan,
        aggregates::{AggregateExec, AggregateMode, PhysicalGroupBy},
        projection::ProjectionExec,
    },
};

use crate::plan::Lowering;

/// Partial groups, and the functions that made them.
pub(in crate::operator) struct Partial {
    /// Key columns, then state columns.
    pub plan: Arc<dyn ExecutionPlan>,
    /// The aggregate functions.
    pub functions: Vec<Arc<AggregateFunctionExpr>>,
}

/// Aggregates an input partially by `keys`, each under its name; with grouping `sets`, once for each set.
///
/// A set says of each key whether it is left out. Then a column with the number of the set follows the keys: a bit for
/// every key that is left out, the first key highest, above them a bit that is never set, and above that how many
/// equal sets came before.
pub(in crate::operator) fn partial(
    lowering: &Lowering<'_>,
    keys: &[(&Expr, &str)],
    sets: Option<&[Vec<bool>]>,
    calls: &[Expr],
) -> Result<Partial> {
    let [input] = lowering.inputs()?;
    let schema = input.schema();
    let named = keys
        .iter()
        .map(|(key, name)| Ok((lowering.expr(key, 0)?, (*name).to_string())))
        .collect::<Result<Vec<_>>>()?;
    let calls = calls
        .iter()
        .map(|call| lowering.aggregate(call, 0))
        .collect::<Result<Vec<_>>>()?;
    let (functions, filters): (Vec<_>, Vec<_>) = calls.into_iter().unzip();
    let group_by = match sets {
        None => PhysicalGroupBy::new_single(named),
        Some(sets) => {
            // DataFusion gives an empty set a row where there are no rows, which would touch state. So no set is empty.
            let always: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(ScalarValue::from(true)));
            let named: Vec<_> = [(always, ALWAYS.to_string())]
                .into_iter()
                .chain(named)
                .collect();
            let nulls = named
                .iter()
                .map(|(key, name)| {
                    let null = ScalarValue::try_from(&key.data_type(&schema)?)?;
                    let null: Arc<dyn PhysicalExpr> = Arc::new(Literal::new(null));
                    Ok((null, name.clone()))
                })
                .collect::<Result<Vec<_>>>()?;
            let masks = sets.iter().map(|set| {
                let mut mask = vec![false];
                mask.extend(set);
                mask
            });
            PhysicalGroupBy::new(named, nulls, masks.collect(), true)
        }
    };
    let plan: Arc<dyn ExecutionPlan> = Arc::new(AggregateExec::try_new(
        AggregateMode::Partial,
        group_by,
        functions.clone(),
        filters,
        input,
        schema,
    )?);
    let plan = match sets {
        None => plan,
        Some(_) => with_set_number(plan)?,
    };
    Ok(Partial { plan, functions })
}

/// Partial groups of equal `keys` leading columns put together.
pub(in crate::operator) fn reduce(
    plan: Arc<dyn ExecutionPlan>,
    keys: usize,
    functions: &[Arc<AggregateFunctionExpr>],
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    let named = schema.fields().iter().enumerate().take(keys);
    let named = named
        .map(|(index, field)| {
            let column = Column::new(field.name(), index);
            (Arc::new(column) as _, field.name().clone())
        })
        .collect();
    Ok(Arc::new(AggregateExec::try_new(
        AggregateMode::PartialReduce,
        PhysicalGroupBy::new_single(named),
        functions.to_vec(),
        vec![None; functions.len()],
        plan,
        schema,
    )?))
}

/// A key that every grouping set has.
const ALWAYS: &str = "always";

/// The number of the set as a type that state and its placement know, and without the key that says nothing.
fn with_set_number(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let columns: Vec<(Arc<dyn PhysicalExpr>, String)> = plan
        .schema()
        .fields()
        .iter()
        .enumerate()
        .skip(1)
        .map(|(index, field)| {
            let column: Arc<dyn PhysicalExpr> = Arc::new(Column::new(field.name(), index));
            let column = match field.name().as_str() {
                Aggregate::INTERNAL_GROUPING_ID => {
                    Arc::new(CastExpr::new(column, DataType::Int64, None))
                }
                _ => column,
            };
            (column, field.name().clone())
        })
        .collect();
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}
