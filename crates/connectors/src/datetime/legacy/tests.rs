//! What the recorded answers of Spark do not reach; those are the cases `datetimes.policies_*` of the differential suite.
use super::*;
use crate::datetime::Zone;

fn read(pattern: &str, text: &str) -> Option<String> {
    let zone = Zone::parse("UTC").unwrap();
    let micros = LegacyPattern::for_parsing(pattern)
        .unwrap()
        .parse_timestamp(text, &zone)?;
    let mut out = String::new();
    let shown = LegacyPattern::for_formatting("y-MM-dd HH:mm:ss.SSS G").unwrap();
    shown.format_timestamp(micros, &zone, &mut out);
    Some(out)
}

#[test]
fn a_number_takes_its_count_of_digits_only_before_another() {
    for (pattern, text, expected) in [
        ("yyyyMMdd", "20240305", Some("2024-03-05 00:00:00.000 AD")),
        ("yyyyMMdd", "2024030512", None),
        (
            "yyyy-M-d",
            "2024-3-5 rest",
            Some("2024-03-05 00:00:00.000 AD"),
        ),
        ("HHmm", "1 30", Some("1970-01-01 01:30:00.000 AD")),
        ("yyyy", "", None),
    ] {
        assert_eq!(
            read(pattern, text).as_deref(),
            expected,
            "{pattern} of {text:?}"
        );
    }
}

#[test]
fn fields_must_be_possible_and_agree() {
    for (pattern, text) in [
        ("yyyy-MM-dd", "2023-02-29"),
        ("EEE yyyy-MM-dd", "Mon 2024-03-05"),
        ("HH:mm a", "15:00 AM"),
        ("yyyy-MM-dd D", "2024-03-05 64"),
        ("HH:mm:ss", "12:00:60"),
        ("ss.S", "01.1000"),
    ] {
        assert_eq!(read(pattern, text), None, "{pattern} of {text:?}");
    }
    assert_eq!(
        read("yyyy-MM-dd D", "2024-03-05 65").as_deref(),
        Some("2024-03-05 00:00:00.000 AD")
    );
}

#[test]
fn clocks_that_leap_have_no_such_time_and_those_set_back_mean_the_later() {
    let zone = Zone::parse("America/New_York").unwrap();
    let pattern = LegacyPattern::for_parsing("yyyy-MM-dd HH:mm").unwrap();
    assert_eq!(pattern.parse_timestamp("2024-03-10 02:30", &zone), None);
    assert_eq!(
        pattern.parse_timestamp("2024-11-03 01:30", &zone),
        Some(1_730_615_400_000_000)
    );
}

#[test]
fn bad_patterns_are_told_in_javas_words() {
    for (pattern, told) in [
        ("bogus", "Illegal pattern character 'b'"),
        ("yyyy'", "Unterminated quote"),
        ("XXXX", "invalid ISO 8601 format: length=4"),
    ] {
        let error = LegacyPattern::for_formatting(pattern).unwrap_err();
        assert_eq!(error.to_string(), told);
    }
    assert_eq!(
        LegacyPattern::for_parsing("YYYY"),
        Err(LegacyPatternError::Week('Y'))
    );
}
