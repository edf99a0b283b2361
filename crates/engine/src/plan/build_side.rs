//! Keeps streams off the build side of joins.
//!
//! A hash, nested-loop or cross join collects its left input before it reads its right one. In a stream-static join the left
//! input must be the table: it is what fits, and what a later batch may find built already.
use std::sync::Arc;

use datafusion::{
    common::{
        Result,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan,
        joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode},
    },
};

use crate::source::StreamScanExec;

/// The rule; it must run before distribution is enforced.
#[derive(Debug)]
pub(super) struct StaticBuildSide;

impl PhysicalOptimizerRule for StaticBuildSide {
    fn name(&self) -> &str {
        "static_build_side"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let swapped = match plan.children().as_slice() {
                [left, right] if reads_stream(left)? && !reads_stream(right)? => swap(&plan)?,
                _ => None,
            };
            Ok(swapped.map_or_else(|| Transformed::no(plan), Transformed::yes))
        })
        .data()
    }
}

fn swap(plan: &Arc<dyn ExecutionPlan>) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let any: &dyn std::any::Any = plan.as_ref();
    if let Some(join) = any.downcast_ref::<HashJoinExec>() {
        // `NOT IN` must see all of its list before it can say of one row that it is not there, and NULLs on the way: the
        // rows of the batch wait.
        if join.null_aware {
            return Ok(None);
        }
        return join.swap_inputs(PartitionMode::CollectLeft).map(Some);
    }
    if let Some(join) = any.downcast_ref::<NestedLoopJoinExec>() {
        return join.swap_inputs().map(Some);
    }
    if let Some(join) = any.downcast_ref::<CrossJoinExec>() {
        return join.swap_inputs().map(Some);
    }
    Ok(None)
}

fn reads_stream(plan: &Arc<dyn ExecutionPlan>) -> Result<bool> {
    plan.exists(|plan| {
        let any: &dyn std::any::Any = plan.as_ref();
        Ok(any.is::<StreamScanExec>())
    })
}
