use super::*;
use serde_json::json;

const ID: &str = "11111111-1111-1111-1111-111111111111";

/// A Plan with one identity and these files (vault, type, name) or selections (vault).
fn plan(credential: &serde_json::Value, files: &[(&str, &str, &str)], selections: &[&str]) -> Plan {
    let files: Vec<_> = files
        .iter()
        .map(|(vault, kind, name)| {
            json!({"path": format!("{vault}-{name}"), "mode": "0644", "identity": "i",
                "vault": format!("https://{vault}.vault.azure.net/"), "type": kind, "name": name})
        })
        .collect();
    let selections: Vec<_> = selections
        .iter()
        .map(|vault| {
            json!({"mode": "0644", "identity": "i", "namePrefix": "a",
                "vault": format!("https://{vault}.vault.azure.net/")})
        })
        .collect();
    let plan = json!({"schema": 1, "runDirectory": "/run/keysluice", "identities": [{"name": "i",
        "scope": "https://vault.azure.net/.default", "credential": credential}],
        "volumes": [{"name": "v", "directory": "/v", "refreshIntervalSeconds": 120,
            "files": files, "selections": selections}]});
    serde_json::from_value(plan).unwrap()
}

fn federated(client_id: &str) -> serde_json::Value {
    json!({"kind": "federated", "clientId": client_id, "tenantId": "t", "tokenFile": "/t",
        "authority": "https://login.microsoftonline.com/"})
}

fn usage(account: &str, plan: Plan) -> Usage {
    let account = ("shop".to_owned(), account.to_owned());
    Usage { account, client_ids: BTreeSet::new(), plan: Some(plan) }
}

fn target(kind: IdentityKind) -> Target {
    Target { kind, issuer: None, resource_group: None, audience: "api://a'b${c}".to_owned() }
}

#[test]
fn a_selection_takes_the_whole_vault_and_includes_its_secrets() {
    let files =
        [("a", "secret", "x"), ("a", "key", "x"), ("b", "secret", "X"), ("b", "secret", "x")];
    let side = Side::of(&[usage("web", plan(&federated(ID), &files, &["a"]))], &StandIns::new());
    let text = side.print(Form::Az, &target(IdentityKind::Managed)).unwrap();
    let scopes: Vec<_> =
        text.lines().filter_map(|line| line.split("--scope ").nth(1)?.split(' ').next()).collect();
    assert_eq!(scopes, ["\"$VAULT_A\"", "\"$VAULT_A/keys/x\"", "\"$VAULT_B/secrets/X\""]);
    assert_eq!(side.warnings.len(), 1);
    assert!(side.warnings[0].starts_with("KS757 identity 1111"), "{:?}", side.warnings);
}

#[test]
fn twenty_credentials_of_one_identity_are_a_warning() {
    let usages: Vec<_> = (0..21)
        .map(|i| usage(&format!("sa-{i}"), plan(&federated(ID), &[("a", "secret", "x")], &[])))
        .collect();
    let [of_19, of_20, of_21] =
        [19, 20, 21].map(|count| Side::of(&usages[..count], &StandIns::new()).warnings);
    assert_eq!(of_19, Vec::<String>::new());
    assert!(of_20[0].contains("KS758") && of_20[0].contains("20 federated credentials, all of"));
    assert!(of_21[0].contains("21 federated credentials, more than the 20"));
}

#[test]
fn the_identity_of_a_node_gets_roles_and_no_credential() {
    let unnamed = json!({"kind": "managedIdentity", "endpoint": "http://169.254.169.254/"});
    let mut named = unnamed.clone();
    named["clientId"] = json!(ID);
    let [side_of_named, side] = [named, unnamed].map(|node| {
        Side::of(&[usage("web", plan(&node, &[("a", "secret", "x")], &[]))], &StandIns::new())
    });
    let text = side_of_named.print(Form::Az, &target(IdentityKind::Managed)).unwrap();
    assert!(text.contains("az role assignment create") && !text.contains("federated-credential"));
    assert!(side.is_empty() && side.warnings[0].starts_with("KS759 ServiceAccount shop/web"));
}

#[test]
fn a_client_id_that_is_not_a_guid_is_refused() {
    let usages = [usage("web", plan(&federated("a; rm -rf /"), &[("a", "secret", "x")], &[]))];
    let side = Side::of(&usages, &StandIns::new());
    let expected = "KS760 ServiceAccount shop/web: client id \"a; rm -rf /\" is not a GUID; hint: ";
    assert!(side.is_empty() && side.faults[0].to_string().starts_with(expected));
}

#[test]
fn an_identity_to_be_created_is_told_from_one_that_exists() {
    let stand_ins = StandIns::from([(stand_in(7), ("shop".to_owned(), "web".to_owned()))]);
    let usages = [usage("web", plan(&federated(&stand_in(7)), &[("a", "secret", "x")], &[]))];
    let side = Side::of(&usages, &stand_ins);
    for (form, kind, expected) in [
        (Form::Az, IdentityKind::Managed, "az identity create --name shop_web "),
        (Form::Az, IdentityKind::Managed, " --audiences 'api://a'\\''b${c}' "),
        (Form::Az, IdentityKind::Application, "\"api://a'\\''b${c}\""),
        (Form::Terraform, IdentityKind::Managed, "[\"api://a'b$${c}\"]"),
        (Form::Bicep, IdentityKind::Managed, "'api://a\\'b\\${c}'"),
    ] {
        let printed = side.print(form, &target(kind)).unwrap();
        assert!(printed.contains(expected), "{expected}: {printed}");
    }
    let error = side.print(Form::Bicep, &target(IdentityKind::Application)).unwrap_err();
    assert!(error.to_string().starts_with("KS761 ServiceAccount shop/web: Bicep has no type"));
}

#[test]
fn names_are_valid_and_tell_accounts_apart() {
    let places = [
        ("a-b", "c"),
        ("a", "b-c"),
        ("a", "b.c"),
        ("1a", &*"x".repeat(253)),
        ("1a", &format!("{}y", "x".repeat(252))),
    ]
    .map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
    let names: BTreeSet<_> = places.iter().map(names::of_account).collect();
    let symbols: BTreeSet<_> =
        places.iter().map(|place| names::symbol(&names::label(&Key::New(place.clone())))).collect();
    assert_eq!((names.len(), symbols.len()), (places.len(), places.len()));
    for name in &names {
        assert!((3..=120).contains(&name.len()), "{name}");
        assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{name}");
    }
    assert!(symbols.iter().all(|name| name.starts_with("id_") && !name.contains('-')));
}
