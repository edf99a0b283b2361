//! Whether the operators of a restarted query may go on with the state of its checkpoint.
//!
//! | the checkpoint | the plan | answer |
//! |---|---|---|
//! | has no state folder for any operator | has operators | refused: the state is missing |
//! | knows operators by id and name | has others | refused, as Spark does |
//! | describes an operator | computes something else of the same types | refused, which Spark does not do |
//! | describes an operator | computes something else of other types | left to the stores, which refuse other columns; if they do not, the batch fails before its output is committed |
//! | knows nothing of an operator | has it | accepted, and described from now on |
//!
//! The order of what a condition joins by AND is no difference.
//!
//! The comparison is with `state/<id>/_metadata/`; a query's first batch writes it.
use millstream_checkpoint::{
    CheckpointDir, NextBatch, OperatorDescription, OperatorFact, OperatorInfo, OperatorMetadata,
    StateStoreInfo,
};
use millstream_state::{StateReader, StateStoreId};

use crate::{EngineError, plan::StreamingPlan};

/// Compares a plan with what a checkpoint says of its operators.
///
/// # Errors
/// When they do not go together, or the checkpoint cannot be read.
pub(super) async fn compare(
    dir: &CheckpointDir,
    next: &NextBatch,
    plan: &StreamingPlan,
) -> Result<Comparison, EngineError> {
    let planned = described(plan);
    let mut comparison = Comparison::default();
    if next.batch_id() == 0 {
        comparison.unknown = planned;
        return Ok(comparison);
    }
    let log = dir.operators();
    let folders = log.ids().await?;
    let mut stored = vec![];
    for id in &folders {
        if let Some(metadata) = log.metadata(*id).await? {
            stored.push(metadata.operator_info);
        }
    }
    let names = |operators: &[OperatorInfo]| -> Vec<String> {
        let mut names: Vec<String> = operators
            .iter()
            .map(|operator| {
                let (id, name) = (operator.operator_id, &operator.operator_name);
                format!("(OperatorId: {id} -> OperatorName: {name})")
            })
            .collect();
        names.sort();
        names
    };
    let in_plan: Vec<OperatorInfo> = planned
        .iter()
        .map(|(metadata, _)| metadata.operator_info.clone())
        .collect();
    if folders.is_empty() && !in_plan.is_empty() {
        return Err(EngineError::MissingState {
            planned: names(&in_plan).join(", "),
        });
    }
    // Before there were metadata files, the folders alone told which operators there are.
    let known = !stored.is_empty();
    let other_operators = match known {
        true => names(&stored) != names(&in_plan),
        false => in_plan
            .iter()
            .any(|operator| !folders.contains(&operator.operator_id)),
    };
    if other_operators {
        return Err(EngineError::OtherOperators {
            stored: names(&stored).join(", "),
            planned: names(&in_plan).join(", "),
        });
    }
    for (metadata, description) in planned {
        let id = metadata.operator_info.operator_id;
        match log.description(id).await? {
            None => comparison.unknown.push((metadata, description)),
            Some(stored) => {
                let changes = changes(&stored, &description);
                if !changes.is_empty() {
                    comparison.changed.push(ChangedOperator {
                        same_types: types(&stored) == types(&description),
                        changes,
                        metadata,
                        description,
                    });
                }
            }
        }
    }
    comparison.other_columns = other_columns(dir, next, plan, &comparison.changed).await?;
    Ok(comparison)
}

