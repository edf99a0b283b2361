//! Watermarks: how far event time has got, and what that makes late.
//!
//! Every watermark node of a plan measures the event times that pass it. At the end of a batch its own watermark is
//! the highest event time so far less the delay threshold; the query's watermark is the minimum (or, by policy, the
//! maximum) over all nodes, and never goes back. A node that has not seen a row yet stands at zero, so under the
//! minimum policy nothing moves before every input has spoken.
//!
//! The watermark computed at the end of batch N is written with N's commit and used by batch N+1. There, rows are
//! late if they are at or below the watermark of batch N (the *previous* one), and state is evicted if it is at or
//! below that of batch N+1 (the *current* one).
//!
//! Per-node values are not persisted: after a restart nodes begin at zero while the query's watermark is kept.
//!
//! ```
//! use millstream_engine::time::{EventTimeStats, WatermarkPolicy, WatermarkTracker};
//! let mut tracker = WatermarkTracker::new(WatermarkPolicy::Min, vec![10_000], 0);
//! let mut seen = EventTimeStats::default();
//! seen.observe_ms(25_000);
//! tracker.advance([(0, seen)]);
//! assert_eq!(tracker.current_ms(), 15_000);
//! ```
use std::{fmt, str::FromStr};

/// Event times that one watermark node saw in one batch, in milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct EventTimeStats {
    /// Rows with an event time.
    pub count: u64,
    /// Highest.
    pub max_ms: i64,
    /// Lowest.
    pub min_ms: i64,
    /// Sum, for the average.
    pub sum_ms: i128,
}

impl EventTimeStats {
    /// Adds one event time.
    pub fn observe_ms(&mut self, event_ms: i64) {
        self.merge(&Self {
            count: 1,
            max_ms: event_ms,
            min_ms: event_ms,
            sum_ms: i128::from(event_ms),
        });
    }

    /// Adds what another partition saw.
    pub fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        self.count += other.count;
        self.max_ms = self.max_ms.max(other.max_ms);
        self.min_ms = self.min_ms.min(other.min_ms);
        self.sum_ms += other.sum_ms;
    }

    /// Mean event time, truncated to milliseconds; zero if there was no row.
    pub fn avg_ms(&self) -> i64 {
        if self.count == 0 {
            return 0;
        }
        i64::try_from(self.sum_ms / i128::from(self.count)).unwrap_or(i64::MAX)
    }
}

/// How several watermarks become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WatermarkPolicy {
    /// The slowest input decides: no row is late that any input may still bring.
    #[default]
    Min,
    /// The fastest input decides.
    Max,
}

/// A watermark policy that nobody knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid value '{text}' for spark.sql.streaming.multipleWatermarkPolicy; valid values are 'min' and 'max'"
)]
pub struct UnknownWatermarkPolicy {
    /// The text as given.
    pub text: String,
}

impl FromStr for WatermarkPolicy {
    type Err = UnknownWatermarkPolicy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "min" => Ok(Self::Min),
            "max" => Ok(Self::Max),
            _ => Err(UnknownWatermarkPolicy {
                text: text.to_string(),
            }),
        }
    }
}

impl fmt::Display for WatermarkPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Min => "min",
            Self::Max => "max",
        })
    }
}

/// The query's watermark over its life.
#[derive(Debug, Clone)]
pub struct WatermarkTracker {
    policy: WatermarkPolicy,
    delays_ms: Vec<i64>,
    reached_ms: Vec<Option<i64>>,
    /// The watermark of each node.
    nodes: Vec<usize>,
    current_ms: i64,
}

impl WatermarkTracker {
    /// One delay threshold per watermark, each of one node; `current_ms` is what the last commit says (0 for a new query).
    pub fn new(policy: WatermarkPolicy, delays_ms: Vec<i64>, current_ms: i64) -> Self {
        Self {
            policy,
            reached_ms: vec![None; delays_ms.len()],
            nodes: (0..delays_ms.len()).collect(),
            delays_ms,
            current_ms,
        }
    }

