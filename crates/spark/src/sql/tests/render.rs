//! Renders protobuf plans as short text, for tests.

use spark_connect_proto::expression::cast::{CastToType, EvalMode};
use spark_connect_proto::expression::literal::LiteralType;
use spark_connect_proto::expression::sort_order::{NullOrdering, SortDirection};
use spark_connect_proto::expression::window::window_frame::frame_boundary::Boundary;
use spark_connect_proto::expression::window::window_frame::{FrameBoundary, FrameType};
use spark_connect_proto::expression::{ExprType, Literal, SortOrder, Window};
use spark_connect_proto::join::JoinType;
use spark_connect_proto::read::ReadType;
use spark_connect_proto::relation::RelType;
use spark_connect_proto::set_operation::SetOpType;
use spark_connect_proto::subquery_expression::SubqueryType;
use spark_connect_proto::{DataType, Expression, Relation, data_type::Kind};

use crate::sql::{Command, CreateTable, Insert, Statement};

pub fn list<T>(items: &[T], one: impl Fn(&T) -> String) -> String {
    items.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn child(expression: &Option<Box<Expression>>) -> String {
    self::expression(expression.as_ref().expect("expression without child"))
}

pub fn expression(expression: &Expression) -> String {
    match expression
        .expr_type
        .as_ref()
        .expect("expression without kind")
    {
        ExprType::Literal(value) => literal(value),
        ExprType::UnresolvedAttribute(column) => column.unparsed_identifier.clone(),
        ExprType::UnresolvedFunction(call) => {
            let internal = if call.is_internal == Some(true) {
                "#"
            } else {
                ""
            };
            let defined = if call.is_user_defined_function {
                "!"
            } else {
                ""
            };
            let distinct = if call.is_distinct { "distinct " } else { "" };
            let arguments = list(&call.arguments, self::expression);
            format!(
                "{internal}{defined}{}({distinct}{arguments})",
                call.function_name
            )
        }
        ExprType::UnresolvedStar(star) => star.unparsed_target.clone().unwrap_or("*".into()),
        ExprType::Alias(alias) => match alias.name.as_slice() {
            [name] => format!("{} AS {name}", child(&alias.expr)),
            names => format!("{} AS ({})", child(&alias.expr), names.join(", ")),
        },
        ExprType::Cast(cast) => {
            let CastToType::Type(to) = cast.cast_to_type.as_ref().unwrap() else {
                panic!("cast to an unparsed type")
            };
            let name = match cast.eval_mode() {
                EvalMode::Try => "try_cast",
                _ => "cast",
            };
            format!("{name}({} as {})", child(&cast.expr), data_type(to))
        }
        ExprType::UnresolvedExtractValue(extract) => {
            format!("{}[{}]", child(&extract.child), child(&extract.extraction))
        }
        ExprType::LambdaFunction(lambda) => {
            let names = list(&lambda.arguments, |v| v.name_parts.join("."));
            format!("({names}) -> {}", child(&lambda.function))
        }
        ExprType::UnresolvedNamedLambdaVariable(variable) => {
            format!("${}", variable.name_parts.join("."))
        }
        ExprType::Window(window) => self::window(window),
        ExprType::SortOrder(order) => sort_order(order),
        ExprType::NamedArgumentExpression(named) => {
            format!("{} => {}", named.key, child(&named.value))
        }
        ExprType::SubqueryExpression(subquery) => {
            let kind = match subquery.subquery_type() {
                SubqueryType::Scalar => "scalar",
                SubqueryType::Exists => "exists",
                SubqueryType::TableArg => "table",
                SubqueryType::In => "in",
                SubqueryType::Unknown => "unknown",
            };
            let values = list(&subquery.in_subquery_values, self::expression);
            format!("{kind}-subquery({values})")
        }
        other => panic!("no rendering of {other:?}"),
    }
}

fn literal(literal: &Literal) -> String {
    let of_type = literal
        .data_type
        .as_ref()
        .map_or(String::new(), |t| format!(":{}", data_type(t)));
    match literal
        .literal_type
        .as_ref()
        .expect("literal without value")
    {
        LiteralType::Null(_) => "null".into(),
        LiteralType::Binary(bytes) => format!(
            "X'{}'",
            list(bytes, |b| format!("{b:02X}")).replace(", ", "")
        ),
        LiteralType::Boolean(value) => value.to_string(),
        LiteralType::Byte(value) => format!("{value}Y"),
        LiteralType::Short(value) => format!("{value}S"),
        LiteralType::Integer(value) => value.to_string(),
        LiteralType::Long(value) => format!("{value}L"),
        LiteralType::Float(value) => format!("{value:?}F"),
        LiteralType::Double(value) => format!("{value:?}D"),
        LiteralType::Decimal(decimal) => format!(
            "{}BD({},{})",
            decimal.value,
            decimal.precision.unwrap(),
            decimal.scale.unwrap()
        ),
        LiteralType::String(value) => format!("'{value}'"),
        LiteralType::Date(days) => format!("date {days}"),
        LiteralType::Timestamp(micros) => format!("timestamp {micros}"),
        LiteralType::TimestampNtz(micros) => format!("timestamp_ntz {micros}"),
        LiteralType::YearMonthInterval(months) => format!("{months} months{of_type}"),
        LiteralType::DayTimeInterval(micros) => format!("{micros} us{of_type}"),
        LiteralType::Time(time) => format!("time {}", time.nano),
        other => panic!("no rendering of {other:?}"),
    }
}

fn window(window: &Window) -> String {
    let mut text = format!("{} over (", child(&window.window_function));
    text += &list(&window.partition_spec, expression);
    if !window.order_spec.is_empty() {
        text += &format!(" order {}", list(&window.order_spec, sort_order));
    }
    if let Some(frame) = &window.frame_spec {
        let unit = match frame.frame_type() {
            FrameType::Row => "rows",
            FrameType::Range => "range",
            FrameType::Undefined => "undefined",
        };
        let bound =
            |bound: &Option<Box<FrameBoundary>>| match bound.as_ref().unwrap().boundary.as_ref() {
                Some(Boundary::CurrentRow(_)) => "current".into(),
                Some(Boundary::Unbounded(_)) => "unbounded".into(),
                Some(Boundary::Value(value)) => expression(value),
                None => panic!("frame without boundary"),
            };
        text += &format!(" {unit} {}..{}", bound(&frame.lower), bound(&frame.upper));
    }
    text + ")"
}

pub fn sort_order(order: &SortOrder) -> String {
    let direction = match order.direction() {
        SortDirection::Descending => "desc",
        _ => "asc",
    };
    let nulls = match order.null_ordering() {
        NullOrdering::SortNullsFirst => "first",
        _ => "last",
    };
    format!("{} {direction} {nulls}", child(&order.child))
}

pub fn data_type(data_type: &DataType) -> String {
    let element = |inner: &Option<Box<DataType>>| self::data_type(inner.as_ref().unwrap());
    let interval = |names: &[&str], start: Option<i32>, end: Option<i32>| {
        let name = |field: Option<i32>| names[field.unwrap() as usize];
        if start == end {
            format!("interval {}", name(start))
        } else {
            format!("interval {} to {}", name(start), name(end))
        }
    };
    match data_type.kind.as_ref().expect("type without kind") {
        Kind::Null(_) => "void".into(),
        Kind::Binary(_) => "binary".into(),
        Kind::Boolean(_) => "boolean".into(),
        Kind::Byte(_) => "tinyint".into(),
        Kind::Short(_) => "smallint".into(),
        Kind::Integer(_) => "int".into(),
        Kind::Long(_) => "bigint".into(),
        Kind::Float(_) => "float".into(),
        Kind::Double(_) => "double".into(),
        Kind::Decimal(d) => format!("decimal({},{})", d.precision.unwrap(), d.scale.unwrap()),
        Kind::String(s) if s.collation.is_empty() => "string".into(),
        Kind::String(s) => format!("string collate {}", s.collation),
        Kind::Char(c) => format!("char({})", c.length),
        Kind::VarChar(c) => format!("varchar({})", c.length),
        Kind::Date(_) => "date".into(),
        Kind::Timestamp(_) => "timestamp".into(),
        Kind::TimestampNtz(_) => "timestamp_ntz".into(),
        Kind::Time(t) => format!("time({})", t.precision.unwrap()),
        Kind::Variant(_) => "variant".into(),
        Kind::CalendarInterval(_) => "interval".into(),
        Kind::YearMonthInterval(i) => interval(&["year", "month"], i.start_field, i.end_field),
        Kind::DayTimeInterval(i) => interval(
            &["day", "hour", "minute", "second"],
            i.start_field,
            i.end_field,
        ),
        Kind::Array(a) => format!("array<{}>", element(&a.element_type)),
        Kind::Map(m) => format!("map<{},{}>", element(&m.key_type), element(&m.value_type)),
        Kind::Struct(s) => {
            let field = |f: &spark_connect_proto::data_type::StructField| {
                let nullable = if f.nullable { "" } else { " not null" };
                let metadata = f
                    .metadata
                    .as_deref()
                    .map_or(String::new(), |m| format!(" {m}"));
                let of_type = self::data_type(f.data_type.as_ref().unwrap());
                format!("{}:{of_type}{nullable}{metadata}", f.name)
            };
            format!("struct<{}>", list(&s.fields, field).replace(", ", ","))
        }
        other => panic!("no rendering of {other:?}"),
    }
}

fn input(relation: &Option<Box<Relation>>) -> String {
    relation
        .as_ref()
        .map_or("one row".into(), |relation| self::relation(relation))
}

fn join_type(join_type: i32) -> &'static str {
    match JoinType::try_from(join_type).unwrap() {
        JoinType::Inner => "inner",
        JoinType::FullOuter => "full",
        JoinType::LeftOuter => "left",
        JoinType::RightOuter => "right",
        JoinType::LeftAnti => "anti",
        JoinType::LeftSemi => "semi",
        JoinType::Cross => "cross",
        JoinType::Unspecified => "unspecified",
    }
}

