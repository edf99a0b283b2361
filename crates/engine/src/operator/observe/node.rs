//! The logical side of observed metrics.
use std::{cmp::Ordering, fmt, sync::Arc};

use arrow::datatypes::{Fields, Schema};
use datafusion::{
    common::{DFSchema, DFSchemaRef, Result, internal_err},
    logical_expr::{Expr, ExprSchemable, LogicalPlan, UserDefinedLogicalNodeCore},
    physical_plan::ExecutionPlan,
};

use super::{ObserveExec, Observer};
use crate::plan::{Lowering, PlannedNode};

/// `observe(name, metrics…)` over an input.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ObserveNode {
    input: LogicalPlan,
    name: String,
    /// Aggregate calls over the input, under names.
    aggregates: Vec<Expr>,
    /// Expressions over the aggregates, by these names.
    results: Vec<Expr>,
    /// The results as the user knows them.
    fields: Fields,
}

impl ObserveNode {
    /// Observes `aggregates` (aliased calls over `input`) and reports `results` over these as columns `fields`.
    pub fn try_new(
        input: LogicalPlan,
        name: String,
        aggregates: Vec<Expr>,
        results: Vec<Expr>,
        fields: Fields,
    ) -> Result<Self> {
        if results.len() != fields.len() {
            return internal_err!("{} metrics have {} names", results.len(), fields.len());
        }
        Ok(Self {
            input,
            name,
            aggregates,
            results,
            fields,
        })
    }

    /// The calls' columns.
    fn aggregated(&self) -> Result<DFSchema> {
        let fields = self.aggregates.iter().map(|call| {
            let (_, field) = call.to_field(self.input.schema())?;
            Ok((None, field))
        });
        DFSchema::new_with_metadata(fields.collect::<Result<Vec<_>>>()?, Default::default())
    }
}

impl PartialOrd for ObserveNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.name, &self.aggregates)
            .partial_cmp(&(&other.name, &other.aggregates))
            .filter(|order| *order != Ordering::Equal || self == other)
    }
}

impl UserDefinedLogicalNodeCore for ObserveNode {
    fn name(&self) -> &str {
        "CollectMetrics"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.aggregates.clone()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let names: Vec<_> = self.fields.iter().map(|field| field.name()).collect();
        write!(f, "CollectMetrics: {}, {names:?}", self.name)
    }

    fn with_exprs_and_inputs(
        &self,
        aggregates: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self> {
        let (Some(input), true) = (inputs.pop(), inputs.is_empty()) else {
            return internal_err!("observed metrics have one input");
        };
        Ok(Self {
            input,
            aggregates,
            ..self.clone()
        })
    }

    /// What the metrics read is needed, whatever is read above.
    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let mut needed = output_columns.to_vec();
        for call in &self.aggregates {
            for column in call.column_refs() {
                needed.push(schema.index_of_column(column).ok()?);
            }
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}

impl PlannedNode for ObserveNode {
    fn plan(&self, lowering: &Lowering<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let [input] = lowering.inputs()?;
        let aggregated = self.aggregated()?;
        let calls = self
            .aggregates
            .iter()
            .map(|call| lowering.aggregate(call, 0));
        let results = self.results.iter();
        let results = results.map(|result| lowering.expr_over(result, &aggregated));
        let observer = Observer {
            name: self.name.clone(),
            calls: calls.collect::<Result<_>>()?,
            results: results.collect::<Result<_>>()?,
            aggregates: Arc::new(Schema::clone(aggregated.as_arrow())),
            schema: Arc::new(Schema::new(self.fields.clone())),
        };
        Ok(Arc::new(ObserveExec::new(input, Arc::new(observer))))
    }
}
