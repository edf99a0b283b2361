//! A plan as a batch needs it: without what the batch before left in its operators, but with the tables it joins with.
//!
//! DataFusion's plans hold state: repartitioning has its channels, a hash join the table that it has built of its left
//! input. All of that must go before a plan runs again, except where that table is the same for every batch: a stream
//! joined with a table that has not changed since. Building it again would make every batch as slow as the
//! table is long.
//!
//! A join keeps its table if
//!
//! 1. its left input reads no stream and consists of operators and expressions known to give the same rows every time
//!    (neither the time of the batch nor random numbers), over data that was listed or held when the plan was made;
//! 2. it reports nothing about the left rows that found no match: those marks would outlive the batch.
//!
//! A table that has changed makes another plan ([`RunPlan::replace`]), with nothing kept.
//!
//! A kept join also keeps its metrics, which grow with every batch and cannot be cleared. So everything is let go of
//! once in [`BATCHES_PER_BUILD`] batches.
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::{
    common::{JoinType, Result, tree_node::TreeNode},
    datasource::source::DataSourceExec,
    logical_expr::Volatility,
    physical_expr::{PhysicalExpr, ScalarFunctionExpr},
    physical_plan::{
        ChildrenPropertiesMode, ExecutionPlan, ReplaceChildrenOptions,
        aggregates::AggregateExec,
        coalesce_partitions::CoalescePartitionsExec,
        coop::CooperativeExec,
        empty::EmptyExec,
        execution_plan::reset_plan_states,
        filter::FilterExec,
        joins::{HashJoinExec, PartitionMode},
        placeholder_row::PlaceholderRowExec,
        projection::ProjectionExec,
        repartition::RepartitionExec,
        streaming::StreamingTableExec,
    },
};

/// How many batches share one build of the tables that a plan joins with.
const BATCHES_PER_BUILD: u64 = 512;

/// The plan of a run, from which every batch gets its own.
#[derive(Debug)]
pub(super) struct RunPlan(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    plan: Arc<dyn ExecutionPlan>,
    /// What the tables were of which it was made.
    stamps: Vec<u64>,
    batches: u64,
}

impl RunPlan {
    /// A plan made of tables with these stamps.
    pub fn new(plan: Arc<dyn ExecutionPlan>, stamps: Vec<u64>) -> Self {
        Self(Mutex::new(Kept {
            plan,
            stamps,
            batches: 0,
        }))
    }

    /// Whether it was made of tables with these stamps.
    pub fn is_of(&self, stamps: &[u64]) -> bool {
        self.lock().stamps == stamps
    }

    /// Goes on with a plan made of tables that have become others; nothing is kept of what was built.
    pub fn replace(&self, plan: Arc<dyn ExecutionPlan>, stamps: Vec<u64>) {
        *self.lock() = Kept {
            plan,
            stamps,
            batches: 0,
        };
    }

    /// The plan for the next batch.
    pub fn for_batch(&self) -> Result<Arc<dyn ExecutionPlan>> {
        let mut kept = self.lock();
        if kept.batches.is_multiple_of(BATCHES_PER_BUILD) && kept.batches > 0 {
            kept.plan = reset_plan_states(Arc::clone(&kept.plan))?;
        }
        kept.batches += 1;
        fresh(&kept.plan)
    }

