//! The bounds as they stand in the tree.

use std::fmt;

/// An exchange and its instructions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub name: String,
    pub instructions: u64,
    pub at_most: u64,
}

/// What was counted once, and what may be counted from then on.
#[derive(Debug, PartialEq, Eq)]
pub struct Table {
    pub compiler: String,
    pub rows: Vec<Row>,
}

/// So much less than what stands in the tree is worth a lower bound.
const LESS_PERCENT: u64 = 3;

impl Table {
    /// Reads what `Display` writes.
    ///
    /// # Errors
    ///
    /// The line that is none.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut table = Table { compiler: String::new(), rows: Vec::new() };
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            if let Some(compiler) = line.strip_prefix("compiler ") {
                compiler.trim().clone_into(&mut table.compiler);
                continue;
            }
            let words: Vec<&str> = line.split_whitespace().collect();
            let number = |text: &str| text.parse::<u64>().map_err(|_| format!("`{line}`"));
            let [name, instructions, at_most] = words[..] else { return Err(format!("`{line}`")) };
            table.rows.push(Row {
                name: name.to_owned(),
                instructions: number(instructions)?,
                at_most: number(at_most)?,
            });
        }
        Ok(table)
    }

    /// Holds what was counted against the bounds, and says where they could be lower.
    ///
    /// # Errors
    ///
    /// What is above its bound, or has none.
    pub fn hold(&self, counted: &[Row]) -> Result<(), String> {
        let mut above = Vec::new();
        for now in counted {
            let Some(bound) = self.rows.iter().find(|row| row.name == now.name) else {
                above.push(format!("`{}` has no bound", now.name));
                continue;
            };
            if now.instructions > bound.at_most {
                above.push(format!(
                    "`{}` takes {} instructions, and at most {} are allowed ({} when the bound \
                     was made)",
                    now.name, now.instructions, bound.at_most, bound.instructions
                ));
            } else if now.instructions < bound.instructions * (100 - LESS_PERCENT) / 100 {
                eprintln!(
                    "`{}` takes {} instructions, {} when its bound was made: lower it",
                    now.name, now.instructions, bound.instructions
                );
            }
        }
        if above.is_empty() {
            return Ok(());
        }
        above.push("where that is meant, `cargo xtask instructions --update`".to_owned());
        Err(above.join("\n"))
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "# Instructions of the release program for an exchange, counted by callgrind."
        )?;
        writeln!(
            f,
            "# `cargo xtask instructions` fails above the last column; with `--update` it"
        )?;
        writeln!(f, "# writes this file. docs/benchmarks.md tells what is counted.")?;
        writeln!(f, "compiler {}", self.compiler)?;
        writeln!(f, "\n# {:<18} {:>12} {:>8}", "exchange", "instructions", "at most")?;
        for Row { name, instructions, at_most } in &self.rows {
            writeln!(f, "{name:<20} {instructions:>12} {at_most:>8}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(instructions: u64) -> Row {
        Row { name: "get".to_owned(), instructions, at_most: instructions + 5 }
    }

    fn table() -> Table {
        Table { compiler: "rustc 1.95.0 x".to_owned(), rows: vec![row(100)] }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        assert_eq!(Table::read(&table().to_string()), Ok(table()));
    }

    #[test]
    fn a_line_that_is_no_row_is_refused() {
        for line in ["get 100", "get 100 many", "get 1 2 3"] {
            assert_eq!(Table::read(line), Err(format!("`{line}`")));
        }
    }

    #[test]
    fn only_what_is_above_its_bound_fails() {
        assert_eq!(table().hold(&[row(105)]), Ok(()));
        assert_eq!(table().hold(&[row(50)]), Ok(()));
        let why = table().hold(&[row(106)]).expect_err("it is above");
        assert!(why.contains("`get` takes 106") && why.contains("--update"), "{why}");
    }

    #[test]
    fn what_has_no_bound_fails() {
        let other = Row { name: "other".to_owned(), ..row(1) };
        let why = table().hold(&[other]).expect_err("it has none");
        assert!(why.contains("`other` has no bound"), "{why}");
    }
}
