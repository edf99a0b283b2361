//! Rows as the text table of `Dataset.show()`.
//!
//! Lengths are Java's: UTF-16 code units, with East Asian wide characters taking two columns. A
//! cell is escaped first and cut to `truncate` units then, so an escape may be cut in half, as it
//! is in Spark.
use std::fmt::Write;

use arrow::{
    array::{Array, RecordBatch},
    datatypes::Schema,
};

use crate::{
    datetime::Zone,
    text::{RenderError, Style, render},
};

const COLUMN_WIDTH_MIN: usize = 3;

/// How a table is shown.
#[derive(Debug, Clone)]
pub struct TableText {
    /// Rows at most.
    pub num_rows: usize,
    /// Longest cell in UTF-16 units; 0 shows cells whole and aligns them to the left.
    pub truncate: usize,
    /// One line a column instead of one line a row.
    pub vertical: bool,
    /// Session time zone.
    pub zone: Zone,
}

impl TableText {
    /// The table as `show()` prints it, up to but without the line end that printing adds.
    /// `batches` may hold more rows than are shown; that there are more is said below the table.
    ///
    /// # Errors
    /// If a column has a type that cannot be shown.
    pub fn format(&self, schema: &Schema, batches: &[RecordBatch]) -> Result<String, RenderError> {
        let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let rows = self.cells(schema, batches)?;
        let header: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| escaped(field.name()))
            .collect();
        let mut out = String::new();
        match self.vertical {
            false => self.horizontal(&mut out, &header, &rows),
            true => vertical(&mut out, &header, &rows),
        }
        if total > self.num_rows {
            let plural = if self.num_rows == 1 { "" } else { "s" };
            let _ = write!(out, "only showing top {} row{plural}", self.num_rows);
        } else if self.vertical && total == 0 {
            out.push_str("(0 rows)");
        }
        Ok(out)
    }

    fn cells(
        &self,
        schema: &Schema,
        batches: &[RecordBatch],
    ) -> Result<Vec<Vec<String>>, RenderError> {
        let style = Style::table(self.zone);
        let mut rows = Vec::new();
        for batch in batches {
            let shown = batch.num_rows().min(self.num_rows - rows.len());
            let batch = batch.slice(0, shown);
            let mut columns = Vec::with_capacity(batch.num_columns());
            for (column, field) in batch.columns().iter().zip(schema.fields()) {
                columns.push(render(column, field, &style)?);
            }
            rows.extend((0..shown).map(|row| {
                let cell = |column: &arrow::array::StringArray| {
                    let text = if column.is_null(row) {
                        style.null()
                    } else {
                        column.value(row)
                    };
                    truncated(escaped(text), self.truncate)
                };
                columns.iter().map(cell).collect()
            }));
        }
        Ok(rows)
    }

    fn horizontal(&self, out: &mut String, header: &[String], rows: &[Vec<String>]) {
        let mut widths = vec![COLUMN_WIDTH_MIN; header.len()];
        for row in std::iter::once(header).chain(rows.iter().map(Vec::as_slice)) {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(display_width(cell));
            }
        }
        let mut line = String::from("+");
        for width in &widths {
            line.extend(std::iter::repeat_n('-', *width));
            line.push('+');
        }
        // A table without columns keeps the corners of both sides.
        if widths.is_empty() {
            line.push('+');
        }
        line.push('\n');
        out.push_str(&line);
        self.row(out, header, &widths);
        out.push_str(&line);
        for row in rows {
            self.row(out, row, &widths);
        }
        out.push_str(&line);
    }

    fn row(&self, out: &mut String, cells: &[String], widths: &[usize]) {
        out.push('|');
        for (cell, width) in cells.iter().zip(widths) {
            let padding = std::iter::repeat_n(' ', width - display_width(cell));
            if self.truncate > 0 {
                out.extend(padding);
                out.push_str(cell);
            } else {
                out.push_str(cell);
                out.extend(padding);
            }
            out.push('|');
        }
        if widths.is_empty() {
            out.push('|');
        }
        out.push('\n');
    }
}

