//! A record of Key Vault's diagnostic log. Azure Monitor writes it in three forms: as storage and
//! Event Hubs have it (`operationName`, `properties`), and as a row of the tables `AZKVAuditLogs`
//! (`OperationName`, `Id`) or `AzureDiagnostics` (`id_s`) of Log Analytics.

use super::caller::Caller;
use super::lenient::Text;
use super::names::plain;
use keysluice_plan::{Guid, RequestId};
use serde::Deserialize;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const CATEGORY: &str = "AuditEvent";
/// Of a name in Key Vault.
const MAX_NAME_BYTES: usize = 127;
const MAX_HOST_BYTES: usize = 253;

/// What a record tells.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Microseconds since 1970.
    pub(super) time: i64,
    /// `SecretGet`.
    pub(super) operation: String,
    /// Host of the vault, with a port if there is one.
    pub(super) vault: String,
    /// The object, if the call is about one.
    pub(super) object: Option<ObjectName>,
    /// Its version: that of the answer, else that of the request.
    pub(super) version: Option<String>,
    /// Whether the request named the version.
    pub(super) is_pinned: bool,
    /// HTTP status; 0 where the record does not tell.
    pub(super) status: u16,
    /// Client id of the caller.
    pub(super) app: Option<Guid>,
    /// Object id of the caller.
    pub(super) principal: Option<Guid>,
    /// IP address of the caller.
    pub(super) address: String,
    /// `correlationId`, if it is a GUID.
    pub(super) correlation: Option<Guid>,
    /// The id in the user agent.
    pub(super) request: Option<RequestId>,
}

/// An object of a vault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectName {
    /// `secrets`, `keys` or `certificates`.
    pub(super) kind: &'static str,
    /// In lower case, as Key Vault does not tell cases apart.
    pub(super) name: String,
}

/// Why a record is not an [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoEvent {
    /// It belongs to another log, such as the metrics.
    OtherCategory,
    /// It cannot be read.
    Malformed(&'static str),
}

/// The fields of all three forms; one that is absent is empty.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Fields<'a> {
    #[serde(borrow)]
    time: Text<'a>,
    #[serde(borrow, rename = "TimeGenerated")]
    time_generated: Text<'a>,
    #[serde(borrow)]
    category: Text<'a>,
    #[serde(borrow, rename = "Category")]
    category_of_table: Text<'a>,
    #[serde(borrow, rename = "operationName")]
    operation_name: Text<'a>,
    #[serde(borrow, rename = "OperationName")]
    operation_of_table: Text<'a>,
    #[serde(borrow, rename = "resultSignature")]
    result_signature: Text<'a>,
    #[serde(borrow, rename = "ResultSignature")]
    signature_of_table: Text<'a>,
    #[serde(borrow, rename = "callerIpAddress")]
    address: Text<'a>,
    #[serde(borrow, rename = "CallerIpAddress")]
    address_of_table: Text<'a>,
    #[serde(borrow, rename = "CallerIPAddress")]
    address_of_old_table: Text<'a>,
    #[serde(borrow, rename = "correlationId")]
    correlation: Text<'a>,
    #[serde(borrow, rename = "CorrelationId")]
    correlation_of_table: Text<'a>,
    #[serde(borrow)]
    identity: Option<&'a RawValue>,
    #[serde(borrow, rename = "Identity")]
    identity_of_table: Option<&'a RawValue>,
    #[serde(borrow, rename = "identity_claim_appid_g")]
    app_of_table: Text<'a>,
    #[serde(borrow, rename = "identity_claim_oid_g")]
    principal_of_table: Text<'a>,
    #[serde(
        borrow,
        rename = "identity_claim_http_schemas_microsoft_com_identity_claims_objectidentifier_g"
    )]
    long_principal_of_table: Text<'a>,
    #[serde(borrow)]
    properties: Option<Properties<'a>>,
    #[serde(borrow, rename = "Id")]
    id_of_table: Text<'a>,
    #[serde(borrow)]
    id_s: Text<'a>,
    #[serde(borrow, rename = "RequestUri")]
    uri_of_table: Text<'a>,
    #[serde(borrow, rename = "requestUri_s")]
    request_uri_s: Text<'a>,
    #[serde(borrow, rename = "ClientInfo")]
    client_of_table: Text<'a>,
    #[serde(borrow, rename = "clientInfo_s")]
    client_info_s: Text<'a>,
    #[serde(borrow, rename = "HttpStatusCode")]
    status_of_table: Text<'a>,
    #[serde(borrow, rename = "httpStatusCode_d")]
    status_d: Text<'a>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Properties<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    client_info: Text<'a>,
    #[serde(borrow)]
    request_uri: Text<'a>,
    #[serde(borrow)]
    http_status_code: Text<'a>,
}

