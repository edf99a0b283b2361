//! Watermarks, and text columns parsed as records.
use std::sync::Arc;

use datafusion::logical_expr::{Extension, LogicalPlan};
use millstream_engine::plan::WatermarkNode;
use spark_connect_proto::{Parse, WithWatermark};

use super::input;
use crate::{
    error::{Exception, Result, SparkError, quoted, quoted_id},
    interval::CalendarInterval,
    planner::Planner,
    scope::{Resolved, parse_attribute_name, resolve_name, unresolved_column},
    types::{SESSION_WINDOW_KEY, TIME_WINDOW_KEY, WATERMARK_DELAY_KEY, is_timestamp, sql_name},
};

impl Planner<'_> {
    pub(super) fn with_watermark(&self, node: &WithWatermark) -> Result<Resolved> {
        let rows = self.relation(input(&node.input, "WithWatermark")?)?;
        let delay_ms = delay_ms(&node.delay_threshold)?;
        let parts = parse_attribute_name(&node.event_time)?;
        let value = resolve_name(&parts, rows.output.iter(), self.names)?
            .ok_or_else(|| unresolved_column(&parts, rows.output.iter()))?;
        let Some(column) = value.as_column().cloned() else {
            return Err(SparkError::analysis(
                "EVENT_TIME_MUST_BE_TOP_LEVEL_COLUMN",
                &[("eventExpr", &value.name)],
            ));
        };
        // A batch has no late rows: Spark forgets the watermark before it looks at the column's type.
        if !rows.is_streaming {
            return Ok(rows);
        }
        let window = [TIME_WINDOW_KEY, SESSION_WINDOW_KEY]
            .iter()
            .any(|key| value.metadata.contains_key(*key));
        if !is_timestamp(&value.data_type) && !window {
            return Err(SparkError::analysis(
                "EVENT_TIME_IS_NOT_ON_TIMESTAMP_TYPE",
                &[
                    ("eventName", &quoted_id(&value.name)),
                    ("eventType", &quoted(sql_name(&value.data_type))),
                ],
            ));
        }
        let mut output = rows.output.clone();
        for attribute in &mut output {
            if attribute.column == column {
                attribute
                    .metadata
                    .insert(WATERMARK_DELAY_KEY.to_string(), delay_ms.to_string());
            }
        }
        let tagged = WatermarkNode::try_new(rows.plan.clone(), column, delay_ms)?;
        let plan = LogicalPlan::Extension(Extension {
            node: Arc::new(tagged),
        });
        let hidden = rows.hidden.clone();
        let mut watermarked = rows.derive(plan, output);
        watermarked.hidden = hidden;
        Ok(watermarked)
    }

    /// `spark.read.json(df of text)`.
    pub(super) fn parse(&self, node: &Parse) -> Result<Resolved> {
        let _ = self.relation(input(&node.input, "Parse")?)?;
        Err(SparkError::unsupported(
            "reading records from a DataFrame of text; use from_json or from_csv",
        ))
    }
}

/// A delay threshold such as `10 minutes`, in milliseconds.
fn delay_ms(text: &str) -> Result<i64> {
    let parsed = CalendarInterval::parse(text).ok_or_else(|| {
        SparkError::analysis(
            "CANNOT_PARSE_INTERVAL",
            &[("intervalString", &format!("'{text}'"))],
        )
    })?;
    if parsed.is_negative() {
        return Err(SparkError::plain(
            Exception::IllegalArgument,
            format!("requirement failed: delay threshold ({text}) should not be negative."),
        ));
    }
    parsed.millis_31_day_months().ok_or_else(|| {
        SparkError::analysis(
            "CANNOT_PARSE_INTERVAL",
            &[("intervalString", &format!("'{text}'"))],
        )
    })
}
