//! A job's output on its way: hashed whole, kept at both ends, told line by line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::ansi;

/// Bytes of the beginning that are kept.
const HEAD: usize = 8 << 20;
/// Bytes of the end that are kept.
const TAIL: usize = 8 << 20;
/// Bytes of one line that are told while the job runs.
const LINE: usize = 2048;
/// Lines of one piece that are told: who watches sees no more of them go by.
const TOLD: usize = 50;

/// The longest word that is not cut in two where an output is.
const WORD: usize = 512;

/// Where the last word of `text` begins, if it is not too long to be one.
fn last_space(text: &[u8]) -> usize {
    text.iter()
        .rev()
        .take(WORD)
        .position(u8::is_ascii_whitespace)
        .map_or(text.len(), |back| text.len() - back)
}

/// Takes a job's output as it comes, in bounded memory.
pub struct Capture<'a> {
    progress: &'a (dyn Fn(&str) + Send + Sync),
    digest: Sha256,
    bytes: u64,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    line: Vec<u8>,
    /// Whether the line was cut.
    full: bool,
}

/// What a job printed.
#[derive(Debug, Clone)]
pub struct Captured {
    /// SHA-256 of everything, in lower-case hexadecimal.
    pub digest: String,
    /// Bytes of everything.
    pub bytes: u64,
    /// The first and the last bytes, with a line between that says how much is left out.
    pub kept: Vec<u8>,
}

impl<'a> Capture<'a> {
    /// Starts with nothing; `progress` hears each line.
    pub fn new(progress: &'a (dyn Fn(&str) + Send + Sync)) -> Self {
        Self {
            progress,
            digest: Sha256::new(),
            bytes: 0,
            head: Vec::new(),
            tail: VecDeque::new(),
            line: Vec::new(),
            full: false,
        }
    }

    /// Takes the next piece.
    pub fn feed(&mut self, piece: &[u8]) {
        self.digest.update(piece);
        self.bytes += piece.len() as u64;
        let room = (HEAD - self.head.len()).min(piece.len());
        self.head.extend_from_slice(&piece[..room]);
        self.keep_at_the_end(&piece[room..]);
        let mut rest = piece;
        if let Some((at, _)) = piece.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n').nth(TOLD) {
            self.line.clear();
            self.full = false;
            rest = &piece[at + 1..];
        }
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.extend_line(&rest[..end]);
            self.tell();
            rest = &rest[end + 1..];
        }
        self.extend_line(rest);
    }

    /// Ends: tells the last line if it has no line feed.
    pub fn finish(mut self) -> Captured {
        if !self.line.is_empty() {
            self.tell();
        }
        let mut kept = std::mem::take(&mut self.head);
        let tail = self.tail.make_contiguous();
        let mut from = 0;
        if self.bytes > (kept.len() + tail.len()) as u64 {
            // No word is cut in two: half of a secret is not known for one.
            kept.truncate(last_space(&kept));
            from = tail.iter().take(WORD).position(u8::is_ascii_whitespace).unwrap_or(0);
            let left_out = self.bytes - (kept.len() + tail.len() - from) as u64;
            kept.extend_from_slice(format!("\n[... {left_out} bytes left out ...]\n").as_bytes());
        }
        kept.extend_from_slice(&tail[from..]);
        Captured { digest: hex::encode(self.digest.finalize()), bytes: self.bytes, kept }
    }

    fn keep_at_the_end(&mut self, piece: &[u8]) {
        let piece = &piece[piece.len().saturating_sub(TAIL)..];
        let over = (self.tail.len() + piece.len()).saturating_sub(TAIL);
        self.tail.drain(..over);
        self.tail.extend(piece);
    }

    fn extend_line(&mut self, piece: &[u8]) {
        let room = LINE.saturating_sub(self.line.len());
        if piece.len() <= room && !self.full {
            self.line.extend_from_slice(piece);
        } else if piece.contains(&b'\r') {
            // A progress bar that never ends its line: its latest state is what matters.
            let end = &piece[piece.len().saturating_sub(LINE)..];
            let is_cut = end.len() < piece.len();
            let word = end.iter().take(WORD).position(u8::is_ascii_whitespace).filter(|_| is_cut);
            self.line.clear();
            self.line.extend_from_slice(&end[word.unwrap_or(0)..]);
            self.full = false;
        } else if !self.full {
            self.line.extend_from_slice(&piece[..room]);
            self.line.truncate(last_space(&self.line));
            self.full = true;
        }
    }

    fn tell(&mut self) {
        let text = ansi::clean(&self.line);
        (self.progress)(text.trim_end());
        self.line.clear();
        self.full = false;
    }
}

