use super::super::testing::{CLIENT, account, facts, labelled, run, run_with, settings};
use serde_json::{Value, json};

fn names(container: &Value) -> Vec<&str> {
    container["env"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| entry["name"].as_str().unwrap())
        .collect()
}

#[test]
fn the_four_variables_come_in_order_with_the_token_volume_and_mount() {
    let (pod, mutation) = run(&labelled("pod", json!({"containers": [{"name": "app"}]}))).unwrap();
    let token = "azure-workload-identity-reserved-425c89ed5bb78a7623fae60fd8a6f6";
    assert_eq!(
        pod["spec"],
        json!({
            "containers": [{"name": "app",
                "env": [
                    {"name": "AZURE_CLIENT_ID", "value": CLIENT},
                    {"name": "AZURE_TENANT_ID", "value": "cluster-tenant"},
                    {"name": "AZURE_FEDERATED_TOKEN_FILE",
                        "value": "/var/run/secrets/azure/wi/token/azure-identity-token"},
                    {"name": "AZURE_AUTHORITY_HOST",
                        "value": "https://login.microsoftonline.com/"}],
                "volumeMounts": [{"name": token, "mountPath": "/var/run/secrets/azure/wi",
                    "readOnly": true}]}],
            "volumes": [{"name": token, "projected": {"sources": [{"serviceAccountToken": {
                "path": "token/azure-identity-token", "expirationSeconds": 3600,
                "audience": "api://AzureADTokenExchange"}}]}}]
        })
    );
    assert!(mutation.warnings.is_empty());
}

#[test]
fn a_generated_name_is_hashed_with_its_mark() {
    let mut pod = labelled("x", json!({"containers": []}));
    pod["metadata"] = json!({"generateName": "nginx-7c5ddbdf54-",
        "labels": {"azure.workload.identity/use": "true"}});
    let (pod, _) = run(&pod).unwrap();
    assert_eq!(
        pod["spec"]["volumes"][0]["name"],
        "azure-workload-identity-reserved-58be5b85cd38e43bb2c83fd5fbf5b5"
    );
}

#[test]
fn without_the_exact_label_nothing_changes() {
    for labels in [
        json!(null),
        json!({}),
        json!({"azure.workload.identity/use": "True"}),
        json!({"azure.workload.identity/use": "false"}),
    ] {
        let pod = json!({"kind": "Pod", "metadata": {"name": "p", "labels": labels},
            "spec": {"containers": [{"name": "app"}]}});
        let (_, mutation) = run(&pod).unwrap();
        assert!(mutation.patch.is_empty());
    }
}

