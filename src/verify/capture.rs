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

/// Takes a job's output as it comes, in bounded memory.
pub struct Capture<'a> {
    progress: &'a (dyn Fn(&str) + Send + Sync),
    digest: Sha256,
    bytes: u64,
    head: Vec<u8>,
    tail: VecDeque<u8>,
    line: Vec<u8>,
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
        let left_out = self.bytes - kept.len() as u64 - self.tail.len() as u64;
        if left_out > 0 {
            kept.extend_from_slice(format!("\n[... {left_out} bytes left out ...]\n").as_bytes());
        }
        let (first, second) = self.tail.as_slices();
        kept.extend_from_slice(first);
        kept.extend_from_slice(second);
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
        if piece.len() <= room {
            self.line.extend_from_slice(piece);
        } else if piece.contains(&b'\r') {
            // A progress bar that never ends its line: its latest state is what matters.
            self.line.clear();
            self.line.extend_from_slice(&piece[piece.len().saturating_sub(LINE)..]);
        } else {
            self.line.extend_from_slice(&piece[..room]);
        }
    }

    fn tell(&mut self) {
        let text = ansi::clean(&self.line);
        (self.progress)(text.trim_end());
        self.line.clear();
    }
}

impl Captured {
    /// Writes what is kept to `file`, readable by the owner only.
    ///
    /// # Errors
    /// Where the folder cannot be made or the file cannot be written.
    pub fn write(&self, file: &Path) -> Result<()> {
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
        out.write_all(&self.kept).with_context(|| format!("cannot write the log {}", file.display()))
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
    fn a_line_without_end_is_told_cut() {
        let (_, lines) = capture(&[&vec![b'y'; 100_000], b"\n"]);
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].len(), LINE);
    }
}
