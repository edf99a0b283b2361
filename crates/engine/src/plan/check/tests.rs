use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::{
    functions_aggregate::expr_fn::{count, count_distinct},
    logical_expr::{
        Expr, Extension, JoinType, LogicalPlan, LogicalPlanBuilder, col, lit, table_scan,
    },
};

use super::{UnsupportedOperation as No, *};
use crate::{
    plan::{Operation, OperationNode, WatermarkNode},
    source::MemoryStream,
};

const MODES: [OutputMode; 3] = [OutputMode::Append, OutputMode::Update, OutputMode::Complete];

fn columns(prefix: &str) -> SchemaRef {
    let at = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        Field::new(format!("{prefix}at"), at, true),
        Field::new(format!("{prefix}k"), DataType::Int64, true),
    ]))
}

fn stream(prefix: &str) -> LogicalPlanBuilder {
    let table = StreamTable::new(Arc::new(MemoryStream::new(columns(prefix))));
    LogicalPlanBuilder::from(table.scan_plan().unwrap())
}

fn watermarked(prefix: &str) -> LogicalPlanBuilder {
    let plan = stream(prefix).build().unwrap();
    let at = plan.schema().columns()[0].clone();
    let node = WatermarkNode::try_new(plan, at, 10_000).unwrap();
    LogicalPlanBuilder::from(LogicalPlan::Extension(Extension {
        node: Arc::new(node),
    }))
}

fn table(prefix: &str) -> LogicalPlan {
    let schema = columns(prefix);
    table_scan(Some("t"), &schema, None)
        .unwrap()
        .build()
        .unwrap()
}

fn verdicts(plan: LogicalPlanBuilder) -> [Verdict; 3] {
    let plan = plan.build().unwrap();
    MODES.map(|mode| by_rules(&plan, mode, Checks::default()).unwrap())
}

fn counted(plan: LogicalPlanBuilder, key: &str) -> LogicalPlanBuilder {
    plan.aggregate([col(key)], [count(lit(1)).alias(format!("n_of_{key}"))])
        .unwrap()
}

fn wrong_mode(mode: OutputMode, operation: &'static str) -> Verdict {
    Err(No::OutputMode { mode, operation })
}

#[test]
fn rows_alone_have_no_complete_result() {
    let none = wrong_mode(OutputMode::Complete, "no streaming aggregations");
    assert_eq!(verdicts(stream("")), [Ok(()), Ok(()), none]);
}

#[test]
fn an_aggregation_is_appended_only_by_event_time() {
    let never_done = wrong_mode(
        OutputMode::Append,
        "streaming aggregations without watermark",
    );
    let by_key = [never_done, Ok(()), Ok(())];
    assert_eq!(verdicts(counted(stream(""), "k")), by_key);
    assert_eq!(verdicts(counted(watermarked(""), "k")), by_key);
    assert_eq!(
        verdicts(counted(watermarked(""), "at")),
        [Ok(()), Ok(()), Ok(())]
    );
}

#[test]
fn the_topmost_aggregation_decides_on_the_mode() {
    let plan = counted(counted(watermarked(""), "at"), "n_of_at")
        .build()
        .unwrap();
    let append = by_rules(&plan, OutputMode::Append, Checks::default()).unwrap();
    assert_eq!(
        append,
        wrong_mode(
            OutputMode::Append,
            "streaming aggregations without watermark"
        )
    );
    let update = by_rules(&plan, OutputMode::Update, Checks::default()).unwrap();
    assert_eq!(update, Err(No::GlobalWatermark));
    let lenient = Checks {
        correctness: false,
        ..Default::default()
    };
    assert_eq!(
        by_rules(&plan, OutputMode::Update, lenient).unwrap(),
        Ok(())
    );
}

