//! Records cut into values the way Univocity's parser, which Spark uses, cuts them.
//!
//! A value is quoted only if its first character is the quote. Inside quotes an escape makes a quote
//! literal; a quote that is followed by anything but the delimiter, blanks or the record's end is
//! *unescaped*, and `unescapedQuoteHandling` says what then: by default the value is taken as it stands in
//! the file, quotes included, up to the next delimiter.
use memchr::memmem;

use super::options::{Dialect, UnescapedQuotes};

/// One value of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// Nothing between two delimiters.
    Missing,
    /// Nothing between two quotes.
    Empty,
    /// A part of the record.
    Span(usize, usize),
    /// A part of [`Tokens::scratch`].
    Scratch(usize, usize),
}

/// The record cannot be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uncuttable(pub String);

/// The values of one record.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    tokens: Vec<Token>,
    scratch: Vec<u8>,
}

impl Tokens {
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<Token> {
        self.tokens.get(index).copied()
    }

    /// Bytes of a value; empty for [`Token::Missing`] and [`Token::Empty`].
    pub(super) fn text<'a>(&'a self, record: &'a [u8], token: Token) -> &'a [u8] {
        match token {
            Token::Missing | Token::Empty => b"",
            Token::Span(start, end) => record.get(start..end).unwrap_or_default(),
            Token::Scratch(start, end) => self.scratch.get(start..end).unwrap_or_default(),
        }
    }

    /// Cuts a whole record, a line without its end.
    pub(super) fn cut(&mut self, record: &[u8], dialect: &Dialect) -> Result<(), Uncuttable> {
        self.cut_next(record, dialect, None).map(drop)
    }

    /// Cuts the record at the front of `text`, which ends where `newline` is found outside quotes; its
    /// length including the line end.
    pub(super) fn cut_next(
        &mut self,
        text: &[u8],
        dialect: &Dialect,
        newline: Option<&[u8]>,
    ) -> Result<usize, Uncuttable> {
        self.tokens.clear();
        self.scratch.clear();
        let normalize = dialect.normalize_line_ends;
        let mut cutter = Cutter {
            text,
            at: 0,
            dialect,
            newline,
            normalize,
            tokens: self,
        };
        cutter.record()?;
        let length = cutter.at;
        if let Some(max) = dialect.value_max {
            for token in &self.tokens {
                let length = self.text(text, *token).len();
                if length > max {
                    return Err(Uncuttable(format!(
                        "a value of {length} bytes exceeds maxCharsPerColumn {max}"
                    )));
                }
            }
        }
        Ok(length)
    }
}

struct Cutter<'a> {
    text: &'a [u8],
    at: usize,
    dialect: &'a Dialect,
    newline: Option<&'a [u8]>,
    /// Whether line ends within quotes become `\n`.
    normalize: bool,
    tokens: &'a mut Tokens,
}

