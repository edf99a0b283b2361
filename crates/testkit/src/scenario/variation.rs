//! The ways in which every scenario is played: none of them may change its answer.
use millstream_checkpoint::FaultPoint;
use millstream_engine::query::StateProvider;

/// How a scenario is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variation {
    /// State partitions.
    pub partitions: usize,
    /// Whether the query is restarted after every check.
    pub restart: bool,
    /// Whether every run asks for another number of state partitions than the one before, and for state to be moved.
    pub repartition: bool,
    /// How state is kept.
    pub provider: StateProvider,
    /// The fault point at which every `AddData` but the last crashes once.
    pub crash: Option<FaultPoint>,
}

/// Fault points that a batch of a memory stream passes.
const CRASHES: [FaultPoint; 11] = [
    FaultPoint::BeforeOffsetWrite,
    FaultPoint::AfterOffsetWrite,
    FaultPoint::MidBatch,
    FaultPoint::BeforeStateCommit,
    FaultPoint::MidStateCommit,
    FaultPoint::AfterStateCommit,
    FaultPoint::BeforeSinkCommit,
    FaultPoint::AfterSinkCommit,
    FaultPoint::BeforeCommitLog,
    FaultPoint::AfterCommitLog,
    FaultPoint::SourceCommit,
];

/// Fault points that moving state to other partitions passes. (A snapshot is also written beside a batch, which does not
/// fail by it; the engine's own tests have that point.)
const REPARTITION_CRASHES: [FaultPoint; 7] = [
    FaultPoint::BeforeOffsetWrite,
    FaultPoint::AfterOffsetWrite,
    FaultPoint::BeforeRepartition,
    FaultPoint::MidRepartition,
    FaultPoint::AfterRepartition,
    FaultPoint::BeforeCommitLog,
    FaultPoint::AfterCommitLog,
];

/// All variations.
pub fn variations() -> Vec<Variation> {
    [StateProvider::ColumnarLog, StateProvider::Lsm]
        .into_iter()
        .flat_map(variations_on)
        .collect()
}

fn variations_on(provider: StateProvider) -> impl Iterator<Item = Variation> {
    let plain = Variation {
        partitions: 2,
        restart: false,
        repartition: false,
        provider,
        crash: None,
    };
    let straight = [1, 2, 7].map(|partitions| Variation {
        partitions,
        ..plain
    });
    let restarted = [1, 2].map(|partitions| Variation {
        partitions,
        restart: true,
        ..plain
    });
    let crashed = CRASHES.map(|point| Variation {
        crash: Some(point),
        ..plain
    });
    let moving = Variation {
        repartition: true,
        ..plain
    };
    let moved = Variation {
        restart: true,
        ..moving
    };
    let moved_and_crashed = REPARTITION_CRASHES.map(|point| Variation {
        crash: Some(point),
        ..moving
    });
    let all = straight.into_iter().chain(restarted).chain(crashed);
    all.chain([moved]).chain(moved_and_crashed)
}
