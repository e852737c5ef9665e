//! The layers of ARCHITECTURE.md hold in the sources: no module uses one above it, and none uses
//! one that uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What uses what, by name.
type Graph = BTreeMap<String, BTreeSet<String>>;

/// A module without its tests.
struct Module {
    /// Names from the root of the crate: `mutate`, `secrets`.
    path: Vec<String>,
    source: String,
}

/// One row of a table.
struct Row {
    modules: Vec<String>,
    use_each_other: bool,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn architecture() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// The section below a heading.
fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let start = text.find(&format!("\n### {heading}\n")).expect(heading);
    let rest = &text[start + 1..];
    &rest[..rest.find("\n#").unwrap_or(rest.len())]
}

/// What stands between backticks.
fn names(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn table(heading: &str) -> Vec<Row> {
    let text = architecture();
    let cells = section(&text, heading).lines().filter_map(|line| line.strip_prefix("| `"));
    cells
        .map(|line| {
            let cell = line.split('|').next().unwrap();
            let use_each_other = cell.contains("(use each other)");
            Row { modules: names(&format!("`{cell}")), use_each_other }
        })
        .collect()
}

/// The modules of a crate, from its `lib.rs` on.
fn modules(source_folder: &str) -> Vec<Module> {
    let folder = root().join(source_folder);
    let mut found = Vec::new();
    load(&folder.join("lib.rs"), &folder, Vec::new(), &mut found);
    found
}

/// Adds a file and the modules that it declares below `children`.
fn load(file: &Path, children: &Path, path: Vec<String>, found: &mut Vec<Module>) {
    let source = without_tests(&fs::read_to_string(file).unwrap());
    for name in source.lines().filter_map(declared) {
        let inner = children.join(name);
        let flat = children.join(format!("{name}.rs"));
        let file: PathBuf = if flat.exists() { flat } else { inner.join("mod.rs") };
        load(&file, &inner, [&path[..], &[name.to_owned()]].concat(), found);
    }
    found.push(Module { path, source });
}

/// The module that a line declares as a file of its own.
fn declared(line: &str) -> Option<&str> {
    let line =
        line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
    line.strip_prefix("mod ")?.strip_suffix(';')
}

/// The code: no comments, no test modules.
fn without_tests(source: &str) -> String {
    let mut code = String::new();
    let mut lines = source.lines().filter(|line| !line.trim_start().starts_with("//"));
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            code.push_str(line);
            code.push('\n');
            continue;
        }
        let mut item = lines.next().unwrap_or_default();
        while item.starts_with("#[") {
            item = lines.next().unwrap_or_default();
        }
        if declared(item).is_none() && !item.ends_with(';') {
            // A block ends at the first brace without indentation.
            lines.by_ref().find(|line| *line == "}");
        }
    }
    code
}

/// All paths of a source, with the groups of `use` written out: `a::{b, c::d}` is two.
fn paths(source: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(start) = rest.find(is_name) {
        // What a visibility names is not used.
        if rest[start..].starts_with("pub(") {
            rest = &rest[start..];
            rest = &rest[rest.find(')').map_or(rest.len(), |end| end + 1)..];
            continue;
        }
        rest = read_path(&rest[start..], &[], &mut found);
    }
    found
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Reads one path, adds it, and returns what follows.
fn read_path<'s>(text: &'s str, above: &[String], found: &mut Vec<Vec<String>>) -> &'s str {
    let (name, mut rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
    let path = [above, &[name.to_owned()]].concat();
    let Some(below) = rest.strip_prefix("::") else {
        found.push(path);
        return rest;
    };
    if below.starts_with(is_name) {
        return read_path(below, &path, found);
    }
    rest = below;
    if let Some(mut group) = below.strip_prefix('{') {
        loop {
            group = group.trim_start_matches([' ', '\n', ',']);
            if !group.starts_with(is_name) {
                return group;
            }
            group = read_path(group, &path, found);
        }
    }
    found.push(path);
    rest
}

impl Module {
    /// The path from the root of the crate, for one that is written in this module.
    fn absolute(&self, written: &[String], known: &BTreeSet<&[String]>) -> Option<Vec<String>> {
        let mut base = self.path.clone();
        let mut rest = written;
        match written[0].as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                base.pop();
                while rest[1..].first().is_some_and(|name| name == "super") {
                    base.pop();
                    rest = &rest[1..];
                }
            }
            // A module of this one.
            name if written.len() > 1 => {
                base.push(name.to_owned());
                known.contains(&base[..]).then_some(())?;
            }
            _ => return None,
        }
        base.extend_from_slice(&rest[1..]);
        Some(base)
    }
}

