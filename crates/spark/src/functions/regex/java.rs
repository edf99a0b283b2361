//! Java's regular expressions in the syntax of `fancy-regex`.
//!
//! What differs, and what becomes of it:
//!
//! | Java | here |
//! |---|---|
//! | `\d \w \s` and POSIX classes are ASCII unless `(?U)` | spelt out as classes |
//! | `(?i)` is ASCII unless `(?u)` | letters become classes of both cases |
//! | `.`, `^`, `$` know five line terminators; `$` matches before the last one | spelt out, see [`Lines`] |
//! | `\Q…\E`, `\uXXXX`, `\0nn`, `\cX`, `\h`, `\R`, `\Z` | spelt out |
//! | `[a[bc]]`, `[a&&[^b]]`, `[[:alpha:]]` (a set of six characters) | classes are parsed and printed again |
//! | `a{` and `*a` are errors | the same errors |
//!
//! Blocks (`\p{InGreek}`) are known for the common scripts only.
mod class;

use std::{fmt::Write as _, iter::Peekable, str::Chars};

/// Whether texts may contain line terminators. Almost none do, and without them `$` is simply the end: that pattern needs
/// no lookahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// The text has no line terminator.
    Single,
    /// It may have some.
    Several,
}

/// A pattern that Java would refuse, or that cannot be expressed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadPattern(pub String);

type Result<T> = std::result::Result<T, BadPattern>;

fn bad<T>(why: impl Into<String>) -> Result<T> {
    Err(BadPattern(why.into()))
}

/// A translated pattern.
#[derive(Debug)]
pub(super) struct Translated {
    pub text: String,
    /// Whether line terminators matter to it.
    pub line_sensitive: bool,
}

/// Translates `pattern` for texts with or without line terminators.
pub(super) fn translate(pattern: &str, lines: Lines) -> Result<Translated> {
    let mut translator = Translator {
        chars: pattern.chars().peekable(),
        out: String::with_capacity(pattern.len() + 16),
        flags: Flags::default(),
        saved: vec![],
        lines,
        line_sensitive: false,
        repeatable: false,
        groups: group_count(pattern),
    };
    translator.run()?;
    Ok(Translated {
        text: translator.out,
        line_sensitive: translator.line_sensitive,
    })
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    unicode_case: bool,
    unicode_classes: bool,
    multi_line: bool,
    dot_all: bool,
    comments: bool,
    unix_lines: bool,
}

impl Flags {
    fn ascii_case(self) -> bool {
        self.ignore_case && !self.unicode_case && !self.unicode_classes
    }

    fn full_case(self) -> bool {
        self.ignore_case && (self.unicode_case || self.unicode_classes)
    }
}

const TERMINATORS: &str = r"\n\r\x{85}\x{2028}\x{2029}";

/// Number of capturing groups, for telling `\12` from `\1` followed by 2.
fn group_count(pattern: &str) -> usize {
    let mut count = 0;
    let mut chars = pattern.chars().peekable();
    let mut in_class = 0_usize;
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            '[' => in_class += 1,
            ']' => in_class = in_class.saturating_sub(1),
            '(' if in_class == 0 => {
                if chars.peek() != Some(&'?') {
                    count += 1;
                    continue;
                }
                chars.next();
                if chars.next_if_eq(&'<').is_some() && !matches!(chars.peek(), Some('=' | '!')) {
                    count += 1;
                }
            }
            _ => {}
        }
    }
    count
}

struct Translator<'p> {
    chars: Peekable<Chars<'p>>,
    out: String,
    flags: Flags,
    saved: Vec<Flags>,
    lines: Lines,
    line_sensitive: bool,
    /// Whether what was written last may be repeated.
    repeatable: bool,
    groups: usize,
}

