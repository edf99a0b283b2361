//! `SELECT … FROM … WHERE … GROUP BY … HAVING`.
//!
//! A select without aggregation is a `Project`, also when its list calls aggregate functions: which
//! functions aggregate is for the resolver to say, as it is for `df.select(count("*"))`.
//!
//! `GROUP BY` is an `Aggregate` of group type `UNSPECIFIED`, which no client sends. It differs from
//! the client's in what SQL leaves open: the output is the aggregate expressions alone (the client's
//! begins with the grouping columns), a grouping expression may be the ordinal or the alias of one
//! of them, or the word `ALL`. `ROLLUP`, `CUBE` and `GROUPING SETS` are expanded into grouping sets.
//! `HAVING` is a `Filter` and `ORDER BY` a `Sort` above; both may mention aggregate functions and
//! columns that the list does not output, as they may above a DataFrame's aggregate.

use spark_connect_proto::aggregate::{GroupType, GroupingSets};
use spark_connect_proto::expression::ExprType;
use spark_connect_proto::relation::RelType;
use spark_connect_proto::{Aggregate, Deduplicate, Drop, Expression, Relation};

use super::construct::{filter, internal, project, relation, unplaced};
use super::error::ParseErrorKind;
use super::expression::star;
use super::internal_function;
use super::lexer::{Symbol, Token};
use super::parser::{Parsed, Parser};

/// Grouping sets that `CUBE` and its like may expand to.
const GROUPING_SETS_MAX: usize = 4_096;

/// Words that begin a clause after a select item or a relation, unless nothing follows them.
const CLAUSES: &[&str] = &[
    "FROM",
    "WHERE",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "QUALIFY",
    "UNION",
    "EXCEPT",
    "MINUS",
    "INTERSECT",
    "WINDOW",
    "LATERAL",
    "TABLESAMPLE",
    "PIVOT",
    "UNPIVOT",
    "WATERMARK",
    "SELECT",
    "INSERT",
];

/// Words that begin a clause when `BY` follows.
const BY_CLAUSES: &[&str] = &["GROUP", "ORDER", "SORT", "CLUSTER", "DISTRIBUTE"];

/// The parts of `GROUP BY`.
#[derive(Default)]
struct Grouping {
    expressions: Vec<Expression>,
    /// Empty for a plain `GROUP BY`.
    sets: Vec<Vec<Expression>>,
}

