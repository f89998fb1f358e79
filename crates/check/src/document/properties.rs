//! Java's `.properties` (java.util.Properties, "load"), of which librdkafka's files are a part.

use super::{Node, Value};

/// The entries in their order. Every text is one: a line without a separator is a key without a value.
pub(crate) fn parse(text: &str) -> Node {
    let mut entries = Vec::new();
    let mut lines = (1..).zip(text.lines());
    while let Some((line, first)) = lines.next() {
        let first = first.trim_start();
        if first.is_empty() || first.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = first.to_owned();
        while continues(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start());
        }
        let (key, value) = split(&logical);
        entries.push((key, Node { line, value: Value::Scalar(value) }));
    }
    Node { line: 1, value: Value::Map(entries) }
}

/// An odd number of backslashes at the end: an even one is made of escaped ones.
fn continues(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn split(line: &str) -> (String, String) {
    let mut escaped = false;
    let separator = line.char_indices().find(|(_, c)| {
        let is = !escaped && (matches!(c, '=' | ':') || c.is_whitespace());
        escaped = *c == '\\' && !escaped;
        is
    });
    let Some((at, _)) = separator else { return (unescape(line), String::new()) };
    let rest = line[at..].trim_start();
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (unescape(&line[..at]), unescape(rest.trim()))
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('u') => {
                let digits: String = chars.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                out.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => out.push(other),
            None => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_comments_continuations_and_escapes_are_javas() {
        let text = "# no\n! no\nacks = all\nlinger.ms: 5\nbatch.size 16384\na\\=b=c\nlist=x,\\\n   y\npath=C:\\\\x\nalone\nu=\\u0041\n";
        let node = parse(text);
        let read: Vec<_> = node.entries().iter().map(|(k, v)| (&**k, v.text().unwrap(), v.line)).collect();
        assert_eq!(
            read,
            [
                ("acks", "all", 3),
                ("linger.ms", "5", 4),
                ("batch.size", "16384", 5),
                ("a=b", "c", 6),
                ("list", "x,y", 7),
                ("path", "C:\\x", 9),
                ("alone", "", 10),
                ("u", "A", 11),
            ]
        );
    }
}
