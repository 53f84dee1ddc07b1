//! Tables of medians: a row for each version of the protocol, beside npm's package and yamux.

use std::fmt::Write as _;

use super::super::machine;
use super::super::report::{median, number, spread_of, version_in};
use super::{Mux, Options, Place, Results, Sample, VERSIONS, Workload};

type Field = fn(&Sample) -> f64;

const RATE: Field = |sample| sample.rate;
const MEBIBYTES: Field = |sample| sample.rate / (1 << 20) as f64;
const P50: Field = |sample| sample.p50_us;
const P99: Field = |sample| sample.p99_us;

/// All of it as Markdown.
pub fn markdown(options: &Options, results: &Results) -> Result<String, String> {
    let mut out = String::new();
    let samples = || results.iter().map(|(.., samples)| samples.iter().map(RATE).collect());
    let rounds = match options.rounds {
        1 => "1 round".to_owned(),
        count => format!("medians of {count} rounds"),
    };
    let mut line = |text: String| out.push_str(&(text + "\n"));
    line(format!("Measured {} on {}.", machine::date()?, machine::describe()));
    line(format!(
        "pipeway-mux {}; npm: nerdbank-streams {} on Node {}; yamux {}; {rounds}, {} MiB or {} s each.",
        env!("CARGO_PKG_VERSION"),
        version_in("interop/package.json", "\"nerdbank-streams\": \""),
        machine::node_version(),
        version_in("Cargo.toml", "yamux = \""),
        options.bytes >> 20,
        options.seconds
    ));
    line(format!(
        "Load average at the start {}; a figure varied between rounds by {:.0} % in the median, by \
         {:.0} % at the most.",
        options.load_average,
        spread_of(samples(), 0.5) * 100.0,
        spread_of(samples(), 1.0) * 100.0
    ));
    for (place, of) in
        [(Place::Socket, "over a Unix socket between two processes"), (Place::Memory, "in memory")]
    {
        for (workload, what, field) in [
            (Workload::Bytes(1), "One channel, MiB/s", MEBIBYTES),
            (Workload::Bytes(100), "100 channels at once, MiB/s together", MEBIBYTES),
            (Workload::Opens(1), "Channels opened a second, one by one", RATE),
            (Workload::Opens(100), "Channels opened a second, 100 in flight", RATE),
            (Workload::Calls(1), "Channels for a byte there and back a second, one by one", RATE),
            (
                Workload::Calls(100),
                "Channels for a byte there and back a second, 100 in flight",
                RATE,
            ),
            (Workload::Echo, "Echo of a byte, p50 µs", P50),
            (Workload::Echo, "Echo of a byte, p99 µs", P99),
        ] {
            table(&mut out, results, place, workload, &format!("{what}, {of}"), field);
        }
    }
    Ok(out)
}

fn table(
    out: &mut String,
    results: &Results,
    place: Place,
    workload: Workload,
    head: &str,
    field: Field,
) {
    let of = |mux: Mux| {
        let found =
            results.iter().find(|result| (result.0, result.1, result.2) == (place, workload, mux));
        median(found.map(|result| result.3.iter().map(field).collect()).unwrap_or_default())
    };
    let yamux = of(Mux::Yamux);
    let with_npm = VERSIONS.iter().any(|version| !of(Mux::Npm(*version)).is_nan());
    let mut columns = vec!["version", "pipeway-mux"];
    columns.extend(with_npm.then_some(["npm", "/ npm"]).into_iter().flatten());
    columns.extend((!yamux.is_nan()).then_some(["yamux", "/ yamux"]).into_iter().flatten());
    let rules = "|---:".repeat(columns.len());
    // Writing to a String cannot fail.
    let _ = write!(out, "\n### {head}\n\n| {} |\n{rules}|\n", columns.join(" | "));
    for version in VERSIONS {
        let (ours, npm) = (of(Mux::Ours(version)), of(Mux::Npm(version)));
        let digits = if ours < 1000.0 { 1 } else { 0 };
        let mut cells = vec![version.to_string(), number(ours, digits)];
        if with_npm {
            cells.extend([number(npm, digits), number(ours / npm, 2)]);
        }
        if !yamux.is_nan() {
            cells.extend([number(yamux, digits), number(ours / yamux, 2)]);
        }
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampled(rate: f64) -> Sample {
        Sample { rate, p50_us: f64::NAN, p99_us: f64::NAN }
    }

    #[test]
    fn a_table_has_the_ratios_of_what_was_measured() {
        let results = vec![
            (Place::Socket, Workload::Calls(1), Mux::Ours(2), vec![sampled(30.0)]),
            (Place::Socket, Workload::Calls(1), Mux::Yamux, vec![sampled(20.0)]),
        ];
        let mut out = String::new();
        table(&mut out, &results, Place::Socket, Workload::Calls(1), "a head", RATE);
        assert!(out.contains("| version | pipeway-mux | yamux | / yamux |\n"), "{out}");
        assert!(out.contains("| 2 | 30.0 | 20.0 | 1.50 |\n"), "{out}");
    }

    #[test]
    fn the_versions_stand_in_the_manifests() {
        for (manifest, name) in
            [("interop/package.json", "\"nerdbank-streams\": \""), ("Cargo.toml", "yamux = \"")]
        {
            let version = version_in(manifest, name);
            assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{version}");
        }
    }
}
