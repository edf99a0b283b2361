//! `printSchema`.
use std::fmt::Write;

use arrow::datatypes::{DataType, Field};

use super::{interval_fields::interval_name, map_fields, type_name};

/// The schema as `printSchema` draws it, parts nested deeper than `level` left out (0 or less: no limit).
pub fn tree_string<'a>(fields: impl IntoIterator<Item = &'a Field>, level: i32) -> String {
    let depth = if level > 0 { level } else { i32::MAX };
    let mut out = String::from("root\n");
    for field in fields {
        draw_field(&mut out, field, " |", depth);
    }
    out
}

fn draw_field(out: &mut String, field: &Field, prefix: &str, depth: i32) {
    if depth <= 0 {
        return;
    }
    // Writing to a String cannot fail.
    let type_name = interval_name(field).unwrap_or_else(|| type_name(field.data_type()));
    let (name, nullable) = (field.name(), field.is_nullable());
    let _ = writeln!(
        out,
        "{prefix}-- {name}: {type_name} (nullable = {nullable})"
    );
    draw_parts(out, field.data_type(), &format!("{prefix}    |"), depth);
}

fn draw_part(
    out: &mut String,
    label: &str,
    flag: Option<(&str, bool)>,
    data_type: &DataType,
    prefix: &str,
    depth: i32,
) {
    if depth <= 0 {
        return;
    }
    let flag = flag
        .map(|(n, v)| format!(" ({n} = {v})"))
        .unwrap_or_default();
    let _ = writeln!(out, "{prefix}-- {label}: {}{flag}", type_name(data_type));
    draw_parts(out, data_type, &format!("{prefix}    |"), depth);
}

fn draw_parts(out: &mut String, data_type: &DataType, prefix: &str, depth: i32) {
    match data_type {
        DataType::Struct(fields) => {
            for f in fields {
                draw_field(out, f, prefix, depth - 1);
            }
        }
        DataType::List(item) => {
            let flag = Some(("containsNull", item.is_nullable()));
            draw_part(out, "element", flag, item.data_type(), prefix, depth - 1);
        }
        DataType::Map(_, _) => {
            if let Some((k, v)) = map_fields(data_type) {
                draw_part(out, "key", None, k.data_type(), prefix, depth - 1);
                let flag = Some(("valueContainsNull", v.is_nullable()));
                draw_part(out, "value", flag, v.data_type(), prefix, depth - 1);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::{list, structure};
    use super::*;

    #[test]
    fn nested_types_are_drawn_as_spark_draws_them() {
        let s = structure([
            ("a", DataType::Int32, true),
            ("b", list(DataType::Utf8, false), false),
        ]);
        let fields = [Field::new("x", s, true)];
        assert_eq!(
            tree_string(&fields, 0),
            "root\n |-- x: struct (nullable = true)\n |    |-- a: integer (nullable = true)\n |    |-- b: array \
             (nullable = false)\n |    |    |-- element: string (containsNull = false)\n"
        );
        assert_eq!(
            tree_string(&fields, 1),
            "root\n |-- x: struct (nullable = true)\n"
        );
    }
}