impl Captured {
    /// The text of what is kept: without escape sequences, as a person would have read it.
    pub fn text(&self) -> String {
        ansi::clean(&self.kept)
    }

    /// Writes a log to `file`, readable by the owner only: what is kept, or `instead` of it.
    ///
    /// # Errors
    /// Where the folder cannot be made or the file cannot be written.
    pub fn write(&self, file: &Path, instead: Option<&str>) -> Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        if let Some(folder) = file.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let mut out: File = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(file)
            .with_context(|| format!("cannot write the log {}", file.display()))?;
        out.write_all(instead.map_or(&self.kept, str::as_bytes))
            .with_context(|| format!("cannot write the log {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn capture(pieces: &[&[u8]]) -> (Captured, Vec<String>) {
        let lines = Mutex::new(Vec::new());
        let hear = |line: &str| lines.lock().unwrap().push(line.to_owned());
        let mut capture = Capture::new(&hear);
        for piece in pieces {
            capture.feed(piece);
        }
        let captured = capture.finish();
        (captured, lines.into_inner().unwrap())
    }

    #[test]
    fn lines_are_told_whole_over_pieces() {
        let (captured, lines) = capture(&[b"a\x1b[3", b"1mb\ncd", b"\nlast"]);
        assert_eq!(lines, ["ab", "cd", "last"]);
        assert_eq!(captured.bytes, 15);
        assert_eq!(captured.kept, b"a\x1b[31mb\ncd\nlast");
    }

    #[test]
    fn the_digest_covers_everything_and_both_ends_are_kept() {
        let piece = vec![b'x'; 1 << 20];
        let mut whole = Sha256::new();
        let mut capture = Capture::new(&|_| {});
        capture.feed(b"first\n");
        whole.update(b"first\n");
        for _ in 0..20 {
            capture.feed(&piece);
            whole.update(&piece);
        }
        capture.feed(b"\nlast");
        whole.update(b"\nlast");
        let captured = capture.finish();
        assert_eq!(captured.digest, hex::encode(whole.finalize()));
        assert_eq!(captured.bytes, 6 + (20 << 20) + 5);
        assert!(captured.kept.starts_with(b"first\n"));
        assert!(captured.kept.ends_with(b"\nlast"));
        assert!(captured.kept.len() < HEAD + TAIL + 100);
        assert!(String::from_utf8_lossy(&captured.kept).contains("bytes left out ...]"));
    }

    #[test]
    fn no_word_is_cut_in_two() {
        let word = b"no-half-of-this-word";
        let (captured, lines) = capture(&[&vec![b'y'; LINE - 9], b" ", word, b" next\nend"]);
        assert_eq!((lines[0].trim_end().len(), lines[1].as_str()), (LINE - 9, "end"));
        assert!(captured.kept.ends_with(b"next\nend"));
        let piece = vec![b'x'; HEAD - 10];
        let (captured, _) =
            capture(&[&piece, b" ", word, b" ", &vec![b'z'; TAIL], word, b" ", &vec![b'.'; TAIL - 5]]);
        let text = String::from_utf8_lossy(&captured.kept);
        assert!(!text.contains("half") && !text.contains("this-word"), "{}", text.len());
        let left_out = captured.bytes - text.bytes().filter(|b| b"xz.".contains(b)).count() as u64;
        assert!(left_out > TAIL as u64 / 2 || text.contains("bytes left out"));
    }

    #[test]
    fn a_line_without_end_is_told_cut() {
        let (_, lines) = capture(&[&vec![b'y'; 100_000], b"\n"]);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].len(), LINE);
    }
}
