//! A few columns below a finding, side by side where the terminal is wide enough.

/// Rows of as many cells as the first, which is the head. The first cell of a row is its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    pub(super) fn new<const N: usize>(head: &[&str; N]) -> Self {
        Self(vec![head.map(str::to_owned).to_vec()])
    }

    pub(super) fn add<const N: usize>(&mut self, row: [String; N]) {
        debug_assert_eq!(self.0[0].len(), N);
        self.0.push(row.into());
    }

    /// Whether there is a row below the head.
    pub(super) fn has_rows(&self) -> bool {
        self.0.len() > 1
    }

    /// A line for each row; cells of a column begin one below the other.
    pub(super) fn lines(&self) -> Vec<String> {
        let columns = self.0[0].len();
        let widths: Vec<usize> = (0..columns).map(|column| self.width(column)).collect();
        self.0.iter().map(|row| line(row, &widths)).collect()
    }

    /// The name of each row, and below it a line for each other cell behind its head.
    pub(super) fn stacked(&self) -> Vec<String> {
        let (head, rows) = self.0.split_first().expect("there is a head");
        let mut lines = Vec::new();
        for row in rows {
            lines.push(row[0].clone());
            let cells = head.iter().zip(row).skip(1).filter(|(_, cell)| !cell.is_empty());
            lines.extend(cells.map(|(head, cell)| format!("  {head}: {cell}")));
        }
        lines
    }

    fn width(&self, column: usize) -> usize {
        self.0.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    }
}

fn line(row: &[String], widths: &[usize]) -> String {
    let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  "));
    cells.collect::<String>().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_side_by_side_or_one_below_the_other() {
        let mut table = Table::new(&["", "is", "must be"]);
        assert!(!table.has_rows());
        table.add(["issuer".to_owned(), "https://a".to_owned(), "b".to_owned()]);
        table.add(["subject".to_owned(), String::new(), "c".to_owned()]);
        assert_eq!(
            table.lines(),
            ["         is         must be", "issuer   https://a  b", "subject             c"]
        );
        assert_eq!(
            table.stacked(),
            ["issuer", "  is: https://a", "  must be: b", "subject", "  must be: c"]
        );
    }
}
