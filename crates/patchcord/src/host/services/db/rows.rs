//! Rows of a result, within the limits of a call.

use rhai::{Dynamic, Identifier, Map};

use super::{bounds::Bounds, failure::Failure};

/// Size of a value of fixed length, in bytes, as it counts towards the maximum size of a result.
const FIXED: usize = 8;

/// Rows and bytes that a call may still read.
#[derive(Debug)]
pub(super) struct Room<'a> {
    bounds: &'a Bounds,
    rows: usize,
    bytes: usize,
}

impl<'a> Room<'a> {
    pub(super) const fn new(bounds: &'a Bounds) -> Self {
        Self {
            bounds,
            rows: bounds.max_rows,
            bytes: bounds.max_bytes,
        }
    }

    /// Counts a row.
    pub(super) fn row(&mut self) -> Result<(), Failure> {
        let most = self.bounds.max_rows;
        self.rows = self.rows.checked_sub(1).ok_or_else(|| {
            format!(
                "the result has more than {most} rows, the limit of `--db-max-rows`: add `limit {most}` to the statement"
            )
        })?;
        Ok(())
    }

    /// Counts a value of a column.
    pub(super) fn value(&mut self, column: &str, content: usize) -> Result<(), Failure> {
        let size = column.len() + content.max(FIXED);
        let left = self.bytes.checked_sub(size);
        self.bytes = left.ok_or_else(|| self.bounds.too_large())?;
        Ok(())
    }
}

/// Returns the names of the columns, which must differ.
pub(super) fn columns<'n>(
    names: impl Iterator<Item = &'n str>,
) -> Result<Vec<Identifier>, Failure> {
    let mut columns = Vec::<Identifier>::new();
    for name in names {
        if columns.iter().any(|column| column == name) {
            let problem = format!(
                "two columns have the name `{name}`: give one of them another name with `as`"
            );
            return Err(problem.into());
        }
        columns.push(name.into());
    }
    Ok(columns)
}

/// Returns a row as a map.
pub(super) fn row(
    columns: &[Identifier],
    mut value: impl FnMut(usize, &str) -> Result<Dynamic, Failure>,
) -> Result<Dynamic, Failure> {
    let values = columns.iter().enumerate().map(|(index, name)| {
        let value = value(index, name)?;
        Ok((name.clone(), value))
    });
    Ok(Dynamic::from_map(values.collect::<Result<Map, Failure>>()?))
}
