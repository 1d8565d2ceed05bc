//! Reads the text of a script from a file: checks its kind, its size and its encoding.
//!
//! Invariant: a read never blocks, whatever is at the path, and reads a bounded number of bytes.

use std::{
    fs::{self, Metadata, OpenOptions},
    io::{self, ErrorKind, Read},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    path::Path,
};

use super::LoadError;

/// Maximum size of a script, in MiB.
const MAX_MIB: u64 = 4;
/// Maximum size of a script, in bytes.
const MAX_BYTES: u64 = MAX_MIB * 1024 * 1024;

/// Character at the beginning of a file that marks the file's encoding.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads the text of a script; `name` is the name in errors.
///
/// # Errors
/// Fails if there is no regular file at the path, or if the file is not valid script text.
pub(super) fn read(path: &Path, name: &str) -> Result<String, LoadError> {
    let bytes = bytes(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => LoadError::NotFound(name.to_owned()),
        _ => LoadError::Unreadable {
            path: name.to_owned(),
            reason: error.to_string(),
        },
    })?;
    let not_text = |problem| LoadError::NotText {
        name: name.to_owned(),
        problem,
    };
    if let Some(problem) = utf16(&bytes) {
        return Err(not_text(problem.to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let (read, valid) = (error.as_bytes(), error.utf8_error().valid_up_to());
        let before = read.get(..valid).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let in_line = before.iter().rev().take_while(|byte| **byte != b'\n');
        let (column, byte) = (in_line.count() + 1, read.get(valid).copied());
        not_text(format!(
            "byte {column} of line {line} (0x{:02x}) is not UTF-8; save it as UTF-8",
            byte.unwrap_or_default()
        ))
    })?;
    accept(name, text)
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a device may have side effects, and opening a pipe may block until its other end is opened.
    check(&fs::metadata(path)?)?;
    let nonblocking = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let flags = i32::try_from(nonblocking.bits()).map_err(io::Error::other)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    // The path may now lead to something else.
    let found = file.metadata()?;
    check(&found)?;
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    // The file may grow during the read.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    match u64::try_from(bytes.len()) {
        Ok(length) if length <= MAX_BYTES => Ok(bytes),
        _ => Err(too_large()),
    }
}

fn check(found: &Metadata) -> io::Result<()> {
    match kind(found) {
        Some(kind) => Err(io::Error::other(format!("{kind} is no script"))),
        None if found.len() > MAX_BYTES => Err(too_large()),
        None => Ok(()),
    }
}

fn too_large() -> io::Error {
    io::Error::other(format!("a script has at most {MAX_MIB} MiB"))
}

/// Returns the kind of a file that cannot be a script; `None` for a regular file.
pub(super) fn kind(found: &Metadata) -> Option<&'static str> {
    let kind = found.file_type();
    if kind.is_file() {
        None
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a named pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        Some("a device")
    }
}

/// Returns the problem if bytes are UTF-16 or UTF-32, with or without a byte order mark. Without a mark, the encoding
/// is recognized because, in most scripts, every other byte is zero.
fn utf16(bytes: &[u8]) -> Option<&'static str> {
    const PROBLEM: &str = "the text is UTF-16; save it as UTF-8";
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Some(PROBLEM);
    }
    let head = bytes.get(..bytes.len().min(1024)).unwrap_or_default();
    let zeros = |first: usize| {
        head.iter()
            .skip(first)
            .step_by(2)
            .filter(|b| **b == 0)
            .count()
    };
    let (even, odd) = (zeros(0), zeros(1));
    let half = head.len() / 2;
    let most = |count: usize| count > 0 && count * 2 > half;
    (most(even) != most(odd)).then_some(PROBLEM)
}

/// Returns the text of a script without its byte order mark.
///
/// # Errors
/// Fails if the text contains a control character that scripts must not contain. Rhai would report an unexpected
/// character, which would be invisible to the reader.
pub(crate) fn accept(name: &str, mut text: String) -> Result<String, LoadError> {
    if text.starts_with(BYTE_ORDER_MARK) {
        text.drain(..BYTE_ORDER_MARK.len_utf8());
    }
    let is_out_of_place = |c: char| c < ' ' && !matches!(c, '\t' | '\n' | '\u{b}' | '\u{c}' | '\r');
    let Some(at) = text.find(is_out_of_place) else {
        return Ok(text);
    };
    let (before, rest) = text.split_at(at);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    let code = rest.chars().next().map_or(0, u32::from);
    Err(LoadError::NotText {
        name: name.to_owned(),
        problem: format!(
            "line {line}, column {column} has the control character U+{code:04X}; remove it, or write `\\x{code:02x}` in a string"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_bytes(bytes: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rhai");
        fs::write(&path, bytes).unwrap();
        read(&path, "a.rhai").map_err(|error| error.to_string())
    }

    fn utf16_bytes(text: &str, big_endian: bool) -> Vec<u8> {
        let units = text.encode_utf16();
        units
            .flat_map(|unit| match big_endian {
                true => unit.to_be_bytes(),
                false => unit.to_le_bytes(),
            })
            .collect()
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(read_bytes(b"\xef\xbb\xbffn a() {}").unwrap(), "fn a() {}");
        assert_eq!(read_bytes(b"\xef\xbb\xbf").unwrap(), "");
    }

    #[test]
    fn utf_16_is_named_with_and_without_a_mark() {
        let problem = "`a.rhai` cannot be read as text: the text is UTF-16; save it as UTF-8";
        for text in [
            "fn on_connection(socket) {\r\n}",
            "\u{feff}fn a() {}",
            "\u{feff}",
            "// für ä",
        ] {
            for big_endian in [false, true] {
                let found = read_bytes(&utf16_bytes(text, big_endian));
                assert_eq!(found.unwrap_err(), problem, "{text:?} {big_endian}");
            }
        }
    }

    #[test]
    fn other_encodings_are_named_by_line_and_byte() {
        assert_eq!(
            read_bytes(b"// one\n// f\xfcr\n").unwrap_err(),
            "`a.rhai` cannot be read as text: byte 5 of line 2 (0xfc) is not UTF-8; save it as UTF-8"
        );
    }

    #[test]
    fn control_characters_are_named_by_line_and_column() {
        assert_eq!(
            read_bytes("// é\nfn a()\0 {}".as_bytes()).unwrap_err(),
            "`a.rhai` cannot be read as text: line 2, column 7 has the control character U+0000; remove it, or write `\\x00` in a string"
        );
        let allowed = "fn a() {\t}\r\n\u{b}\u{c}";
        assert_eq!(read_bytes(allowed.as_bytes()).unwrap(), allowed);
    }

    #[test]
    fn a_script_has_a_maximum_size_and_a_file_that_claims_to_be_larger_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.rhai");
        let file = fs::File::create(&path).unwrap();
        for length in [MAX_BYTES + 1, 1 << 40] {
            file.set_len(length).unwrap();
            let error = read(&path, "a.rhai").unwrap_err().to_string();
            assert_eq!(error, "`a.rhai` cannot be read: a script has at most 4 MiB");
        }
        fs::write(&path, vec![b' '; usize::try_from(MAX_BYTES).unwrap()]).unwrap();
        assert!(read(&path, "a.rhai").is_ok());
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        for (path, problem) in [
            ("/dev/zero", "`x` cannot be read: a device is no script"),
            ("/", "`x` cannot be read: a folder is no script"),
            ("/not/there", "there is no file `x`"),
        ] {
            assert_eq!(read(Path::new(path), "x").unwrap_err().to_string(), problem);
        }
    }
}
