//! What a file is that is not what was expected, told by its first bytes; and text as people save it.
//!
//! A clone without Git LFS, a download that was a login page, a table still compressed: a parser calls all of them
//! "expected value at line 1". The first bytes say what happened, and what mends it.

use std::fmt::{Display, Formatter};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes that [`FileType::of`] looks at.
pub const HEAD: usize = 512;
/// The byte order mark.
const BOM: &str = "\u{feff}";

/// A kind of file that people give by mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileType {
    /// A pointer that Git LFS leaves in place of a large file.
    LfsPointer,
    /// A web page.
    Html,
    /// Compressed by gzip.
    Gzip,
    /// Compressed by Zstandard.
    Zstd,
    /// A zip archive: also a PyTorch checkpoint, a spreadsheet, NumPy's `.npz`.
    Zip,
    /// Apache Parquet.
    Parquet,
    /// A Python pickle.
    Pickle,
    /// Text in UTF-16.
    Utf16,
}

impl FileType {
    /// The kind that a file's first bytes ([`HEAD`] of them are enough) give away.
    pub fn of(head: &[u8]) -> Option<FileType> {
        // A safetensors file begins with its header's length, which may be any bytes, and the header.
        if head.get(8) == Some(&b'{') {
            return None;
        }
        let magic: [(&[u8], FileType); 10] = [
            (b"version https://git-lfs", FileType::LfsPointer),
            (b"\x1f\x8b", FileType::Gzip),
            (b"\x28\xb5\x2f\xfd", FileType::Zstd),
            (b"PK\x03\x04", FileType::Zip),
            (b"PAR1", FileType::Parquet),
            (b"\x80\x02", FileType::Pickle),
            (b"\x80\x04", FileType::Pickle),
            (b"\x80\x05", FileType::Pickle),
            (b"\xff\xfe", FileType::Utf16),
            (b"\xfe\xff", FileType::Utf16),
        ];
        let known = magic.iter().find(|(bytes, _)| head.starts_with(bytes)).map(|(_, kind)| *kind);
        known.or_else(|| is_html(head).then_some(FileType::Html))
    }
}

fn is_html(head: &[u8]) -> bool {
    let head = bytes_without_bom(head).trim_ascii_start();
    let begins = |word: &str| {
        head.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    begins("<!doctype html") || begins("<html")
}

impl Display for FileType {
    /// What it is and what to do, to stand behind "it is".
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            FileType::LfsPointer => "a Git LFS pointer; `git lfs pull` fetches the file itself",
            FileType::Html => "an HTML page; download the raw file instead",
            FileType::Gzip => "compressed by gzip; `gunzip` it first",
            FileType::Zstd => "compressed by Zstandard; `zstd -d` it first",
            FileType::Zip => {
                "a zip archive (or a PyTorch file or spreadsheet); take out what is in it"
            }
            FileType::Parquet => "a Parquet table; write its rows as JSON Lines first",
            FileType::Pickle => "a Python pickle, which is not read because it can run code",
            FileType::Utf16 => "text in UTF-16; save it as UTF-8",
        })
    }
}

/// Bytes that are no text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotText {
    /// Another kind of file.
    #[error("it is {0}")]
    Type(FileType),
    /// A byte that is no UTF-8.
    #[error("line {line} is not UTF-8: byte 0x{byte:02x} at column {column}")]
    Utf8 {
        /// The line, from 1.
        line: usize,
        /// The byte's place in its line, in bytes from 1.
        column: usize,
        /// The byte.
        byte: u8,
    },
}

/// A file that cannot be read as text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unreadable {
    /// What the system says.
    #[error(transparent)]
    System(#[from] std::io::Error),
    /// More bytes than are read.
    #[error("it is longer than {limit} bytes, which is the most that is read")]
    TooLong {
        /// The limit.
        limit: u64,
    },
    /// Bytes that are no text.
    #[error(transparent)]
    NotText(#[from] NotText),
}

impl From<Unreadable> for std::io::Error {
    fn from(error: Unreadable) -> Self {
        match error {
            Unreadable::System(error) => error,
            other => std::io::Error::new(std::io::ErrorKind::InvalidData, other),
        }
    }
}

/// The text that bytes hold, without the byte order mark that some editors put in front.
///
/// Line ends stay as they are. Errors name the kind of file where it is known, else the first byte that is no UTF-8.
/// A pointer of Git LFS is text, but never the one that was meant.
pub fn text(bytes: Vec<u8>) -> Result<String, NotText> {
    if let Some(pointer @ FileType::LfsPointer) = FileType::of(&bytes) {
        return Err(NotText::Type(pointer));
    }
    let mut text = String::from_utf8(bytes)
        .map_err(|e| not_text(e.as_bytes(), e.utf8_error().valid_up_to()))?;
    if text.starts_with(BOM) {
        text.drain(..BOM.len());
    }
    Ok(text)
}

/// A text without the byte order mark in front of it.
pub fn without_bom(text: &str) -> &str {
    text.strip_prefix(BOM).unwrap_or(text)
}

/// Bytes without the byte order mark in front of them.
pub fn bytes_without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BOM.as_bytes()).unwrap_or(bytes)
}

