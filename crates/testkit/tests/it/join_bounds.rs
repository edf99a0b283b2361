//! State watermarks of joins, against those that Spark 4.3.0 computes (`StreamingJoinHelper.getStateValueWatermark`).
use datafusion::logical_expr::LogicalPlan;
use millstream_engine::operator::join::{self, RangeBound};
use millstream_testkit::Planner;

/// The watermark that the figures are relative to, in milliseconds.
const WATERMARK_MS: i64 = 1_000_000_000_000;

/// Condition, and the state watermarks of left and right rows less the watermark.
const SPARK: &[(&str, Option<i64>, Option<i64>)] = &[
    ("lt > rt", Some(0), None),
    ("lt >= rt", Some(-1), None),
    ("lt < rt", None, Some(0)),
    ("lt <= rt", None, Some(-1)),
    ("rt < lt", Some(0), None),
    ("lt > rt + interval 1 second", Some(1000), None),
    ("lt >= rt - interval 3 seconds", Some(-3001), None),
    ("rt - interval 3 seconds <= lt", Some(-3001), None),
    ("lt + interval 2 seconds > rt", Some(-2000), None),
    (
        "rt between lt and lt + interval 5 minutes",
        Some(-300001),
        Some(-1),
    ),
    (
        "lt between rt - interval 5 minutes and rt + interval 1 minute",
        Some(-300001),
        Some(-60001),
    ),
    (
        "rt >= lt and rt <= lt + interval 5 minutes and rt <= lt + interval 10 minutes",
        Some(-600001),
        Some(-1),
    ),
    ("rt <= lt + interval 1 day", Some(-86400001), None),
    ("rt <= lt + interval 1 month", None, None),
    (
        "rt <= lt + make_interval(0,0,0,0,1,0,0)",
        Some(-3600001),
        None,
    ),
    ("rt <= lt + make_dt_interval(0,1,0,0)", Some(-3600001), None),
    ("rt - lt <= interval 5 minutes", None, None),
    ("rt - lt <= interval '5' minute", None, None),
    ("lt - rt >= interval -5 minutes", None, None),
    (
        "cast(rt as long) - cast(lt as long) <= 300",
        Some(-300001),
        None,
    ),
    (
        "cast(lt as long) > cast(rt as long) - 10",
        Some(-10000),
        None,
    ),
    (
        "cast(lt as long) >= cast(rt as long) - 10",
        Some(-10001),
        None,
    ),
    (
        "cast(lt as double) > cast(rt as double) - 10",
        Some(-10000),
        None,
    ),
    (
        "cast(lt as double) > cast(rt as double) - 10.5",
        Some(-10500),
        None,
    ),
    ("cast(lt as int) > cast(rt as int) + 10", Some(10000), None),
    ("unix_timestamp(lt) > unix_timestamp(rt) - 10", None, None),
    ("unix_millis(lt) > unix_millis(rt) - 10", None, None),
    ("unix_micros(lt) >= unix_micros(rt)", None, None),
    ("unix_seconds(lt) >= unix_seconds(rt)", None, None),
    ("timestampadd(MINUTE, 5, lt) >= rt", None, None),
    ("dateadd(MINUTE, 5, lt) >= rt", None, None),
    ("timestampdiff(MINUTE, lt, rt) < 5", None, None),
    (
        "lt >= rt + interval '1 01:00:00' day to second",
        Some(89999999),
        None,
    ),
    ("lt = rt", None, None),
    ("lt <=> rt", None, None),
    ("lt > ru", None, None),
    ("lu > rt", Some(0), None),
    ("lt > ru + interval 1 second and lt > rt", Some(0), None),
    ("lt > '2024-01-01'", None, None),
    ("lt > timestamp'2024-01-01 00:00:00'", None, None),
    ("rt > timestamp'2024-01-01 00:00:00'", None, None),
    (
        "lt > rt and lt > timestamp'2024-01-01 00:00:00'",
        Some(0),
        None,
    ),
    ("ln >= rn", None, None),
    (
        "cast(lt as timestamp_ntz) >= cast(rt as timestamp_ntz)",
        None,
        None,
    ),
    ("ld >= rd", None, None),
    ("cast(lt as date) >= cast(rt as date)", None, None),
    (
        "date_trunc('hour', lt) >= date_trunc('hour', rt)",
        None,
        None,
    ),
    ("not (lt < rt)", Some(-1), None),
    ("not (lt <= rt)", Some(0), None),
    ("lt > rt or lid > 5", None, None),
    ("lid > rid", None, None),
    ("lid + rid > 5", None, None),
    ("lt > rt + interval 1 second * 2", Some(2000), None),
    ("lt > rt + interval 2 seconds * lid", None, None),
    ("lt > rt + make_interval(0,0,0,0,0,0,lid)", None, None),
    ("lt > rt - interval 1500 milliseconds", Some(-1500), None),
    ("lt >= rt - interval 1500 microseconds", Some(-3), None),
    ("lt > rt - interval 1500 microseconds", Some(-2), None),
    (
        "lt - interval 1 second > rt - interval 1 second",
        Some(0),
        None,
    ),
    (
        "lt + (interval 1 second + interval 2 seconds) >= rt",
        Some(-3001),
        None,
    ),
    (
        "lt + interval 1 second + interval 2 seconds >= rt",
        Some(-3001),
        None,
    ),
    ("cast(lt as string) >= cast(rt as string)", None, None),
    ("cast(cast(lt as long) as timestamp) >= rt", Some(-1), None),
    ("greatest(lt, lu) > rt", None, None),
    ("lt > coalesce(rt, ru)", None, None),
    (
        "cast(lt as decimal(20,6)) > cast(rt as decimal(20,6)) - 10",
        Some(-10000),
        None,
    ),
    ("cast(lt as long)*2 > cast(rt as long)*2", None, None),
    ("abs(cast(lt as long) - cast(rt as long)) < 10", None, None),
    ("-cast(lt as long) < -cast(rt as long)", Some(0), None),
    ("timestamp_millis(unix_millis(lt)) > rt", None, None),
    ("timestamp_seconds(lid) > rt", None, None),
    (
        "lt > rt - interval 10 seconds and rid > 5",
        Some(-10000),
        None,
    ),
];

