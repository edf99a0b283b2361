//! `array_sort`, in the natural order or a comparator's.
//!
//! All arrays of a batch are sorted together, one question at a time, so that the comparator is evaluated once per round
//! and not once per pair.
use std::{ops::Range, sync::Arc};

use arrow::datatypes::DataType;
use arrow::{
    array::{Array, ArrayRef, AsArray, UInt64Array, make_comparator},
    compute::{SortOptions, take},
    datatypes::Int32Type,
};
use datafusion::logical_expr::{LambdaArgument, Volatility};

use super::{
    elements::{Gathered, Spans, comparable, item_of, require_order},
    lambdas::{call_text, evaluate, lambda_at, renamed},
};
use crate::{
    error::{Exception, Result, SparkError, quoted},
    functions::{Accepts, Batch, Call, Function, Kernel, Parameters, Registry, higher_order},
    typed::TypedExpr,
};

pub(super) fn register(registry: &mut Registry) {
    let parameters = Parameters::fixed([Accepts::Array]).optional([Accepts::Any]);
    registry.add(Function::rewrite("array_sort", parameters, sort_call));
}

/// How Spark shows the order that is not written.
const DEFAULT_ORDER: &str = "lambdafunction((IF(((namedlambdavariable() IS NULL) AND (namedlambdavariable() IS NULL)), 0, \
    (IF((namedlambdavariable() IS NULL), 1, (IF((namedlambdavariable() IS NULL), -1, \
    (IF((namedlambdavariable() < namedlambdavariable()), -1, (IF((namedlambdavariable() > namedlambdavariable()), 1, \
    0)))))))))), namedlambdavariable(), namedlambdavariable())";

fn sort_call(call: &Call<'_>) -> Result<TypedExpr> {
    let array = call.arg(0)?;
    let (data_type, nullable) = (array.data_type.clone(), array.nullable);
    let element = item_of(call, 0)?;
    if call.lambdas.is_empty() {
        require_order(call, &element.0)?;
        let name = format!("{}({}, {DEFAULT_ORDER})", call.shown, array.name);
        let kernel = Kernel::Plain(sort);
        return Ok(call
            .kernel_with(
                "array_sort",
                kernel,
                data_type,
                nullable,
                Volatility::Immutable,
            )
            .named(name));
    }
    let comparator = call.bind(0, &[element.clone(), element])?;
    if comparator.body.data_type != DataType::Int32 {
        return Err(SparkError::analysis(
            "DATATYPE_MISMATCH.UNEXPECTED_RETURN_TYPE",
            &[
                ("sqlExpr", &quoted(call_text(call, &[&comparator]))),
                ("functionName", "`lambdafunction`"),
                ("expectedType", "\"INT\""),
                ("actualType", &comparator.body.type_sql()),
            ],
        ));
    }
    let typed = higher_order(call, sort_by, vec![comparator.clone()], data_type, nullable);
    Ok(renamed(typed, call, &[&comparator]))
}

/// Smallest first, NULLs last.
fn sort(batch: &Batch<'_>) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let values = comparable(lists.values())?;
    let compare = make_comparator(
        &values,
        &values,
        SortOptions {
            descending: false,
            nulls_first: false,
        },
    )?;
    let orders = (0..batch.len()).map(|row| {
        let mut order: Vec<usize> = lists.span(row)?.collect();
        order.sort_by(|a, b| compare(*a, *b));
        Some(order)
    });
    arranged(batch, orders)
}

fn arranged(
    batch: &Batch<'_>,
    orders: impl Iterator<Item = Option<Vec<usize>>>,
) -> Result<ArrayRef> {
    let mut out = Gathered::new(vec![Arc::clone(batch.lists(0)?.values())], batch.len());
    for order in orders {
        match order {
            Some(order) => {
                order.into_iter().for_each(|at| out.push(0, at));
                out.end();
            }
            None => out.end_null(),
        }
    }
    out.finish(batch.return_type())
}

/// Two sorted stretches of one row's order that become one.
struct Merge {
    row: usize,
    left: Range<usize>,
    right: Range<usize>,
    merged: Vec<usize>,
}

/// Arrays below this length are sorted by insertion, as Java does: where a comparator contradicts itself (`ELSE 0` for a
/// NULL), the order of the questions decides the result.
const INSERTION_BELOW: usize = 32;

