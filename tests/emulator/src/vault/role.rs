//! RBAC: which identity may do what with which objects.

use crate::route::Collection;
use crate::seed::{Permission, RoleSeed};

/// A role assignment on a vault or on some of its objects.
#[derive(Debug, Clone)]
pub(crate) struct Role(RoleSeed);

impl From<RoleSeed> for Role {
    fn from(seed: RoleSeed) -> Self {
        Self(seed)
    }
}

impl Role {
    pub(super) fn is_of(&self, client_id: &str) -> bool {
        self.0.client_id.eq_ignore_ascii_case(client_id)
    }

    /// Whether this role allows `client_id` the `permission`, on the object of this name or on the
    /// whole vault. A role on single objects does not reach the vault, so it cannot list it.
    pub(super) fn allows(
        &self,
        client_id: &str,
        collection: Collection,
        permission: Permission,
        object: Option<&str>,
    ) -> bool {
        let permissions = match collection {
            Collection::Secrets => &self.0.secrets,
            Collection::Keys => &self.0.keys,
            Collection::Certificates => &self.0.certificates,
        };
        self.is_of(client_id)
            && permissions.contains(&permission)
            && match (&self.0.objects, object) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some(objects), Some(name)) => {
                    objects.iter().any(|object| object.eq_ignore_ascii_case(name))
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(objects: Option<Vec<String>>) -> Role {
        Role(RoleSeed {
            client_id: "ID".into(),
            secrets: vec![Permission::Get, Permission::List],
            objects,
            ..RoleSeed::default()
        })
    }

    #[test]
    fn a_role_on_an_object_reaches_neither_the_vault_nor_other_objects() {
        let allowed = |role: &Role, permission, object| {
            role.allows("id", Collection::Secrets, permission, object)
        };
        let whole = role(None);
        assert!(
            allowed(&whole, Permission::Get, Some("a")) && allowed(&whole, Permission::List, None)
        );
        let one = role(Some(vec!["A".into()]));
        assert!(
            allowed(&one, Permission::Get, Some("a")) && allowed(&one, Permission::List, Some("a"))
        );
        assert!(
            !allowed(&one, Permission::Get, Some("b")) && !allowed(&one, Permission::List, None)
        );
    }

    #[test]
    fn a_role_is_for_one_identity_one_collection_and_the_permissions_it_names() {
        let role = role(None);
        assert!(!role.allows("other", Collection::Secrets, Permission::Get, Some("a")));
        assert!(!role.allows("id", Collection::Keys, Permission::Get, Some("a")));
        assert!(!role.allows("id", Collection::Secrets, Permission::Set, Some("a")));
    }
}