/// What uses what among the children of `folder`; `node` of the folder's own file is `mod`.
fn graph(modules: &[Module], folder: &[String]) -> Graph {
    let known: BTreeSet<&[String]> = modules.iter().map(|module| &module.path[..]).collect();
    let node = |path: &[String]| {
        let below = path.strip_prefix(folder)?;
        let child = below.first().filter(|_| known.contains(&path[..=folder.len()]));
        Some(child.map_or("mod", String::as_str).to_owned())
    };
    let mut graph = Graph::new();
    for module in modules {
        let Some(from) = node(&module.path) else { continue };
        let targets = paths(&module.source)
            .iter()
            .filter_map(|path| module.absolute(path, &known))
            .filter_map(|path| node(&path))
            .filter(|to| *to != from)
            .collect::<BTreeSet<_>>();
        graph.entry(from).or_default().extend(targets);
    }
    graph
}

/// The pairs that use each other, directly or through others.
fn circles(graph: &Graph) -> Vec<String> {
    let mut found = Vec::new();
    for (one, used) in graph {
        found.extend(
            used.iter()
                .filter(|used| reaches(graph, used, one))
                .map(|used| format!("{one} uses {used}, and {used} uses {one}")),
        );
    }
    found
}

fn reaches(graph: &Graph, from: &str, to: &str) -> bool {
    let (mut seen, mut ahead) = (BTreeSet::new(), vec![from]);
    while let Some(name) = ahead.pop() {
        if name == to {
            return true;
        }
        if seen.insert(name) {
            ahead.extend(graph.get(name).into_iter().flatten().map(String::as_str));
        }
    }
    false
}

/// Uses that go up, or to the side where the row does not allow it.
fn upward(graph: &Graph, rows: &[Row]) -> Vec<String> {
    let row_of = |name: &str| rows.iter().position(|row| row.modules.iter().any(|m| m == name));
    let mut wrong = Vec::new();
    for (user, used) in graph.iter().filter(|(user, _)| *user != "mod") {
        let Some(own) = row_of(user) else {
            wrong.push(format!("{user} is in no row of ARCHITECTURE.md"));
            continue;
        };
        for used in used.iter().filter(|used| *used != "mod") {
            match row_of(used) {
                Some(row) if row > own || (row == own && rows[own].use_each_other) => {}
                _ => wrong.push(format!("{user} uses {used}, which is not below it")),
            }
        }
    }
    let modules = rows.iter().flat_map(|row| &row.modules);
    wrong.extend(
        modules
            .filter(|module| !graph.contains_key(*module))
            .map(|module| format!("{module} is a row's and not a module")),
    );
    wrong
}

#[test]
fn modules_use_only_what_is_below_them() {
    for folder in ["src", "injector/src"] {
        let modules = modules(folder);
        let rows = table(&format!("`{folder}/`"));
        assert!(rows.len() > 5, "the table of {folder} is not read");
        let graph = graph(&modules, &[]);
        assert!(graph.values().map(BTreeSet::len).sum::<usize>() > 40, "{graph:?}");
        let wrong = upward(&graph, &rows);
        assert!(wrong.is_empty(), "{folder}:\n{}", wrong.join("\n"));
    }
}

#[test]
fn the_files_of_a_folder_make_no_circle() {
    let text = architecture();
    let folders = names(section(&text, "Files of one folder"));
    assert!(folders.len() > 5, "{folders:?}");
    let modules = modules("src");
    for folder in folders {
        let path: Vec<String> = folder.split('/').skip(1).map(str::to_owned).collect();
        let graph = graph(&modules, &path);
        assert!(graph.len() > 1, "{folder} has no files");
        let circles = circles(&graph);
        assert!(circles.is_empty(), "{folder}:\n{}", circles.join("\n"));
    }
}

#[test]
fn an_upward_use_and_a_circle_are_found() {
    let module = |name: &str, source: &str| Module {
        path: name.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect(),
        source: without_tests(source),
    };
    let modules = [
        module("", "mod top; mod low;"),
        module("top", "use crate::low::{self, thing::Deep};\n// use crate::none;\n"),
        module("low", "mod a;\nmod b;\nfn f() { a::g() }\n#[cfg(test)]\nuse crate::top;\n"),
        module("low::a", "use super::b::B;\nfn g() { crate::top::f() }\n"),
        module("low::b", "#[cfg(test)]\nmod tests {\n    use super::super::a::A;\n}\n"),
    ];
    let rows = ["top", "low"];
    let rows = rows.map(|name| Row { modules: vec![name.to_owned()], use_each_other: false });
    let all = graph(&modules, &[]);
    assert_eq!(upward(&all, &rows), ["low uses top, which is not below it"]);
    assert_eq!(circles(&all).len(), 2);
    let low = graph(&modules, &["low".to_owned()]);
    assert!(circles(&low).is_empty(), "{low:?}");
    assert!(low["mod"].contains("a") && low["a"].contains("b"), "{low:?}");
}