fn sort_by(batch: &Batch<'_>, lambdas: &[LambdaArgument]) -> Result<ArrayRef> {
    let lists = batch.lists(0)?;
    let comparator = lambda_at(lambdas, 0)?;
    let mut orders: Vec<Option<Vec<usize>>> = (0..batch.len())
        .map(|row| lists.span(row).map(Iterator::collect))
        .collect();
    let mut short: Vec<Insertion> = orders
        .iter_mut()
        .enumerate()
        .filter_map(|(row, order)| Some((row, order.as_mut()?)))
        .filter(|(_, order)| order.len() < INSERTION_BELOW)
        .map(|(row, order)| Insertion::new(row, std::mem::take(order)))
        .collect();
    insert_all(&mut short, lists.values(), comparator)?;
    merge_sort(&mut orders, lists.values(), comparator)?;
    for sorted in short {
        if let Some(Some(order)) = orders.get_mut(sorted.row) {
            *order = sorted.order;
        }
    }
    arranged(batch, orders.into_iter())
}

/// A binary insertion sort that waits for the answer to each question.
struct Insertion {
    row: usize,
    order: Vec<usize>,
    state: Inserting,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inserting {
    /// Finding the end of the run at the start, which may descend strictly; `at` is the next element.
    Run {
        at: usize,
        descending: Option<bool>,
    },
    /// Finding the place of element `at` in `low..high`.
    Place {
        at: usize,
        low: usize,
        high: usize,
    },
    Done,
}

impl Insertion {
    fn new(row: usize, order: Vec<usize>) -> Self {
        let state = match order.len() {
            0 | 1 => Inserting::Done,
            _ => Inserting::Run {
                at: 1,
                descending: None,
            },
        };
        Self { row, order, state }
    }

    /// The elements to compare next.
    fn question(&self) -> Option<(usize, usize)> {
        let (a, b) = match self.state {
            Inserting::Run { at, .. } => (at, at - 1),
            Inserting::Place { at, low, high } => (at, low.midpoint(high)),
            Inserting::Done => return None,
        };
        Some((*self.order.get(a)?, *self.order.get(b)?))
    }

    /// Goes on, knowing whether the first element of the question is less.
    fn answer(&mut self, less: bool) {
        match self.state {
            Inserting::Run { at, descending } if descending.is_none_or(|d| d == less) => {
                self.state = Inserting::Run {
                    at: at + 1,
                    descending: Some(less),
                };
                if at + 1 == self.order.len() {
                    self.end_run(at + 1, less);
                }
            }
            Inserting::Run { at, descending } => self.end_run(at, descending == Some(true)),
            Inserting::Place { at, low, high } => {
                let middle = low.midpoint(high);
                let (low, high) = if less {
                    (low, middle)
                } else {
                    (middle + 1, high)
                };
                if low < high {
                    self.state = Inserting::Place { at, low, high };
                } else {
                    if let Some(rotated) = self.order.get_mut(low..=at) {
                        rotated.rotate_right(1);
                    }
                    self.place(at + 1);
                }
            }
            Inserting::Done => {}
        }
    }

    fn end_run(&mut self, length: usize, descending: bool) {
        if descending && let Some(run) = self.order.get_mut(..length) {
            run.reverse();
        }
        self.place(length);
    }

    fn place(&mut self, at: usize) {
        self.state = match at < self.order.len() {
            true => Inserting::Place {
                at,
                low: 0,
                high: at,
            },
            false => Inserting::Done,
        };
    }
}

/// Short arrays in step: each round asks the comparator once for every array under way.
fn insert_all(
    arrays: &mut [Insertion],
    values: &ArrayRef,
    comparator: &LambdaArgument,
) -> Result<()> {
    loop {
        let mut questions = Questions::default();
        for (index, array) in arrays.iter().enumerate() {
            if let Some((a, b)) = array.question() {
                questions.ask(index, array.row, Some(a), Some(b));
            }
        }
        if questions.asked.is_empty() {
            return Ok(());
        }
        for (index, answer) in questions.answers(values, comparator)? {
            if let Some(array) = arrays.get_mut(index) {
                array.answer(answer < 0);
            }
        }
    }
}

/// Pairs of elements for the comparator.
#[derive(Default)]
struct Questions {
    left: Vec<Option<u64>>,
    right: Vec<Option<u64>>,
    owners: Vec<u64>,
    asked: Vec<usize>,
}

impl Questions {
    /// Compares elements `a` and `b` of a row's array, on behalf of `asker`.
    fn ask(&mut self, asker: usize, row: usize, a: Option<usize>, b: Option<usize>) {
        self.left.push(a.map(|at| at as u64));
        self.right.push(b.map(|at| at as u64));
        self.owners.push(row as u64);
        self.asked.push(asker);
    }

