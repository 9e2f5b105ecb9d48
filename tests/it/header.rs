//! The C face is what it is written to be: the committed header is the one `build.rs` makes, the library exports just
//! the functions it declares, and C and C++ compilers take it at their strictest.
//!
//! After a wanted change, `UPDATE=1 cargo test --test it header` accepts it: `include/auradb.h` and
//! `c_tests/symbols.txt` are rewritten.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

const FRESH: &str = include_str!(concat!(env!("OUT_DIR"), "/auradb.h"));

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Compares a committed file with what it should be, or rewrites it.
#[track_caller]
fn accept_or_compare(name: &str, expected: &str) {
    let path = root().join(name);
    if env::var_os("UPDATE").is_some() {
        fs::write(&path, expected).unwrap();
        return;
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    let differing = committed.lines().zip(expected.lines()).position(|(old, new)| old != new);
    let line = differing.unwrap_or(committed.lines().count().min(expected.lines().count()));
    assert!(
        committed == expected,
        "{name} is not what src/c_api makes, from line {}:\n  committed: {:?}\n  expected:  {:?}\n\
         if the change is wanted: UPDATE=1 cargo test --test it header",
        line + 1,
        committed.lines().nth(line),
        expected.lines().nth(line),
    );
}

/// The functions that a header declares.
fn declared(header: &str) -> BTreeSet<String> {
    let code: String = header.lines().filter(|line| !line.starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("auradb_") {
        let before = code[..at].chars().next_back();
        let rest = &code[at..];
        let len = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let len = len.unwrap_or(rest.len());
        if before.is_none_or(|letter| !letter.is_ascii_alphanumeric() && letter != '_')
            && rest[len..].starts_with('(')
        {
            names.insert(rest[..len].to_string());
        }
    }
    names
}

/// The shared library that was built together with this test.
fn library() -> PathBuf {
    let executable = env::current_exe().unwrap();
    let deps = executable.parent().unwrap();
    let places = [deps.join("libauradb.so"), deps.parent().unwrap().join("libauradb.so")];
    let found = places.iter().filter(|path| path.exists());
    let newest = found.max_by_key(|path| path.metadata().unwrap().modified().unwrap());
    newest
        .cloned()
        .unwrap_or_else(|| panic!("there is no libauradb.so in {deps:?} or above: cargo build makes it"))
}

#[track_caller]
fn output(program: &str, arguments: &[&str]) -> String {
    let result = Command::new(program).args(arguments).output();
    let result = result.unwrap_or_else(|error| panic!("cannot run {program}: {error}; install it"));
    let errors = String::from_utf8_lossy(&result.stderr);
    assert!(result.status.success(), "{program} {arguments:?}: {}\n{errors}", result.status);
    String::from_utf8(result.stdout).unwrap()
}

/// Every name that the shared library lets programs see.
fn exported() -> BTreeSet<String> {
    let listing = output("nm", &["-D", "--defined-only", library().to_str().unwrap()]);
    listing.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_string).collect()
}

#[test]
fn the_committed_header_is_fresh() {
    accept_or_compare("include/auradb.h", FRESH);
}

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let (exported, declared) = (exported(), declared(FRESH));
    assert!(declared.len() > 200, "only {} functions found in the header", declared.len());
    let missing: Vec<_> = declared.difference(&exported).collect();
    let undeclared: Vec<_> = exported.difference(&declared).collect();
    assert!(missing.is_empty(), "declared and not exported: {missing:?}");
    assert!(undeclared.is_empty(), "exported and not declared (is the file in build.rs?): {undeclared:?}");
}

#[test]
fn the_list_of_symbols_is_the_committed_one() {
    let list: String = exported().iter().map(|name| format!("{name}\n")).collect();
    accept_or_compare("c_tests/symbols.txt", &list);
}

#[test]
fn the_library_carries_the_version_of_its_interface() {
    let dynamic = output("readelf", &["-d", library().to_str().unwrap()]);
    let soname = dynamic.lines().find(|line| line.contains("(SONAME)")).expect("a SONAME");
    assert!(soname.contains("[libauradb.so.0]"), "{soname}");
}

#[test]
fn strict_compilers_take_the_header() {
    let directory = env::temp_dir().join(format!("auradb-header-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let include = format!("-I{}", root().join("include").display());
    let strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", &include];
    // Twice, so that the guard is seen to work.
    let text =
        "#include <auradb.h>\n#include <auradb.h>\nint unused(void);\nint unused(void) { return 0; }\n";
    for (compiler, name, standard) in
        [("cc", "a.c", "-std=c99"), ("cc", "a.c", "-std=c11"), ("c++", "a.cc", "-std=c++17")]
    {
        let source = directory.join(name);
        fs::write(&source, text).unwrap();
        output(compiler, &[&strict[..], &[standard, source.to_str().unwrap()]].concat());
    }
    fs::remove_dir_all(&directory).unwrap();
}

/// Each function with a NULL handle at least.
#[test]
fn the_c_tests_call_every_function() {
    let calls = fs::read_to_string(root().join("c_tests/null_handles.c")).unwrap();
    let uncalled: Vec<_> =
        declared(FRESH).into_iter().filter(|name| !calls.contains(&format!("{name}("))).collect();
    assert!(uncalled.is_empty(), "not called in c_tests/null_handles.c: {uncalled:?}");
}

#[test]
fn declarations_are_found_and_comments_and_types_are_not() {
    let header = "// auradb_a(x) does\ntypedef struct auradb_t auradb_t;\nvoid auradb_put(auradb_t *db,\n  int n);\n\
                  char *auradb_get(void (*f)(auradb_t *db));\n";
    let names: Vec<_> = declared(header).into_iter().collect();
    assert_eq!(names, ["auradb_get", "auradb_put"]);
}
