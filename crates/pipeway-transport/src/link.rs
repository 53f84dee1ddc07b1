//! Links.

mod config;
mod opening;
#[allow(dead_code)]
mod preface;
#[allow(dead_code)]
mod program;
#[allow(dead_code)]
mod report;
#[allow(dead_code)]
mod said;
mod spec;
#[allow(dead_code)]
mod wsl;

pub use config::{LinkConfig, OnLine};
pub use opening::Opening;
pub use spec::{CommandLine, Distribution, LinkSpec, LinkSpecParseError};
