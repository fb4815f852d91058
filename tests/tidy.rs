//! The few rules of the house that a machine can hold: floors import downwards, the core has no clock and no
//! descriptors, every file says what it is, and the documentation points at things that exist.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test stops at the first thing it cannot read")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, lowest first. A file may name its own and those before it.
const FLOORS: [&str; 11] = [
    "base",
    "physical",
    "datalink",
    "network",
    "transport",
    "stack",
    "session",
    "presentation",
    "application",
    "daemon",
    "cli",
];

/// Files below `daemon` and `cli` that touch the operating system, each with the reason why it may.
const TOUCHES_OS: [(&str, &str); 11] = [
    ("src/physical/tap", "the TAP device"),
    ("src/physical/host_side.rs", "the kernel's side of the TAP"),
    ("src/physical/capture.rs", "the capture file"),
    ("src/application/http/files", "files under the web root"),
    ("src/application/http/body", "sends an open file"),
    ("src/application/http/validators.rs", "what a file's metadata says of it"),
    ("src/application/mailbox", "the Maildirs"),
    ("src/application/pop3/maildrop", "an open message"),
    ("src/session/errands", "the threads for work that blocks"),
    ("src/session/database", "the file of what outlives the process"),
    ("src/main.rs", "the command"),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All files below `folder` with one of the endings (any if there are none), relative to the package, sorted.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let wanted = endings.is_empty()
                || path.extension().is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted));
            if path.is_dir() {
                folders.push(path);
            } else if wanted {
                found.push(path.strip_prefix(root()).unwrap().to_path_buf());
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn name(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// True for files that hold only tests.
fn is_test_file(path: &str) -> bool {
    path.ends_with("tests.rs") || path.contains("/tests/")
}

/// The lines of code of a file, numbered, without comments and without its trailing test module.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_tests = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        in_tests |= line == "#[cfg(test)]";
        let bare = line.trim_start();
        (!in_tests && !bare.starts_with("//")).then_some((index + 1, line.split("// ").next().unwrap_or(line)))
    })
}

#[track_caller]
fn none(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

fn is_shell(path: &str) -> bool {
    path.starts_with("src/daemon/") || path.starts_with("src/cli/")
}

/// Every line of product code below the shell: path, line number, code.
fn core_lines(mut visit: impl FnMut(&str, usize, &str)) {
    for path in files("src", &["rs"]) {
        let (path, text) = (name(&path), read(&path));
        if !is_shell(&path) && !is_test_file(&path) {
            code(&text).for_each(|(line, code)| visit(&path, line, code));
        }
    }
}

#[test]
fn floors_import_only_downwards() {
    let mut wrong = Vec::new();
    for path in files("src", &["rs"]) {
        let (path, text) = (name(&path), read(&path));
        let Some(own) = FLOORS.iter().position(|floor| path.starts_with(&format!("src/{floor}/"))) else { continue };
        for (line, code) in code(&text).filter(|_| !is_test_file(&path)) {
            for floor in FLOORS.iter().skip(own + 1).filter(|floor| code.contains(&format!("crate::{floor}"))) {
                wrong.push(format!("{path}:{line}: {} reaches up to {floor}", FLOORS[own]));
            }
        }
    }
    none("a file knows only its own floor and the floors below", &wrong);
}

#[test]
fn every_source_file_opens_by_saying_what_it_is() {
    let silent: Vec<String> = ["src", "tests", "examples", "benches"]
        .iter()
        .flat_map(|folder| files(folder, &["rs"]))
        .filter(|path| !read(path).starts_with("//! "))
        .map(|path| name(&path))
        .collect();
    none("these files do not open with `//! `", &silent);
}

#[test]
fn only_the_shell_touches_the_operating_system() {
    let calls = [
        "libc::",
        "std::fs",
        "std::os::",
        "std::thread",
        "std::env",
        "std::process",
        "mio::",
        "std::net::Tcp",
        "std::net::Udp",
        "UnixStream",
        "UnixListener",
    ];
    let mut wrong = Vec::new();
    core_lines(|path, line, code| {
        if !TOUCHES_OS.iter().any(|(allowed, _)| path.starts_with(allowed)) {
            wrong.extend(calls.iter().filter(|call| code.contains(*call)).map(|call| format!("{path}:{line}: {call}")));
        }
    });
    none("only daemon/, cli/ and the files listed in tests/tidy.rs touch the operating system", &wrong);
}

#[test]
fn clocks_and_entropy_belong_to_the_shell() {
    let calls = ["Instant::now", "SystemTime::now", "thread::sleep", "getrandom::", "thread_rng", "RandomState"];
    let mut wrong = Vec::new();
    core_lines(|path, line, code| {
        wrong.extend(calls.iter().filter(|call| code.contains(*call)).map(|call| format!("{path}:{line}: {call}")));
    });
    none("time and randomness are parameters below daemon/ and cli/", &wrong);
}

#[test]
fn unsafe_code_stands_only_in_the_device_files() {
    let mut wrong = Vec::new();
    for path in files("src", &["rs"]) {
        let (path, text) = (name(&path), read(&path));
        let device = path.starts_with("src/physical/tap") || path == "src/physical/host_side.rs";
        // Neither the allocator of the C library nor what it tells of a thread has a safe interface.
        let device = device || path == "src/daemon/memory.rs" || path == "src/daemon/watch.rs";
        // Nor does mio lend its descriptor with a lifetime.
        let device = device || path == "src/daemon/sleep.rs";
        // The instruction has none either; all it does is to be early.
        let device = device || path == "src/base/prefetch.rs";
        if !device && code(&text).any(|(_, code)| code.contains("unsafe ")) {
            wrong.push(path);
        }
    }
    none("unsafe outside the device files", &wrong);
}

#[test]
fn nothing_is_left_for_later() {
    // Spelt apart, so that this file does not find itself.
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("#[ig", "nore"),
        concat!("unimple", "mented!"),
    ];
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "examples", "benches", "scripts"] {
        for path in files(folder, &[]) {
            for (index, line) in read(&path).lines().enumerate() {
                if marks.iter().any(|mark| line.contains(mark)) {
                    wrong.push(format!("{}:{}: {}", path.display(), index + 1, line.trim()));
                }
            }
        }
    }
    none("left for later", &wrong);
}

