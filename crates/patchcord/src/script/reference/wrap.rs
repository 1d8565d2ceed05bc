//! Line breaks of comments, which are written as lines or as one long text.

/// Maximum length of a line, in characters: what the definitions of a module leave of 120.
const WIDTH: usize = 112;

/// Breaks the lines of a comment in Markdown anew. Code, tables and headings stay as they are.
pub(super) fn wrapped(doc: &str) -> String {
    let mut lines = Vec::new();
    let mut block = Block::default();
    let mut is_code = false;
    for line in doc.lines() {
        let text = line.trim_start();
        let is_fence = text.starts_with("```");
        let is_fixed = text.is_empty() || text.starts_with(['|', '#']);
        if is_fence || is_code || is_fixed {
            block.end(&mut lines);
            lines.push(line.trim_end().to_owned());
            is_code ^= is_fence;
            continue;
        }
        if let Some(marker) = marker(text) {
            block.end(&mut lines);
            let indent = line.len() - text.len();
            block.indent = indent + marker;
            block.first = indent;
        }
        block.add(text);
    }
    block.end(&mut lines);
    lines.join("\n")
}

/// Returns the length of the marker at the beginning of an item of a list, with its space.
fn marker(text: &str) -> Option<usize> {
    let (marker, _) = text.split_once(' ')?;
    let number = marker.strip_suffix(['.', ')']);
    let is_number = number.is_some_and(|number| number.parse::<u16>().is_ok());
    (is_number || ["*", "-", "+"].contains(&marker)).then_some(marker.len() + 1)
}

/// Paragraph, or item of a list.
#[derive(Debug, Default)]
struct Block {
    words: Vec<String>,
    /// Indentation of the first line.
    first: usize,
    /// Indentation of all further lines.
    indent: usize,
}

impl Block {
    /// Adds the words of a line. Code in backticks is one word, and so is what would have another meaning at the
    /// beginning of a line, with the word before it.
    fn add(&mut self, text: &str) {
        let is_open = |word: &String| word.matches('`').count() % 2 == 1;
        for word in text.split_whitespace() {
            let is_special =
                word.starts_with(['#', '|', '>']) || marker(&format!("{word} ")).is_some();
            match self.words.last_mut() {
                Some(last) if is_open(last) || is_special => {
                    last.push(' ');
                    last.push_str(word);
                }
                _ => self.words.push(word.to_owned()),
            }
        }
    }

    /// Writes the lines of the block, and begins another one.
    fn end(&mut self, lines: &mut Vec<String>) {
        let block = std::mem::take(self);
        let mut line = " ".repeat(block.first);
        let mut is_empty = true;
        for word in block.words {
            if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::replace(&mut line, " ".repeat(block.indent)));
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(&word);
            is_empty = false;
        }
        if !is_empty {
            lines.push(line);
        }
    }
}
