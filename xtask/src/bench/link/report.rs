//! Tables of medians, with the ratios of the link to a process for each connection.

use std::fmt::Write as _;

use super::super::machine;
use super::super::report::{median, number};
use super::{Options, Results, Sample, Way, Workload};

type Field = fn(&Sample) -> f64;

const RATE: Field = |sample| sample.rate;
const MEBIBYTES: Field = |sample| sample.rate / (1 << 20) as f64;
const P50: Field = |sample| sample.p50_us;
const P99: Field = |sample| sample.p99_us;

/// All of it as Markdown.
pub fn markdown(options: &Options, versions: &str, results: &Results) -> Result<String, String> {
    let mut out = String::new();
    let rounds = match options.rounds {
        1 => "1 round".to_owned(),
        count => format!("medians of {count} rounds"),
    };
    let mut line = |text: String| out.push_str(&(text + "\n"));
    line(format!("Measured {} on {}.", machine::date()?, machine::describe()));
    line(format!(
        "{versions}; {rounds}, {} s or {} times {} MiB each; a ratio is the median of those in the same turn.",
        options.seconds,
        Workload::Down.turns(),
        options.bytes >> 20
    ));
    let direct = if options.ways().contains(&Way::Direct) {
        let spread = spread(results, |way| way == Way::Direct) * 100.0;
        format!(
            "the rates of \"direct\" varied by up to {spread:.0} % between the rounds, those of the others"
        )
    } else {
        "the rates varied between the rounds".to_owned()
    };
    line(format!(
        "Load average at the start {}, at the end {}; {direct} by up to {:.0} %.",
        options.load_average,
        machine::load_average(),
        spread(results, |way| way != Way::Direct) * 100.0
    ));
    // A page has both tables.
    let across = if options.wine { ", across the border" } else { "" };
    for (workload, head) in
        [(Workload::SetUp(1), "Set-up, one by one"), (Workload::SetUp(16), "Set-up, 16 at once")]
    {
        table(
            &mut out,
            &format!("{head}{across}"),
            "a second | p50 µs | p99 µs | link / it | its p50 / link's",
        );
        for &way in options.ways() {
            let of = |way, field| of(results, way, workload, field);
            row(
                &mut out,
                way,
                &[
                    number(of(way, RATE), 0),
                    number(of(way, P50), 0),
                    number(of(way, P99), 0),
                    number(ratio(results, (Way::Link, way), workload, RATE), 2),
                    number(ratio(results, (way, Way::Link), workload, P50), 2),
                ],
            );
        }
    }
    let head = format!("One session, {} MiB{across}", options.bytes >> 20);
    table(&mut out, &head, "down MiB/s | up MiB/s | down link / it | up link / it");
    for &way in options.ways() {
        let of = |way, workload| of(results, way, workload, MEBIBYTES);
        let (down, up) = (of(way, Workload::Down), of(way, Workload::Up));
        row(
            &mut out,
            way,
            &[
                number(down, 0),
                number(up, 0),
                number(ratio(results, (Way::Link, way), Workload::Down, RATE), 2),
                number(ratio(results, (Way::Link, way), Workload::Up, RATE), 2),
            ],
        );
    }
    Ok(out)
}

fn all(results: &Results, way: Way, workload: Workload, field: Field) -> Vec<f64> {
    let found = results.iter().find(|result| (result.0, result.1) == (way, workload));
    found.map(|result| result.2.iter().map(field).collect()).unwrap_or_default()
}

fn of(results: &Results, way: Way, workload: Workload, field: Field) -> f64 {
    median(all(results, way, workload, field))
}

/// The median of what the first way has of the second in each turn.
fn ratio(results: &Results, ways: (Way, Way), workload: Workload, field: Field) -> f64 {
    let (first, second) =
        (all(results, ways.0, workload, field), all(results, ways.1, workload, field));
    median(first.into_iter().zip(second).map(|(first, second)| first / second).collect())
}

/// By how much the rates of those ways differ between rounds at most, as a part of the median.
fn spread(results: &Results, those: fn(Way) -> bool) -> f64 {
    let spreads = results.iter().filter(|result| those(result.0)).map(|(_, _, samples)| {
        let rates: Vec<f64> = samples.iter().map(RATE).collect();
        let low = rates.iter().copied().fold(f64::INFINITY, f64::min);
        let high = rates.iter().copied().fold(0.0, f64::max);
        (high - low) / median(rates)
    });
    spreads.fold(0.0, f64::max)
}

fn table(out: &mut String, head: &str, columns: &str) {
    let rules = "|---:".repeat(columns.split('|').count());
    // Writing to a String cannot fail.
    let _ = write!(out, "\n### {head}\n\n| way | {columns} |\n|---{rules}|\n");
}

fn row(out: &mut String, way: Way, cells: &[String]) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "| {way} | {} |", cells.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::super::Buffer;
    use super::*;

    fn sampled(rate: f64, p50_us: f64) -> Sample {
        Sample { rate, p50_us, p99_us: f64::NAN }
    }

    #[test]
    fn a_ratio_is_the_median_of_those_in_the_same_turn() {
        let options = Options::parse(&["--quick".to_owned()]).unwrap().unwrap();
        let results = vec![
            (
                Way::Link,
                Workload::SetUp(1),
                vec![sampled(900.0, 10.0), sampled(800.0, 30.0), sampled(100.0, 20.0)],
            ),
            (
                Way::Socat(Buffer::Own),
                Workload::SetUp(1),
                vec![sampled(20.0, 200.0), sampled(40.0, 600.0), sampled(30.0, 100.0)],
            ),
        ];
        let report = markdown(&options, "", &results).unwrap();
        assert!(report.contains("| a `socat` each | 30 | 200 |  | 20.00 | 20.00 |\n"), "{report}");
    }

    #[test]
    fn the_spread_is_that_of_the_ways_asked_for() {
        let rates = |rates: [f64; 3]| rates.map(|rate| sampled(rate, f64::NAN)).to_vec();
        let results = vec![
            (Way::Direct, Workload::Down, rates([9.0, 10.0, 12.0])),
            (Way::Link, Workload::Down, rates([10.0, 10.0, 11.0])),
        ];
        assert_eq!(spread(&results, |way| way == Way::Direct), 0.3);
        assert_eq!(spread(&results, |way| way != Way::Direct), 0.1);
    }
}