/// Whether stores of changed operators would refuse the state that they find.
async fn other_columns(
    dir: &CheckpointDir,
    next: &NextBatch,
    plan: &StreamingPlan,
    changed: &[ChangedOperator],
) -> Result<bool, EngineError> {
    if changed.is_empty() {
        return Ok(false);
    }
    let reader = StateReader::new(dir.state());
    for store in plan.stores().map_err(EngineError::Plan)? {
        let of = |operator: &ChangedOperator| operator.metadata.operator_info.operator_id;
        if !changed.iter().any(|it| of(it) == store.operator_id) {
            continue;
        }
        let id = StateStoreId::named(store.operator_id, 0, store.name);
        if !reader.fits(&id, &store.schema, next.batch_id()).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What a comparison came to.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// Operators of which the checkpoint says nothing yet.
    unknown: Vec<(OperatorMetadata, OperatorDescription)>,
    /// Operators that compute something else.
    changed: Vec<ChangedOperator>,
    /// Whether a changed operator has other columns in its state, too: then no conf lets it go on.
    other_columns: bool,
}

/// An operator that does not compute what its state holds.
#[derive(Debug)]
struct ChangedOperator {
    metadata: OperatorMetadata,
    description: OperatorDescription,
    changes: Vec<String>,
    /// Whether its columns have the types of before, so that no store would notice.
    same_types: bool,
}

impl Comparison {
    /// What changed, operator by operator.
    pub fn changes(&self) -> Vec<String> {
        self.changed
            .iter()
            .map(|operator| {
                let OperatorInfo {
                    operator_id,
                    operator_name,
                } = &operator.metadata.operator_info;
                let changes = operator.changes.join("; ");
                format!("operator {operator_id} ({operator_name}): {changes}")
            })
            .collect()
    }

    /// Whether the conf may let the state go on.
    pub fn may_go_on(&self) -> bool {
        self.unnoticed() && !self.other_columns
    }

    /// Whether the stores would not notice, by the types of what operators compute with.
    pub fn unnoticed(&self) -> bool {
        self.changed.iter().any(|operator| operator.same_types)
    }

    /// The refusal.
    pub fn refusal(&self) -> EngineError {
        let changes = self.changes().join("; ");
        match self.other_columns {
            false => EngineError::ChangedOperators { changes },
            true => EngineError::ChangedState { changes },
        }
    }

    /// Writes down what the checkpoint does not know, and with `allowed` also what changed.
    pub async fn record(&self, dir: &CheckpointDir, allowed: bool) -> Result<(), EngineError> {
        let log = dir.operators();
        for (metadata, description) in &self.unknown {
            log.write(metadata, description).await?;
        }
        // What the stores are about to refuse is not what the state was made by.
        let goes_on = allowed && !self.other_columns;
        for operator in self.changed.iter().filter(|_| goes_on) {
            log.write(&operator.metadata, &operator.description).await?;
        }
        Ok(())
    }
}

/// Brings the number of partitions in Spark's file up to date: state may have got another one, or have been taken back to
/// a batch before that.
pub(super) async fn record_partitions(
    dir: &CheckpointDir,
    plan: &StreamingPlan,
) -> Result<(), EngineError> {
    let log = dir.operators();
    let counts = |metadata: &OperatorMetadata| -> Vec<u32> {
        let stores = metadata.state_store_info.iter();
        stores.map(|store| store.num_partitions).collect()
    };
    for (metadata, _) in described(plan) {
        let stored = log.metadata(metadata.operator_info.operator_id).await?;
        if stored.is_some_and(|stored| counts(&stored) != counts(&metadata)) {
            log.write_metadata(&metadata).await?;
        }
    }
    Ok(())
}

/// Both files of every operator of a plan.
fn described(plan: &StreamingPlan) -> Vec<(OperatorMetadata, OperatorDescription)> {
    let facts = |id: u32| -> Vec<OperatorFact> {
        let found = plan.descriptions.iter().find(|(of, _)| *of == id);
        found.map(|(_, facts)| facts.clone()).unwrap_or_default()
    };
    plan.operators
        .iter()
        .map(|operator| {
            let metadata = OperatorMetadata {
                operator_info: OperatorInfo {
                    operator_id: operator.id,
                    operator_name: operator.name.to_string(),
                },
                state_store_info: vec![StateStoreInfo {
                    store_name: millstream_state::DEFAULT_STORE.to_string(),
                    num_cols_prefix_key: prefix(operator.name, &facts(operator.id)),
                    num_partitions: u32::try_from(operator.partitions).unwrap_or(u32::MAX),
                }],
            };
            let description = OperatorDescription {
                operator: operator.name.to_string(),
                facts: facts(operator.id),
            };
            (metadata, description)
        })
        .collect()
}

/// How many leading columns of its key an operator's scans go by: a session is looked for among all of its group's, which
/// differ in the time that follows. Other operators look up whole keys.
fn prefix(operator: &str, facts: &[OperatorFact]) -> u32 {
    match operator {
        "sessionWindowStateStoreSaveExec" => {
            let keys = facts.iter().filter(|fact| fact.what == "grouping key");
            u32::try_from(keys.count()).unwrap_or(u32::MAX)
        }
        _ => 0,
    }
}

fn types(description: &OperatorDescription) -> Vec<(&str, &str)> {
    let facts = description.facts.iter();
    facts
        .map(|fact| (fact.what.as_str(), fact.data_type.as_str()))
        .collect()
}

/// Whether two facts say the same: what is joined by AND may stand in any order.
fn same(was: &OperatorFact, is: &OperatorFact) -> bool {
    let reordered = || {
        let (was, is) = (conjuncts(&was.is), conjuncts(&is.is));
        was.is_some() && was == is
    };
    was == is || (was.what == is.what && was.data_type == is.data_type && reordered())
}

/// The words of what a text joins by AND, sorted. `None` if other operators that are words stand beside the ANDs: how
/// those bind cannot be seen from a text.
fn conjuncts(text: &str) -> Option<Vec<Vec<&str>>> {
    let mut conjuncts = vec![vec![]];
    let (mut depth, mut quoted) = (0, false);
    for word in text.split(' ') {
        let top = depth == 0 && !quoted;
        let operator = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_uppercase());
        match word {
            "AND" if top => conjuncts.push(vec![]),
            _ if top && operator => return None,
            _ => conjuncts.last_mut()?.push(word),
        }
        for byte in word.bytes() {
            match byte {
                b'"' => quoted = !quoted,
                b'(' if !quoted => depth += 1,
                b')' if !quoted => depth -= 1,
                _ => {}
            }
        }
    }
    conjuncts.sort();
    Some(conjuncts)
}

