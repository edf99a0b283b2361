//! The stores of a plan's operators, for whoever works on state between batches.
use std::sync::Arc;

use datafusion::{
    common::{Result, internal_err},
    physical_plan::ExecutionPlan,
};
use millstream_state::StateSchema;

use super::{
    aggregate::StateAggregateExec, deduplicate::StateDeduplicateExec, join::SymmetricHashJoinExec,
    limit::GlobalLimitExec, session::SessionAggregateExec,
};

/// A store of a stateful operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OperatorStore {
    /// Id of the operator.
    pub operator_id: u32,
    /// Name of the store within it.
    pub name: &'static str,
    /// Its columns.
    pub schema: StateSchema,
    /// How many leading key columns the exchange in front of the operator hashes: they say in which partition an entry
    /// is. 0 if the operator has one partition.
    pub placed_by: usize,
}

/// An operator that keeps state.
pub(crate) trait KeepsState {
    /// All of its stores.
    fn stores(&self) -> Vec<OperatorStore>;
}

/// The stores of all operators of a plan, by operator.
pub(crate) fn stores_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<OperatorStore>> {
    let mut found: Vec<OperatorStore> = vec![];
    for input in plan.children() {
        found.extend(stores_of(input)?);
    }
    // One line per stateful operator.
    let own = keeper::<StateAggregateExec>(plan)
        .or_else(|| keeper::<StateDeduplicateExec>(plan))
        .or_else(|| keeper::<GlobalLimitExec>(plan))
        .or_else(|| keeper::<SymmetricHashJoinExec>(plan))
        .or_else(|| keeper::<SessionAggregateExec>(plan));
    let own = own.map(KeepsState::stores).unwrap_or_default();
    for store in own {
        if found
            .iter()
            .any(|other| other.operator_id == store.operator_id && other.name == store.name)
        {
            return internal_err!(
                "store {} of operator {} is in the plan twice",
                store.name,
                store.operator_id
            );
        }
        found.push(store);
    }
    found.sort_by_key(|store| store.operator_id);
    Ok(found)
}

fn keeper<E: KeepsState + ExecutionPlan + 'static>(
    plan: &Arc<dyn ExecutionPlan>,
) -> Option<&dyn KeepsState> {
    plan.downcast_ref::<E>().map(|exec| exec as &dyn KeepsState)
}
