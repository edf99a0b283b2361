//! Fault points: named places at which a test makes a query fail or the process die.
//!
//! Exactly-once rests on what is durable when the engine stops, so every boundary between two
//! durable effects of a batch has a name here, and the crash matrix stops a query at each of them.
//! A point fires on a chosen hit, deterministically; [`Faults::fired`] lets a test assert that it
//! did, so that a renamed or unreachable point fails the test instead of passing it.
//!
//! The registry belongs to one query, not to the process: tests run side by side. In production it
//! is [`Faults::none`] and a hit costs one branch.
use std::{
    fmt,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::storage::StorageError;

macro_rules! fault_points {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// A place in the life of a batch where a fault can be injected.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum FaultPoint {
            $($(#[$doc])+ $variant,)+
        }

        impl FaultPoint {
            /// All points, in the order in which a batch reaches them.
            pub const ALL: &[FaultPoint] = &[$(FaultPoint::$variant,)+];

            /// The stable name, as used in scenario files and fault specs.
            pub const fn name(self) -> &'static str {
                match self {
                    $(FaultPoint::$variant => $name,)+
                }
            }
        }
    };
}

fault_points! {
    /// A file source has found new files and is about to write `sources/<i>/N`. Fired by
    /// [`crate::CompactLog`].
    BeforeSourceLogWrite = "before-source-log-write",
    /// The file source has recorded its files, `offsets/N` does not exist. Fired by
    /// [`crate::CompactLog`].
    AfterSourceLogWrite = "after-source-log-write",
    /// Nothing of the batch is durable but what sources noted for themselves. Fired by the offset
    /// log.
    BeforeOffsetWrite = "before-offset-write",
    /// `offsets/N` is durable, nothing else. Fired by the offset log.
    AfterOffsetWrite = "after-offset-write",
    /// Some input of the batch has been read and processed. Fired by the engine.
    MidBatch = "mid-batch",
    /// No store has committed version N+1. Fired by the state stores.
    BeforeStateCommit = "before-state-commit",
    /// Some stores have committed version N+1, others have not. Fired by the state stores.
    MidStateCommit = "mid-state-commit",
    /// All stores have committed version N+1, the sink has not. Fired by the state stores.
    AfterStateCommit = "after-state-commit",
    /// The record that state gets another number of partitions is durable, no state is moved. Fired
    /// by the engine.
    BeforeRepartition = "before-repartition",
    /// Some stores are written in their new partitions, others are not. Fired by the state stores.
    MidRepartition = "mid-repartition",
    /// All stores are written in their new partitions, the batch of the repartition is not committed.
    /// Fired by the engine.
    AfterRepartition = "after-repartition",
    /// A snapshot of a state store is about to be written. Fired by the state stores.
    SnapshotWrite = "snapshot-write",
    /// The tasks have written their output, the driver has not committed it. Fired by the engine.
    BeforeSinkCommit = "before-sink-commit",
    /// The sink has begun to commit (a file sink: files in place, no `_spark_metadata/N`). Fired by
    /// sinks.
    MidSinkCommit = "mid-sink-commit",
    /// The sink has committed, `commits/N` does not exist. Fired by the engine.
    AfterSinkCommit = "after-sink-commit",
    /// As `after-sink-commit`, a step later. Fired by the commit log.
    BeforeCommitLog = "before-commit-log",
    /// `commits/N` is durable. Fired by the commit log.
    AfterCommitLog = "after-commit-log",
    /// Sources are being told that they may forget batch N. Fired by the engine.
    SourceCommit = "source-commit",
    /// Some of the log entries that are no longer needed are deleted. Fired by the logs.
    MidPurge = "mid-purge",
    /// A put leaves the first half of the bytes under the final name and fails: a file system that
    /// breaks the storage contract. Fired by [`crate::storage::FaultyStorage`].
    TornPut = "torn-put",
    /// A put fails and writes nothing. Fired by [`crate::storage::FaultyStorage`].
    FailedPut = "failed-put",
    /// A put takes effect, yet its outcome is reported as unknown. Fired by
    /// [`crate::storage::FaultyStorage`].
    PutDoneButError = "put-done-but-error",
    /// A put does not take effect, and its outcome is reported as unknown. Fired by
    /// [`crate::storage::FaultyStorage`].
    PutLostAndError = "put-lost-and-error",
    /// A read fails. Fired by [`crate::storage::FaultyStorage`].
    FailedGet = "failed-get",
}

