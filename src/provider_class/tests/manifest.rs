//! Objects that the API server would refuse.

use super::*;
use serde_json::json;

#[test]
fn a_manifest_that_the_api_server_would_refuse_names_the_field() {
    let cases = [
        (json!([]), "KS101 the manifest is a list, not an object; hint: "),
        (
            json!({"kind": "Pod", "metadata": {"name": "c"}}),
            "KS101 the manifest is another kind of object, Pod, not a SecretProviderClass of secrets-store.csi.x-k8s.io",
        ),
        (
            json!({"apiVersion": "v1", "metadata": {"name": "c"}}),
            "KS101 the manifest is another kind of object, something of v1, not",
        ),
        (json!({"spec": {}}), "KS101 metadata.name is missing; hint: "),
        (json!({"metadata": {"name": "c"}, "spec": {"provider": 5}}), "KS101 spec.provider is a number, not a string"),
        (json!({"metadata": {"name": "c"}, "spec": []}), "KS101 spec is a list, not an object"),
        (
            json!({"metadata": {"name": "c"}, "spec": {"parameters": {"useVMManagedIdentity": true}}}),
            "KS102 parameters.useVMManagedIdentity is a boolean, not a string; hint: quote it, as the API server wants it too: useVMManagedIdentity: \"true\"",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"parameters": {"x": 5}}}),
            "KS102 parameters.x is a number, not a string; hint: quote it",
        ),
        (
            json!({"metadata": {"name": "c"}, "spec": {"parameters": {"x": null}}}),
            "KS102 parameters.x is null, not a string; hint: give it a quoted value",
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
            json!({"metadata": {"name": "c"}, "spec": {"secretObjects": [{"labels": {"a": true}}]}}),
            "KS101 spec.secretObjects[0].labels.a is a boolean, not a string; hint: quote it",
        ),
    ];
    for (value, expected) in cases {
        let error = ProviderClass::from_value(&value).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{value}: {error}");
    }
    // An element of a list from the API server has neither kind nor apiVersion.
    let class = ProviderClass::from_value(
        &json!({"metadata": {"name": "c", "namespace": "n"}, "spec": {"provider": "azure", "parameters": null}}),
    );
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
