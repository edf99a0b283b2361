//! When batches start.
//!
//! A processing-time trigger fires at once, and then at multiples of its interval counted from the epoch, whenever the
//! query was started; a batch that takes longer than the interval is followed immediately by the next.

/// Trigger of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A batch per interval, in milliseconds; 0 starts the next one as soon as there is data.
    ProcessingTime {
        /// Interval in milliseconds.
        interval_ms: i64,
    },
    /// One batch with everything that is there, then the end.
    Once,
    /// All that is there now, in as many batches as the sources' limits make of it, then the end.
    AvailableNow,
}

impl Default for Trigger {
    fn default() -> Self {
        Self::ProcessingTime { interval_ms: 0 }
    }
}

impl Trigger {
    /// When the batch after one that was triggered at `triggered_ms` may start.
    ///
    /// ```
    /// use millstream_engine::query::Trigger;
    /// let every_3_s = Trigger::ProcessingTime { interval_ms: 3_000 };
    /// assert_eq!(every_3_s.next_ms(53_300), 54_000);
    /// assert_eq!(every_3_s.next_ms(54_000), 57_000);
    /// ```
    pub fn next_ms(self, triggered_ms: i64) -> i64 {
        match self {
            Self::ProcessingTime { interval_ms } if interval_ms > 0 => {
                triggered_ms.div_euclid(interval_ms) * interval_ms + interval_ms
            }
            _ => triggered_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_fall_on_multiples_of_the_interval_before_and_after_the_epoch() {
        let trigger = Trigger::ProcessingTime {
            interval_ms: 60_000,
        };
        assert_eq!(trigger.next_ms(1), 60_000);
        assert_eq!(trigger.next_ms(60_000), 120_000);
        assert_eq!(trigger.next_ms(-1), 0);
    }

    #[test]
    fn without_an_interval_the_next_batch_may_start_at_once() {
        assert_eq!(Trigger::default().next_ms(1_234), 1_234);
        assert_eq!(Trigger::AvailableNow.next_ms(1_234), 1_234);
    }
}
