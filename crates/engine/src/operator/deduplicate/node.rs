//! The logical sides of a deduplication: as a program writes it, and as a stateful operator of a plan.
use std::{cmp::Ordering, collections::BTreeMap, fmt, sync::Arc};

use arrow::datatypes::{DataType, Field};
use datafusion::{
    common::{Column, DFSchemaRef, Result, internal_err, metadata::FieldMetadata, plan_err},
    logical_expr::{Expr, Extension, LogicalPlan, LogicalPlanBuilder, UserDefinedLogicalNodeCore},
    physical_plan::ExecutionPlan,
};

use super::{StateDeduplicateExec, exec::Columns, seen::Expiry};
use crate::{
    batch::external,
    operator::{
        aggregate::window_key::{join_window, window_part},
        exchange::ExchangeExec,
    },
    plan::{Lowering, PlannedNode, UnsupportedOperation},
    time::event_time::{DELAY_KEY, delay_ms, is_window},
};

/// `dropDuplicates(keys…)` or `dropDuplicatesWithinWatermark(keys…)` over a stream, as a program writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DeduplicateNode {
    input: LogicalPlan,
    keys: Vec<Column>,
    within_watermark: bool,
}

impl DeduplicateNode {
    /// Of rows that agree in `keys` the first one stays. `within_watermark` says for how long a key is known: until the
    /// watermark passes its first row's event time plus the delay threshold, instead of for ever.
    pub fn try_new(input: LogicalPlan, keys: Vec<Column>, within_watermark: bool) -> Result<Self> {
        if keys.is_empty() {
            return plan_err!("a deduplication needs a key column");
        }
        for key in &keys {
            input.schema().index_of_column(key)?;
        }
        Ok(Self {
            input,
            keys,
            within_watermark,
        })
    }

    /// Where the rows come from.
    pub fn input(&self) -> &LogicalPlan {
        &self.input
    }

    /// The columns that make rows duplicates.
    pub fn keys(&self) -> &[Column] {
        &self.keys
    }

    /// Whether a key is forgotten once the watermark has passed it.
    pub fn within_watermark(&self) -> bool {
        self.within_watermark
    }

    /// The operator's name in progress reports.
    pub(crate) fn operator_name(&self) -> &'static str {
        match self.within_watermark {
            true => "dedupeWithinWatermark",
            false => "dedupe",
        }
    }

    /// The stateful operator over `input`, which is this node's input rewritten.
    ///
    /// ```text
    ///   Projection            the input's own columns
    ///   StatefulDeduplicate
    ///   Projection            the key columns, then the others
    /// ```
    pub(crate) fn replace(&self, operator_id: u32, partitions: usize) -> Result<LogicalPlan> {
        let schema = self.input.schema();
        let mut below = vec![];
        let mut restored = BTreeMap::new();
        for column in &self.keys {
            let index = schema.index_of_column(column)?;
            if restored.contains_key(&index) {
                continue;
            }
            let (_, field) = schema.qualified_field(index);
            let (parts, whole) = key_parts(column, field, below.len());
            below.extend(parts);
            restored.insert(index, whole);
        }
        let keys = below.len();
        let mut above = vec![];
        for (index, (qualifier, field)) in schema.iter().enumerate() {
            match restored.remove(&index) {
                Some(whole) => above.push(whole.alias_qualified_with_metadata(
                    qualifier.cloned(),
                    field.name().clone(),
                    Some(field.metadata().clone().into()),
                )),
                None => {
                    let column = Expr::Column(Column::from((qualifier, field)));
                    below.push(column.clone());
                    above.push(column);
                }
            }
        }
        let input = LogicalPlanBuilder::from(self.input.clone())
            .project(below)?
            .build()?;
        let event_times = schema.columns().into_iter().zip(schema.fields());
        let event_times = event_times.filter_map(|(column, field)| {
            let is_key = self.keys.contains(&column);
            Some((column, delay_ms(field)?, is_key))
        });
        let node = StatefulDeduplicateNode {
            event_times: event_times.collect(),
            input,
            keys,
            within_watermark: self.within_watermark,
            operator_id,
            partitions,
        };
        let node = LogicalPlan::Extension(Extension {
            node: Arc::new(node),
        });
        LogicalPlanBuilder::from(node).project(above)?.build()
    }
}

/// The state's columns of a key column, the first of them number `at`, and the key column from these.
fn key_parts(column: &Column, field: &Arc<Field>, at: usize) -> (Vec<Expr>, Expr) {
    // A name with a blank is nobody's internal name. Readers of state show what is in front of the `#`, and bounds as one.
    let label = column.name.split('#').next().unwrap_or_default();
    let window = matches!(field.data_type(), DataType::Struct(bounds) if bounds.len() == 2)
        && is_window(field);
    let name = |index: usize| match (window, index) {
        (false, _) => format!("{label}#key {at}"),
        (true, 0) => format!("{label}#key {at}.start"),
        (true, _) => format!("{label}#key {at}.end"),
    };
    let key = |index: usize| Expr::Column(Column::new_unqualified(name(index)));
    let value = Expr::Column(column.clone());
    let DataType::Struct(bounds) = field.data_type() else {
        return (vec![value.alias(name(0))], key(0));
    };
    if !is_window(field) {
        return (vec![value.alias(name(0))], key(0));
    }
    // A window stands for its end.
    let delay = delay_ms(field)
        .map(|delay| BTreeMap::from([(DELAY_KEY.to_string(), delay.to_string())]).into());
    let tags: [Option<FieldMetadata>; 2] = [None, delay];
    let parts = bounds.iter().zip(tags).enumerate();
    let parts = parts.map(|(index, (bound, tag))| {
        window_part(value.clone(), bound.name()).alias_with_metadata(name(index), tag)
    });
    (
        parts.collect(),
        join_window(key(0), key(1), Arc::clone(field)),
    )
}

