//! Objects that the API server would refuse.

use super::*;
use serde_json::json;

#[test]
fn a_manifest_that_the_api_server_would_refuse_names_the_field() {
    let cases = [
        (json!([]), "KS101 the manifest is a list, not an object; hint: "),
        (
            json!({"kind": "Pod", "metadata": {"name": "c"}}),
            "KS101 the manifest is another kind of object, Pod, not a SecretProviderClass of \
             secrets-store.csi.x-k8s.io",
        ),
        (
            json!({"apiVersion": "v1", "metadata": {"name": "c"}}),
            "KS101 the manifest is another kind of object, something of v1, not",
        ),
        (json!({"spec": {}}), "KS101 metadata.name is missing; hint: "),
        (
            json!({"metadata": {"name": "c"}, "spec": {"provider": 5}}),
            "KS101 spec.provider is a number, not a string",
        ),
        (json!({"metadata": {"name": "c"}, "spec": []}), "KS101 spec is a list, not an object"),
        (
            json!({"metadata": {"name": "c"},
                "spec": {"parameters": {"useVMManagedIdentity": true}}}),
            "KS102 parameters.useVMManagedIdentity is a boolean, not a string; hint: quote it, as \
             the API server wants it too: useVMManagedIdentity: \"true\"",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"parameters": {"x": 5}}}),
            "KS102 parameters.x is a number, not a string; hint: quote it",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"parameters": {"objects": {"array": []}}}}),
            "KS102 parameters.objects is an object, not a string",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"secretObjects": {}}}),
            "KS101 spec.secretObjects is an object, not a list",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"secretObjects": ["x"]}}),
            "KS101 spec.secretObjects[0] is a string, not an object",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"secretObjects": [{"data": [{"key": 1}]}]}}),
            "KS101 spec.secretObjects[0].data[0].key is a number, not a string",
        ),
        (
            json!({"metadata": {"name": "c"},
                "spec": {"secretObjects": [{"labels": {"a": true}}]}}),
            "KS101 spec.secretObjects[0].labels.a is a boolean, not a string; hint: quote it",
        ),
    ];
    for (value, expected) in cases {
        let error = ProviderClass::from_value(&value).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{value}: {error}");
    }
    // An element of a list from the API server has neither kind nor apiVersion.
    let class = ProviderClass::from_value(&json!({"metadata": {"name": "c", "namespace": "n"},
            "spec": {"provider": "azure", "parameters": null}}));
    assert_eq!(
        class,
        Ok(ProviderClass {
            namespace: "n".into(),
            name: "c".into(),
            provider: "azure".into(),
            ..ProviderClass::default()
        })
    );
}

#[test]
fn a_field_without_a_value_is_left_out_as_the_api_server_leaves_it_out() {
    let spec = json!({
        "provider": "azure", "parameters": {"keyvaultName": "kv", "cloudName": null},
        "secretObjects": [{"secretName": " s ", "type": null, "labels": {"a": null, "b": "c"},
            "data": null}],
    });
    let class =
        ProviderClass::from_value(&json!({"metadata": {"name": "c"}, "spec": spec})).unwrap();
    let secret = SecretObject {
        secret_name: "s".to_owned(),
        labels: map(&[("b", "c")]),
        ..SecretObject::default()
    };
    assert_eq!(
        (class.parameters, class.secret_objects),
        (map(&[("keyvaultName", "kv")]), vec![secret])
    );
}

/// JSON that starts like this, with a list of very many such elements at its end.
fn long_list(start: &str, element: &str) -> String {
    format!("{start}{}{element}]}}", format!("{element},").repeat(300_000))
}

#[test]
fn the_json_of_a_spec_reads_like_a_manifest_and_hostile_ones_take_little() {
    let spec = json!({"provider": "azure", "parameters": {"objects": "x\n", "a": "\u{e4}\""},
        "secretObjects": [{"secretName": "s", "data": [{"objectName": "o", "key": "k"}]}],
        "new": [{}]});
    let value = json!({"metadata": {"name": "c", "namespace": "n"}, "spec": spec});
    let read = ProviderClass::from_value(&value);
    assert_eq!(ProviderClass::from_json("n", "c", &spec.to_string()), read);
    let entries = "KS147 spec has more than 4096 entries in parameters and secretObjects";
    let names: Vec<String> = (0..5000).map(|number| format!("\"{number}\":\"\"")).collect();
    for (spec, expected) in [
        (long_list("{\"provider\":\"azure\",\"secretObjects\":[", "{}"), entries),
        (
            long_list("{\"provider\":\"azure\",\"secretObjects\":[{\"data\":[", "{\"a\":0}") + "]}",
            entries,
        ),
        (format!("{{\"parameters\":{{{}}}}}", names.join(",")), entries),
        (format!("{{\"secretObjects\":[{{\"labels\":{{{}}}}}]}}", names.join(",")), entries),
        (
            "{\"parameters\":{\"a\":1e999}}".to_owned(),
            "KS101 spec is nested too deeply, or has a number too large",
        ),
        ("[]".to_owned(), "KS101 spec is a list, not an object"),
    ] {
        let error = ProviderClass::from_json("n", "c", &spec).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{}: {error}", &spec[..60.min(spec.len())]);
    }
    // What nobody reads may be of any length, and another provider's class is left alone whatever
    // stands in it.
    let ignored = long_list("{\"provider\":\"azure\",\"x\":[", "0");
    assert!(ProviderClass::from_json("n", "c", &ignored).unwrap().memory_bytes() < 2048);
    let foreign = long_list("{\"provider\":\"aws\",\"secretObjects\":[", "{}");
    assert_eq!(ProviderClass::from_json("n", "c", &foreign).unwrap().provider, "aws");
}

#[test]
fn the_error_told_first_is_the_providers_then_the_first_parameters() {
    let spec = json!({"secretObjects": [1], "parameters": {"b": 1, "a": true}});
    for (provider, expected) in [
        (json!(5), "KS101 spec.provider is a number"),
        (json!("azure"), "KS102 parameters.a is a boolean, not a string; hint: quote it"),
    ] {
        let mut spec = spec.clone();
        spec["provider"] = provider;
        let error = ProviderClass::from_json("n", "c", &spec.to_string()).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}