impl Event {
    /// Reads a record.
    ///
    /// # Errors
    /// [`NoEvent`] says why it is none.
    pub(super) fn read(json: &[u8]) -> Result<Self, NoEvent> {
        let fields: Fields<'_> = serde_json::from_slice(json)
            .map_err(|_| NoEvent::Malformed("not a record of a diagnostic log"))?;
        let category = first([&fields.category, &fields.category_of_table]);
        if !category.is_empty() && !category.eq_ignore_ascii_case(CATEGORY) {
            return Err(NoEvent::OtherCategory);
        }
        let operation = first([&fields.operation_name, &fields.operation_of_table]);
        if operation.is_empty() {
            return Err(NoEvent::Malformed("no operationName"));
        }
        let time = micros(first([&fields.time, &fields.time_generated]))
            .ok_or(NoEvent::Malformed("no time"))?;
        Ok(fields.event(time, operation))
    }

    /// Whether the vault did what was asked.
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it is a successful GET of an object.
    pub(super) fn is_read(&self) -> bool {
        self.is_success()
            && self.object.is_some()
            && ["SecretGet", "KeyGet", "CertificateGet"].contains(&&*self.operation)
    }

    /// Whether the version is the newest at this time: an answer without a version in the request,
    /// or one that was just made.
    pub(super) fn shows_newest(&self) -> bool {
        let makes = ["SecretSet", "KeyCreate", "KeyImport", "KeyRotate", "CertificateImport"];
        self.is_success()
            && (self.is_read() && !self.is_pinned || makes.contains(&&*self.operation))
    }
}

impl Fields<'_> {
    fn event(&self, time: i64, operation: &str) -> Event {
        let none = Properties::default();
        let properties = self.properties.as_ref().unwrap_or(&none);
        let id = Uri::parse(first([&properties.id, &self.id_of_table, &self.id_s]));
        let request = [&properties.request_uri, &self.uri_of_table, &self.request_uri_s];
        let request = Uri::parse(first(request));
        let agent = [&properties.client_info, &self.client_of_table, &self.client_info_s];
        let status = [&properties.http_status_code, &self.status_of_table, &self.status_d];
        let signature = first([&self.result_signature, &self.signature_of_table]);
        let principal = first([&self.principal_of_table, &self.long_principal_of_table]).parse();
        let of_columns =
            Caller { app: self.app_of_table.0.parse().ok(), principal: principal.ok() };
        let caller = Caller::of(self.identity).or(Caller::of(self.identity_of_table));
        let caller = caller.or(of_columns);
        let addresses = [&self.address, &self.address_of_table, &self.address_of_old_table];
        let is_pinned = request.version.is_some();
        let of_id = id.version.is_some() || request.object.is_none() && id.object.is_some();
        let named = if of_id || request.vault.is_empty() { id } else { request };
        Event {
            time,
            operation: plain(operation, MAX_NAME_BYTES),
            vault: named.vault,
            object: named.object,
            version: named.version,
            is_pinned,
            status: status_of(first(status), signature),
            app: caller.app,
            principal: caller.principal,
            address: plain(first(addresses), 64),
            correlation: first([&self.correlation, &self.correlation_of_table]).parse().ok(),
            request: RequestId::of_user_agent(first(agent)),
        }
    }
}

/// A URI of a vault: `https://shop.vault.azure.net/secrets/db/0123…?api-version=7.4`.
#[derive(Default)]
struct Uri {
    vault: String,
    object: Option<ObjectName>,
    version: Option<String>,
}

impl Uri {
    fn parse(text: &str) -> Self {
        let Some(rest) = text.strip_prefix("https://") else { return Self::default() };
        let path = rest.split(['?', '#']).next().unwrap_or_default();
        let mut segments = path.split('/').filter(|segment| !segment.is_empty());
        let vault = plain(segments.next().unwrap_or_default(), MAX_HOST_BYTES);
        let vault = vault.trim_end_matches(":443").to_ascii_lowercase();
        let kind = segments.next().and_then(kind_of);
        let name = segments.next().filter(|name| is_name(name)).map(str::to_ascii_lowercase);
        let object = kind.zip(name).map(|(kind, name)| ObjectName { kind, name });
        let version = segments.next().filter(|version| is_name(version) && *version != "versions");
        let version = version.filter(|_| object.is_some()).map(str::to_ascii_lowercase);
        Self { vault, object, version }
    }
}

fn kind_of(segment: &str) -> Option<&'static str> {
    ["secrets", "keys", "certificates"].into_iter().find(|kind| kind.eq_ignore_ascii_case(segment))
}

fn is_name(text: &str) -> bool {
    text.len() <= MAX_NAME_BYTES
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The first text that is not empty.
fn first<'t, const N: usize>(texts: [&'t Text<'_>; N]) -> &'t str {
    texts.into_iter().map(|text| &*text.0).find(|text| !text.is_empty()).unwrap_or_default()
}

/// `200`, `200.0`, or the words of the signature.
fn status_of(code: &str, signature: &str) -> u16 {
    let code = code.split('.').next().unwrap_or_default();
    code.parse().unwrap_or(match signature {
        "OK" => 200,
        "Unauthorized" => 401,
        "Forbidden" => 403,
        "Not Found" | "NotFound" => 404,
        _ => 0,
    })
}

/// Microseconds since 1970 of an RFC 3339 time.
pub(super) fn micros(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    i64::try_from(time.unix_timestamp_nanos() / 1000).ok()
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
