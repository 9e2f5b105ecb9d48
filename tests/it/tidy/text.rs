//! Rust text with parts blanked out: same length, same lines, so that offsets and line numbers stay true.

/// `text` with comments and the contents of string and character literals replaced by spaces. Quotes stay.
pub fn without_comments_and_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at + 1),
            b'\'' => char_end(bytes, at),
            byte if is_word(byte) => {
                let word = word_end(bytes, at);
                match raw_string_end(bytes, at, word) {
                    Some(end) => end,
                    None => {
                        at = word;
                        continue;
                    }
                }
            }
            _ => {
                at += 1;
                continue;
            }
        };
        match bytes[at] {
            b'/' => blank_range(&mut out, at..end),
            _ if end > at + 1 => blank_range(&mut out, at + 1..end - 1),
            _ => {} // The quote of a lifetime.
        }
        at = end;
    }
    String::from_utf8(out).expect("only whole literals and comments are replaced")
}

/// `code` (already without comments and literals) with every item under `#[cfg(test)]` replaced by spaces.
pub fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut out = code.as_bytes().to_vec();
    let mut at = 0;
    while let Some(found) = code[at..].find(MARK) {
        let start = at + found;
        at = item_end(code, start + MARK.len());
        blank_range(&mut out, start..at);
    }
    String::from_utf8(out).expect("items are whole characters")
}

/// Everything but line ends replaced by spaces.
pub fn blank(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
}

/// The first byte after what starts at `at`: an item ends with its `;` or braces, a field or statement with its
/// `,` or `;`.
pub fn item_end(code: &str, at: usize) -> usize {
    const ITEMS: [&str; 14] = [
        "async", "const", "enum", "extern", "fn", "impl", "mod", "pub", "static", "struct", "trait", "type",
        "unsafe", "use",
    ];
    let start = at + (code[at..].len() - code[at..].trim_start().len());
    let first_word = &code[start..word_end(code.as_bytes(), start)];
    if !code[start..].starts_with('#') && !ITEMS.contains(&first_word) {
        return field_end(code, start);
    }
    match body_start(code, at) {
        Some(open) => matching_brace(code, open),
        None => code[at..].find(';').map_or(code.len(), |semicolon| at + semicolon + 1),
    }
}

fn field_end(code: &str, at: usize) -> usize {
    let mut depth = 0usize;
    for (offset, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth == 0 => return offset,
            b')' | b']' | b'}' => depth -= 1,
            b',' | b';' if depth == 0 => return offset + 1,
            _ => {}
        }
    }
    code.len()
}

/// Where the braces of the item at `at` open; `None` if a `;` outside all brackets comes first.
pub fn body_start(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (offset, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth = depth.saturating_sub(1),
            b'{' if depth == 0 => return Some(offset),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The first byte after the brace that closes the one at `open`.
pub fn matching_brace(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return offset + 1;
        }
    }
    code.len()
}

/// Offsets at which `word` stands alone.
pub fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = code.as_bytes();
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = at == 0 || !is_word(bytes[at - 1]);
        before && bytes.get(at + word.len()).is_none_or(|&byte| !is_word(byte))
    })
}

/// Whether the byte can be part of an identifier.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

fn blank_range(out: &mut [u8], range: std::ops::Range<usize>) {
    for byte in &mut out[range] {
        if *byte != b'\n' {
            *byte = b' ';
        }
    }
}

fn word_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| !is_word(byte)).map_or(bytes.len(), |len| at + len)
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&byte| byte == b'\n').map_or(bytes.len(), |len| at + len)
}

fn block_comment_end(bytes: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// After the closing quote of the string whose contents start at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// After a character literal at `at`, or just after the quote if it starts a lifetime.
fn char_end(bytes: &[u8], at: usize) -> usize {
    if bytes.get(at + 1) == Some(&b'\\') {
        let closing = bytes.iter().skip(at + 3).position(|&byte| byte == b'\'');
        return closing.map_or(bytes.len(), |len| at + 3 + len + 1);
    }
    let after_one = (at + 2..bytes.len().min(at + 6)).find(|&next| bytes[next] & 0xc0 != 0x80);
    match after_one {
        Some(next) if bytes[next] == b'\'' => next + 1,
        _ => at + 1,
    }
}

/// After a raw string whose prefix is the word `at..word`; `None` if the word is no such prefix.
fn raw_string_end(bytes: &[u8], at: usize, word: usize) -> Option<usize> {
    if !matches!(&bytes[at..word], b"r" | b"br" | b"cr") {
        return None;
    }
    let hashes = bytes[word..].iter().take_while(|&&byte| byte == b'#').count();
    if bytes.get(word + hashes) != Some(&b'"') {
        return None;
    }
    let closing = [b"\"".as_slice(), &b"#".repeat(hashes)].concat();
    let contents = word + hashes + 1;
    let found = bytes[contents..].windows(closing.len()).position(|window| window == closing);
    Some(found.map_or(bytes.len(), |len| contents + len + closing.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_go_and_lines_stay() {
        let text = "let a = \"x // {\"; // }\nlet b = '{'; /* { /* } */ } */ let c: &'a str = r#\"\"}\"#;\n\
                    let d = b'\\''; let e = '\\u{7d}'; let f = br\"\\\"; g('}');\n";
        let code = without_comments_and_literals(text);
        assert_eq!(code.len(), text.len());
        assert_eq!(code.matches('\n').count(), text.matches('\n').count());
        assert!(!code.contains('{') && !code.contains('}'), "{code}");
        for kept in ["let a = ", "let b = ", "let c: &'a str", "let d = b'", "let e = ", "let f = ", "g('"] {
            assert!(code.contains(kept), "{kept} in {code}");
        }
    }

    #[test]
    fn escapes_inside_literals_do_not_end_them() {
        let code = without_comments_and_literals(r#"f("a\"{", '\\', '"', "}\\"); done("#);
        assert!(code.ends_with("done(") && !code.contains('{') && !code.contains('}'), "{code}");
        let code = without_comments_and_literals("r\"}\" bar\"}\" x.r \"}\" 'a: loop {}");
        assert!(code.ends_with("'a: loop {}") && code.matches('}').count() == 1, "{code}");
    }

    #[test]
    fn test_items_go_whole() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests;\nfn b() {}\n#[cfg(test)]\n\
                    mod more { fn c([u8; 3]) { {} } }\nfn d() {}\n";
        let product = without_tests(code);
        assert_eq!(product.len(), code.len());
        let kept: Vec<&str> = product.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(kept, ["fn a() {}", "fn b() {}", "fn d() {}"]);
        let product =
            without_tests("struct S { a: u8, #[cfg(test)] seen: Vec<(u8, u8)>, b: u8 } fn f() { g() }");
        assert_eq!(product.split_whitespace().collect::<String>(), "structS{a:u8,b:u8}fnf(){g()}");
        let product = without_tests("fn f() { #[cfg(test)] note(1, 2); g() } use a;");
        assert_eq!(product.split_whitespace().collect::<String>(), "fnf(){g()}usea;");
    }

    #[test]
    fn words_stand_alone() {
        assert_eq!(words("unsafe unsafely my_unsafe (unsafe)", "unsafe").collect::<Vec<_>>(), [0, 27]);
    }
}
