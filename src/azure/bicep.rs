//! A Bicep file for the resource group of the vaults.

use super::names::{described, label, of_account, of_grant, subject, symbol};
use super::{Grant, Key, Scope, Side, Target};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const HEAD: &str = "\
// Identities, federated credentials and role assignments for pods. Deploy it to the resource group
// of the vaults, which must use Azure RBAC; identities are created there too.
// Bicep knows no type for certificates of a vault and warns about them (BCP081).
";

const IDENTITIES: &str = "Microsoft.ManagedIdentity/userAssignedIdentities";

pub(super) fn print(side: &Side, target: &Target) -> String {
    let mut out = HEAD.to_owned();
    let default = target.issuer.as_deref().map(|issuer| format!(" = {}", quoted(issuer)));
    let _ = writeln!(
        out,
        "\n@description('OIDC issuer of the cluster')\nparam issuer string{}",
        default.unwrap_or_default()
    );
    if side.identities.keys().any(|key| matches!(key, Key::New(_))) {
        out.push_str("param location string = resourceGroup().location\n");
    }
    for vault in side.vaults() {
        resource(
            &mut out,
            &vault_symbol(vault),
            "Microsoft.KeyVault/vaults@2023-07-01",
            true,
            &[("name", quoted(vault))],
        );
    }
    let grants = side.identities.values().flat_map(|identity| &identity.grants);
    let grants: BTreeMap<String, &Grant> = grants.map(|grant| (scope(grant), grant)).collect();
    for (of_scope, grant) in grants {
        if let Scope::Object(collection, name) = &grant.scope {
            let kind = format!("Microsoft.KeyVault/vaults/{collection}@2023-07-01");
            let parent = ("parent", vault_symbol(&grant.vault));
            resource(&mut out, &of_scope, &kind, true, &[parent, ("name", quoted(name))]);
        }
    }
    for (key, identity) in &side.identities {
        let of_identity = symbol(&label(key));
        let _ = writeln!(out, "\n// {}", described(key));
        match key {
            Key::New(place) => resource(
                &mut out,
                &of_identity,
                &format!("{IDENTITIES}@2023-01-31"),
                false,
                &[("name", quoted(&of_account(place))), ("location", "location".to_owned())],
            ),
            Key::Existing(_) => {
                let _ = writeln!(
                    out,
                    "@description('Name of the {}')\nparam {of_identity}_name string",
                    described(key)
                );
                let name = ("name", format!("{of_identity}_name"));
                let kind = format!("{IDENTITIES}@2023-01-31");
                resource(&mut out, &of_identity, &kind, true, &[name]);
            }
        }
        let mut before: Option<String> = None;
        for account in &identity.accounts {
            let name = of_account(account);
            let credential = format!("{of_identity}_{}", symbol(&name));
            let mut fields = vec![
                ("parent", of_identity.clone()),
                ("name", quoted(&name)),
                (
                    "properties",
                    format!(
                        "{{\n    issuer: issuer\n    subject: {}\n    audiences: [\n      {}\n    \
                         ]\n  }}",
                        quoted(&subject(account)),
                        quoted(&target.audience)
                    ),
                ),
            ];
            // Entra refuses changes of one identity at the same time.
            let before = before.replace(credential.clone());
            fields.extend(before.map(|before| ("dependsOn", format!("[\n    {before}\n  ]"))));
            let kind = format!("{IDENTITIES}/federatedIdentityCredentials@2023-01-31");
            resource(&mut out, &credential, &kind, false, &fields);
        }
        assignments(&mut out, key, &of_identity, &identity.grants);
        if matches!(key, Key::New(_)) {
            let value = format!("{of_identity}.properties.clientId");
            let _ = writeln!(out, "\noutput {of_identity}_client_id string = {value}");
        }
    }
    out
}

/// The roles of one identity.
fn assignments(out: &mut String, key: &Key, of_identity: &str, grants: &BTreeSet<Grant>) {
    for grant in grants {
        let (scope, role) = (scope(grant), grant.role());
        resource(
            out,
            &symbol(&of_grant(key, grant)),
            "Microsoft.Authorization/roleAssignments@2022-04-01",
            false,
            &[
                ("scope", scope.clone()),
                ("name", format!("guid({scope}.id, {of_identity}.id, '{}')", role.id)),
                (
                    "properties",
                    format!(
                        "{{\n    // {}\n    roleDefinitionId: \
                         subscriptionResourceId('Microsoft.Authorization/roleDefinitions', \
                         '{}')\n    principalId: {of_identity}.properties.principalId\n    \
                         principalType: 'ServicePrincipal'\n  }}",
                        role.name, role.id
                    ),
                ),
            ],
        );
    }
}

fn resource(out: &mut String, name: &str, kind: &str, exists: bool, fields: &[(&str, String)]) {
    let existing = if exists { " existing" } else { "" };
    let _ = writeln!(out, "\nresource {name} '{kind}'{existing} = {{");
    for (name, value) in fields {
        let _ = writeln!(out, "  {name}: {value}");
    }
    out.push_str("}\n");
}

fn vault_symbol(vault: &str) -> String {
    symbol(&format!("vault_{vault}"))
}

/// The symbol of what a role is assigned on.
fn scope(grant: &Grant) -> String {
    match &grant.scope {
        Scope::Vault => vault_symbol(&grant.vault),
        Scope::Object(collection, name) => {
            let name = name.to_ascii_lowercase();
            symbol(&format!("{collection}_{}_{name}", grant.vault))
        }
    }
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('\'', "\\'").replace("${", "\\${");
    format!("'{escaped}'")
}
