//! `pipeway preset`: configurations for well-known services across the border, explained.

mod words;

use pipeway_transport::{Endpoint, Mode};

use crate::args::{Direction, Preset, PresetArgs};
use crate::config::quoted;
use crate::exit::Exit;
use crate::output::{Failure, print_line, talk};

/// Prints the configuration, and what to do next.
pub(crate) fn preset(args: PresetArgs) -> Result<(), Failure> {
    let plan = Plan::of(args)?;
    print_line(plan.configuration().trim_end());
    talk(plan.next().trim_end());
    Ok(())
}

/// What is to be set up: good as far as can be told without looking at the other side.
#[derive(Clone, Debug)]
struct Plan {
    preset: Preset,
    direction: Direction,
    /// What it goes through, as `to` of a link.
    link: String,
    user: Option<String>,
    guest: Option<String>,
    /// On the side inside WSL.
    unix: Endpoint,
    /// On the side of Windows.
    pipe: Endpoint,
}

impl Plan {
    fn of(args: PresetArgs) -> Result<Self, Failure> {
        let wrong = |message: String| Failure::new(Exit::Usage, message);
        let preset = args.preset;
        let direction = args.direction.unwrap_or_else(from_here);
        let link = match (direction, &args.distro) {
            (Direction::WindowsToWsl, Some(name)) => {
                if !is_distribution(name) {
                    let message = format!("`{}` is no distribution's name", name.escape_debug());
                    return Err(wrong(message).hint("`wsl.exe -l -q` lists them"));
                }
                format!("wsl:{name}")
            }
            (Direction::WindowsToWsl, None) => {
                return Err(wrong("windows-to-wsl needs a distribution".into())
                    .hint("name it with --distro NAME; `wsl.exe -l -q` lists them"));
            }
            (Direction::WslToWindows, None) => "windows".to_owned(),
            (Direction::WslToWindows, Some(_)) => {
                return Err(wrong("wsl-to-windows has no --distro".into())
                    .hint("it is used inside the distribution; leave it out"));
            }
        };
        if direction == Direction::WslToWindows && args.user.is_some() {
            return Err(wrong("wsl-to-windows has no --user".into())
                .hint("on Windows the service is used as you; leave it out"));
        }
        for (flag, word) in [("--user", &args.user), ("--guest", &args.guest)] {
            let is_odd = |word: &String| word.is_empty() || word.chars().any(char::is_control);
            if word.as_ref().is_some_and(is_odd) {
                return Err(wrong(format!("{flag} has no sensible value")));
            }
        }
        let unix = match &args.socket {
            Some(path) => format!("unix:{path}"),
            None => default_socket(preset, direction),
        };
        let pipe = match &args.pipe {
            // As other endpoints are written, too.
            Some(pipe) if pipe.contains([':', '\\', '/']) => pipe.clone(),
            Some(name) => format!("npipe:{name}"),
            None => format!("npipe:{}", default_pipe(preset)),
        };
        let parsed = |flag: &str, text: &str| {
            text.parse::<Endpoint>().map_err(|error| wrong(format!("{flag}: {error}")))
        };
        let (unix, pipe) = (parsed("--socket", &unix)?, parsed("--pipe", &pipe)?);
        if !matches!(pipe, Endpoint::Pipe(_)) {
            return Err(wrong(format!("--pipe: {pipe} is no named pipe")));
        }
        Ok(Plan { preset, direction, link, user: args.user, guest: args.guest, unix, pipe })
    }

    /// The file.
    fn configuration(&self) -> String {
        let (listen, to) = match self.direction {
            Direction::WindowsToWsl => (&self.pipe, &self.unix),
            Direction::WslToWindows => (&self.unix, &self.pipe),
        };
        let name = self.name();
        let link_name = match self.direction {
            Direction::WindowsToWsl => "wsl",
            Direction::WslToWindows => "to-windows",
        };
        let mut text = words::about(self);
        text.push_str("\n[[link]]\n");
        text.push_str(&format!("name = {}\nto = {}\n", quoted(link_name), quoted(&self.link)));
        match (&self.user, self.direction) {
            (Some(user), _) => text.push_str(&format!("user = {}\n", quoted(user))),
            (None, Direction::WindowsToWsl) => {
                text.push_str("# user = \"me\"  # if not the distribution's own\n");
            }
            (None, Direction::WslToWindows) => {}
        }
        match &self.guest {
            Some(guest) => text.push_str(&format!("guest = {}\n", quoted(guest))),
            None => text.push_str(words::guest(self.direction)),
        }
        text.push_str(&format!(
            "\n[[bridge]]\nname = {}\nlisten = {}\nto = {}\nthrough = {}\n",
            quoted(name),
            quoted(&written(listen)),
            quoted(&written(to)),
            quoted(link_name),
        ));
        text.push_str(words::protocol(self));
        text
    }

    /// What to do with it.
    fn next(&self) -> String {
        words::next(self)
    }

