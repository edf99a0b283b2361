//! How many of the new files one batch takes: the pure part of the file source's admission control.
//!
//! What a batch leaves over is kept for the following ones, which then need no listing. It is given
//! up, and the next batch lists again, when too little is left (`discardCachedInputRatio`), and
//! always with `latestFirst`, where a newer file may have come meanwhile. `maxCachedFiles` bounds
//! what is kept.
use millstream_engine::source::ReadLimit;

/// A file that may be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Path.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// Modification time, milliseconds since the epoch.
    pub modified_ms: i64,
}

/// How leftovers are treated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Leftovers {
    /// `latestFirst`.
    pub latest_first: bool,
    /// `maxCachedFiles`.
    pub cached_max: usize,
    /// `discardCachedInputRatio`.
    pub discard_ratio: f64,
}

/// A batch's files, and the others.
#[derive(Debug, PartialEq, Eq)]
pub struct Admission {
    /// Files of the batch.
    pub batch: Vec<NewFile>,
    /// The others, in order.
    pub rest: Vec<NewFile>,
    /// How many of them following batches take before they list again.
    pub cached: usize,
}

/// Splits `files`, which are in the order in which they are to be read.
pub fn admit(mut files: Vec<NewFile>, limit: ReadLimit, leftovers: Leftovers) -> Admission {
    let (taken, enough_left) = match limit {
        ReadLimit::MaxFiles(max) => {
            let taken = files.len().min(usize::try_from(max).unwrap_or(usize::MAX));
            let left = (files.len() - taken) as f64;
            (taken, left >= max as f64 * leftovers.discard_ratio)
        }
        ReadLimit::MaxBytes(max) => {
            let taken = count_within(&files, max);
            let left: u64 = files.iter().skip(taken).map(|file| file.size).sum();
            (taken, left as f64 >= max as f64 * leftovers.discard_ratio)
        }
        ReadLimit::AllAvailable | ReadLimit::MaxRows(_) => (files.len(), false),
    };
    let rest = files.split_off(taken);
    let kept = enough_left && !leftovers.latest_first;
    let cached = if kept {
        rest.len().min(leftovers.cached_max)
    } else {
        0
    };
    Admission {
        batch: files,
        rest,
        cached,
    }
}

/// How many of the files fit into `max` bytes, and at least one: a file that is too large must be
/// read some time.
fn count_within(files: &[NewFile], max: u64) -> usize {
    let mut bytes: u64 = 0;
    let fitting = files.iter().take_while(|file| {
        bytes = bytes.saturating_add(file.size);
        bytes <= max
    });
    fitting.count().max(1).min(files.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Leftovers = Leftovers {
        latest_first: false,
        cached_max: 10_000,
        discard_ratio: 0.2,
    };

    fn files(sizes: &[u64]) -> Vec<NewFile> {
        let file = |(i, size): (usize, &u64)| NewFile {
            path: format!("/{i}"),
            size: *size,
            modified_ms: i as i64,
        };
        sizes.iter().enumerate().map(file).collect()
    }

    fn sizes(admission: &Admission) -> (usize, usize) {
        (admission.batch.len(), admission.cached)
    }

    #[test]
    fn no_limit_takes_everything() {
        assert_eq!(
            sizes(&admit(files(&[1, 2, 3]), ReadLimit::AllAvailable, KEEP)),
            (3, 0)
        );
        assert_eq!(sizes(&admit(vec![], ReadLimit::MaxFiles(1), KEEP)), (0, 0));
        assert_eq!(sizes(&admit(vec![], ReadLimit::MaxBytes(1), KEEP)), (0, 0));
    }

    #[test]
    fn leftovers_are_kept_unless_they_are_too_few() {
        let ten = files(&[1; 10]);
        assert_eq!(
            sizes(&admit(ten.clone(), ReadLimit::MaxFiles(3), KEEP)),
            (3, 7)
        );
        // 1 left of a batch of 9: below 0.2 × 9, so that the next batch does not have one file
        // only.
        assert_eq!(
            sizes(&admit(ten.clone(), ReadLimit::MaxFiles(9), KEEP)),
            (9, 0)
        );
        let latest = Leftovers {
            latest_first: true,
            ..KEEP
        };
        assert_eq!(
            sizes(&admit(ten.clone(), ReadLimit::MaxFiles(3), latest)),
            (3, 0)
        );
        let bounded = Leftovers {
            cached_max: 2,
            ..KEEP
        };
        assert_eq!(
            sizes(&admit(ten.clone(), ReadLimit::MaxFiles(3), bounded)),
            (3, 2)
        );
        let none = Leftovers {
            cached_max: 0,
            ..KEEP
        };
        assert_eq!(sizes(&admit(ten, ReadLimit::MaxFiles(3), none)), (3, 0));
    }

    #[test]
    fn bytes_take_files_until_the_limit_and_at_least_one() {
        assert_eq!(
            sizes(&admit(files(&[8, 8, 17]), ReadLimit::MaxBytes(9), KEEP)),
            (1, 2)
        );
        assert_eq!(
            sizes(&admit(files(&[17, 8]), ReadLimit::MaxBytes(9), KEEP)),
            (1, 1)
        );
        assert_eq!(
            sizes(&admit(files(&[4, 5, 1]), ReadLimit::MaxBytes(9), KEEP)),
            (2, 0)
        );
        assert_eq!(
            sizes(&admit(files(&[0, 0, 9]), ReadLimit::MaxBytes(9), KEEP)),
            (3, 0)
        );
    }
}