fn vertical(out: &mut String, header: &[String], rows: &[Vec<String>]) {
    let widest = |cells: &mut dyn Iterator<Item = &String>| {
        cells
            .map(|cell| display_width(cell))
            .max()
            .unwrap_or_default()
            .max(COLUMN_WIDTH_MIN)
    };
    let name_width = widest(&mut header.iter());
    let cell_width = widest(&mut rows.iter().flatten());
    for (i, row) in rows.iter().enumerate() {
        let title = format!("-RECORD {i}");
        let _ = writeln!(out, "{title:-<0$}", name_width + cell_width + 5);
        for (name, cell) in header.iter().zip(row) {
            let pad = |text: &str, width: usize| " ".repeat(width - display_width(text));
            let _ = writeln!(
                out,
                " {name}{} | {cell}{} ",
                pad(name, name_width),
                pad(cell, cell_width)
            );
        }
    }
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{c}' => out.push_str("\\f"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{7}' => out.push_str("\\a"),
            c => out.push(c),
        }
    }
    out
}

fn truncated(text: String, limit: usize) -> String {
    const DOTS: &str = "...";
    let length: usize = text.chars().map(char::len_utf16).sum();
    if limit == 0 || length <= limit {
        return text;
    }
    let (keep, dots) = if limit <= DOTS.len() {
        (limit, "")
    } else {
        (limit - DOTS.len(), DOTS)
    };
    let mut out = String::with_capacity(text.len());
    let mut used = 0;
    for c in text.chars() {
        if used == keep {
            break;
        }
        used += c.len_utf16();
        // Half of a surrogate pair is what Java keeps here, and it prints that as a question mark.
        out.push(if used > keep { '?' } else { c });
        used = used.min(keep);
    }
    out.push_str(dots);
    out
}

fn display_width(text: &str) -> usize {
    text.chars()
        .map(|c| c.len_utf16() + usize::from(is_wide(c)))
        .sum()
}