/// Reads the text of a file or a pipe of at most `limit` bytes.
///
/// # Errors
/// When it cannot be read, is longer, or is no text.
pub fn read_text(path: &Path, limit: u64) -> Result<String, Unreadable> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(Unreadable::TooLong { limit });
    }
    Ok(text(bytes)?)
}

/// The lines of a text and their numbers, from 1. A line ends with `\n`, `\r\n`, or `\r` in a text without any `\n`. A byte
/// order mark in front of a line is dropped: it comes from files that were joined.
pub fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> + Clone {
    let end = if text.contains('\n') { '\n' } else { '\r' };
    text.split_terminator(end).enumerate().map(|(at, line)| (at + 1, bare(line)))
}

fn bare(line: &str) -> &str {
    without_bom(line.strip_suffix('\r').unwrap_or(line))
}

fn not_text(bytes: &[u8], at: usize) -> NotText {
    if let Some(kind) = FileType::of(bytes) {
        return NotText::Type(kind);
    }
    let before = bytes.get(..at).unwrap_or_default();
    let line = before.split(|b| *b == b'\n').count();
    let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
    NotText::Utf8 { line, column, byte: bytes.get(at).copied().unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_in_front_is_dropped_once_and_nothing_else() {
        let read = |bytes: &[u8]| text(bytes.to_vec()).unwrap();
        assert_eq!(read(b"\xef\xbb\xbfa\r\nb\r\n"), "a\r\nb\r\n");
        assert_eq!(read("\u{feff}\u{feff}a".as_bytes()), "\u{feff}a");
        assert_eq!((read(b""), read("ä".as_bytes())), (String::new(), "ä".to_owned()));
        assert_eq!((without_bom("\u{feff}a"), without_bom("a")), ("a", "a"));
    }

    #[test]
    fn lines_are_numbered_whatever_ends_them() {
        let read = |text: &'static str| lines(text).collect::<Vec<_>>();
        for text in ["a\n\nb\n", "a\r\n\r\nb\r\n", "a\r\rb", "\u{feff}a\n\n\u{feff}b"] {
            assert_eq!(read(text), [(1, "a"), (2, ""), (3, "b")], "{text:?}");
        }
        assert_eq!(read("a\rb\nc"), [(1, "a\rb"), (2, "c")]);
        assert!(read("").is_empty());
    }

    #[test]
    fn a_file_is_read_as_far_as_its_limit() {
        let path = std::env::temp_dir().join(format!("trimtab-filetype-{}", std::process::id()));
        std::fs::write(&path, b"\xef\xbb\xbfabc").unwrap();
        assert_eq!(read_text(&path, 6).unwrap(), "abc");
        assert!(matches!(read_text(&path, 5), Err(Unreadable::TooLong { limit: 5 })));
        std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\n").unwrap();
        let pointer = read_text(&path, 99).unwrap_err().to_string();
        assert!(pointer.contains("git lfs pull"), "{pointer}");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(read_text(&path, 9), Err(Unreadable::System(_))));
    }

    #[test]
    fn bytes_that_are_no_text_say_where_or_what() {
        let flaw = |bytes: &[u8]| text(bytes.to_vec()).unwrap_err().to_string();
        assert_eq!(flaw(b"a\nb\xffc"), "line 2 is not UTF-8: byte 0xff at column 2");
        assert_eq!(flaw(b"\xff"), "line 1 is not UTF-8: byte 0xff at column 1");
        assert_eq!(flaw(b"\xff\xfea\0"), "it is text in UTF-16; save it as UTF-8");
        assert_eq!(flaw(b"\x1f\x8b\x08\0"), "it is compressed by gzip; `gunzip` it first");
    }

    #[test]
    fn first_bytes_give_a_kind_away() {
        let table: [(&[u8], Option<FileType>); 11] = [
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:",
                Some(FileType::LfsPointer),
            ),
            (b"\n <!DOCTYPE html><html>", Some(FileType::Html)),
            (b"\xef\xbb\xbf<HTML>", Some(FileType::Html)),
            (b"PAR1\x15\x04", Some(FileType::Parquet)),
            (b"PK\x03\x04", Some(FileType::Zip)),
            (b"\x80\x04\x95", Some(FileType::Pickle)),
            (b"{\"prompt\": \"<html>\"}", None),
            (b"GGUF\x03\0\0\0", None),
            (b"", None),
            // Headers of 640 and of 35,615 bytes.
            (b"\x80\x02\0\0\0\0\0\0{\"a\"", None),
            (b"\x1f\x8b\0\0\0\0\0\0{\"a\"", None),
        ];
        for (head, kind) in table {
            assert_eq!(FileType::of(head), kind, "{head:?}");
        }
    }
}
