//! Files of at most 600 lines and functions of at most 70, tests not counted.

use super::{Source, line_at, text};

const MAX_FILE_LINES: usize = 600;
const MAX_FUNCTION_LINES: usize = 70;

/// (path or `path::function`, why it is right as it is). Meant to stay empty.
const EXCEPTIONS: [(&str, &str); 0] = [];

/// Files and functions that have grown too large.
pub fn findings(source: &Source) -> Vec<String> {
    let mut findings = Vec::new();
    let path = &source.path;
    let lines = file_lines(source);
    if lines > MAX_FILE_LINES && !is_exception(path) {
        findings
            .push(format!("{path}:1: {lines} lines without tests, at most {MAX_FILE_LINES}; split the file"));
    }
    for function in functions(&source.product) {
        let (name, lines, line) = (&function.name, function.lines, function.line);
        if lines > MAX_FUNCTION_LINES && !is_exception(&format!("{path}::{name}")) {
            findings
                .push(format!("{path}:{line}: fn {name} has {lines} lines, at most {MAX_FUNCTION_LINES}"));
        }
    }
    findings
}

fn is_exception(name: &str) -> bool {
    EXCEPTIONS.iter().any(|(exception, _)| *exception == name)
}

/// Lines up to a trailing `#[cfg(test)] mod ... { }`; none of a test-only file.
fn file_lines(source: &Source) -> usize {
    let all = source.text.lines().count();
    if source.product.trim().is_empty() {
        return 0;
    }
    let kept = source.product.trim_end().len();
    let hidden = source.code[kept..].find("#[cfg(test)]").map(|at| kept + at);
    hidden.map_or(all, |at| source.code[..at].lines().count())
}

struct Function {
    name: String,
    line: usize,
    lines: usize,
}

/// The functions with a body, from the line of `fn` to that of the closing brace.
fn functions(product: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for at in text::words(product, "fn") {
        let rest = product[at + 2..].trim_start();
        let len = rest.bytes().position(|byte| !text::is_word(byte)).unwrap_or(rest.len());
        let Some(open) = text::body_start(product, at).filter(|_| len > 0) else { continue };
        let end = text::matching_brace(product, open);
        let line = line_at(product, at);
        found.push(Function { name: rest[..len].to_string(), line, lines: line_at(product, end) - line + 1 });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_from_signature_to_brace() {
        let text = "trait T { fn none(&self) -> [u8; 3]; }\nfn one() {}\nstruct S { f: fn(u8) -> u8 }\n\
                    fn three(\n    a: [u8; 3],\n) { \"}\" }\nfn four() -> u8\nwhere\n    u8: Copy,\n{ if a { b } }\n";
        let code = text::without_comments_and_literals(text);
        let got: Vec<_> = functions(&code).into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        let expected = [("one", 2, 1), ("three", 4, 3), ("four", 7, 4)];
        assert_eq!(got, expected.map(|(name, line, lines)| (name.to_string(), line, lines)));
    }

    #[test]
    fn long_functions_and_files_are_found_and_tests_are_not() {
        let function = |lines: usize| format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2));
        let check = |text: &str| findings(&Source::new("src/a.rs", text, false));
        assert_eq!(check(&function(70)), [""; 0]);
        assert_eq!(check(&function(71)), ["src/a.rs:1: fn f has 71 lines, at most 70"]);
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", function(900));
        assert_eq!(check(&tests), [""; 0]);
        let comments = "// comment\n".repeat(598);
        assert_eq!(check(&format!("{comments}fn f() {{}}\n\n{tests}")), [""; 0]);
        let found = check(&format!("{comments}fn f() {{}}\n\n\n{tests}"));
        assert_eq!(found, ["src/a.rs:1: 601 lines without tests, at most 600; split the file"]);
        assert_eq!(check(&format!("{comments}{comments}fn f() {{}}\n")).len(), 1);
        let test_only = Source::new("src/a/tests.rs", &comments.repeat(3), true);
        assert_eq!(findings(&test_only), [""; 0]);
    }
}
