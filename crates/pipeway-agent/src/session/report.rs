//! What the shell reports: fields that each end with a NUL, the first of them a secret by which a
//! report is told from anything else that somebody wrote there.

/// The most that a report may have: a folder's path may be longer than the system's calls take.
const REPORT_MAX: usize = 256 * 1024;

/// What was reported and not understood yet.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    bytes: Vec<u8>,
}

/// A report that does not come to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

impl Reports {
    /// Adds what was read.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next report that begins with `secret`, with its other `N` fields. What comes before it
    /// is forgotten.
    ///
    /// # Errors
    ///
    /// [`TooLong`], after 256 KiB.
    pub(crate) fn take<const N: usize>(
        &mut self,
        secret: &str,
    ) -> Result<Option<[Vec<u8>; N]>, TooLong> {
        let mark: Vec<u8> = secret.bytes().chain([0]).collect();
        let Some(at) = self.bytes.windows(mark.len()).position(|window| window == mark) else {
            // The beginning of the mark may be there.
            let keep = self.bytes.len().min(mark.len());
            self.bytes.drain(..self.bytes.len() - keep);
            return Ok(None);
        };
        self.bytes.drain(..at);
        let mut rest = &self.bytes[mark.len()..];
        let mut fields = [const { Vec::new() }; N];
        for field in &mut fields {
            let Some(end) = rest.iter().position(|byte| *byte == 0) else {
                return if self.bytes.len() > REPORT_MAX { Err(TooLong) } else { Ok(None) };
            };
            *field = rest[..end].to_vec();
            rest = &rest[end + 1..];
        }
        self.bytes = rest.to_vec();
        Ok(Some(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_comes_byte_by_byte_is_taken_once() {
        let mut reports = Reports::default();
        let mut taken = Vec::new();
        for byte in b"junk\0abc\x000\0/a\nb\n\0more" {
            reports.push(&[*byte]);
            taken.extend(reports.take::<2>("abc").unwrap());
        }
        assert_eq!(taken, [[b"0".to_vec(), b"/a\nb\n".to_vec()]]);
        assert_eq!(reports.bytes, b"more");
    }

    #[test]
    fn a_report_without_the_secret_is_forgotten() {
        let mut reports = Reports::default();
        for _ in 0..100 {
            reports.push(b"old\x000\0/\n\0");
            assert_eq!(reports.take::<2>("new"), Ok(None));
            assert!(reports.bytes.len() <= 4, "{}", reports.bytes.len());
        }
    }

    #[test]
    fn a_report_without_an_end_is_refused() {
        let mut reports = Reports::default();
        reports.push(b"abc\0");
        reports.push(&vec![b'x'; REPORT_MAX]);
        assert_eq!(reports.take::<2>("abc"), Err(TooLong));
    }
}
