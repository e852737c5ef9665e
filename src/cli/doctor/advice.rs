//! Which commands mend what Entra, Key Vault or IMDS answered to a pod's sidecar.

use super::table::Table;
use crate::azure::{Form, IdentityKind, Side, StandIns, Target, Usage};
use crate::rights::Place;
use keysluice_plan::{Credential, ObjectType, Plan, VaultUrl};
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Whose sidecar it is.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    /// Namespace and name of the ServiceAccount.
    pub(super) account: Place,
    /// The Plan of the sidecar.
    pub(super) plan: Option<Plan>,
    /// Audience of the projected token.
    pub(super) audience: &'a str,
    /// Issuer of the cluster, if it could be read.
    pub(super) issuer: Option<&'a str>,
}

/// Issuer, subject and audience of the token beside those that the credential must have, for a
/// refusal that they explain; `None` for another.
pub(super) fn comparison(subject: &Subject<'_>, message: &str) -> Option<Table> {
    let of_token = ["issuer", "subject", "audience"].map(|claim| claim_in(message, claim));
    let [Some(issuer), Some(name), Some(audience)] = of_token else { return None };
    let (namespace, account) = &subject.account;
    let wanted_name = format!("system:serviceaccount:{namespace}:{account}");
    let rows = [
        ("issuer", issuer, subject.issuer.unwrap_or(issuer)),
        ("subject", name, &wanted_name),
        ("audience", audience, subject.audience),
    ];
    let mut table = Table::new(&["", "the token has", "the federated credential must have"]);
    for (what, token, wanted) in rows {
        let mark = mark(message, what, token == wanted);
        table.add([what.to_owned(), token.to_owned(), format!("{wanted}{mark}")]);
    }
    Some(table)
}

/// What is wrong with one of the three, as far as Entra says it.
fn mark(message: &str, claim: &str, is_expected: bool) -> &'static str {
    let is_named = message.contains(&format!("presented assertion {claim}"));
    match (is_expected, is_named) {
        (false, _) => "  <- the token differs",
        (true, true) if message.contains("but not case-sensitively") => {
            "  <- the credential differs in upper and lower case"
        }
        (true, true) => "  <- no credential has this",
        (true, false) => "",
    }
}

/// `issuer "https://…"` of `the token has issuer "https://…", subject …`.
fn claim_in<'m>(message: &'m str, claim: &str) -> Option<&'m str> {
    let (_, rest) = message.split_once("the token has ")?;
    let (_, rest) = rest.split_once(&format!("{claim} \""))?;
    rest.split('"').next()
}

