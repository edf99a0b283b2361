//! Keeping segments few and garbage bounded, a little after every commit.
//!
//! Two things accumulate: small segments, one per commit, which make look-ups touch many batches; and rows
//! that newer versions of their keys replaced. Small segments of a size class are merged when eight have
//! gathered, so a row is moved once per class. Garbage is taken from the emptiest segments once it exceeds
//! the live rows, and no commit moves many more rows than it wrote.
use super::state::ColumnarState;
use crate::Result;

/// Segments of one size class that are merged together.
const FAN_IN: usize = 8;
/// Segments with more live rows than this are only rewritten for their garbage.
const SMALL_ROWS: usize = 1 << 15;
/// Garbage that is tolerated whatever the number of live rows.
const GARBAGE_ROWS_MIN: usize = 1 << 14;
/// Segments above this size in bytes do not merge, and no rewrite takes in much more than this: a column
/// of strings must stay well below the 2 GiB that its offsets reach.
const SEGMENT_BYTES_MAX: usize = 64 << 20;
/// Live rows that one commit may move for garbage's sake, at least.
const MOVED_ROWS_MIN: usize = 1 << 14;

/// What a compaction plan looks at in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Candidate {
    id: u32,
    rows: usize,
    live: usize,
    bytes: usize,
}

impl ColumnarState {
    /// Merges or rewrites segments if there is reason to. Only between a seal and the next change.
    /// `written` is the number of rows that the last commit wrote.
    pub(super) fn compact(&mut self, written: usize) -> Result<()> {
        let candidates = |state: &Self| -> Vec<Candidate> {
            let all = state.segments.iter();
            all.map(|(id, s)| Candidate {
                id,
                rows: s.rows(),
                live: s.live.count(),
                bytes: s.memory(),
            })
            .collect()
        };
        let segments = candidates(self);
        for dead in segments.iter().filter(|s| s.live == 0) {
            self.segments.remove(dead.id);
        }
        if let Some(merge) = plan_merge(&segments) {
            self.rewrite(&merge)?;
        }
        if garbage_exceeds(&candidates(self)) {
            let victims = plan_collection(candidates(self), written.max(MOVED_ROWS_MIN));
            self.rewrite(&victims)?;
        }
        Ok(())
    }

    /// Compacts until there is no more reason to, as after loading many deltas.
    pub(super) fn compact_fully(&mut self) -> Result<()> {
        loop {
            let before = self.segments.count();
            self.compact(usize::MAX)?;
            if self.segments.count() >= before {
                return Ok(());
            }
        }
    }

    /// Replaces segments by one with their live rows.
    fn rewrite(&mut self, segments: &[u32]) -> Result<()> {
        let (entries, slots) = self.merge_live(segments)?;
        self.install(entries, slots);
        for id in segments {
            self.segments.remove(*id);
        }
        Ok(())
    }
}

/// Size class: powers of eight live rows.
fn size_class(live: usize) -> u32 {
    live.max(1).ilog2() / FAN_IN.ilog2()
}

/// The segments of the smallest size class that is full.
fn plan_merge(segments: &[Candidate]) -> Option<Vec<u32>> {
    let small = |s: &&Candidate| {
        s.live > 0 && s.live <= SMALL_ROWS && s.bytes <= SEGMENT_BYTES_MAX / FAN_IN
    };
    let mut counts = [0; 8];
    for segment in segments.iter().filter(small) {
        let class = size_class(segment.live) as usize;
        if let Some(count) = counts.get_mut(class) {
            *count += 1;
        }
    }
    let full = counts.iter().position(|count| *count >= FAN_IN)? as u32;
    // Smaller ones go along: they would only wait for their own class to fill.
    let merged = segments
        .iter()
        .filter(small)
        .filter(|s| size_class(s.live) <= full);
    Some(merged.map(|s| s.id).collect())
}

fn garbage_exceeds(segments: &[Candidate]) -> bool {
    let live: usize = segments.iter().map(|s| s.live).sum();
    let rows: usize = segments.iter().map(|s| s.rows).sum();
    rows - live > live.max(GARBAGE_ROWS_MIN)
}

/// The segments with the largest share of garbage, up to that many live rows but at least one.
fn plan_collection(mut segments: Vec<Candidate>, live_budget: usize) -> Vec<u32> {
    segments.retain(|s| s.live < s.rows);
    segments.sort_by(|a, b| (a.live * b.rows).cmp(&(b.live * a.rows)));
    let (mut rows, mut bytes) = (0, 0);
    let within = segments.iter().take_while(|s| {
        let first = bytes == 0;
        rows += s.live;
        bytes += s.bytes;
        first || (rows <= live_budget && bytes <= SEGMENT_BYTES_MAX)
    });
    within.map(|s| s.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments(shape: &[(usize, usize)]) -> Vec<Candidate> {
        let number = |(id, (rows, live)): (usize, &(usize, usize))| Candidate {
            id: id as u32,
            rows: *rows,
            live: *live,
            bytes: rows * 100,
        };
        shape.iter().enumerate().map(number).collect()
    }

    #[test]
    fn eight_segments_of_a_class_merge_with_all_smaller_ones() {
        let mut shape = vec![(8, 8); 8];
        assert_eq!(plan_merge(&segments(&shape[..7])), None);
        shape.extend([(1, 1), (64, 64), (3, 0)]);
        let merged = plan_merge(&segments(&shape)).unwrap();
        assert_eq!(merged, (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn large_segments_do_not_merge() {
        let shape = vec![(1 << 16, 1 << 16); 20];
        assert_eq!(plan_merge(&segments(&shape)), None);
    }

    #[test]
    fn segments_of_long_values_do_not_merge() {
        let mut long = segments(&[(100, 100); 8]);
        assert!(plan_merge(&long).is_some());
        long.iter_mut().for_each(|s| s.bytes = SEGMENT_BYTES_MAX);
        assert_eq!(plan_merge(&long), None);
        long.iter_mut().for_each(|s| s.live = 1);
        assert_eq!(plan_collection(long, usize::MAX), vec![0], "one at a time");
    }

    #[test]
    fn garbage_is_taken_from_the_emptiest_segments_first() {
        let shape = [
            (100_000, 90_000),
            (100_000, 1_000),
            (50_000, 50_000),
            (100_000, 10_000),
        ];
        assert_eq!(plan_collection(segments(&shape), 20_000), vec![1, 3]);
        assert_eq!(
            plan_collection(segments(&shape), 0),
            vec![1],
            "one at least"
        );
    }

    #[test]
    fn garbage_is_tolerated_up_to_the_live_rows() {
        assert!(!garbage_exceeds(&segments(&[(200_000, 100_000)])));
        assert!(garbage_exceeds(&segments(&[(200_001, 100_000)])));
        assert!(
            !garbage_exceeds(&segments(&[(16_000, 0)])),
            "too little to care"
        );
    }
}
