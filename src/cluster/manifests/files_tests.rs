use super::*;
use serde_json::json;

fn parse(text: &str) -> Result<Vec<Document>, String> {
    parse_documents(text, Path::new("x.yaml")).map_err(|error| error.to_string())
}

fn kinds(text: &str) -> Vec<String> {
    parse(text)
        .unwrap()
        .iter()
        .map(|document| document.value["kind"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn documents_lists_and_json_are_read() {
    for text in [
        "kind: A\n---\n# nothing\n---\nkind: List\nitems:\n- kind: B\n- kind: C\n",
        "---\nkind: A\n--- # b\nkind: B\n---#c\nkind: C\n...\n",
        "%YAML 1.1\n---\nkind: A\n--- {kind: B}\n---\n\nkind: C",
        "\u{FEFF}kind: A\r\n---\r\nkind: B\r\n---\r\n\u{FEFF}kind: C\r\n",
        "{\"kind\": \"A\"}\n{\"kind\": \"B\"}{\"kind\": \"C\"}",
        "{kind: A}\n---\n{\"kind\": \"B\"}\n---\nkind: C\n",
        "kind: A\n---\nkind: B\n---\nnull\n---\nkind: C\n---\n",
    ] {
        assert_eq!(kinds(text), ["A", "B", "C"], "{text:?}");
    }
    assert_eq!(
        parse(r#"{"kind": "Pod", "n": 1}"#).unwrap()[0].value,
        json!({"kind": "Pod", "n": 1})
    );
}

#[test]
fn every_object_knows_its_file_and_line() {
    for (text, lines) in [
        ("# x\nkind: A\n---\n\n# y\nkind: B\n", &[2, 6][..]),
        ("kind: List\nitems:\n- kind: A\n  x: 1\n-\n  kind: B\n", &[3, 6]),
        (
            "kind: List\nitems:\n- kind: List\n  items:\n  - kind: A\n- kind: B\n  \
            items: [{a: 1}]\n",
            &[5, 6],
        ),
        ("{\"kind\": \"A\"}\n\n{\n\"kind\": \"B\"} {\"kind\": \"C\"}", &[1, 3, 4]),
        ("\n{\n\"kind\": \"List\", \"items\": [\n{\"kind\": \"B\"}]}", &[4]),
    ] {
        let locations: Vec<String> =
            parse(text).unwrap().into_iter().map(|document| document.location).collect();
        let expected: Vec<String> = lines.iter().map(|line| format!("x.yaml:{line}")).collect();
        assert_eq!(locations, expected, "{text:?}");
    }
    let item = &parse_documents("kind: A\n", Path::new("-")).unwrap()[0];
    assert_eq!((item.location.as_str(), item.origin.as_str()), ("stdin:1", "-"));
}

#[test]
fn kind_k_items_of_a_list_get_the_kind_of_the_list() {
    let items = parse(
        "kind: PodList\napiVersion: v1\nitems: [{metadata: {name: a}}, {kind: Pod, m: 0400}]\n",
    )
    .unwrap();
    assert_eq!(
        items[0].value,
        json!({"metadata": {"name": "a"}, "kind": "Pod", "apiVersion": "v1"})
    );
    assert_eq!(items[1].written("/m").map(|written| written.text.as_str()), Some("0400"));
    assert_eq!(kinds("kind: DeploymentList\nitems: [{}, {}]\n"), ["Deployment", "Deployment"]);
    let nested = "kind: List\nitems:\n- kind: A\n- kind: List\n  items: [{kind: B, m: 0x1}, \
        {kind: CList, items: [{}]}]\n- x: z\n";
    assert_eq!(kinds(nested), ["A", "B", "C"]);
    assert_eq!(
        parse(nested).unwrap()[1].written("/m").map(|written| written.text.as_str()),
        Some("0x1")
    );
    assert_eq!(kinds("kind: RoleList\n"), ["RoleList"], "without items it is an object");
}

#[test]
fn scalars_keep_their_types() {
    let documents = parse(
        "kind: X\na: \"true\"\nb: true\nc: 3\nd: '3'\ne: 1.5\ng: |\n  text\nh: 0400\ni: \
            yes\nj: 0o17\n",
    )
    .unwrap();
    let expected = json!({"kind": "X", "a": "true", "b": true, "c": 3, "d": "3", "e": 1.5,
        "g": "text\n", "h": 256, "i": true, "j": 15});
    assert_eq!(documents[0].value, expected);
}

#[test]
fn kind_f2_a_field_without_a_value_is_as_if_absent() {
    let documents = parse("kind: X\na:\nb: ~\nc: {d: null, e: {f: }}\ng: [{h: , i: 1}]\n").unwrap();
    assert_eq!(documents[0].value, json!({"kind": "X", "c": {"e": {}}, "g": [{"i": 1}]}));
}

#[test]
fn a_label_or_annotation_without_a_value_is_empty() {
    let documents =
        parse("kind: X\nmetadata:\n  labels: {a: , b: c}\n  annotations: {d: null}\n").unwrap();
    let metadata = json!({"labels": {"a": "", "b": "c"}, "annotations": {"d": ""}});
    assert_eq!(documents[0].value["metadata"], metadata);
}

#[test]
fn kind_f3_a_repeated_key_is_a_warning_and_other_documents_are_read() {
    let documents = parse("kind: A\n---\nkind: B\nspec:\n  m: 1\n  m: 2\n---\nkind: C\n").unwrap();
    assert_eq!(documents[1].value["spec"]["m"], 2);
    let warning = &documents[1].warnings[0];
    assert!(
        warning.starts_with(
            "KS738 x.yaml, document 2, line 6: spec.m is there twice: the last one counts"
        ),
        "{warning}"
    );
    assert!(documents[0].warnings.is_empty() && documents.len() == 3);
}

#[test]
fn broken_files_are_named_with_the_place() {
    for (text, expected) in [
        ("kind: [", "KS704 x.yaml: line 1: a bracket that is never closed; hint: correct the file"),
        ("kind: A\n---\nb: c\nd: [\n", "KS704 x.yaml: line 4: a bracket that is never closed"),
        (
            "kind: A\n---\njust text\n",
            "KS704 x.yaml, document 2: not a Kubernetes object (a mapping with kind)",
        ),
        ("kind: {{ .Values.kind }}\n", "KS704 x.yaml: line 1: "),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.starts_with(expected), "{text:?}: {error}");
        for library in ["saphyr", "Options", "expected string scalar", "simple key", "serde"] {
            assert!(!error.contains(library), "{error}");
        }
    }
    assert!(
        parse("kind: {{ .Values.kind }}\n")
            .unwrap_err()
            .contains("a Helm template: render it with helm template")
    );
    let error = read_documents(Path::new("/nonexistent/x.yaml")).unwrap_err().to_string();
    assert_eq!(
        error,
        "KS704 cannot read /nonexistent/x.yaml: No such file or directory (os error 2)"
    );
}

#[test]
fn kind_n_utf_16_is_read_and_other_bytes_are_named() {
    let marked = "\u{FEFF}kind: ä😀\r\n";
    for to_bytes in [u16::to_be_bytes, u16::to_le_bytes] {
        let bytes: Vec<u8> = marked.encode_utf16().flat_map(to_bytes).collect();
        assert_eq!(decode(&bytes).unwrap(), "kind: ä😀\r\n");
    }
    let mut half: Vec<u8> = "\u{FEFF}kind: A".encode_utf16().flat_map(u16::to_le_bytes).collect();
    half.pop();
    let without_mark: Vec<u8> = "kind: A".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, expected) in [
        (&half[..], "neither UTF-8 nor whole UTF-16"),
        (&without_mark, "it holds NUL bytes, as UTF-16 does"),
        (b"kind: A\nname: \xE4\n", "line 2 is not UTF-8"),
        (&[0xFF, 0xFE, 0, 0, b'a', 0, 0, 0], "neither UTF-8 nor whole UTF-16"),
    ] {
        assert_eq!(decode(bytes).unwrap_err(), expected, "{bytes:?}");
    }
    assert_eq!(decode(b"").unwrap(), "");
}

#[test]
fn kind_f5_an_unreadable_neighbour_is_a_note_and_a_named_file_an_error() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("templates")).unwrap();
    for (name, bytes) in [
        ("a.yaml", &b"kind: A\n"[..]),
        ("templates/cm.yaml", b"metadata: {name: {{ .Release.Name }}}\n"),
        ("broken.yml", b"kind: [\n"),
        ("latin.yaml", b"kind: \xE4\n"),
        ("values.yaml", b"replicas: 1\n"),
        ("notes.txt", b"{{"),
    ] {
        let mut file = std::fs::File::create(directory.path().join(name)).unwrap();
        std::io::Write::write_all(&mut file, bytes).unwrap();
    }
    std::os::unix::fs::symlink("/nonexistent", directory.path().join("gone.yaml")).unwrap();
    std::os::unix::fs::symlink(directory.path(), directory.path().join("loop")).unwrap();
    std::os::unix::fs::symlink("a.yaml", directory.path().join("linked.yaml")).unwrap();
    let pipe = directory.path().join("pipe.yaml");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    std::os::unix::fs::symlink(&pipe, directory.path().join("pipe-link.json")).unwrap();
    let files = read_neighbours(directory.path()).unwrap();
    assert!(files.documents.iter().all(|document| document.value["kind"] == "A"));
    assert_eq!(files.documents.len(), 2, "a.yaml and the link to it; a pipe is not read");
    for (name, expected) in [
        ("cm.yaml", "a Helm template: render it with helm template"),
        ("broken.yml", "line 1: a bracket that is never closed"),
        ("latin.yaml", "line 1 is not UTF-8"),
        ("gone.yaml", "No such file or directory"),
    ] {
        let note = files.notes.iter().find(|note| note.contains(name)).unwrap();
        assert!(note.starts_with("KS737 not read: ") && note.contains(expected), "{note}");
    }
    assert!(
        !files.notes.iter().any(|note| note.contains("values.yaml") || note.contains("notes.txt"))
    );
    assert!(read_neighbours(&directory.path().join("broken.yml")).is_err());
    assert!(read_documents(directory.path()).is_err());
}

#[test]
fn a_pipe_that_is_named_is_read() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let written = pipe.clone();
    let writer = std::thread::spawn(move || {
        std::fs::OpenOptions::new()
            .write(true)
            .open(written)
            .and_then(|mut pipe| std::io::Write::write_all(&mut pipe, b"kind: A\n"))
    });
    let files = read_documents(&pipe).unwrap();
    writer.join().unwrap().unwrap();
    assert_eq!(files.documents[0].value["kind"], "A");
}