#[test]
fn sorts_are_for_complete_aggregates() {
    let sorted =
        |plan: LogicalPlanBuilder, key: &str| plan.sort([col(key).sort(true, true)]).unwrap();
    let [append, update, _] = verdicts(sorted(stream(""), "k"));
    assert_eq!([append, update], [Err(No::Sort), Err(No::Sort)]);
    let [append, update, complete] = verdicts(sorted(counted(watermarked(""), "at"), "at"));
    assert_eq!(
        [append, update, complete],
        [Err(No::Sort), Err(No::Sort), Ok(())]
    );
    let [_, _, below] = verdicts(counted(sorted(stream(""), "k"), "k"));
    assert_eq!(below, Err(No::Sort));
}

#[test]
fn the_objection_nearest_to_the_source_is_named() {
    let plan = stream("").limit(1, None).unwrap();
    let [append, ..] = verdicts(plan.sort([col("k").sort(true, true)]).unwrap());
    assert_eq!(append, Err(No::Offset));
    let plan = stream("").sort([col("k").sort(true, true)]).unwrap();
    let [append, ..] = verdicts(plan.limit(1, None).unwrap());
    assert_eq!(append, Err(No::Sort));
}

#[test]
fn distinct_aggregates_are_refused_in_every_mode_that_gets_that_far() {
    let plan = watermarked("")
        .aggregate([col("at")], [count_distinct(col("k"))])
        .unwrap();
    let no = || Err(No::DistinctAggregation);
    assert_eq!(verdicts(plan), [no(), no(), no()]);
}

#[test]
fn operations_are_judged_by_their_operands_and_not_by_the_nodes_that_stand_for_them() {
    let operand = |plan: LogicalPlan| LogicalPlanBuilder::from(OperationNode::operand(plan));
    // EXCEPT as the anti join that it becomes: a stream on the right is refused as EXCEPT, not as a join.
    let except = |left: LogicalPlan, right: LogicalPlan| {
        let join = operand(left)
            .join(
                operand(right).build().unwrap(),
                JoinType::LeftAnti,
                (vec!["k"], vec!["rk"]),
                None,
            )
            .unwrap();
        OperationNode::operation(Operation::Except, join.build().unwrap()).into()
    };
    let (left, right) = (stream("").build().unwrap(), stream("r").build().unwrap());
    let [append, update, _] = verdicts(except(left.clone(), right.clone()));
    assert_eq!([append, update], [Err(No::Except), Err(No::Except)]);
    let [append, ..] = verdicts(except(table(""), right));
    assert_eq!(append, Err(No::Except));
    let plan: LogicalPlanBuilder = except(left, table("r"));
    let plan = plan.build().unwrap();
    assert_eq!(
        by_rules(&plan, OutputMode::Append, Checks::default()).unwrap(),
        Ok(())
    );
    assert_eq!(
        check_at_run(&plan, OutputMode::Append).unwrap(),
        Err(No::NeverDone)
    );
    assert_eq!(check_at_run(&plan, OutputMode::Update).unwrap(), Ok(()));
}

fn join(left: LogicalPlan, right: LogicalPlan, kind: JoinType, on: Expr) -> LogicalPlanBuilder {
    LogicalPlanBuilder::from(left)
        .join_on(right, kind, [on])
        .unwrap()
}

#[test]
fn a_table_is_joined_so_that_every_row_of_the_stream_decides_alone() {
    let types = [
        (JoinType::Inner, true, true),
        (JoinType::Left, true, false),
        (JoinType::Right, false, true),
        (JoinType::Full, false, false),
        (JoinType::LeftSemi, true, false),
        (JoinType::LeftAnti, true, false),
    ];
    for (kind, stream_left, stream_right) in types {
        let on = || col("k").eq(col("rk"));
        let plan = join(stream("").build().unwrap(), table("r"), kind, on());
        let [append, update, _] = verdicts(plan);
        assert_eq!(append.is_ok(), stream_left, "{kind} {append:?}");
        assert_eq!(append, update);
        let plan = join(table(""), stream("r").build().unwrap(), kind, on());
        let [append, ..] = verdicts(plan);
        assert_eq!(append.is_ok(), stream_right, "{kind} {append:?}");
    }
}

