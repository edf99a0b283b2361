//! A value's JSON text without blanks and with numbers as Java prints them: what a string column gets from
//! `from_json`, where Spark does not have the original bytes.
use super::{
    convert::{non_numeric, parse_i64},
    lexer::{Lexer, Malformed, Token},
};
use crate::text::write_double;

/// Appends a value whose token has been read.
pub(super) fn push_normalized(
    lexer: &mut Lexer<'_>,
    token: Token,
    out: &mut String,
) -> Result<(), Malformed> {
    let mut levels = vec![];
    push_token(lexer, token, &mut levels, out)?;
    while let Some((object, first)) = levels.pop() {
        let more = match object {
            true => match lexer.next_name(first)? {
                Some(name) => {
                    if !first {
                        out.push(',');
                    }
                    push_quoted(lexer.content(name), out);
                    out.push(':');
                    true
                }
                None => false,
            },
            false => {
                let more = lexer.next_element(first)?;
                if more && !first {
                    out.push(',');
                }
                more
            }
        };
        if !more {
            out.push(if object { '}' } else { ']' });
            continue;
        }
        levels.push((object, false));
        let token = lexer.value()?;
        push_token(lexer, token, &mut levels, out)?;
        if levels.len() > 1000 {
            return Err(Malformed {
                at: lexer.position(),
                after_name: false,
            });
        }
    }
    Ok(())
}

fn push_token(
    lexer: &mut Lexer<'_>,
    token: Token,
    levels: &mut Vec<(bool, bool)>,
    out: &mut String,
) -> Result<(), Malformed> {
    match token {
        Token::Object => {
            out.push('{');
            levels.push((true, true));
        }
        Token::Array => {
            out.push('[');
            levels.push((false, true));
        }
        Token::String => {
            let text = lexer.string()?;
            push_quoted(lexer.content(text), out);
        }
        Token::True => out.push_str("true"),
        Token::False => out.push_str("false"),
        Token::Null => out.push_str("null"),
        Token::Integer(start, end) => {
            let text = lexer.span(start, end);
            match parse_i64(text) {
                Some(value) => out.push_str(&value.to_string()),
                None => out.push_str(&String::from_utf8_lossy(text)),
            }
        }
        Token::Float(start, end) => {
            let text = String::from_utf8_lossy(lexer.span(start, end)).into_owned();
            push_number(text.parse().unwrap_or(f64::NAN), out);
        }
        Token::NonNumeric(start, end) => push_number(non_numeric(lexer.span(start, end)), out),
    }
    Ok(())
}

/// A number; what JSON has no number for is quoted.
fn push_number(value: f64, out: &mut String) {
    let quote = if value.is_finite() { "" } else { "\"" };
    out.push_str(quote);
    write_double(out, value);
    out.push_str(quote);
}

/// Appends a string with quotes and escapes as Jackson writes them.
pub(super) fn push_quoted(text: &[u8], out: &mut String) {
    out.push('"');
    for c in String::from_utf8_lossy(text).chars() {
        push_escaped(c, out);
    }
    out.push('"');
}

pub(super) fn push_escaped(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
        c => out.push(c),
    }
}
