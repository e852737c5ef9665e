//! `spec.parameters` with the volume's attributes laid over them.

use super::Context;
use super::class_plan::Mode;
use super::doubts::{Doubts, MOST_COMPARED};
use super::error::{ClassCause, ClassError};
use super::reference::{self, PARAMETERS};
use super::refresh_interval::RefreshInterval;
use super::unfilled::is_placeholder;
use super::vault::VaultChoice;
use crate::cloud::{Cloud, Clouds};
use crate::reason;
use crate::spelling::nearest;
use std::collections::BTreeMap;
use std::time::Duration;

/// The merged parameters.
pub(super) struct Parameters<'a> {
    values: BTreeMap<&'a str, &'a str>,
}

/// How the class says the vault is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdentityMode {
    Federated,
    PodIdentity,
    VmManagedIdentity,
    AzureTokenProxy,
}

impl<'a> Parameters<'a> {
    /// The CSI driver copies all `volumeAttributes` over the parameters (nodeserver.go,
    /// `maps.Copy`).
    pub(super) fn merged(
        parameters: &'a BTreeMap<String, String>,
        attributes: &'a BTreeMap<String, String>,
    ) -> Self {
        let values = parameters
            .iter()
            .chain(attributes)
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        Self { values }
    }

    /// The trimmed value; absent is empty, as in the provider.
    pub(super) fn value(&self, key: &str) -> &'a str {
        self.values.get(key).map_or("", |value| value.trim())
    }

    /// The value as it is written.
    pub(super) fn text(&self, key: &str) -> &'a str {
        self.values.get(key).map_or("", |value| value)
    }

    /// The three flags, in the provider's order.
    pub(super) fn identity_mode(&self) -> Result<IdentityMode, ClassError> {
        let pod = self.flag("usePodIdentity")?;
        let machine = self.flag("useVMManagedIdentity")?;
        let proxy = self.flag("useAzureTokenProxy")?;
        match (pod, machine, proxy) {
            (false, false, false) => Ok(IdentityMode::Federated),
            (true, false, false) => Ok(IdentityMode::PodIdentity),
            (false, true, false) => Ok(IdentityMode::VmManagedIdentity),
            (false, false, true) => Ok(IdentityMode::AzureTokenProxy),
            _ => Err(ClassCause::IdentityModes.into()),
        }
    }

    /// Go's `strconv.ParseBool`; empty is false.
    fn flag(&self, flag: &'static str) -> Result<bool, ClassError> {
        Ok(self.optional_flag(flag)?.unwrap_or(false))
    }

    /// The same, `None` where it is empty.
    pub(super) fn optional_flag(&self, flag: &'static str) -> Result<Option<bool>, ClassError> {
        match self.value(flag) {
            "" => Ok(None),
            value => match parse_bool(value) {
                None => Err(ClassCause::Flag { flag, value: value.to_owned() }.into()),
                set => Ok(set),
            },
        }
    }

    /// `keyvaultName` or `vaultUrl`, not yet checked for their form: the provider does that last.
    pub(super) fn vault(&self) -> Result<VaultChoice, ClassError> {
        let name = filled("keyvaultName", self.value("keyvaultName"))?.to_owned();
        let url = self.value("vaultUrl").to_owned();
        if name.is_empty() && url.is_empty() {
            return Err(ClassCause::VaultMissing { near: self.misspelled("keyvaultName") }.into());
        }
        Ok(VaultChoice { name, url })
    }

    /// `tenantID`, else the deprecated `tenantId`, else what surrounds the class.
    pub(super) fn tenant(&self, context: &Context<'_>) -> Result<String, ClassError> {
        let around = context.tenant_id.unwrap_or_default().trim();
        let candidates = [
            ("tenantID", self.value("tenantID")),
            ("tenantId", self.value("tenantId")),
            ("azure.workload.identity/tenant-id", around),
        ];
        let Some((field, value)) = candidates.into_iter().find(|(_, value)| !value.is_empty())
        else {
            return Err(ClassCause::TenantMissing { near: self.misspelled("tenantID") }.into());
        };
        let value = filled(field, value)?.to_owned();
        // The tenant becomes a path segment of the authority's URL.
        if !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.')
            || value.starts_with('.')
        {
            return Err(ClassCause::TenantForm { value }.into());
        }
        if context.limits.allows_tenant(&value) {
            Ok(value)
        } else {
            Err(ClassCause::TenantForbidden { value }.into())
        }
    }

    /// The cloud that `cloudName` chooses.
    pub(super) fn cloud(&self, clouds: &Clouds) -> Result<Cloud, ClassError> {
        let name = filled("cloudName", self.value("cloudName"))?;
        clouds.find(name).ok_or_else(|| ClassCause::Cloud { value: name.to_owned() }.into())
    }

    /// `refreshInterval`, else `syncInterval`. Both are checked: who writes one means it.
    pub(super) fn refresh_interval(&self) -> Result<Option<Duration>, ClassError> {
        let (refresh, sync) = (self.interval("refreshInterval")?, self.interval("syncInterval")?);
        Ok(refresh.or(sync))
    }

    fn interval(&self, parameter: &'static str) -> Result<Option<Duration>, ClassError> {
        match self.value(parameter) {
            "" => Ok(None),
            text => match text.parse::<RefreshInterval>() {
                Ok(interval) => Ok(Some(interval.duration())),
                Err(source) => Err(ClassCause::Interval { parameter, source }.into()),
            },
        }
    }

    /// `mode`.
    pub(super) fn mode(&self) -> Result<Option<Mode>, ClassError> {
        match self.value("mode") {
            "" => Ok(None),
            text => {
                let mode = text.parse().map(Some);
                mode.map_err(|()| ClassCause::Mode(text.to_owned()).into())
            }
        }
    }

    /// Parameters that are ignored although somebody meant something by them.
    pub(super) fn doubts(&self) -> Doubts {
        let mut doubts = Doubts::default();
        for key in self.unknown() {
            if let Some(meant) = doubts.misspelled(PARAMETERS, key) {
                doubts.add(reason::KS141, || {
                    format!("parameter {key:?} is unknown and ignored; did you mean {meant:?}?")
                });
            }
        }
        for setting in ["rotationPollInterval", "enableSecretRotation"] {
            if self.values.keys().any(|key| key.eq_ignore_ascii_case(setting)) {
                doubts.add(reason::KS142, || {
                    format!(
                        "parameter {setting:?} is ignored: it is a setting of the whole \
                        driver; hint: set refreshInterval"
                    )
                });
            }
        }
        if !self.value("cloudEnvFileName").is_empty() {
            doubts.add(reason::KS142, || {
                "parameter \"cloudEnvFileName\" is ignored; the operator defines clouds".to_owned()
            });
        }
        doubts
    }

    fn unknown(&self) -> impl Iterator<Item = &'a str> {
        self.values
            .keys()
            .copied()
            .filter(|key| reference::find(PARAMETERS, key).is_none() && !is_of_driver(key))
    }

    /// An unknown parameter that looks like `key`.
    pub(super) fn misspelled(&self, key: &'static str) -> Option<String> {
        self.unknown()
            .take(MOST_COMPARED)
            .find(|unknown| nearest(unknown, &[key], 2).is_some())
            .map(str::to_owned)
    }
}

/// Whether the CSI driver puts this key among the volume's attributes.
fn is_of_driver(key: &str) -> bool {
    key == "secretProviderClass" || key.starts_with("csi.storage.k8s.io/")
}

/// The spellings that Go's `strconv.ParseBool` takes.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `value`, unless a placeholder is still in it.
pub(super) fn filled<'v>(field: &'static str, value: &'v str) -> Result<&'v str, ClassError> {
    if is_placeholder(value) {
        return Err(ClassCause::Placeholder { field, value: value.to_owned() }.into());
    }
    Ok(value)
}