async fn planner() -> Planner {
    let mut planner = Planner::new().unwrap();
    for side in ["l", "r"] {
        let columns = format!(
            "{side}t timestamp, {side}id bigint, {side}s string, {side}u timestamp, {side}n timestamp_ntz, {side}d date"
        );
        let column = format!("{side}t");
        planner
            .stream(side, &columns, Some((&column, "10 seconds")))
            .await
            .unwrap();
    }
    planner
}

/// The join at the top of a plan, with what a filter right above it says.
fn find_join(plan: &LogicalPlan) -> Option<&datafusion::logical_expr::Join> {
    match plan {
        LogicalPlan::Join(join) => Some(join),
        other => other.inputs().into_iter().find_map(find_join),
    }
}

fn offset(bound: Option<&RangeBound>) -> Option<i64> {
    bound.map(|bound| bound.at(WATERMARK_MS) - WATERMARK_MS)
}

#[tokio::test(flavor = "multi_thread")]
async fn state_watermarks_are_those_of_spark() {
    let planner = planner().await;
    let mut wrong = vec![];
    for (condition, left, right) in SPARK {
        let sql = format!("SELECT * FROM l JOIN r ON lid = rid AND ({condition})");
        let found = match planner.query(&sql).await {
            Err(error) => Err(error),
            Ok((plan, ..)) => {
                let bounds = join::bounds(find_join(&plan).unwrap()).unwrap();
                let offsets = (
                    offset(bounds.left_range.as_ref()),
                    offset(bounds.right_range.as_ref()),
                );
                Ok(offsets)
            }
        };
        if found != Ok((*left, *right)) {
            wrong.push(format!(
                "{condition}: expected {left:?}, {right:?}, found {found:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
