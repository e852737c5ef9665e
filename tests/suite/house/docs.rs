//! Pages that are generated from the code: stale ones fail. `UPDATE_DOCS=1 cargo test --test tests
//! docs` writes them anew.

use crate::suite::support::{binaries, check_page, keysluice};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// A paragraph in lines of at most 118 columns.
fn wrapped(paragraph: &str) -> String {
    let (mut text, mut columns) = (String::new(), 0);
    for word in paragraph.split(' ') {
        let width = word.chars().count();
        if columns > 0 && columns + 1 + width > 118 {
            text.push('\n');
            columns = 0;
        } else if columns > 0 {
            text.push(' ');
            columns += 1;
        }
        text += word;
        columns += width;
    }
    text.push('\n');
    text
}

#[test]
fn the_reasons_are_documented() {
    let mut page = String::from("# Reason codes\n\n");
    page += &wrapped(
        "Every refusal and warning begins with one of these codes, and every reason why a pod or \
         a part of it is left as it is. `keysluice why CODE` prints \
         cause and fix, a message with the code, and the command that looks into it; `keysluice \
         why --list -o json` is for programs. [Where a message shows](where-it-shows.md) says \
         where it is seen: at `kubectl apply`, in events, in a pod. The first 120 characters of a \
         refusal hold code, cause and fix. Only a command line that is wrong has no code: the \
         message names the option, the exit code is 2, and `--help` prints what is right. This \
         page is generated from the code.",
    );
    for reason in keysluice::reason::all() {
        let (cause, fix) =
            (wrapped(&format!("{}.", sentence(reason.cause))), format!("**Fix:** {}.", reason.fix));
        write!(page, "\n## {}\n\n{cause}\n{}", reason.code, wrapped(&fix)).unwrap();
    }
    check_page("reasons.md", &page);
}

