//! Who may connect to a listener.

use std::fmt;
use std::str::FromStr;

/// Who may connect to a listener: the owner alone, unless the user says otherwise.
///
/// | text | Windows pipe | Unix socket |
/// |---|---|---|
/// | `owner` | this user and the system | mode 0600, the peer's uid is this user's or root's |
/// | `group:NAME` | the same and that group (name or SID), to connect only | mode 0660 and that group (name or gid) |
/// | `administrators` | administrators, to connect only; for a service | not supported |
/// | `sddl:TEXT` | the descriptor as given; refused where it has no DACL | not supported |
///
/// A loopback port has no owner, so nothing but `owner` fits it, and it protects nothing there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// The user that runs this process.
    #[default]
    Owner,
    /// The owner and one group.
    Group(String),
    /// Administrators, for a service.
    Administrators,
    /// A security descriptor in the system's own language.
    Sddl(String),
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Access::Owner => f.write_str("owner"),
            Access::Group(name) => write!(f, "group:{name}"),
            Access::Administrators => f.write_str("administrators"),
            Access::Sddl(text) => write!(f, "sddl:{text}"),
        }
    }
}

impl FromStr for Access {
    type Err = AccessParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "owner" => return Ok(Access::Owner),
            "administrators" => return Ok(Access::Administrators),
            _ => {}
        }
        match text.split_once(':') {
            Some(("group", name)) if !name.is_empty() => Ok(Access::Group(name.to_owned())),
            Some(("sddl", sddl)) if !sddl.is_empty() => Ok(Access::Sddl(sddl.to_owned())),
            _ => Err(AccessParseError(text.to_owned())),
        }
    }
}

/// A text that is no access rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessParseError(String);

impl fmt::Display for AccessParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not an access rule; write owner, group:NAME, administrators or sddl:TEXT",
            self.0.escape_debug()
        )
    }
}

impl std::error::Error for AccessParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_rule_reads_back() {
        for text in ["owner", "administrators", "group:docker", "sddl:D:P(A;;FA;;;SY)"] {
            assert_eq!(text.parse::<Access>().unwrap().to_string(), text);
        }
        for text in ["", "Owner", "group:", "sddl:", "everyone"] {
            let error = text.parse::<Access>().unwrap_err().to_string();
            assert!(error.contains("group:NAME"), "{error}");
        }
    }
}
