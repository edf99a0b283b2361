//! Which values belong to which second: the arithmetic of the rate source, free of clocks and rows.
use crate::error::ConnectorError;

use super::RateOptions;

const MS_PER_SECOND: i64 = 1000;

/// The course of values over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Schedule {
    rows_per_second: i64,
    ramp_up_seconds: i64,
    /// Beyond this second values would not fit into a long.
    max_seconds: i64,
}

/// The values of a range of seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Values {
    /// First value.
    pub start: i64,
    /// One past the last value.
    pub end: i64,
    /// Milliseconds from one value to the next.
    pub spacing_ms: f64,
}

impl Schedule {
    pub(super) fn new(options: &RateOptions) -> Result<Self, ConnectorError> {
        let max_seconds = i64::MAX / options.rows_per_second;
        if options.ramp_up_seconds > max_seconds {
            return Err(ConnectorError::RampUp {
                rows_per_second: options.rows_per_second,
                max_seconds,
                ramp_up_seconds: options.ramp_up_seconds,
            });
        }
        Ok(Self {
            rows_per_second: options.rows_per_second,
            ramp_up_seconds: options.ramp_up_seconds,
            max_seconds,
        })
    }

    /// The values made between the seconds `start` and `end`.
    pub(super) fn values(&self, start: i64, end: i64) -> Result<Values, ConnectorError> {
        if end > self.max_seconds {
            return Err(ConnectorError::EndOffset {
                rows_per_second: self.rows_per_second,
                max_seconds: self.max_seconds,
                end_seconds: end,
            });
        }
        let (first, last) = (self.value_at(start), self.value_at(end));
        let count = last - first;
        let spacing_ms = if count == 0 {
            0.0
        } else {
            ((end - start) * MS_PER_SECOND) as f64 / count as f64
        };
        Ok(Values {
            start: first,
            end: last,
            spacing_ms,
        })
    }

    /// The next value at the end of second `seconds`. While it ramps up, second `n` makes `n` times
    /// a fixed number of rows more than the one before it.
    fn value_at(&self, seconds: i64) -> i64 {
        let ramp_up = seconds.min(self.ramp_up_seconds);
        let step = self.rows_per_second / (self.ramp_up_seconds + 1);
        // step * (1 + 2 + … + ramp_up), halving the even factor first to stay in range.
        let ramped = if ramp_up % 2 == 1 {
            (ramp_up + 1) / 2 * step * ramp_up
        } else {
            ramp_up / 2 * step * (ramp_up + 1)
        };
        ramped + (seconds - ramp_up) * self.rows_per_second
    }
}

impl Values {
    /// Milliseconds from the start of the range to `value`, rounded half up as Java rounds.
    pub(super) fn delay_ms(&self, value: i64) -> i64 {
        let exact = (value - self.start) as f64 * self.spacing_ms;
        let whole = exact.floor();
        whole as i64 + i64::from(exact - whole >= 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(rows_per_second: i64, ramp_up_seconds: i64) -> Schedule {
        let options = RateOptions {
            rows_per_second,
            ramp_up_seconds,
            num_partitions: None,
        };
        Schedule::new(&options).unwrap()
    }

    #[test]
    fn values_ramp_up_and_go_on_at_full_speed() {
        let seven = schedule(7, 3);
        let ends: Vec<_> = (0..7).map(|second| seven.value_at(second)).collect();
        assert_eq!(ends, [0, 1, 3, 6, 13, 20, 27]);
        let ten = schedule(10, 4);
        let ends: Vec<_> = (0..7).map(|second| ten.value_at(second)).collect();
        assert_eq!(ends, [0, 2, 6, 12, 20, 30, 40]);
    }

    /// The sub-second parts that Spark 4.3.0 printed for `rowsPerSecond = 7, rampUpTime = 3s`.
    #[test]
    fn timestamps_are_spread_over_the_seconds_of_the_batch() {
        let delays = |start, end| -> Vec<i64> {
            let values = schedule(7, 3).values(start, end).unwrap();
            (values.start..values.end)
                .map(|value| values.delay_ms(value))
                .collect()
        };
        assert_eq!(delays(1, 2), [0, 500]);
        assert_eq!(delays(2, 3), [0, 333, 667]);
        assert_eq!(delays(3, 4), [0, 143, 286, 429, 571, 714, 857]);
        assert!(delays(4, 4).is_empty());
    }

    #[test]
    fn the_end_of_the_range_of_longs_is_an_error_and_no_panic() {
        let options = RateOptions {
            rows_per_second: i64::MAX,
            ramp_up_seconds: 100,
            num_partitions: None,
        };
        let error = Schedule::new(&options).unwrap_err();
        assert_eq!(error.error_class(), Some("INCORRECT_RAMP_UP_RATE"));
        assert_eq!(
            error.to_string(),
            "Max offset with 9223372036854775807 rowsPerSecond is 1, but 'rampUpTimeSeconds' is 100."
        );
        let fast = schedule(i64::MAX, 0);
        assert_eq!(fast.values(0, 1).unwrap().end, i64::MAX);
        let error = fast.values(0, 2).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Max offset with 9223372036854775807 rowsPerSecond is 1, but it's 2 now."
        );
    }
}