impl PartialOrd for DeduplicateNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.keys, self.within_watermark)
            .partial_cmp(&(&other.keys, other.within_watermark))
            .filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for DeduplicateNode {
    fn name(&self) -> &str {
        "Deduplicate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.keys.iter().cloned().map(Expr::Column).collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let keys: Vec<_> = self.keys.iter().map(ToString::to_string).collect();
        let within = match self.within_watermark {
            true => "WithinWatermark",
            false => "",
        };
        write!(f, "Deduplicate{within}: keys=[{}]", keys.join(", "))
    }

    fn with_exprs_and_inputs(
        &self,
        exprs: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return internal_err!("a deduplication has one input");
        };
        let keys = exprs
            .into_iter()
            .map(|expr| match expr {
                Expr::Column(column) => Ok(column),
                other => internal_err!("{other} is no key column of a deduplication"),
            })
            .collect::<Result<_>>()?;
        Self::try_new(input, keys, self.within_watermark)
    }
}

/// A deduplication whose keys are kept in state. Its input's first columns are the key; its output is its input's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StatefulDeduplicateNode {
    input: LogicalPlan,
    keys: usize,
    /// Columns with event time as the program knows them, in its order: name, delay threshold in milliseconds, whether it is a
    /// key.
    event_times: Vec<(Column, i64, bool)>,
    within_watermark: bool,
    operator_id: u32,
    partitions: usize,
}

impl StatefulDeduplicateNode {
    /// Id of the operator, stable across restarts.
    pub fn operator_id(&self) -> u32 {
        self.operator_id
    }

    /// What its state is made of.
    pub fn parts(&self) -> Vec<(&'static str, Expr)> {
        let columns = self.input.schema().columns().into_iter();
        let keys = columns.take(self.keys);
        keys.map(|key| ("key", Expr::Column(key))).collect()
    }

    /// Columns that carry event time, with the delay threshold in milliseconds; key columns come first.
    fn event_times(&self) -> impl Iterator<Item = (usize, i64)> {
        let fields = self.input.schema().fields().iter().enumerate();
        fields.filter_map(|(index, field)| Some((index, delay_ms(field)?)))
    }

    /// The column that carries event time, of which there may be one at most, whether it is a key or not.
    fn event_time(&self) -> Result<Option<(usize, i64)>> {
        let schema = self.input.schema();
        let read = self.event_times.iter();
        let read = read.filter(|(column, _, is_key)| *is_key || schema.has_column(column));
        let columns: Vec<_> = read
            .map(|(column, delay, _)| format!("{}-T{delay}ms", column.name))
            .collect();
        if columns.len() < 2 {
            return Ok(self.event_times().next());
        }
        Err(external(UnsupportedOperation::MultipleEventTimeColumns {
            columns,
        }))
    }
}

impl PartialOrd for StatefulDeduplicateNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (self.operator_id, self.keys)
            .partial_cmp(&(other.operator_id, other.keys))
            .filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for StatefulDeduplicateNode {
    fn name(&self) -> &str {
        "StatefulDeduplicate"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(
            f,
            "StatefulDeduplicate: keys={}, withinWatermark={}, operator={}",
            self.keys, self.within_watermark, self.operator_id
        )
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return internal_err!("a deduplication has one input");
        };
        Ok(Self {
            input,
            ..self.clone()
        })
    }

    /// The key columns count, whichever are read above; the event time only where keys expire by it.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let mut needed: Vec<usize> = (0..self.keys).chain(output_columns.to_vec()).collect();
        if self.within_watermark {
            needed.extend(self.event_times().map(|(index, _)| index));
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

impl PlannedNode for StatefulDeduplicateNode {
    fn plan(&self, lowering: &Lowering<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = lowering.inputs()?;
        let event_time = self.event_time()?;
        let expiry = match (self.within_watermark, event_time) {
            (true, Some((column, delay_ms))) => Expiry::AfterDelay { column, delay_ms },
            (true, None) => {
                return plan_err!("dropDuplicatesWithinWatermark needs an event-time column");
            }
            (false, Some((column, _))) if column < self.keys => Expiry::OfKey { column },
            (false, _) => Expiry::Never,
        };
        let columns = Columns {
            keys: self.keys,
            event_time: event_time.map(|(column, _)| column),
        };
        let exchange = Arc::new(ExchangeExec::new(input, self.keys, self.partitions));
        Ok(Arc::new(StateDeduplicateExec::try_new(
            exchange,
            self.output(),
            columns,
            expiry,
            self.operator_id,
        )?))
    }
}