    /// The comparator's answer to each asker.
    fn answers(self, values: &ArrayRef, comparator: &LambdaArgument) -> Result<Vec<(usize, i32)>> {
        let left = take(values, &UInt64Array::from(self.left), None)?;
        let right = take(values, &UInt64Array::from(self.right), None)?;
        let pair = [Arc::clone(&left), Arc::clone(&right)];
        let answers = evaluate(comparator, &pair, &self.owners)?;
        let answers = answers.as_primitive::<Int32Type>();
        if let Some(at) = (0..answers.len()).find(|at| answers.is_null(*at)) {
            return Err(undecided(&left.slice(at, 1), &right.slice(at, 1)));
        }
        Ok(self
            .asked
            .into_iter()
            .zip(answers.values().iter().copied())
            .collect())
    }
}

/// A stable merge sort of all arrays in step: each round asks the comparator once for every merge under way.
fn merge_sort(
    orders: &mut Vec<Option<Vec<usize>>>,
    values: &ArrayRef,
    comparator: &LambdaArgument,
) -> Result<()> {
    let longest = orders.iter().flatten().map(Vec::len).max().unwrap_or(0);
    let mut width = 1;
    while width < longest {
        let mut merges = vec![];
        for (row, order) in orders.iter().enumerate() {
            let length = order.as_ref().map_or(0, Vec::len);
            for start in (0..length).step_by(width * 2) {
                let middle = (start + width).min(length);
                let end = (middle + width).min(length);
                merges.push(Merge {
                    row,
                    left: start..middle,
                    right: middle..end,
                    merged: vec![],
                });
            }
        }
        merge_all(&mut merges, orders, values, comparator)?;
        let mut next: Vec<Option<Vec<usize>>> =
            orders.iter().map(|o| o.as_ref().map(|_| vec![])).collect();
        for merge in merges {
            if let Some(Some(order)) = next.get_mut(merge.row) {
                order.extend(merge.merged);
            }
        }
        *orders = next;
        width *= 2;
    }
    Ok(())
}

fn merge_all(
    merges: &mut [Merge],
    orders: &[Option<Vec<usize>>],
    values: &ArrayRef,
    comparator: &LambdaArgument,
) -> Result<()> {
    let element = |row: usize, at: usize| orders.get(row)?.as_ref()?.get(at).copied();
    loop {
        let mut questions = Questions::default();
        for (index, merge) in merges.iter_mut().enumerate() {
            if !merge.left.is_empty() && !merge.right.is_empty() {
                let (a, b) = (
                    element(merge.row, merge.left.start),
                    element(merge.row, merge.right.start),
                );
                questions.ask(index, merge.row, a, b);
            } else {
                let rest = merge.left.by_ref().chain(merge.right.by_ref());
                merge
                    .merged
                    .extend(rest.filter_map(|at| element(merge.row, at)));
            }
        }
        if questions.asked.is_empty() {
            return Ok(());
        }
        for (index, answer) in questions.answers(values, comparator)? {
            let Some(merge) = merges.get_mut(index) else {
                continue;
            };
            let side = if answer <= 0 {
                &mut merge.left
            } else {
                &mut merge.right
            };
            let next = side.next().and_then(|at| element(merge.row, at));
            merge.merged.extend(next);
        }
    }
}

/// A comparator must decide.
fn undecided(left: &ArrayRef, right: &ArrayRef) -> SparkError {
    let text = |value: &ArrayRef| {
        crate::cast::display_strings(value, crate::cast::ToStringStyle::Cast, &Default::default())
            .ok()
            .filter(|t| t.is_valid(0))
            .map_or_else(|| "NULL".to_string(), |t| t.value(0).to_string())
    };
    let (first, second) = (text(left), text(right));
    let message = format!(
        "[COMPARATOR_RETURNS_NULL] The comparator has returned a NULL for a comparison between {first} and {second}. It \
         should return a positive integer for \"greater than\", 0 for \"equal\" and a negative integer for \"less than\". To \
         revert to deprecated behavior where NULL is treated as 0 (equal), you must set \
         \"spark.sql.legacy.allowNullComparisonResultInArraySort\" to \"true\". SQLSTATE: 22004"
    );
    let parameters = [
        ("firstValue", first.as_str()),
        ("secondValue", second.as_str()),
    ];
    SparkError::worded(
        Exception::Spark,
        "COMPARATOR_RETURNS_NULL",
        Some("22004"),
        &parameters,
        message,
    )
}
