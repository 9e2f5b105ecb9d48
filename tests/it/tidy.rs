//! Habits as code: what a reviewer would otherwise have to look for by hand.
//!
//! Each test collects findings of the form `path:line: what; what to do` and fails with the whole list. The rules
//! are functions from text to findings, in the files below, and have unit tests of their own on sample text.

mod edges;
mod files;
mod modules;
mod sizes;
mod text;
mod unsafety;
mod words;

use std::path::{Path, PathBuf};

/// The top of the repository.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Rust source file of the crate, with what the rules need of it.
struct Source {
    /// From the top of the repository, with `/`.
    path: String,
    /// As it is.
    text: String,
    /// With comments and literals blanked out.
    code: String,
    /// As `code`, and parts under `#[cfg(test)]` blanked out too; all blank in test-only files.
    product: String,
}

impl Source {
    fn new(path: &str, text: &str, test_only: bool) -> Source {
        let code = text::without_comments_and_literals(text);
        let product = if test_only { text::blank(&code) } else { text::without_tests(&code) };
        Source { path: path.to_string(), text: text.to_string(), code, product }
    }
}

/// The crate's sources, as `mod` declarations reach them from `src/lib.rs`.
fn sources() -> Vec<Source> {
    let tree = modules::walk(root(), "src/lib.rs");
    tree.files
        .iter()
        .map(|file| {
            let text = std::fs::read_to_string(root().join(&file.path)).expect("the file was read before");
            Source::new(&file.path, &text, file.test_only)
        })
        .collect()
}

/// Line number of a byte offset, from 1.
fn line_at(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset].iter().filter(|&&byte| byte == b'\n').count()
}

/// Files below `dir` that satisfy `wanted`, sorted, as paths from the top of the repository.
fn files_below(top: &Path, dir: &str, wanted: &dyn Fn(&str) -> bool) -> Vec<String> {
    fn visit(top: &Path, dir: &Path, wanted: &dyn Fn(&str) -> bool, found: &mut Vec<String>) {
        let Ok(entries) = std::fs::read_dir(dir) else { return };
        for entry in entries {
            let path: PathBuf = entry.expect("a directory entry").path();
            if path.is_dir() {
                visit(top, &path, wanted, found);
            } else if let Some(name) = path.strip_prefix(top).expect("below the top").to_str()
                && wanted(name)
            {
                found.push(name.to_string());
            }
        }
    }
    let mut found = Vec::new();
    visit(top, &top.join(dir), wanted, &mut found);
    found.sort();
    found
}

#[track_caller]
fn assert_none(findings: Vec<String>) {
    let count = findings.len();
    assert!(findings.is_empty(), "{count} findings:\n{}\n", findings.join("\n"));
}

fn of_each(rule: impl Fn(&Source) -> Vec<String>) -> Vec<String> {
    sources().iter().flat_map(rule).collect()
}

#[test]
fn modules_use_only_what_the_table_allows() {
    assert_none(of_each(edges::findings));
}

#[test]
fn only_env_reaches_the_operating_system() {
    assert_none(of_each(edges::outside_world));
}

#[test]
fn files_and_functions_stay_small() {
    assert_none(of_each(sizes::findings));
}

#[test]
fn every_source_file_is_a_module() {
    let mut findings = modules::orphans(root(), "src", "src/lib.rs");
    findings.extend(modules::orphans(root(), "tests/it", "tests/it/main.rs"));
    assert_none(findings);
}

#[test]
fn nothing_is_left_over_in_the_code() {
    assert_none(of_each(words::leftover_macros));
}

#[test]
fn the_product_does_not_print() {
    assert_none(of_each(words::prints));
}

#[test]
fn unsafe_stays_where_it_belongs_and_is_explained() {
    assert_none(of_each(unsafety::findings));
}

#[test]
fn tracked_text_is_clean() {
    let tracked = files::tracked(root());
    assert!(tracked.iter().any(|path| path == "src/lib.rs"), "the list of files is wrong: {tracked:?}");
    assert_none(tracked.iter().flat_map(|path| files::findings(root(), path)).collect());
}

#[test]
fn cargo_denies_what_it_should() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert_none(files::manifest_findings(&manifest));
}
