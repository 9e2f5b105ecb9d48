//! Generates the C header from `src/c_api` into `OUT_DIR/auradb.h`, where a test compares it with the committed
//! `include/auradb.h` (the build never writes there), and names the shared library.

#![allow(clippy::disallowed_methods, reason = "a build script is no part of the engine")]

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The order of the header: the way a newcomer meets things. A file that is missing here is missing in the header,
/// which the symbol test notices.
const SOURCES: &[&str] = &[
    "constants",
    "library",
    "last_error",
    "db",
    "column_family",
    "write",
    "batch",
    "read",
    "multi_get",
    "packed",
    "iterator",
    "indexed_batch",
    "indexed_reads",
    "snapshot",
    "maintenance",
    "properties",
    "health",
    "memory_usage",
    // With the files below it, in the order in which it names them.
    "options/mod",
    "callbacks/comparator",
    "callbacks/merge_operator",
    "callbacks/compaction_filter",
    "callbacks/slice_transform",
    "callbacks/logger",
    "env",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=cbindgen.toml");
    println!("cargo:rerun-if-changed=src/c_api");
    generate_header();
    // The binary interface has a version of its own: 0 until the first stable release promises to keep it, then
    // the number changes only when a program would have to be compiled again.
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libauradb.so.0");
    }
}

fn generate_header() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("auradb.h");
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml is readable");
    let sources = SOURCES.iter().map(|name| root.join("src/c_api").join(name).with_extension("rs"));
    let builder = sources.fold(cbindgen::Builder::new().with_config(config), |b, path| b.with_src(path));
    let mut text = Vec::new();
    builder.generate().expect("src/c_api can be turned into a header").write(&mut text);
    write_if_changed(&out, &text);
}

/// Keeps the time stamp of an unchanged header, so that C programs are not compiled again.
fn write_if_changed(path: &Path, text: &[u8]) {
    if fs::read(path).is_ok_and(|old| old == text) {
        return;
    }
    fs::write(path, text).expect("OUT_DIR is writable");
}
