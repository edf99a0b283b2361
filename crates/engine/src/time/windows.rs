//! Time windows of fixed length: the grid of their starts, and the panes between their bounds.
//!
//! Windows start every `slide` from `offset` on, in both directions, and last `duration`. If the slide is shorter than the
//! duration they overlap. No window starts or ends within a *pane*, so all times of a pane lie in the same windows, and
//! what is known of the pane is known of each of them:
//!
//! ```text
//!   duration 10, slide 4    windows   [0 . . . . . . . . . 10)
//!                                             [4 . . . . . . . . . 14)
//!                                                     [8 . . . . . . . . . 18)
//!                           panes     [0   2   4   6   8   10  12  14 ...
//! ```
//!
//! A slide has one pane if it divides the duration, otherwise two, whatever the lengths: one from a window's start to
//! where the next earlier window ends, and one from there to the next start.
//!
//! ```
//! use millstream_engine::time::WindowGrid;
//! let grid = WindowGrid { duration: 10, slide: 4, offset: 0 };
//! assert_eq!(grid.starts(9).unwrap().collect::<Vec<_>>(), [8, 4, 0]);
//! assert_eq!(grid.starts(11).unwrap().collect::<Vec<_>>(), [8, 4]);
//! assert_eq!((grid.pane(9), grid.pane(11), grid.pane(-1)), (Some(8), Some(10), Some(-2)));
//! ```

use std::fmt;

/// The grid of windows, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowGrid {
    /// Length of a window; positive.
    pub duration: i64,
    /// Distance from one start to the next; positive and at most the duration.
    pub slide: i64,
    /// Where one of the starts is, relative to the epoch.
    pub offset: i64,
}

/// As the arguments of `window` that follow the time, without those that say nothing; no two grids read alike.
impl fmt::Display for WindowGrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&span(self.duration))?;
        if self.slide != self.duration || self.offset != 0 {
            write!(f, ", {}", span(self.slide))?;
        }
        if self.offset != 0 {
            write!(f, ", {}", span(self.offset))?;
        }
        Ok(())
    }
}

/// A length of time in the largest unit that it is a multiple of.
pub(crate) fn span(us: i64) -> String {
    let units = [
        (86_400_000_000, "days"),
        (3_600_000_000, "hours"),
        (60_000_000, "minutes"),
        (1_000_000, "seconds"),
        (1_000, "milliseconds"),
    ];
    let unit = units.into_iter().find(|(length, _)| us % length == 0);
    let (length, unit) = unit.unwrap_or((1, "microseconds"));
    format!("{} {unit}", us / length)
}

impl WindowGrid {
    /// The latest start at or before `time`; `None` where it would not fit.
    pub fn last_start(self, time: i64) -> Option<i64> {
        let past = time.checked_sub(self.offset)?.rem_euclid(self.slide);
        time.checked_sub(past)
    }

    /// The most windows that a time may lie in.
    pub fn overlap(self) -> i64 {
        self.duration.saturating_add(self.slide - 1) / self.slide
    }

    /// The starts of the windows that `time` lies in, latest first; `None` where one would not fit.
    pub fn starts(self, time: i64) -> Option<impl Iterator<Item = i64>> {
        let last = self.last_start(time)?;
        last.checked_sub((self.overlap() - 1).checked_mul(self.slide)?)?;
        let starts = (0..self.overlap()).map(move |step| last - step * self.slide);
        // The earliest may end before it reaches the time.
        Some(starts.filter(move |start| start.saturating_add(self.duration) > time))
    }

    /// The start of the pane that `time` lies in; `None` where it would not fit.
    pub fn pane(self, time: i64) -> Option<i64> {
        let start = self.last_start(time)?;
        let end_of_earlier = start.checked_add(self.duration % self.slide)?;
        Some(match end_of_earlier <= time {
            true => end_of_earlier,
            false => start,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_grid_reads_as_a_window_is_written() {
        let text = |duration, slide, offset| {
            WindowGrid {
                duration,
                slide,
                offset,
            }
            .to_string()
        };
        assert_eq!(text(10_000_000, 10_000_000, 0), "10 seconds");
        assert_eq!(text(7_200_000_000, 90_000_000, 0), "2 hours, 90 seconds");
        assert_eq!(
            text(1_500, 1_500, -1),
            "1500 microseconds, 1500 microseconds, -1 microseconds"
        );
    }

    proptest! {
        #[test]
        fn every_time_of_a_pane_lies_in_the_windows_of_the_panes_start(
            time in -1_000_i64..1_000,
            slide in 1_i64..40,
            longer in 0_i64..90,
            offset in -39_i64..39,
        ) {
            let grid = WindowGrid { duration: slide + longer, slide, offset: offset % slide };
            let windows = |time| grid.starts(time).unwrap().collect::<Vec<_>>();
            let pane = grid.pane(time).unwrap();
            prop_assert!(pane <= time);
            prop_assert_eq!(windows(pane), windows(time));
            let all = (-2_000..2_000).filter(|start| (start - grid.offset) % slide == 0);
            let mut expected: Vec<_> = all.filter(|start| *start <= time && time < start + grid.duration).collect();
            expected.reverse();
            prop_assert_eq!(windows(time), expected);
        }
    }

    #[test]
    fn a_slide_has_at_most_two_panes() {
        let grid = WindowGrid {
            duration: 600,
            slide: 7,
            offset: 0,
        };
        let panes: std::collections::BTreeSet<_> = (0..7).map(|time| grid.pane(time)).collect();
        assert_eq!(panes.len(), 2);
    }

    #[test]
    fn a_window_that_would_start_before_all_time_is_none() {
        let grid = WindowGrid {
            duration: 10,
            slide: 5,
            offset: 0,
        };
        assert!(grid.starts(i64::MIN + 1).is_none());
    }
}
