//! `unsafe` stands where it was decided to, and each block says who guarantees what.

use super::{Source, line_at, text};

/// Folders whose work needs it: the C boundary, the memtable's arena, mappings and system calls.
const FOLDERS: [&str; 3] = ["src/c_api/", "src/memtable/", "src/env/"];

/// (file, what was measured or why there is no other way). A new line here is for a reviewer to think about.
const MEASURED: [(&str, &str); 0] = [];

/// How many lines above an `unsafe` its SAFETY comment may start.
const COMMENT_WITHIN: usize = 8;

/// `unsafe` in other places, and blocks and impls without a SAFETY comment.
pub fn findings(source: &Source) -> Vec<String> {
    let path = &source.path;
    let allowed = FOLDERS.iter().any(|folder| path.starts_with(folder))
        || MEASURED.iter().any(|(file, _)| file == path);
    let lines: Vec<&str> = source.text.lines().collect();
    let mut findings = Vec::new();
    for at in text::words(&source.code, "unsafe") {
        let line = line_at(&source.code, at);
        let in_product = source.product[at..].starts_with("unsafe");
        if in_product && !allowed {
            findings
                .push(format!("{path}:{line}: unsafe here is not in the list of tests/it/tidy/unsafety.rs"));
        }
        let after = source.code[at + "unsafe".len()..].trim_start();
        let needs_comment = after.starts_with('{') || after.starts_with("impl");
        let above = &lines[line.saturating_sub(COMMENT_WITHIN + 1)..line];
        if needs_comment && !above.iter().any(|text| text.contains("SAFETY:")) {
            findings
                .push(format!("{path}:{line}: unsafe without a `// SAFETY:` comment that says why it holds"));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str, text: &str) -> Vec<String> {
        findings(&Source::new(path, text, false))
    }

    #[test]
    fn places_and_comments_are_checked() {
        let explained = "fn f() {\n    // SAFETY: M1 - the arena lives.\n    unsafe { g() }\n}\n";
        assert_eq!(of("src/memtable/arena.rs", explained), [""; 0]);
        assert_eq!(
            of("src/sst/block.rs", explained),
            ["src/sst/block.rs:3: unsafe here is not in the list of tests/it/tidy/unsafety.rs"]
        );
        let bare = "fn f() {\n    unsafe { g() }\n}\nunsafe impl Send for S {}\n// unsafe { }\n";
        assert_eq!(
            of("src/env/posix.rs", bare),
            [
                "src/env/posix.rs:2: unsafe without a `// SAFETY:` comment that says why it holds",
                "src/env/posix.rs:4: unsafe without a `// SAFETY:` comment that says why it holds"
            ]
        );
        let far = format!("// SAFETY: far away\n{}unsafe {{ g() }}\n", "\n".repeat(COMMENT_WITHIN));
        assert_eq!(of("src/env/posix.rs", &far).len(), 1);
        assert_eq!(of("src/env/posix.rs", far.replacen('\n', "", 1).as_str()), [""; 0]);
        assert_eq!(
            of("src/c_api/db.rs", "#[unsafe(no_mangle)]\npub unsafe extern \"C\" fn f() {}\n"),
            [""; 0]
        );
    }
}