#[test]
fn outer_joins_of_streams_need_something_to_give_up_on() {
    let minutes = |n: i64| {
        Expr::Literal(
            datafusion::common::ScalarValue::DurationMicrosecond(Some(n * 60_000_000)),
            None,
        )
    };
    let keys = || col("k").eq(col("rk"));
    let upper = || keys().and(col("rat").lt(col("at") + minutes(5)));
    let lower = || keys().and(col("rat").gt(col("at") - minutes(5)));
    let appended = |left: LogicalPlanBuilder, right: LogicalPlanBuilder, kind, on| {
        let plan = join(left.build().unwrap(), right.build().unwrap(), kind, on);
        let [append, ..] = verdicts(plan);
        append.is_ok()
    };
    let both = || (watermarked(""), watermarked("r"));
    // A left row waits until no right row below its own bound can come any more.
    let (l, r) = both();
    assert!(appended(l, r, JoinType::Left, upper()));
    let (l, r) = both();
    assert!(!appended(l, r, JoinType::Left, lower()));
    let (l, r) = both();
    assert!(appended(l, r, JoinType::Right, lower()));
    let (l, r) = both();
    assert!(!appended(l, r, JoinType::Right, upper()));
    let (l, r) = both();
    assert!(appended(l, r, JoinType::Full, upper()));
    let (l, r) = both();
    assert!(!appended(l, r, JoinType::Full, keys()));
    let (l, r) = both();
    assert!(appended(l, r, JoinType::LeftSemi, upper()));
    // The watermark must be the other side's.
    assert!(!appended(
        watermarked(""),
        stream("r"),
        JoinType::Left,
        upper()
    ));
    assert!(appended(
        stream(""),
        watermarked("r"),
        JoinType::Left,
        upper()
    ));
    // Event time among the keys will do, on either side.
    let on = || col("at").eq(col("rat"));
    assert!(appended(watermarked(""), stream("r"), JoinType::Left, on()));
    assert!(appended(stream(""), watermarked("r"), JoinType::Full, on()));
}

#[test]
fn joins_of_streams_take_nothing_back() {
    let plan = |kind| {
        join(
            watermarked("").build().unwrap(),
            watermarked("r").build().unwrap(),
            kind,
            col("at").eq(col("rat")),
        )
    };
    let [append, update, _] = verdicts(plan(JoinType::Inner));
    assert_eq!([append, update], [Ok(()), Ok(())]);
    let [append, update, _] = verdicts(plan(JoinType::Left));
    assert_eq!(append, Ok(()));
    assert!(matches!(
        update,
        Err(No::StreamJoinMode { mode: "Update", .. })
    ));
    let [append, ..] = verdicts(plan(JoinType::LeftAnti));
    assert_eq!(append, Err(No::AntiJoin));
    let [.., complete] = verdicts(counted(plan(JoinType::Inner), "k"));
    assert!(matches!(
        complete,
        Err(No::StreamJoinMode {
            mode: "Complete",
            ..
        })
    ));
}

#[test]
fn with_the_check_off_only_what_cannot_be_planned_is_refused() {
    let plan = stream("").sort([col("k").sort(true, true)]).unwrap();
    let off = Checks {
        operations: false,
        ..Default::default()
    };
    let plan = plan.build().unwrap();
    assert_eq!(check(&plan, OutputMode::Append, off).unwrap(), Ok(()));
    let counted = counted(stream(""), "k").build().unwrap();
    assert_eq!(check(&counted, OutputMode::Append, off).unwrap(), Ok(()));
    assert_eq!(
        check_at_run(&counted, OutputMode::Append).unwrap(),
        Err(No::NeverDone)
    );
}