#[test]
fn files_have_names_that_mean_something() {
    let empty = ["util", "utils", "helper", "helpers", "manager", "misc", "common"];
    let wrong: Vec<String> = files("src", &["rs"])
        .iter()
        .filter(|path| empty.iter().any(|word| path.file_stem().is_some_and(|stem| stem == *word)))
        .map(|path| name(path))
        .collect();
    none("a name that says nothing", &wrong);
}

#[test]
fn every_drop_reason_and_counter_is_used() {
    let sources: Vec<(String, String)> = files("src", &["rs"]).iter().map(|path| (name(path), read(path))).collect();
    let mut unused = Vec::new();
    for (table, prefix) in [("src/base/drops.rs", "DropReason::"), ("src/base/counters.rs", "Counter::")] {
        let text = read(Path::new(table));
        // The table is the macro's argument, which ends with the first line that is only a brace.
        let variants = text.lines().skip_while(|line| !line.ends_with("! {") || line.starts_with("macro")).skip(1);
        let variants = variants.take_while(|line| *line != "}").filter_map(|line| {
            let word = line.strip_prefix("    ")?.strip_suffix(',')?.split(" =>").next()?;
            (word.starts_with(char::is_uppercase) && word.chars().all(char::is_alphanumeric)).then_some(word)
        });
        for variant in variants {
            let named = format!("{prefix}{variant}");
            let names = |text: &str| {
                text.match_indices(&named)
                    .any(|(at, _)| !text[at + named.len()..].starts_with(|next: char| next.is_alphanumeric()))
            };
            if !sources.iter().any(|(path, text)| path != table && names(text)) {
                unused.push(format!("{table}: {variant}"));
            }
        }
    }
    none("declared but never counted", &unused);
}

/// What stands between backticks in a Markdown text, outside code blocks.
fn quoted(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut in_block = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            words.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    words
}

#[test]
fn paths_in_the_documentation_exist() {
    let mut wrong = Vec::new();
    let mut pages = files("docs", &["md"]);
    pages.push(PathBuf::from("README.md"));
    for page in pages {
        for word in quoted(&read(&page)) {
            let path = word.split([' ', ':', '#', ',']).next().unwrap();
            let is_path = ["src/", "tests/", "docs/", "scripts/", "examples/", "benches/", "packaging/", ".ci/"]
                .iter()
                .any(|folder| path.starts_with(folder));
            if is_path && !path.contains(['*', '<', '{', '…']) && !root().join(path).exists() {
                wrong.push(format!("{}: `{path}`", page.display()));
            }
        }
    }
    none("the documentation names files that do not exist", &wrong);
}

#[test]
fn every_page_is_on_the_map() {
    let map = read(Path::new("docs/architecture.md")) + &read(Path::new("README.md"));
    let lost: Vec<String> =
        files("docs", &["md"]).iter().map(|path| name(path)).filter(|path| !map.contains(path.as_str())).collect();
    none("no page leads to these; list them in docs/architecture.md", &lost);
}

