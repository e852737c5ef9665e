//! The node's managed identity, from the instance metadata service (IMDS).

use super::answer::{Refused, receive};
use super::error::IdentityError;
use super::token::Grant;
use crate::calls::Call;
use crate::foreign::without_user_info;
use crate::http::Http;

/// One token for `scope` (whose resource is the part before `/.default`).
pub(super) async fn token(
    http: &Http,
    endpoint: &str,
    client_id: Option<&str>,
    scope: &str,
) -> Result<Grant, IdentityError> {
    let resource = scope.strip_suffix("/.default").unwrap_or(scope);
    let base = endpoint.trim_end_matches('/');
    let mut url = format!(
        "{base}/metadata/identity/oauth2/token?api-version=2018-02-01&resource={}",
        percent_encoded(resource)
    );
    if let Some(client_id) = client_id {
        url.push_str("&client_id=");
        url.push_str(&percent_encoded(client_id));
    }
    let request = http.plain_client()?.get(url).header("Metadata", "true");
    let endpoint = without_user_info(endpoint);
    let Refused { status, retry_after, error } = match receive(Call::Imds, request).await {
        Err(failure) => return Err(IdentityError::Network { endpoint, imds: true, failure }),
        Ok(Ok(grant)) => return Ok(grant),
        Ok(Err(refused)) => refused,
    };
    Err(match error {
        Ok(error) => {
            let text = error.to_string();
            let several = client_id.is_none() && text.contains("Multiple user assigned identities");
            let identity = match client_id {
                Some(client_id) => format!(" refused client {client_id}"),
                None => " refused the request without a client id".to_owned(),
            };
            IdentityError::Imds { endpoint, identity, status, text, several, retry_after }
        }
        Err(foreign) => IdentityError::Foreign { endpoint, imds: true, foreign, retry_after },
    })
}

/// Everything but unreserved characters, as a query value needs it.
fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::percent_encoded;

    #[test]
    fn query_values_are_encoded() {
        assert_eq!(percent_encoded("https://vault.azure.net"), "https%3A%2F%2Fvault.azure.net");
        assert_eq!(percent_encoded("a-b_c.d~e&f"), "a-b_c.d~e%26f");
    }
}
