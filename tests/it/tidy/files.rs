//! What is tracked: clean text, nothing large, nothing binary but golden databases; and the manifest's promises.

use super::{files_below, words};
use std::path::Path;
use std::process::Command;

const MAX_BYTES: usize = 1 << 20;
const MAX_COLUMNS: usize = 120;

/// Where bytes that are no text belong.
const MAY_BE_BINARY: [&str; 2] = ["tests/golden/", "fuzz/corpus/"];
/// (path, characters beyond ASCII it may have, why).
const MAY_HAVE: [(&str, &str, &str); 0] = [];
/// Generated files whose long lines are nobody's doing.
const GENERATED: [&str; 2] = ["include/auradb.h", "Cargo.lock"];
/// Folders that builds make, where there is no git to ask.
const BUILT: [&str; 7] =
    ["target", ".git", "c_tests/build", "examples_c/build", "bench/build", "bench/results", "go/build"];

/// The tracked files, from the top of the repository. In an exported tree without git: all but what builds make.
pub fn tracked(top: &Path) -> Vec<String> {
    let listed = Command::new("git").arg("-C").arg(top).args(["ls-files", "-z", "--cached"]).output();
    let listed = listed.ok().filter(|output| output.status.success()).map(|output| output.stdout);
    let names = listed.map(|bytes| String::from_utf8(bytes).expect("file names are UTF-8"));
    let names: Vec<String> = match names.filter(|names| !names.is_empty()) {
        Some(names) => names.split_terminator('\0').map(str::to_string).collect(),
        None => files_below(top, "", &|path| !is_built(path)),
    };
    // A file that is deleted but still in the index is not there to be read.
    names.into_iter().filter(|name| top.join(name).is_file()).collect()
}

fn is_built(path: &str) -> bool {
    let below = |folder: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
    BUILT.iter().any(|folder| below(folder)) || path.starts_with("target-")
}