/// What is different, in words.
fn changes(stored: &OperatorDescription, planned: &OperatorDescription) -> Vec<String> {
    let mut changes = vec![];
    let longest = stored.facts.len().max(planned.facts.len());
    for index in 0..longest {
        match (stored.facts.get(index), planned.facts.get(index)) {
            (Some(was), Some(is)) if !same(was, is) => changes.push(match was.what == is.what {
                true => format!("{} {} became {}", was.what, was.is, is.is),
                false => format!("{} {} became {} {}", was.what, was.is, is.what, is.is),
            }),
            (Some(was), None) => changes.push(format!("{} {} is gone", was.what, was.is)),
            (None, Some(is)) => changes.push(format!("{} {} is new", is.what, is.is)),
            _ => {}
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(what: &str, is: &str, data_type: &str) -> OperatorFact {
        OperatorFact {
            what: what.into(),
            is: is.into(),
            data_type: data_type.into(),
        }
    }

    fn of(facts: &[OperatorFact]) -> OperatorDescription {
        OperatorDescription {
            operator: "stateStoreSave".into(),
            facts: facts.to_vec(),
        }
    }

    #[test]
    fn a_change_names_what_was_and_what_is() {
        let (key, count) = (
            fact("grouping key", "k", "Utf8"),
            fact("aggregate", "count(1)", "Int64"),
        );
        let sum = fact("aggregate", "sum(v)", "Int64");
        let stored = of(&[key.clone(), count.clone()]);
        assert!(changes(&stored, &stored).is_empty());
        let summed = of(&[key.clone(), sum.clone()]);
        assert_eq!(
            changes(&stored, &summed),
            ["aggregate count(1) became sum(v)"]
        );
        assert_eq!(types(&stored), types(&summed));
        let both = of(&[key.clone(), count.clone(), sum]);
        assert_eq!(changes(&stored, &both), ["aggregate sum(v) is new"]);
        assert_ne!(types(&stored), types(&both));
        assert_eq!(
            changes(&stored, &of(&[key])),
            ["aggregate count(1) is gone"]
        );
    }

    #[test]
    fn the_order_of_a_conditions_parts_is_no_change() {
        let changed = |was: &str, is: &str| {
            let of = |text| of(&[fact("condition on both", text, "Boolean")]);
            !changes(&of(was), &of(is)).is_empty()
        };
        let span = "rt <= lt + Interval(\"5 AND 6\")";
        let (was, is) = (
            format!("rt >= lt AND {span}"),
            format!("{span} AND rt >= lt"),
        );
        assert!(!changed(&was, &is));
        assert!(changed(&was, &format!("{span} AND rt > lt")));
        assert!(changed(
            "a = b AND a = b AND c = d",
            "a = b AND c = d AND c = d"
        ));
        assert!(!changed(
            "(a OR b) AND f(c AND d)",
            "f(c AND d) AND (a OR b)"
        ));
        assert!(changed("f(c AND d)", "f(d AND c)"), "only at the top");
        // `NOT a AND b` may be either of two, and `a OR (b AND c) OR d` loses its brackets.
        assert!(changed("NOT a AND b", "b AND NOT a"));
        assert!(changed("a OR b AND c OR d", "c OR d AND a OR b"));
    }
}
