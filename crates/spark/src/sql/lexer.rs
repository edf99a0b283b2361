//! Splits SQL text into tokens the way Spark's lexer does.
//!
//! Three rules shape this file. Spark's lexer takes the longest match, so `1e3L` is an identifier
//! and not a number with a suffix. A word is only a keyword where the grammar looks for one, so
//! keywords are not told apart here. `<` and `>` are always single tokens, because
//! `map<string,array<int>>` ends in two of them; the expression parser puts shifts together again
//! when the characters touch.
//!
//! Comments vanish here, except hint openers (`/*+`), which the query parser skips knowingly.
//! A character that starts no token becomes [`Token::Unknown`] and is reported by whoever meets
//! it, which is how Spark reports an unclosed quote.

use super::error::{ParseError, ParseErrorKind};

/// One token and the bytes it came from.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lexeme {
    pub token: Token,
    /// Byte offset of the first character.
    pub start: usize,
    /// Byte offset after the last character.
    pub end: usize,
}

/// What a piece of text is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    /// An unquoted identifier or keyword, as typed.
    Word(String),
    /// A back-quoted identifier, unquoted.
    Quoted(String),
    /// A number; its digits are the source text.
    Number(NumberKind),
    /// A string, unescaped.
    String(String),
    /// An operator or a piece of punctuation.
    Symbol(Symbol),
    /// The beginning of a hint comment.
    HintStart,
    /// The end of a hint comment.
    HintEnd,
    /// A character that starts no token.
    Unknown,
    /// The end of the text.
    End,
}

/// The type a number literal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NumberKind {
    Integer,
    Decimal,
    Exponent,
    TinyInt,
    SmallInt,
    BigInt,
    Float,
    Double,
    BigDecimal,
}

/// Operators and punctuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbol {
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Comma,
    Dot,
    Semicolon,
    Colon,
    DoubleColon,
    Question,
    Equal,
    NullSafeEqual,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Tilde,
    Ampersand,
    Pipe,
    Concat,
    PipeForward,
    Caret,
    Bang,
    Arrow,
    FatArrow,
}

/// Symbols by spelling, the longest first: the first that matches is the token.
const SYMBOLS: &[(&str, Symbol)] = &[
    ("<=>", Symbol::NullSafeEqual),
    ("<>", Symbol::NotEqual),
    ("!=", Symbol::NotEqual),
    ("<=", Symbol::LessOrEqual),
    ("!>", Symbol::LessOrEqual),
    (">=", Symbol::GreaterOrEqual),
    ("!<", Symbol::GreaterOrEqual),
    ("==", Symbol::Equal),
    ("=>", Symbol::FatArrow),
    ("->", Symbol::Arrow),
    ("||", Symbol::Concat),
    ("|>", Symbol::PipeForward),
    ("::", Symbol::DoubleColon),
    ("(", Symbol::LeftParen),
    (")", Symbol::RightParen),
    ("[", Symbol::LeftBracket),
    ("]", Symbol::RightBracket),
    (",", Symbol::Comma),
    (".", Symbol::Dot),
    (";", Symbol::Semicolon),
    (":", Symbol::Colon),
    ("?", Symbol::Question),
    ("=", Symbol::Equal),
    ("<", Symbol::Less),
    (">", Symbol::Greater),
    ("+", Symbol::Plus),
    ("-", Symbol::Minus),
    ("*", Symbol::Star),
    ("/", Symbol::Slash),
    ("%", Symbol::Percent),
    ("~", Symbol::Tilde),
    ("&", Symbol::Ampersand),
    ("|", Symbol::Pipe),
    ("^", Symbol::Caret),
    ("!", Symbol::Bang),
];

impl Symbol {
    /// The usual spelling, for error messages.
    pub fn spelling(self) -> &'static str {
        let canonical = SYMBOLS.iter().rev().find(|(_, symbol)| *symbol == self);
        canonical.map_or("", |(spelling, _)| spelling)
    }
}