pub fn relation(relation: &Relation) -> String {
    match relation.rel_type.as_ref().expect("relation without kind") {
        RelType::Read(read) => {
            let stream = if read.is_streaming { "stream " } else { "" };
            match read.read_type.as_ref().unwrap() {
                ReadType::NamedTable(table) if table.options.is_empty() => {
                    format!("{stream}{}", table.unparsed_identifier)
                }
                ReadType::NamedTable(table) => {
                    format!(
                        "{stream}{} {}",
                        table.unparsed_identifier,
                        options(&table.options)
                    )
                }
                ReadType::DataSource(source) => {
                    format!("{stream}{} {}", source.format(), options(&source.options))
                }
            }
        }
        RelType::Project(p) => format!(
            "project({}; {})",
            input(&p.input),
            list(&p.expressions, expression)
        ),
        RelType::Filter(f) => {
            format!(
                "filter({}; {})",
                input(&f.input),
                expression(f.condition.as_ref().unwrap())
            )
        }
        RelType::Join(j) => {
            let on = j
                .join_condition
                .as_ref()
                .map_or(String::new(), |c| format!("; {}", expression(c)));
            let using = if j.using_columns.is_empty() {
                String::new()
            } else {
                format!("; using {}", j.using_columns.join(", "))
            };
            format!(
                "{} join({}; {}{on}{using})",
                join_type(j.join_type),
                input(&j.left),
                input(&j.right)
            )
        }
        RelType::LateralJoin(j) => {
            let on = j
                .join_condition
                .as_ref()
                .map_or(String::new(), |c| format!("; {}", expression(c)));
            format!(
                "{} lateral({}; {}{on})",
                join_type(j.join_type),
                input(&j.left),
                input(&j.right)
            )
        }
        RelType::SetOp(s) => {
            let name = match s.set_op_type() {
                SetOpType::Union => "union",
                SetOpType::Intersect => "intersect",
                SetOpType::Except => "except",
                SetOpType::Unspecified => "unspecified",
            };
            let all = if s.is_all() { " all" } else { "" };
            format!(
                "{name}{all}({}; {})",
                input(&s.left_input),
                input(&s.right_input)
            )
        }
        RelType::Sort(s) => {
            let name = if s.is_global() { "sort" } else { "local sort" };
            format!(
                "{name}({}; {})",
                input(&s.input),
                list(&s.order, sort_order)
            )
        }
        RelType::Limit(l) => format!("limit({}; {})", input(&l.input), l.limit),
        RelType::Offset(o) => format!("offset({}; {})", input(&o.input), o.offset),
        RelType::Aggregate(a) => {
            let sets = if a.grouping_sets.is_empty() {
                String::new()
            } else {
                format!(
                    "; sets {}",
                    list(&a.grouping_sets, |s| format!(
                        "({})",
                        list(&s.grouping_set, expression)
                    ))
                )
            };
            format!(
                "aggregate({}; {}; {}{sets})",
                input(&a.input),
                list(&a.grouping_expressions, expression),
                list(&a.aggregate_expressions, expression)
            )
        }
        RelType::Deduplicate(d) => format!("distinct({})", input(&d.input)),
        RelType::Drop(d) => format!(
            "drop({}; {})",
            input(&d.input),
            list(&d.columns, expression)
        ),
        RelType::Sample(s) => {
            let seed = s.seed.map_or(String::new(), |seed| format!(" seed {seed}"));
            format!("sample({}; {}{seed})", input(&s.input), s.upper_bound)
        }
        RelType::SubqueryAlias(a) => format!("{} AS {}", input(&a.input), a.alias),
        RelType::ToDf(t) => format!("{}({})", input(&t.input), t.column_names.join(", ")),
        RelType::WithWatermark(w) => {
            format!(
                "watermark({}; {}; {})",
                input(&w.input),
                w.event_time,
                w.delay_threshold
            )
        }
        RelType::RepartitionByExpression(r) => {
            format!(
                "repartition({}; {})",
                input(&r.input),
                list(&r.partition_exprs, expression)
            )
        }
        RelType::UnresolvedTableValuedFunction(f) => {
            format!("{}({})", f.function_name, list(&f.arguments, expression))
        }
        RelType::WithRelations(w) => {
            format!(
                "{} where [{}]",
                input(&w.root),
                list(&w.references, self::relation)
            )
        }
        other => panic!("no rendering of {other:?}"),
    }
}

