use super::super::testing::{
    bound, csi_volume, facts, labelled, pod_with_volume, run_with, settings,
};
use crate::cloud::Cloud;
use crate::settings::Settings;
use serde_json::{Value, json};

/// A mutated pod whose Plan has been changed.
fn changed(settings: &Settings, change: impl FnOnce(&mut Value)) -> Value {
    let (mut pod, _) = run_with(&pod_with_volume(), settings, &facts()).unwrap();
    let value = &mut pod["spec"]["initContainers"][0]["env"][0]["value"];
    let mut plan: Value =
        serde_json::from_str(&value.as_str().unwrap().replace("$$", "$")).unwrap();
    change(&mut plan);
    *value = json!(plan.to_string().replace('$', "$$"));
    pod
}

fn verdict(pod: &Value, settings: &Settings) -> Result<(), String> {
    run_with(pod, settings, &facts()).map(|_| ())
}

fn refused(pod: &Value, expected: &str) {
    let error = verdict(pod, &settings()).expect_err(expected);
    assert!(error.starts_with("KS225 /spec/") && error.contains(expected), "{error}");
}

/// A pod whose Plan sends its reaction to this URL.
fn with_reaction(url: &Value) -> Value {
    changed(&settings(), |plan| {
        plan["reaction"] = json!({"action": {"kind": "http", "url": url}, "spreadSeconds": 0});
    })
}

#[test]
fn a_reaction_of_a_plan_leads_to_the_pod_itself() {
    assert_eq!(verdict(&with_reaction(&json!("http://[::1]:80/")), &settings()), Ok(()));
    for url in [json!("http://169.254.169.254:80/"), json!("http://127.0.0.1:80@evil/"), json!(1)] {
        refused(&with_reaction(&url), "the reaction's url");
    }
}

#[test]
fn endpoints_vaults_and_tenants_of_a_plan_are_the_operators() {
    for authority in
        ["https://login.evil.example/", "https://login.microsoftonline.com.evil.example/"]
    {
        let pod = changed(&settings(), |plan| {
            plan["identities"][0]["credential"]["authority"] = json!(authority);
        });
        refused(&pod, &format!("the authority {authority:?}"));
    }
    let managed = json!({"kind": "managedIdentity", "endpoint": "http://10.0.0.1:80/"});
    let pod = changed(&settings(), |plan| plan["identities"][0]["credential"] = managed);
    refused(&pod, "the managed-identity endpoint \"http://10.0.0.1:80/\"");
    for vault in [
        "https://kv.evil.example/",
        "https://vault.azure.net/",
        "https://a.b.vault.azure.net/",
        "https://kv.vault.azure.net.evil.example/",
        "http://kv.vault.azure.net/",
        "x",
    ] {
        let pod =
            changed(&settings(), |plan| plan["volumes"][0]["files"][1]["vault"] = json!(vault));
        refused(&pod, &format!("the vault {vault:?}"));
        let pod = changed(&settings(), |plan| {
            plan["volumes"][0]["selections"] = json!([{"vault": vault}]);
        });
        refused(&pod, &format!("the vault {vault:?}"));
    }
    refused(
        &changed(&settings(), |plan| plan["trustedCa"] = json!("-----BEGIN CERTIFICATE-----\n")),
        "trustedCa",
    );
    refused(
        &changed(&settings(), |plan| {
            plan["identities"][0]["scope"] = json!("https://management.azure.com/.default");
        }),
        "the scope",
    );
}

#[test]
fn the_allow_lists_hold_for_a_plan_too() {
    let pod = changed(&settings(), |_| ());
    for (vaults, tenants, is_allowed) in [
        (vec!["vault-*"], vec![], true),
        (vec!["other"], vec![], false),
        (vec![], vec!["cluster-tenant"], true),
        (vec![], vec!["other"], false),
    ] {
        let mut settings = settings();
        settings.limits.vaults = vaults.iter().map(|name| (*name).to_owned()).collect();
        settings.limits.tenants = tenants.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(verdict(&pod, &settings).is_ok(), is_allowed, "{vaults:?} {tenants:?}");
    }
}

