use super::*;

fn object(kind: &str, name: &str, spec: &Value) -> Object {
    let value = json!({"kind": kind, "metadata": {"name": name}, "spec": spec});
    Object::new(value, Vec::new(), "app")
}

fn pod(name: &str, spec: &Value, labels: &Value, annotations: &Value) -> Object {
    let value = json!({"kind": "Pod", "spec": spec,
        "metadata": {"name": name, "labels": labels, "annotations": annotations}});
    Object::new(value, vec![String::new()], "app")
}

fn identity(name: &str, kind: u64, client_id: &str) -> Object {
    object("AzureIdentity", name, &json!({"type": kind, "clientID": client_id}))
}

fn binding(name: &str, identity: &str) -> Object {
    object("AzureIdentityBinding", name, &json!({"azureIdentity": identity, "selector": "s"}))
}

const ONE: &str = "11111111-1111-1111-1111-111111111111";
const TWO: &str = "22222222-2222-2222-2222-222222222222";

fn bound_pod(account: &str) -> Object {
    pod("p", &json!({"serviceAccountName": account}), &json!({"aadpodidbinding": "s"}), &json!({}))
}

fn migrated(objects: Vec<Object>) -> (Migration, String) {
    let migration = Migration::of(objects, &Choices::default());
    let report = migration.report.print();
    (migration, report)
}

#[test]
fn the_first_of_several_identities_is_taken_and_told() {
    let objects = vec![
        identity("one", 0, ONE),
        identity("two", 0, TWO),
        binding("b", "one"),
        binding("a", "two"),
        bound_pod("web"),
    ];
    let (migration, report) = migrated(objects);
    assert!(report.contains("Pod app/p: KS765 2 identities are bound to"), "{report}");
    let account = &migration.additions[0].value;
    assert_eq!(account["metadata"]["annotations"][CLIENT_ID_ANNOTATION], TWO);
    assert_eq!(migration.objects[4].wanted["metadata"]["labels"][USE_LABEL], "true");
}

#[test]
fn an_account_with_another_identity_keeps_it_and_the_pod_stays() {
    let mut account = object("ServiceAccount", "web", &Value::Null);
    account.value["metadata"]["annotations"] = json!({CLIENT_ID_ANNOTATION: TWO});
    account.wanted = account.value.clone();
    let objects = vec![identity("one", 0, ONE), binding("b", "one"), account, bound_pod("web")];
    let (migration, report) = migrated(objects);
    assert!(report.contains("KS766 ServiceAccount app/web has the client id 2222"), "{report}");
    assert!(!migration.objects[3].is_changed());
}

#[test]
fn what_is_not_a_managed_identity_is_left_to_a_person() {
    for (objects, expected) in [
        (vec![identity("one", 1, ONE), binding("b", "one")], "it is a service principal"),
        (vec![identity("one", 0, "x"), binding("b", "one")], "clientID \"x\" is not a GUID"),
        (vec![binding("b", "one")], "AzureIdentity app/one is not in the input"),
        (vec![], "no AzureIdentityBinding of the input has the selector \"s\""),
    ] {
        let (migration, report) = migrated([objects, vec![bound_pod("web")]].concat());
        assert!(report.contains("KS764") && report.contains(expected), "{report}");
        assert!(migration.objects.iter().all(|object| !object.is_changed()));
    }
}

/// Two secrets, and a pod whose two containers have these values of the variable `KEY`.
fn pod_with_keys_of(first: &str, second: &str) -> Vec<Object> {
    let [x, y] = ["x", "y"].map(|name| {
        let spec = json!({"vault": {"name": "v", "object": {"name": name, "type": "secret"}}});
        object("AzureKeyVaultSecret", name, &spec)
    });
    let containers = json!([
        {"name": "a", "env": [{"name": "KEY", "value": first}]},
        {"name": "b", "env": [{"name": "KEY", "value": second}]},
    ]);
    vec![x, y, pod("p", &json!({"containers": containers}), &json!({}), &json!({}))]
}

#[test]
fn containers_that_want_different_values_of_a_variable_stay() {
    let (migration, report) = migrated(pod_with_keys_of("x@azurekeyvault", "y@azurekeyvault"));
    assert!(report.contains("KS768 containers want different values of KEY"), "{report}");
    assert!(!migration.objects[2].is_changed());
    let (migration, _) = migrated(pod_with_keys_of("x@azurekeyvault", "x@azurekeyvault"));
    let wanted = &migration.objects[2].wanted;
    assert_eq!(wanted["spec"], json!({"containers": [{"name": "a"}, {"name": "b"}]}));
    assert_eq!(
        wanted["metadata"]["annotations"],
        json!({"keysluice.dev/env.KEY": "kv://v/secrets/x"})
    );
}

#[test]
fn a_path_of_vault_becomes_an_object_only_as_the_user_says() {
    let annotations = json!({"vault.hashicorp.com/agent-inject": "1",
        "vault.hashicorp.com/agent-inject-secret-db": "secret/data/shop/db",
        "vault.hashicorp.com/agent-pre-populate-only": "true"});
    let pod = pod("p", &json!({"containers": []}), &json!({}), &annotations);
    let (migration, report) = migrated(vec![pod.clone()]);
    let kept = &migration.objects[0].wanted["metadata"]["annotations"];
    assert!(*kept == annotations && report.contains("KS769"), "{report}");
    for (path, expected) in [
        (None, "kv://v/secrets/shop-db"),
        (Some("kv://w/secrets/a?json-key=b"), "kv://w/secrets/a?json-key=b"),
    ] {
        let paths = path.map(|to| ("secret/data/shop/db".to_owned(), to.to_owned()));
        let choices = Choices { vault: Some("v".to_owned()), paths: paths.into_iter().collect() };
        let migration = Migration::of(vec![pod.clone()], &choices);
        assert_eq!(
            migration.objects[0].wanted["metadata"]["annotations"],
            json!({"keysluice.dev/file.db": expected, "keysluice.dev/mode": "init",
                "keysluice.dev/mount-path": "/vault/secrets"})
        );
    }
}