pub fn options(options: &std::collections::HashMap<String, String>) -> String {
    let mut sorted: Vec<_> = options
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    sorted.sort();
    format!("{{{}}}", sorted.join(", "))
}

pub fn statement(statement: &Statement) -> String {
    match statement {
        Statement::Query(query) => relation(query),
        Statement::Command(command) => self::command(command),
    }
}

fn command(command: &Command) -> String {
    match command {
        Command::CreateView(view) => format!(
            "create view {} global {} replace {}: {}",
            view.name,
            view.is_global,
            view.replace,
            relation(view.input.as_ref().unwrap())
        ),
        Command::CreateTable(table) => create_table(table),
        Command::Insert(insert) => self::insert(insert),
        Command::DescribeQuery(query) => format!("describe {}", relation(query)),
        Command::Explain { mode, statement } => {
            format!("explain {mode:?} {}", self::statement(statement))
        }
        Command::CacheTable {
            table,
            lazy,
            options,
            query,
        } => {
            let query = query
                .as_ref()
                .map_or(String::new(), |query| format!(": {}", relation(query)));
            format!(
                "cache {table} lazy {lazy} {}{query}",
                self::options(options)
            )
        }
        Command::CreateDatabase(database) => format!(
            "create database {} if not exists {} {}",
            database.db_name,
            database.if_not_exists,
            options(&database.properties)
        ),
        plain => format!("{plain:?}"),
    }
}

fn create_table(table: &CreateTable) -> String {
    let mut text = format!(
        "create table {} if not exists {} replace {}",
        table.table, table.if_not_exists, table.or_replace
    );
    let mut part = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty() && value != "{}") {
            text += &format!(" {name} {value}");
        }
    };
    part("schema", table.schema.as_ref().map(data_type));
    part("using", table.provider.clone());
    part("options", Some(options(&table.options)));
    part("properties", Some(options(&table.properties)));
    part(
        "partitioned by",
        Some(list(&table.partitioned_by, expression)),
    );
    part("clustered by", Some(table.clustered_by.join(", ")));
    part("location", table.location.clone());
    part("comment", table.comment.clone());
    part("as", table.query.as_ref().map(relation));
    text
}

fn insert(insert: &Insert) -> String {
    let partition = list(&insert.partition, |(column, value)| match value {
        Some(value) => format!("{column}={}", expression(value)),
        None => column.clone(),
    });
    format!(
        "insert {} overwrite {} columns ({}) by name {} partition ({partition}): {}",
        insert.table,
        insert.overwrite,
        insert.columns.join(", "),
        insert.by_name,
        relation(&insert.input)
    )
}
