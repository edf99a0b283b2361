//! Names: what a plan's columns are called, and which column a name means.
//!
//! Every column of a plan has an internal name, `name#id`, that is unique in the plan, as Spark's expression ids are; the
//! name users see lives beside it in an [`Attribute`]. So two columns of one name, self joins, columns referenced through a
//! DataFrame (`df.a`) and case-insensitive names work without DataFusion noticing. The internal name is carried as long as
//! the value is the same column; a computed column gets a new one. A column selected twice is two attributes of one column,
//! so that its name means one thing later on, as in Spark; the plan has it once. Ids count from zero in every resolution, so
//! that one program always gives one plan: checkpoints depend on it.
//!
//! A reference through a DataFrame carries the id of the plan node the DataFrame stands for. [`Lineage`] keeps, for every
//! node, its id and its columns; the reference is resolved by name in that node, and holds if the column found is still a
//! column here.
mod name;

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::{
    common::Column,
    logical_expr::{Expr, LogicalPlan},
};

pub(crate) use name::levenshtein;
pub use name::{
    NameMatch, candidates, extract_field, find_field, parse_attribute_name, resolve_name,
    unresolved_column,
};

use crate::{
    error::{Result, SparkError, quoted, quoted_name},
    relation::Below,
    typed::TypedExpr,
    types::{AUTO_ALIAS_KEY, Metadata},
};

/// Source of internal names.
#[derive(Debug, Default)]
pub struct ColumnIds {
    next: AtomicU64,
    generation: u64,
}

impl ColumnIds {
    /// A source of names that no plan of another generation has. A session that keeps a plan (a view) goes on to the next
    /// generation, so that the kept plan's columns are not taken for those of plans that use it.
    pub fn of_generation(generation: u64) -> Self {
        Self {
            next: AtomicU64::default(),
            generation,
        }
    }

    /// An internal name for a column that users see as `name`.
    pub fn column(&self, name: &str) -> Column {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        Column::new_unqualified(match self.generation {
            0 => format!("{name}#{id}"),
            generation => format!("{name}#{generation}.{id}"),
        })
    }
}

/// A column of a plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Name that users see.
    pub name: String,
    /// Column of the DataFusion plan.
    pub column: Column,
    /// Spark's type.
    pub data_type: DataType,
    /// Whether Spark's schema says that values may be NULL.
    pub nullable: bool,
    /// Spark's column metadata.
    pub metadata: Metadata,
    /// Names before the dot: the alias of a subquery, or catalog, database and table.
    pub qualifier: Vec<String>,
}

impl Attribute {
    /// A reference to this column.
    pub fn reference(&self) -> TypedExpr {
        let expr = Expr::Column(self.column.clone());
        let mut typed = TypedExpr::new(expr, self.data_type.clone(), self.nullable, &self.name);
        typed.metadata.clone_from(&self.metadata);
        typed.qualifier.clone_from(&self.qualifier);
        typed.metadata.remove(AUTO_ALIAS_KEY);
        typed
    }

    /// The column as clients see it.
    pub fn field(&self) -> FieldRef {
        let pairs = self
            .metadata
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        let field = Field::new(&self.name, self.data_type.clone(), self.nullable);
        Arc::new(field.with_metadata(pairs))
    }

    /// Name and qualifier as messages show them.
    pub fn qualified_name(&self) -> String {
        let parts: Vec<&str> = self
            .qualifier
            .iter()
            .map(String::as_str)
            .chain([self.name.as_str()])
            .collect();
        quoted_name(&parts)
    }
}

/// The nodes below a plan, with what references through DataFrames need.
#[derive(Debug, Clone, Default)]
pub struct Lineage {
    /// Id of the node, where the client gave one.
    pub plan_id: Option<i64>,
    /// The node's columns.
    pub output: Vec<Attribute>,
    /// Its inputs; a union hides them.
    pub inputs: Vec<Arc<Lineage>>,
}

/// A resolved relation.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The DataFusion plan. It may have more columns than `output`.
    pub plan: LogicalPlan,
    /// The columns users see, in order; one that was selected twice stands here twice.
    pub output: Vec<Attribute>,
    /// Columns that are there but only found when asked for by qualifier or DataFrame: the dropped side of a USING join.
    pub hidden: Vec<Attribute>,
    /// Whether rows come from a stream.
    pub is_streaming: bool,
    /// The nodes below.
    pub lineage: Arc<Lineage>,
    /// What a filter or sort above may reach through to.
    pub(crate) below: Option<Arc<Below>>,
}

impl Resolved {
    /// A relation without inputs.
    pub fn leaf(plan: LogicalPlan, output: Vec<Attribute>, is_streaming: bool) -> Self {
        let lineage = Arc::new(Lineage {
            plan_id: None,
            output: output.clone(),
            inputs: vec![],
        });
        Self {
            plan,
            output,
            hidden: vec![],
            is_streaming,
            lineage,
            below: None,
        }
    }