impl Cutter<'_> {
    fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn at_delimiter(&self) -> bool {
        self.rest().starts_with(&self.dialect.delimiter)
    }

    fn at_newline(&self) -> bool {
        self.newline
            .is_some_and(|newline| self.rest().starts_with(newline))
    }

    fn at_end(&self) -> bool {
        self.at >= self.text.len()
    }

    fn record(&mut self) -> Result<(), Uncuttable> {
        loop {
            self.value()?;
            if self.tokens.tokens.len() > self.dialect.columns_max {
                let reason = format!(
                    "the record has more than maxColumns {} values",
                    self.dialect.columns_max
                );
                return Err(Uncuttable(reason));
            }
            if self.at_end() {
                return Ok(());
            }
            if self.at_newline() {
                self.at += self.newline.map_or(0, <[u8]>::len);
                return Ok(());
            }
            self.at += self.dialect.delimiter.len();
            if self.at_end() {
                self.tokens.tokens.push(Token::Missing);
                return Ok(());
            }
        }
    }

    /// One value; stands at a delimiter or the record's end afterwards.
    fn value(&mut self) -> Result<(), Uncuttable> {
        if self.dialect.trim_leading {
            while self.rest().first().is_some_and(|b| *b <= b' ')
                && !self.at_delimiter()
                && !self.at_newline()
            {
                self.at += 1;
            }
        }
        let quote = self.dialect.quote;
        if quote != 0 && self.rest().first() == Some(&quote) {
            self.at += 1;
            return self.quoted();
        }
        let start = self.at;
        self.skip_unquoted();
        let mut end = self.at;
        if self.dialect.trim_trailing {
            end = self.trimmed_end(start, end);
        }
        self.tokens.tokens.push(if start == end {
            Token::Missing
        } else {
            Token::Span(start, end)
        });
        Ok(())
    }

    fn trimmed_end(&self, start: usize, end: usize) -> usize {
        let value = self.text.get(start..end).unwrap_or_default();
        start + value.iter().rposition(|b| *b > b' ').map_or(0, |at| at + 1)
    }

    /// Goes to the next delimiter or line end.
    fn skip_unquoted(&mut self) {
        let rest = self.rest();
        let delimiter = match self.dialect.delimiter.as_slice() {
            [byte] => memchr::memchr(*byte, rest),
            bytes => memmem::find(rest, bytes),
        };
        let length = delimiter.unwrap_or(rest.len());
        let within = rest.get(..length).unwrap_or_default();
        let length = self
            .newline
            .and_then(|newline| memmem::find(within, newline))
            .unwrap_or(length);
        self.at += length;
    }

    /// A value whose opening quote has been consumed.
    fn quoted(&mut self) -> Result<(), Uncuttable> {
        let (quote, escape) = (self.dialect.quote, self.dialect.escape);
        let from = self.tokens.scratch.len();
        if self.at_end() {
            // Only the quote itself is left.
            self.tokens.scratch.push(quote);
            return self.end_quoted(from);
        }
        loop {
            let rest = self.rest();
            let special = memchr::memchr3(
                quote,
                escape,
                self.dialect.escape_of_escape.unwrap_or(quote),
                rest,
            );
            let Some(length) = special else {
                // Unterminated: everything up to the end belongs to the value.
                let rest = self.text.get(self.at..).unwrap_or_default();
                self.tokens.scratch.extend_from_slice(rest);
                self.at = self.text.len();
                return self.end_quoted(from);
            };
            let plain = self.text.get(self.at..self.at + length).unwrap_or_default();
            self.tokens.scratch.extend_from_slice(plain);
            self.at += length;
            let byte = self.text.get(self.at).copied().unwrap_or(0);
            let next = self.text.get(self.at + 1).copied();
            if byte == quote {
                if self.closing_quote(from)? {
                    return Ok(());
                }
                continue;
            }
            self.at += 1;
            let escaped = match next {
                Some(n) if byte == escape && n == quote => Some(n),
                Some(n) if Some(byte) == self.dialect.escape_of_escape && n == escape => Some(n),
                _ => None,
            };
            self.at += usize::from(escaped.is_some());
            self.tokens.scratch.push(escaped.unwrap_or(byte));
        }
    }

    fn end_quoted(&mut self, from: usize) -> Result<(), Uncuttable> {
        if let Some(newline) = self
            .newline
            .filter(|newline| self.normalize && *newline != b"\n")
        {
            let value = self.tokens.scratch.split_off(from);
            let mut rest = value.as_slice();
            while let Some(at) = memmem::find(rest, newline) {
                let (line, tail) = rest.split_at(at);
                self.tokens.scratch.extend_from_slice(line);
                self.tokens.scratch.push(b'\n');
                rest = tail.get(newline.len()..).unwrap_or_default();
            }
            self.tokens.scratch.extend_from_slice(rest);
        }
        let end = self.tokens.scratch.len();
        self.tokens.tokens.push(if from == end {
            Token::Empty
        } else {
            Token::Scratch(from, end)
        });
        Ok(())
    }

    /// Stands at a quote inside a quoted value; whether the value is complete.
    fn closing_quote(&mut self, from: usize) -> Result<bool, Uncuttable> {
        let quote = self.dialect.quote;
        let run = self.rest().iter().take_while(|b| **b == quote).count();
        self.at += run;
        if self.dialect.escape == quote {
            // Every pair is a quote; an odd one may end the value.
            (0..run / 2).for_each(|_| self.tokens.scratch.push(quote));
            if run % 2 == 0 {
                return Ok(false);
            }
        } else {
            (1..run).for_each(|_| self.tokens.scratch.push(quote));
        }
        if self.at_end() || self.at_delimiter() || self.at_newline() {
            self.end_quoted(from)?;
            return Ok(true);
        }
        let blanks_at = self.at;
        while self.rest().first().is_some_and(|b| *b <= b' ')
            && !self.at_delimiter()
            && !self.at_newline()
        {
            self.at += 1;
        }
        if self.at > blanks_at && (self.at_end() || self.at_delimiter() || self.at_newline()) {
            self.end_quoted(from)?;
            return Ok(true);
        }
        self.unescaped_quote(from, blanks_at)
    }

    /// A quote with more of the value behind it, from `behind` on.
    fn unescaped_quote(&mut self, from: usize, behind: usize) -> Result<bool, Uncuttable> {
        let quote = self.dialect.quote;
        match self.dialect.unescaped {
            UnescapedQuotes::StopAtClosingQuote => {
                self.tokens.scratch.push(quote);
                let blanks = self.text.get(behind..self.at).unwrap_or_default();
                self.tokens.scratch.extend_from_slice(blanks);
                Ok(false)
            }
            UnescapedQuotes::StopAtDelimiter => {
                self.tokens.scratch.insert(from, quote);
                self.tokens.scratch.push(quote);
                self.at = behind;
                self.skip_unquoted();
                let tail = self.text.get(behind..self.at).unwrap_or_default();
                self.tokens.scratch.extend_from_slice(tail);
                self.end_quoted(from)?;
                Ok(true)
            }
            UnescapedQuotes::BackToDelimiter => {
                // In spite of its name the quote is dropped and the value goes on.
                self.at = behind;
                Ok(false)
            }
            UnescapedQuotes::SkipValue => {
                self.tokens.scratch.truncate(from);
                self.skip_unquoted();
                self.tokens.tokens.push(Token::Missing);
                Ok(true)
            }
            UnescapedQuotes::RaiseError => Err(Uncuttable(format!(
                "unescaped quote at offset {}",
                behind - 1
            ))),
        }
    }
}
