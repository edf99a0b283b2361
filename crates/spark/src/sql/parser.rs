//! The token cursor every part of the grammar moves, and the scopes they share.
//!
//! The grammar is read by recursive descent without backtracking: each function looks a few
//! tokens ahead and commits. Spark reserves no words by default, so a keyword is a keyword only
//! where the next tokens leave no other reading; [`Parser::closes`] is the question most of those
//! decisions come down to.
//!
//! Recursion is counted ([`Parser::nested`]), and so are long chains of left-associative operators,
//! which build trees as deep as they are long: what would overflow the stack of whoever walks the
//! tree is refused here.

use std::collections::HashMap;

use spark_connect_proto::expression::ExprType;
use spark_connect_proto::{Expression, ExpressionCommon, JvmOrigin, Origin, Relation, origin};

use super::ParseOptions;
use super::error::{ParseError, ParseErrorKind};
use super::lexer::{Lexeme, Symbol, Token, tokenize};
use super::window::{NamedWindow, WindowClause};

pub(super) type Parsed<T> = Result<T, ParseError>;

/// Levels of nesting a statement may have.
pub(super) const DEPTH_MAX: usize = 256;

/// Operators that may be chained in one statement, counted after the first few of each chain.
const CHAINED_MAX: usize = 1_000;
const CHAINED_FREE: usize = 16;

/// A level of nesting takes some tens of kilobytes of stack in an unoptimised build: with less than
/// this left, the parser goes on with a new piece.
const STACK_RED_ZONE_BYTES: usize = 256 << 10;
const STACK_PIECE_BYTES: usize = 4 << 20;

/// Bytes of statement text that the expressions of one statement may carry copies of.
const ORIGIN_BYTES_MAX: usize = 16 << 20;

/// A name bound by `WITH`, and the relation that takes its place.
pub(super) struct CommonTable {
    pub name: String,
    pub relation: Relation,
    /// Tokens of the definition with the definitions it mentions: bounds what copying costs.
    pub size: usize,
}

/// The state of one parse.
pub(super) struct Parser<'a> {
    pub text: &'a str,
    pub options: &'a ParseOptions,
    lexemes: Vec<Lexeme>,
    /// For each opening parenthesis, the token that closes it; see [`Parser::matching`].
    closers: HashMap<usize, usize>,
    position: usize,
    depth: usize,
    chained: usize,
    /// Names of the lambda variables in scope, innermost last.
    pub lambda_variables: Vec<String>,
    /// Tables bound by `WITH`, innermost last.
    pub common_tables: Vec<CommonTable>,
    /// Tokens that copies of `common_tables` have added so far.
    pub copied: usize,
    /// Windows named by the `WINDOW` clauses in scope, innermost last.
    pub named_windows: Vec<NamedWindow>,
    /// Every `WINDOW` clause read so far.
    pub window_clauses: Vec<WindowClause>,
    /// Relations of the subquery expressions met so far, each with its plan id.
    pub subqueries: Vec<Relation>,
    /// Whether the text is a type or a schema and nothing else.
    pub types_only: bool,
    /// Bytes that the origins of expressions have copied so far.
    origin_bytes: usize,
}

impl<'a> Parser<'a> {
    pub fn new(text: &'a str, options: &'a ParseOptions) -> Parsed<Self> {
        let lexemes = tokenize(text)?;
        Ok(Self {
            text,
            options,
            closers: closers(&lexemes),
            lexemes,
            position: 0,
            depth: 0,
            chained: 0,
            lambda_variables: Vec::new(),
            common_tables: Vec::new(),
            copied: 0,
            named_windows: Vec::new(),
            window_clauses: Vec::new(),
            subqueries: Vec::new(),
            types_only: false,
            origin_bytes: 0,
        })
    }

    // Looking

    fn lexeme(&self, ahead: usize) -> Option<&Lexeme> {
        self.lexemes
            .get(self.position + ahead)
            .or_else(|| self.lexemes.last())
    }

    /// The token `ahead` tokens from here; the end of the text goes on for ever.
    pub fn token(&self, ahead: usize) -> &Token {
        self.lexeme(ahead)
            .map_or(&Token::End, |lexeme| &lexeme.token)
    }

    pub fn is_symbol(&self, ahead: usize, symbol: Symbol) -> bool {
        *self.token(ahead) == Token::Symbol(symbol)
    }

