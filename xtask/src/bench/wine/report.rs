//! A table of medians, with the ratios to the relays that do without this workspace.

use std::fmt::Write as _;

use super::super::machine;
use super::super::report::{median, number};
use super::{Options, Results, Sample, WAYS, Way};

type Field = fn(&Sample) -> f64;

const P50: Field = |sample| sample.p50_us;
const MEAN: Field = |sample| sample.mean_us;
const P99: Field = |sample| sample.p99_us;
const DOWN: Field = |sample| sample.down / (1 << 20) as f64;
const UP: Field = |sample| sample.up / (1 << 20) as f64;
const IDLE: Field = |sample| sample.idle / 1024.0;

/// All of it as Markdown.
pub fn markdown(options: &Options, version: &str, results: &Results) -> Result<String, String> {
    let rounds = match options.rounds {
        1 => "1 round".to_owned(),
        count => format!("medians of {count} rounds"),
    };
    let mut out = format!(
        "Measured {} on {}.\n{version}; {rounds}, {} s or {} MiB each, {} idle sessions.\n\
         Load average at the start {}, at the end {}.\n",
        machine::date()?,
        machine::describe(),
        options.seconds,
        options.bytes >> 20,
        options.idle_sessions,
        options.load_average,
        machine::load_average(),
    );
    out.push_str(
        "\n| way | GET p50 µs | mean µs | p99 µs | down MiB/s | up MiB/s | idle KiB a session \
         | p50 / tokio's | mean / tokio's | down / threads' | up / threads' |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for way in WAYS {
        let of = |way: Way, field: Field| {
            let found = results.iter().find(|result| result.0 == way);
            median(found.map(|result| result.1.iter().map(field).collect()).unwrap_or_default())
        };
        let cells = [
            number(of(way, P50), 0),
            number(of(way, MEAN), 0),
            number(of(way, P99), 0),
            number(of(way, DOWN), 0),
            number(of(way, UP), 0),
            number(of(way, IDLE), 1),
            number(of(way, P50) / of(Way::Runtime, P50), 2),
            number(of(way, MEAN) / of(Way::Runtime, MEAN), 2),
            number(of(way, DOWN) / of(Way::Threads, DOWN), 2),
            number(of(way, UP) / of(Way::Threads, UP), 2),
        ];
        // Writing to a String cannot fail.
        let _ = writeln!(out, "| {way} | {} |", cells.join(" | "));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratios_are_those_of_the_row_to_its_peer() {
        let options = Options::parse(&["--quick".to_owned()]).unwrap().unwrap();
        let mebi = (1 << 20) as f64;
        let sample = |p50_us, down, up| Sample {
            p50_us,
            mean_us: 1.5 * p50_us,
            p99_us: 2.0 * p50_us,
            down: down * mebi,
            up: up * mebi,
            idle: 2048.0,
        };
        let results = vec![
            (Way::Raw, vec![sample(100.0, 300.0, 100.0)]),
            (Way::Runtime, vec![sample(200.0, 50.0, 10.0)]),
            (Way::Threads, vec![sample(150.0, 100.0, 200.0)]),
        ];
        let report = markdown(&options, "wine", &results).unwrap();
        let row =
            "| pipeway, raw | 100 | 150 | 200 | 300 | 100 | 2.0 | 0.50 | 0.50 | 3.00 | 0.50 |\n";
        assert!(report.contains(row), "{report}");
    }
}
