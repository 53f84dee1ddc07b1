//! Tables of medians, with ratios to nginx.

use std::fmt::Write as _;
use std::path::Path;

use super::way::Way;
use super::workload::{Field, Mode, Results, Workload, median_of, ratio};
use super::{Options, aims, machine, start};

/// All of it as Markdown, which is as good to read on a terminal.
pub fn markdown(
    options: &Options,
    ways: &[Way],
    results: &Results,
    starts: &[start::Started],
) -> Result<String, String> {
    let mut out = String::new();
    let versions: Vec<String> = ways.iter().filter_map(Way::version).collect();
    let rounds = if options.rounds == 1 {
        "1 round"
    } else {
        &format!("medians of {} rounds", options.rounds)
    };
    let mut line = |text: String| out.push_str(&(text + "\n"));
    line(format!("Measured {} on {}.", machine::date()?, machine::describe()));
    line(format!("{}; {rounds}, {} s each.", versions.join("; "), options.seconds));
    if machine::has_precedence() {
        line("All of it ran with real-time priority, before everything else here.".to_owned());
    }
    if let Some(spread) = spread(results, &Way::Direct) {
        line(format!(
            "Load average at the start {}, at the end {}; the rates of \"direct\" varied by up to \
             {:.0} % between the rounds, which is what the rest of the machine did to them.",
            options.load_average,
            machine::load_average(),
            spread * 100.0
        ));
    }

    for (workload, head) in [
        (Workload::Get(1, Mode::Unix), "Small GETs, 1 connection"),
        (Workload::Get(16, Mode::Unix), "Small GETs, 16 connections"),
        (Workload::Get(64, Mode::Unix), "Small GETs, 64 connections"),
        (Workload::Get(1, Mode::Tcp), "Small GETs, 1 connection, to loopback TCP"),
        (Workload::Get(16, Mode::Tcp), "Small GETs, 16 connections, to loopback TCP"),
        (Workload::Get(64, Mode::Tcp), "Small GETs, 64 connections, to loopback TCP"),
        (Workload::Close(16), "Small GETs, a connection for each, 16 at once"),
        (Workload::WebSocket(16), "WebSocket echo, 32 bytes, 16 connections"),
    ] {
        exchanges(&mut out, head, ways, results, workload);
    }
    let mebibytes = options.body_bytes >> 20;
    for (down, up, head) in [
        (
            Workload::Down(Mode::Unix),
            Workload::Up(Mode::Unix),
            format!("One body of {mebibytes} MiB"),
        ),
        (
            Workload::Down(Mode::Tcp),
            Workload::Up(Mode::Tcp),
            format!("One body of {mebibytes} MiB, to loopback TCP"),
        ),
        (
            Workload::UpgradedDown,
            Workload::UpgradedUp,
            format!("An upgraded session of {mebibytes} MiB"),
        ),
    ] {
        bytes(&mut out, &head, ways, results, (down, up));
    }
    idle(&mut out, options, ways, results);
    start::report(&mut out, options, starts);
    aims::report(&mut out, &aims::all(ways, results, starts));
    Ok(out)
}

fn exchanges(out: &mut String, head: &str, ways: &[Way], results: &Results, workload: Workload) {
    let columns = "a second | p50 µs | p99 µs | CPU µs each | a second / nginx | p99 / nginx | \
                   CPU / nginx";
    table(out, head, columns);
    for way in ways.iter().filter(|way| way.takes(workload)) {
        let own = |field: Field| median_of(results, way, workload, field);
        let ratio = |field: Field| of_nginx(ways, results, way, workload, field);
        row(
            out,
            way,
            &[
                number(own(|sample| sample.rate), 0),
                number(own(|sample| sample.p50_us), 1),
                number(own(|sample| sample.p99_us), 1),
                number(own(|sample| sample.cpu), 2),
                number(ratio(|sample| sample.rate), 2),
                number(ratio(|sample| sample.p99_us), 2),
                number(ratio(|sample| sample.cpu), 2),
            ],
        );
    }
}

/// One session with many bytes, down and up.
fn bytes(
    out: &mut String,
    head: &str,
    ways: &[Way],
    results: &Results,
    (down, up): (Workload, Workload),
) {
    const GIBIBYTE: f64 = (1_u64 << 30) as f64;
    let columns = "down GiB/s | up GiB/s | down CPU s/GiB | up CPU s/GiB | down / nginx | \
                   up / nginx | down / its own buffers | up / its own buffers";
    table(out, head, columns);
    let own_buffers = ways.iter().find(|way| matches!(way, Way::Nginx { own_buffers: true, .. }));
    for way in ways.iter().filter(|way| way.takes(down)) {
        let rate: Field = |sample| sample.rate;
        let own = |workload, field: Field| median_of(results, way, workload, field);
        let with_own_buffers = |workload| {
            own_buffers.map_or(f64::NAN, |nginx| ratio(results, way, nginx, workload, rate))
        };
        row(
            out,
            way,
            &[
                number(own(down, rate) / GIBIBYTE, 2),
                number(own(up, rate) / GIBIBYTE, 2),
                number(own(down, |sample| sample.cpu), 3),
                number(own(up, |sample| sample.cpu), 3),
                number(of_nginx(ways, results, way, down, rate), 2),
                number(of_nginx(ways, results, way, up, rate), 2),
                number(with_own_buffers(down), 2),
                number(with_own_buffers(up), 2),
            ],
        );
    }
}

