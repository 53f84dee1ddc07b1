//! `--hostile`: attacks an agent, and looks whether it lives.

mod attacks;
mod frames;
mod report;
mod seeded;
mod session;
mod trial;

use std::time::{Duration, Instant};

use self::attacks::{Attack, attacks};
use self::report::Report;
use self::seeded::Seeded;
use self::trial::Trials;
use crate::args::SendArgs;
use crate::exit::Exit;
use crate::output::Failure;

/// Makes all attacks, and tells what became of each.
pub(super) async fn attack(seed: u64, args: &SendArgs) -> Result<(), Failure> {
    let begin = Instant::now();
    let hostility = &args.hostility;
    let mut trials = Trials::new(args.pipe.clone(), super::connecting(args));
    trials.begin().await.map_err(|error| match error {
        trial::NoAgent::Pipes(error) => super::no_pipes(args, &error),
        trial::NoAgent::Silent => Failure::new(
            Exit::Timeout,
            format!("the agent at {} does not answer `GET /probe`", args.pipe),
        )
        .hint("an agent answers what it has no route for, with 404"),
    })?;
    let mut report = Report::new(seed, args.json);
    let is_time_up =
        || hostility.seconds.is_some_and(|max| begin.elapsed() >= Duration::from_secs(max));
    for round in 0..hostility.rounds {
        for attack in attacks(&mut Seeded::new(seed, round)) {
            if !is_chosen(&attack, args) {
                continue;
            }
            if report.is_dead() || is_time_up() {
                report.not_run();
                continue;
            }
            let began = Instant::now();
            let happened = trials.run(&attack).await;
            report.tell(&attack, &happened, began.elapsed());
        }
    }
    // Whatever the last attack was, an agent that survived answers now.
    if !report.is_dead() && report.count() > 0 && !trials.lives().await {
        report.died_at_the_end();
    }
    trials.end();
    report.verdict(begin.elapsed())
}

fn is_chosen(attack: &Attack, args: &SendArgs) -> bool {
    let hostility = &args.hostility;
    let is_named = |words: &[String]| {
        words.iter().any(|word| attack.name.contains(word.as_str()) || attack.case == word)
    };
    (hostility.slow || !attack.is_slow)
        && (hostility.only.is_empty() || is_named(&hostility.only))
        && !is_named(&hostility.skip)
}
