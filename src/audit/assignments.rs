//! Role assignments, as `az role assignment list --output json` has them, and whether the log shows
//! a call that needs them.

use super::ledger::Ledger;
use super::lenient::Text;
use super::names::plain;
use super::report::Moment;
use keysluice_plan::Guid;
use serde::{Deserialize, Serialize};

/// The roles of Key Vault's data plane.
const ROLES: &str = "Key Vault";
const VAULTS: &str = "/providers/microsoft.keyvault/vaults/";

/// A role assignment on a vault, or on something that contains or belongs to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    principal: Option<Guid>,
    principal_name: String,
    is_group: bool,
    role: String,
    scope: String,
}

/// What the log shows of a role assignment.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AssignmentUse {
    /// Name of the principal, else its object id.
    pub principal: String,
    /// Name of the role.
    pub role: String,
    /// What it is on.
    pub scope: String,
    /// When it was last used.
    pub last_use: Option<Moment>,
    /// Whether it is a group's: the log shows its members, so it is not judged.
    pub not_judged: bool,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    principal_id: Text<'a>,
    #[serde(borrow)]
    principal_name: Text<'a>,
    #[serde(borrow)]
    principal_type: Text<'a>,
    #[serde(borrow)]
    role_definition_name: Text<'a>,
    #[serde(borrow)]
    scope: Text<'a>,
}

/// Reads the list; assignments of other roles are left out.
///
/// # Errors
/// What is not a list of objects.
pub fn read(json: &[u8]) -> Result<Vec<Assignment>, serde_json::Error> {
    let all: Vec<Fields<'_>> = serde_json::from_slice(json)?;
    let of_vaults = all.iter().filter(|one| one.role_definition_name.0.starts_with(ROLES));
    Ok(of_vaults.map(Assignment::from_fields).collect())
}

/// Those that no call has needed since a moment.
pub(super) fn unused(ledger: &Ledger, all: &[Assignment], since: i64) -> Vec<AssignmentUse> {
    let mut found: Vec<AssignmentUse> = all
        .iter()
        .map(|one| AssignmentUse {
            principal: one.principal_name.clone(),
            role: one.role.clone(),
            scope: one.scope.clone(),
            last_use: one.last_use(ledger).map(Moment),
            not_judged: one.is_group,
        })
        .filter(|one| one.not_judged || one.last_use.is_none_or(|last| last.0 < since))
        .collect();
    found.sort_unstable();
    found
}

impl Assignment {
    fn from_fields(fields: &Fields<'_>) -> Self {
        Self {
            principal: fields.principal_id.0.parse().ok(),
            principal_name: match &*fields.principal_name.0 {
                "" => plain(&fields.principal_id.0, 256),
                name => plain(name, 256),
            },
            is_group: fields.principal_type.0.eq_ignore_ascii_case("Group"),
            role: plain(&fields.role_definition_name.0, 256),
            scope: plain(&fields.scope.0, 1024),
        }
    }

    fn last_use(&self, ledger: &Ledger) -> Option<i64> {
        let principal = self.principal.filter(|_| !self.is_group)?;
        let scope = self.scope.to_ascii_lowercase();
        // `shop`, `shop/secrets/db`; nothing for a group or a subscription, which hold any vault.
        let place = scope.split_once(VAULTS).map(|(_, place)| place.trim_end_matches('/'));
        let uses = ledger.uses.iter().filter(|((caller, _), _)| *caller == principal);
        uses.filter(|((_, object), _)| {
            place.is_none_or(|place| is_within(ledger.objects.text(*object), place))
        })
        .map(|(_, time)| *time)
        .max()
    }
}

/// Whether `shop.vault.azure.net/secrets/db` is within `shop`, or `shop/secrets/db`.
fn is_within(object: &str, place: &str) -> bool {
    let (host, path) = object.split_once('/').unwrap_or((object, ""));
    let (vault, inner) = place.split_once('/').unwrap_or((place, ""));
    host.split('.').next() == Some(vault) && (inner.is_empty() || inner == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_contains_its_vault_or_its_object_alone() {
        for (object, place, expected) in [
            ("shop.vault.azure.net/secrets/db", "shop", true),
            ("shop.vault.azure.net", "shop", true),
            ("shop.vault.azure.net/secrets/db", "shop/secrets/db", true),
            ("shop.vault.azure.net/secrets/db", "shop/secrets/d", false),
            ("shop.vault.azure.net/keys/db", "shop/secrets/db", false),
            ("shop2.vault.azure.net/secrets/db", "shop", false),
        ] {
            assert_eq!(is_within(object, place), expected, "{object} {place}");
        }
    }
}
