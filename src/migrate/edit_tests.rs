use super::*;

fn value(text: &str) -> Value {
    let mut value = yaml::parse(text, 1).unwrap().value;
    prune(&mut value);
    value
}

fn prune(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, value| !value.is_null());
        fields.values_mut().for_each(prune);
    }
}

/// The edited text, which says what was wanted.
fn edit(text: &str, change: impl Fn(&mut Value)) -> String {
    let old = value(text);
    let mut wanted = old.clone();
    change(&mut wanted);
    let edited = edited(text, &old, &wanted).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(value(&edited), wanted, "{edited}");
    edited
}

fn label(object: &mut Value) {
    object["metadata"]["labels"]["use"] = json!("true");
}

#[test]
fn a_label_is_one_line_and_all_else_stays() {
    for (text, expected) in [
        (
            "# a\nmetadata:\n  labels:   # b\n    app: 'web'  # c\n\n  # d\n  name: x\n",
            "# a\nmetadata:\n  labels:   # b\n    app: 'web'  # c\n    use: \"true\"\n\n  # d\n  \
             name: x\n",
        ),
        ("metadata:\n    name: x", "metadata:\n    name: x\n    labels:\n      use: \"true\""),
        ("kind: A\nspec: 1\n", "metadata:\n  labels:\n    use: \"true\"\nkind: A\nspec: 1\n"),
        (
            "metadata:\r\n  labels:\r\n    a: b\r\nspec: c\r\n",
            "metadata:\r\n  labels:\r\n    a: b\r\n    use: \"true\"\r\nspec: c\r\n",
        ),
        (
            "metadata: {name: x, labels: {a: b}} # c\n",
            "metadata: {name: x, labels: {\"use\": \"true\", a: b}} # c\n",
        ),
        ("metadata: {labels: {}}\n", "metadata: {labels: {\"use\": \"true\"}}\n"),
        (
            "{\n  \"metadata\": {\n    \"name\": \"x\"\n  }\n}\n",
            "{\n  \"metadata\": {\n    \"labels\": {\"use\":\"true\"},\n    \"name\": \"x\"\n  \
             }\n}\n",
        ),
        (
            "metadata:\n  labels:\n  name: x\n",
            "metadata:\n  labels:\n    use: \"true\"\n  name: x\n",
        ),
        (
            "metadata:\n  labels: ~ # c\n  name: x\n",
            "metadata:\n  labels:  # c\n    use: \"true\"\n  name: x\n",
        ),
        (
            "metadata:\n  labels:\n    a: |\n      x\n      # y\n\n    # z\n  name: x\n",
            "metadata:\n  labels:\n    a: |\n      x\n      # y\n    use: \"true\"\n\n    # z\n  \
             name: x\n",
        ),
        (
            "items:\n- x\nmetadata:\n  labels: &l\n    é: ü\n",
            "items:\n- x\nmetadata:\n  labels: &l\n    é: ü\n    use: \"true\"\n",
        ),
    ] {
        assert_eq!(edit(text, label), expected);
    }
}

#[test]
fn items_and_keys_are_removed_with_their_lines() {
    let text = "env:\n  - name: A # a\n    value: x\n  # b\n  - name: B\n    value: |\n      y\n  \
        - {name: C}\nlast: 1\n";
    let flow = "env: [{name: A}, {name: B}, {name: C}]\n";
    for (text, names, expected) in [
        (
            text,
            &["A"][..],
            "env:\n  # b\n  - name: B\n    value: |\n      y\n  - {name: C}\nlast: 1\n",
        ),
        (text, &["B", "C"], "env:\n  - name: A # a\n    value: x\n  # b\nlast: 1\n"),
        (flow, &["A"], "env: [{name: B}, {name: C}]\n"),
        (flow, &["C"], "env: [{name: A}, {name: B}]\n"),
        (flow, &["A", "B", "C"], "env: []\n"),
    ] {
        let edited = edit(text, |object| {
            let env = object["env"].as_array_mut().unwrap();
            env.retain(|entry| !names.contains(&entry["name"].as_str().unwrap()));
        });
        assert_eq!(edited, expected, "without {names:?}");
    }
    for (text, expected) in [(text, "last: 1\n"), ("{\"env\": [1], \"a\": 1}", "{\"a\": 1}")] {
        let edited = edit(text, |object| {
            object.as_object_mut().unwrap().remove("env");
        });
        assert_eq!(edited, expected);
    }
}

#[test]
fn a_pod_template_is_edited_in_several_places() {
    let text = [
        "metadata:\n  labels: {a: b}\nspec:\n  containers:\n    - name: app\n      env:\n",
        "        # c\n        - name: A\n          value: x\n        - name: B\n",
        "          value: y\n",
        "        - {name: C, value: z@a?b}\n      ports: [{containerPort: 80}]\n    - name: b\n",
    ]
    .concat();
    let expected = [
        "metadata:\n  labels: {\"use\": \"true\", a: b}\n  annotations:\n    x: z\nspec:\n",
        "  containers:\n    - name: app\n      env:\n        # c\n        - name: A\n",
        "          value: x\n      ports: [{containerPort: 80}]\n    - name: b\n",
    ]
    .concat();
    let edited = edit(&text, |object| {
        label(object);
        object["metadata"]["annotations"] = json!({"x": "z"});
        let env = object["spec"]["containers"][0]["env"].as_array_mut().unwrap();
        env.truncate(1);
    });
    assert_eq!(edited, expected);
}

#[test]
fn an_item_of_a_list_of_objects_is_edited() {
    let text = "kind: List\nitems:\n- kind: A\n  metadata: {name: a}\n- kind: B\n  metadata:\n    \
        name: b\n";
    let expected = "kind: List\nitems:\n- kind: A\n  metadata: {name: a}\n- kind: B\n  \
        metadata:\n    name: b\n    labels:\n      use: \"true\"\n";
    assert_eq!(edit(text, |object| label(&mut object["items"][1])), expected);
}

#[test]
fn a_value_is_replaced_in_place() {
    let text = "a: {b: 'true'} # c\nd: \"x\"\n";
    let edited = edit(text, |object| {
        object["a"]["b"] = json!("false");
        object["d"] = json!("z");
    });
    assert_eq!(edited, "a: {b: \"false\"} # c\nd: z\n");
}

#[test]
fn what_takes_more_than_lines_is_left_to_a_person() {
    for text in
        ["base: &b {a: b}\nmetadata:\n  labels: *b\n", "metadata: &m\n  <<: {labels: {a: b}}\n"]
    {
        let old = value(text);
        let mut wanted = old.clone();
        label(&mut wanted);
        let found = edited(text, &old, &wanted);
        assert!(found.is_none_or(|found| value(&found) != wanted), "{text}");
    }
}
