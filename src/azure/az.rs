//! A shell script of `az` commands.

use super::names::{of_account, subject, variable};
use super::{Identity, IdentityKind, Key, Side, Target, written};
use crate::rights::Place;
use std::fmt::Write as _;

const HEAD: &str = "\
#!/bin/sh
# Identities, federated credentials and role assignments for pods. Every line can be read before it
# runs; a line that was run before changes nothing, except az ad app create. The vaults must use
# Azure RBAC (az keyvault update --enable-rbac-authorization true).
set -eu
";

pub(super) fn print(side: &Side, target: &Target) -> String {
    let mut out = HEAD.to_owned();
    let is_group_needed = target.kind == IdentityKind::Managed
        && side.identities.keys().any(|key| matches!(key, Key::New(_)));
    if is_group_needed {
        setting(
            &mut out,
            "RESOURCE_GROUP",
            target.resource_group.as_deref(),
            "resource group of the identities",
        );
    }
    if side.identities.values().any(|identity| !identity.accounts.is_empty()) {
        let what = "OIDC issuer of the cluster: az aks show --query oidcIssuerProfile.issuerUrl";
        setting(&mut out, "ISSUER", target.issuer.as_deref(), what);
    }
    for vault in side.vaults() {
        let _ = writeln!(
            out,
            "{}=$(az keyvault show --name {vault} --query id --output tsv)",
            variable(vault)
        );
    }
    for (key, identity) in &side.identities {
        let found = match (key, target.kind) {
            (Key::New(place), IdentityKind::Managed) => new_managed(&mut out, place),
            (Key::New(place), IdentityKind::Application) => new_application(&mut out, place),
            (Key::Existing(client_id), kind) => existing(&mut out, client_id, identity, kind),
        };
        for account in &identity.accounts {
            credential(&mut out, account, target, &found);
        }
        for grant in &identity.grants {
            let _ = writeln!(
                out,
                "az role assignment create --assignee-object-id \"$PRINCIPAL_ID\" \
                 --assignee-principal-type ServicePrincipal --role \"{}\" --scope \"${}{}\" \
                 --output none",
                grant.role().name,
                variable(&grant.vault),
                grant.suffix()
            );
        }
        if let Key::New(place) = key {
            let _ = writeln!(
                out,
                "echo \"ServiceAccount {}: azure.workload.identity/client-id: $CLIENT_ID\"",
                written(place)
            );
        }
    }
    out
}

/// How the commands for a credential name its identity.
enum Found {
    Managed { name: String, group: &'static str },
    Application,
}

fn setting(out: &mut String, name: &str, value: Option<&str>, what: &str) {
    let _ = match value {
        Some(value) => writeln!(out, "{name}={}", quoted(value)),
        None => writeln!(out, "{name}=${{{name}:?{what}}}"),
    };
}

fn new_managed(out: &mut String, place: &Place) -> Found {
    let name = of_account(place);
    let _ = write!(
        out,
        "\n# ServiceAccount {}\n\
         az identity create --name {name} --resource-group \"$RESOURCE_GROUP\" --output none\n\
         CLIENT_ID=$(az identity show --name {name} --resource-group \"$RESOURCE_GROUP\" --query \
         clientId --output tsv)\n\
         PRINCIPAL_ID=$(az identity show --name {name} --resource-group \"$RESOURCE_GROUP\" \
         --query principalId --output tsv)\n",
        written(place)
    );
    Found::Managed { name, group: "\"$RESOURCE_GROUP\"" }
}

fn new_application(out: &mut String, place: &Place) -> Found {
    let name = of_account(place);
    let _ = write!(
        out,
        "\n# ServiceAccount {}\n\
         CLIENT_ID=$(az ad app create --display-name {name} --query appId --output tsv)\n\
         az ad sp create --id \"$CLIENT_ID\" --output none\n\
         PRINCIPAL_ID=$(az ad sp show --id \"$CLIENT_ID\" --query id --output tsv)\n",
        written(place)
    );
    Found::Application
}

fn existing(out: &mut String, client_id: &str, identity: &Identity, kind: IdentityKind) -> Found {
    let _ = write!(
        out,
        "\n# The identity {} exists.\n\
         CLIENT_ID={}\n\
         PRINCIPAL_ID=$(az ad sp show --id \"$CLIENT_ID\" --query id --output tsv)\n",
        client_id.escape_debug(),
        quoted(client_id)
    );
    if kind == IdentityKind::Application {
        return Found::Application;
    }
    if !identity.accounts.is_empty() {
        for (variable, field) in [("IDENTITY", "name"), ("IDENTITY_GROUP", "resourceGroup")] {
            let _ = writeln!(
                out,
                "{variable}=$(az identity list --query \"[?clientId=='$CLIENT_ID'].{field} | [0]\" \
                 --output tsv)"
            );
        }
    }
    Found::Managed { name: "\"$IDENTITY\"".to_owned(), group: "\"$IDENTITY_GROUP\"" }
}

fn credential(out: &mut String, account: &Place, target: &Target, found: &Found) {
    let (name, subject) = (of_account(account), subject(account));
    let _ = match found {
        Found::Managed { name: identity, group } => writeln!(
            out,
            "az identity federated-credential create --name {name} --identity-name {identity} \
             --resource-group {group} --issuer \"$ISSUER\" --subject {subject} --audiences {} \
             --output none",
            quoted(&target.audience)
        ),
        Found::Application => {
            let audience = serde_json::Value::from(target.audience.as_str()).to_string();
            writeln!(
                out,
                "az ad app federated-credential create --id \"$CLIENT_ID\" --parameters \
                 '{{\"name\":\"{name}\",\"issuer\":\"'\"$ISSUER\"'\",\"subject\":\"{subject}\",\
                 \"audiences\":[{}]}}' --output none",
                audience.replace('\'', "'\\''")
            )
        }
    };
}

/// A word of a shell.
fn quoted(text: &str) -> String {
    let is_plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:@".contains(c));
    if !text.is_empty() && is_plain {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_of_a_manifest_is_one_word_of_the_script() {
        assert_eq!(quoted("7d8cdf74-5a38-4b5e-9ee1-000000000001").len(), 36);
        assert_eq!(quoted("x'; reboot #"), r"'x'\''; reboot #'");
        let mut out = String::new();
        let identity = Identity::default();
        drop(existing(&mut out, "x\n$(reboot)", &identity, IdentityKind::Application));
        let expected = "\n# The identity x\\n$(reboot) exists.\nCLIENT_ID='x\n$(reboot)'\n";
        assert!(out.starts_with(expected), "{out}");
    }
}