fn is_wide(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115F}' | '\u{2E80}'..='\u{A4CF}' | '\u{AC00}'..='\u{D7A3}'
        | '\u{F900}'..='\u{FAFF}' | '\u{FE10}'..='\u{FE19}' | '\u{FE30}'..='\u{FE6F}'
        | '\u{FF00}'..='\u{FF60}' | '\u{FFE0}'..='\u{FFE6}')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatchOptions, StringArray,
    };

    use super::*;

    /// The strings below are what Spark 4.3.0 answers for the same rows.
    fn mixed() -> RecordBatch {
        let ids: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(22), None, Some(4)]));
        let texts = [
            "short",
            "this is a longer string than twenty",
            "tab\tnew\nline\\bs\rcr",
            "日本語テキスト",
        ];
        let texts: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
        let doubles: ArrayRef = Arc::new(Float64Array::from(vec![
            None,
            Some(1.5),
            Some(f64::NAN),
            Some(f64::INFINITY),
        ]));
        RecordBatch::try_from_iter([("id", ids), ("s", texts), ("d", doubles)]).unwrap()
    }

    fn show(batch: &RecordBatch, num_rows: usize, truncate: usize, vertical: bool) -> String {
        let table = TableText {
            num_rows,
            truncate,
            vertical,
            zone: Zone::UTC,
        };
        table
            .format(&batch.schema(), std::slice::from_ref(batch))
            .unwrap()
    }

    fn one_text(text: &str) -> RecordBatch {
        let column: ArrayRef = Arc::new(StringArray::from(vec![text]));
        RecordBatch::try_from_iter([("f", column)]).unwrap()
    }

    #[test]
    fn cells_are_cut_and_aligned_right() {
        assert_eq!(
            show(&mixed(), 20, 20, false),
            "+----+--------------------+--------+\n\
             |  id|                   s|       d|\n\
             +----+--------------------+--------+\n\
             |   1|               short|    NULL|\n\
             |  22|this is a longer ...|     1.5|\n\
             |NULL|tab\\tnew\\nline\\bs...|     NaN|\n\
             |   4|      日本語テキスト|Infinity|\n\
             +----+--------------------+--------+\n"
        );
        assert_eq!(
            show(&mixed(), 20, 3, false),
            "+---+------+---+\n| id|     s|  d|\n+---+------+---+\n|  1|   sho|NUL|\n| 22|   thi|1.5|\n\
             |NUL|   tab|NaN|\n|  4|日本語|Inf|\n+---+------+---+\n"
        );
        assert_eq!(
            show(&mixed(), 20, 5, false),
            "+----+-------+-----+\n|  id|      s|    d|\n+----+-------+-----+\n|   1|  short| NULL|\n\
             |  22|  th...|  1.5|\n|NULL|  ta...|  NaN|\n|   4|日本...|In...|\n+----+-------+-----+\n"
        );
    }

    #[test]
    fn whole_cells_are_aligned_left() {
        assert_eq!(
            show(&mixed(), 20, 0, false),
            "+----+-----------------------------------+--------+\n\
             |id  |s                                  |d       |\n\
             +----+-----------------------------------+--------+\n\
             |1   |short                              |NULL    |\n\
             |22  |this is a longer string than twenty|1.5     |\n\
             |NULL|tab\\tnew\\nline\\bs\\rcr              |NaN     |\n\
             |4   |日本語テキスト                     |Infinity|\n\
             +----+-----------------------------------+--------+\n"
        );
    }

    #[test]
    fn rows_that_are_left_out_are_mentioned() {
        assert_eq!(
            show(&mixed(), 2, 20, false),
            "+---+--------------------+----+\n| id|                   s|   d|\n\
             +---+--------------------+----+\n|  1|               short|NULL|\n\
             | 22|this is a longer ...| 1.5|\n+---+--------------------+----+\nonly showing top 2 rows"
        );
        assert_eq!(
            show(&mixed(), 0, 20, false),
            "+---+---+---+\n| id|  s|  d|\n+---+---+---+\n+---+---+---+\nonly showing top 0 rows"
        );
    }

    #[test]
    fn vertical_has_a_line_for_every_cell() {
        assert_eq!(
            show(&mixed(), 20, 20, true),
            "-RECORD 0-------------------\n id  | 1                    \n s   | short                \n \
             d   | NULL                 \n-RECORD 1-------------------\n id  | 22                   \n \
             s   | this is a longer ... \n d   | 1.5                  \n-RECORD 2-------------------\n \
             id  | NULL                 \n s   | tab\\tnew\\nline\\bs... \n d   | NaN                  \n\
             -RECORD 3-------------------\n id  | 4                    \n s   | 日本語テキスト       \n \
             d   | Infinity             \n"
        );
        assert_eq!(
            show(&mixed(), 1, 20, true),
            "-RECORD 0----\n id  | 1     \n s   | short \n d   | NULL  \nonly showing top 1 row"
        );
        assert_eq!(show(&mixed().slice(0, 0), 20, 20, true), "(0 rows)");
    }

    #[test]
    fn a_table_without_columns_still_has_rows() {
        let options = RecordBatchOptions::new().with_row_count(Some(3));
        let batch =
            RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
        assert_eq!(show(&batch, 20, 20, false), "++\n||\n++\n||\n||\n||\n++\n");
    }

    #[test]
    fn names_are_escaped_but_never_cut() {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let names = ["a\tb\nc", "日本", "averyveryverylongcolumnnamethatis"];
        let batch = RecordBatch::try_from_iter(names.map(|name| (name, column.clone()))).unwrap();
        assert_eq!(
            show(&batch, 20, 20, false),
            "+-------+----+---------------------------------+\n\
             |a\\tb\\nc|日本|averyveryverylongcolumnnamethatis|\n\
             +-------+----+---------------------------------+\n\
             |      1|   1|                                1|\n\
             +-------+----+---------------------------------+\n"
        );
    }

    #[test]
    fn lengths_are_counted_in_utf16_units() {
        let text = show(&one_text(&"😀".repeat(12)), 20, 20, false);
        assert_eq!(
            text.lines().nth(3),
            Some(format!("|{}?...|", "😀".repeat(8)).as_str())
        );
        let text = show(&one_text("a\u{7}b\u{b}c\u{c}d\u{8}e"), 20, 20, false);
        assert_eq!(text.lines().nth(3), Some("|a\\ab\\vc\\fd\\be|"));
        let text = show(&one_text("ｱｲｳ"), 20, 20, false);
        assert_eq!(
            text.lines().next(),
            Some("+---+"),
            "half-width kana take one column"
        );
    }
}
