//! Lists of texts: methods, paths, upgrades.

use toml::Spanned;
use toml::de::{DeArray, DeValue};

use super::{TomlFault, Value, mismatch, quoted};

/// What a list of texts holds.
pub(crate) trait Item {
    /// What to write.
    const EXPECTED: &'static str;

    /// Whether `text` is one; if not, why.
    fn check(text: &str) -> Result<(), String>;
}

/// A list of texts of one kind; empty: no restriction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List<T> {
    items: Vec<String>,
    kind: std::marker::PhantomData<T>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        List::new(Vec::new())
    }
}

impl<T> List<T> {
    /// A list of texts that were checked.
    pub(crate) fn new(items: Vec<String>) -> Self {
        List { items, kind: std::marker::PhantomData }
    }

    /// The texts.
    pub(crate) fn into_items(self) -> Vec<String> {
        self.items
    }
}

impl<T: Item> Value for List<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn from_text(text: &str) -> Result<Self, String> {
        T::check(text)?;
        Ok(List::new(vec![text.to_owned()]))
    }

    fn from_toml(value: &DeValue<'_>) -> Result<Self, TomlFault> {
        let DeValue::Array(array) = value else { return Err(mismatch::<Self>(value)) };
        let array: &DeArray<'_> = array;
        let mut items = Vec::with_capacity(array.len());
        for item in array.iter() {
            items.push(list_item::<T>(item)?);
        }
        Ok(List::new(items))
    }

    fn show(&self) -> Option<String> {
        let items: Vec<String> = self.items.iter().map(|item| quoted(item)).collect();
        Some(format!("[{}]", items.join(", ")))
    }
}

fn list_item<T: Item>(item: &Spanned<DeValue<'_>>) -> Result<String, TomlFault> {
    let fault = |message| (Some(item.span()), message);
    match item.get_ref() {
        DeValue::String(text) => match T::check(text) {
            Ok(()) => Ok(text.clone().into_owned()),
            Err(message) => Err(fault(message)),
        },
        other => Err(fault(mismatch::<List<T>>(other).1)),
    }
}

/// A request's method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MethodItem {}

impl Item for MethodItem {
    const EXPECTED: &'static str = "a list of methods such as [\"GET\", \"POST\"]";

    fn check(text: &str) -> Result<(), String> {
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphabetic() || b == b'-') {
            return Err(format!("`{}` is not a method", text.escape_debug()));
        }
        let upper = text.to_ascii_uppercase();
        let common = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"];
        if upper != text && common.contains(&upper.as_str()) {
            return Err(format!(
                "`{text}` is not a method: methods are case-sensitive, write {upper}"
            ));
        }
        if text == "CONNECT" {
            return Err("CONNECT is never passed on".into());
        }
        Ok(())
    }
}

/// A glob of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathItem {}

impl Item for PathItem {
    const EXPECTED: &'static str = "a list of globs such as [\"/v1/**\"]";

    fn check(text: &str) -> Result<(), String> {
        if !text.starts_with('/') && !text.starts_with("**") {
            return Err(format!(
                "`{}` would match nothing: a path begins with a slash",
                text.escape_debug()
            ));
        }
        match globset::GlobBuilder::new(text).literal_separator(true).backslash_escape(true).build()
        {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("`{}` is not a glob: {}", text.escape_debug(), error.kind())),
        }
    }
}

/// An upgrade's token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UpgradeItem {}

impl Item for UpgradeItem {
    const EXPECTED: &'static str = "a list of tokens such as [\"websocket\"]";

    fn check(text: &str) -> Result<(), String> {
        if text.split('/').all(is_token) && text.split('/').count() <= 2 {
            Ok(())
        } else {
            Err(format!("`{}` is not an upgrade's token, such as websocket", text.escape_debug()))
        }
    }
}

/// Whether this is a token of HTTP (RFC 9110, section 5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_glob_that_can_match_nothing_is_refused() {
        assert!(PathItem::check("/v1/**").is_ok());
        assert!(PathItem::check("v1").unwrap_err().contains("begins with a slash"));
        assert!(PathItem::check("/v1/[").unwrap_err().contains("not a glob"));
    }

    #[test]
    fn a_method_in_small_letters_is_refused_with_the_right_one() {
        assert!(MethodItem::check("get").unwrap_err().contains("write GET"));
        assert!(MethodItem::check("PURGE").is_ok());
    }
}