    /// The plan to look at.
    pub fn plan(&self) -> Arc<dyn ExecutionPlan> {
        Arc::clone(&self.lock().plan)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fresh(plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>()
        && keeps_its_table(join)
    {
        let children = vec![Arc::clone(join.left()), fresh(join.right())?];
        return join.builder().with_new_children(children)?.build_exec();
    }
    let children = plan.children().into_iter().map(fresh);
    let children = children.collect::<Result<Vec<_>>>()?;
    let plan = match children.is_empty() {
        true => Arc::clone(plan),
        false => {
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            Arc::clone(plan).replace_children(children, options)?
        }
    };
    plan.reset_state()
}

fn keeps_its_table(join: &HashJoinExec) -> bool {
    let probing_only = matches!(
        join.join_type(),
        JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti
    );
    probing_only
        && *join.partition_mode() == PartitionMode::CollectLeft
        && join.on().iter().all(|(left, _)| is_constant(left))
        && is_table(join.left())
}

/// Whether the plan gives the same rows whenever it runs.
fn is_table(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let known = if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        is_constant(filter.predicate())
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        projection.expr().iter().all(|item| is_constant(&item.expr))
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let calls = aggregate.aggr_expr().iter();
        aggregate
            .group_expr()
            .expr()
            .iter()
            .all(|(key, _)| is_constant(key))
            && calls
                .flat_map(|call| call.expressions())
                .all(|argument| is_constant(&argument))
    } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        join.on()
            .iter()
            .all(|(left, right)| is_constant(left) && is_constant(right))
            && join.filter().is_none()
    } else if let Some(files) = plan.downcast_ref::<StreamingTableExec>() {
        // Files that were listed when the table was described.
        !files.is_infinite()
    } else {
        plan.is::<DataSourceExec>()
            || plan.is::<EmptyExec>()
            || plan.is::<PlaceholderRowExec>()
            || plan.is::<CoalescePartitionsExec>()
            || plan.is::<RepartitionExec>()
            || plan.is::<CooperativeExec>()
    };
    known && plan.children().into_iter().all(is_table)
}

/// Whether an expression is a function of its row alone.
fn is_constant(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let varies = expr.exists(|expr| {
        Ok(expr
            .downcast_ref::<ScalarFunctionExpr>()
            .is_some_and(|call| call.fun().signature().volatility == Volatility::Volatile))
    });
    matches!(varies, Ok(false))
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{Int64Array, RecordBatch},
        datatypes::{DataType, Field, Schema},
    };
    use datafusion::{
        common::NullEquality, datasource::memory::MemorySourceConfig, execution::TaskContext,
        physical_expr::expressions::Column, physical_plan::collect,
    };

    use super::*;

    fn rows(column: &str, values: Vec<i64>) -> Arc<dyn ExecutionPlan> {
        let schema = Arc::new(Schema::new(vec![Field::new(
            column,
            DataType::Int64,
            false,
        )]));
        let values = Arc::new(Int64Array::from(values));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![values]).unwrap();
        MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None).unwrap()
    }

    /// A table of three rows, joined with four of which two match.
    fn joined(kind: JoinType) -> RunPlan {
        let on: Vec<(Arc<dyn PhysicalExpr>, Arc<dyn PhysicalExpr>)> =
            vec![(Arc::new(Column::new("t", 0)), Arc::new(Column::new("s", 0)))];
        let join = HashJoinExec::try_new(
            rows("t", vec![1, 2, 3]),
            rows("s", vec![2, 3, 4, 5]),
            on,
            None,
            &kind,
            None,
            PartitionMode::CollectLeft,
            NullEquality::NullEqualsNothing,
            false,
        );
        RunPlan::new(Arc::new(join.unwrap()), vec![])
    }

    async fn run(plan: &RunPlan) -> usize {
        let batch = plan.for_batch().unwrap();
        let rows = collect(batch, Arc::new(TaskContext::default()));
        rows.await.unwrap().iter().map(RecordBatch::num_rows).sum()
    }

    fn built_rows(plan: &RunPlan) -> Option<usize> {
        let metrics = plan.plan().metrics()?;
        Some(metrics.sum_by_name("build_input_rows")?.as_usize())
    }

    #[tokio::test]
    async fn a_table_is_built_once_for_many_batches_and_every_batch_has_the_same_answer() {
        let plan = joined(JoinType::Inner);
        for _ in 0..3 {
            assert_eq!(run(&plan).await, 2);
        }
        assert_eq!(built_rows(&plan), Some(3));
    }

    #[tokio::test]
    async fn a_join_that_marks_the_rows_of_its_table_builds_it_every_time() {
        let plan = joined(JoinType::LeftAnti);
        for _ in 0..3 {
            assert_eq!(run(&plan).await, 1);
        }
        assert_eq!(built_rows(&plan), None);
    }

    #[tokio::test]
    async fn tables_are_let_go_of_now_and_then() {
        let plan = joined(JoinType::Inner);
        for _ in 0..=BATCHES_PER_BUILD {
            assert_eq!(run(&plan).await, 2);
        }
        // One build since the last time, not two.
        assert_eq!(built_rows(&plan), Some(3));
        let outputs = plan.plan().metrics().unwrap().output_rows();
        assert_eq!(outputs, Some(2));
    }
}
