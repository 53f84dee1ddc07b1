//! Where a pair of pipes lives.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use pipeway_transport::{ConnectOptions, Endpoint, ErrorKind, PipeName, UnixPath, local_folder};

use super::PipesError;
use crate::BaseName;

const INCOMING: &str = ".incoming";
const OUTGOING: &str = ".outgoing";

/// What the .NET runtime puts before the name of a pipe where pipes are socket files.
const DOTNET_PREFIX: &str = "CoreFxPipe_";

/// Where a pair of pipes lives. What is a place can be used on this system: paths that are too long
/// for a socket, and kinds that the system lacks, are refused when it is made.
///
/// | text | made by | Windows | Linux, macOS |
/// |---|---|---|---|
/// | `NAME` | [`named`](Place::named) | `\\.\pipe\NAME.incoming` | `$XDG_RUNTIME_DIR/NAME.incoming`, in the folder of `local:` endpoints |
/// | `dotnet:NAME` | [`dotnet`](Place::dotnet) | as `NAME` | `$TMPDIR/CoreFxPipe_NAME.incoming`, as .NET has it |
/// | `unix:/FOLDER/NAME` | [`of_stem`](Place::of_stem) | refused | `/FOLDER/NAME.incoming` |
/// | `\\.\pipe\NAME`, `npipe:NAME` | [`named`](Place::named) | as `NAME` | refused |
/// | (none) | [`of_paths`](Place::of_paths) | refused | both paths as they are given |
///
/// and `.outgoing` likewise. NAME is a [`BaseName`]; what follows `unix:` is taken as it is, so
/// that a file's name may have backslashes in it, as those that Node makes for pipes on Linux.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    incoming: Endpoint,
    outgoing: Endpoint,
    /// Whether the sockets' folder must be closed to others.
    private_folder: bool,
    text: String,
}

impl Place {
    /// The place of a base name: a pair of named pipes, or sockets in the folder in which `local:`
    /// endpoints lie, which must be the user's alone.
    ///
    /// # Errors
    ///
    /// If the folder makes the paths too long for sockets.
    pub fn named(name: &BaseName) -> Result<Place, PipesError> {
        match local_folder() {
            None => Place::of_pipes(name),
            Some(folder) => {
                let stem = folder.join(name.as_str());
                Place::of_files(&with(&stem, INCOMING), &with(&stem, OUTGOING), name.to_string())
                    .map(|place| Place { private_folder: true, ..place })
            }
        }
    }

    /// The place where a .NET program has the pipes of this name.
    ///
    /// Where these are files they lie in the system's temporary folder, in which others may make
    /// files too: they can't replace ours, but may have been there before.
    ///
    /// # Errors
    ///
    /// As [`named`](Place::named).
    pub fn dotnet(name: &BaseName) -> Result<Place, PipesError> {
        match local_folder() {
            None => Place::of_pipes(name),
            Some(_) => {
                let stem = std::env::temp_dir().join(format!("{DOTNET_PREFIX}{name}"));
                let text = format!("dotnet:{name}");
                Place::of_files(&with(&stem, INCOMING), &with(&stem, OUTGOING), text)
            }
        }
    }

    /// Sockets of this name in a folder, `FOLDER/NAME.incoming` and `FOLDER/NAME.outgoing`.
    ///
    /// # Errors
    ///
    /// As [`of_paths`](Place::of_paths).
    pub fn in_folder(folder: &Path, name: &BaseName) -> Result<Place, PipesError> {
        Place::of_stem(&folder.join(name.as_str()))
    }

    /// Sockets whose paths are `stem`, as it is, and `.incoming` or `.outgoing`.
    ///
    /// # Errors
    ///
    /// As [`of_paths`](Place::of_paths).
    pub fn of_stem(stem: &Path) -> Result<Place, PipesError> {
        let text = format!("unix:{}", stem.display());
        Place::of_files(&with(stem, INCOMING), &with(stem, OUTGOING), text)
    }