impl fmt::Display for FaultPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A fault spec that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultSpecError {
    /// No such point.
    #[error("unknown fault point '{name}'; the points are {}", names())]
    UnknownPoint {
        /// What was given.
        name: String,
    },
    /// The hit is not a positive number, or the action is neither `fail` nor `abort`.
    #[error("fault spec '{spec}' is not <point>[:<hit from 1>][:fail|abort]")]
    Malformed {
        /// What was given.
        spec: String,
    },
}

fn names() -> String {
    let names: Vec<_> = FaultPoint::ALL.iter().map(|point| point.name()).collect();
    names.join(", ")
}

impl FromStr for FaultPoint {
    type Err = FaultSpecError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        FaultPoint::ALL
            .iter()
            .copied()
            .find(|point| point.name() == name)
            .ok_or_else(|| FaultSpecError::UnknownPoint {
                name: name.to_owned(),
            })
    }
}

/// What happens when an armed point is hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultAction {
    /// The operation returns [`StorageError::Injected`] (the points of
    /// [`crate::storage::FaultyStorage`]: what they describe).
    Fail,
    /// The process dies on the spot: nothing is flushed, no destructor runs.
    Abort,
}

/// The fault points armed for one query. Clones share the registry.
#[derive(Debug, Clone, Default)]
pub struct Faults(Option<Arc<Mutex<Registry>>>);

#[derive(Debug, Default)]
struct Registry {
    armed: Vec<Armed>,
    fired: Vec<FaultPoint>,
}

#[derive(Debug)]
struct Armed {
    point: FaultPoint,
    action: FaultAction,
    /// Hits to go, this one included, until it fires; 0 once it has.
    countdown: u64,
}

impl Faults {
    /// No faults, ever. What production uses.
    pub fn none() -> Self {
        Self(None)
    }

    /// A registry in which points can be armed.
    pub fn new() -> Self {
        Self(Some(Arc::default()))
    }

    /// A registry armed from text: `<point>[:<hit>][:fail|abort]`, several separated by commas,
    /// e.g. `after-offset-write:2`. The hit counts from 1, which is the default. The default action
    /// is `abort`: whoever arms a process from outside wants to see it die.
    ///
    /// # Errors
    /// When a spec is malformed or names an unknown point. An empty text arms nothing.
    pub fn from_spec(text: &str) -> Result<Self, FaultSpecError> {
        let faults = Self::new();
        for spec in text
            .split(',')
            .map(str::trim)
            .filter(|spec| !spec.is_empty())
        {
            let malformed = || FaultSpecError::Malformed {
                spec: spec.to_owned(),
            };
            let mut parts = spec.split(':');
            let point: FaultPoint = parts.next().unwrap_or_default().parse()?;
            let (mut nth_hit, mut action) = (1, FaultAction::Abort);
            for part in parts {
                match part {
                    "fail" => action = FaultAction::Fail,
                    "abort" => action = FaultAction::Abort,
                    hit => {
                        nth_hit = hit.parse().ok().filter(|n| *n > 0).ok_or_else(malformed)?;
                    }
                }
            }
            faults.arm(point, nth_hit, action);
        }
        Ok(faults)
    }

    /// Makes `point` fire at its `nth_hit` (1 is the next one) from now, once. Has no effect on
    /// [`Faults::none`].
    pub fn arm(&self, point: FaultPoint, nth_hit: u64, action: FaultAction) {
        if let Some(mut registry) = self.registry() {
            registry.armed.push(Armed {
                point,
                action,
                countdown: nth_hit.max(1),
            });
        }
    }

    /// Passes the point `point`.
    ///
    /// # Errors
    /// [`StorageError::Injected`] when the point fires with [`FaultAction::Fail`].
    #[inline]
    pub fn hit(&self, point: FaultPoint) -> Result<(), StorageError> {
        if self.fires(point) {
            return Err(StorageError::Injected {
                point: point.name().to_owned(),
            });
        }
        Ok(())
    }

