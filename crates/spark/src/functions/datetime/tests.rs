use super::*;

#[test]
fn months_stop_at_the_end_of_a_shorter_month() {
    let day = |y, m, d| days_from_civil(y, m, d);
    assert_eq!(plus_months(day(2024, 1, 31), 1), Some(day(2024, 2, 29)));
    assert_eq!(plus_months(day(2024, 2, 29), -12), Some(day(2023, 2, 28)));
    assert_eq!(plus_months(0, i64::MAX), None);
}

#[test]
fn a_changed_time_in_an_overlap_keeps_its_offset() {
    let zone = Zone::parse("America/New_York").unwrap();
    // 2024-11-03 06:30 UTC is the second 01:30 of the day.
    let second = 1_730_615_400 * MICROS_PER_SECOND;
    let (days, of_day) = wall_clock(second, &zone);
    assert_eq!(of_day, 90 * 60 * MICROS_PER_SECOND);
    assert_eq!(instant_near(second, days, of_day, &zone), Some(second));
    assert_eq!(
        instant(days, of_day, &zone),
        Some(second - 3600 * MICROS_PER_SECOND)
    );
}
