//! `keysluice azure`, as a user runs it, and what the emulator makes of the printed grants.

use crate::suite::support::{binaries, data, keysluice};
use keysluice_demo::TENANT;
use keysluice_emulator::seed::{Permission, RoleSeed};
use keysluice_emulator::{Config, Emulator, Seed};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

fn manifest() -> String {
    data().join("azure/shop.yaml").display().to_string()
}

#[test]
fn azure_prints_the_same_side_in_every_form() {
    for (file, arguments) in [
        ("shop.az.sh", &["--output", "az"][..]),
        (
            "shop.application.az.sh",
            &["--identity", "application", "--issuer", "https://oidc.test/a/"],
        ),
        ("shop.bicep", &["--output", "bicep"]),
        ("shop.tf", &["--output", "terraform", "--resource-group", "identities"]),
        ("shop.application.tf", &["--output", "terraform", "--identity", "application"]),
    ] {
        let (code, out, error) = keysluice(&[&["azure", "-f", &manifest()], arguments].concat());
        assert_eq!((code, error.as_str()), (0, ""), "{file}");
        let path = data().join("azure").join(file);
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::io::Write::write_all(&mut std::fs::File::create(&path).unwrap(), out.as_bytes())
                .unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(out == expected, "{file} is stale; UPDATE_DOCS=1 writes it anew:\n{out}");
    }
}

/// Both commands have the options of the webhook.
#[test]
fn tokens_and_credentials_have_the_same_audience_in_each_cloud() {
    let default = "api://AzureADTokenExchange";
    for (options, expected) in [
        (&[][..], default),
        // As Azure Workload Identity and the Azure provider do it.
        (&["--cloud", "AzureUSGovernmentCloud"], default),
        (&["--cloud", "AzureChinaCloud"], default),
        (&["--audience", "cloud"], default),
        (
            &["--cloud", "AzureUSGovernment", "--audience", "cloud"],
            "api://AzureADTokenExchangeUSGov",
        ),
        (&["--cloud", "AzureChinaCloud", "--audience", "cloud"], "api://AzureADTokenExchangeChina"),
        (&["--cloud", "AzureChinaCloud", "--audience", "my.example"], "my.example"),
    ] {
        let (code, script, error) = keysluice(&[&["azure", "-f", &manifest()], options].concat());
        assert_eq!((code, error.as_str()), (0, ""), "{options:?}");
        let lines = script.lines().filter(|line| line.contains("federated-credential create"));
        let audiences: Vec<&str> = lines.filter_map(|line| after(line, "--audiences")).collect();
        assert!(!audiences.is_empty(), "{script}");
        assert!(audiences.iter().all(|one| *one == expected), "{options:?}: {audiences:?}");
        let explain = ["explain", "--tenant-id", TENANT, "--csi-volumes", "replace", "-o", "pod"];
        let (_, pods, error) = keysluice(&[&explain[..], &["-f", &manifest()], options].concat());
        let tokens: Vec<&str> =
            pods.lines().filter_map(|line| line.trim().strip_prefix("audience: ")).collect();
        assert!(!tokens.is_empty(), "{pods}{error}");
        assert!(tokens.iter().all(|one| *one == expected), "{options:?}: {tokens:?}");
    }
}

#[test]
fn azure_says_what_it_cannot_print() {
    let (code, out, error) = keysluice(&["azure"]);
    assert!(code == 2 && out.is_empty() && error.contains("nothing to read"), "{error}");
    let arguments = ["azure", "-f", &manifest(), "-o", "bicep", "--identity", "application"];
    let (code, out, error) = keysluice(&arguments);
    assert!(code == 2 && out.is_empty() && error.contains("KS761"), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| {
        let path = directory.path().join(name);
        write(&path, text);
        path.display().to_string()
    };
    let none = written("none.yaml", "{apiVersion: v1, kind: Service, metadata: {name: a}}");
    let (code, out, error) = keysluice(&["azure", "-f", &none]);
    assert!(code == 0 && out.is_empty() && error.contains("there is nothing to create"), "{error}");
    let wrong = account("web", "$(CLIENT)");
    let (code, out, error) = keysluice(&["azure", "-f", &written("wrong.yaml", &wrong)]);
    assert!(
        code == 1 && out.is_empty() && error.contains("KS760 ServiceAccount shop/web"),
        "{error}"
    );
    let pod = workload("web", "missing");
    let (code, out, error) = keysluice(&["azure", "-f", &written("pod.yaml", &pod)]);
    assert!(code == 1 && out.is_empty() && error.contains("KS207"), "{error}");
}

const IDENTITIES: [(&str, &str); 2] = [
    ("web", "11111111-1111-1111-1111-111111111111"),
    ("orders", "22222222-2222-2222-2222-222222222222"),
];

#[tokio::test]
async fn with_the_printed_grants_each_workload_reads_its_own_secrets_and_no_other() {
    keysluice_demo::install_crypto_provider();
    let emulator = Emulator::start(Config::default()).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    write(path("cloud.json").as_ref(), &emulator.cloud_json());
    let of_one = |(name, id): (&str, &str)| [account(name, id), workload(name, name), class(name)];
    write(path("all.yaml").as_ref(), &IDENTITIES.map(|one| of_one(one).concat()).concat());
    let (code, script, error) = keysluice(&[
        "azure",
        "-f",
        &path("all.yaml"),
        "--issuer",
        &emulator.issuer(),
        "--cloud",
        &path("cloud.json"),
    ]);
    assert_eq!((code, error.as_str()), (0, ""));
    emulator.seed(seed(&script)).unwrap();
    for role in roles(&script) {
        emulator.grant("shop", role).unwrap();
    }
    for (reader, id) in IDENTITIES {
        let token = emulator.mint_token(
            "shop",
            reader,
            "api://AzureADTokenExchange",
            Duration::from_secs(3600),
        );
        write(path("token").as_ref(), &token);
        write(path("account.yaml").as_ref(), &account(reader, id));
        for (owner, _) in IDENTITIES {
            write(path("class.yaml").as_ref(), &class(owner));
            let (code, plan, error) = keysluice(&[
                "plan",
                "-f",
                &path("class.yaml"),
                "--service-account-file",
                &path("account.yaml"),
                "--cloud",
                &path("cloud.json"),
                "--tenant-id",
                TENANT,
                "--token-file",
                &path("token"),
                "--root",
                &path(reader),
            ]);
            assert_eq!(code, 0, "{error}");
            write(
                path("plan.json").as_ref(),
                &plan.replace("\"startTimeoutSeconds\": 30", "\"startTimeoutSeconds\": 2"),
            );
            let injector = binaries().injector;
            let mut once = Command::new(injector);
            once.env_clear().args(["once", "--plan", &path("plan.json")]);
            let output = tokio::task::spawn_blocking(move || once.output()).await.unwrap().unwrap();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.success(), reader == owner, "{reader} reads {owner}: {error}");
            assert!(reader == owner || error.contains("KS402"), "{error}");
        }
    }
}