#[test]
fn our_own_output_passes_also_of_other_versions_and_under_another_name() {
    let mut pod = changed(&settings(), |_| ());
    assert_eq!(verdict(&pod, &settings()), Ok(()));
    pod["metadata"]["name"] = json!("renamed");
    assert_eq!(verdict(&pod, &settings()), Ok(()));
    let newer = changed(&settings(), |plan| {
        plan["schema"] = json!(2);
        plan["reactions"] = json!([{"kind": "signal"}]);
        plan["volumes"][0]["files"][0]["future"] = json!(true);
    });
    assert_eq!(verdict(&newer, &settings()), Ok(()));
    let cloud = Cloud::from_json(
        r#"{"name":"Private","activeDirectoryEndpoint":"https://login.test:8443",
            "keyVaultEndpoint":"https://vault.test/",
            "keyVaultDNSSuffix":"vault.test:9443",
            "managedIdentityEndpoint":"http://127.0.0.1:8080","trustedCa":"-----BEGIN-----\nx\n"}"#,
    );
    let private = Settings { tenant_id: Some("t".into()), ..Settings::new(cloud.unwrap()) };
    let pod = changed(&private, |_| ());
    assert_eq!(verdict(&pod, &private), Ok(()));
    refused(&pod, "the authority");
    // An alias with a dollar is written as two.
    let pod =
        changed(&settings(), |plan| plan["volumes"][0]["files"][0]["path"] = json!("$(HOME)-a"));
    assert_eq!(verdict(&pod, &settings()), Ok(()));
}

/// A mutated pod whose sidecar has one more variable.
fn with_variable(name: &str, value: &str) -> Value {
    let mut pod = changed(&settings(), |_| ());
    let variables = pod["spec"]["initContainers"][0]["env"].as_array_mut().unwrap();
    variables.push(json!({"name": name, "value": value}));
    pod
}

#[test]
fn a_plan_that_does_not_stand_in_the_pod_is_refused() {
    for name in ["KEYSLUICE_PLAN_FILE", "KEYSLUICE_ROOT", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        refused(&with_variable(name, "/x"), &format!("the variable {name} is not one"));
    }
    let twice = with_variable("KEYSLUICE_PLAN", "{}");
    refused(&twice, "the variable KEYSLUICE_PLAN occurs twice");
    assert_eq!(verdict(&with_variable("HTTPS_PROXY", "http://proxy"), &settings()), Ok(()));
    let mut pod = changed(&settings(), |_| ());
    pod["spec"]["initContainers"][0]["envFrom"] = json!([{"configMapRef": {"name": "x"}}]);
    refused(&pod, "envFrom");
    for value in [
        json!(null),
        json!(""),
        json!("x"),
        json!("x".repeat(200 << 10)),
        json!(r#"{"trustedCa":"$(CA)"}"#),
        json!(r#"{"a":"$$$(CA)"}"#),
    ] {
        let mut pod = changed(&settings(), |_| ());
        pod["spec"]["initContainers"][0]["env"][0]["value"] = value;
        refused(&pod, "is not a plan that the webhook writes");
    }
}

#[test]
fn the_name_alone_decides_in_whatever_list_and_for_pods_with_a_volume_alone() {
    let plan = r#"{"identities":[{"credential":{"kind":"federated",
        "authority":"https://login.evil.example/"}}]}"#;
    let container =
        json!({"name": "keysluice", "env": [{"name": "KEYSLUICE_PLAN", "value": plan}]});
    refused(&labelled("pod", json!({"containers": [container]})), "the authority");
    refused(
        &labelled("pod", json!({"initContainers": [container], "containers": [{"name": "app"}]})),
        "the authority",
    );
    let mut pod = labelled(
        "pod",
        json!({"containers": [container], "volumes": [csi_volume("secrets", "kv")]}),
    );
    pod["metadata"]["labels"] = json!({});
    refused(&pod, "the authority");
    let fine = json!({"name": "keysluice", "env": [{"name": "A", "value": "b"}]});
    assert_eq!(verdict(&labelled("pod", json!({"containers": [fine]})), &settings()), Ok(()));
    let sidecar = changed(&settings(), |_| ())["spec"]["initContainers"][0].clone();
    refused(
        &labelled("pod", json!({"initContainers": [sidecar, sidecar]})),
        "another container of the pod has the same name",
    );
}