impl Translator<'_> {
    fn run(&mut self) -> Result<()> {
        while let Some(c) = self.chars.next() {
            match c {
                '\\' => self.escape()?,
                '[' => {
                    let class = self.class()?;
                    self.atom(&class);
                }
                '(' => self.open()?,
                ')' => {
                    let Some(flags) = self.saved.pop() else {
                        return bad("Unmatched closing ')'");
                    };
                    self.flags = flags;
                    self.atom(")");
                }
                '|' => self.mark("|"),
                '*' | '+' | '?' => self.repeat(c)?,
                '{' => self.counted()?,
                '.' => self.dot(),
                '^' => self.line_start(),
                '$' => self.line_end(self.flags.multi_line),
                '#' if self.flags.comments => while self.chars.next().is_some_and(|c| c != '\n') {},
                c if self.flags.comments && c.is_ascii_whitespace() => {}
                c => self.literal(c),
            }
        }
        if self.saved.is_empty() {
            Ok(())
        } else {
            bad("Unclosed group")
        }
    }

    /// Something that may be repeated.
    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.repeatable = true;
    }

    /// Something that may not.
    fn mark(&mut self, text: &str) {
        self.out.push_str(text);
        self.repeatable = false;
    }

    fn literal(&mut self, c: char) {
        let mut text = String::new();
        if self.flags.ascii_case() && c.is_ascii_alphabetic() {
            let _ = write!(
                text,
                "[{}{}]",
                c.to_ascii_lowercase(),
                c.to_ascii_uppercase()
            );
        } else if self.flags.full_case() {
            text.push_str("(?i:");
            push_escaped(&mut text, c);
            text.push(')');
        } else {
            push_escaped(&mut text, c);
        }
        self.atom(&text);
    }

    fn dot(&mut self) {
        let text = match (self.flags.dot_all, self.flags.unix_lines) {
            (true, _) => "(?s:.)".to_string(),
            (_, true) => r"[^\n]".to_string(),
            _ => format!("[^{TERMINATORS}]"),
        };
        self.atom(&text);
    }

    fn line_start(&mut self) {
        if !self.flags.multi_line {
            return self.atom(r"\A");
        }
        self.line_sensitive = true;
        match self.lines {
            Lines::Single => self.atom(r"\A"),
            Lines::Several => {
                self.atom(r"(?:\A|(?:(?<=\n)|(?<=\r)(?!\n)|(?<=[\x{85}\x{2028}\x{2029}]))(?!\z))")
            }
        }
    }

    fn line_end(&mut self, every_line: bool) {
        self.line_sensitive = true;
        match (self.lines, every_line) {
            (Lines::Single, _) => self.atom(r"\z"),
            (Lines::Several, false) => {
                let text = format!(r"(?:\z|(?=\r\n\z)|(?=[{TERMINATORS}]\z)(?!(?<=\r)\n))");
                self.atom(&text);
            }
            (Lines::Several, true) => {
                let text = format!(r"(?:\z|(?=[{TERMINATORS}])(?!(?<=\r)\n))");
                self.atom(&text);
            }
        }
    }

    fn repeat(&mut self, c: char) -> Result<()> {
        if !self.repeatable {
            return bad(format!("Dangling meta character '{c}'"));
        }
        self.out.push(c);
        self.after_repeat();
        Ok(())
    }

    fn counted(&mut self) -> Result<()> {
        let mut text = String::from("{");
        let mut ended = false;
        while let Some(c) = self
            .chars
            .next_if(|c| c.is_ascii_digit() || matches!(c, ',' | '}'))
        {
            text.push(c);
            if c == '}' {
                ended = true;
                break;
            }
        }
        let starts = text.chars().nth(1).is_some_and(|c| c.is_ascii_digit());
        if !self.repeatable || !ended || !starts {
            return bad("Illegal repetition");
        }
        self.out.push_str(&text);
        self.after_repeat();
        Ok(())
    }

    /// A repetition may be reluctant or possessive, and is not repeated itself.
    fn after_repeat(&mut self) {
        if let Some(c) = self.chars.next_if(|c| matches!(c, '?' | '+')) {
            self.out.push(c);
        }
        self.repeatable = false;
    }

    fn open(&mut self) -> Result<()> {
        let outer = self.flags;
        if self.chars.next_if_eq(&'?').is_none() {
            self.saved.push(outer);
            self.mark("(");
            return Ok(());
        }
        let Some(c) = self.chars.next() else {
            return bad("Unclosed group");
        };
        match c {
            ':' | '=' | '!' | '>' => self.mark(&format!("(?{c}")),
            '<' if matches!(self.chars.peek(), Some('=' | '!')) => {
                let kind = self.chars.next().unwrap_or('=');
                self.mark(&format!("(?<{kind}"));
            }
            '<' => {
                let mut name = String::new();
                while let Some(c) = self.chars.next_if(char::is_ascii_alphanumeric) {
                    name.push(c);
                }
                if self.chars.next() != Some('>') || name.is_empty() {
                    return bad("named capturing group is missing trailing '>'");
                }
                self.mark(&format!("(?<{name}>"));
            }
            c => return self.flag_group(c, outer),
        }
        self.saved.push(outer);
        Ok(())
    }

    /// `(?i)` to the end of the group, or `(?i:…)`.
    fn flag_group(&mut self, first: char, outer: Flags) -> Result<()> {
        let mut on = true;
        let mut c = first;
        loop {
            let flag = match c {
                '-' => {
                    on = false;
                    None
                }
                'i' => Some(&mut self.flags.ignore_case),
                'u' => Some(&mut self.flags.unicode_case),
                'U' => Some(&mut self.flags.unicode_classes),
                'm' => Some(&mut self.flags.multi_line),
                's' => Some(&mut self.flags.dot_all),
                'x' => Some(&mut self.flags.comments),
                'd' => Some(&mut self.flags.unix_lines),
                ')' => {
                    self.repeatable = false;
                    return Ok(());
                }
                ':' => {
                    self.saved.push(outer);
                    self.mark("(?:");
                    return Ok(());
                }
                _ => return bad("Unknown inline modifier"),
            };
            if let Some(flag) = flag {
                *flag = on;
            }
            match self.chars.next() {
                Some(next) => c = next,
                None => return bad("Unclosed group"),
            }
        }
    }

    fn escape(&mut self) -> Result<()> {
        let Some(&c) = self.chars.peek() else {
            return bad("Unexpected internal error");
        };
        match c {
            'Q' => {
                self.chars.next();
                self.quotation(|translator, c| translator.literal(c));
            }
            'E' => {
                self.chars.next();
            }
            'b' | 'B' | 'A' | 'z' | 'G' => {
                self.chars.next();
                self.atom(&format!("\\{c}"));
            }
            'Z' => {
                self.chars.next();
                self.line_end(false);
            }
            'R' => {
                self.chars.next();
                self.atom(r"(?:\r\n|[\n\x0B\x0C\r\x{85}\x{2028}\x{2029}])");
            }
            'X' => return bad("\\X is not supported"),
            'k' => {
                self.chars.next();
                let name: String = self.chars.by_ref().take_while(|c| *c != '>').collect();
                let Some(name) = name.strip_prefix('<') else {
                    return bad("\\k is not followed by '<' for named capturing group");
                };
                self.atom(&format!("\\k<{name}>"));
            }
            '1'..='9' => self.back_reference(),
            _ => {
                if let Some(class) = self.class_escape()? {
                    self.atom(&class);
                } else {
                    let c = self.character_escape()?;
                    self.literal(c);
                }
            }
        }
        Ok(())
    }

    fn quotation(&mut self, mut each: impl FnMut(&mut Self, char)) {
        while let Some(c) = self.chars.next() {
            if c == '\\' && self.chars.next_if_eq(&'E').is_some() {
                return;
            }
            each(self, c);
        }
    }

    /// As many digits as there are groups for.
    fn back_reference(&mut self) {
        let mut number = 0;
        while let Some(digit) = self.chars.peek().and_then(|c| c.to_digit(10)) {
            let longer = number * 10 + digit as usize;
            if number > 0 && longer > self.groups {
                break;
            }
            number = longer;
            self.chars.next();
        }
        // Java: a reference to a group that is not there never matches.
        let text = if number > self.groups {
            "(?!)".to_string()
        } else {
            format!("(?:\\{number})")
        };
        self.atom(&text);
    }
}

fn push_escaped(out: &mut String, c: char) {
    if c.is_ascii_alphanumeric() || !c.is_ascii() || c == '_' {
        out.push(c);
    } else if c.is_ascii_graphic() {
        out.extend(['\\', c]);
    } else {
        let _ = write!(out, "\\x{{{:X}}}", u32::from(c));
    }
}
