//! The control interface: what the library's methods do, over HTTP. The crate's documentation lists
//! its paths.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::call::Call;
use crate::cloud;
use crate::directory::TOKEN_EXCHANGE_AUDIENCE;
use crate::fault::Fault;
use crate::issuer::TokenClaims;
use crate::reply::Reply;
use crate::seed::{KeySeed, RoleSeed, SecretSeed, Seed};
use crate::vault::{ListShape, SeedError, Vault};
use crate::world::World;

/// Answers a call below `/control/`.
pub(crate) fn answer(world: &mut World, call: &Call, now: i64) -> Reply {
    act(world, call, now).unwrap_or_else(|error| {
        let status = match error {
            ControlError::NoSuchObject(_) | ControlError::NoSuchPath => StatusCode::NOT_FOUND,
            ControlError::Json(_) | ControlError::Seed(_) | ControlError::Parameter(_) => {
                StatusCode::BAD_REQUEST
            }
        };
        Reply::json(status, &json!({"error": error.to_string()}))
    })
}

fn act(world: &mut World, call: &Call, now: i64) -> Result<Reply, ControlError> {
    let segments = call.segments();
    let done = || Ok(Reply::empty(StatusCode::NO_CONTENT));
    match (call.method.as_str(), segments.get(1..).unwrap_or_default()) {
        ("GET", ["token"]) => mint(world, call),
        ("GET", ["cloud"]) => {
            Ok(Reply::text(StatusCode::OK, cloud::definition(world.ports, &world.ca_pem)))
        }
        ("GET", ["ca"]) => Ok(Reply::text(StatusCode::OK, world.ca_pem.clone())),
        ("POST", ["seed"]) => {
            world.seed(json_of::<Seed>(call)?, now)?;
            done()
        }
        ("GET", ["counts"]) => Ok(Reply::json(StatusCode::OK, &world.journal.counts())),
        ("GET", ["requests"]) => Ok(Reply::json(StatusCode::OK, &world.journal.requests())),
        ("DELETE", ["counts" | "requests"]) => {
            world.journal.reset();
            done()
        }
        ("GET", ["diagnostics"]) => Ok(Reply::text(StatusCode::OK, world.diagnostics.lines())),
        ("PUT", ["diagnostics"]) => {
            world.diagnostics.client_correlation =
                json_of::<DiagnosticForm>(call)?.client_correlation;
            done()
        }
        ("DELETE", ["diagnostics"]) => {
            world.diagnostics.clear();
            done()
        }
        ("GET", ["faults"]) => Ok(Reply::json(StatusCode::OK, world.faults.in_force())),
        ("POST", ["faults"]) => {
            world.faults.inject(json_of::<Fault>(call)?);
            done()
        }
        ("DELETE", ["faults"]) => {
            world.faults.clear();
            done()
        }
        ("PUT", ["delay"]) => {
            world.delay = Duration::from_millis(json_of::<Delay>(call)?.milliseconds);
            done()
        }
        ("PUT", ["lists"]) => {
            world.lists = json_of::<ListShape>(call)?;
            done()
        }
        ("PUT", ["token-lifetime"]) => {
            world.token_lifetime = json_of::<Lifetime>(call)?.seconds.map(Duration::from_secs);
            done()
        }
        (_, ["vaults", vault, rest @ ..]) => {
            let found =
                world.vault_mut(vault).ok_or_else(|| SeedError::NoVault((*vault).to_owned()))?;
            change_vault(found, rest, call, now)
        }
        _ => Err(ControlError::NoSuchPath),
    }
}

fn change_vault(
    vault: &mut Vault,
    path: &[&str],
    call: &Call,
    now: i64,
) -> Result<Reply, ControlError> {
    let version = |id: String| Ok(Reply::json(StatusCode::OK, &json!({"version": id})));
    let found = match (&call.method, path) {
        (&Method::PUT, ["secrets", name]) => {
            return version(vault.set_secret(name, json_of::<SecretSeed>(call)?, now)?);
        }
        (&Method::PUT, ["keys", name]) => {
            return version(vault.set_key(name, &json_of::<KeySeed>(call)?, now)?);
        }
        (&Method::PUT, ["certificates", name]) => {
            return version(vault.set_certificate(name, json_of(call)?, now)?);
        }
        (&Method::POST, ["roles"]) => {
            vault.add_role(json_of::<RoleSeed>(call)?);
            true
        }
        (&Method::DELETE, ["roles", client_id]) => {
            vault.revoke(client_id);
            true
        }
        (&Method::PUT, ["objects", name, "tags"]) => {
            vault.set_tags(name, json_of::<BTreeMap<_, _>>(call)?, now)
        }
        (&Method::POST, ["objects", name, how @ ("enable" | "disable")]) => {
            vault.set_enabled(name, call.parameter("version"), *how == "enable", now)
        }
        (&Method::DELETE, ["objects", name]) => vault.delete(name),
        _ => return Err(ControlError::NoSuchPath),
    };
    if found {
        Ok(Reply::empty(StatusCode::NO_CONTENT))
    } else {
        Err(ControlError::NoSuchObject(path.get(1).copied().unwrap_or_default().to_owned()))
    }
}

fn mint(world: &World, call: &Call) -> Result<Reply, ControlError> {
    let required = |name| call.parameter(name).ok_or(ControlError::Parameter(name));
    let mut claims = TokenClaims::new(required("namespace")?, required("serviceAccount")?)
        .audience(call.parameter("audience").unwrap_or(TOKEN_EXCHANGE_AUDIENCE));
    if let Some(seconds) = call.parameter("lifetimeSeconds") {
        let seconds = seconds.parse().map_err(|_| ControlError::Parameter("lifetimeSeconds"))?;
        claims = claims.lifetime(Duration::from_secs(seconds));
    }
    Ok(Reply::text(StatusCode::OK, claims.sign(&world.ports.issuer(), &world.keys)))
}

fn json_of<T: DeserializeOwned>(call: &Call) -> Result<T, ControlError> {
    serde_json::from_slice(&call.body).map_err(ControlError::Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delay {
    milliseconds: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct DiagnosticForm {
    client_correlation: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Lifetime {
    seconds: Option<u64>,
}

/// Why a control call did nothing.
#[derive(Debug, thiserror::Error)]
enum ControlError {
    #[error("the body is not the expected JSON: {0}")]
    Json(#[source] serde_json::Error),
    #[error(transparent)]
    Seed(#[from] SeedError),
    #[error("the query parameter {0} is missing or malformed")]
    Parameter(&'static str),
    #[error("nothing here has the name {0:?}")]
    NoSuchObject(String),
    #[error(
        "no such control path or method; hint: the documentation of keysluice-emulator lists them"
    )]
    NoSuchPath,
}
