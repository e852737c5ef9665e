//! The assertion of a pipeline: which source there is, and what it is asked. Pure.

use super::error::{Cause, FetchError};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Request, Uri, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

/// The variable that `auto` reads where no service gives tokens; the GitLab template sets it.
pub(super) const TOKEN_VARIABLE: &str = "KEYSLUICE_ID_TOKEN";
const GITHUB_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const GITHUB_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
const AZURE_URL: &str = "SYSTEM_OIDCREQUESTURI";
const AZURE_TOKEN: &str = "SYSTEM_ACCESSTOKEN";
/// Of the task `AzureCLI@2` and its relatives.
const AZURE_CONNECTION: &str = "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID";
const FILE_VARIABLE: &str = "AZURE_FEDERATED_TOKEN_FILE";
/// What the injector need not see.
pub(super) const PRIVATE_VARIABLES: [&str; 3] = [GITHUB_TOKEN, AZURE_TOKEN, TOKEN_VARIABLE];
/// A renewed assertion is asked for at most so often.
const SHORTEST_RENEWAL: Duration = Duration::from_secs(5);

/// `--assertion`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    Auto,
    Github,
    AzurePipelines,
    File(PathBuf),
    Variable(String),
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "github" => Ok(Self::Github),
            None if text == "azure-pipelines" => Ok(Self::AzurePipelines),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some(("env", name)) if !name.is_empty() => Ok(Self::Variable(name.to_owned())),
            _ => Err("not auto, github, azure-pipelines, file:PATH or env:NAME".to_owned()),
        }
    }
}

/// Where the assertion comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// A file that its owner may replace.
    File(PathBuf),
    /// A variable of the job.
    Variable { name: String, token: SecretString },
    /// A service that gives a new one on each request.
    Service(Service),
}

/// A token service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: &'static str,
    pub(super) url: Uri,
    method: Method,
    bearer: SecretString,
    /// The field of the answer that holds the token.
    field: &'static str,
}

/// What the choice needs besides.
pub(super) struct Surroundings<'a> {
    /// The environment.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// `--audience`.
    pub(super) audience: &'a str,
    /// `--service-connection-id`.
    pub(super) service_connection: Option<&'a str>,
}

