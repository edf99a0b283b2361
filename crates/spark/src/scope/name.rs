//! Which column a name means, and what to say of a name that means none.
use super::Attribute;
use crate::{
    error::{Result, SparkError, quoted_id, quoted_name},
    typed::TypedExpr,
};
use arrow::datatypes::Fields;
use std::collections::HashSet;

/// How names are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameMatch {
    /// `spark.sql.caseSensitive`.
    pub case_sensitive: bool,
}

impl NameMatch {
    /// Whether two names are the same.
    pub fn same(self, a: &str, b: &str) -> bool {
        if self.case_sensitive {
            a == b
        } else {
            a == b || a.to_lowercase() == b.to_lowercase()
        }
    }

    fn ends_with(self, qualifier: &[String], wanted: &[String]) -> bool {
        wanted.len() <= qualifier.len()
            && qualifier
                .iter()
                .rev()
                .zip(wanted.iter().rev())
                .all(|(a, b)| self.same(a, b))
    }
}

/// The attributes that `parts` may mean, each with how many parts its qualifier and name took. Longer qualifiers win.
pub fn candidates<'a>(
    parts: &[String],
    attributes: impl Iterator<Item = &'a Attribute> + Clone,
    names: NameMatch,
) -> (Vec<&'a Attribute>, usize) {
    // catalog.database.table.column, database.table.column, table.column
    for taken in (2..=parts.len().min(4)).rev() {
        let (Some(qualifier), Some(name)) = (parts.get(..taken - 1), parts.get(taken - 1)) else {
            continue;
        };
        let found: Vec<&Attribute> = attributes
            .clone()
            .filter(|a| {
                names.same(&a.name, name)
                    && !a.qualifier.is_empty()
                    && names.ends_with(&a.qualifier, qualifier)
                    && (qualifier.len() == 1 || a.qualifier.len() == qualifier.len())
            })
            .collect();
        if !found.is_empty() {
            return (found, taken);
        }
    }
    let Some(name) = parts.first() else {
        return (vec![], 0);
    };
    (
        attributes.filter(|a| names.same(&a.name, name)).collect(),
        1,
    )
}

/// Resolves a name with its nested fields against `attributes`; `None` if there is no such column.
pub fn resolve_name<'a>(
    parts: &[String],
    attributes: impl Iterator<Item = &'a Attribute> + Clone,
    names: NameMatch,
) -> Result<Option<TypedExpr>> {
    let (mut found, taken) = candidates(parts, attributes, names);
    // A column that was selected twice is still one.
    let mut seen = HashSet::new();
    found.retain(|a| seen.insert(&a.column));
    let Some(first) = found.first() else {
        return Ok(None);
    };
    if found.len() > 1 {
        let mut all: Vec<String> = found.iter().map(|a| a.qualified_name()).collect();
        all.sort();
        return Err(SparkError::analysis(
            "AMBIGUOUS_REFERENCE",
            &[
                ("name", &quoted_name(parts)),
                ("referenceNames", &format!("[{}]", all.join(", "))),
            ],
        ));
    }
    let fields = parts.get(taken..).unwrap_or_default();
    let mut value = first.reference();
    // A column goes by the name it was asked for.
    if let Some(written) = parts.get(taken - 1) {
        value.name.clone_from(written);
    }
    for field in fields {
        value = extract_field(value, field, names)?;
        value.output_name = Some(field.clone());
    }
    Ok(Some(value))
}

/// `value.field` of a struct, an array of structs, or a map with text keys.
pub fn extract_field(value: TypedExpr, field: &str, names: NameMatch) -> Result<TypedExpr> {
    crate::expression::extract::by_name(value, field, names)
}

/// The index of the field of that name; `AMBIGUOUS_REFERENCE_TO_FIELDS`, `FIELD_NOT_FOUND`.
pub fn find_field(fields: &Fields, name: &str, names: NameMatch) -> Result<usize> {
    let found: Vec<usize> = fields
        .iter()
        .enumerate()
        .filter(|(_, f)| names.same(f.name(), name))
        .map(|(i, _)| i)
        .collect();
    match found.as_slice() {
        [one] => Ok(*one),
        [] => {
            let all: Vec<String> = fields.iter().map(|f| quoted_id(f.name())).collect();
            Err(SparkError::analysis(
                "FIELD_NOT_FOUND",
                &[("fieldName", &quoted_id(name)), ("fields", &all.join(", "))],
            ))
        }
        many => Err(SparkError::analysis(
            "AMBIGUOUS_REFERENCE_TO_FIELDS",
            &[
                ("field", &quoted_id(name)),
                ("count", &many.len().to_string()),
            ],
        )),
    }
}

/// `UNRESOLVED_COLUMN`, with the names that look most alike.
pub fn unresolved_column<'a>(
    parts: &[String],
    attributes: impl Iterator<Item = &'a Attribute>,
) -> SparkError {
    let all: Vec<&Attribute> = attributes.collect();
    let wanted = quoted_name(parts);
    let Some(proposal) = suggestions(parts, &all) else {
        return SparkError::analysis(
            "UNRESOLVED_COLUMN.WITHOUT_SUGGESTION",
            &[("objectName", &wanted)],
        );
    };
    SparkError::analysis(
        "UNRESOLVED_COLUMN.WITH_SUGGESTION",
        &[("objectName", &wanted), ("proposal", &proposal)],
    )
}