/// A pod whose Plan has a managed-identity endpoint for an identity of this authority.
fn with_endpoint(authority: &str) -> Value {
    let identity = json!({"credential": {"kind": "federated", "clientId": "c", "tenantId": "t",
        "tokenFile": "/t", "authority": authority}});
    changed(&settings(), |plan| {
        plan["managedIdentity"] = json!({"port": 8000, "header": "0".repeat(32),
            "identities": [identity]});
    })
}

#[test]
fn an_endpoint_of_a_plan_has_the_operators_authority_and_a_network_of_the_pods_own() {
    let good = with_endpoint("https://login.microsoftonline.com/");
    assert_eq!(verdict(&good, &settings()), Ok(()));
    let bad = with_endpoint("https://login.evil.example/");
    refused(&bad, "the authority \"https://login.evil");
    let mut limited = settings();
    limited.limits.tenants = vec!["cluster-tenant".to_owned()];
    let error = verdict(&good, &limited).unwrap_err();
    assert!(error.starts_with("KS225 ") && error.contains("the tenant \"t\""), "{error}");
    let mut on_node = good;
    on_node["spec"]["hostNetwork"] = json!(true);
    refused(&on_node, "with spec.hostNetwork its managed-identity endpoint");
}

#[test]
fn the_authorities_of_a_plan_are_those_that_the_operator_gave() {
    let [own, other] = ["own", "other"].map(|name| {
        let mut settings = settings();
        settings.clouds = settings.clouds.trusting(format!("-----BEGIN-----\n{name}\n"));
        settings
    });
    let pod = changed(&own, |plan| assert_eq!(plan["trustedCa"], "-----BEGIN-----\nown\n"));
    assert_eq!(verdict(&pod, &own), Ok(()));
    for settings in [&settings(), &other] {
        let error = verdict(&pod, settings).unwrap_err();
        assert!(error.starts_with("KS225 ") && error.contains("trustedCa"), "{error}");
    }
    let forged = changed(&own, |plan| plan["trustedCa"] = json!("-----BEGIN-----\nown\nmore\n"));
    assert!(verdict(&forged, &own).unwrap_err().contains("trustedCa"));
}

/// A pod whose Plan has this token proxy.
fn with_token_proxy(proxy: Value) -> Value {
    changed(&settings(), |plan| plan["identities"][0]["credential"]["tokenProxy"] = proxy)
}

#[test]
fn a_token_proxy_of_a_plan_is_the_operators() {
    let own = json!({"url": "https://kubernetes.default.svc", "serverName": "ab.ests.aks",
        "caFile": "/var/run/secrets/keysluice.dev-token-proxy/ca.crt"});
    let bound = bound();
    assert_eq!(verdict(&with_token_proxy(own.clone()), &bound), Ok(()));
    let unbound = with_token_proxy(own.clone());
    refused(&unbound, "the token proxy \"https://kubernetes.default.svc\"");
    for (field, value) in [
        ("url", json!("https://evil.example")),
        ("serverName", json!("evil.example")),
        ("caFile", json!("/mnt/keysluice/secrets/ca.crt")),
        ("caFile", Value::Null),
        ("ca", json!("-----BEGIN-----")),
    ] {
        let mut forged = own.clone();
        forged[field] = value;
        let error = verdict(&with_token_proxy(forged), &bound).unwrap_err();
        assert!(error.starts_with("KS225 ") && error.contains("the token proxy"), "{error}");
    }
}
