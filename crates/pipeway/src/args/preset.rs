//! `pipeway preset`.

use clap::{Args, ValueEnum};

const HELP: &str = "\
The configuration goes to standard output, and what to do next to standard error. It is for the side
where the clients are: on Windows for windows-to-wsl, inside WSL for wsl-to-windows.

  ssh-agent  windows-to-wsl  Windows' OpenSSH uses the agent that runs inside WSL
             wsl-to-windows  ssh inside WSL uses the agent of Windows
  docker     windows-to-wsl  docker.exe uses the engine that runs inside WSL (Docker or Podman)
             wsl-to-windows  docker inside WSL uses Docker Desktop

Examples:
  pipeway preset ssh-agent --direction windows-to-wsl --distro Ubuntu > agent.toml
  pipeway preset docker --direction wsl-to-windows > docker.toml
  pipeway serve --config agent.toml";

/// `pipeway preset`.
#[derive(Clone, Debug, Args)]
#[command(after_help = HELP)]
pub(crate) struct PresetArgs {
    /// What to carry: ssh-agent or docker
    #[arg(value_name = "PRESET", hide_possible_values = true)]
    pub(crate) preset: Preset,

    /// From the clients to the service: windows-to-wsl or wsl-to-windows [default: from this system
    /// to the other]
    #[arg(long, value_name = "WHICH", hide_possible_values = true)]
    pub(crate) direction: Option<Direction>,

    /// The distribution, as `wsl.exe -l -q` spells it; windows-to-wsl needs it
    #[arg(long, value_name = "NAME")]
    pub(crate) distro: Option<String>,

    /// The user inside WSL that the service is used as [default: the distribution's own]
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// The program pipeway on the other side, with its path [default: the one in its PATH]
    #[arg(long, value_name = "PATH")]
    pub(crate) guest: Option<String>,

    /// The Unix socket inside WSL: the service's, or the one to make
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<String>,

    /// The named pipe on Windows: the service's, or the one to make
    #[arg(long, value_name = "NAME")]
    pub(crate) pipe: Option<String>,
}

/// What is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Preset {
    SshAgent,
    Docker,
}

/// From the clients to the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Direction {
    WindowsToWsl,
    WslToWindows,
}
