//! The line that `--write-out` prints.

use std::time::Duration;

use super::progress::Progress;
use crate::exit::Exit;
use crate::output::Failure;

/// A format of `--write-out`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WriteOut {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Status,
    BytesDown,
    BytesUp,
    /// Index of the time in [`WriteOut::text`]'s argument.
    Time(usize),
}

impl WriteOut {
    /// Reads a format.
    ///
    /// # Errors
    ///
    /// For a variable that there is not.
    pub(super) fn parse(format: &str) -> Result<Self, Failure> {
        let unescaped = format.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r");
        let mut parts = Vec::new();
        let mut rest = unescaped.as_str();
        while let Some(start) = rest.find("%{") {
            let Some(length) = rest[start..].find('}') else { break };
            parts.push(Part::Text(rest[..start].to_owned()));
            let name = &rest[start + 2..start + length];
            parts.push(match name {
                "http_code" | "response_code" => Part::Status,
                "size_download" => Part::BytesDown,
                "size_upload" => Part::BytesUp,
                "time_connect" => Part::Time(0),
                "time_starttransfer" => Part::Time(1),
                "time_total" => Part::Time(2),
                other => {
                    let message = format!("--write-out has no variable `{}`", other.escape_debug());
                    return Err(Failure::new(Exit::Usage, message).hint(
                        "the variables are http_code, size_download, size_upload, time_connect, time_starttransfer and time_total",
                    ));
                }
            });
            rest = &rest[start + length + 1..];
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(WriteOut { parts })
    }

    /// The text; `times` are to the connection, to the first byte and to the end.
    pub(super) fn text(
        &self,
        status: u16,
        progress: &Progress,
        times: [Option<Duration>; 3],
    ) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Status => format!("{status:03}"),
            Part::BytesDown => progress.came().to_string(),
            Part::BytesUp => progress.went().to_string(),
            Part::Time(index) => format!("{:.6}", times[*index].unwrap_or_default().as_secs_f64()),
        };
        self.parts.iter().map(text).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_filled_in() {
        let progress = Progress::new();
        progress.received(5);
        let format = WriteOut::parse("%{http_code} %{size_download} %{time_total}\\n").unwrap();
        let times = [None, None, Some(Duration::from_millis(1500))];
        assert_eq!(format.text(200, &progress, times), "200 5 1.500000\n");
    }

    #[test]
    fn an_unknown_variable_is_refused() {
        assert_eq!(WriteOut::parse("%{nope}").unwrap_err().exit(), Exit::Usage);
    }
}
