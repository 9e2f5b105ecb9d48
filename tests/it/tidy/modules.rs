//! Follows `mod` declarations from a root file, to find the files that nothing declares.

use super::{files_below, line_at, text};
use std::collections::BTreeSet;
use std::path::Path;

/// A file that is part of the crate.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct File {
    /// From the top of the repository.
    pub path: String,
    /// Declared, somewhere above, under `#[cfg(test)]`.
    pub test_only: bool,
}

/// What a root file reaches.
#[derive(Default)]
pub struct Tree {
    /// In the order of declaration.
    pub files: Vec<File>,
    /// Declarations without a file, and declarations that this walk does not understand.
    pub findings: Vec<String>,
}

/// Follows the declarations from `start`.
pub fn walk(top: &Path, start: &str) -> Tree {
    let mut tree = Tree::default();
    let folder = start.rsplit_once('/').map_or("", |(folder, _)| folder);
    visit(top, start, folder, false, &mut tree);
    tree
}

/// Files below `dir` that `start` does not reach, and declarations that lead nowhere.
pub fn orphans(top: &Path, dir: &str, start: &str) -> Vec<String> {
    let tree = walk(top, start);
    let reached: BTreeSet<&str> = tree.files.iter().map(|file| file.path.as_str()).collect();
    let mut findings = tree.findings;
    for path in files_below(top, dir, &|path| path.ends_with(".rs")) {
        if !reached.contains(path.as_str()) {
            findings.push(format!("{path}:1: no `mod` declares this file; declare it or delete it"));
        }
    }
    findings
}

/// `folder` is where the file's own modules are looked for. Tests may compile a file a second time, by its path: that
/// is no second file.
fn visit(top: &Path, path: &str, folder: &str, test_only: bool, tree: &mut Tree) {
    if test_only && tree.files.iter().any(|file| file.path == path) {
        return;
    }
    let Ok(text) = std::fs::read_to_string(top.join(path)) else {
        tree.findings.push(format!("{path}:1: cannot be read as text"));
        return;
    };
    tree.files.push(File { path: path.to_string(), test_only });
    for declared in declarations(&text) {
        let test_only = test_only || declared.test_only;
        if declared.path.is_some() && !test_only {
            let line = declared.line;
            tree.findings.push(format!("{path}:{line}: `#[path]` hides where a module is; move the file"));
        }
        let candidates = match &declared.path {
            Some(other) => vec![beside(path, other)],
            None => [".rs", "/mod.rs"].map(|end| format!("{folder}/{}{end}", declared.name)).to_vec(),
        };
        let found = candidates.into_iter().find(|candidate| top.join(candidate).is_file());
        let inner = format!("{folder}/{}", declared.name);
        match found {
            Some(found) => visit(top, &found, &inner, test_only, tree),
            None => {
                let (line, name) = (declared.line, &declared.name);
                tree.findings.push(format!("{path}:{line}: `mod {name};` has no file"));
            }
        }
    }
}

/// What `other` is when it is said in the file at `path`.
fn beside(path: &str, other: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in other.split('/') {
        match part {
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

struct Declaration {
    name: String,
    line: usize,
    test_only: bool,
    /// What `#[path = ".."]` says.
    path: Option<String>,
}

/// The `mod name;` declarations of a file.
fn declarations(source: &str) -> Vec<Declaration> {
    let code = text::without_comments_and_literals(source);
    let product = text::without_tests(&code);
    let mut found = Vec::new();
    for at in text::words(&code, "mod") {
        let rest = code[at + 3..].trim_start();
        let len = rest.bytes().position(|byte| !text::is_word(byte)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(len);
        if name.is_empty() || !after.trim_start().starts_with(';') {
            continue;
        }
        let attributes = code[..at].rfind([';', '{', '}']).map_or(0, |end| end + 1);
        found.push(Declaration {
            name: name.to_string(),
            line: line_at(source, at),
            test_only: !product[at..].starts_with("mod"),
            path: code[attributes..at].find("#[path").and_then(|found| {
                let quoted = &source[attributes + found..at];
                quoted.split('"').nth(1).map(str::to_string)
            }),
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_told_from_other_mods() {
        let source = "//! mod no;\nmod a;\npub(crate) mod b;\nmod inline { fn f() {} }\n#[cfg(test)]\nmod tests;\n\
                      #[path = \"x.rs\"]\nmod odd;\nlet model; \"mod no;\"";
        let got: Vec<_> =
            declarations(source).into_iter().map(|d| (d.name, d.line, d.test_only, d.path)).collect();
        let expected = [
            ("a", 2, false, None),
            ("b", 3, false, None),
            ("tests", 6, true, None),
            ("odd", 8, false, Some("x.rs")),
        ];
        let owned = |path: Option<&str>| path.map(str::to_string);
        assert_eq!(got, expected.map(|(name, line, test, path)| (name.to_string(), line, test, owned(path))));
    }

    #[test]
    fn orphans_are_found_on_disk() {
        let top = std::env::temp_dir().join(format!("auradb-tidy-{}", std::process::id()));
        std::fs::create_dir_all(top.join("src/a")).unwrap();
        let write = |path: &str, text: &str| std::fs::write(top.join(path), text).unwrap();
        write("src/lib.rs", "mod a;\nmod gone;\nmod twice;\n");
        write("src/twice.rs", "");
        write("src/a/hidden.rs", "");
        write("src/a/mod.rs", "mod b;\n#[cfg(test)]\nmod tests;\n#[path = \"hidden.rs\"]\nmod odd;\n");
        write("src/a/b.rs", "#[cfg(test)]\n#[path = \"b_tests.rs\"]\nmod tests;\n");
        write("src/a/b_tests.rs", "");
        write("src/a/tests.rs", "#[path = \"../twice.rs\"]\nmod twice;\n#[path = \"b.rs\"]\nmod again;\n");
        write("src/a/stray.rs", "");
        let findings = orphans(&top, "src", "src/lib.rs");
        let files: Vec<_> =
            walk(&top, "src/lib.rs").files.into_iter().map(|f| (f.path, f.test_only)).collect();
        std::fs::remove_dir_all(&top).unwrap();
        assert_eq!(
            findings,
            [
                "src/a/mod.rs:5: `#[path]` hides where a module is; move the file",
                "src/lib.rs:2: `mod gone;` has no file",
                "src/a/stray.rs:1: no `mod` declares this file; declare it or delete it"
            ]
        );
        let expected = [
            ("src/lib.rs", false),
            ("src/a/mod.rs", false),
            ("src/a/b.rs", false),
            ("src/a/b_tests.rs", true),
            ("src/a/tests.rs", true),
            ("src/twice.rs", true),
            ("src/a/hidden.rs", false),
            ("src/twice.rs", false),
        ];
        assert_eq!(files, expected.map(|(path, test)| (path.to_string(), test)));
    }
}
