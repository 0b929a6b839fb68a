use crate::paint::{Paint, Tone};

/// A table of aligned columns.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<Cell>>,
}

/// A cell of a [`Table`].
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
    is_number: bool,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), tone: Tone::Plain, is_number: false }
    }

    /// A cell that is aligned at its right end.
    pub(crate) fn number(text: impl Into<String>) -> Self {
        Self { is_number: true, ..Self::new(text) }
    }

    #[must_use]
    pub(crate) fn tone(self, tone: Tone) -> Self {
        Self { tone, ..self }
    }
}

impl Table {
    /// Creates a table with these column titles. Columns of numbers have their title at the right end.
    pub(crate) fn new(titles: impl IntoIterator<Item = Cell>) -> Self {
        Self { rows: vec![titles.into_iter().map(|title| title.tone(Tone::Dim)).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Returns the lines of the table, without spaces at their ends.
    pub(crate) fn lines(&self, paint: Paint) -> impl Iterator<Item = String> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let texts = self.rows.iter().filter_map(|row| row.get(column));
            texts.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        self.rows.iter().map(move |row| line(row, &widths, paint))
    }
}

fn line(row: &[Cell], widths: &[usize], paint: Paint) -> String {
    let mut line = String::new();
    let mut pending = 0;
    for (cell, width) in row.iter().zip(widths) {
        let missing = width - cell.text.chars().count();
        let (before, after) = if cell.is_number { (missing, 0) } else { (0, missing) };
        pending += before;
        if !cell.text.is_empty() {
            line.extend(std::iter::repeat_n(' ', pending));
            line.push_str(&paint.paint(cell.tone, &cell.text));
            pending = 0;
        }
        pending += after + GAP;
    }
    line
}

const GAP: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new([Cell::new("name"), Cell::number("calls"), Cell::new("phase")]);
        table.row([Cell::new("shop"), Cell::number("1,000"), Cell::new("running")]);
        table.row([Cell::new("search-api"), Cell::number(""), Cell::new("idle")]);
        table.row([Cell::new("x"), Cell::number("7"), Cell::new("")]);
        let lines: Vec<_> = table.lines(Paint::new(false)).collect();
        assert_eq!(
            lines,
            [
                "name        calls  phase",
                "shop        1,000  running",
                "search-api         idle",
                "x               7",
            ]
        );
    }
}
