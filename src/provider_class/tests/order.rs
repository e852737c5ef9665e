//! What is refused, in which order, in whose words.

use super::*;

fn assert_refused(cases: &[(Pairs, &str)]) {
    for (parameters, expected) in cases {
        let error = bare(&with(parameters)).unwrap_err().to_string();
        assert!(error.contains(expected), "{parameters:?}: {error}");
        assert!(error.starts_with("KS1") && error.matches("; hint: ").count() == 1, "{error}");
    }
}

#[test]
fn refused_identities_give_code_peer_text_and_hint() {
    assert_refused(&[
        (
            &[("usePodIdentity", "tru")],
            "KS110 failed to parse usePodIdentity flag, error: strconv.ParseBool: parsing \
             \"tru\": invalid syntax; hint: ",
        ),
        (
            &[("useVMManagedIdentity", "yes")],
            "KS110 failed to parse useVMManagedIdentity flag, error: strconv.ParseBool: parsing \
             \"yes\": invalid syntax",
        ),
        (
            &[("useAzureTokenProxy", "tRUE")],
            "KS110 failed to parse useAzureTokenProxy flag, error: strconv.ParseBool",
        ),
        (
            &[("usePodIdentity", "true"), ("useVMManagedIdentity", "true")],
            "KS111 only one identity mode can be enabled at a time: usePodIdentity, \
             useVMManagedIdentity, or useAzureTokenProxy; hint: ",
        ),
        (
            &[("usePodIdentity", "1")],
            "KS112 usePodIdentity: AAD Pod Identity (NMI) is retired and not supported; hint: \
             remove usePodIdentity and use workload identity",
        ),
        (
            &[("useAzureTokenProxy", " T ")],
            "KS113 useAzureTokenProxy: the token proxy of AKS identity bindings is not set up \
             here; hint: set customTokenEndpoint of the chart",
        ),
        (
            &[("keyvaultName", " ")],
            "KS103 keyvaultName is not provided; hint: set the parameter keyvaultName",
        ),
        (
            &[("tenantID", " ")],
            "KS104 tenantId is not provided; hint: set the parameter tenantID, or annotate the \
             ServiceAccount with azure.workload.identity/tenant-id",
        ),
        (
            &[("clientID", "")],
            "KS105 clientID is not provided, and the ServiceAccount has no annotation \
             azure.workload.identity/client-id; hint: annotate",
        ),
        (
            &[("clientID", ""), ("clientId", "c")],
            "hint: the parameter is spelled clientID, not clientId",
        ),
        (
            &[("keyvaultName", ""), ("keyVaultName", "kv")],
            "hint: the parameter is spelled keyvaultName, not keyVaultName",
        ),
        (
            &[("tenantID", ""), ("tenant-id", "kv")],
            "hint: the parameter is spelled tenantID, not tenant-id",
        ),
    ]);
}

#[test]
fn refused_vaults_clouds_and_values_give_code_peer_text_and_hint() {
    assert_refused(&[
        (
            &[("cloudName", "Nowhere")],
            "KS116 cloudName Nowhere is not valid, error: autorest/azure: There is no cloud \
             environment matching the name \"NOWHERE\"; hint: name a known cloud",
        ),
        (&[("cloudName", "AzureStackCloud")], "KS116 cloudName AzureStackCloud is not valid"),
        (
            &[("keyvaultName", "kv")],
            "KS117 failed to get vault: Invalid vault name: \"kv\", must be between 3 and 24 chars",
        ),
        (&[("keyvaultName", "a-name-that-is-longer-than")], "must be between 3 and 24 chars"),
        (
            &[("keyvaultName", "kv_test")],
            "KS117 failed to get vault: Invalid vault name: \"kv_test\", must match \
             [-a-zA-Z0-9]{3,24}",
        ),
        (&[("keyvaultName", "kv.evil.org")], "must match [-a-zA-Z0-9]{3,24}"),
        (&[("keyvaultName", "-kv-")], "KS117 failed to get vault: vault URL"),
        (&[("tenantID", "common/oauth2")], "KS114 invalid tenantID: \"common/oauth2\""),
        (&[("tenantID", "..")], "KS114"),
        (
            &[("tenantId", "<TENANT_ID>"), ("tenantID", "")],
            "KS108 tenantId still holds a placeholder: \"<TENANT_ID>\"; hint: ",
        ),
        (&[("clientID", "${CLIENT_ID}")], "KS108 clientID still holds a placeholder"),
        (&[("keyvaultName", "<name>")], "KS108 keyvaultName still holds a placeholder"),
        (&[("cloudName", "<cloud>")], "KS108 cloudName still holds a placeholder"),
        (
            &[("useVMManagedIdentity", "true"), ("userAssignedIdentityID", "<MI_CLIENT_ID>")],
            "KS108 userAssignedIdentityID still holds a placeholder: \"<MI_CLIENT_ID>\"",
        ),
        (
            &[("refreshInterval", "soon")],
            "KS119 refreshInterval: \"soon\" is not a duration such as 30s, 2m or 1h30m; hint: ",
        ),
        (
            &[("mode", "Init")],
            "KS101 mode \"Init\" is not sidecar or init; hint: write sidecar or init, or leave it",
        ),
        (&[("syncInterval", "48h")], "KS119 syncInterval: \"48h\" is not between 1s and 24h"),
    ]);
}

#[test]
fn of_several_errors_the_first_is_the_providers_first() {
    // Each step repairs one; the next one shows.
    const LATE: &str = "array: ['{objectName: a, objectType: Secret}', '{objectName: a, \
        objectType: key, objectFormat: pfx}']";
    const LATE_AND_WELL_FORMED: &str =
        "array: ['{objectName: a, objectType: Secret}', '{objectName: b, objectType: key}']";
    let mut class = class(&[
        ("useAzureTokenProxy", "x"),
        ("useVMManagedIdentity", "x"),
        ("usePodIdentity", "x"),
        ("refreshInterval", "x"),
        ("select", "x"),
    ]);
    let steps: &[(&str, &str, &str)] = &[
        ("usePodIdentity", "t", "KS110 failed to parse usePodIdentity"),
        ("useVMManagedIdentity", "t", "KS110 failed to parse useVMManagedIdentity"),
        ("useAzureTokenProxy", "t", "KS110 failed to parse useAzureTokenProxy"),
        ("useAzureTokenProxy", "", "KS111"),
        ("usePodIdentity", "", "KS111"),
        ("useVMManagedIdentity", "", "KS103"),
        ("keyvaultName", "x", "KS103"),
        ("tenantID", "t", "KS104"),
        ("cloudName", "x", "KS105"),
        ("clientID", "c", "KS116"),
        ("cloudName", "", "KS116"),
        ("objects", "- x", "KS117"),
        ("objects", "array: [5]", "KS106"),
        ("objects", LATE, "KS121"),
        ("objects", LATE_AND_WELL_FORMED, "KS123 objects[1]"),
        ("keyvaultName", "kv-1", "KS117"),
        ("objects", "array: ['{objectName: a, objectType: secret, parts: x}']", "KS122 objects[0]"),
        ("objects", ONE, "KS136"),
        ("select", "", "KS138"),
        ("refreshInterval", "", "KS119"),
    ];
    for (key, value, expected) in steps {
        let error = bare(&class).unwrap_err().to_string();
        assert!(error.starts_with(expected), "before {key}: {error}");
        class.parameters.insert((*key).to_owned(), (*value).to_owned());
    }
    bare(&class).unwrap();
}