#[test]
fn existing_variables_win_and_new_ones_are_appended() {
    let env = json!([{"name": "MY", "value": "1"}, {"name": "AZURE_CLIENT_ID", "value": "mine"},
        {"name": "AZURE_TENANT_ID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]);
    let (pod, _) =
        run(&labelled("pod", json!({"containers": [{"name": "app", "env": env}]}))).unwrap();
    let app = &pod["spec"]["containers"][0];
    assert_eq!(
        names(app),
        [
            "MY",
            "AZURE_CLIENT_ID",
            "AZURE_TENANT_ID",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_AUTHORITY_HOST"
        ]
    );
    assert_eq!(app["env"][1]["value"], "mine");
}

#[test]
fn a_variable_goes_before_the_entry_that_refers_to_it() {
    let env = json!([{"name": "A", "value": "x"},
        {"name": "URL", "value": "id=$(AZURE_CLIENT_ID)&t=$(AZURE_TENANT_ID)"},
        {"name": "ESCAPED", "value": "$$(AZURE_AUTHORITY_HOST)"}]);
    let (pod, _) =
        run(&labelled("pod", json!({"containers": [{"name": "app", "env": env}]}))).unwrap();
    assert_eq!(
        names(&pod["spec"]["containers"][0]),
        [
            "A",
            "AZURE_CLIENT_ID",
            "AZURE_TENANT_ID",
            "URL",
            "ESCAPED",
            "AZURE_FEDERATED_TOKEN_FILE",
            "AZURE_AUTHORITY_HOST"
        ]
    );
}

#[test]
fn init_containers_are_included_and_listed_ones_skipped() {
    let mut pod = labelled(
        "pod",
        json!({"initContainers": [{"name": "init"}],
            "containers": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}),
    );
    pod["metadata"]["annotations"] =
        json!({"azure.workload.identity/skip-containers": "a; b;unknown"});
    let (pod, _) = run(&pod).unwrap();
    assert_eq!(names(&pod["spec"]["initContainers"][0]).len(), 4);
    assert_eq!(pod["spec"]["containers"][0], json!({"name": "a"}));
    assert_eq!(pod["spec"]["containers"][1], json!({"name": "b"}));
    assert_eq!(names(&pod["spec"]["containers"][2]).len(), 4);
}

#[test]
fn a_service_account_without_client_id_gives_a_warning_and_no_variable() {
    let mut facts = facts();
    facts.service_account = Some(account(&[("azure.workload.identity/client-id", "")]));
    let (pod, mutation) =
        run_with(&labelled("pod", json!({"containers": [{"name": "app"}]})), &settings(), &facts)
            .unwrap();
    assert_eq!(
        names(&pod["spec"]["containers"][0]),
        ["AZURE_TENANT_ID", "AZURE_FEDERATED_TOKEN_FILE", "AZURE_AUTHORITY_HOST"]
    );
    assert!(
        mutation.warnings[0].starts_with("KS250 ServiceAccount default"),
        "{:?}",
        mutation.warnings
    );
}

#[test]
fn empty_tenant_annotation_falls_back_to_cluster_default() {
    for (tenant, expected) in [("", "cluster-tenant"), ("own", "own")] {
        let mut facts = facts();
        facts.service_account = Some(account(&[
            ("azure.workload.identity/client-id", "c"),
            ("azure.workload.identity/tenant-id", tenant),
        ]));
        let (pod, _) = run_with(
            &labelled("pod", json!({"containers": [{"name": "app"}]})),
            &settings(),
            &facts,
        )
        .unwrap();
        assert_eq!(pod["spec"]["containers"][0]["env"][1]["value"], expected);
    }
}

#[test]
fn a_missing_service_account_is_refused_by_name() {
    let mut facts = facts();
    facts.service_account = None;
    let pod = labelled("pod", json!({"serviceAccountName": "sa", "containers": []}));
    let error = run_with(&pod, &settings(), &facts).unwrap_err();
    assert!(error.starts_with("KS202 serviceaccounts \"sa\" not found"), "{error}");
}

#[test]
fn token_expiration_follows_precedence_and_bounds() {
    let key = "azure.workload.identity/service-account-token-expiration";
    let cases: &[(Option<&str>, Option<&str>, Result<i64, &str>)] = &[
        (Some("3600s"), None, Err("strconv.ParseInt: parsing \"3600s\": invalid syntax")),
        (None, Some("3600s"), Err("strconv.ParseInt: parsing \"3600s\": invalid syntax")),
        (
            Some("3599"),
            None,
            Err("token expiration 3599 not valid. Expected value to be between 3600 and 86400"),
        ),
        (
            Some("86401"),
            None,
            Err("token expiration 86401 not valid. Expected value to be between 3600 and 86400"),
        ),
        (None, Some("4800"), Ok(4800)),
        (Some("4000"), Some("4800"), Ok(4000)),
        (Some(""), Some("4800"), Ok(4800)),
        (Some("bad"), Some("4800"), Err("parsing \"bad\"")),
        (None, None, Ok(3600)),
    ];
    for (of_pod, of_account, expected) in cases {
        let mut pod = labelled("pod", json!({"containers": []}));
        if let Some(value) = of_pod {
            pod["metadata"]["annotations"] = json!({key: value});
        }
        let mut facts = facts();
        facts.service_account =
            Some(account(&of_account.iter().map(|value| (key, *value)).collect::<Vec<_>>()));
        match (run_with(&pod, &settings(), &facts), expected) {
            (Ok((pod, _)), Ok(seconds)) => {
                let source = &pod["spec"]["volumes"][0]["projected"]["sources"][0];
                assert_eq!(source["serviceAccountToken"]["expirationSeconds"], *seconds);
            }
            (Err(error), Err(text)) => {
                assert!(error.starts_with("KS203") && error.contains(text), "{error}");
            }
            (result, expected) => {
                panic!("{of_pod:?} {of_account:?}: {result:?}, expected {expected:?}")
            }
        }
    }
}

#[test]
fn a_second_run_changes_nothing_also_under_another_name() {
    let (mut pod, _) = run(&labelled("pod", json!({"containers": [{"name": "app"}]}))).unwrap();
    assert!(run(&pod).unwrap().1.patch.is_empty());
    pod["metadata"]["name"] = json!("renamed");
    assert!(run(&pod).unwrap().1.patch.is_empty());
    pod["spec"]["containers"].as_array_mut().unwrap().push(json!({"name": "late"}));
    let (pod, _) = run(&pod).unwrap();
    assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 1);
    assert_eq!(
        pod["spec"]["containers"][1]["volumeMounts"][0]["name"],
        pod["spec"]["volumes"][0]["name"]
    );
}

#[test]
fn a_volume_or_mount_of_the_reserved_name_is_corrected() {
    let name = "azure-workload-identity-reserved-425c89ed5bb78a7623fae60fd8a6f6";
    let spec = json!({"containers": [{"name": "app",
        "volumeMounts": [{"name": name, "mountPath": "/elsewhere", "subPath": "x"}]}],
        "volumes": [{"name": name,
            "projected": {"sources": [{"serviceAccountToken": {"path": "other",
            "audience": "a"}}]}}]});
    let (pod, _) = run(&labelled("pod", spec)).unwrap();
    assert_eq!(
        pod["spec"]["containers"][0]["volumeMounts"],
        json!([{"name": name, "mountPath": "/var/run/secrets/azure/wi", "readOnly": true}])
    );
    assert_eq!(
        pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"]["path"],
        "token/azure-identity-token"
    );
    assert_eq!(pod["spec"]["volumes"].as_array().unwrap().len(), 1);
}

#[test]
fn a_foreign_mount_at_the_token_path_is_refused() {
    let spec = json!({"containers": [{"name": "app",
        "volumeMounts": [{"name": "mine", "mountPath": "/var/run/secrets/azure/wi/"}]}]});
    let error = run(&labelled("pod", spec)).unwrap_err();
    assert!(error.starts_with("KS204 container \"app\" mounts volume \"mine\""), "{error}");
}
