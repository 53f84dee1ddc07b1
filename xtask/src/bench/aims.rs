//! What the bridge is to reach, and whether it did.

use std::fmt::Write as _;

use super::report::number;
use super::start::Started;
use super::way::Way;
use super::workload::{Field, Mode, Results, Workload, median_of, ratio};

/// What is wanted of a number.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

/// One aim, with what was measured: not a number where it was not.
#[derive(Debug)]
pub struct Aim {
    what: String,
    bound: Bound,
    measured: f64,
}

impl Aim {
    fn is_met(&self) -> Option<bool> {
        let met = match self.bound {
            Bound::AtMost(bound) => self.measured <= bound,
            Bound::AtLeast(bound) => self.measured >= bound,
        };
        (!self.measured.is_nan()).then_some(met)
    }
}

/// All aims; none where the bridge was left out.
pub fn all(ways: &[Way], results: &Results, starts: &[Started]) -> Vec<Aim> {
    let find = |is: fn(&Way) -> bool| ways.iter().find(|way| is(way));
    let Some(own) = find(|way| matches!(way, Way::Pipeway { events: false, .. })) else {
        return Vec::new();
    };
    let nginx = find(|way| matches!(way, Way::Nginx { own_buffers: false, .. }));
    let own_buffers = find(|way| matches!(way, Way::Nginx { own_buffers: true, .. }));
    let events = find(|way| matches!(way, Way::Pipeway { events: true, .. }));
    let between =
        |way: Option<&Way>, other: Option<&Way>, workload, field: Field| match (way, other) {
            (Some(way), Some(other)) => ratio(results, way, other, workload, field),
            _ => f64::NAN,
        };
    let beside = |other, workload, field| between(Some(own), other, workload, field);

    let cpu: Field = |sample| sample.cpu;
    let p99: Field = |sample| sample.p99_us;
    let rate: Field = |sample| sample.rate;
    let time: Field = |sample| 1.0 / sample.rate;
    let mut aims = Vec::new();
    let mut add = |what: String, bound, measured| aims.push(Aim { what, bound, measured });
    let at_most = Bound::AtMost;
    for mode in [Mode::Unix, Mode::Tcp] {
        for count in [1, 16, 64] {
            let workload = Workload::Get(count, mode);
            let of = format!("GET, {count} at once, to {mode}");
            add(format!("{of}: CPU / nginx"), at_most(0.85), beside(nginx, workload, cpu));
            add(format!("{of}: p99 / nginx"), at_most(1.0), beside(nginx, workload, p99));
        }
    }
    let close = Workload::Close(16);
    add("a connection for each: CPU / nginx".into(), at_most(1.0), beside(nginx, close, cpu));
    add("a connection for each: p99 / nginx".into(), at_most(1.0), beside(nginx, close, p99));
    let echo = Workload::WebSocket(16);
    add("WebSocket echo: time / nginx".into(), at_most(1.0), beside(nginx, echo, time));
    add("WebSocket echo: CPU / nginx".into(), at_most(1.0), beside(nginx, echo, cpu));
    for (of, down, up) in [
        ("body, to a Unix socket", Workload::Down(Mode::Unix), Workload::Up(Mode::Unix)),
        ("body, to loopback TCP", Workload::Down(Mode::Tcp), Workload::Up(Mode::Tcp)),
        ("upgraded session", Workload::UpgradedDown, Workload::UpgradedUp),
    ] {
        for (way, workload, least) in [("down", down, 1.15), ("up", up, 2.0)] {
            let what = format!("{of}: throughput {way} / nginx with its own buffers");
            add(what, Bound::AtLeast(least), beside(own_buffers, workload, rate));
        }
    }
    let memory = median_of(results, own, Workload::Idle, |sample| sample.memory);
    add("idle WebSocket: KiB a session".into(), at_most(6.0), memory / 1024.0);
    let started = starts.iter().find(|started| started.way == *own);
    let ready = started.map_or(f64::NAN, |started| started.ready_ms);
    add("start to ready: ms".into(), at_most(20.0), ready);
    for count in [1, 16, 64] {
        let workload = Workload::Get(count, Mode::Unix);
        let cost = between(events, Some(own), workload, cpu);
        add(format!("GET, {count} at once: CPU events on / off"), at_most(1.1), cost);
    }
    aims
}

/// The aims as a table.
pub fn report(out: &mut String, aims: &[Aim]) {
    if aims.is_empty() {
        return;
    }
    // Writing to a String cannot fail.
    let _ = write!(out, "\n### Aims\n\n| aim | bound | measured | met |\n|---|---:|---:|---|\n");
    for aim in aims {
        let bound = match aim.bound {
            Bound::AtMost(bound) => format!("at most {bound}"),
            Bound::AtLeast(bound) => format!("at least {bound}"),
        };
        let met = match aim.is_met() {
            Some(true) => "yes",
            Some(false) => "no",
            None => "not measured",
        };
        let _ = writeln!(out, "| {} | {bound} | {} | {met} |", aim.what, number(aim.measured, 3));
    }
    let met = aims.iter().filter(|aim| aim.is_met() == Some(true)).count();
    let _ = writeln!(out, "\n{met} of {} aims are met.", aims.len());
}

#[cfg(test)]
mod tests {
    use super::super::workload::Sample;
    use super::*;

    fn aim(bound: Bound, measured: f64) -> Option<bool> {
        Aim { what: String::new(), bound, measured }.is_met()
    }

    #[test]
    fn a_bound_itself_is_met() {
        assert_eq!(aim(Bound::AtMost(0.85), 0.85), Some(true));
        assert_eq!(aim(Bound::AtMost(0.85), 0.851), Some(false));
        assert_eq!(aim(Bound::AtLeast(2.0), 2.0), Some(true));
        assert_eq!(aim(Bound::AtLeast(2.0), 1.99), Some(false));
        assert_eq!(aim(Bound::AtLeast(2.0), f64::NAN), None);
    }

    #[test]
    fn each_round_is_compared_with_itself() {
        let own = Way::Pipeway { program: "a".into(), events: false };
        let nginx = Way::Nginx { program: "b".into(), own_buffers: false };
        let of = |way: &Way, cpus: [f64; 3]| {
            let samples = cpus.map(|cpu| Sample { cpu, ..Sample::NOTHING }).to_vec();
            (way.clone(), Workload::Close(16), samples)
        };
        // The second round was slow for both.
        let results = vec![of(&own, [1.0, 9.0, 1.2]), of(&nginx, [2.0, 10.0, 2.0])];
        let aims = all(&[own, nginx], &results, &[]);
        let aim = aims.iter().find(|aim| aim.what.starts_with("a connection for each: CPU"));
        assert_eq!(aim.map(|aim| aim.measured), Some(0.6));
    }

    #[test]
    fn the_table_counts_what_is_met() {
        let aim = |measured| Aim { what: "x".into(), bound: Bound::AtMost(1.0), measured };
        let mut out = String::new();
        report(&mut out, &[aim(0.5), aim(1.5), aim(f64::NAN)]);
        assert!(out.contains("| x | at most 1 | 1.500 | no |\n"), "{out}");
        assert!(out.contains("| x | at most 1 |  | not measured |\n"), "{out}");
        assert!(out.ends_with("\n1 of 3 aims are met.\n"), "{out}");
    }
}
