//! How long files and functions may be, where modules stand, and that each says what it is.

use regex::Regex;

use super::source::Source;

const FILE_LINES: usize = 500;
const FUNCTION_LINES: usize = 80;

/// Files over 500 lines.
pub(super) fn long_files(sources: &[Source]) -> Vec<String> {
    let lines = |source: &Source| source.text.lines().count();
    sources
        .iter()
        .filter(|source| lines(source) > FILE_LINES)
        .map(|source| source.complain(0, &format!("{} lines, {FILE_LINES} may be", lines(source))))
        .collect()
}

/// Functions over 80 lines, from their first line to their closing brace.
pub(super) fn long_functions(sources: &[Source]) -> Vec<String> {
    let head = r"^\s*(?:pub(?:\([^)]*\))? )?(?:(?:default|const|async|unsafe|extern(?: +)?) +)*fn (\w+)";
    let head = Regex::new(head).unwrap();
    sources.iter().flat_map(|source| long_functions_of(source, &head)).collect()
}

fn long_functions_of(source: &Source, head: &Regex) -> Vec<String> {
    let lines: Vec<&str> = source.code.lines().collect();
    let mut complaints = Vec::new();
    for (first, line) in lines.iter().enumerate() {
        let Some(name) = head.captures(line).map(|found| found[1].to_owned()) else { continue };
        let length = function_lines(&lines[first..]);
        if length > FUNCTION_LINES {
            let what = format!("{name} has {length} lines, {FUNCTION_LINES} may be");
            complaints.push(source.complain(first, &what));
        }
    }
    complaints
}

/// Lines of the function that begins on the first line: in code that rustfmt has been over, up to the
/// line that begins with a brace at the same indent.
fn function_lines(lines: &[&str]) -> usize {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let own = indent(lines[0]);
    let mut opened = false;
    for (index, line) in lines.iter().enumerate() {
        opened |= line.contains('{');
        let text = line.trim();
        let whole_on_one_line = index == 0 && opened && text.ends_with('}');
        let no_body = !opened && text.ends_with(';');
        let closed = index > 0 && text.starts_with('}') && indent(line) == own;
        if whole_on_one_line || no_body || closed {
            return index + 1;
        }
    }
    lines.len()
}

/// `foo/mod.rs` in place of `foo.rs` beside `foo/`.
pub(super) fn mod_files(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|source| source.modules().last() == Some(&"mod"))
        .map(|source| source.complain(0, "a module stands in a file of its name beside its folder"))
        .collect()
}

/// Files that do not begin with `//!`.
pub(super) fn missing_headers(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.complain(0, "the file does not begin with `//!`"))
        .collect()
}

#[test]
fn a_long_file_is_caught() {
    let (fits, long) = ("x\n".repeat(500), "x\n".repeat(501));
    super::catches(long_files, &[("a.rs", &fits), ("b.rs", &long)], &["src/b.rs:1: 501 lines"]);
}

#[test]
fn a_long_function_is_caught() {
    let body = |lines: usize| "        work();\n".repeat(lines);
    let function =
        |head: &str, lines: usize| format!("impl X {{\n    {head} {{\n{}    }}\n}}\n", body(lines));
    let cases: &[(&str, usize, &[&str])] = &[
        ("fn fits(&self)", 78, &[]),
        ("fn long(&self)", 79, &["src/x.rs:2: long has 81 lines"]),
        ("pub(crate) async fn long(&self) -> Result<(), Error>", 90, &["long has 92 lines"]),
        (
            "pub const fn long(\n        &self,\n    ) -> bool\n    where\n        T: Y,\n   ",
            75,
            &["long has 82 lines"],
        ),
    ];
    for (head, lines, wanted) in cases {
        super::catches(long_functions, &[("x.rs", &function(head, *lines))], wanted);
    }
    let traits =
        format!("trait X {{\n    fn one(\n        &self,\n    );\n    fn two(&self) {{}}\n{}}}\n", body(90));
    super::catches(long_functions, &[("x.rs", &traits)], &[]);
}

#[test]
fn braces_in_strings_do_not_end_a_function() {
    let text = format!("fn long() {{\n    f(\"\n}}\n\");\n{}}}\n", "    work();\n".repeat(80));
    super::catches(long_functions, &[("x.rs", &text)], &["long has 85 lines"]);
}

#[test]
fn a_mod_file_is_caught() {
    super::catches(mod_files, &[("runs.rs", ""), ("runs/mod.rs", "")], &["src/runs/mod.rs:1"]);
}

#[test]
fn a_missing_header_is_caught() {
    let files = [("a.rs", "//! What it is.\n"), ("b.rs", "use x;\n//! Late.\n"), ("c.rs", "/// Item.\n")];
    super::catches(missing_headers, &files, &["src/b.rs:1", "src/c.rs:1"]);
}