fn account(name: &str, client_id: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}, namespace: shop, \
         annotations: {{azure.workload.identity/client-id: \"{client_id}\"}}}}\n"
    )
}

fn workload(account: &str, class: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata: {{name: {account}, namespace: shop}}\nspec:\n  \
         serviceAccountName: {account}\n  containers: [{{name: app, image: app}}]\n  volumes:\n  - \
         name: s\n    csi: {{driver: secrets-store.csi.k8s.io, readOnly: true, volumeAttributes: \
         {{secretProviderClass: {class}}}}}\n"
    )
}

fn class(name: &str) -> String {
    let object = |kind: &str| {
        format!("      - |\n        objectName: {name}-{kind}\n        objectType: {kind}\n")
    };
    format!(
        "---\napiVersion: secrets-store.csi.x-k8s.io/v1\nkind: SecretProviderClass\nmetadata: \
         {{name: {name}, namespace: shop}}\nspec:\n  provider: azure\n  parameters:\n    \
         keyvaultName: shop\n    objects: |\n      array:\n{}",
        ["secret", "key", "cert"].map(object).concat()
    )
}

/// What the credentials of the script say, and a vault with the objects of all.
fn seed(script: &str) -> Seed {
    let apps = script.split("\n# The identity ").skip(1).map(|block| {
        let client_id = block.split(' ').next().unwrap();
        let subjects = block.lines().filter_map(|line| after(line, "--subject "));
        let issuer =
            after(script.lines().find(|line| line.starts_with("ISSUER=")).unwrap(), "ISSUER=");
        let credentials: Vec<_> =
            subjects.map(|subject| json!({"subject": subject, "issuer": issuer})).collect();
        json!({"clientId": client_id, "tenantId": TENANT, "federatedCredentials": credentials})
    });
    let named = |suffix: &str, value: serde_json::Value| {
        let objects = IDENTITIES.map(|(name, _)| (format!("{name}-{suffix}"), value.clone()));
        serde_json::Value::Object(objects.into_iter().collect())
    };
    let vault = json!({"name": "shop", "tenantId": TENANT, "secrets": named("secret", json!("x")),
        "keys": named("key", json!({"kty": "EC", "crv": "P-256"})),
        "certificates": named("cert", json!({"subject": "web.example"}))});
    serde_json::from_value(json!({"apps": apps.collect::<Vec<_>>(), "vaults": [vault]})).unwrap()
}

/// The role assignments of the script, by what the built-in roles allow on one object.
fn roles(script: &str) -> Vec<RoleSeed> {
    let mut roles = Vec::new();
    for block in script.split("\n# The identity ").skip(1) {
        let client_id = block.split(' ').next().unwrap().to_owned();
        for line in block.lines().filter(|line| line.starts_with("az role assignment create ")) {
            let scope = line.split("--scope \"$VAULT_SHOP/").nth(1).unwrap();
            let (collection, rest) = scope.split_once('/').unwrap();
            let objects = Some(vec![rest.split('"').next().unwrap().to_owned()]);
            let mut role =
                RoleSeed { client_id: client_id.clone(), objects, ..RoleSeed::default() };
            let secrets_user = line.contains("--role \"Key Vault Secrets User\"");
            match collection {
                "secrets" if secrets_user => role.secrets = vec![Permission::Get, Permission::List],
                "keys" if !secrets_user => role.keys = vec![Permission::Get],
                "certificates" if !secrets_user => role.certificates = vec![Permission::Get],
                other => panic!("{other}: {line}"),
            }
            roles.push(role);
        }
    }
    assert_eq!(roles.len(), 6);
    roles
}

fn after<'t>(line: &'t str, word: &str) -> Option<&'t str> {
    line.split(word).nth(1).and_then(|rest| rest.split_whitespace().next())
}

fn write(path: &Path, text: &str) {
    std::io::Write::write_all(&mut std::fs::File::create(path).unwrap(), text.as_bytes()).unwrap();
}
