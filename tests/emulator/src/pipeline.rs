//! The token services of pipelines: GitHub Actions' and Azure Pipelines'.
//!
//! The bearer token is [`BEARER`]. The token of a job of GitHub has the subject
//! [`GITHUB_SUBJECT`] and lives five minutes, as a real one does; that of Azure Pipelines names
//! organisation, project and service connection. Both come from the emulator's own issuer, so
//! that a federated credential of a seed can trust them.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use crate::call::Call;
use crate::directory::TOKEN_EXCHANGE_AUDIENCE;
use crate::issuer::TokenClaims;
use crate::reply::Reply;
use crate::world::World;

/// What a job sends as `ACTIONS_ID_TOKEN_REQUEST_TOKEN` or `SYSTEM_ACCESSTOKEN`.
pub const BEARER: &str = "job-token-of-the-emulator";
/// `sub` of a job of GitHub Actions.
pub const GITHUB_SUBJECT: &str = "repo:octo/app:ref:refs/heads/main";
/// `sub` of a job of Azure Pipelines with the service connection `shop`.
pub const AZURE_SUBJECT: &str = "sc://org/project/shop";

/// `GET /pipelines/github/token?api-version=2.0&audience=…`
pub(crate) fn github(world: &World, call: &Call) -> Reply {
    if let Some(refusal) = refused(call, &Method::GET) {
        return refusal;
    }
    let audience = call.parameter("audience").unwrap_or("https://github.com/octo");
    let token = sign(world, GITHUB_SUBJECT, audience);
    Reply::json(StatusCode::OK, &json!({"count": token.len(), "value": token}))
}

/// `POST /pipelines/azure/oidctoken?api-version=7.1&serviceConnectionId=shop`
pub(crate) fn azure(world: &World, call: &Call) -> Reply {
    if let Some(refusal) = refused(call, &Method::POST) {
        return refusal;
    }
    let wrong = |message: &str| Reply::json(StatusCode::BAD_REQUEST, &json!({"message": message}));
    if call.parameter("api-version").is_none() {
        return wrong("No api-version was supplied for the POST request.");
    }
    match call.parameter("serviceConnectionId") {
        Some("shop") => {
            let token = sign(world, AZURE_SUBJECT, TOKEN_EXCHANGE_AUDIENCE);
            Reply::json(StatusCode::OK, &json!({"oidcToken": token}))
        }
        _ => wrong("The service connection does not exist, or the pipeline may not use it."),
    }
}

fn refused(call: &Call, method: &Method) -> Option<Reply> {
    if call.method != *method {
        return Some(Reply::empty(StatusCode::METHOD_NOT_ALLOWED));
    }
    let is_known = call.header("authorization") == Some(&format!("Bearer {BEARER}"));
    (!is_known).then(|| Reply::empty(StatusCode::UNAUTHORIZED))
}

fn sign(world: &World, subject: &str, audience: &str) -> String {
    let mut claims =
        TokenClaims::new("pipeline", "job").audience(audience).lifetime(Duration::from_secs(300));
    claims.subject = Some(subject.to_owned());
    claims.sign(&world.ports.issuer(), &world.keys)
}
