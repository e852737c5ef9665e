//! As whom a class has its objects fetched: which of the modes, and with which ids.

use super::doubts::Doubts;
use super::error::{ClassCause, ClassError};
use super::parameters::{IdentityMode, Parameters, filled};
use super::unfilled::{is_guid, is_tenant};
use super::{Context, IdentityChoice, TokenProxyUse};
use crate::reason;
use keysluice_plan::is_object_name;

/// The tenant, and its older name.
const TENANT: &[&str] = &["tenantID", "tenantId"];

impl Parameters<'_> {
    /// Whether the pod's own token is exchanged: also where the class still says pod identity and
    /// the ServiceAccount has been annotated since.
    pub(super) fn is_federated(
        mode: IdentityMode,
        context: &Context<'_>,
        doubts: &mut Doubts,
    ) -> bool {
        let is_annotated = context.client_id.is_some_and(|id| !id.trim().is_empty());
        let is_migrated = mode == IdentityMode::PodIdentity && is_annotated;
        if is_migrated {
            doubts.add(reason::KS164, || {
                format!(
                    "usePodIdentity is read as workload identity, since the ServiceAccount has a \
                     client id; hint: {}",
                    reason::KS164.fix
                )
            });
        }
        is_migrated || matches!(mode, IdentityMode::Federated | IdentityMode::AzureTokenProxy)
    }

    /// As whom to fetch; the tenant is there for federation only.
    pub(super) fn identity(
        &self,
        mode: IdentityMode,
        tenant_id: Option<String>,
        context: &Context<'_>,
    ) -> Result<IdentityChoice, ClassError> {
        match (mode, tenant_id) {
            (IdentityMode::PodIdentity, Some(tenant_id)) => {
                self.federated(self.value("clientID"), tenant_id, context)
            }
            (IdentityMode::PodIdentity, None) => Err(ClassCause::PodIdentity.into()),
            (IdentityMode::AzureTokenProxy, Some(tenant_id)) => {
                if context.token_proxy == TokenProxyUse::Unavailable {
                    return Err(ClassCause::TokenProxy.into());
                }
                let client_id = self.client(self.value("clientID"), context)?;
                Ok(IdentityChoice::TokenProxy { client_id, tenant_id })
            }
            (_, Some(tenant_id)) => self.own_identity(tenant_id, context),
            (_, None) => {
                let id = filled("userAssignedIdentityID", self.value("userAssignedIdentityID"))?;
                Ok(IdentityChoice::ManagedIdentity {
                    client_id: (!id.is_empty()).then(|| id.to_owned()),
                })
            }
        }
    }

    /// The provider's order: the class's client id with the pod's token, else the credentials of
    /// the volume. The ServiceAccount, which the provider does not read, comes last.
    fn own_identity(
        &self,
        tenant_id: String,
        context: &Context<'_>,
    ) -> Result<IdentityChoice, ClassError> {
        let own = self.value("clientID");
        if let (true, Some(secret)) = (own.is_empty(), context.service_principal) {
            if !is_object_name(secret) {
                return Err(ClassCause::PrincipalName { secret: secret.to_owned() }.into());
            }
            return Ok(IdentityChoice::ServicePrincipal { secret: secret.to_owned(), tenant_id });
        }
        self.federated(own, tenant_id, context)
    }

    /// With the pod's token, at Entra or at the token proxy.
    fn federated(
        &self,
        own: &str,
        tenant_id: String,
        context: &Context<'_>,
    ) -> Result<IdentityChoice, ClassError> {
        let client_id = self.client(own, context)?;
        Ok(match context.token_proxy {
            TokenProxyUse::Always => IdentityChoice::TokenProxy { client_id, tenant_id },
            _ => IdentityChoice::Federated { client_id, tenant_id },
        })
    }

    fn client(&self, own: &str, context: &Context<'_>) -> Result<String, ClassError> {
        if !own.is_empty() {
            return filled("clientID", own).map(str::to_owned);
        }
        match filled(
            "azure.workload.identity/client-id",
            context.client_id.unwrap_or_default().trim(),
        )? {
            "" => Err(ClassCause::ClientMissing { near: self.misspelled("clientID") }.into()),
            around => Ok(around.to_owned()),
        }
    }

    /// Ids of the class itself that do not look like one; the ServiceAccount's are doubted where
    /// they are read.
    pub(super) fn doubt_ids(&self, identity: &IdentityChoice, doubts: &mut Doubts) {
        let read = match identity {
            IdentityChoice::Federated { .. } | IdentityChoice::TokenProxy { .. } => {
                [self.first_set(&["clientID"]), self.first_set(TENANT)]
            }
            IdentityChoice::ServicePrincipal { .. } => [self.first_set(TENANT), None],
            IdentityChoice::ManagedIdentity { .. } => {
                [self.first_set(&["userAssignedIdentityID"]), None]
            }
        };
        for key in read.into_iter().flatten() {
            let value = self.value(key);
            let (fits, wanted) = if key.starts_with("tenant") {
                (is_tenant(value), "a GUID or a domain")
            } else {
                (is_guid(value), "a GUID")
            };
            if !fits {
                doubts.add(reason::KS150, || {
                    format!(
                        "parameter {key}: {value:?} is not {wanted}; hint: {}",
                        reason::KS150.fix
                    )
                });
            }
        }
    }

    /// The first of these parameters that has a value.
    fn first_set(&self, keys: &[&'static str]) -> Option<&'static str> {
        keys.iter().copied().find(|key| !self.value(key).is_empty())
    }
}
