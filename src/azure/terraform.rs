//! A Terraform file.

use super::names::{described, label, of_account, of_grant, subject};
use super::{Identity, IdentityKind, Key, Side, Target};
use std::fmt::Write as _;

pub(super) fn print(side: &Side, target: &Target) -> String {
    let mut out = "# Identities, federated credentials and role assignments for pods. The vaults \
        must use Azure RBAC.\n"
        .to_owned();
    head(&mut out, side, target);
    for (key, identity) in &side.identities {
        let _ = writeln!(out, "\n# {}", described(key));
        let found = match (key, target.kind) {
            (_, IdentityKind::Managed) => managed(&mut out, key),
            (_, IdentityKind::Application) => application(&mut out, key),
        };
        credentials(&mut out, key, identity, target, &found);
        for grant in &identity.grants {
            block(
                &mut out,
                &format!("resource \"azurerm_role_assignment\" \"{}\"", of_grant(key, grant)),
                &[
                    (
                        "scope",
                        format!("\"${{var.vault_ids[\"{}\"]}}{}\"", grant.vault, grant.suffix()),
                    ),
                    ("role_definition_name", quoted(grant.role().name)),
                    ("principal_id", found.principal.clone()),
                    ("principal_type", quoted("ServicePrincipal")),
                ],
            );
        }
        if matches!(key, Key::New(_)) {
            let head = format!("output \"{}_client_id\"", label(key));
            block(&mut out, &head, &[("value", found.client_id)]);
        }
    }
    out
}

/// Expressions for what others refer to.
struct Found {
    id: String,
    group: String,
    principal: String,
    client_id: String,
}

fn head(out: &mut String, side: &Side, target: &Target) {
    let is_managed = target.kind == IdentityKind::Managed;
    let provider = if is_managed {
        ""
    } else {
        "    azuread = {\n      source  = \"hashicorp/azuread\"\n      version = \"~> 3.0\"\n    \
         }\n"
    };
    let _ = writeln!(
        out,
        "\nterraform {{\n  required_providers {{\n{provider}    azurerm = {{\n      source  = \
         \"hashicorp/azurerm\"\n      version = \"~> 4.0\"\n    }}\n  }}\n}}"
    );
    variable(out, "issuer", "OIDC issuer of the cluster", target.issuer.as_deref());
    let new = side.identities.keys().any(|key| matches!(key, Key::New(_)));
    if is_managed && new {
        let group = target.resource_group.as_deref();
        variable(out, "resource_group", "Resource group of the identities", group);
    }
    let names = side.vaults().into_iter().collect::<Vec<_>>().join(", ");
    if !names.is_empty() {
        let what = format!("Resource id of each vault by its name: {names}");
        let fields = [("type", "map(string)".to_owned()), ("description", quoted(&what))];
        block(out, "variable \"vault_ids\"", &fields);
    }
    for key in side.identities.keys().filter(|_| is_managed) {
        if let Key::Existing(client_id) = key {
            for (field, what) in [("name", "Name"), ("resource_group", "Resource group")] {
                let what = format!("{what} of the identity with the client id {client_id}");
                variable(out, &format!("{}_{field}", label(key)), &what, None);
            }
        }
    }
    if is_managed && new {
        let head = "data \"azurerm_resource_group\" \"identities\"";
        block(out, head, &[("name", "var.resource_group".to_owned())]);
    }
}

fn managed(out: &mut String, key: &Key) -> Found {
    let label = label(key);
    let (head, fields, place) = match key {
        Key::New(place) => (
            "resource",
            vec![
                ("name", quoted(&of_account(place))),
                ("resource_group_name", "data.azurerm_resource_group.identities.name".to_owned()),
                ("location", "data.azurerm_resource_group.identities.location".to_owned()),
            ],
            format!("azurerm_user_assigned_identity.{label}"),
        ),
        Key::Existing(_) => (
            "data",
            vec![
                ("name", format!("var.{label}_name")),
                ("resource_group_name", format!("var.{label}_resource_group")),
            ],
            format!("data.azurerm_user_assigned_identity.{label}"),
        ),
    };
    block(out, &format!("{head} \"azurerm_user_assigned_identity\" \"{label}\""), &fields);
    Found {
        id: format!("{place}.id"),
        group: format!("{place}.resource_group_name"),
        principal: format!("{place}.principal_id"),
        client_id: format!("{place}.client_id"),
    }
}

fn application(out: &mut String, key: &Key) -> Found {
    let label = label(key);
    let (head, application, principal, prefix) = match key {
        Key::New(place) => (
            "resource",
            ("display_name", quoted(&of_account(place))),
            ("client_id", format!("azuread_application.{label}.client_id")),
            "",
        ),
        Key::Existing(client_id) => {
            let field = ("client_id", quoted(client_id));
            ("data", field.clone(), field, "data.")
        }
    };
    block(out, &format!("{head} \"azuread_application\" \"{label}\""), &[application]);
    block(out, &format!("{head} \"azuread_service_principal\" \"{label}\""), &[principal]);
    Found {
        id: format!("{prefix}azuread_application.{label}.id"),
        group: String::new(),
        principal: format!("{prefix}azuread_service_principal.{label}.object_id"),
        client_id: format!("{prefix}azuread_application.{label}.client_id"),
    }
}

/// Entra refuses changes of one identity at the same time, so each waits for the one before.
fn credentials(out: &mut String, key: &Key, identity: &Identity, target: &Target, found: &Found) {
    let mut before: Option<String> = None;
    for account in &identity.accounts {
        let (name, label) =
            (of_account(account), format!("{}_{}", label(key), of_account(account)));
        let issuer = ("issuer", "var.issuer".to_owned());
        let subject = ("subject", quoted(&subject(account)));
        let audience = format!("[{}]", quoted(&target.audience));
        let (kind, mut fields) = match target.kind {
            IdentityKind::Managed => (
                "azurerm_federated_identity_credential",
                vec![
                    ("name", quoted(&name)),
                    ("resource_group_name", found.group.clone()),
                    ("parent_id", found.id.clone()),
                    issuer,
                    subject,
                    ("audience", audience),
                ],
            ),
            IdentityKind::Application => (
                "azuread_application_federated_identity_credential",
                vec![
                    ("display_name", quoted(&name)),
                    ("application_id", found.id.clone()),
                    issuer,
                    subject,
                    ("audiences", audience),
                ],
            ),
        };
        let place = format!("{kind}.{label}");
        fields.extend(before.replace(place).map(|before| ("depends_on", format!("[{before}]"))));
        block(out, &format!("resource \"{kind}\" \"{label}\""), &fields);
    }
}

/// A block with its equals signs in one column, as `terraform fmt` writes it.
/// A variable that holds a text.
fn variable(out: &mut String, name: &str, description: &str, default: Option<&str>) {
    let mut fields = vec![("type", "string".to_owned()), ("description", quoted(description))];
    fields.extend(default.map(|value| ("default", quoted(value))));
    block(out, &format!("variable \"{name}\""), &fields);
}

fn block(out: &mut String, head: &str, fields: &[(&str, String)]) {
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let _ = writeln!(out, "\n{head} {{");
    for (name, value) in fields {
        let _ = writeln!(out, "  {name:width$} = {value}");
    }
    out.push_str("}\n");
}

fn quoted(text: &str) -> String {
    let json = serde_json::Value::from(text).to_string();
    json.replace("${", "$${").replace("%{", "%%{")
}
