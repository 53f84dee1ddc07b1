//! Variables of another process's environment.

use toml::de::DeValue;

use super::{TomlFault, Value, mismatch, quoted};

/// Variables, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Environment(Vec<(String, String)>);

impl Environment {
    /// Variables that were read one by one; the last of a name counts.
    pub(crate) fn new(variables: Vec<(String, String)>) -> Self {
        let mut environment = Environment::default();
        for (name, value) in variables {
            environment.0.retain(|(other, _)| *other != name);
            environment.0.push((name, value));
        }
        environment
    }

    /// Names and values.
    pub(crate) fn into_variables(self) -> Vec<(String, String)> {
        self.0
    }

    /// Reads `NAME=VALUE`.
    pub(crate) fn variable(text: &str) -> Result<(String, String), String> {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            format!("`{}` is not a variable; write NAME=VALUE", text.escape_debug())
        })?;
        check(name, value)?;
        Ok((name.to_owned(), value.to_owned()))
    }
}

/// What can be a variable here: its name stands on a command line, and its value in one line.
fn check(name: &str, value: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    if name.is_empty() || !name.bytes().all(plain) || name.as_bytes()[0].is_ascii_digit() {
        return Err(format!(
            "`{}` is not a variable's name: letters, digits and `_`, no digit first",
            name.escape_debug()
        ));
    }
    if value.contains('\0') {
        return Err(format!("the value of {name} has a NUL character in it"));
    }
    Ok(())
}

impl Value for Environment {
    const EXPECTED: &'static str = "a table of strings such as { LANG = \"C.UTF-8\" }";

    fn from_text(text: &str) -> Result<Self, String> {
        Environment::variable(text).map(|variable| Environment(vec![variable]))
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, TomlFault> {
        let DeValue::Table(table) = value else { return Err(mismatch::<Self>(value)) };
        let mut variables = Vec::with_capacity(table.len());
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let DeValue::String(text) = value.get_ref() else {
                return Err((Some(value.span()), mismatch::<Self>(value.get_ref()).1));
            };
            check(name, text).map_err(|message| (Some(key.span()), message))?;
            variables.push((name.to_owned(), text.clone().into_owned()));
        }
        Ok(Environment(variables))
    }

    fn show(&self) -> Option<String> {
        if self.0.is_empty() {
            return Some("{}".to_owned());
        }
        let variables: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name} = {}", quoted(value))).collect();
        Some(format!("{{ {} }}", variables.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_name_and_a_value() {
        let read = Environment::variable("PATH=/a=b").unwrap();
        assert_eq!(read, ("PATH".to_owned(), "/a=b".to_owned()));
        for wrong in ["PATH", "=x", "1A=x", "A B=x", "A=\0", "-u=x"] {
            Environment::variable(wrong).unwrap_err();
        }
    }

    #[test]
    fn the_last_of_a_name_counts() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let environment = Environment::new(vec![pair("A", "1"), pair("B", "2"), pair("A", "3")]);
        assert_eq!(environment.show().unwrap(), r#"{ B = "2", A = "3" }"#);
    }
}