    /// Passes the point `point` and tells whether it fires, for places that act out the fault
    /// themselves. Does not return when the action is [`FaultAction::Abort`].
    #[inline]
    pub fn fires(&self, point: FaultPoint) -> bool {
        self.0.is_some() && self.count(point)
    }

    /// The points that fired, in order.
    pub fn fired(&self) -> Vec<FaultPoint> {
        self.registry()
            .map(|registry| registry.fired.clone())
            .unwrap_or_default()
    }

    #[cold]
    fn count(&self, point: FaultPoint) -> bool {
        let Some(mut registry) = self.registry() else {
            return false;
        };
        let mut fires = None;
        for armed in registry
            .armed
            .iter_mut()
            .filter(|armed| armed.point == point)
        {
            if armed.countdown == 1 {
                fires = Some(armed.action);
            }
            armed.countdown = armed.countdown.saturating_sub(1);
        }
        let Some(action) = fires else { return false };
        registry.fired.push(point);
        match action {
            FaultAction::Fail => true,
            FaultAction::Abort => {
                // Written past any buffering logger: nothing else survives the next line.
                eprintln!("fault point {point}: aborting the process");
                std::process::abort()
            }
        }
    }

    fn registry(&self) -> Option<MutexGuard<'_, Registry>> {
        let registry = self.0.as_ref()?;
        // A panic elsewhere leaves counters, which are always consistent.
        Some(registry.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_parse_back() {
        let mut seen = std::collections::HashSet::new();
        for point in FaultPoint::ALL {
            assert!(seen.insert(point.name()), "{point} twice");
            assert_eq!(point.to_string().parse::<FaultPoint>().unwrap(), *point);
        }
    }

    #[test]
    fn fires_once_at_the_chosen_hit_and_says_so() {
        let faults = Faults::new();
        faults.arm(FaultPoint::MidBatch, 2, FaultAction::Fail);
        assert!(faults.hit(FaultPoint::MidBatch).is_ok());
        assert!(faults.hit(FaultPoint::SourceCommit).is_ok());
        assert!(faults.fired().is_empty());
        let error = faults.hit(FaultPoint::MidBatch).unwrap_err();
        assert!(matches!(error, StorageError::Injected { point } if point == "mid-batch"));
        assert!(faults.hit(FaultPoint::MidBatch).is_ok());
        assert_eq!(faults.fired(), [FaultPoint::MidBatch]);
    }

    #[test]
    fn clones_share_the_count() {
        let faults = Faults::new();
        faults.arm(FaultPoint::MidBatch, 2, FaultAction::Fail);
        let clone = faults.clone();
        assert!(clone.hit(FaultPoint::MidBatch).is_ok());
        assert!(faults.hit(FaultPoint::MidBatch).is_err());
        assert_eq!(clone.fired(), [FaultPoint::MidBatch]);
    }

    #[test]
    fn none_never_fires() {
        let faults = Faults::none();
        faults.arm(FaultPoint::MidBatch, 1, FaultAction::Fail);
        assert!(faults.hit(FaultPoint::MidBatch).is_ok());
    }

    #[test]
    fn spec_arms_point_hit_and_action() {
        let faults = Faults::from_spec("after-offset-write:2:fail, mid-batch:fail").unwrap();
        assert!(faults.hit(FaultPoint::AfterOffsetWrite).is_ok());
        assert!(faults.hit(FaultPoint::AfterOffsetWrite).is_err());
        assert!(faults.hit(FaultPoint::MidBatch).is_err());
    }

    #[test]
    fn bad_specs_are_refused_by_name() {
        let unknown = Faults::from_spec("before-lunch:1").unwrap_err().to_string();
        assert!(
            unknown.contains("before-lunch") && unknown.contains("mid-batch"),
            "{unknown}"
        );
        for spec in ["mid-batch:0", "mid-batch:x", "mid-batch:-1"] {
            let error = Faults::from_spec(spec).unwrap_err();
            assert_eq!(
                error,
                FaultSpecError::Malformed {
                    spec: spec.to_owned()
                }
            );
        }
        assert!(Faults::from_spec("").unwrap().fired().is_empty());
    }
}