    /// Whether an unquoted word is there that reads `keyword`, in any case.
    pub fn is_word(&self, ahead: usize, keyword: &str) -> bool {
        matches!(self.token(ahead), Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    /// Whether one of the words is there.
    pub fn is_any_word(&self, ahead: usize, keywords: &[&str]) -> bool {
        let Token::Word(word) = self.token(ahead) else {
            return false;
        };
        keywords
            .iter()
            .any(|keyword| word.eq_ignore_ascii_case(keyword))
    }

    /// Whether these words follow one another from here.
    pub fn is_phrase(&self, ahead: usize, keywords: &[&str]) -> bool {
        keywords
            .iter()
            .enumerate()
            .all(|(index, keyword)| self.is_word(ahead + index, keyword))
    }

    /// Whether a name is there, quoted or not.
    pub fn is_name(&self, ahead: usize) -> bool {
        matches!(self.token(ahead), Token::Word(_) | Token::Quoted(_))
    }

    /// Whether the token ends whatever came before it: a keyword just before such a token is a
    /// name, because nothing follows that it could introduce.
    pub fn closes(&self, ahead: usize) -> bool {
        use Symbol::{Comma, RightBracket, RightParen, Semicolon};
        match self.token(ahead) {
            Token::End => true,
            Token::Symbol(symbol) => {
                matches!(symbol, Comma | RightParen | RightBracket | Semicolon)
            }
            _ => false,
        }
    }

    /// Whether two tokens from here on touch, with nothing between them.
    pub fn touches_next(&self, ahead: usize) -> bool {
        match (self.lexeme(ahead), self.lexeme(ahead + 1)) {
            (Some(left), Some(right)) => left.end == right.start,
            _ => false,
        }
    }

    /// How far the token is that closes the parenthesis `ahead` tokens from here; the end of the
    /// text if nothing does.
    pub fn matching(&self, ahead: usize) -> usize {
        let closer = self.closers.get(&(self.position + ahead)).copied();
        closer
            .unwrap_or(self.lexemes.len())
            .saturating_sub(self.position)
    }

    /// Index of the token here; see [`Parser::rewind`].
    pub fn position(&self) -> usize {
        self.position
    }

    /// How many tokens before this one are the symbol.
    pub fn count_before(&self, symbol: Symbol) -> usize {
        let before = self.lexemes.iter().take(self.position);
        before
            .filter(|lexeme| lexeme.token == Token::Symbol(symbol))
            .count()
    }

    /// Byte offset of the token here.
    pub fn offset(&self) -> usize {
        self.lexeme(0)
            .map_or(self.text.len(), |lexeme| lexeme.start)
    }

    /// Byte offset after the token before this one.
    pub fn offset_behind(&self) -> usize {
        let behind = self
            .position
            .checked_sub(1)
            .and_then(|index| self.lexemes.get(index));
        behind.map_or(0, |lexeme| lexeme.end)
    }

    /// The source of the token `ahead` tokens from here.
    pub fn source(&self, ahead: usize) -> &'a str {
        let lexeme = self.lexeme(ahead);
        lexeme
            .and_then(|lexeme| self.text.get(lexeme.start..lexeme.end))
            .unwrap_or("")
    }

    /// The source from a byte offset up to the token here.
    pub fn source_since(&self, start: usize) -> &'a str {
        self.text.get(start..self.offset_behind()).unwrap_or("")
    }

    // Moving

    pub fn advance(&mut self) {
        if self.position + 1 < self.lexemes.len() {
            self.position += 1;
        }
    }