    fn name(&self) -> &'static str {
        match self.preset {
            Preset::SshAgent => "ssh-agent",
            Preset::Docker => "docker",
        }
    }
}

/// An endpoint as it is written with the fewest backslashes.
fn written(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Pipe(name) => format!("npipe:{}", name.as_str()),
        other => other.to_string(),
    }
}

/// From the clients on this system.
fn from_here() -> Direction {
    let here: Endpoint = "local:x".parse().expect("one letter is a name");
    match here.resolve().ok().and_then(|endpoint| endpoint.mode()) {
        Some(Mode::NamedPipe) => Direction::WindowsToWsl,
        _ => Direction::WslToWindows,
    }
}

/// What a distribution may be called, so far as no program takes it for something else.
fn is_distribution(name: &str) -> bool {
    let plain = |c: char| !c.is_control() && !"\"\\/".contains(c);
    (1..=128).contains(&name.chars().count()) && !name.starts_with('-') && name.chars().all(plain)
}

fn default_socket(preset: Preset, direction: Direction) -> String {
    match (preset, direction) {
        (Preset::SshAgent, Direction::WindowsToWsl) => "unix:/run/user/1000/ssh-agent.sock",
        (Preset::Docker, Direction::WindowsToWsl) => "unix:/var/run/docker.sock",
        (Preset::SshAgent, Direction::WslToWindows) => "local:windows-ssh-agent",
        (Preset::Docker, Direction::WslToWindows) => "local:windows-docker",
    }
    .to_owned()
}

fn default_pipe(preset: Preset) -> &'static str {
    match preset {
        Preset::SshAgent => "openssh-ssh-agent",
        Preset::Docker => "docker_engine",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(preset: Preset, direction: Direction) -> PresetArgs {
        let distro = (direction == Direction::WindowsToWsl).then(|| "Ubuntu-24.04".to_owned());
        let direction = Some(direction);
        let (user, guest, socket, pipe) = (None, None, None, None);
        PresetArgs { preset, direction, distro, user, guest, socket, pipe }
    }

    fn refused(change: impl FnOnce(&mut PresetArgs), direction: Direction) -> String {
        let mut args = args(Preset::SshAgent, direction);
        change(&mut args);
        Plan::of(args).unwrap_err().to_string()
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        use Direction::{WindowsToWsl, WslToWindows};
        let no_distro = refused(|args| args.distro = None, WindowsToWsl);
        assert!(no_distro.contains("needs a distribution"), "{no_distro}");
        for name in ["", "-x", "a\"b", "a\nb", "a/b"] {
            let odd = refused(|args| args.distro = Some(name.into()), WindowsToWsl);
            assert!(odd.contains("no distribution's name"), "{odd}");
        }
        let distro = refused(|args| args.distro = Some("x".into()), WslToWindows);
        assert!(distro.contains("has no --distro"), "{distro}");
        let user = refused(|args| args.user = Some("me".into()), WslToWindows);
        assert!(user.contains("has no --user"), "{user}");
        let socket = refused(|args| args.socket = Some("x".into()), WindowsToWsl);
        assert!(socket.contains("--socket") && socket.contains("absolute"), "{socket}");
        let pipe = refused(|args| args.pipe = Some("tcp:127.0.0.1:80".into()), WindowsToWsl);
        assert!(pipe.contains("is no named pipe"), "{pipe}");
        let guest = refused(|args| args.guest = Some("a\nb".into()), WindowsToWsl);
        assert!(guest.contains("--guest"), "{guest}");
    }

    #[test]
    fn what_was_asked_for_is_in_the_configuration() {
        let mut args = args(Preset::Docker, Direction::WindowsToWsl);
        args.user = Some("me".into());
        args.guest = Some("/opt/pipe \"way\"".into());
        args.socket = Some("/run/user/1000/podman/podman.sock".into());
        args.pipe = Some(r"\\.\pipe\podman".into());
        let text = Plan::of(args).unwrap().configuration();
        for line in [
            "to = \"wsl:Ubuntu-24.04\"",
            "user = \"me\"",
            "guest = \"/opt/pipe \\\"way\\\"\"",
            "listen = \"npipe:podman\"",
            "to = \"unix:/run/user/1000/podman/podman.sock\"",
            "through = \"wsl\"",
        ] {
            assert!(text.lines().any(|written| written == line), "{line:?} is not in\n{text}");
        }
    }

    #[test]
    fn every_preset_explains_itself_and_says_what_is_next() {
        for preset in [Preset::SshAgent, Preset::Docker] {
            for direction in [Direction::WindowsToWsl, Direction::WslToWindows] {
                let plan = Plan::of(args(preset, direction)).unwrap();
                let (text, next) = (plan.configuration(), plan.next());
                assert!(text.starts_with("# "), "{text}");
                assert!(next.contains("pipeway serve --config"), "{next}");
                let longest = text.lines().chain(next.lines()).map(str::len).max();
                assert!(longest <= Some(100), "{longest:?}\n{text}\n{next}");
            }
        }
    }
}
