//! What the resolution of one plan shares: the session's facts, the catalog, internal names, and queries around.
use std::{
    cell::RefCell,
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use spark_connect_proto::{
    CommonInlineUserDefinedFunction, Expression, Relation, read::DataSource, relation::RelType,
};

use crate::{
    error::Result,
    expression::OuterScope,
    functions::FunctionContext,
    scope::{ColumnIds, NameMatch, Resolved},
    sql::{self, ParseOptions},
    typed::TypedExpr,
};

/// What plans refer to by name or id, and what only a session can do. Calls may block.
pub(crate) trait Catalog {
    /// The table or view of that name; its columns are fresh.
    fn table(
        &self,
        planner: &Planner<'_>,
        name: &[String],
        streaming: bool,
    ) -> Result<Option<Resolved>>;
    /// A data source, read as a batch or a stream.
    fn read(&self, planner: &Planner<'_>, source: &DataSource, streaming: bool)
    -> Result<Resolved>;
    /// The bytes of a cached local relation.
    fn cached_local(&self, hash: &str) -> Result<Bytes>;
    /// A DataFrame kept by the session; its columns are fresh.
    fn cached_remote(&self, planner: &Planner<'_>, id: &str) -> Result<Resolved>;
    /// An inline user-defined function.
    fn user_function(
        &self,
        udf: &CommonInlineUserDefinedFunction,
        args: Vec<TypedExpr>,
    ) -> Result<TypedExpr>;
    /// A function registered by name; `None` if there is none.
    fn registered_function(&self, name: &str) -> Option<CommonInlineUserDefinedFunction>;
    /// Runs a plan and gives its rows, under the plan's internal names.
    fn collect(&self, resolved: &Resolved) -> Result<Vec<RecordBatch>>;
    /// Runs a statement that is no query; gives its result as a relation.
    fn statement(&self, planner: &Planner<'_>, command: &sql::Command) -> Result<Resolved>;
    /// A relation of Spark's catalog API.
    fn catalog_relation(
        &self,
        planner: &Planner<'_>,
        catalog: &spark_connect_proto::Catalog,
    ) -> Result<Resolved>;
}

/// Resolves one plan.
pub(crate) struct Planner<'a> {
    pub catalog: &'a dyn Catalog,
    pub context: FunctionContext,
    pub names: NameMatch,
    pub ids: &'a ColumnIds,
    pub outer: Option<OuterScope<'a>>,
    references: RefCell<References>,
    /// The plans of the metrics that were met, by their names.
    observed: RefCell<HashMap<String, String>>,
}

/// Relations that expressions and SQL text refer to.
#[derive(Default, Clone)]
struct References {
    by_plan_id: HashMap<i64, Arc<Relation>>,
    by_name: Vec<(String, Arc<Relation>)>,
}

impl<'a> Planner<'a> {
    pub(crate) fn new(
        catalog: &'a dyn Catalog,
        context: FunctionContext,
        ids: &'a ColumnIds,
    ) -> Self {
        let names = NameMatch {
            case_sensitive: context.conf.case_sensitive(),
        };
        Self {
            catalog,
            context,
            names,
            ids,
            outer: None,
            references: RefCell::default(),
            observed: RefCell::default(),
        }
    }

    /// A planner for a query inside an expression of another.
    pub(crate) fn inside(around: &Planner<'a>, outer: OuterScope<'a>) -> Self {
        Self {
            catalog: around.catalog,
            context: around.context.clone(),
            names: around.names,
            ids: around.ids,
            outer: Some(outer),
            references: RefCell::new(around.references.borrow().clone()),
            observed: RefCell::new(around.observed.borrow().clone()),
        }
    }

    /// Parses an expression written as text; the queries in it become known by their plan ids.
    pub(crate) fn parse_expression(&self, text: &str) -> Result<Expression> {
        let options = ParseOptions {
            session_time_zone: self.context.eval.time_zone.clone(),
            origins: true,
            ..ParseOptions::default()
        };
        let parsed = options.parse_expression(text)?;
        self.refer(&parsed.references);
        Ok(parsed.expression)
    }

    /// Makes relations known by plan id, and by name where they have an alias.
    pub(crate) fn refer(&self, relations: &[Relation]) {
        let mut references = self.references.borrow_mut();
        for relation in relations {
            let relation = Arc::new(relation.clone());
            if let Some(id) = relation.common.as_ref().and_then(|c| c.plan_id) {
                references.by_plan_id.insert(id, Arc::clone(&relation));
            }
            if let Some(RelType::SubqueryAlias(alias)) = &relation.rel_type {
                references
                    .by_name
                    .push((alias.alias.clone(), Arc::clone(&relation)));
            }
        }
    }

    /// Whether nothing else is observed under `name`. The same plan may be met again, as in a self-join.
    pub(crate) fn observes_once(&self, name: &str, metrics: &Resolved) -> bool {
        let plan = renumbered(&metrics.plan.display_indent_schema().to_string());
        match self.observed.borrow_mut().entry(name.to_string()) {
            Entry::Occupied(met) => *met.get() == plan,
            Entry::Vacant(free) => {
                free.insert(plan);
                true
            }
        }
    }

    /// The relation of a plan id.
    pub(crate) fn reference(&self, plan_id: i64) -> Option<Arc<Relation>> {
        self.references.borrow().by_plan_id.get(&plan_id).cloned()
    }

    /// The relation that the statement around calls `name`.
    pub(crate) fn named_reference(&self, name: &str) -> Option<Arc<Relation>> {
        let references = self.references.borrow();
        references
            .by_name
            .iter()
            .rev()
            .find(|(n, _)| self.names.same(n, name))
            .map(|(_, r)| Arc::clone(r))
    }
}

/// A plan's text with the ids of its columns (`name#7`) counted from its own start: a plan that is resolved twice has the
/// same text.
fn renumbered(plan: &str) -> String {
    let mut parts = plan.split('#');
    let mut text = parts.next().unwrap_or_default().to_string();
    let mut ids = HashMap::new();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit());
        let (id, rest) = part.split_at(end.unwrap_or(part.len()));
        let next = ids.len();
        let id = ids.entry(id).or_insert(next);
        text.push_str(&format!("#{id}{rest}"));
    }
    text
}
