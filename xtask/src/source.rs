//! Rust source as the rules read it: code without comments and literals, and which of its lines
//! are tests.

/// One file's code.
pub struct Source {
    /// The lines as written.
    pub lines: Vec<String>,
    /// The same lines with comments and the insides of literals blanked.
    pub code: Vec<String>,
    /// Which lines stand in an item marked `#[cfg(test)]`.
    pub in_test: Vec<bool>,
}

impl Source {
    /// Reads `text`. What is no Rust comes out as something, never as a panic.
    pub fn parse(text: &str) -> Source {
        let blanked = blank(text);
        let in_test = test_lines(&blanked);
        let split = |text: &str| text.split('\n').map(str::to_owned).collect::<Vec<_>>();
        Source { lines: split(text), code: split(&blanked), in_test }
    }

    /// The lines of code that are not tests, numbered from one.
    pub fn plain(&self) -> impl Iterator<Item = (usize, &str)> {
        self.numbered().filter(|(number, _)| !self.in_test[number - 1])
    }

    /// Every line of code, numbered from one.
    pub fn numbered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.iter().enumerate().map(|(index, line)| (index + 1, line.as_str()))
    }
}

/// The identifiers of a line of code, with where each begins.
pub fn identifiers(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = 0;
    std::iter::from_fn(move || {
        let start = rest + code[rest..].find(is_part)?;
        let length = code[start..].find(|c| !is_part(c)).unwrap_or(code.len() - start);
        rest = start + length;
        Some((start, &code[start..rest]))
    })
}

/// Blanks comments and the insides of literals; every line keeps its number.
fn blank(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = literal_or_comment(&characters, at, out.chars().last());
        if end == at {
            out.push(characters[at]);
            at += 1;
        } else {
            out.extend(characters[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` itself where none begins.
fn literal_or_comment(text: &[char], at: usize, before: Option<char>) -> usize {
    let next = |offset: usize| text.get(at + offset).copied().unwrap_or('\0');
    match (text[at], next(1)) {
        ('/', '/') => text[at..].iter().position(|&c| c == '\n').map_or(text.len(), |n| at + n),
        ('/', '*') => block_comment(text, at),
        ('"', _) => quoted(text, at),
        ('r', '"' | '#')
            if !before.is_some_and(|c| c.is_alphanumeric() && c != 'b' || c == '_') =>
        {
            raw(text, at)
        }
        // A character, unless it is a lifetime.
        ('\'', '\\') => {
            let mut end = at + 3;
            while end < text.len() && text[end] != '\'' && text[end] != '\n' {
                end += 1;
            }
            (end + 1).min(text.len())
        }
        ('\'', _) if next(2) == '\'' => at + 3,
        _ => at,
    }
}

fn block_comment(text: &[char], at: usize) -> usize {
    let mut depth = 0_usize;
    let mut end = at;
    while end < text.len() {
        match (text[end], text.get(end + 1)) {
            ('/', Some('*')) => (depth, end) = (depth + 1, end + 2),
            ('*', Some('/')) => (depth, end) = (depth - 1, end + 2),
            _ => end += 1,
        }
        if depth == 0 {
            return end.min(text.len());
        }
    }
    text.len()
}

fn quoted(text: &[char], at: usize) -> usize {
    let mut end = at + 1;
    while end < text.len() && text[end] != '"' {
        end += if text[end] == '\\' { 2 } else { 1 };
    }
    (end + 1).min(text.len())
}

fn raw(text: &[char], at: usize) -> usize {
    let hashes = text[at + 1..].iter().take_while(|&&c| c == '#').count();
    // `r#name` is an identifier.
    if text.get(at + 1 + hashes) != Some(&'"') {
        return at;
    }
    let mut end = at + 2 + hashes;
    while end < text.len() {
        let closes = text[end] == '"'
            && text[end + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
        if closes {
            return end + 1 + hashes;
        }
        end += 1;
    }
    text.len()
}

/// Which lines of `code` stand in an item marked `#[cfg(test)]`.
fn test_lines(code: &str) -> Vec<bool> {
    let mut in_test = vec![false; code.split('\n').count()];
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let start = from + found;
        let end = start + item_length(&code[start..]);
        let line_of = |position: usize| code[..position].matches('\n').count();
        in_test[line_of(start)..=line_of(end)].fill(true);
        from = end.max(start + 1);
    }
    in_test
}

/// Where the item at the beginning of `code` ends: its closing brace, or its semicolon.
fn item_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (position, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return position;
                }
            }
            ';' if depth == 0 => return position,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::parse(text).code.join("\n")
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        for text in [
            "// unsafe",
            "/* a /* unsafe */ unsafe */",
            "\"unsafe \\\" unsafe\"",
            "r#\"unsafe \" unsafe\"#",
            "br\"unsafe\"",
            "/// unsafe",
        ] {
            assert!(!code(text).contains("unsafe"), "{text}");
        }
    }

    #[test]
    fn lifetimes_and_raw_identifiers_stay_code() {
        assert_eq!(code("fn f<'a>(r#type: &'a str)"), "fn f<'a>(r#type: &'a str)");
    }

    #[test]
    fn a_quote_as_a_character_opens_no_string() {
        assert!(code("let q = '\"'; unsafe_word").contains("unsafe_word"));
        assert!(code("let q = '\\''; unsafe_word").contains("unsafe_word"));
    }

    #[test]
    fn lines_keep_their_numbers() {
        let source = Source::parse("a\n/* b\nc */ d\n\"e\nf\" g");
        let found: Vec<usize> =
            source.numbered().filter(|(_, line)| !line.trim().is_empty()).map(|(n, _)| n).collect();
        assert_eq!(found, [1, 3, 5]);
    }

    #[test]
    fn a_test_module_is_told_from_the_rest() {
        let source =
            Source::parse("fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}");
        assert_eq!(source.in_test, [false, true, true, true, true, false]);
    }
}
