//! What the presets say.

use pipeway_transport::Endpoint;

use super::Plan;
use crate::args::{Direction, Preset};

/// The head of the file.
pub(super) fn about(plan: &Plan) -> String {
    let what = match (plan.preset, plan.direction) {
        (Preset::SshAgent, Direction::WindowsToWsl) => {
            "# The SSH agent that runs inside WSL, for ssh.exe, git and everything else on Windows that looks\n\
             # for an agent at the pipe of Windows' OpenSSH. For: pipeway.exe serve, on Windows.\n"
        }
        (Preset::SshAgent, Direction::WslToWindows) => {
            "# The SSH agent of Windows (its service, or another program that serves the same pipe), for ssh\n\
             # inside WSL. For: pipeway serve, inside WSL.\n"
        }
        (Preset::Docker, Direction::WindowsToWsl) => {
            "# The container engine that runs inside WSL, for docker.exe and everything else on Windows that\n\
             # looks for Docker's pipe. For: pipeway.exe serve, on Windows.\n\
             #\n\
             # Whoever may use this pipe is root inside WSL, by way of the engine. It is yours alone.\n"
        }
        (Preset::Docker, Direction::WslToWindows) => {
            "# Docker Desktop (or what else serves Docker's pipe on Windows), for docker inside WSL.\n\
             # For: pipeway serve, inside WSL.\n"
        }
    };
    let link = match plan.direction {
        Direction::WindowsToWsl => {
            "#\n\
             # One pipeway runs inside WSL for all connections, and opens the service there.\n"
        }
        Direction::WslToWindows => {
            "#\n\
             # One pipeway.exe runs on Windows for all connections, and opens the pipe there.\n"
        }
    };
    format!("{what}{link}")
}

/// Where the other side's program is, if it is not found by itself.
pub(super) fn guest(direction: Direction) -> &'static str {
    match direction {
        Direction::WindowsToWsl => {
            "# guest = \"/usr/local/bin/pipeway\"  # WSL starts it without your shell's PATH\n"
        }
        Direction::WslToWindows => {
            "# guest = \"/mnt/c/Users/me/bin/pipeway.exe\"  # if it is not in Windows' PATH\n"
        }
    }
}

/// How bytes are carried.
pub(super) fn protocol(plan: &Plan) -> &'static str {
    match (plan.preset, plan.direction) {
        (Preset::SshAgent, _) => {
            "# An agent does not speak HTTP: bytes are carried as they are.\n\
             protocol = \"raw\"\n"
        }
        (Preset::Docker, Direction::WindowsToWsl) => {
            "# Bytes as they are, since Docker takes connections over in ways that are no proxy's business:\n\
             # attach and exec become plain bytes, a build becomes HTTP/2.\n\
             protocol = \"raw\"\n\
             # Docker's own pipe is of messages: an empty one is the end of `docker run -i`'s input.\n\
             half_close = \"message\"\n"
        }
        (Preset::Docker, Direction::WslToWindows) => {
            "# Bytes as they are, since Docker takes connections over in ways that are no proxy's business:\n\
             # attach and exec become plain bytes, a build becomes HTTP/2.\n\
             protocol = \"raw\"\n"
        }
    }
}

/// What to do with the file.
pub(super) fn next(plan: &Plan) -> String {
    let pipe = plan.pipe.to_string();
    let socket = match &plan.unix {
        Endpoint::Local(name) => format!("$XDG_RUNTIME_DIR/{}.sock", name.as_str()),
        other => other.to_string().trim_start_matches("unix:").to_owned(),
    };
    match (plan.preset, plan.direction) {
        (Preset::SshAgent, Direction::WindowsToWsl) => format!(
            "next:\n  \
             1. Inside WSL an agent must listen at {socket}:\n       \
                ssh-agent -a {socket}\n     \
                and keys must be added to it there: SSH_AUTH_SOCK={socket} ssh-add\n  \
             2. Windows' own agent has the pipe {pipe} while it runs.\n     \
                In an elevated PowerShell:\n       \
                Stop-Service ssh-agent; Set-Service ssh-agent -StartupType Disabled\n     \
                (to have it back: -StartupType Automatic, and Start-Service)\n  \
             3. On Windows: pipeway serve --config FILE\n  \
             4. To see that it works: ssh-add -l in a Windows terminal lists the keys of WSL.\n"
        ),
        (Preset::SshAgent, Direction::WslToWindows) => format!(
            "next:\n  \
             1. On Windows the agent must run. In an elevated PowerShell:\n       \
                Set-Service ssh-agent -StartupType Automatic; Start-Service ssh-agent\n     \
                and keys must be added to it there: ssh-add\n  \
             2. Inside WSL: pipeway serve --config FILE\n  \
             3. In your shell's profile inside WSL:\n       \
                export SSH_AUTH_SOCK=\"{socket}\"\n  \
             4. To see that it works: ssh-add -l inside WSL lists the keys of Windows.\n"
        ),
        (Preset::Docker, Direction::WindowsToWsl) => format!(
            "next:\n  \
             1. Inside WSL the engine must listen at {socket}, and the user there\n     \
                must be allowed to use it (the group docker). Podman without root, with a user's socket:\n       \
                systemctl --user enable --now podman.socket\n     \
                and --socket /run/user/1000/podman/podman.sock here.\n  \
             2. Docker Desktop has the pipe {pipe} while it runs: quit it, or\n     \
                take another name, --pipe NAME here and DOCKER_HOST=npipe:////./pipe/NAME for clients.\n  \
             3. On Windows: pipeway serve --config FILE\n  \
             4. To see that it works: docker version in a Windows terminal tells a Server of linux.\n"
        ),
        (Preset::Docker, Direction::WslToWindows) => format!(
            "next:\n  \
             1. On Windows Docker Desktop must run.\n  \
             2. Inside WSL: pipeway serve --config FILE\n  \
             3. In your shell's profile inside WSL:\n       \
                export DOCKER_HOST=\"unix://{socket}\"\n     \
                Folders that are mounted (-v) are those that the engine sees.\n  \
             4. To see that it works: docker version inside WSL tells a Server.\n"
        ),
    }
}
