//! What a guest writes to its standard error, and what stands before its answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Duration, Instant};

use super::config::OnLine;
use super::wsl;

/// How many lines are kept for messages.
const LINES_KEPT: usize = 5;

/// The most that is kept of a line, in bytes.
const LINE_MAX: usize = 400;

/// How many lines are passed on in [`PERIOD`]; the rest is counted.
const LINES_PASSED: u32 = 10;

/// For which time lines are counted.
const PERIOD: Duration = Duration::from_secs(1);

/// The last lines of a guest.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(Arc<Mutex<VecDeque<String>>>);

impl Said {
    /// Reads `stream` to its end, keeps its last lines and passes lines on.
    pub(super) async fn listen(self, mut stream: impl AsyncRead + Unpin, on_line: Option<OnLine>) {
        let mut pacer = Pacer::new(on_line);
        let mut lines = Lines::default();
        let mut piece = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut piece).await {
            lines.feed(&piece[..length], |line| {
                pacer.pass(&line, Instant::now());
                self.keep(line);
            });
        }
        lines.finish(|line| {
            pacer.pass(&line, Instant::now());
            self.keep(line);
        });
        pacer.settle();
    }

    /// Keeps what was read elsewhere.
    pub(super) fn keep_all(&self, bytes: &[u8]) {
        let mut lines = Lines::default();
        lines.feed(bytes, |line| self.keep(line));
        lines.finish(|line| self.keep(line));
    }

    fn keep(&self, line: String) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == LINES_KEPT {
            kept.pop_front();
        }
        kept.push_back(line);
    }

    /// The last lines, in one; `None` if there are none.
    pub(super) fn quoted(&self) -> Option<String> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines: Vec<&str> = kept.iter().map(String::as_str).collect();
        (!lines.is_empty()).then(|| lines.join(" | "))
    }
}

/// Cuts bytes into lines of text.
#[derive(Debug, Default)]
struct Lines {
    partial: Vec<u8>,
    /// Whether the rest of a long line is passed over.
    skipping: bool,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], mut tell: impl FnMut(String)) {
        for byte in bytes {
            match byte {
                b'\n' => {
                    self.skipping = false;
                    self.finish(&mut tell);
                }
                _ if self.skipping => {}
                byte => {
                    // The second half of a line end in UTF-16.
                    if self.partial.is_empty() && *byte == 0 {
                        continue;
                    }
                    self.partial.push(*byte);
                    if self.partial.len() == 2 * LINE_MAX {
                        self.finish(&mut tell);
                        self.skipping = true;
                    }
                }
            }
        }
    }

    fn finish(&mut self, mut tell: impl FnMut(String)) {
        let text = wsl::text(&std::mem::take(&mut self.partial));
        let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        line.truncate(line.trim_end().len());
        line.truncate(line.floor_char_boundary(LINE_MAX));
        if !line.is_empty() {
            tell(line);
        }
    }
}

/// Passes some lines on and counts the rest.
struct Pacer {
    on_line: Option<OnLine>,
    began: Option<Instant>,
    passed: u32,
    left_out: u64,
}

impl Pacer {
    fn new(on_line: Option<OnLine>) -> Self {
        Pacer { on_line, began: None, passed: 0, left_out: 0 }
    }

    fn pass(&mut self, line: &str, now: Instant) {
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= PERIOD) {
            self.settle();
            self.began = Some(now);
            self.passed = 0;
        }
        if self.passed == LINES_PASSED {
            self.left_out += 1;
            return;
        }
        self.passed += 1;
        if let Some(on_line) = &self.on_line {
            on_line.tell(line);
        }
    }

    /// Tells how many lines were left out.
    fn settle(&mut self) {
        if let (Some(on_line), 1..) = (&self.on_line, self.left_out) {
            on_line.tell(&format!("({} more lines)", self.left_out));
        }
        self.left_out = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listened(bytes: &[u8]) -> (Said, Vec<String>) {
        let told = Arc::new(Mutex::new(Vec::new()));
        let on_line = {
            let told = Arc::clone(&told);
            OnLine::new(move |line| told.lock().unwrap().push(line.to_owned()))
        };
        let said = Said::default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(said.clone().listen(bytes, Some(on_line)));
        let told = told.lock().unwrap().clone();
        (said, told)
    }

    #[test]
    fn the_last_lines_are_kept_and_all_are_passed_on() {
        let (said, told) = listened(b"one\r\ntwo\n\n\x1b[31mthree\x1b[0m\n4\n5\n6");
        assert_eq!(told, ["one", "two", " [31mthree [0m", "4", "5", "6"]);
        assert_eq!(said.quoted().unwrap(), "two |  [31mthree [0m | 4 | 5 | 6");
        assert_eq!(listened(b"").0.quoted(), None);
    }

    #[test]
    fn utf_16_is_read_among_utf_8() {
        let mut bytes: Vec<u8> =
            "No such distro\r\nCode: 1\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        bytes.extend_from_slice("später\n".as_bytes());
        assert_eq!(listened(&bytes).1, ["No such distro", "Code: 1", "später"]);
    }

    #[test]
    fn a_flood_is_counted() {
        let (said, told) = listened("x\n".repeat(1000).as_bytes());
        assert_eq!(told.len(), 11);
        assert_eq!(told[10], "(990 more lines)");
        assert_eq!(said.quoted().unwrap(), "x | x | x | x | x");
    }

    #[test]
    fn a_line_without_an_end_takes_no_more_memory_than_a_long_one() {
        let (_, told) = listened(&[b'x'; 1 << 20]);
        assert_eq!(told.iter().map(String::len).collect::<Vec<_>>(), [LINE_MAX]);
    }
}