fn idle(out: &mut String, options: &Options, ways: &[Way], results: &Results) {
    let head = format!("{} idle WebSockets", options.idle_sessions);
    table(out, &head, "resident KiB a session | / nginx");
    for way in ways.iter().filter(|way| way.takes(Workload::Idle)) {
        let memory: Field = |sample| sample.memory;
        let own = median_of(results, way, Workload::Idle, memory);
        let ratio = of_nginx(ways, results, way, Workload::Idle, memory);
        row(out, way, &[number(own / 1024.0, 1), number(ratio, 2)]);
    }
}

/// Not a number where there is none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
    }
}

/// By how much a way's rates differ between rounds at most, as a part of the median.
fn spread(results: &Results, way: &Way) -> Option<f64> {
    let spreads = results.iter().filter(|result| result.0 == *way).map(|(_, workload, samples)| {
        let rates = samples.iter().map(|sample| sample.rate);
        let (low, high) = rates.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), rate| {
            (low.min(rate), high.max(rate))
        });
        (high - low) / median_of(results, way, *workload, |sample| sample.rate)
    });
    spreads.filter(|spread| spread.is_finite()).max_by(f64::total_cmp)
}

/// By how much the rates of a measurement differ between rounds, as a part of their median: in the
/// measurement that has so many of all below it.
pub fn spread_of(samples: impl Iterator<Item = Vec<f64>>, part: f64) -> f64 {
    let mut spreads: Vec<f64> = samples
        .map(|rates| {
            let low = rates.iter().copied().fold(f64::INFINITY, f64::min);
            let high = rates.iter().copied().fold(0.0, f64::max);
            (high - low) / median(rates)
        })
        .collect();
    spreads.sort_by(f64::total_cmp);
    let last = spreads.len().saturating_sub(1);
    spreads.get((last as f64 * part) as usize).copied().unwrap_or(f64::NAN)
}

/// The version behind `name` in a manifest.
pub fn version_in(manifest: &str, name: &str) -> String {
    let text = std::fs::read_to_string(crate::workspace().join(manifest)).unwrap_or_default();
    let rest = text.split_once(name).map_or("unknown\"", |(_, rest)| rest);
    rest.split('"').next().unwrap_or_default().to_owned()
}

/// Not a number where nginx was left out.
fn of_nginx(ways: &[Way], results: &Results, way: &Way, workload: Workload, field: Field) -> f64 {
    let nginx = ways.iter().find(|way| matches!(way, Way::Nginx { own_buffers: false, .. }));
    nginx.map_or(f64::NAN, |nginx| ratio(results, way, nginx, workload, field))
}

pub fn table(out: &mut String, head: &str, columns: &str) {
    let rules = "|---:".repeat(columns.split('|').count());
    // Writing to a String cannot fail.
    let _ = write!(out, "\n### {head}\n\n| way | {columns} |\n|---{rules}|\n");
}

pub fn row(out: &mut String, way: &Way, cells: &[String]) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "| {way} | {} |", cells.join(" | "));
}

/// Nothing where it was not measured.
pub fn number(value: f64, digits: usize) -> String {
    if value.is_nan() { String::new() } else { format!("{value:.digits$}") }
}

/// Prints the report, and puts it between the marks of a page that have this name, if there is one.
pub fn tell(report: &str, page: Option<&Path>, name: &str) -> Result<(), String> {
    print!("{report}");
    if let Some(page) = page {
        write_into(page, name, report)?;
        eprintln!("written into {}", page.display());
    }
    Ok(())
}

fn write_into(page: &Path, name: &str, report: &str) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", page.display());
    let text = std::fs::read_to_string(page).map_err(failed)?;
    let text = replace(&text, name, report).ok_or_else(|| {
        format!("{} has no `{name}: begin` and `{name}: end` to write between", page.display())
    })?;
    std::fs::write(page, text).map_err(failed)
}

fn replace(text: &str, name: &str, report: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {name}: begin -->"), format!("<!-- {name}: end -->"));
    let (before, rest) = text.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n{report}{end}{after}"))
}

#[cfg(test)]
mod tests {
    use super::super::workload::Sample;
    use super::*;

    fn results(rates: &[f64]) -> Results {
        let samples = rates.iter().map(|&rate| Sample { rate, ..Sample::NOTHING }).collect();
        vec![(Way::Direct, Workload::Idle, samples)]
    }

    #[test]
    fn the_median_is_the_middle_one() {
        let of =
            |rates: &[f64]| median_of(&results(rates), &Way::Direct, Workload::Idle, |s| s.rate);
        assert_eq!(of(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(of(&[3.0, 1.0]), 2.0);
        assert!(of(&[]).is_nan());
    }

    #[test]
    fn the_spread_is_that_of_the_rates() {
        assert_eq!(spread(&results(&[9.0, 10.0, 12.0]), &Way::Direct), Some(0.3));
        assert_eq!(spread(&results(&[]), &Way::Direct), None);
    }

    #[test]
    fn the_report_replaces_what_stood_between_the_marks() {
        let marks = |name: &str, text: &str| {
            format!("<!-- {name}: begin -->\n{text}\n<!-- {name}: end -->\n")
        };
        let page = |text: &str| marks("bench mux", "other") + &marks("bench", text);
        assert_eq!(replace(&page("old"), "bench", "new\n"), Some(page("new")));
        assert_eq!(replace("no marks", "bench", "new"), None);
    }

    #[test]
    fn what_was_not_measured_is_an_empty_cell() {
        assert_eq!(number(f64::NAN, 2), "");
        assert_eq!(number(1.234, 2), "1.23");
    }
}
