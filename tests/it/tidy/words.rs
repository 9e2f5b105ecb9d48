//! Words that are for the time of writing only.

use super::{Source, line_at, text};

/// Files whose business is to print. None yet: the library reports through results and its own log.
const MAY_PRINT: [&str; 0] = [];

/// Marks that must not be committed, put together here so that this file does not hold them.
pub fn marks() -> [String; 3] {
    [["FIX", "ME"].concat(), ["XX", "X"].concat(), ["TO", "DO"].concat()]
}

/// Debugging and placeholder macros, in tests as well.
pub fn leftover_macros(source: &Source) -> Vec<String> {
    let macros = [
        ("dbg", "remove it"),
        ("todo", "write it or leave it out"),
        ("unimplemented", "write it or leave it out"),
    ];
    calls(source, &source.code, &macros)
}

/// Output that a library must not make.
pub fn prints(source: &Source) -> Vec<String> {
    if MAY_PRINT.contains(&source.path.as_str()) {
        return Vec::new();
    }
    let instead = "a library does not print";
    calls(source, &source.product, &["print", "println", "eprint", "eprintln"].map(|name| (name, instead)))
}

/// Marks left in any text, comments included.
pub fn leftover_marks(path: &str, content: &str) -> Vec<String> {
    let mut findings = Vec::new();
    for mark in marks() {
        for at in text::words(content, &mark) {
            findings.push(format!("{path}:{}: {mark}; do it now or write an issue", line_at(content, at)));
        }
    }
    findings
}

fn calls(source: &Source, code: &str, names: &[(&str, &str)]) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, advice) in names {
        for at in text::words(code, name).filter(|at| code[at + name.len()..].starts_with('!')) {
            findings.push(format!("{}:{}: {name}!; {advice}", source.path, line_at(code, at)));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macros_are_found_in_code_alone() {
        let text = "fn f() { dbg!(1);\n todo!() }\n// todo!()\nlet a = \"unimplemented!\"; let todo = !x; my_todo!();\n\
                    #[cfg(test)]\nmod tests { fn g() { println!(); unimplemented!() } }\nfn h() { eprintln!() }";
        let source = Source::new("src/a.rs", text, false);
        assert_eq!(
            leftover_macros(&source),
            [
                "src/a.rs:1: dbg!; remove it",
                "src/a.rs:2: todo!; write it or leave it out",
                "src/a.rs:6: unimplemented!; write it or leave it out",
            ]
        );
        assert_eq!(prints(&source), ["src/a.rs:7: eprintln!; a library does not print"]);
    }

    #[test]
    fn marks_are_found_as_whole_words() {
        let [first, second, third] = marks();
        let text = format!("a\n// {first}: this\n{second}\n{third}s {second}X pre{first}\n{third}(me)");
        let lines: Vec<String> = leftover_marks("a.c", &text).iter().map(|f| f[..5].to_string()).collect();
        assert_eq!(lines, ["a.c:2", "a.c:3", "a.c:5"]);
    }
}
