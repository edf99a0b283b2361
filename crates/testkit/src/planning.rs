//! Plans for tests: Spark SQL over streams that a test feeds.
use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::{
    execution::SessionState,
    logical_expr::{LogicalPlan, LogicalPlanBuilder},
    prelude::SessionContext,
};
use millstream_checkpoint::Faults;
use millstream_connectors::console::ConsoleOutput;
use millstream_engine::{
    plan::{StreamTable, WatermarkNode},
    source::MemoryStream,
    time::SystemClock,
};
use millstream_spark::{
    interval::CalendarInterval,
    scope::{Attribute, ColumnIds, Resolved},
    session::{Environment, Session},
    sql,
    streaming::StreamingEnvironment,
    types,
};
use spark_connect_proto::{Deduplicate, Limit, Relation, Sql, relation::RelType};

/// A Spark session with streams as temporary views.
#[derive(Debug)]
pub struct Planner {
    session: Session,
}

impl Planner {
    /// A session in UTC, on the runtime that calls.
    ///
    /// # Errors
    /// Outside a runtime.
    pub fn new() -> Result<Self, String> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|error| error.to_string())?;
        let conf = BTreeMap::from([("spark.sql.session.timeZone".to_string(), "UTC".to_string())]);
        let streaming = StreamingEnvironment {
            parallelism: 2,
            clock: Arc::new(SystemClock),
            faults: Faults::none(),
            console: ConsoleOutput::default(),
            temporary: std::env::temp_dir(),
            rehearsal: None,
        };
        let environment = Environment::new(Arc::new(conf), runtime, streaming);
        Ok(Self {
            session: Session::new(Arc::new(environment), "test", "test"),
        })
    }

    /// A stream of these columns (DDL), as a view of this name; with a watermark of (column, delay).
    ///
    /// # Errors
    /// What is wrong with the columns or the watermark.
    pub async fn stream(
        &mut self,
        name: &str,
        columns: &str,
        watermark: Option<(&str, &str)>,
    ) -> Result<(MemoryStream, SchemaRef), String> {
        let struct_type = sql::parse_table_schema(columns).map_err(|error| error.to_string())?;
        let arrow::datatypes::DataType::Struct(fields) =
            types::data_type_from_proto(&struct_type).map_err(|error| error.to_string())?
        else {
            return Err("columns are a struct".to_string());
        };
        let schema = Arc::new(Schema::new(fields));
        let stream = MemoryStream::new(Arc::clone(&schema));
        let view = view(&stream, &schema, watermark).map_err(|error| error.to_string())?;
        self.session
            .create_view(name, view)
            .map_err(|error| error.to_string())?;
        Ok((stream, schema))
    }

    /// A query as a view of this name.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub async fn define(&self, name: &str, text: &str) -> Result<(), String> {
        let view = self.resolve(text).await?;
        self.session
            .create_view(name, view)
            .map_err(|error| error.to_string())
    }

    async fn resolve(&self, text: &str) -> Result<Resolved, String> {
        let relation = relation(text)?;
        let resolved = self.session.resolve(&relation).await;
        resolved.map_err(|error| error.to_string())
    }

    /// The plan of a query, its columns as users see them, and the session that plans it.
    ///
    /// # Errors
    /// What is wrong with the query.
    pub async fn query(
        &self,
        text: &str,
    ) -> Result<(LogicalPlan, SchemaRef, SessionState), String> {
        let resolved = self.resolve(text).await?;
        let columns = resolved
            .output
            .iter()
            .map(|attribute| attribute.column.clone().into());
        let columns: Vec<datafusion::logical_expr::Expr> = columns.collect();
        let plan = LogicalPlanBuilder::from(resolved.plan.clone())
            .project(columns)
            .and_then(LogicalPlanBuilder::build)
            .map_err(|error| error.to_string())?;
        Ok((
            plan,
            Arc::new(Schema::new(resolved.fields())),
            SessionContext::new().state(),
        ))
    }
}

/// SQL, then lines that begin with a full stop: methods of a DataFrame, each over what stands before it.
fn relation(text: &str) -> Result<Relation, String> {
    let (methods, sql): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.trim().starts_with('.'));
    let query = Sql {
        query: sql.join("\n"),
        ..Default::default()
    };
    let mut relation = Relation {
        rel_type: Some(RelType::Sql(query)),
        ..Default::default()
    };
    for line in methods {
        relation = Relation {
            rel_type: Some(method(line.trim(), relation)?),
            ..Default::default()
        };
    }
    Ok(relation)
}

/// `.name(arguments)` over `input`, as a client sends it.
fn method(text: &str, input: Relation) -> Result<RelType, String> {
    let unknown = || format!("{text} is no method that scenarios know");
    let (name, arguments) = text
        .trim_start_matches('.')
        .strip_suffix(')')
        .and_then(|call| call.split_once('('))
        .ok_or_else(unknown)?;
    let columns = arguments.split(',').map(str::trim);
    let columns = columns.filter(|column| !column.is_empty());
    let input = Some(Box::new(input));
    Ok(match name {
        "distinct" | "dropDuplicates" | "dropDuplicatesWithinWatermark" => {
            let column_names: Vec<String> = columns.map(str::to_string).collect();
            RelType::Deduplicate(Box::new(Deduplicate {
                input,
                all_columns_as_keys: Some(column_names.is_empty()),
                column_names,
                within_watermark: Some(name == "dropDuplicatesWithinWatermark"),
            }))
        }
        "limit" => RelType::Limit(Box::new(Limit {
            input,
            limit: arguments.trim().parse().map_err(|_| unknown())?,
        })),
        _ => return Err(unknown()),
    })
}

/// The stream as a relation with internal names.
fn view(
    stream: &MemoryStream,
    schema: &SchemaRef,
    watermark: Option<(&str, &str)>,
) -> datafusion::error::Result<Resolved> {
    let ids = ColumnIds::default();
    let scan = StreamTable::new(Arc::new(stream.clone())).scan_plan()?;
    let mut columns = vec![];
    let mut output = vec![];
    for (source, field) in scan.schema().columns().into_iter().zip(schema.fields()) {
        let column = ids.column(field.name());
        columns.push(datafusion::logical_expr::Expr::Column(source).alias(column.name.clone()));
        output.push(Attribute {
            name: field.name().clone(),
            column,
            data_type: field.data_type().clone(),
            nullable: true,
            metadata: Default::default(),
            qualifier: vec![],
        });
    }
    let mut plan = LogicalPlanBuilder::from(scan).project(columns)?.build()?;
    if let Some((column, delay)) = watermark {
        let delay_ms = CalendarInterval::parse(delay)
            .and_then(|delay| delay.millis_31_day_months())
            .ok_or_else(|| {
                datafusion::error::DataFusionError::Plan(format!("{delay} is no interval"))
            })?;
        let attribute = output
            .iter_mut()
            .find(|attribute| attribute.name == column)
            .ok_or_else(|| {
                datafusion::error::DataFusionError::Plan(format!("there is no column {column}"))
            })?;
        attribute.metadata.insert(
            millstream_engine::time::event_time::DELAY_KEY.to_string(),
            delay_ms.to_string(),
        );
        let node = WatermarkNode::try_new(plan, attribute.column.clone(), delay_ms)?;
        plan = LogicalPlan::Extension(datafusion::logical_expr::Extension {
            node: Arc::new(node),
        });
    }
    Ok(Resolved::leaf(plan, output, true))
}