/// What is wrong with a tracked file.
pub fn findings(top: &Path, path: &str) -> Vec<String> {
    let bytes = std::fs::read(top.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    content_findings(path, &bytes)
}

fn content_findings(path: &str, bytes: &[u8]) -> Vec<String> {
    if bytes.len() > MAX_BYTES {
        return vec![format!(
            "{path}:1: {} bytes, at most {MAX_BYTES}; keep it out of the repository",
            bytes.len()
        )];
    }
    if MAY_BE_BINARY.iter().any(|folder| path.starts_with(folder)) {
        return Vec::new();
    }
    match std::str::from_utf8(bytes) {
        Ok(content) if !content.contains('\0') => text_findings(path, content),
        _ => vec![format!("{path}:1: not text; binary files belong in {}", MAY_BE_BINARY.join(" or "))],
    }
}

fn text_findings(path: &str, content: &str) -> Vec<String> {
    let is_code = [".rs", ".c", ".h", ".cpp", ".hpp", ".toml"].iter().any(|ending| path.ends_with(ending));
    let is_license = path.starts_with("LICENSE");
    let mut findings = Vec::new();
    if !content.is_empty() && !content.ends_with('\n') {
        findings.push(format!("{path}:{}: no line end at the end of the file", content.lines().count()));
    }
    for (index, line) in content.split('\n').enumerate() {
        let mut report = |what: String| findings.push(format!("{path}:{}: {what}", index + 1));
        if line.ends_with('\r') {
            report("carriage return; use bare line feeds".into());
        } else if line.ends_with([' ', '\t']) {
            report("blanks at the end of the line".into());
        }
        if !is_code {
            continue;
        }
        if line.contains('\t') {
            report("tab; use spaces".into());
        }
        let columns = line.chars().count();
        if columns > MAX_COLUMNS && !GENERATED.contains(&path) {
            report(format!("{columns} columns, at most {MAX_COLUMNS}"));
        }
        if let Some(odd) = line.chars().find(|&c| !c.is_ascii() && !may_have(path, c)) {
            report(format!("`{odd}` is not ASCII; write it as an escape or in other words"));
        }
    }
    if !is_license {
        findings.extend(words::leftover_marks(path, content));
    }
    findings
}

fn may_have(path: &str, character: char) -> bool {
    MAY_HAVE.iter().any(|(file, allowed, _)| *file == path && allowed.contains(character))
}

/// (table, key, value) that `Cargo.toml` must have.
const MANIFEST: [(&str, &str, &str); 10] = [
    ("lints.rust", "unsafe_op_in_unsafe_fn", "deny"),
    ("lints.rust", "unused_must_use", "deny"),
    ("lints.rust", "missing_docs", "warn"),
    ("lints.clippy", "undocumented_unsafe_blocks", "deny"),
    ("lints.clippy", "dbg_macro", "deny"),
    ("lints.clippy", "todo", "deny"),
    ("lints.clippy", "unimplemented", "deny"),
    ("profile.release", "panic", "unwind"),
    ("profile.release", "lto", "fat"),
    ("package", "license", "MIT OR Apache-2.0"),
];

/// What the manifest lacks.
pub fn manifest_findings(manifest: &str) -> Vec<String> {
    let parsed: toml::Table = manifest.parse().expect("cargo has read it");
    let mut findings = Vec::new();
    for (table, key, expected) in MANIFEST {
        let mut place = Some(&parsed);
        for name in table.split('.') {
            place = place.and_then(|table| table.get(name)).and_then(toml::Value::as_table);
        }
        let got = place.and_then(|table| table.get(key)).and_then(toml::Value::as_str);
        if got != Some(expected) {
            findings.push(format!("Cargo.toml: [{table}] {key}: got {got:?}, expected \"{expected}\""));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, content: &str) -> Vec<String> {
        content_findings(path, content.as_bytes())
    }

    #[test]
    fn untidy_lines_are_found() {
        assert_eq!(of("src/a.rs", "fn f() {}\n"), [""; 0]);
        assert_eq!(of("src/a.rs", ""), [""; 0]);
        assert_eq!(of("src/a.rs", "fn f() {} \n"), ["src/a.rs:1: blanks at the end of the line"]);
        assert_eq!(of("src/a.rs", "\n\tx\n"), ["src/a.rs:2: tab; use spaces"]);
        assert_eq!(of("src/a.rs", "x\r\n"), ["src/a.rs:1: carriage return; use bare line feeds"]);
        assert_eq!(of("src/a.rs", "x"), ["src/a.rs:1: no line end at the end of the file"]);
        let odd = format!("// {}\n", '\u{e9}');
        assert!(of("src/a.rs", &odd)[0].ends_with("is not ASCII; write it as an escape or in other words"));
        assert_eq!(of("README.md", &odd), [""; 0]);
        let long = format!("{}\n", "a".repeat(121));
        assert_eq!(of("src/a.rs", &long), ["src/a.rs:1: 121 columns, at most 120"]);
        assert_eq!(of("include/auradb.h", &long), [""; 0]);
        assert_eq!(of("c_tests/Makefile", "all:\n\tcc\n"), [""; 0]);
        assert_eq!(of("docs/a.md", &format!("{}\n", words::marks()[0])).len(), 1);
    }

    #[test]
    fn large_and_binary_files_are_found() {
        assert!(content_findings("x.md", &vec![b'\n'; MAX_BYTES + 1])[0].contains("keep it out"));
        assert_eq!(content_findings("x.md", &vec![b'\n'; MAX_BYTES]), [""; 0]);
        assert!(content_findings("x.bin", &[0])[0].contains("not text"));
        assert!(content_findings("x.bin", &[0xff, 0xfe])[0].contains("not text"));
        assert_eq!(content_findings("tests/golden/v1/000012.sst", &[0, 0xff]), [""; 0]);
        assert!(!content_findings("tests/golden/v1/000012.sst", &vec![0; MAX_BYTES + 1]).is_empty());
    }

    #[test]
    fn what_builds_make_is_not_tracked() {
        for path in ["target/debug/x", "target-x/debug/y", "c_tests/build/z", ".git/config"] {
            assert!(is_built(path), "{path}");
        }
        assert!(!is_built("c_tests/build.c") && !is_built("targets.md") && !is_built("src/lib.rs"));
    }

    #[test]
    fn the_manifest_is_read_as_a_table() {
        let all = MANIFEST.map(|(table, key, value)| format!("{table}.{key} = \"{value}\"\n")).concat();
        assert_eq!(manifest_findings(&all), [""; 0]);
        let found = manifest_findings(&all.replace("todo = \"deny\"", "todo = \"warn\""));
        assert_eq!(found, ["Cargo.toml: [lints.clippy] todo: got Some(\"warn\"), expected \"deny\""]);
        assert_eq!(manifest_findings("").len(), MANIFEST.len());
    }
}