#[test]
fn every_direct_dependency_has_its_line() {
    let manifest = read(Path::new("Cargo.toml"));
    let page = read(Path::new("docs/dependencies.md"));
    let mut in_dependencies = false;
    let mut missing = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            in_dependencies = line.ends_with("dependencies]");
        } else if let (true, Some((name, _))) = (in_dependencies, line.split_once(" = "))
            && !page.contains(&format!("`{name}`"))
        {
            missing.push(name.to_owned());
        }
    }
    none("no line in docs/dependencies.md", &missing);
}

/// The names of all functions in the tree, tests among them.
fn functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for path in files("src", &["rs"]).into_iter().chain(files("tests", &["rs"])) {
        for line in read(&path).lines() {
            if let Some(rest) = line.trim_start().strip_prefix("fn ") {
                names.insert(rest.split(['(', '<']).next().unwrap().to_owned());
            }
        }
    }
    names
}

#[test]
fn every_must_of_rfc_9293_has_its_code_and_its_test_or_its_reason() {
    let page = read(Path::new("docs/rfc.md"));
    let deviations = read(Path::new("docs/deviations.md"));
    let functions = functions();
    let mut wrong = String::new();
    // RFC 9293 Appendix B numbers the MUSTs from 1 to 69.
    for number in 1..=69 {
        let row = page.lines().find(|line| line.starts_with(&format!("| MUST-{number} |")));
        let Some(row) = row else {
            if !deviations.contains(&format!("MUST-{number}:")) {
                writeln!(wrong, "MUST-{number}: neither in docs/rfc.md nor in docs/deviations.md").unwrap();
            }
            continue;
        };
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let (code, tests) = (cells.get(3).copied().unwrap_or_default(), cells.get(4).copied().unwrap_or_default());
        let path = code.split('`').nth(1).and_then(|word| word.split(' ').next());
        if !path.is_some_and(|path| root().join(path).is_file()) {
            writeln!(wrong, "MUST-{number}: names no file that exists: {code}").unwrap();
        }
        let known =
            tests.split('`').skip(1).step_by(2).all(|test| functions.contains(test.rsplit("::").next().unwrap()));
        if !tests.contains('`') || !known {
            writeln!(wrong, "MUST-{number}: names no test that exists: {tests}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "docs/rfc.md is not true:\n{wrong}");
}

#[test]
fn every_section_of_an_rfc_has_its_code_and_its_test_or_its_reason() {
    let page = read(Path::new("docs/rfc.md"));
    let functions = functions();
    let mut wrong = Vec::new();
    let mut rfc = "";
    for line in page.lines() {
        rfc = line.strip_prefix("## ").unwrap_or(rfc);
        // A row by section is: section, what, state, code, test.
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, section, _, state, code, tests, _] = cells[..] else { continue };
        if section == "section" || section.starts_with("---") {
            continue;
        }
        let path = code.split('`').nth(1).and_then(|word| word.split(' ').next());
        if state == "done" && !path.is_some_and(|path| root().join(path).exists()) {
            wrong.push(format!("{rfc} {section}: names no file that exists: {code}"));
        }
        let is_known = |test: &str| functions.contains(test.rsplit("::").next().unwrap());
        let is_tested = tests.contains('`') || tests.starts_with("see RFC") || tests.starts_with("the tests beside");
        if !tests.split('`').skip(1).step_by(2).all(is_known) || (state == "done" && !is_tested) {
            wrong.push(format!("{rfc} {section}: names no test that exists: {tests}"));
        }
    }
    none("docs/rfc.md is not true", &wrong);
}

#[test]
fn every_departure_in_the_code_is_on_the_page() {
    let page = read(Path::new("docs/deviations.md"));
    let mut missing = Vec::new();
    for path in files("src", &["rs"]) {
        let text = read(&path);
        for (at, mark) in text.match_indices("DEVIATION(") {
            let rest = &text[at + mark.len()..];
            let Some((what, _)) = rest.split_once(')') else { continue };
            // "RFC 6298 (2.4" has lost its closing parenthesis to the split; the page has it whole.
            if !page.contains(what) {
                missing.push(format!("{}: DEVIATION({what})", path.display()));
            }
        }
    }
    none("docs/deviations.md does not know of these", &missing);
}

#[test]
fn the_tests_that_the_mutation_tables_name_exist() {
    let functions = functions();
    let mut missing = Vec::new();
    for page in ["docs/mutations.md", "docs/testing.md"] {
        for row in read(Path::new(page)).lines().filter(|line| line.starts_with("| ")) {
            // A row is: mechanism, how it was removed, the tests that noticed.
            let Some(cell) = row.trim_end_matches(" |").split(" | ").nth(2) else { continue };
            for name in cell.split('`').skip(1).step_by(2) {
                let is_test =
                    name.len() > 12 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
                if is_test && name.contains('_') && !functions.contains(name) {
                    missing.push(format!("{page}: `{name}`"));
                }
            }
        }
    }
    none("tests that are no more", &missing);
}
