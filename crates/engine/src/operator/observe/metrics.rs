//! What is observed, and the collector that partitions report to.
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::filter_record_batch,
    datatypes::SchemaRef,
};
use datafusion::{
    common::{Result, cast::as_boolean_array, internal_datafusion_err},
    logical_expr::Accumulator,
    physical_expr::PhysicalExpr,
};

use crate::plan::AggregateCall;

/// The metrics of one `observe`: aggregates, and expressions over them.
#[derive(Debug)]
pub struct Observer {
    pub(super) name: String,
    pub(super) calls: Vec<AggregateCall>,
    /// One column per call.
    pub(super) aggregates: SchemaRef,
    pub(super) results: Vec<Arc<dyn PhysicalExpr>>,
    /// One column per result, under the names that the user gave.
    pub(super) schema: SchemaRef,
}

/// Running aggregates of an observer.
#[derive(Debug)]
pub(super) struct Gathered(Vec<Box<dyn Accumulator>>);

impl Observer {
    /// Nothing seen yet.
    pub(super) fn start(&self) -> Result<Gathered> {
        let accumulators = self.calls.iter().map(|(call, _)| call.create_accumulator());
        Ok(Gathered(accumulators.collect::<Result<_>>()?))
    }

    /// Takes rows into account.
    pub(super) fn update(&self, gathered: &mut Gathered, rows: &RecordBatch) -> Result<()> {
        for ((call, filter), accumulator) in self.calls.iter().zip(&mut gathered.0) {
            let wanted = match filter {
                None => rows.clone(),
                Some(filter) => {
                    let mask = filter.evaluate(rows)?.into_array(rows.num_rows())?;
                    filter_record_batch(rows, as_boolean_array(&mask)?)?
                }
            };
            let ordered = call.order_bys().iter().map(|order| &order.expr);
            let values = call
                .expressions()
                .iter()
                .chain(ordered)
                .map(|argument| argument.evaluate(&wanted)?.into_array(wanted.num_rows()))
                .collect::<Result<Vec<ArrayRef>>>()?;
            accumulator.update_batch(&values)?;
        }
        Ok(())
    }

    /// The metrics as a row.
    fn finish(&self, gathered: &mut Gathered) -> Result<RecordBatch> {
        let values = gathered
            .0
            .iter_mut()
            .map(|accumulator| accumulator.evaluate()?.to_array())
            .collect::<Result<Vec<_>>>()?;
        let one = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
        let values = RecordBatch::try_new_with_options(Arc::clone(&self.aggregates), values, &one)?;
        let results = self
            .results
            .iter()
            .map(|result| result.evaluate(&values)?.into_array(1))
            .collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new_with_options(
            Arc::clone(&self.schema),
            results,
            &one,
        )?)
    }
}

/// Gathers what the partitions of a plan have observed.
///
/// One observation may stand in a plan twice, as in a union of a DataFrame with itself. Each place counts for itself and
/// all of them come to the same; the last place in the plan is what is told.
#[derive(Debug, Default)]
pub struct ObservedMetrics {
    /// In the order of the plan: an operator is started before its inputs, and these from the left.
    places: Mutex<Vec<Place>>,
}

/// An observation in a plan, and what its partitions have gathered.
#[derive(Debug)]
struct Place {
    observer: Arc<Observer>,
    gathered: Option<Gathered>,
}

impl ObservedMetrics {
    /// Says that a partition begins to gather.
    pub(super) fn begin(&self, observer: &Arc<Observer>) -> Result<()> {
        let mut places = self.lock()?;
        if !places.iter().any(|place| place.is_of(observer)) {
            places.push(Place {
                observer: Arc::clone(observer),
                gathered: None,
            });
        }
        Ok(())
    }

    /// Adds what one partition saw.
    pub(super) fn merge(&self, observer: &Arc<Observer>, partition: Gathered) -> Result<()> {
        let mut places = self.lock()?;
        // Gone if the metrics were taken meanwhile: nobody asks any more.
        let Some(place) = places.iter_mut().find(|place| place.is_of(observer)) else {
            return Ok(());
        };
        let Some(all) = &mut place.gathered else {
            place.gathered = Some(partition);
            return Ok(());
        };
        for (into, mut from) in all.0.iter_mut().zip(partition.0) {
            let state = from.state()?;
            let state = state.iter().map(|value| value.to_array());
            into.merge_batch(&state.collect::<Result<Vec<_>>>()?)?;
        }
        Ok(())
    }

    /// The metrics by name, a row each. To be asked once, when the plan has run.
    pub fn take(&self) -> Result<BTreeMap<String, RecordBatch>> {
        let places = std::mem::take(&mut *self.lock()?);
        let mut rows = BTreeMap::new();
        for Place { observer, gathered } in places {
            if let Some(mut gathered) = gathered {
                rows.insert(observer.name.clone(), observer.finish(&mut gathered)?);
            }
        }
        Ok(rows)
    }

    fn lock(&self) -> Result<MutexGuard<'_, Vec<Place>>> {
        self.places
            .lock()
            .map_err(|_| internal_datafusion_err!("the collector of metrics was poisoned"))
    }
}

impl Place {
    fn is_of(&self, observer: &Arc<Observer>) -> bool {
        Arc::ptr_eq(&self.observer, observer)
    }
}
