//! `pipeway check`: what is wrong in a configuration, or what it resolves to.

use crate::args::ServeArgs;
use crate::config::Config;
use crate::output::{Failure, print_line, talk};

/// Checks the configuration and prints it resolved. Nothing is started.
pub(crate) fn check(args: ServeArgs) -> Result<(), Failure> {
    let config = Config::from_file(args.config.as_deref(), args.events.layer())?;
    print_line(config.show().trim_end());
    let count = |number: usize, one: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    };
    talk(&match config.counts() {
        (bridges, 0) => format!("ok: {}", count(bridges, "bridge")),
        (0, gateways) => format!("ok: {}", count(gateways, "gateway")),
        (bridges, gateways) => {
            format!("ok: {}, {}", count(bridges, "bridge"), count(gateways, "gateway"))
        }
    });
    Ok(())
}
