//! The families of functions, and the expressions of each that are answered otherwise, with the reason.
use super::check_family;

const NAME_OF_NULL: &str = "Spark prints NULL without the cast where it is cast to a nested type";

#[test]
fn string_functions_answer_as_spark() {
    let skipped = [
        (
            "concat_ws(',', cast(NULL AS array<string>), 'x')",
            NAME_OF_NULL,
        ),
        ("collation('a')", "collations are not supported"),
        ("randstr(0, 1)", "not offered"),
        (
            "format_number(1234.5D, '##0.#E0')",
            "engineering notation is refused",
        ),
    ];
    check_family("string", &skipped);
}

#[test]
fn regex_functions_answer_as_spark() {
    const NAME: &str = "the parser writes it as AND or OR";
    let skipped = [
        ("'abc' LIKE ALL ('a%', '%c')", NAME),
        ("'abc' LIKE ANY ('x%', '%c')", NAME),
    ];
    check_family("regex", &skipped);
}

#[test]
fn encoding_functions_answer_as_spark() {
    check_family("encoding", &[]);
}

#[test]
fn math_functions_answer_as_spark() {
    check_family("math", &[]);
}

#[test]
fn hash_functions_answer_as_spark() {
    check_family("hash", &[]);
}

#[test]
fn json_functions_answer_as_spark() {
    let skipped = [
        ("to_json(CAST(NULL AS STRUCT<a: INT>))", NAME_OF_NULL),
        (
            "to_json(named_struct('a', INTERVAL '1' DAY, 'b', INTERVAL '2' YEAR))",
            "fields of interval types are not kept",
        ),
        (
            "to_json(map(named_struct('a', 1), named_struct('b', 2)))",
            "maps whose keys are no text are not printed",
        ),
        (
            "from_json('{\"a\":1}', 'a nope')",
            "the parser says less about what it expected",
        ),
        (
            "to_json(named_struct('a', 0.00BD, 'b', 1E-7BD))",
            "the name of a decimal constant has no exponent here",
        ),
    ];
    check_family("json", &skipped);
}

#[test]
fn csv_functions_answer_as_spark() {
    let skipped = [
        ("to_csv(CAST(NULL AS STRUCT<a: INT>))", NAME_OF_NULL),
        (
            "to_csv(named_struct('a', array(1, 2)))",
            "nested values are not printed",
        ),
        (
            "to_csv(named_struct('a', 'x,y', 'b', 'q\"z', 'c', NULL, 'd', ''))",
            "columns without a type are not printed",
        ),
    ];
    check_family("csv", &skipped);
}

#[test]
fn operators_by_name_answer_as_spark() {
    let skipped = [(
        "negative(INTERVAL '1' DAY)",
        "fields of interval types are not kept",
    )];
    let operators = "calls of these functions are operators to the parser, and print so";
    let shifts = ["shiftleft(", "shiftright(", "shiftrightunsigned("].map(|f| (f, operators));
    check_family("operators", &[skipped.as_slice(), &shifts].concat());
}

#[test]
fn misc_functions_answer_as_spark() {
    let skipped = [(
        "spark_partition_id()",
        "expressions do not know their partition",
    )];
    check_family("misc", &skipped);
}

#[test]
fn datetime_functions_answer_as_spark() {
    const NAME_OF_TIME: &str = "a TIME constant is named by its digits alone";
    let skipped = [
        (
            "make_timestamp(DATE'2024-01-01', TIME'12:30:15')",
            NAME_OF_TIME,
        ),
        (
            "make_timestamp(DATE'2024-01-01', TIME'12:30:15', 'Asia/Tokyo')",
            NAME_OF_TIME,
        ),
        (
            "make_timestamp_ntz(DATE'2024-01-01', TIME'12:30:15')",
            NAME_OF_TIME,
        ),
    ];
    check_family("datetime", &skipped);
}
