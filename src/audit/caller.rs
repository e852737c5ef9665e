//! Who called, by the claims of the token: an object in a log, in some exports its JSON as a text.

use super::lenient::Text;
use keysluice_plan::Guid;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The identity of a caller.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Caller {
    /// Its client id.
    pub(super) app: Option<Guid>,
    /// Its object id.
    pub(super) principal: Option<Guid>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Identity<'a> {
    #[serde(borrow)]
    claim: Claims<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Claims<'a> {
    #[serde(borrow)]
    appid: Text<'a>,
    #[serde(borrow)]
    oid: Text<'a>,
    #[serde(borrow, rename = "http://schemas.microsoft.com/identity/claims/objectidentifier")]
    long_oid: Text<'a>,
}

impl Caller {
    /// Of the field `identity`. What is of another form names nobody.
    pub(super) fn of(identity: Option<&RawValue>) -> Self {
        let Some(json) = identity.map(RawValue::get) else { return Self::default() };
        if json.starts_with('"') {
            let text: String = serde_json::from_str(json).unwrap_or_default();
            return Self::of_object(&text);
        }
        Self::of_object(json)
    }

    fn of_object(json: &str) -> Self {
        let Identity { claim } = serde_json::from_str(json).unwrap_or_default();
        let principal = claim.oid.0.parse().or_else(|_| claim.long_oid.0.parse());
        Self { app: claim.appid.0.parse().ok(), principal: principal.ok() }
    }

    /// Itself, with what it lacks from another.
    pub(super) fn or(self, other: Self) -> Self {
        Self { app: self.app.or(other.app), principal: self.principal.or(other.principal) }
    }
}