    /// Of nodes by id the watermarks that they are of: a view that a query reads twice has two nodes of one watermark, which
    /// is where the one that is ahead has got.
    #[must_use]
    pub fn of_nodes(self, nodes: Vec<usize>) -> Self {
        Self { nodes, ..self }
    }

    /// The watermark that the next batch uses, milliseconds since the epoch.
    pub fn current_ms(&self) -> i64 {
        self.current_ms
    }

    /// Takes in what the nodes saw in a batch.
    pub fn advance(&mut self, seen: impl IntoIterator<Item = (u32, EventTimeStats)>) {
        for (node, stats) in seen {
            let Some(&index) = self.nodes.get(node as usize) else {
                continue;
            };
            let (Some(delay), Some(at)) =
                (self.delays_ms.get(index), self.reached_ms.get_mut(index))
            else {
                continue;
            };
            if stats.count > 0 {
                let reached = stats.max_ms.saturating_sub(*delay);
                *at = Some(at.map_or(reached, |before| before.max(reached)));
            }
        }
        let reached = self.reached_ms.iter().map(|at| at.unwrap_or(0));
        let chosen = match self.policy {
            WatermarkPolicy::Min => reached.min(),
            WatermarkPolicy::Max => reached.max(),
        };
        self.current_ms = self.current_ms.max(chosen.unwrap_or(0));
    }
}

/// The two watermarks of a batch, milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BatchWatermarks {
    /// Rows at or below this are late: the watermark of the previous batch.
    pub late_ms: i64,
    /// State at or below this is evicted: the watermark of this batch.
    pub eviction_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(event_ms: &[i64]) -> EventTimeStats {
        let mut stats = EventTimeStats::default();
        event_ms.iter().for_each(|at| stats.observe_ms(*at));
        stats
    }

    #[test]
    fn watermark_follows_the_highest_event_time_and_never_goes_back() {
        let mut tracker = WatermarkTracker::new(WatermarkPolicy::Min, vec![10_000], 0);
        tracker.advance([(0, seen(&[30_000, 50_000]))]);
        assert_eq!(tracker.current_ms(), 40_000);
        tracker.advance([(0, seen(&[20_000]))]);
        assert_eq!(tracker.current_ms(), 40_000);
        tracker.advance([]);
        assert_eq!(tracker.current_ms(), 40_000);
    }

    #[test]
    fn min_policy_waits_for_every_node_while_max_policy_does_not() {
        let mut min = WatermarkTracker::new(WatermarkPolicy::Min, vec![0, 0], 0);
        let mut max = WatermarkTracker::new(WatermarkPolicy::Max, vec![0, 0], 0);
        for tracker in [&mut min, &mut max] {
            tracker.advance([(0, seen(&[60_000]))]);
        }
        assert_eq!((min.current_ms(), max.current_ms()), (0, 60_000));
        min.advance([(1, seen(&[45_000]))]);
        assert_eq!(min.current_ms(), 45_000);
    }

    #[test]
    fn two_nodes_of_one_watermark_are_where_the_first_of_them_is() {
        let tracker = WatermarkTracker::new(WatermarkPolicy::Min, vec![0], 0);
        let mut tracker = tracker.of_nodes(vec![0, 0]);
        tracker.advance([(0, seen(&[60_000])), (1, seen(&[45_000]))]);
        assert_eq!(tracker.current_ms(), 60_000);
    }

    #[test]
    fn a_restarted_tracker_keeps_the_query_watermark_until_its_nodes_pass_it() {
        let mut tracker = WatermarkTracker::new(WatermarkPolicy::Min, vec![5_000], 90_000);
        tracker.advance([(0, seen(&[50_000]))]);
        assert_eq!(tracker.current_ms(), 90_000);
        tracker.advance([(0, seen(&[100_000]))]);
        assert_eq!(tracker.current_ms(), 95_000);
    }

    #[test]
    fn statistics_of_partitions_add_up() {
        let mut left = seen(&[1, 5]);
        left.merge(&EventTimeStats::default());
        left.merge(&seen(&[9]));
        assert_eq!(
            (left.count, left.min_ms, left.max_ms, left.avg_ms()),
            (3, 1, 9, 5)
        );
    }
}
