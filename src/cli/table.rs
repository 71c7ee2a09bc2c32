//! Texts as a terminal may show them, whoever wrote them, and tables of them.

use crate::ledger::is_hidden;

/// Characters of a cell of a table: all cells of a column are made as wide as its widest.
const CELL_CHARS_MAX: usize = 512;

/// A text as a terminal may show it: what others wrote must not move its cursor, or hide.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .map(|c| {
            if (c.is_control() && c != '\t') || is_hidden(c) {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

/// A cell's text in its bound.
fn cut(text: &str) -> String {
    match text.char_indices().nth(CELL_CHARS_MAX) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Columns padded to their widest cell; the last is not padded.
pub(super) fn table<const N: usize>(names: [&str; N], rows: &[[String; N]]) -> String {
    let mut lines: Vec<[String; N]> = vec![names.map(str::to_uppercase)];
    lines.extend(
        rows.iter()
            .map(|row| row.each_ref().map(|cell| cut(&shown(cell)))),
    );
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut out = String::new();
    for line in &lines {
        let cells = line
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        out.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_hides_nothing_and_widens_nothing() {
        let wide = "w".repeat(1_000_000);
        let rows = [
            [wide, "b".to_owned()],
            ["a\u{202e}\u{200b}\x1b".to_owned(), "c".to_owned()],
        ];
        let told = table(["one", "two"], &rows);
        assert!(told.len() < 4 * 4 * CELL_CHARS_MAX, "{}", told.len());
        assert!(told.contains('…') && told.contains("a\u{fffd}\u{fffd}\u{fffd}"));
    }

    #[test]
    fn tables_are_padded_and_cannot_be_broken_by_their_cells() {
        let rows = [["a\u{1b}[2J\nb", "x"], ["ключ", "yy"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        let text = table(["name", "kind"], &rows);
        assert_eq!(
            text,
            "NAME     KIND\na\u{fffd}[2J\u{fffd}b  x\nключ     yy\n"
        );
    }
}
