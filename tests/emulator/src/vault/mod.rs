//! Key Vault's data plane: secrets, keys and certificates of the vaults, chosen by host.

mod access;
mod body;
mod certificate;
mod error;
mod key;
mod list;
mod object;
mod role;
mod store;

use std::collections::BTreeMap;

use http::{HeaderName, StatusCode, header};
use serde::Deserialize;
use serde_json::json;

use self::access::Caller;
pub(crate) use self::access::bearer;
use self::body::Body;
use self::error::VaultError;
pub use self::error::{CertificateReason, KeyReason, SeedError};
pub use self::list::ListShape;
use self::object::{Object, Objects, Version, valid_name};
pub(crate) use self::store::Vault;
use crate::call::Call;
use crate::random;
use crate::reply::Reply;
use crate::route::{Collection, Domain, Operation};
use crate::seed::{Permission, SecretSeed, SecretValue};
use crate::world::World;

/// Stable versions of the API; previews of newer ones are accepted too.
const API_VERSIONS: &[&str] =
    &["2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"];

/// Answers a call of the vault `name`.
pub(crate) fn answer(
    world: &mut World,
    name: &str,
    domain: Domain,
    operation: Operation<'_>,
    call: &Call,
    now: i64,
) -> Reply {
    let Some(vault) = world.vault(name) else {
        return with_headers(VaultError::NoVault(name.to_owned()).reply(), call);
    };
    let reply = match read(world, vault, domain, operation, call, now) {
        Ok(Outcome::Reply(reply)) => reply,
        Ok(Outcome::Set { name: secret, seed }) => match world.vault_mut(name) {
            Some(vault) => {
                set(vault, &secret, seed, call, now).unwrap_or_else(|error| error.reply())
            }
            None => VaultError::NoVault(name.to_owned()).reply(),
        },
        Err(error) => {
            let reply = error.reply();
            if reply.status == StatusCode::UNAUTHORIZED {
                access::challenge(world, vault, domain, reply)
            } else {
                reply
            }
        }
    };
    with_headers(reply, call)
}

/// An injected failure.
pub(crate) fn fault(status: StatusCode, call: &Call) -> Reply {
    with_headers(VaultError::injected(status).reply(), call)
}

/// What a call leads to: an answer, or a change for which it is authorized.
enum Outcome {
    Reply(Reply),
    Set { name: String, seed: SecretSeed },
}

/// Checks in the service's order: token, version of the API, names, role, and only then whether the
/// object exists.
fn read(
    world: &World,
    vault: &Vault,
    domain: Domain,
    operation: Operation<'_>,
    call: &Call,
    now: i64,
) -> Result<Outcome, VaultError> {
    let caller = Caller::verify(world, vault, domain, call, now)?;
    check_api_version(call)?;
    if let Operation::Get { name, .. }
    | Operation::Versions { name, .. }
    | Operation::SetSecret { name } = operation
        && !valid_name(name)
    {
        return Err(VaultError::Name(name.to_owned()));
    }
    let reply = match operation {
        Operation::Get { collection, name, version } => {
            caller.authorize(vault, collection, Permission::Get, Some(name))?;
            match collection {
                Collection::Secrets => get(&vault.secrets, name, version, call),
                Collection::Keys => get(&vault.keys, name, version, call),
                Collection::Certificates => get(&vault.certificates, name, version, call),
            }
        }
        Operation::List { collection } => {
            caller.authorize(vault, collection, Permission::List, None)?;
            let url = vault_url(call);
            match collection {
                Collection::Secrets => list::objects(&vault.secrets, &url, call, &world.lists),
                Collection::Keys => list::objects(&vault.keys, &url, call, &world.lists),
                Collection::Certificates => {
                    list::objects(&vault.certificates, &url, call, &world.lists)
                }
            }
        }
        Operation::Versions { collection, name } => {
            caller.authorize(vault, collection, Permission::List, Some(name))?;
            let url = vault_url(call);
            match collection {
                Collection::Secrets => {
                    list::versions(find(&vault.secrets, name)?, &url, call, &world.lists)
                }
                Collection::Keys => {
                    list::versions(find(&vault.keys, name)?, &url, call, &world.lists)
                }
                Collection::Certificates => {
                    list::versions(find(&vault.certificates, name)?, &url, call, &world.lists)
                }
            }
        }
        Operation::SetSecret { name } => {
            caller.authorize(vault, Collection::Secrets, Permission::Set, Some(name))?;
            return Ok(Outcome::Set { name: name.to_owned(), seed: secret_of(&call.body)? });
        }
        Operation::Unknown => Err(VaultError::Unsupported(call.method.to_string())),
    }?;
    Ok(Outcome::Reply(reply))
}