/// Begins with a capital, or with a name as it is spelt.
fn sentence(cause: &str) -> String {
    let (first, rest) = cause.split_once(' ').unwrap_or((cause, ""));
    let is_name = first.starts_with(|c: char| c.is_ascii_lowercase())
        && first.contains(|c: char| c.is_ascii_uppercase() || c == '/');
    if is_name {
        return format!("`{first}` {rest}");
    }
    let mut letters = cause.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

#[test]
fn the_annotations_are_documented() {
    let mut page = String::from("# Annotations\n\n");
    page += &wrapped(
        "The annotations are set on the pod (for a workload: on its pod template). The webhook \
         refuses a pod with an unknown annotation below `keysluice.dev/`, so a misspelt \
         annotation is never ignored. This page is generated from the code.",
    );
    page.push_str("\n| annotation | takes | what it does |\n| --- | --- | --- |\n");
    for known in keysluice::mutate::KNOWN_ANNOTATIONS {
        let keysluice::mutate::Annotation { key, takes, effect, .. } = known;
        writeln!(page, "| `{key}` | {takes} | {effect} |").unwrap();
    }
    page.push('\n');
    page += &wrapped(
        "The annotations of Azure Workload Identity keep their names and meaning: see [Coming from \
         Azure Workload Identity](azure-workload-identity.md).",
    );
    check_page("annotations.md", &page);
}

#[test]
fn the_parameters_are_documented() {
    use keysluice::provider_class::reference::{
        Entry, OBJECT_FIELDS, PARAMETERS, Reader, SELECT_FIELDS, TEMPLATE_FIELDS,
    };
    let table = |entries: &[Entry]| {
        let mut table =
            String::from("| name | takes | default | what it does |\n| --- | --- | --- | --- |\n");
        for Entry { name, reader, takes, default, effect } in entries {
            let mark = if *reader == Reader::Keysluice { " \u{2020}" } else { "" };
            writeln!(table, "| `{name}`{mark} | {takes} | {default} | {effect} |").unwrap();
        }
        table
    };
    let head = wrapped(
        "This page lists everything that Keysluice reads from a SecretProviderClass. Names are \
         case-sensitive, and white space around a value is ignored. Names marked \u{2020} are \
         Keysluice's own: the Azure provider of the Secrets Store CSI driver ignores them, so one \
         manifest works with both. [SecretProviderClass](secret-provider-class.md) describes how \
         values are read and what is refused. This page is generated from the code.",
    );
    let mut filters = String::from("| filter | arguments | what it makes |\n| --- | --- | --- |\n");
    for (name, _, takes, effect) in keysluice_plan::FILTERS {
        writeln!(filters, "| `{name}` | {takes} | {effect} |").unwrap();
    }
    let page = format!(
        "# Parameters\n\n{head}\n## `spec.parameters`, and `volumeAttributes`\n\nAttributes of the \
         pod's volume override the parameters of the class.\n\n{}\n## An element of `objects`\n\n\
         {}\n## `select`\n\n{}\n## An element of `templates`\n\n{}\n## Filters of templates\n\n\
         {filters}",
        table(PARAMETERS),
        table(OBJECT_FIELDS),
        table(SELECT_FIELDS),
        table(TEMPLATE_FIELDS)
    );
    check_page("parameters.md", &page);
}

#[test]
fn the_command_lines_are_documented() {
    let mut page = String::from("# Command lines\n\nThis page is generated from the code.\n");
    for command in [
        "",
        "serve",
        "explain",
        "plan",
        "fetch",
        "rbac",
        "render sync",
        "migrate",
        "azure",
        "audit",
        "audit record",
        "jwks",
        "why",
        "doctor",
        "completions",
    ] {
        let arguments: Vec<&str> =
            command.split(' ').filter(|word| !word.is_empty()).chain(["--help"]).collect();
        let (code, help, _) = keysluice(&arguments);
        assert_eq!(code, 0);
        write!(page, "\n## keysluice {command}\n\n```text\n{}\n```\n", trimmed(&help)).unwrap();
    }
    for command in
        ["", "run", "once", "ready", "status", "refresh", "idle", "intercept", "probe", "exec"]
    {
        let mut run = Command::new(binaries().injector);
        run.env_clear();
        let output = run
            .args(command.split(' ').filter(|word| !word.is_empty()))
            .arg("--help")
            .output()
            .unwrap();
        assert!(output.status.success());
        let help = String::from_utf8(output.stdout).unwrap();
        write!(page, "\n## keysluice-injector {command}\n\n```text\n{}\n```\n", trimmed(&help))
            .unwrap();
    }
    check_page("command-lines.md", &page.replace(" \n", "\n"));
}

/// Help text without blanks at the ends of lines.
fn trimmed(help: &str) -> String {
    help.trim().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_difference_from_azure_workload_identity_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/differences.md")).unwrap();
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with("From Azure Workload Identity"))
        .unwrap();
    let sources = ["src", "tests/suite", "tests/cluster/tests"]
        .map(|directory| sources_below(&root.join(directory)))
        .concat();
    let rows: Vec<&str> = section.lines().filter(|line| line.starts_with("| ")).skip(2).collect();
    assert!(rows.len() > 20);
    for row in rows {
        let name = row.rsplit('`').nth(1).unwrap();
        assert!(sources.contains(&format!("fn {name}()")), "{name}");
    }
}

/// The cases of its suite (but those of its proxy sidecar), and eighteen that it lacks.
#[test]
fn every_case_of_azure_workload_identity_has_a_test_of_its_name() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources =
        ["src", "tests/suite"].map(|directory| sources_below(&root.join(directory))).concat();
    for (group, cases) in [
        ("exp", 6),
        ("cid", 2),
        ("ten", 2),
        ("skp", 4),
        ("vol", 3),
        ("env", 4),
        ("mnt", 2),
        ("hdl", 6),
        ("aut", 6),
        ("mut", 3),
        ("pan", 2),
        ("prt", 4),
        ("err", 5),
        ("cfg", 12),
        ("x", 18),
    ] {
        for case in 1..=cases {
            assert!(sources.contains(&format!("fn {group}_{case}_")), "{group}_{case}");
        }
    }
}

/// The text of all Rust files below a directory.
fn sources_below(directory: &Path) -> String {
    let mut text = String::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            text += &sources_below(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text += &std::fs::read_to_string(&path).unwrap();
        }
    }
    text
}
