//! Which module may use which. The table is the design: a new edge is a line for a reviewer to think about.
//! Tests may use anything.

use super::{Source, line_at, text};

/// Module, and the modules it may use besides itself.
const ALLOWED: [(&str, &[&str]); 19] = [
    ("base", &[]),
    ("env", &["base"]),
    ("config", &["base"]),
    // env: buffers are of pooled huge pages.
    ("cache", &["base", "env"]),
    ("iterator", &["base"]),
    ("batch", &["base"]),
    ("record", &["base", "env"]),
    ("wal", &["base", "env", "config", "record"]),
    ("value_log", &["base", "env", "config", "cache", "record"]),
    // env: the arena asks for huge pages. cache: the memory of memtables may be charged to one.
    ("memtable", &["base", "env", "iterator", "cache"]),
    ("sst", &["base", "env", "config", "cache", "iterator"]),
    ("version", &["base", "env", "config", "record", "iterator", "cache", "sst", "value_log"]),
    (
        "compaction",
        // value_log: dead values are counted where entries are dropped.
        &["base", "env", "config", "iterator", "cache", "sst", "version", "value_log"],
    ),
    (
        "flush",
        // compaction: one set of rules decides which versions of a key are shadowed.
        &[
            "base",
            "env",
            "config",
            "iterator",
            "cache",
            "memtable",
            "sst",
            "version",
            "value_log",
            "compaction",
        ],
    ),
    ("write", &["base", "env", "config", "batch", "wal", "value_log", "memtable"]),
    ("read", &["base", "config", "iterator", "memtable", "sst", "version", "value_log"]),
    ("db", EVERYTHING_BELOW_DB),
    // wal: the recovery mode is an option.
    ("c_api", &["base", "env", "config", "cache", "batch", "db", "wal"]),
    ("lib", &[]),
];

const EVERYTHING_BELOW_DB: &[&str] = &[
    "base",
    "env",
    "config",
    "cache",
    "iterator",
    "batch",
    "record",
    "wal",
    "value_log",
    "memtable",
    "sst",
    "version",
    "compaction",
    "flush",
    "write",
    "read",
];

/// What only `env/` may name, and what to use instead.
const OUTSIDE_WORLD: [(&str, &str); 9] = [
    ("std::fs", "Env and File"),
    ("std::net", "nothing: the engine does not talk to networks"),
    ("std::process", "nothing: the engine does not start or end processes"),
    ("std::env", "config"),
    ("thread::spawn", "Env::spawn"),
    ("thread::Builder", "Env::spawn"),
    ("thread::sleep", "Env::sleep"),
    ("Instant::now", "Env::now"),
    ("SystemTime::now", "Env::unix_seconds"),
];

/// Uses of modules that the table does not allow.
pub fn findings(source: &Source) -> Vec<String> {
    let Some(user) = top_module(&source.path) else { return Vec::new() };
    let Some(allowed) = allowed_for(user) else {
        return vec![format!(
            "{}:1: module `{user}` is not in the table of tests/it/tidy/edges.rs",
            source.path
        )];
    };
    let mut findings = Vec::new();
    for (at, used) in uses(&source.product, depth(&source.path)) {
        if used == user || allowed.contains(&used.as_str()) {
            continue;
        }
        let line = line_at(&source.product, at);
        let what = match allowed_for(&used) {
            Some(_) => format!("`{user}` must not use `{used}`; see the table in tests/it/tidy/edges.rs"),
            None => {
                format!("`crate::{used}` is no module of the table; name items by the module they live in")
            }
        };
        findings.push(format!("{}:{line}: {what}", source.path));
    }
    findings
}

/// Uses of the operating system elsewhere than in `env/`.
pub fn outside_world(source: &Source) -> Vec<String> {
    if top_module(&source.path) == Some("env") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (name, instead) in OUTSIDE_WORLD {
        for at in text::words(&source.product, name) {
            let line = line_at(&source.product, at);
            findings.push(format!("{}:{line}: `{name}` outside env/; use {instead}", source.path));
        }
    }
    findings
}

fn allowed_for(module: &str) -> Option<&'static [&'static str]> {
    ALLOWED.iter().find(|(name, _)| *name == module).map(|(_, allowed)| *allowed)
}

/// `wal` for `src/wal/mod.rs`, `src/wal/writer.rs` and `src/wal.rs`; none for `src/lib.rs`.
fn top_module(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    let name = inside.split('/').next()?;
    let name = name.strip_suffix(".rs").unwrap_or(name);
    (name != "lib").then_some(name)
}

