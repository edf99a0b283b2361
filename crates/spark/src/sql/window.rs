//! `OVER` and the `WINDOW` clause.
//!
//! A window is named after it is used (`SELECT sum(x) OVER w … WINDOW w AS (…)`), so a select
//! looks for its `WINDOW` clauses before its select list is read.

use spark_connect_proto::Expression;
use spark_connect_proto::expression::literal::LiteralType;
use spark_connect_proto::expression::sort_order::{NullOrdering, SortDirection};
use spark_connect_proto::expression::window::WindowFrame;
use spark_connect_proto::expression::window::window_frame::frame_boundary::Boundary;
use spark_connect_proto::expression::window::window_frame::{FrameBoundary, FrameType};
use spark_connect_proto::expression::{ExprType, SortOrder, Window};

use super::construct::{expression, function};
use super::error::ParseErrorKind;
use super::lexer::{Symbol, Token};
use super::parser::{Parsed, Parser};

/// A `WINDOW` clause that has been read: the tokens it takes and what it defines.
pub(super) struct WindowClause {
    start: usize,
    end: usize,
    windows: Vec<NamedWindow>,
}

/// A window and its name; its function is not set.
#[derive(Clone)]
pub(super) struct NamedWindow {
    name: String,
    window: Window,
}

impl Parser<'_> {
    /// `OVER name` or `OVER (…)` applied to a call.
    pub fn window(&mut self, call: Expression) -> Parsed<Expression> {
        self.expect_word("OVER")?;
        let mut window = self.window_specification()?;
        window.window_function = Some(Box::new(call));
        Ok(expression(ExprType::Window(Box::new(window))))
    }

    fn window_specification(&mut self) -> Parsed<Window> {
        if self.is_name(0) {
            return self.window_by_name();
        }
        self.expect_symbol(Symbol::LeftParen)?;
        if self.is_name(0) && self.is_symbol(1, Symbol::RightParen) {
            let window = self.window_by_name()?;
            self.advance();
            return Ok(window);
        }
        let mut window = Window::default();
        if self.eat_phrase(&["CLUSTER", "BY"]) {
            window.partition_spec = self.comma_separated(Self::expression)?;
        } else {
            if self.eat_phrase(&["PARTITION", "BY"]) || self.eat_phrase(&["DISTRIBUTE", "BY"]) {
                window.partition_spec = self.comma_separated(Self::expression)?;
            }
            if self.eat_phrase(&["ORDER", "BY"]) || self.eat_phrase(&["SORT", "BY"]) {
                window.order_spec = self.comma_separated(Self::sort_order)?;
            }
        }
        window.frame_spec = self.frame()?.map(Box::new);
        self.expect_symbol(Symbol::RightParen)?;
        Ok(window)
    }

    fn window_by_name(&mut self) -> Parsed<Window> {
        let start = self.offset();
        let name = self.expect_name()?;
        let found = self
            .named_windows
            .iter()
            .rev()
            .find(|w| w.name.eq_ignore_ascii_case(&name));
        found.map(|named| named.window.clone()).ok_or_else(|| {
            let kind = ParseErrorKind::MissingWindow { name: name.clone() };
            self.error_since(start, kind)
        })
    }

    fn frame(&mut self) -> Parsed<Option<WindowFrame>> {
        let frame_type = if self.eat_word("ROWS") {
            FrameType::Row
        } else if self.eat_word("RANGE") {
            FrameType::Range
        } else {
            return Ok(None);
        };
        let between = self.eat_word("BETWEEN");
        let lower = self.frame_boundary()?;
        let upper = if between {
            self.expect_word("AND")?;
            self.frame_boundary()?
        } else {
            Boundary::CurrentRow(true)
        };
        let boundary = |bound| {
            Some(Box::new(FrameBoundary {
                boundary: Some(bound),
            }))
        };
        Ok(Some(WindowFrame {
            frame_type: frame_type.into(),
            lower: boundary(lower),
            upper: boundary(upper),
        }))
    }

    /// `UNBOUNDED PRECEDING`, `CURRENT ROW` or `distance FOLLOWING`; what precedes is negative.
    fn frame_boundary(&mut self) -> Parsed<Boundary> {
        if self.eat_phrase(&["CURRENT", "ROW"]) {
            return Ok(Boundary::CurrentRow(true));
        }
        if self.is_word(0, "UNBOUNDED") && self.is_any_word(1, &["PRECEDING", "FOLLOWING"]) {
            self.skip(2);
            return Ok(Boundary::Unbounded(true));
        }
        let distance = self.expression()?;
        if self.eat_word("FOLLOWING") {
            return Ok(Boundary::Value(Box::new(distance)));
        }
        self.expect_word("PRECEDING")?;
        Ok(Boundary::Value(Box::new(negative(distance))))
    }

    /// `expression [ASC | DESC] [NULLS FIRST | LAST]`; nulls come first when ascending.
    pub fn sort_order(&mut self) -> Parsed<SortOrder> {
        let child = self.expression()?;
        let descending = self.eat_word("DESC");
        if !descending {
            self.eat_word("ASC");
        }
        let nulls_first = if self.eat_phrase(&["NULLS", "FIRST"]) {
            true
        } else if self.eat_phrase(&["NULLS", "LAST"]) {
            false
        } else {
            !descending
        };
        let direction = if descending {
            SortDirection::Descending
        } else {
            SortDirection::Ascending
        };
        let nulls = if nulls_first {
            NullOrdering::SortNullsFirst
        } else {
            NullOrdering::SortNullsLast
        };
        Ok(SortOrder {
            child: Some(Box::new(child)),
            direction: direction.into(),
            null_ordering: nulls.into(),
        })
    }

    /// Reads the `WINDOW` clauses of the query that begins here, and comes back.
    pub fn look_ahead_for_windows(&mut self) -> Parsed<()> {
        let start = self.position();
        let mut depth = 0usize;
        loop {
            match self.token(0) {
                Token::End => break,
                Token::Symbol(Symbol::LeftParen) => depth += 1,
                Token::Symbol(Symbol::RightParen) if depth == 0 => break,
                Token::Symbol(Symbol::RightParen) => depth -= 1,
                Token::Word(_) if depth == 0 && self.begins_window_clause() => {
                    let windows = self.window_clause()?;
                    self.named_windows.extend(windows);
                    continue;
                }
                _ => {}
            }
            self.advance();
        }
        self.rewind(start);
        Ok(())
    }

    fn begins_window_clause(&self) -> bool {
        self.is_word(0, "WINDOW") && self.is_name(1) && self.is_word(2, "AS")
    }

    /// Passes over a `WINDOW` clause that [`Parser::look_ahead_for_windows`] has read.
    pub fn pass_window_clause(&mut self) -> Parsed<()> {
        if self.begins_window_clause() {
            self.window_clause()?;
        }
        Ok(())
    }

    /// The windows of the clause here; each clause is read once.
    fn window_clause(&mut self) -> Parsed<Vec<NamedWindow>> {
        let start = self.position();
        if let Some(known) = self
            .window_clauses
            .iter()
            .find(|clause| clause.start == start)
        {
            let (end, windows) = (known.end, known.windows.clone());
            self.rewind(end);
            return Ok(windows);
        }
        self.advance();
        let windows = self.comma_separated(Self::named_window)?;
        let end = self.position();
        self.window_clauses.push(WindowClause {
            start,
            end,
            windows: windows.clone(),
        });
        Ok(windows)
    }

    fn named_window(&mut self) -> Parsed<NamedWindow> {
        let name = self.expect_name()?;
        self.expect_word("AS")?;
        Ok(NamedWindow {
            name,
            window: self.window_specification()?,
        })
    }
}

/// `child ASC NULLS FIRST`.
pub(super) fn ascending(child: Expression) -> SortOrder {
    SortOrder {
        child: Some(Box::new(child)),
        direction: SortDirection::Ascending.into(),
        null_ordering: NullOrdering::SortNullsFirst.into(),
    }
}

fn negative(distance: Expression) -> Expression {
    if let Some(ExprType::Literal(constant)) = &distance.expr_type {
        let negated = match constant.literal_type {
            Some(LiteralType::Integer(value)) => value.checked_neg().map(LiteralType::Integer),
            Some(LiteralType::Long(value)) => value.checked_neg().map(LiteralType::Long),
            _ => None,
        };
        if let Some(negated) = negated {
            return super::construct::literal(negated);
        }
    }
    function("negative", vec![distance])
}