/// Up to five names, the most similar first; qualified as far as the wanted name is or as it takes to tell them apart.
fn suggestions(parts: &[String], attributes: &[&Attribute]) -> Option<String> {
    let dotted = |part: &String| match part.contains('.') {
        true => format!("`{part}`"),
        false => part.clone(),
    };
    let wanted = parts.iter().map(dotted).collect::<Vec<_>>().join(".");
    let prefix_shared = parts.len() == 1 || {
        let mut qualifiers: Vec<&[String]> =
            attributes.iter().map(|a| a.qualifier.as_slice()).collect();
        qualifiers.dedup();
        qualifiers.len() == 1
    };
    let shown: Vec<Vec<String>> = attributes
        .iter()
        .map(|a| {
            let mut full = a.qualifier.clone();
            full.push(a.name.clone());
            let same = attributes.iter().filter(|b| b.name == a.name).count();
            if prefix_shared && parts.len() == 1 && same == 1 {
                full.split_off(full.len() - 1)
            } else {
                full
            }
        })
        .collect();
    let mut ranked: Vec<(usize, String)> = shown
        .into_iter()
        .map(|name| {
            // Spark compares the quoted name with the bare one.
            let quoted = quoted_name(&name);
            (levenshtein(&quoted, &wanted), quoted)
        })
        .collect();
    ranked.sort();
    ranked.dedup();
    if ranked.is_empty() {
        return None;
    }
    let names: Vec<String> = ranked.into_iter().take(5).map(|(_, name)| name).collect();
    Some(names.join(", "))
}

/// Edit distance.
pub(crate) fn levenshtein(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = Vec::with_capacity(row.len());
        next.push(left);
        for (j, y) in b.iter().enumerate() {
            let up = row.get(j + 1).copied().unwrap_or(usize::MAX);
            let cost = diagonal + usize::from(x != *y);
            diagonal = up;
            left = cost.min(up + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// The parts of an attribute name as clients write them: dots separate, backquotes quote. Spark's `parseAttributeName`.
pub fn parse_attribute_name(text: &str) -> Result<Vec<String>> {
    let error = || SparkError::analysis("INVALID_ATTRIBUTE_NAME_SYNTAX", &[("name", text)]);
    let mut parts = vec![];
    let mut current = String::new();
    let mut chars = text.chars().peekable();
    let (mut quoted, mut was_quoted) = (false, false);
    while let Some(c) = chars.next() {
        match c {
            '`' if quoted => {
                if chars.peek() == Some(&'`') {
                    chars.next();
                    current.push('`');
                } else {
                    (quoted, was_quoted) = (false, true);
                    if chars.peek().is_some_and(|n| *n != '.') {
                        return Err(error());
                    }
                }
            }
            '`' if current.is_empty() && !was_quoted => quoted = true,
            '`' => return Err(error()),
            '.' if !quoted => {
                if current.is_empty() && !was_quoted {
                    return Err(error());
                }
                parts.push(std::mem::take(&mut current));
                was_quoted = false;
                if chars.peek().is_none() {
                    return Err(error());
                }
            }
            other => current.push(other),
        }
    }
    if quoted {
        return Err(error());
    }
    parts.push(current);
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Metadata;
    use arrow::datatypes::DataType;
    use datafusion::common::Column;

    fn attribute(id: u64, qualifier: &str, name: &str) -> Attribute {
        Attribute {
            name: name.into(),
            column: Column::new_unqualified(format!("{name}#{id}")),
            data_type: DataType::Int32,
            nullable: true,
            metadata: Metadata::new(),
            qualifier: if qualifier.is_empty() {
                vec![]
            } else {
                vec![qualifier.into()]
            },
        }
    }

    const ANY_CASE: NameMatch = NameMatch {
        case_sensitive: false,
    };

    fn resolve(name: &str, attributes: &[Attribute]) -> Result<Option<TypedExpr>> {
        resolve_name(&parse_attribute_name(name)?, attributes.iter(), ANY_CASE)
    }

    #[test]
    fn names_are_found_in_any_case_and_by_qualifier() {
        let all = [
            attribute(0, "t", "a"),
            attribute(1, "u", "a"),
            attribute(2, "u", "b"),
        ];
        assert_eq!(resolve("B", &all).unwrap().unwrap().expr.to_string(), "b#2");
        assert_eq!(
            resolve("u.A", &all).unwrap().unwrap().expr.to_string(),
            "a#1"
        );
        assert_eq!(
            resolve("a", &all).unwrap_err().message_parameters["referenceNames"],
            "[`t`.`a`, `u`.`a`]"
        );
        assert!(resolve("c", &all).unwrap().is_none());
    }

    #[test]
    fn suggestions_come_most_similar_first() {
        let all = [attribute(0, "", "value"), attribute(1, "", "timestamp")];
        let error = unresolved_column(&["nope".into()], all.iter());
        assert_eq!(error.message_parameters["proposal"], "`value`, `timestamp`");
    }

    #[test]
    fn attribute_names_are_split_at_dots_outside_quotes() {
        assert_eq!(
            parse_attribute_name("a.`b.c`.d").unwrap(),
            ["a", "b.c", "d"]
        );
        assert_eq!(parse_attribute_name("count(1)").unwrap(), ["count(1)"]);
        for bad in ["a.", ".a", "a..b", "`a", "a`b`", "`a`b"] {
            assert!(parse_attribute_name(bad).is_err(), "{bad}");
        }
    }
}