    /// Sockets at exactly these paths, which are neither normalised nor refused for their
    /// characters. Relative ones lie in the current folder.
    ///
    /// # Errors
    ///
    /// If a path is too long for a socket, is empty or has a NUL in it, if both are the same, or if
    /// this system has pipes in place of sockets.
    pub fn of_paths(incoming: &Path, outgoing: &Path) -> Result<Place, PipesError> {
        let text = format!("unix:{} and unix:{}", incoming.display(), outgoing.display());
        Place::of_files(incoming, outgoing, text)
    }

    /// The pipe that the connector writes to and the agent reads from.
    pub fn incoming(&self) -> &Endpoint {
        &self.incoming
    }

    /// The pipe that the agent writes to and the connector reads from.
    pub fn outgoing(&self) -> &Endpoint {
        &self.outgoing
    }

    pub(super) fn wants_private_folder(&self) -> bool {
        self.private_folder
    }

    fn of_pipes(name: &BaseName) -> Result<Place, PipesError> {
        let pipe = |suffix: &str| {
            let name: PipeName = format!("{name}{suffix}").parse().map_err(|error| {
                PipesError::new(ErrorKind::Unsupported, format!("{name} names no pipe: {error}"))
            })?;
            Ok(Endpoint::Pipe(name))
        };
        Place::new(pipe(INCOMING)?, pipe(OUTGOING)?, name.to_string())
    }

    fn of_files(incoming: &Path, outgoing: &Path, text: String) -> Result<Place, PipesError> {
        let file = |path: &Path| {
            UnixPath::verbatim(path).map(Endpoint::Unix).map_err(|error| {
                PipesError::new(ErrorKind::Unsupported, format!("{text} is no place: {error}"))
            })
        };
        Place::new(file(incoming)?, file(outgoing)?, text.clone())
    }

    fn new(incoming: Endpoint, outgoing: Endpoint, text: String) -> Result<Place, PipesError> {
        if incoming == outgoing {
            return Err(PipesError::new(
                ErrorKind::Unsupported,
                format!("{incoming} can't be both pipes of a pair"),
            ));
        }
        for endpoint in [&incoming, &outgoing] {
            ConnectOptions::default().check(endpoint).map_err(|error| {
                let message = format!("pipes can't be at {text}: {error}");
                PipesError::from_transport(message, error)
            })?;
        }
        Ok(Place { incoming, outgoing, private_folder: false, text })
    }
}

/// The path with `suffix` behind it, whatever the path is.
fn with(stem: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(stem);
    path.push(suffix);
    PathBuf::from(path)
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Place {
    type Err = PlaceParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = if let Some(name) = text.strip_prefix("dotnet:") {
            Place::dotnet(&name.parse().map_err(Reason::Name)?)
        } else if let Some(stem) = text.strip_prefix("unix:") {
            Place::of_stem(Path::new(stem))
        } else if text.starts_with(r"\\") || text.starts_with("npipe:") {
            let pipe = match text.parse() {
                Ok(Endpoint::Pipe(pipe)) => pipe,
                Ok(_) => return Err(PlaceParseError(Reason::NoPipe(text.to_owned()))),
                Err(error) => return Err(PlaceParseError(Reason::Pipe(error))),
            };
            Place::of_pipes(&pipe.as_str().parse().map_err(Reason::Name)?)
        } else {
            Place::named(&text.parse().map_err(Reason::Name)?)
        };
        Ok(place.map_err(Reason::Place)?)
    }
}

/// A text that is no place for pipes on this system.
#[derive(Debug)]
pub struct PlaceParseError(Reason);

#[derive(Debug)]
enum Reason {
    Name(<BaseName as FromStr>::Err),
    Pipe(pipeway_transport::EndpointParseError),
    NoPipe(String),
    Place(PipesError),
}

impl From<Reason> for PlaceParseError {
    fn from(reason: Reason) -> Self {
        PlaceParseError(reason)
    }
}

impl fmt::Display for PlaceParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Name(error) => error.fmt(f),
            Reason::Pipe(error) => error.fmt(f),
            Reason::NoPipe(text) => write!(f, "`{}` names no pipe", text.escape_debug()),
            Reason::Place(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PlaceParseError {}
