//! One watermark per stateful operator.
//!
//! A query has one watermark, but an operator above another one must not use it: windows that the lower operator puts out
//! when it evicts them would be late the moment they arrive. So the watermark travels through the plan as the rows do. It
//! starts at the watermark nodes, operators pass it on, held back by as long as they may hold back rows, and where
//! branches meet the lowest counts, of those branches that have one. An operator's *input* watermark is what it compares
//! rows and state with; a lower and an upper window therefore close in the same batch.
//!
//! An operator without a watermark below it stands at zero: nothing is late, nothing is evicted.
//!
//! Spark had one watermark for all operators until 3.4, and with it the rows that were late were those behind the running
//! batch's own watermark, not its predecessor's. `spark.sql.streaming.statefulOperator.allowMultiple=false` brings both
//! back: [`WatermarkFlow::undivided`].
//!
//! ```
//! use millstream_engine::time::{OperatorFlow, WatermarkFlow, WatermarkInput::{Operator, Origin}};
//! let join = OperatorFlow { inputs: vec![Origin, Origin], held_back_ms: 5_000, ..Default::default() };
//! let window = OperatorFlow { inputs: vec![Operator(0)], ..Default::default() };
//! let flow = WatermarkFlow::new(vec![join, window]);
//! assert_eq!(flow.at(60_000), [60_000, 55_000]);
//! ```
use super::BatchWatermarks;

/// Where an operator's watermark comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WatermarkInput {
    /// A watermark node: the query's own watermark.
    Origin,
    /// The output of the stateful operator with this id.
    Operator(u32),
}

/// How event time passes one stateful operator.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorFlow {
    /// The nearest watermark nodes and stateful operators below it.
    pub inputs: Vec<WatermarkInput>,
    /// By how much its rows may be older than its watermark when it puts them out, in milliseconds.
    pub held_back_ms: i64,
    /// What the watermark of its rows never passes, in milliseconds.
    pub at_most_ms: Option<i64>,
}

/// How event time passes the stateful operators of a plan.
#[derive(Debug, Clone, Default)]
pub struct WatermarkFlow {
    operators: Vec<OperatorFlow>,
    undivided: bool,
}

impl WatermarkFlow {
    /// Of operators by id; an operator's inputs have lower ids than itself.
    pub fn new(operators: Vec<OperatorFlow>) -> Self {
        Self {
            operators,
            undivided: false,
        }
    }

    /// The same operators, each of which has the query's watermark of the running batch for late rows and for eviction.
    #[must_use]
    pub fn undivided(self) -> Self {
        Self {
            undivided: true,
            ..self
        }
    }

    /// The input watermark of every operator, by id, when the query's watermark is `watermark_ms`.
    pub fn at(&self, watermark_ms: i64) -> Vec<i64> {
        if self.undivided {
            return vec![watermark_ms; self.operators.len()];
        }
        let mut arriving = Vec::with_capacity(self.operators.len());
        let mut leaving: Vec<Option<i64>> = Vec::with_capacity(self.operators.len());
        for operator in &self.operators {
            let lowest = operator.inputs.iter().filter_map(|input| match input {
                WatermarkInput::Origin => Some(watermark_ms),
                WatermarkInput::Operator(id) => leaving.get(*id as usize).copied().flatten(),
            });
            let input = lowest.min();
            arriving.push(input.unwrap_or(0));
            leaving.push(input.map(|input| {
                let held_back = input.saturating_sub(operator.held_back_ms.max(0));
                held_back.min(operator.at_most_ms.unwrap_or(i64::MAX))
            }));
        }
        arriving
    }

    /// The watermarks of every operator in a batch, from those of the query.
    pub fn in_batch(&self, query: BatchWatermarks) -> Vec<BatchWatermarks> {
        let late_ms = match self.undivided {
            true => query.eviction_ms,
            false => query.late_ms,
        };
        self.at(late_ms)
            .into_iter()
            .zip(self.at(query.eviction_ms))
            .map(|(late_ms, eviction_ms)| BatchWatermarks {
                late_ms,
                eviction_ms,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        WatermarkInput::{Operator, Origin},
        *,
    };

    fn passes(inputs: &[WatermarkInput]) -> OperatorFlow {
        OperatorFlow {
            inputs: inputs.to_vec(),
            ..OperatorFlow::default()
        }
    }

    #[test]
    fn an_operator_over_several_branches_has_the_lowest_of_their_watermarks() {
        let slow = OperatorFlow {
            inputs: vec![Origin],
            held_back_ms: 300,
            at_most_ms: None,
        };
        let flow = WatermarkFlow::new(vec![slow, passes(&[Operator(0), Origin])]);
        assert_eq!(flow.at(1_000), [1_000, 700]);
    }

    #[test]
    fn an_operator_without_a_watermark_below_it_stands_at_zero_and_so_do_those_above() {
        let flow = WatermarkFlow::new(vec![passes(&[]), passes(&[Operator(0)])]);
        assert_eq!(flow.at(1_000), [0, 0]);
    }

    #[test]
    fn a_branch_without_a_watermark_does_not_count_where_another_has_one() {
        let flow = WatermarkFlow::new(vec![passes(&[]), passes(&[Operator(0), Origin])]);
        assert_eq!(flow.at(1_000), [0, 1_000]);
    }

    #[test]
    fn what_an_operator_never_passes_holds_back_those_above() {
        let held = OperatorFlow {
            at_most_ms: Some(-1),
            ..passes(&[Origin])
        };
        let flow = WatermarkFlow::new(vec![held, passes(&[Operator(0)])]);
        assert_eq!(flow.at(1_000), [1_000, -1]);
    }

    #[test]
    fn late_rows_and_eviction_follow_their_own_watermark_of_the_query() {
        let flow = WatermarkFlow::new(vec![passes(&[Origin])]);
        let batch = BatchWatermarks {
            late_ms: 10,
            eviction_ms: 20,
        };
        assert_eq!(flow.in_batch(batch), [batch]);
    }

    #[test]
    fn undivided_every_operator_has_the_watermark_of_the_running_batch_for_both() {
        let slow = OperatorFlow {
            inputs: vec![Origin],
            held_back_ms: 300,
            at_most_ms: None,
        };
        let flow = WatermarkFlow::new(vec![slow, passes(&[Operator(0)]), passes(&[])]).undivided();
        let batch = BatchWatermarks {
            late_ms: 10,
            eviction_ms: 20,
        };
        let both = BatchWatermarks {
            late_ms: 20,
            eviction_ms: 20,
        };
        assert_eq!(flow.in_batch(batch), [both; 3]);
    }
}