/// How many `super::` lead from the file to the root of the crate.
fn depth(path: &str) -> usize {
    let inside = path.strip_prefix("src/").unwrap_or(path);
    inside.split('/').count() - usize::from(inside.ends_with("/mod.rs"))
}

/// Offsets and names of the top modules that `code` uses.
fn uses(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in text::words(code, "crate") {
        if let Some(rest) = code[at..].strip_prefix("crate::") {
            first_names(rest, &mut |name| found.push((at, name.to_string())));
        }
    }
    let climb = "super::".repeat(depth);
    for at in text::words(code, "super") {
        let continues = code[..at].ends_with("super::");
        if let Some(rest) = code[at..].strip_prefix(climb.as_str()).filter(|_| !continues && depth > 0) {
            first_names(rest, &mut |name| found.push((at, name.to_string())));
        }
    }
    found
}

/// The first name of the path at `rest`, or of each path in its braces.
fn first_names(rest: &str, found: &mut dyn FnMut(&str)) {
    let Some(group) = rest.strip_prefix('{') else {
        let len = rest.bytes().position(|byte| !text::is_word(byte)).unwrap_or(rest.len());
        return found(if len == 0 { "*" } else { &rest[..len] });
    };
    let mut depth = 0usize;
    let mut start = true;
    for (at, byte) in group.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return,
            b'}' => depth -= 1,
            b',' if depth == 0 => start = true,
            _ if start && !byte.is_ascii_whitespace() => {
                start = false;
                first_names(&group[at..], found);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> Vec<String> {
        findings(&Source::new(path, text, false))
    }

    #[test]
    fn allowed_uses_pass_and_others_are_named() {
        let text = "use crate::base::Result;\nuse crate::{env::Env, record::{Reader, x}, config};\n\
                    // crate::db is above\nfn f() -> crate::wal::Position { \"crate::db\" }\n";
        assert_eq!(of("src/wal/mod.rs", text), [""; 0]);
        let text = "use crate::{base::x, db::Database,\n sst};\nfn f() { crate::flush::run() }\n\
                    #[cfg(test)]\nmod tests { use crate::db; }\n";
        assert_eq!(
            of("src/wal/writer.rs", text),
            [
                "src/wal/writer.rs:1: `wal` must not use `db`; see the table in tests/it/tidy/edges.rs",
                "src/wal/writer.rs:1: `wal` must not use `sst`; see the table in tests/it/tidy/edges.rs",
                "src/wal/writer.rs:3: `wal` must not use `flush`; see the table in tests/it/tidy/edges.rs",
            ]
        );
    }

    #[test]
    fn the_way_round_over_super_is_seen() {
        assert_eq!(of("src/sst/block/mod.rs", "use super::super::version::Set; use super::index;").len(), 1);
        assert_eq!(of("src/sst/mod.rs", "use super::version;\nuse super::{cache, db};").len(), 2);
        assert_eq!(of("src/sst/reader.rs", "use super::format; use super::super::cache::Cache;"), [""; 0]);
    }

    #[test]
    fn unknown_names_are_findings() {
        assert!(of("src/sst/mod.rs", "use crate::Error;")[0].contains("`crate::Error` is no module"));
        assert!(of("src/sst/mod.rs", "use crate::*;")[0].contains("`crate::*` is no module"));
        assert!(of("src/utils.rs", "")[0].contains("module `utils` is not in the table"));
        assert_eq!(of("src/lib.rs", "pub use crate::db::Database;"), [""; 0]);
        assert_eq!(of("src/sst/mod.rs", "pub(crate) fn f() {} pub(in crate::sst) fn g() {}"), [""; 0]);
    }

    #[test]
    fn the_table_points_one_way() {
        for (at, (module, allowed)) in ALLOWED.iter().enumerate() {
            for used in *allowed {
                let below = ALLOWED[..at].iter().any(|(name, _)| name == used);
                assert!(below, "`{module}` may use `{used}`, which does not stand above it in the table");
            }
        }
    }

    #[test]
    fn the_outside_world_is_for_env() {
        let text = "use std::fs;\nfn f() { let now = std::time::Instant::now(); }\n\
                    // std::fs\n#[cfg(test)]\nmod tests { use std::fs; }\nuse std::fsx;";
        let found = |path| outside_world(&Source::new(path, text, false));
        assert_eq!(found("src/env/posix.rs"), [""; 0]);
        assert_eq!(
            found("src/db/mod.rs"),
            [
                "src/db/mod.rs:1: `std::fs` outside env/; use Env and File",
                "src/db/mod.rs:2: `Instant::now` outside env/; use Env::now"
            ]
        );
        assert_eq!(outside_world(&Source::new("src/db/tests.rs", text, true)), [""; 0]);
    }
}