    pub fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.advance();
        }
    }

    /// Goes to a position that [`Parser::position`] gave.
    pub fn rewind(&mut self, position: usize) {
        self.position = position.min(self.lexemes.len().saturating_sub(1));
    }

    pub fn eat_symbol(&mut self, symbol: Symbol) -> bool {
        let found = self.is_symbol(0, symbol);
        if found {
            self.advance();
        }
        found
    }

    pub fn eat_word(&mut self, keyword: &str) -> bool {
        let found = self.is_word(0, keyword);
        if found {
            self.advance();
        }
        found
    }

    /// Eats all the words, or none.
    pub fn eat_phrase(&mut self, keywords: &[&str]) -> bool {
        let found = self.is_phrase(0, keywords);
        if found {
            self.skip(keywords.len());
        }
        found
    }

    pub fn expect_symbol(&mut self, symbol: Symbol) -> Parsed<()> {
        if self.eat_symbol(symbol) {
            return Ok(());
        }
        let extra = self.is_symbol(1, symbol);
        // Behind a list that ends in no name Spark's parser says nothing of what is missing.
        let before = self
            .position
            .checked_sub(1)
            .and_then(|at| self.lexemes.get(at));
        let named =
            before.is_some_and(|lexeme| matches!(lexeme.token, Token::Word(_) | Token::Quoted(_)));
        let wanted = symbol == Symbol::RightBracket || (symbol == Symbol::RightParen && named);
        let missing = wanted && *self.token(0) == Token::End;
        let hint = match (extra, missing) {
            (true, _) => format!(": extra input {}", self.found()),
            (_, true) => format!(": missing '{}'", symbol.spelling()),
            _ => String::new(),
        };
        Err(self.syntax_error_with_hint(hint))
    }

    /// The parenthesis behind a query, which nothing else could follow.
    pub fn expect_query_end(&mut self) -> Parsed<()> {
        if *self.token(0) == Token::End {
            return Err(self.syntax_error_with_hint(": missing ')'".to_owned()));
        }
        self.expect_symbol(Symbol::RightParen)
    }

    pub fn expect_word(&mut self, keyword: &str) -> Parsed<()> {
        if self.eat_word(keyword) {
            Ok(())
        } else {
            Err(self.syntax_error())
        }
    }

    pub fn expect_phrase(&mut self, keywords: &[&str]) -> Parsed<()> {
        keywords
            .iter()
            .try_for_each(|keyword| self.expect_word(keyword))
    }

    /// Expects that nothing follows.
    pub fn expect_end(&mut self) -> Parsed<()> {
        if *self.token(0) == Token::End {
            return Ok(());
        }
        let only = *self.token(1) == Token::End;
        Err(if only {
            self.extra_input()
        } else {
            self.syntax_error()
        })
    }

    /// The token here is one too many.
    pub fn extra_input(&self) -> ParseError {
        self.syntax_error_with_hint(format!(": extra input {}", self.found()))
    }

    /// A name, quoted or not; any keyword will do.
    pub fn expect_name(&mut self) -> Parsed<String> {
        match self.token(0) {
            Token::Word(name) | Token::Quoted(name) => {
                let name = name.clone();
                self.advance();
                Ok(name)
            }
            _ => Err(self.syntax_error()),
        }
    }

    /// One string, put together from adjacent literals.
    pub fn expect_string(&mut self) -> Parsed<String> {
        let mut value = String::new();
        let mut found = false;
        while let Token::String(part) = self.token(0) {
            value.push_str(part);
            found = true;
            self.advance();
        }
        if found {
            Ok(value)
        } else {
            Err(self.syntax_error())
        }
    }

    /// One string literal if one is there, without what it may be adjacent to.
    pub fn eat_one_string(&mut self) -> Option<String> {
        let Token::String(value) = self.token(0) else {
            return None;
        };
        let value = value.clone();
        self.advance();
        Some(value)
    }

    /// `(name, …)`.
    pub fn parenthesized_names(&mut self) -> Parsed<Vec<String>> {
        self.expect_symbol(Symbol::LeftParen)?;
        let names = self.comma_separated(Self::expect_name)?;
        self.expect_symbol(Symbol::RightParen)?;
        Ok(names)
    }

    /// One or more of something, with commas between.
    pub fn comma_separated<T>(
        &mut self,
        mut one: impl FnMut(&mut Self) -> Parsed<T>,
    ) -> Parsed<Vec<T>> {
        let mut items = vec![one(self)?];
        while self.eat_symbol(Symbol::Comma) {
            items.push(one(self)?);
        }
        Ok(items)
    }

    /// Runs `inner` one level of nesting deeper.
    ///
    /// # Errors
    /// When the statement nests deeper than [`DEPTH_MAX`].
    pub fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEPTH_MAX {
            return Err(self.error_here(ParseErrorKind::TooComplex { limit: DEPTH_MAX }));
        }
        self.depth += 1;
        let grown = || inner(self);
        let result = stacker::maybe_grow(STACK_RED_ZONE_BYTES, STACK_PIECE_BYTES, grown);
        self.depth -= 1;
        result
    }

    /// Counts the `length`th operator of a chain.
    ///
    /// # Errors
    /// When the statement chains more than [`CHAINED_MAX`] operators in long chains.
    pub fn chain(&mut self, length: usize) -> Parsed<()> {
        self.chained += usize::from(length > CHAINED_FREE);
        if self.chained > CHAINED_MAX {
            return Err(self.error_here(ParseErrorKind::TooComplex { limit: CHAINED_MAX }));
        }
        Ok(())
    }

    /// Runs `inner` and ends the scopes it opened.
    pub fn scoped<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        let (tables, windows) = (self.common_tables.len(), self.named_windows.len());
        let lambdas = std::mem::take(&mut self.lambda_variables);
        let result = inner(self);
        self.common_tables.truncate(tables);
        self.named_windows.truncate(windows);
        self.lambda_variables = lambdas;
        result
    }

    /// Runs `inner` with lambda variables in scope.
    pub fn with_lambda_variables(
        &mut self,
        names: &[String],
        inner: impl FnOnce(&mut Self) -> Parsed<Expression>,
    ) -> Parsed<Expression> {
        let outer = self.lambda_variables.len();
        self.lambda_variables.extend_from_slice(names);
        let result = inner(self);
        self.lambda_variables.truncate(outer);
        result
    }

    /// Says where an expression that may fail stands: from a byte offset up to the token here.
    pub fn placed(&mut self, start: usize, mut expression: Expression) -> Expression {
        let may_fail = matches!(
            expression.expr_type,
            Some(
                ExprType::UnresolvedFunction(_)
                    | ExprType::Cast(_)
                    | ExprType::UnresolvedExtractValue(_)
            )
        );
        let bytes = self.origin_bytes + self.text.len();
        let wanted = self.options.origins && may_fail && expression.common.is_none();
        if !wanted || bytes > ORIGIN_BYTES_MAX {
            return expression;
        }
        let index = |offset: usize| i32::try_from(offset).ok();
        let stop = self.offset_behind().saturating_sub(1);
        let origin = JvmOrigin {
            start_index: index(start),
            stop_index: index(stop),
            sql_text: Some(self.text.to_owned()),
            ..Default::default()
        };
        self.origin_bytes = bytes;
        expression.common = Some(ExpressionCommon {
            origin: Some(Origin {
                function: Some(origin::Function::JvmOrigin(origin)),
            }),
        });
        expression
    }

    // Errors

    /// How Spark names the token here in messages.
    fn found(&self) -> String {
        match self.token(0) {
            Token::End => "end of input".to_owned(),
            Token::Unknown => {
                format!("'{}'", self.source(0).chars().next().unwrap_or_default())
            }
            _ => format!("'{}'", self.source(0)),
        }
    }

    pub fn syntax_error(&self) -> ParseError {
        self.syntax_error_with_hint(String::new())
    }

    pub fn syntax_error_with_hint(&self, hint: String) -> ParseError {
        self.error_here(ParseErrorKind::Syntax {
            found: self.found(),
            hint,
        })
    }

    /// An error at the token here.
    pub fn error_here(&self, kind: ParseErrorKind) -> ParseError {
        ParseError::at(kind, self.text, self.offset())
    }

    /// An error about the text from a byte offset up to the token here.
    pub fn error_since(&self, start: usize, kind: ParseErrorKind) -> ParseError {
        ParseError::over(kind, self.text, start..self.offset_behind().max(start))
    }

    /// An error about the text from a byte offset to the end of the statement.
    pub fn error_over_rest(&self, start: usize, kind: ParseErrorKind) -> ParseError {
        ParseError::over(kind, self.text, start..self.text.trim_end().len())
    }

    /// Spark has the feature, Millstream does not.
    pub fn unsupported(&self, feature: impl Into<String>) -> ParseError {
        self.error_here(ParseErrorKind::Unsupported {
            feature: feature.into(),
        })
    }
}

fn closers(lexemes: &[Lexeme]) -> HashMap<usize, usize> {
    let mut open = Vec::new();
    let mut closers = HashMap::new();
    for (index, lexeme) in lexemes.iter().enumerate() {
        match lexeme.token {
            Token::Symbol(Symbol::LeftParen) => open.push(index),
            Token::Symbol(Symbol::RightParen) => {
                if let Some(opener) = open.pop() {
                    closers.insert(opener, index);
                }
            }
            _ => {}
        }
    }
    closers
}