impl Parser<'_> {
    /// Whether the word here begins a clause rather than being an alias.
    pub fn begins_clause(&self) -> bool {
        let transform = self.is_word(0, "USING") && matches!(self.token(1), Token::String(_));
        if transform || self.is_phrase(0, &["DELAY", "OF"]) {
            return true;
        }
        if self.is_any_word(0, BY_CLAUSES) {
            return self.is_word(1, "BY") && !self.closes(2);
        }
        self.is_any_word(0, CLAUSES) && !self.closes(1)
    }

    /// A select; `from` is the input if `FROM` came first.
    pub fn select(&mut self, from: Option<Relation>) -> Parsed<Relation> {
        self.expect_word("SELECT")?;
        self.pass_hints();
        let distinct = self.select_quantifier();
        self.look_ahead_for_windows()?;
        let list = self.comma_separated(Self::select_item)?;
        if self.is_word(0, "USING") && matches!(self.token(1), Token::String(_)) {
            return Err(self.unsupported("SELECT TRANSFORM"));
        }
        let mut input = from;
        if input.is_none() && self.is_word(0, "FROM") {
            self.advance();
            input = Some(self.relations_of_from()?);
        } else if let Some(relation) = input {
            input = Some(self.lateral_views(relation)?);
        }
        if self.is_word(0, "WHERE") && !self.closes(1) {
            self.advance();
            // WHERE without FROM filters the one row there is.
            let rows = input.unwrap_or_else(|| project(None, Vec::new()));
            input = Some(filter(rows, self.expression()?));
        }
        let grouping = self.group_by()?;
        let having = if self.is_word(0, "HAVING") && !self.closes(1) {
            self.advance();
            Some(self.expression()?)
        } else {
            None
        };
        let mut qualify = self.qualify()?;
        self.pass_window_clause()?;
        if qualify.is_none() {
            qualify = self.qualify()?;
        }
        let grouping = grouping.or_else(|| having.as_ref().map(|_| Grouping::default()));
        let mut selected = self.selected(input, list, grouping)?;
        if let Some(having) = having {
            selected = filter(selected, having);
        }
        if let Some(condition) = qualify {
            let condition = internal(internal_function::QUALIFY, vec![condition]);
            selected = filter(selected, condition);
        }
        Ok(if distinct {
            deduplicated(selected)
        } else {
            selected
        })
    }

    fn qualify(&mut self) -> Parsed<Option<Expression>> {
        if !self.is_word(0, "QUALIFY") || self.closes(1) {
            return Ok(None);
        }
        self.advance();
        self.expression().map(Some)
    }

    /// Spark's hints steer its planner; ours takes none.
    fn pass_hints(&mut self) {
        while *self.token(0) == Token::HintStart {
            let start = self.offset();
            while !matches!(self.token(0), Token::HintEnd | Token::End) {
                self.advance();
            }
            self.advance();
            let hint = self.source_since(start);
            tracing::warn!(hint, "query hint has no effect: the planner takes no hints");
        }
    }

    /// `DISTINCT` or `ALL`, unless it is a column.
    fn select_quantifier(&mut self) -> bool {
        let column = self.closes(1) || self.is_word(1, "FROM") || self.is_name_before_quantifier();
        if column {
            return false;
        }
        let distinct = self.eat_word("DISTINCT");
        if !distinct && !self.is_symbol(1, Symbol::LeftParen) {
            self.eat_word("ALL");
        }
        distinct
    }

    /// Like [`Parser::is_name_before_operator`], but `DISTINCT *` quantifies.
    fn is_name_before_quantifier(&self) -> bool {
        self.is_name_before_operator() && !self.is_symbol(1, Symbol::Star)
    }

    fn select_item(&mut self) -> Parsed<SelectItem> {
        let start = self.offset();
        let item = self.named_expression()?;
        let is_star = matches!(item.expr_type, Some(ExprType::UnresolvedStar(_)));
        let except = is_star && self.is_word(0, "EXCEPT") && self.is_symbol(1, Symbol::LeftParen);
        if except && !self.begins_query(1) {
            self.skip(2);
            let columns = self.comma_separated(Self::expression)?;
            self.expect_symbol(Symbol::RightParen)?;
            let qualified = item != star(None);
            let range = (start, self.offset_behind());
            return Ok(SelectItem::StarExcept {
                columns,
                qualified,
                range,
            });
        }
        Ok(SelectItem::Expression(item))
    }

    fn selected(
        &self,
        input: Option<Relation>,
        list: Vec<SelectItem>,
        grouping: Option<Grouping>,
    ) -> Parsed<Relation> {
        let mut list = list;
        if let (
            [
                SelectItem::StarExcept {
                    columns,
                    qualified: false,
                    ..
                },
            ],
            None,
            Some(_),
        ) = (list.as_mut_slice(), &grouping, &input)
        {
            let columns = std::mem::take(columns);
            return Ok(relation(RelType::Drop(Box::new(Drop {
                input: input.map(Box::new),
                columns,
                column_names: Vec::new(),
            }))));
        }
        let mut expressions = Vec::new();
        for item in list {
            match item {
                SelectItem::Expression(item) => expressions.push(item),
                SelectItem::StarExcept {
                    range: (start, end),
                    ..
                } => {
                    let feature = "* EXCEPT (…) together with other select items".to_owned();
                    let kind = ParseErrorKind::Unsupported { feature };
                    return Err(super::ParseError::over(kind, self.text, start..end));
                }
            }
        }
        let Some(grouping) = grouping else {
            return Ok(project(input, expressions));
        };
        let sets = grouping
            .sets
            .into_iter()
            .map(|set| GroupingSets { grouping_set: set });
        let input = input.unwrap_or_else(|| project(None, Vec::new()));
        Ok(relation(RelType::Aggregate(Box::new(Aggregate {
            input: Some(Box::new(input)),
            group_type: GroupType::Unspecified.into(),
            grouping_expressions: grouping.expressions,
            aggregate_expressions: expressions,
            pivot: None,
            grouping_sets: sets.collect(),
        }))))
    }

    fn group_by(&mut self) -> Parsed<Option<Grouping>> {
        if !self.is_phrase(0, &["GROUP", "BY"]) || self.closes(2) {
            return Ok(None);
        }
        self.skip(2);
        let start = self.offset();
        let mut items = self.comma_separated(Self::grouping_item)?;
        let mut suffix = if self.eat_phrase(&["WITH", "ROLLUP"]) {
            Some(rollup(elements(items.clone())))
        } else if self.eat_phrase(&["WITH", "CUBE"]) {
            Some(self.cube(elements(items.clone()), start)?)
        } else if self.eat_phrase(&["GROUPING", "SETS"]) {
            Some(self.grouping_sets()?)
        } else {
            None
        };
        let analytic = suffix.is_some() || items.iter().any(|item| item.analytic);
        if analytic {
            // A key is the same key wherever it stands.
            let of_items = items.iter_mut().flat_map(|item| &mut item.sets);
            let sets = of_items.chain(suffix.iter_mut().flatten());
            sets.flatten().for_each(unplaced);
        }
        let mut grouping = Grouping::default();
        let add = |grouping: &mut Grouping, sets: &[Vec<Expression>]| {
            for key in sets.iter().flatten() {
                // Rollups repeat their keys; plain keys stay as written.
                if !analytic || !grouping.expressions.contains(key) {
                    grouping.expressions.push(key.clone());
                }
            }
        };
        for item in &items {
            add(&mut grouping, &item.sets);
        }
        if let Some(sets) = suffix {
            add(&mut grouping, &sets);
            grouping.sets = sets;
        } else if analytic {
            grouping.sets = self.product(&items, start)?;
        }
        Ok(Some(grouping))
    }

    fn grouping_item(&mut self) -> Parsed<GroupingItem> {
        let start = self.offset();
        if self.is_phrase(0, &["GROUPING", "SETS"]) && self.is_symbol(2, Symbol::LeftParen) {
            self.skip(2);
            return Ok(GroupingItem {
                analytic: true,
                sets: self.grouping_sets()?,
            });
        }
        let analytic = self.is_any_word(0, &["ROLLUP", "CUBE"]);
        if analytic && self.is_symbol(1, Symbol::LeftParen) {
            let is_rollup = self.is_word(0, "ROLLUP");
            self.advance();
            self.expect_symbol(Symbol::LeftParen)?;
            let keys = self.comma_separated(Self::grouping_set)?;
            self.expect_symbol(Symbol::RightParen)?;
            let sets = if is_rollup {
                rollup(keys)
            } else {
                self.cube(keys, start)?
            };
            return Ok(GroupingItem {
                analytic: true,
                sets,
            });
        }
        Ok(GroupingItem {
            analytic: false,
            sets: vec![vec![self.expression()?]],
        })
    }

    fn grouping_sets(&mut self) -> Parsed<Vec<Vec<Expression>>> {
        self.expect_symbol(Symbol::LeftParen)?;
        let mut sets = Vec::new();
        loop {
            let nested = self.is_any_word(0, &["ROLLUP", "CUBE", "GROUPING"]);
            if nested && (self.is_symbol(1, Symbol::LeftParen) || self.is_word(1, "SETS")) {
                sets.extend(self.grouping_item()?.sets);
            } else {
                sets.push(self.grouping_set()?);
            }
            if !self.eat_symbol(Symbol::Comma) {
                break;
            }
        }
        self.expect_symbol(Symbol::RightParen)?;
        Ok(sets)
    }

    /// `(a, b)`, `()` or `a`.
    fn grouping_set(&mut self) -> Parsed<Vec<Expression>> {
        if !self.is_symbol(0, Symbol::LeftParen) {
            return Ok(vec![self.expression()?]);
        }
        if self.is_symbol(1, Symbol::RightParen) {
            self.skip(2);
            return Ok(Vec::new());
        }
        match self.expression()?.expr_type {
            Some(ExprType::UnresolvedFunction(row)) if row.function_name == "struct" => {
                Ok(row.arguments)
            }
            kind => Ok(vec![Expression {
                common: None,
                expr_type: kind,
            }]),
        }
    }

    fn cube(&self, keys: Vec<Vec<Expression>>, start: usize) -> Parsed<Vec<Vec<Expression>>> {
        let count = u32::try_from(keys.len())
            .ok()
            .and_then(|keys| 1usize.checked_shl(keys));
        let count = count.filter(|count| *count <= GROUPING_SETS_MAX);
        let Some(count) = count else {
            return Err(self.too_many_grouping_sets(start));
        };
        // The first set has every key, the last none.
        let sets = (0..count).map(|missing| {
            let present = |index: &usize| missing >> (keys.len() - 1 - index) & 1 == 0;
            let kept = keys.iter().enumerate().filter(|(index, _)| present(index));
            kept.flat_map(|(_, key)| key.clone()).collect()
        });
        Ok(sets.collect())
    }

    /// Grouping items side by side mean every combination of their sets.
    fn product(&self, items: &[GroupingItem], start: usize) -> Parsed<Vec<Vec<Expression>>> {
        let mut product: Vec<Vec<Expression>> = vec![Vec::new()];
        for item in items {
            if product.len() * item.sets.len() > GROUPING_SETS_MAX {
                return Err(self.too_many_grouping_sets(start));
            }
            let extended = product.iter().flat_map(|set| {
                item.sets
                    .iter()
                    .map(|more| [set.as_slice(), more.as_slice()].concat())
            });
            product = extended.collect();
        }
        Ok(product)
    }

    fn too_many_grouping_sets(&self, start: usize) -> super::ParseError {
        self.error_since(
            start,
            ParseErrorKind::TooComplex {
                limit: GROUPING_SETS_MAX,
            },
        )
    }
}

#[allow(
    clippy::large_enum_variant,
    reason = "almost every item is the large variant"
)]
enum SelectItem {
    Expression(Expression),
    StarExcept {
        columns: Vec<Expression>,
        qualified: bool,
        range: (usize, usize),
    },
}

#[derive(Clone)]
struct GroupingItem {
    analytic: bool,
    sets: Vec<Vec<Expression>>,
}

/// The keys of `GROUP BY a, b WITH ROLLUP`, one element each.
fn elements(items: Vec<GroupingItem>) -> Vec<Vec<Expression>> {
    items.into_iter().flat_map(|item| item.sets).collect()
}

/// All keys, then one fewer at a time, down to none.
fn rollup(keys: Vec<Vec<Expression>>) -> Vec<Vec<Expression>> {
    let prefix = |length| keys.iter().take(length).flatten().cloned().collect();
    (0..=keys.len()).rev().map(prefix).collect()
}

/// `DISTINCT`. It says nothing about the watermark, by which the planner tells it from a client's `distinct()`.
fn deduplicated(input: Relation) -> Relation {
    relation(RelType::Deduplicate(Box::new(Deduplicate {
        input: Some(Box::new(input)),
        all_columns_as_keys: Some(true),
        ..Default::default()
    })))
}
