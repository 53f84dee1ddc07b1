//! Tables of medians: a row for each pair of ends, with ratios to the npm package at both.

use std::fmt::Write as _;

use super::super::machine;
use super::super::report::{median, number, spread_of, version_in};
use super::{Ends, Options, Results, Sample, Workload};

type Field = fn(&Sample) -> f64;

const RATE: Field = |sample| sample.rate;
const MEBIBYTES: Field = |sample| sample.rate / (1 << 20) as f64;
const P50: Field = |sample| sample.p50_us;
const P99: Field = |sample| sample.p99_us;

const CALLS: [(Workload, &str); 3] =
    [(Workload::Calls(1), "1 in flight"), (Workload::Calls(16), "16"), (Workload::Calls(64), "64")];
const BODIES: [(Workload, &str); 2] = [(Workload::Upload, "up"), (Workload::Download, "down")];

/// All of it as Markdown.
pub fn markdown(options: &Options, results: &Results) -> Result<String, String> {
    let mut out = String::new();
    let rounds = match options.rounds {
        1 => "1 round".to_owned(),
        count => format!("medians of {count} rounds"),
    };
    let samples = || results.iter().map(|(.., samples)| samples.iter().map(RATE).collect());
    let mut line = |text: String| out.push_str(&(text + "\n"));
    line(format!("Measured {} on {}.", machine::date()?, machine::describe()));
    line(format!(
        "pipeway-directline {}; npm: botframework-streaming {} on Node {}, mended; {rounds}, {} calls \
         or {} MiB each.",
        env!("CARGO_PKG_VERSION"),
        version_in("interop/package.json", "\"botframework-streaming\": \""),
        machine::node_version(),
        options.calls,
        options.bytes >> 20
    ));
    line(format!(
        "Load average at the start {}; a figure varied between rounds by {:.0} % in the median, by \
         {:.0} % at the most.",
        options.load_average,
        spread_of(samples(), 0.5) * 100.0,
        spread_of(samples(), 1.0) * 100.0
    ));
    table(&mut out, results, "Calls a second", RATE, &CALLS);
    table(&mut out, results, "A call's time, p50 µs", P50, &CALLS);
    table(&mut out, results, "A call's time, p99 µs", P99, &CALLS);
    table(
        &mut out,
        results,
        &format!("One body of {} MiB, MiB/s", options.bytes >> 20),
        MEBIBYTES,
        &BODIES,
    );
    Ok(out)
}

fn table(
    out: &mut String,
    results: &Results,
    head: &str,
    field: Field,
    columns: &[(Workload, &str)],
) {
    let of = |ends: Ends, workload: Workload| {
        let found = results.iter().find(|result| (result.0, result.1) == (workload, ends));
        median(found.map(|result| result.2.iter().map(field).collect()).unwrap_or_default())
    };
    let names: Vec<&str> = columns.iter().map(|(_, name)| *name).collect();
    let ratios: Vec<String> = names.iter().map(|name| format!("{name} / npm")).collect();
    let rules = "|---:".repeat(2 * columns.len());
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "\n### {head}\n\n| ends | {} | {} |\n|---{rules}|\n",
        names.join(" | "),
        ratios.join(" | ")
    );
    for ends in Ends::ALL {
        let own: Vec<f64> = columns.iter().map(|(workload, _)| of(ends, *workload)).collect();
        if own.iter().all(|value| value.is_nan()) {
            continue;
        }
        let mut cells: Vec<String> =
            own.iter().map(|value| number(*value, usize::from(*value < 1000.0))).collect();
        let npm = columns.iter().map(|(workload, _)| of(Ends::NPM, *workload));
        cells.extend(own.iter().zip(npm).map(|(own, npm)| number(own / npm, 2)));
        let _ = writeln!(out, "| {ends} | {} |", cells.join(" | "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_what_was_measured_and_its_ratio_to_npm() {
        let sampled = |rate| vec![Sample { rate, p50_us: f64::NAN, p99_us: f64::NAN }];
        let results = vec![
            (Workload::Calls(1), Ends::OURS, sampled(3000.0)),
            (Workload::Calls(1), Ends::NPM, sampled(200.0)),
        ];
        let mut out = String::new();
        table(&mut out, &results, "a head", RATE, &CALLS[..1]);
        assert!(out.contains("| ends | 1 in flight | 1 in flight / npm |\n"), "{out}");
        assert!(out.contains("| pipeway | 3000 | 15.00 |\n"), "{out}");
        assert!(out.contains("| npm | 200.0 | 1.00 |\n"), "{out}");
        assert_eq!(out.lines().count(), 7, "{out}");
    }

    #[test]
    fn the_packages_version_stands_in_the_manifest() {
        let version = version_in("interop/package.json", "\"botframework-streaming\": \"");
        assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
    }
}