fn find<'a, T: Body>(objects: &'a Objects<T>, name: &str) -> Result<&'a Object<T>, VaultError> {
    objects
        .get(name)
        .ok_or_else(|| VaultError::NotFound { collection: T::COLLECTION, id: name.to_owned() })
}

fn get<T: Body>(
    objects: &Objects<T>,
    name: &str,
    id: Option<&str>,
    call: &Call,
) -> Result<Reply, VaultError> {
    let object = find(objects, name)?;
    let version = object.version(id).ok_or_else(|| VaultError::NotFound {
        collection: T::COLLECTION,
        id: format!("{name}/{}", id.unwrap_or_default()),
    })?;
    // The service never falls back to an older version.
    if !version.attributes.enabled && T::is_hidden_when_disabled() {
        return Err(VaultError::Disabled { collection: T::COLLECTION, operation: "get" });
    }
    Ok(bundle(object, version, call))
}

fn bundle<T: Body>(object: &Object<T>, version: &Version<T>, call: &Call) -> Reply {
    let mut bundle = version.body.bundle(&vault_url(call), &object.name, version);
    bundle.insert("attributes".to_owned(), version.attributes.json());
    if !version.tags.is_empty() {
        bundle.insert("tags".to_owned(), json!(version.tags));
    }
    Reply::json(StatusCode::OK, &bundle)
}

fn set(
    vault: &mut Vault,
    name: &str,
    seed: SecretSeed,
    call: &Call,
    now: i64,
) -> Result<Reply, VaultError> {
    vault.set_secret(name, seed, now).map_err(|error| VaultError::Body(error.to_string()))?;
    let object = find(&vault.secrets, name)?;
    Ok(bundle(object, object.newest(), call))
}

/// Body of PUT on a secret. Other members are ignored, as the service does.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SetSecret {
    value: SecretValue,
    content_type: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    attributes: SetAttributes,
}

#[derive(Deserialize, Default)]
struct SetAttributes {
    enabled: Option<bool>,
    nbf: Option<i64>,
    exp: Option<i64>,
}

fn secret_of(body: &[u8]) -> Result<SecretSeed, VaultError> {
    // The parser's own message could quote the value.
    let body: SetSecret =
        serde_json::from_slice(body).map_err(|_| VaultError::Body("value".to_owned()))?;
    Ok(SecretSeed {
        value: Some(body.value),
        content_type: body.content_type,
        tags: body.tags,
        enabled: body.attributes.enabled,
        not_before: body.attributes.nbf,
        expires: body.attributes.exp,
        ..SecretSeed::default()
    })
}

fn check_api_version(call: &Call) -> Result<(), VaultError> {
    let version = call.parameter("api-version").ok_or(VaultError::NoApiVersion)?;
    let stable = version.split_once("-preview").map_or(version, |(stable, _)| stable);
    let is_dated =
        stable.len() == 10 && stable.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if API_VERSIONS.contains(&stable) || (stable != version && is_dated) {
        Ok(())
    } else {
        Err(VaultError::ApiVersion(version.to_owned()))
    }
}

/// Ids begin with the host that was asked, so that a client finds its own vault in them.
fn vault_url(call: &Call) -> String {
    format!("https://{}", call.authority)
}

fn with_headers(reply: Reply, call: &Call) -> Reply {
    let reply = reply
        .with(header::CACHE_CONTROL, "no-cache")
        .with(header::PRAGMA, "no-cache")
        .with(header::EXPIRES, "-1")
        .with(header::STRICT_TRANSPORT_SECURITY, "max-age=31536000;includeSubDomains")
        .with(header::X_CONTENT_TYPE_OPTIONS, "nosniff")
        .with(HeaderName::from_static("x-ms-keyvault-region"), "emulator")
        .with(HeaderName::from_static("x-ms-keyvault-service-version"), "1.9.331.5")
        .with(
            HeaderName::from_static("x-ms-keyvault-network-info"),
            "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;",
        )
        .with(HeaderName::from_static("x-ms-request-id"), random::guid());
    match call.header("x-ms-client-request-id") {
        Some(id) => reply.with(HeaderName::from_static("x-ms-client-request-id"), id),
        None => reply,
    }
}
