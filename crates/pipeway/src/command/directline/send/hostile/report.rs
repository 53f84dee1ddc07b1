//! What became of the attacks, in a table.

use std::time::Duration;

use serde_json::json;

use super::attacks::{Attack, Expected, Wanted};
use super::trial::Happened;
use crate::exit::Exit;
use crate::output::{Failure, print_line};

/// Counts the outcomes, and prints each.
#[derive(Debug)]
pub(super) struct Report {
    seed: u64,
    json: bool,
    ok: u32,
    differing: u32,
    hanging: u32,
    left_out: u32,
    /// What the agent died of.
    killer: Option<String>,
    last: String,
}

impl Report {
    pub(super) fn new(seed: u64, json: bool) -> Self {
        let (killer, last) = (None, String::new());
        let report =
            Report { seed, json, ok: 0, differing: 0, hanging: 0, left_out: 0, killer, last };
        if !json {
            print_line(&row(["case", "attack", "expected", "happened", "ms", "bytes", "digest"]));
        }
        report
    }

    pub(super) fn is_dead(&self) -> bool {
        self.killer.is_some()
    }

    /// How many attacks were made.
    pub(super) fn count(&self) -> u32 {
        self.ok + self.differing + self.hanging + u32::from(self.is_dead())
    }

    /// An attack that was made.
    pub(super) fn tell(&mut self, attack: &Attack, happened: &Happened, took: Duration) {
        let text = match happened {
            Happened::Ok => {
                self.ok += 1;
                "ok".to_owned()
            }
            Happened::Differs(what) => {
                self.differing += 1;
                format!("differs: {what}")
            }
            Happened::Hangs => {
                self.hanging += 1;
                "hangs".to_owned()
            }
            Happened::Dead => {
                self.killer = Some(attack.name.clone());
                "dead".to_owned()
            }
        };
        self.last.clone_from(&attack.name);
        let expected = expected(attack);
        let (digest, bytes) = attack.digest();
        let (digest, ms) = (format!("{digest:016x}"), took.as_millis() as u64);
        print_line(&if self.json {
            json!({
                "case": attack.case, "attack": attack.name, "expected": expected,
                "happened": text, "ms": ms, "bytes": bytes, "digest": digest,
            })
            .to_string()
        } else {
            let (ms, bytes) = (ms.to_string(), bytes.to_string());
            row([attack.case, &attack.name, &expected, &text, &ms, &bytes, &digest])
        });
    }

    /// An attack that was not made.
    pub(super) fn not_run(&mut self) {
        self.left_out += 1;
    }

    /// The agent was found dead after the last attack.
    pub(super) fn died_at_the_end(&mut self) {
        self.killer = Some(self.last.clone());
    }

    /// The end of it, and the failure if the agent did not survive.
    pub(super) fn verdict(self, took: Duration) -> Result<(), Failure> {
        let Report { seed, json, ok, differing, hanging, left_out, killer, .. } = self;
        let verdict = if killer.is_some() { "dead" } else { "survived" };
        if json {
            print_line(
                &json!({
                    "verdict": verdict, "seed": seed, "ok": ok, "differs": differing,
                    "hangs": hanging, "not_run": left_out, "killer": killer,
                    "ms": took.as_millis() as u64,
                })
                .to_string(),
            );
        } else {
            let mut line = format!("{verdict}: {ok} ok, {differing} differ, {hanging} hang");
            if let Some(killer) = &killer {
                line.push_str(&format!(", dead after \"{killer}\""));
            }
            if left_out > 0 {
                line.push_str(&format!(", {left_out} not made"));
            }
            print_line(&format!("{line}; seed {seed}, {:.1} s", took.as_secs_f64()));
        }
        match killer {
            None => Ok(()),
            Some(_) => Err(Failure::told(Exit::Failure)),
        }
    }
}

fn expected(attack: &Attack) -> String {
    let what = match attack.expected {
        Expected::Closed => return "closed".to_owned(),
        Expected::Either => return "either".to_owned(),
        Expected::Alive => "alive",
    };
    match attack.wanted.as_slice() {
        [] if !attack.unwanted.is_empty() => format!("{what}, no answer"),
        [] => what.to_owned(),
        [(_, Wanted::Status(status))] => format!("{what}, {status}"),
        [(_, Wanted::Success)] => format!("{what}, 2xx"),
        [_] => format!("{what}, answer"),
        many => format!("{what}, {} answers", many.len()),
    }
}

/// A line of the table, whose rows are printed as they come.
fn row([case, attack, expected, happened, ms, bytes, digest]: [&str; 7]) -> String {
    format!("{case:<5} {attack:<46} {expected:<19} {happened:<26} {ms:>6} {bytes:>9} {digest}")
}