/// Tokenizes the whole text; the last token is [`Token::End`].
///
/// # Errors
/// An unclosed bracketed comment, or an unquoted identifier with letters outside ASCII.
pub(super) fn tokenize(text: &str) -> Result<Vec<Lexeme>, ParseError> {
    let mut lexer = Lexer {
        text,
        position: 0,
        in_hint: false,
    };
    let mut lexemes = Vec::new();
    loop {
        lexer.skip_blanks_and_comments()?;
        let start = lexer.position;
        let token = lexer.next_token()?;
        let done = token == Token::End;
        lexemes.push(Lexeme {
            token,
            start,
            end: lexer.position,
        });
        if done {
            return Ok(lexemes);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    position: usize,
    in_hint: bool,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_blanks_and_comments(&mut self) -> Result<(), ParseError> {
        loop {
            let rest = self.rest();
            if rest.starts_with("--") {
                self.skip_line_comment();
            } else if rest.starts_with("/*") && !rest.starts_with("/*+") {
                self.skip_bracketed_comment()?;
            } else if let Some(blank) = rest.chars().next().filter(|c| is_blank(*c)) {
                self.position += blank.len_utf8();
            } else {
                return Ok(());
            }
        }
    }

    /// A line comment continues on the next line after a backslash.
    fn skip_line_comment(&mut self) {
        let mut previous = ' ';
        for character in self.rest().chars() {
            if matches!(character, '\n' | '\r') && previous != '\\' {
                return;
            }
            self.position += character.len_utf8();
            previous = character;
        }
    }

    /// Bracketed comments nest.
    fn skip_bracketed_comment(&mut self) -> Result<(), ParseError> {
        let mut depth = 0usize;
        while let Some(character) = self.peek() {
            let rest = self.rest();
            if rest.starts_with("/*") {
                depth += 1;
                self.position += 2;
            } else if rest.starts_with("*/") {
                depth = depth.saturating_sub(1);
                self.position += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else {
                self.position += character.len_utf8();
            }
        }
        Err(ParseError::without_position(
            ParseErrorKind::UnclosedComment,
            self.text,
        ))
    }

    fn next_token(&mut self) -> Result<Token, ParseError> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else {
            return Ok(Token::End);
        };
        if rest.starts_with("/*+") {
            self.position += 3;
            self.in_hint = true;
            return Ok(Token::HintStart);
        }
        if self.in_hint && rest.starts_with("*/") {
            self.position += 2;
            self.in_hint = false;
            return Ok(Token::HintEnd);
        }
        if matches!(first, '\'' | '"') {
            return Ok(self.string(first, false));
        }
        if matches!(first, 'r' | 'R') {
            let quote = rest.chars().nth(1).filter(|c| matches!(c, '\'' | '"'));
            if let Some(quote) = quote {
                self.position += 1;
                let token = self.string(quote, true);
                if token != Token::Unknown {
                    return Ok(token);
                }
                self.position -= 1;
            }
        }
        if first == '`' {
            return Ok(self.quoted_identifier());
        }
        if let Some((length, kind)) = number(rest)
            && length >= word_length(rest)
        {
            self.position += length;
            return Ok(Token::Number(kind));
        }
        if is_word_character(first) {
            return self.word();
        }
        for (spelling, symbol) in SYMBOLS {
            if rest.starts_with(spelling) {
                self.position += spelling.len();
                return Ok(Token::Symbol(*symbol));
            }
        }
        self.position += first.len_utf8();
        Ok(Token::Unknown)
    }

    fn word(&mut self) -> Result<Token, ParseError> {
        let length = word_length(self.rest());
        let word = self.rest().get(..length).unwrap_or("").to_owned();
        let start = self.position;
        self.position += length;
        if !word.is_ascii() {
            let kind = ParseErrorKind::InvalidIdentifier { identifier: word };
            return Err(ParseError::at(kind, self.text, start));
        }
        Ok(Token::Word(word))
    }

    fn quoted_identifier(&mut self) -> Token {
        let mut name = String::new();
        let mut characters = self.rest().char_indices().skip(1).peekable();
        while let Some((offset, character)) = characters.next() {
            if character != '`' {
                name.push(character);
            } else if characters.next_if(|(_, next)| *next == '`').is_some() {
                name.push('`');
            } else {
                self.position += offset + 1;
                return Token::Quoted(name);
            }
        }
        self.position += 1;
        Token::Unknown
    }

    fn string(&mut self, quote: char, raw: bool) -> Token {
        let mut body_end = None;
        let mut characters = self.rest().char_indices().skip(1).peekable();
        while let Some((offset, character)) = characters.next() {
            if character == '\\' && !raw {
                characters.next();
            } else if character == quote {
                // A doubled quote stands for itself, but not in a raw string.
                if raw || characters.next_if(|(_, next)| *next == quote).is_none() {
                    body_end = Some(offset);
                    break;
                }
            }
        }
        let Some(body_end) = body_end else {
            self.position += 1;
            return Token::Unknown;
        };
        let body = self.rest().get(1..body_end).unwrap_or("");
        let value = if raw {
            body.to_owned()
        } else {
            unescape(body, quote)
        };
        self.position += body_end + 1;
        Token::String(value)
    }
}

fn is_blank(character: char) -> bool {
    matches!(
        character,
        ' ' | '\r' | '\n' | '\t' | '\u{c}' | '\u{a0}' | '\u{3000}'
    ) || character.is_whitespace()
}

fn is_word_character(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

fn word_length(text: &str) -> usize {
    text.find(|c| !is_word_character(c)).unwrap_or(text.len())
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The length and kind of the number at the start of the text, if there is one.
fn number(text: &str) -> Option<(usize, NumberKind)> {
    let whole = digits(text);
    let after_whole = text.get(whole..)?;
    let fraction = after_whole.strip_prefix('.').map(digits);
    let mantissa = match fraction {
        Some(fraction) if whole + fraction > 0 => whole + 1 + fraction,
        _ if whole > 0 => whole,
        _ => return None,
    };
    let decimal = fraction.is_some() && mantissa > whole;
    match suffixed(text, mantissa, decimal) {
        Some(found) => Some(found),
        // `1.a` is the integer 1, a dot and an identifier.
        None if decimal && whole > 0 => suffixed(text, whole, false),
        None => None,
    }
}

/// Reads the exponent and the type suffix after `mantissa` bytes of digits.
fn suffixed(text: &str, mantissa: usize, decimal: bool) -> Option<(usize, NumberKind)> {
    let exponent = exponent_length(text.get(mantissa..)?);
    let base = mantissa + exponent;
    let tail = text.get(base..)?.as_bytes();
    let letter = |index: usize| tail.get(index).map(u8::to_ascii_uppercase);
    let plain_integer = exponent == 0 && !decimal;
    let (suffix, kind) = match (letter(0), letter(1)) {
        (Some(b'B'), Some(b'D')) => (2, NumberKind::BigDecimal),
        (Some(b'D'), _) => (1, NumberKind::Double),
        (Some(b'F'), _) => (1, NumberKind::Float),
        (Some(b'L'), _) if plain_integer => (1, NumberKind::BigInt),
        (Some(b'S'), _) if plain_integer => (1, NumberKind::SmallInt),
        (Some(b'Y'), _) if plain_integer => (1, NumberKind::TinyInt),
        _ if exponent > 0 => (0, NumberKind::Exponent),
        _ if decimal => (0, NumberKind::Decimal),
        _ => (0, NumberKind::Integer),
    };
    let end = base + suffix;
    let runs_on = text
        .get(end..)?
        .chars()
        .next()
        .is_some_and(is_word_character);
    // A decimal that runs into a word is not one (`1.5x`); an integer that does is part of a
    // longer word, which the caller finds by length.
    if runs_on && (decimal || exponent > 0) {
        None
    } else {
        Some((end, kind))
    }
}

fn exponent_length(text: &str) -> usize {
    let Some(tail) = text.strip_prefix(['e', 'E']) else {
        return 0;
    };
    let unsigned = tail.strip_prefix(['+', '-']).unwrap_or(tail);
    match digits(unsigned) {
        0 => 0,
        count => text.len() - unsigned.len() + count,
    }
}

/// Resolves Spark's escapes: `\n`-like controls, octal `\101`, `\u0041`, `\U0001F600`, and
/// `\%` and `\_`, which keep their backslash for `LIKE`. A doubled quote is one quote.
fn unescape(body: &str, quote: char) -> String {
    let mut value = String::with_capacity(body.len());
    let mut rest = body;
    while let Some(character) = rest.chars().next() {
        rest = rest.get(character.len_utf8()..).unwrap_or("");
        if character == quote {
            rest = rest.strip_prefix(quote).unwrap_or(rest);
        }
        if character != '\\' {
            value.push(character);
            continue;
        }
        let Some((escaped, consumed)) = escape(rest) else {
            value.push('\\');
            continue;
        };
        value.push_str(&escaped);
        rest = rest.get(consumed..).unwrap_or("");
    }
    value
}

/// What follows a backslash: the text it stands for and the bytes it takes.
fn escape(rest: &str) -> Option<(String, usize)> {
    let first = rest.chars().next()?;
    let one = |character: char| Some((character.to_string(), first.len_utf8()));
    match first {
        'u' => code_point(rest, 4).or_else(|| one('u')),
        'U' => code_point(rest, 8).or_else(|| one('U')),
        '0' | '1' if octal(rest).is_some() => octal(rest).map(|c| (c.to_string(), 3)),
        '0' => one('\0'),
        'b' => one('\u{8}'),
        'n' => one('\n'),
        'r' => one('\r'),
        't' => one('\t'),
        'Z' => one('\u{1a}'),
        '%' => Some(("\\%".to_owned(), 1)),
        '_' => Some(("\\_".to_owned(), 1)),
        other => one(other),
    }
}

fn code_point(rest: &str, length: usize) -> Option<(String, usize)> {
    let hex = rest.get(1..=length)?;
    let code = u32::from_str_radix(hex, 16).ok()?;
    char::from_u32(code).map(|c| (c.to_string(), length + 1))
}

fn octal(rest: &str) -> Option<char> {
    let code = rest.get(..3)?;
    code.bytes()
        .all(|b| (b'0'..=b'7').contains(&b))
        .then_some(())?;
    u32::from_str_radix(code, 8).ok().and_then(char::from_u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Token> {
        tokenize(text)
            .unwrap()
            .into_iter()
            .map(|lexeme| lexeme.token)
            .collect()
    }

    fn strings(text: &str) -> Vec<String> {
        let string = |token| {
            if let Token::String(value) = token {
                Some(value)
            } else {
                None
            }
        };
        kinds(text).into_iter().filter_map(string).collect()
    }

    #[test]
    fn longest_match_decides_between_number_and_identifier() {
        let number = |kind| vec![Token::Number(kind), Token::End];
        let word = |text: &str| vec![Token::Word(text.into()), Token::End];
        assert_eq!(kinds("1L"), number(NumberKind::BigInt));
        assert_eq!(kinds("1e3"), number(NumberKind::Exponent));
        assert_eq!(kinds("1.5e-3"), number(NumberKind::Exponent));
        assert_eq!(kinds("1.5bd"), number(NumberKind::BigDecimal));
        assert_eq!(kinds("5.f"), number(NumberKind::Float));
        assert_eq!(kinds(".5"), number(NumberKind::Decimal));
        assert_eq!(kinds("1e3L"), word("1e3L"));
        assert_eq!(kinds("1_a"), word("1_a"));
        assert_eq!(kinds("0x1F"), word("0x1F"));
    }

    #[test]
    fn a_decimal_that_runs_into_a_word_is_taken_apart() {
        let dot = Token::Symbol(Symbol::Dot);
        assert_eq!(
            kinds("a.1b"),
            [
                Token::Word("a".into()),
                dot.clone(),
                Token::Word("1b".into()),
                Token::End
            ]
        );
        assert_eq!(
            kinds("1.a"),
            [
                Token::Number(NumberKind::Integer),
                dot,
                Token::Word("a".into()),
                Token::End
            ]
        );
    }

    #[test]
    fn strings_unescape_as_spark_does() {
        assert_eq!(strings(r"'it''s' 'it\'s'"), ["it's", "it's"]);
        assert_eq!(strings(r"'a\nb\%c\_d\\e\qf'"), ["a\nb\\%c\\_d\\eqf"]);
        assert_eq!(strings(r"'\u0041\101\U0001F600\7\0'"), ["AA\u{1f600}7\0"]);
        assert_eq!(strings(r#"r'a\n' R"b\'c""#), [r"a\n", r"b\'c"]);
    }

    #[test]
    fn an_unclosed_quote_is_an_unknown_character() {
        assert_eq!(kinds("'a")[0], Token::Unknown);
        assert_eq!(kinds("`a")[0], Token::Unknown);
    }

    #[test]
    fn comments_nest_and_hints_stay() {
        assert_eq!(kinds("/* a /* b */ c */ -- d"), [Token::End]);
        assert_eq!(
            kinds("/*+ x */"),
            [
                Token::HintStart,
                Token::Word("x".into()),
                Token::HintEnd,
                Token::End
            ]
        );
        assert!(tokenize("/* a /* b */").is_err());
    }
}
