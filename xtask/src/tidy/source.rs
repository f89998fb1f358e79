//! Rust source as far as the checks need it: comments and literals blanked, functions found.

/// `text` with the contents of comments, strings and character literals replaced by spaces. Lines stay lines.
pub(super) fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skip_literal(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// The index behind the comment or literal that starts at `at`; `at` itself where none starts.
fn skip_literal(chars: &[char], at: usize) -> usize {
    let next = chars.get(at + 1).copied();
    match chars[at] {
        '/' if next == Some('/') => find(chars, at, |c| c == '\n'),
        '/' if next == Some('*') => skip_block_comment(chars, at),
        '"' => skip_string(chars, at),
        'r' if !follows_word(chars, at) => skip_raw_string(chars, at),
        '\'' => skip_char(chars, at),
        _ => at,
    }
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|&i| wanted(chars[i])).unwrap_or(chars.len())
}

fn follows_word(chars: &[char], at: usize) -> bool {
    // `br"…"` is a raw string as well.
    at > 0 && chars[at - 1] != 'b' && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_')
}

fn skip_block_comment(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut i = at;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                i += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                i += 2;
                if depth == 0 {
                    return i;
                }
            }
            _ => i += 1,
        }
    }
    chars.len()
}

fn skip_string(chars: &[char], at: usize) -> usize {
    let mut i = at + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

fn skip_raw_string(chars: &[char], at: usize) -> usize {
    let open = find(chars, at + 1, |c| c != '#');
    let hashes = open - at - 1;
    if chars.get(open) != Some(&'"') {
        return at;
    }
    let mut i = open + 1;
    while i < chars.len() {
        if chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes {
            return i + 1 + hashes;
        }
        i += 1;
    }
    chars.len()
}

/// A character literal, told from a lifetime by its closing quote.
fn skip_char(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        let close = find(chars, at + 3, |c| c == '\'');
        return (close + 1).min(chars.len());
    }
    if chars.get(at + 2) == Some(&'\'') { at + 3 } else { at }
}

/// A function: its name, its first line (from 1) and how many lines it has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) line: usize,
    pub(super) lines: usize,
}

/// The functions with a body in blanked source.
pub(super) fn functions(blanked: &str) -> Vec<Function> {
    let mut found = Vec::new();
    let bytes = blanked.as_bytes();
    for (start, _) in blanked.match_indices("fn ") {
        let boundary = start == 0 || !(bytes[start - 1].is_ascii_alphanumeric() || bytes[start - 1] == b'_');
        let name: String =
            blanked[start + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if !boundary || name.is_empty() {
            continue;
        }
        if let Some(end) = body_end(blanked, start) {
            let line = blanked[..start].matches('\n').count() + 1;
            let lines = blanked[start..end].matches('\n').count() + 1;
            found.push(Function { name, line, lines });
        }
    }
    found
}

/// The index of the brace that closes the body; `None` for a declaration without one.
fn body_end(blanked: &str, start: usize) -> Option<usize> {
    let mut depth = 0;
    // A `;` inside `[u8; 4]` of a signature does not end it.
    let mut brackets = 0;
    for (i, c) in blanked[start..].char_indices() {
        match c {
            '[' | '(' => brackets += 1,
            ']' | ')' => brackets -= 1,
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(start + i);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_kept() {
        let text =
            "let a = \"} // {\"; // }\nlet b = '{'; /* { /* */ { */ let c: &'static str = r#\"\"}\"#;\n";
        let blanked = blank(text);
        assert_eq!(blanked.lines().count(), 2);
        assert!(!blanked.contains('{') && !blanked.contains('}'));
        assert!(blanked.contains("&'static str"));
        assert_eq!(blank(r"let q = '\''; fn x() {}").matches('{').count(), 1);
    }

    #[test]
    fn functions_are_found_with_their_length() {
        let text = "trait T { fn declared(&self) -> [u8; 4]; }\n\npub async fn long(\n    a: [u8; 4],\n) {\n    if a {\n    }\n}\n";
        let found = functions(&blank(text));
        assert_eq!(found, [Function { name: "long".to_owned(), line: 3, lines: 6 }]);
    }
}
