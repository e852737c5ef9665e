//! The instance metadata service's token endpoint, `GET /metadata/identity/oauth2/token`.

use http::{Method, StatusCode};
use serde_json::json;

use crate::call::Call;
use crate::directory::App;
use crate::reply::Reply;
use crate::world::World;

/// Answers a token request. Every member of the answer is a string, as on a real machine.
pub(crate) fn token(world: &World, call: &Call, now: i64) -> Reply {
    let (app, resource) = match choose(world, call) {
        Ok(chosen) => chosen,
        Err(error) => return error.reply(),
    };
    let lifetime = world.token_lifetime_seconds(app);
    Reply::json(
        StatusCode::OK,
        &json!({
            "access_token": app.access_token(resource, now, lifetime, &world.keys.entra),
            "client_id": app.client_id,
            "expires_in": lifetime.to_string(),
            "expires_on": (now + lifetime).to_string(),
            "ext_expires_in": lifetime.to_string(),
            "not_before": now.to_string(),
            "refresh_token": "",
            "resource": resource,
            "token_type": "Bearer",
        }),
    )
}

fn choose<'a>(world: &'a World, call: &'a Call) -> Result<(&'a App, &'a str), ImdsError> {
    if call.method != Method::GET {
        return Err(ImdsError::Method);
    }
    // The value is compared as it stands: `True` is refused by the service too.
    if call.header("metadata") != Some("true") {
        return Err(ImdsError::NoMetadataHeader);
    }
    if call.parameter("api-version").is_none_or(str::is_empty) {
        return Err(ImdsError::NoApiVersion);
    }
    let resource = call
        .parameter("resource")
        .filter(|resource| !resource.is_empty())
        .ok_or(ImdsError::NoResource)?;
    let mut chosen = world.directory.managed_identities().filter(|app| {
        let matches = |parameter, found: Option<&str>| {
            call.parameter(parameter)
                .is_none_or(|wanted| found.is_some_and(|found| found.eq_ignore_ascii_case(wanted)))
        };
        matches("client_id", Some(&app.client_id))
            && matches("object_id", Some(&app.object_id))
            && matches("msi_res_id", app.resource_id.as_deref())
    });
    match (chosen.next(), chosen.next()) {
        (Some(app), None) => Ok((app, resource)),
        (Some(_), Some(_)) => Err(ImdsError::Several),
        (None, _) => Err(ImdsError::NotFound),
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
enum ImdsError {
    #[error("Required metadata header not specified")]
    NoMetadataHeader,
    #[error("Required query variable 'api-version' is missing")]
    NoApiVersion,
    #[error("Required query variable 'resource' is missing")]
    NoResource,
    #[error("Identity not found")]
    NotFound,
    #[error(
        "Multiple user assigned identities exist, please specify the clientId / resourceId of the \
         identity in the token request"
    )]
    Several,
    #[error("Method not allowed")]
    Method,
}

impl ImdsError {
    fn reply(&self) -> Reply {
        let (status, error) = match self {
            Self::NoMetadataHeader => (StatusCode::BAD_REQUEST, "bad_request_102"),
            Self::NoApiVersion | Self::NotFound | Self::Several => {
                (StatusCode::BAD_REQUEST, "invalid_request")
            }
            Self::NoResource => (StatusCode::BAD_REQUEST, "invalid_resource"),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        };
        Reply::json(status, &json!({"error": error, "error_description": self.to_string()}))
    }
}
