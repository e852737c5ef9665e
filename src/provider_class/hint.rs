//! What to do about a class that is refused.

use super::document::YamlError;
use super::error::{ClassCause, ClassError, SelectCause};
use crate::spelling::nearest;
use std::borrow::Cow;

impl ClassError {
    /// What to do about it: the reason's fix, sharpened where the value at hand says more.
    pub(super) fn hint(&self) -> Cow<'static, str> {
        match self.cause() {
            ClassCause::VaultMissing { near: Some(near) } => spelled(near, "keyvaultName"),
            ClassCause::TenantMissing { near: Some(near) } => spelled(near, "tenantID"),
            ClassCause::ClientMissing { near: Some(near) } => spelled(near, "clientID"),
            ClassCause::ParameterType { name, value: Some(value), .. } => {
                format!("quote it, as the API server wants it too: {name}: {value:?}").into()
            }
            ClassCause::Within { source, .. } => source.hint(),
            ClassCause::Select {
                source: SelectCause::Unknown { near: Some(near), .. }, ..
            } => format!("did you mean {near}?").into(),
            ClassCause::Template { source, .. } => {
                source.hint().map_or_else(|| self.reason().fix.into(), Cow::from)
            }
            ClassCause::Object { source, .. } => {
                source.hint().map_or_else(|| self.reason().fix.into(), Cow::from)
            }
            ClassCause::ProviderForeign { provider, .. }
                if nearest(provider.trim(), &["azure"], 1).is_some() =>
            {
                format!("provider is {provider:?}; did you mean azure?").into()
            }
            ClassCause::Manifest {
                found: "a boolean" | "a number", expected: "a string", ..
            } => "quote it, as the API server wants it too".into(),
            ClassCause::ParameterType { name, found: "a list", .. } if name == "array" => {
                "indent array: below objects: |, by two spaces more".into()
            }
            ClassCause::Mode(_) => "write sidecar or init, or leave it out".into(),
            ClassCause::Objects(YamlError::Kind { found, into: "types.StringArray", .. })
                if found == "!!seq" =>
            {
                "put the key \"array:\" above the list".into()
            }
            _ => self.reason().fix.into(),
        }
    }
}

fn spelled(near: &str, key: &str) -> Cow<'static, str> {
    format!("the parameter is spelled {key}, not {near}").into()
}