    /// A relation of other columns made from this one.
    pub fn derive(&self, plan: LogicalPlan, output: Vec<Attribute>) -> Self {
        let inputs = vec![Arc::clone(&self.lineage)];
        let lineage = Arc::new(Lineage {
            plan_id: None,
            output: output.clone(),
            inputs,
        });
        let is_streaming = self.is_streaming;
        Self {
            plan,
            output,
            hidden: vec![],
            is_streaming,
            lineage,
            below: None,
        }
    }

    /// A relation of the same columns made from this one.
    pub fn with_plan(&self, plan: LogicalPlan) -> Self {
        let mut derived = self.derive(plan, self.output.clone());
        derived.hidden.clone_from(&self.hidden);
        derived
    }

    /// The same relation, known under a plan id.
    pub fn with_plan_id(mut self, plan_id: Option<i64>) -> Self {
        if plan_id.is_some() {
            let mut lineage = self.lineage.as_ref().clone();
            // A node that only passes its input on may stand for several DataFrames.
            if lineage.plan_id.is_some() {
                let inputs = vec![Arc::clone(&self.lineage)];
                lineage = Lineage {
                    plan_id: None,
                    output: self.output.clone(),
                    inputs,
                };
            }
            lineage.plan_id = plan_id;
            lineage.output.clone_from(&self.output);
            self.lineage = Arc::new(lineage);
        }
        self
    }

    /// The schema clients see.
    pub fn fields(&self) -> Fields {
        self.output.iter().map(Attribute::field).collect()
    }

    /// The plan's columns that users see, each once.
    pub fn columns(&self) -> Vec<Column> {
        columns_of(self.output.iter())
    }

    /// All columns that are there, hidden ones last.
    pub fn all_attributes(&self) -> impl Iterator<Item = &Attribute> + Clone {
        self.output.iter().chain(&self.hidden)
    }

    /// Internal names of all columns that are there.
    pub fn column_set(&self) -> HashSet<&Column> {
        self.all_attributes().map(|a| &a.column).collect()
    }
}

/// The columns that the attributes stand for, each once.
pub(crate) fn columns_of<'a>(attributes: impl Iterator<Item = &'a Attribute>) -> Vec<Column> {
    let mut seen = HashSet::new();
    let columns = attributes.map(|a| &a.column);
    columns.filter(|c| seen.insert(*c)).cloned().collect()
}

/// Resolves a reference through a DataFrame.
pub fn resolve_in_plan(
    parts: &[String],
    plan_id: i64,
    input: &[&Resolved],
    names: NameMatch,
) -> Result<Option<TypedExpr>> {
    let visible: HashSet<&Column> = input
        .iter()
        .flat_map(|r| r.all_attributes().map(|a| &a.column))
        .collect();
    let roots: Vec<&Arc<Lineage>> = input.iter().map(|r| &r.lineage).collect();
    let mut found_plan = false;
    let found = search(parts, plan_id, &roots, 0, names, &mut found_plan)?;
    match found {
        Some((value, _)) if references(&value).iter().all(|c| visible.contains(c)) => {
            Ok(Some(value))
        }
        _ => Ok(None),
    }
}

fn references(value: &TypedExpr) -> Vec<Column> {
    value.expr.column_refs().into_iter().cloned().collect()
}

fn search(
    parts: &[String],
    plan_id: i64,
    nodes: &[&Arc<Lineage>],
    depth: usize,
    names: NameMatch,
    found_plan: &mut bool,
) -> Result<Option<(TypedExpr, usize)>> {
    let mut best: Option<(TypedExpr, usize)> = None;
    for node in nodes {
        let found = if node.plan_id == Some(plan_id) {
            *found_plan = true;
            resolve_name(parts, node.output.iter(), names)?.map(|value| (value, depth))
        } else {
            let inputs: Vec<&Arc<Lineage>> = node.inputs.iter().collect();
            search(parts, plan_id, &inputs, depth + 1, names, found_plan)?
        };
        let Some((value, at)) = found else { continue };
        // What the node no longer outputs is not found through it.
        let output: HashSet<&Column> = node.output.iter().map(|a| &a.column).collect();
        if !references(&value).iter().all(|c| output.contains(c)) {
            continue;
        }
        best = match best {
            Some((_, d)) if d == at => {
                return Err(SparkError::analysis(
                    "AMBIGUOUS_COLUMN_REFERENCE",
                    &[("name", &quoted(parts.join(".")))],
                ));
            }
            Some((v, d)) if d < at => Some((v, d)),
            _ => Some((value, at)),
        };
    }
    Ok(best)
}