/// The commands for a code, most useful first.
pub(super) fn commands(code: &str, message: &str, subject: &Subject<'_>) -> Vec<String> {
    let (account_namespace, _) = &subject.account;
    let vault = vault_in(message, subject);
    let object = object_in(message, subject);
    match code {
        "KS303" | "KS304" => credential(subject, message),
        "KS317" => vec!["az aks show --query oidcIssuerProfile.issuerUrl --output tsv".to_owned()],
        "KS305" => vec!["kubectl debug node/NODE --image=busybox -it -- date -u".to_owned()],
        "KS306" => client_id(subject)
            .map(|id| {
                format!(
                    "az ad sp show --id {id} --query \
                     \"{{tenant:appOwnerOrganizationId,enabled:accountEnabled}}\""
                )
            })
            .into_iter()
            .collect(),
        "KS307" => vec!["az account list --query \"[].tenantId\" --output tsv".to_owned()],
        "KS318" => {
            client_id(subject).map(|id| format!("az ad sp create --id {id}")).into_iter().collect()
        }
        "KS321" => vec![
            "az vmss identity assign --resource-group NODE_RESOURCE_GROUP --name SCALE_SET \
             --identities IDENTITY_RESOURCE_ID"
                .to_owned(),
        ],
        "KS439" => vec![
            "az vmss identity show --resource-group NODE_RESOURCE_GROUP --name SCALE_SET \
             --query \"userAssignedIdentities.*.clientId\""
                .to_owned(),
        ],
        "KS402" | "KS416" => roles(subject),
        "KS403" => vault
            .map(|vault| {
                format!(
                    "az keyvault set-policy --name {vault} --spn {} --secret-permissions get",
                    client_id(subject).unwrap_or("CLIENT_ID")
                )
            })
            .into_iter()
            .collect(),
        "KS404" => match (vault, object) {
            (Some(vault), Some((kind, name))) => vec![
                format!("az keyvault {kind} list --vault-name {vault} --query \"[].name\""),
                format!("az keyvault {kind} list-deleted --vault-name {vault} --query \"[].name\""),
                format!("az keyvault {kind} recover --vault-name {vault} --name {name}"),
            ],
            _ => Vec::new(),
        },
        "KS405" => vault
            .map(|vault| {
                let address = client_address(message).unwrap_or("EGRESS_ADDRESS");
                vec![
                    format!("az keyvault network-rule list --name {vault}"),
                    format!("az keyvault network-rule add --name {vault} --ip-address {address}"),
                ]
            })
            .unwrap_or_default(),
        "KS419" | "KS420" => match (vault, object) {
            (Some(vault), Some((kind, name))) => vec![format!(
                "az keyvault {kind} show --vault-name {vault} --name {name} --query attributes"
            )],
            _ => Vec::new(),
        },
        "KS406" | "KS424" => match (vault, object) {
            (Some(vault), Some((kind, name))) => vec![format!(
                "az keyvault {kind} set-attributes --vault-name {vault} --name {name} --enabled \
                 true"
            )],
            _ => Vec::new(),
        },
        "KS409" => vault
            .map(|vault| {
                vec![
                    format!("az keyvault show --name {vault} --query properties.vaultUri"),
                    format!("nslookup {vault}.vault.azure.net"),
                ]
            })
            .unwrap_or_default(),
        "KS312" | "KS411" | "KS412" | "KS440" => {
            vec![format!("kubectl -n {account_namespace} get networkpolicy")]
        }
        _ => Vec::new(),
    }
}

/// The address that the vault saw; it comes from a tenant's container, and goes into a command.
fn client_address(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("Client address: ")?;
    let end = rest.find(|sign: char| !(sign.is_ascii_hexdigit() || ".:".contains(sign)));
    let address = rest[..end.unwrap_or(rest.len())].trim_end_matches(['.', ':']);
    address.parse::<IpAddr>().is_ok().then_some(address)
}

/// The credentials that there are, and the one of the pod's ServiceAccount, by the code of
/// `keysluice azure`.
fn credential(subject: &Subject<'_>, message: &str) -> Vec<String> {
    let issuer = subject.issuer.or_else(|| claim_in(message, "issuer"));
    let mut lines = script(subject, issuer, false);
    lines.retain(|line| !line.starts_with("PRINCIPAL_ID="));
    let create = lines.iter().position(|line| line.starts_with(CREATE));
    if let Some(at) = create {
        // A second credential of the same issuer and subject is refused.
        if message.contains("presented assertion audience") {
            let (_, options) = lines[at].split_once(" --identity-name ").unwrap_or_default();
            lines[at] = format!("{UPDATE}--name CREDENTIAL --identity-name {options}");
        }
        lines.insert(at, LIST.to_owned());
    }
    lines
}

const CREATE: &str = "az identity federated-credential create ";
const UPDATE: &str = "az identity federated-credential update ";
const LIST: &str = "az identity federated-credential list --identity-name \"$IDENTITY\" \
    --resource-group \"$IDENTITY_GROUP\" --query \
    \"[].{name:name,issuer:issuer,subject:subject,audiences:audiences}\"";

/// The role assignments for what the pod reads.
fn roles(subject: &Subject<'_>) -> Vec<String> {
    const STARTS: [&str; 4] = ["CLIENT_ID=", "PRINCIPAL_ID=", "VAULT_", "az role "];
    let lines = script(subject, None, true).into_iter();
    lines.filter(|line| STARTS.iter().any(|start| line.starts_with(start))).collect()
}

