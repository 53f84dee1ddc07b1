//! `pipeway check`: what is wrong in a configuration, or what it resolves to.

use crate::args::ServeArgs;
use crate::config::Config;
use crate::output::{Failure, print_line, talk};

/// Checks the configuration and prints it resolved. Nothing is started.
pub(crate) fn check(args: ServeArgs) -> Result<(), Failure> {
    let config = Config::from_file(args.config.as_deref(), args.events.layer())?;
    print_line(config.show().trim_end());
    talk(&match config.bridge_count() {
        1 => "ok: 1 bridge".to_owned(),
        count => format!("ok: {count} bridges"),
    });
    Ok(())
}