impl Surroundings<'_> {
    /// The value of a variable that is set, and not to nothing.
    fn value(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn has(&self, names: &[&str]) -> bool {
        names.iter().all(|name| self.value(name).is_some())
    }

    fn is_true(&self, name: &str) -> bool {
        self.value(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

impl Source {
    /// The source of the choice; of `auto` the first whose variables are there.
    pub(super) fn choose(choice: &Choice, around: &Surroundings<'_>) -> Result<Self, FetchError> {
        match choice {
            Choice::File(path) => Ok(Self::File(path.clone())),
            Choice::Variable(name) => of_variable(name, around.value(name)),
            Choice::Github => github(around).map(Self::Service),
            Choice::AzurePipelines => azure_pipelines(around).map(Self::Service),
            Choice::Auto if around.has(&[GITHUB_URL, GITHUB_TOKEN]) => {
                github(around).map(Self::Service)
            }
            Choice::Auto if around.has(&[AZURE_URL, AZURE_TOKEN]) => {
                azure_pipelines(around).map(Self::Service)
            }
            Choice::Auto => match (around.value(TOKEN_VARIABLE), around.value(FILE_VARIABLE)) {
                (token @ Some(_), _) => of_variable(TOKEN_VARIABLE, token),
                (_, Some(path)) => Ok(Self::File(path.into())),
                _ => Err(Cause::Assertion(nothing(around)).into()),
            },
        }
    }

    /// For the log.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::File(path) => format!("file {}", path.display()),
            Self::Variable { name, .. } => format!("variable {name}"),
            Self::Service(service) => format!("{} at {}", service.name, service.host()),
        }
    }
}

/// What is missing, as far as the environment tells.
fn nothing(around: &Surroundings<'_>) -> String {
    let why = if around.is_true("GITHUB_ACTIONS") {
        "this job of GitHub Actions may not request an ID token: it has not permissions: \
         id-token: write"
    } else if around.is_true("TF_BUILD") {
        "SYSTEM_ACCESSTOKEN is not set; map it in the step: env: SYSTEM_ACCESSTOKEN: \
         $(System.AccessToken)"
    } else if around.is_true("GITLAB_CI") {
        "KEYSLUICE_ID_TOKEN is not set; give the job id_tokens: KEYSLUICE_ID_TOKEN: aud: \
         api://AzureADTokenExchange"
    } else {
        "no source is there: neither the variables of GitHub Actions or Azure Pipelines, nor \
         KEYSLUICE_ID_TOKEN, nor AZURE_FEDERATED_TOKEN_FILE"
    };
    why.to_owned()
}

fn of_variable(name: &str, token: Option<String>) -> Result<Source, FetchError> {
    let token = token.ok_or_else(|| Cause::Assertion(format!("variable {name} is not set")))?;
    check(&token).map_err(|problem| Cause::Assertion(format!("variable {name} {problem}")))?;
    Ok(Source::Variable { name: name.to_owned(), token: token.trim().to_owned().into() })
}

fn github(around: &Surroundings<'_>) -> Result<Service, FetchError> {
    let [url, token] = required(around, "github", [GITHUB_URL, GITHUB_TOKEN])?;
    let separator = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{separator}audience={}", encoded(around.audience));
    Ok(Service {
        name: "GitHub Actions",
        url: checked_url(GITHUB_URL, &url)?,
        method: Method::GET,
        bearer: token.into(),
        field: "value",
    })
}

fn azure_pipelines(around: &Surroundings<'_>) -> Result<Service, FetchError> {
    let [url, token] = required(around, "azure-pipelines", [AZURE_URL, AZURE_TOKEN])?;
    let connection = around.service_connection.map(str::to_owned);
    let connection = connection
        .filter(|connection| !connection.is_empty())
        .or_else(|| (around.variable)(AZURE_CONNECTION))
        .filter(|connection| !connection.is_empty());
    let connection = connection.ok_or_else(|| {
        Cause::Assertion(format!(
            "no service connection is named: give --service-connection-id (its id, a GUID), or \
             run the step in AzureCLI@2, which sets {AZURE_CONNECTION}"
        ))
    })?;
    let separator = if url.contains('?') { '&' } else { '?' };
    let url =
        format!("{url}{separator}api-version=7.1&serviceConnectionId={}", encoded(&connection));
    Ok(Service {
        name: "Azure Pipelines",
        url: checked_url(AZURE_URL, &url)?,
        method: Method::POST,
        bearer: token.into(),
        field: "oidcToken",
    })
}

fn required(
    around: &Surroundings<'_>,
    choice: &str,
    names: [&str; 2],
) -> Result<[String; 2], FetchError> {
    let [first, second] = names.map(|name| {
        around.value(name).ok_or_else(|| {
            Cause::Assertion(format!("--assertion {choice}: variable {name} is not set"))
        })
    });
    Ok([first?, second?])
}

/// https, or http on loopback. The URL is not shown: it may hold a key.
fn checked_url(variable: &str, url: &str) -> Result<Uri, FetchError> {
    let url = url.parse::<Uri>().ok().filter(|url| {
        let host = url.host().unwrap_or_default();
        match url.scheme_str() {
            Some("https") => !host.is_empty(),
            Some("http") => is_loopback(host),
            _ => false,
        }
    });
    url.ok_or_else(|| Cause::Assertion(format!("variable {variable} is not an https URL")).into())
}

/// Names below `.localhost` are loopback (RFC 6761); the system's resolver does not know that.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    let address = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    name == "localhost"
        || name.ends_with(".localhost")
        || address.is_ok_and(|address| address.is_loopback())
}

/// Percent-encoded: all but the unreserved characters of RFC 3986.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

impl Service {
    pub(super) fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    /// The request for a token; its body is empty.
    pub(super) fn request(&self) -> Result<http::request::Builder, &'static str> {
        let bearer = format!("Bearer {}", self.bearer.expose_secret());
        let mut bearer = header::HeaderValue::from_str(&bearer)
            .map_err(|_| "its token is not a value of a header")?;
        bearer.set_sensitive(true);
        Ok(Request::builder()
            .method(self.method.clone())
            .header(header::AUTHORIZATION, bearer)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::CONTENT_LENGTH, "0"))
    }

    /// The token of an answer.
    pub(super) fn token(&self, body: &[u8]) -> Result<SecretString, String> {
        let answer: Value = serde_json::from_slice(body)
            .map_err(|_| "the answer is not JSON: something between may answer".to_owned())?;
        let token = answer[self.field].as_str();
        let token = token.ok_or_else(|| format!("the answer has no field {}", self.field))?;
        check(token).map_err(|problem| format!("field {} {problem}", self.field))?;
        Ok(token.to_owned().into())
    }
}

/// Whether a text has the form of a JSON web token.
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    let text = text.trim();
    if text.is_empty() {
        Err("is empty")
    } else if text.split('.').count() == 3 && text.split('.').all(is_base64url) {
        Ok(())
    } else {
        Err("is not a JSON web token (three base64url parts)")
    }
}

fn is_base64url(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// When the next assertion is due: at half of the time that this one has left. Without an end it
/// is kept.
pub(super) fn renewal(token: &str, now: Duration) -> Option<Duration> {
    let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    let end = Duration::from_secs(claims["exp"].as_u64()?);
    Some((end.saturating_sub(now) / 2).max(SHORTEST_RENEWAL))
}

#[cfg(test)]
#[path = "assertion_tests.rs"]
mod tests;