/// What `keysluice azure` prints for this account, without its comments.
fn script(subject: &Subject<'_>, issuer: Option<&str>, has_plan: bool) -> Vec<String> {
    let client_ids: BTreeSet<String> = client_id(subject).map(str::to_owned).into_iter().collect();
    let plan = subject.plan.clone().filter(|_| has_plan);
    let usage = Usage { account: subject.account.clone(), client_ids, plan };
    let target = Target {
        kind: IdentityKind::Managed,
        issuer: issuer.map(str::to_owned),
        resource_group: None,
        audience: subject.audience.to_owned(),
    };
    let side = Side::of(&[usage], &StandIns::new());
    let text = side.print(Form::Az, &target).unwrap_or_default();
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#') && !line.starts_with("set "));
    lines.map(str::to_owned).collect()
}

/// The client id of the pod's federated identity, if it can stand in a command: the Plan is in a
/// pod, which a tenant wrote.
fn client_id<'s>(subject: &'s Subject<'_>) -> Option<&'s str> {
    let identities = &subject.plan.as_ref()?.identities;
    let client_id = identities.iter().find_map(|one| match &one.credential {
        Credential::Federated { client_id, .. } => Some(client_id.as_str()),
        _ => None,
    });
    client_id.filter(|id| id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

/// The vault of the Plan that a message names, or the only one.
fn vault_in(message: &str, subject: &Subject<'_>) -> Option<String> {
    let files = subject.plan.as_ref()?.volumes.iter().flat_map(|volume| &volume.files);
    let vaults: BTreeSet<String> = files.map(|file| vault_name(&file.vault)).collect();
    let named = vaults.iter().find(|vault| message.contains(vault.as_str()));
    named.or_else(|| vaults.first().filter(|_| vaults.len() == 1)).cloned()
}

/// `shop` of `https://shop.vault.azure.net/`.
pub(super) fn vault_name(url: &VaultUrl) -> String {
    let text = url.to_string();
    let host = text.trim_start_matches("https://");
    host.split(['.', '/', ':']).next().unwrap_or_default().to_owned()
}

/// Kind (as `az keyvault` has it) and name of the object of the Plan that a message names.
fn object_in(message: &str, subject: &Subject<'_>) -> Option<(&'static str, String)> {
    let mut files = subject.plan.as_ref()?.volumes.iter().flat_map(|volume| &volume.files);
    let file = files.find(|file| message.contains(&format!("{}", file.name)))?;
    let kind = match file.object_type {
        ObjectType::Secret => "secret",
        ObjectType::Key => "key",
        ObjectType::Cert => "certificate",
    };
    Some((kind, file.name.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject<'a>() -> Subject<'a> {
        Subject {
            account: ("shop".to_owned(), "web".to_owned()),
            plan: None,
            audience: "api://AzureADTokenExchange",
            issuer: Some("https://issuer.test/"),
        }
    }

    #[test]
    fn only_an_address_of_the_vaults_answer_goes_into_a_command() {
        for (message, address) in [
            ("Client address: 20.0.0.1", Some("20.0.0.1")),
            ("Client address: 20.0.0.1. Caller: x", Some("20.0.0.1")),
            ("Client address: 2603:1020::7, x", Some("2603:1020::7")),
            ("Client address: $(reboot)", None),
            ("Client address: 20.0.0.1.9", None),
            ("Client address is not authorized", None),
        ] {
            assert_eq!(client_address(message), address, "{message}");
        }
    }

    #[test]
    fn what_differs_is_marked() {
        let message = "Entra refused client c in tenant t: 401: AADSTS700211: x; the token has \
            issuer \"https://issuer.test\", subject \"system:serviceaccount:shop:web\", audience \
            \"api://AzureADTokenExchange\", exp 5";
        let lines = comparison(&subject(), message).unwrap().lines();
        assert!(lines[1].ends_with("https://issuer.test/  <- the token differs"), "{lines:?}");
        assert!(lines[2].ends_with("system:serviceaccount:shop:web"), "{lines:?}");
        assert_eq!(comparison(&subject(), "KS401 the vault"), None);
    }
}
