//! The custom token endpoint of AKS identity bindings: another audience, and where the SDKs find
//! the proxy.

use keysluice_plan::{TOKEN_PROXY_CA, TOKEN_PROXY_DIRECTORY, TokenProxy};
use serde_json::Value;

/// What the operator says about the token proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenEndpoint {
    /// A pod opts in with the annotation `azure.workload.identity/use-<suffix>: "true"`.
    pub annotation: String,
    /// Audience of its token.
    pub audience: String,
    /// `AZURE_KUBERNETES_TOKEN_PROXY`.
    pub proxy: Option<String>,
    /// `AZURE_KUBERNETES_SNI_NAME`.
    pub sni_name: Option<String>,
    /// Where the proxy's authority comes from.
    pub ca: Option<CertificateSource>,
}

/// Where a certificate authority comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateSource {
    /// PEM, handed over as it is in `AZURE_KUBERNETES_CA_DATA`.
    Data(String),
    /// `ca.crt` of a ConfigMap in the pod's namespace.
    ConfigMap(String),
    /// A ClusterTrustBundle.
    ClusterTrustBundle {
        /// Its signer.
        signer_name: String,
        /// A LabelSelector.
        label_selector: Option<Value>,
    },
}

/// Why the settings of the token endpoint do not go together; of those that concern the flags the
/// texts are Azure Workload Identity's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenEndpointError {
    /// Audience without suffix.
    #[error("custom token endpoint annotation suffix cannot be empty when audience is set")]
    NoSuffix,
    /// Suffix without audience.
    #[error("custom token endpoint audience cannot be empty when annotation suffix is set")]
    NoAudience,
    /// The audience that a pod has anyway.
    #[error("custom token endpoint audience cannot be equal to default audience {0:?}")]
    DefaultAudience(&'static str),
    /// A suffix that makes no annotation.
    #[error(
        "custom token endpoint annotation key {0:?} is not valid: at most 63 letters, digits, \
         '-', '_' and '.', beginning and ending with a letter or digit"
    )]
    Annotation(String),
    /// More than one source of the authority.
    #[error(
        "AZURE_KUBERNETES_CA_DATA, AZURE_KUBERNETES_CA_CONFIGMAP_NAME and \
         AZURE_KUBERNETES_CA_CTB_SIGNER_NAME are mutually exclusive"
    )]
    SeveralSources,
    /// A proxy that no SDK takes.
    #[error("AZURE_KUBERNETES_TOKEN_PROXY {url:?} or AZURE_KUBERNETES_SNI_NAME: it {problem}")]
    Proxy {
        /// The URL.
        url: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A selector without a signer.
    #[error("AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR requires AZURE_KUBERNETES_CA_CTB_SIGNER_NAME")]
    SelectorWithoutSigner,
    /// A selector that is none.
    #[error("AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR is not a LabelSelector in JSON: {0}")]
    Selector(String),
}

/// The settings as they are written; empty means not set.
#[derive(Debug, Clone, Default)]
pub struct TokenEndpointText {
    /// `--custom-token-endpoint-annotation-suffix`.
    pub suffix: String,
    /// `--custom-token-endpoint-audience`.
    pub audience: String,
    /// `AZURE_KUBERNETES_TOKEN_PROXY`.
    pub proxy: String,
    /// `AZURE_KUBERNETES_SNI_NAME`.
    pub sni_name: String,
    /// `AZURE_KUBERNETES_CA_DATA`.
    pub ca_data: String,
    /// `AZURE_KUBERNETES_CA_CONFIGMAP_NAME`.
    pub ca_config_map: String,
    /// `AZURE_KUBERNETES_CA_CTB_SIGNER_NAME`.
    pub ca_signer: String,
    /// `AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR`.
    pub ca_selector: String,
}

impl TokenEndpointText {
    /// Checks them; `None` if no token endpoint is set up.
    pub fn parse(self) -> Result<Option<TokenEndpoint>, TokenEndpointError> {
        let (data, config_map) = (given(self.ca_data), given(self.ca_config_map));
        let ca = match (data, config_map, given(self.ca_signer)) {
            (None, None, None) if !self.ca_selector.is_empty() => {
                return Err(TokenEndpointError::SelectorWithoutSigner);
            }
            (None, None, None) => None,
            (Some(data), None, None) => Some(CertificateSource::Data(data)),
            (None, Some(name), None) => Some(CertificateSource::ConfigMap(name)),
            (None, None, Some(signer_name)) => {
                let label_selector =
                    given(self.ca_selector).map(|text| parse_selector(&text)).transpose()?;
                Some(CertificateSource::ClusterTrustBundle { signer_name, label_selector })
            }
            _ => return Err(TokenEndpointError::SeveralSources),
        };
        let default = super::Settings::DEFAULT_AUDIENCE;
        match (self.suffix.is_empty(), self.audience.is_empty()) {
            (true, true) => return Ok(None),
            (true, false) => return Err(TokenEndpointError::NoSuffix),
            (false, true) => return Err(TokenEndpointError::NoAudience),
            (false, false) if self.audience.eq_ignore_ascii_case(default) => {
                return Err(TokenEndpointError::DefaultAudience(default));
            }
            (false, false) => {}
        }
        let name = format!("use-{}", self.suffix);
        let annotation = format!("azure.workload.identity/{name}");
        if name.len() > 63
            || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
            || !name.ends_with(|end: char| end.is_ascii_alphanumeric())
        {
            return Err(TokenEndpointError::Annotation(annotation));
        }
        let (proxy, sni_name) = (given(self.proxy), given(self.sni_name));
        let endpoint = TokenEndpoint { annotation, audience: self.audience, proxy, sni_name, ca };
        if let Some(proxy) = endpoint.token_proxy()
            && let Some(problem) = proxy.problem()
        {
            return Err(TokenEndpointError::Proxy { url: proxy.shown().to_owned(), problem });
        }
        Ok(Some(endpoint))
    }
}

impl TokenEndpoint {
    /// The token proxy as the sidecar asks it; `None` where only the pods' own SDKs use the
    /// endpoint, because its URL is not known.
    pub(crate) fn token_proxy(&self) -> Option<TokenProxy> {
        let (mut ca, mut ca_file) = (None, None);
        match &self.ca {
            Some(CertificateSource::Data(pem)) => ca = Some(pem.clone()),
            Some(_) => ca_file = Some(format!("{TOKEN_PROXY_DIRECTORY}/{TOKEN_PROXY_CA}")),
            None => {}
        }
        let (url, server_name) = (self.proxy.clone()?, self.sni_name.clone());
        Some(TokenProxy { url, server_name, ca_file, ca })
    }
}

/// A setting; empty means not set.
fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn parse_selector(text: &str) -> Result<Value, TokenEndpointError> {
    let selector: Value = serde_json::from_str(text)
        .map_err(|error| TokenEndpointError::Selector(error.to_string()))?;
    let is_selector = selector.as_object().is_some_and(|fields| {
        fields.keys().all(|key| key == "matchLabels" || key == "matchExpressions")
    });
    if !is_selector {
        let problem = "an object with matchLabels or matchExpressions is expected";
        return Err(TokenEndpointError::Selector(problem.to_owned()));
    }
    Ok(selector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use TokenEndpointError as E;

    fn text(change: impl FnOnce(&mut TokenEndpointText)) -> TokenEndpointText {
        let mut text = TokenEndpointText {
            suffix: "identity-binding".into(),
            audience: "api://AKSIdentityBinding".into(),
            ..Default::default()
        };
        change(&mut text);
        text
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut TokenEndpointText), error: &TokenEndpointError) {
        assert_eq!(text(change).parse().as_ref(), Err(error));
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        refused(|t| t.suffix.clear(), &E::NoSuffix);
        refused(|t| t.audience.clear(), &E::NoAudience);
        let audience = "API://azureadtokenexchange".to_owned();
        refused(|t| t.audience = audience, &E::DefaultAudience("api://AzureADTokenExchange"));
        for suffix in ["a b", "a-", &"a".repeat(60)] {
            let key = format!("azure.workload.identity/use-{suffix}");
            refused(|t| t.suffix = suffix.to_owned(), &E::Annotation(key));
        }
        assert_eq!(TokenEndpointText::default().parse(), Ok(None));
    }

    /// The selector as it goes into the projected volume.
    fn selector(selector: &str) -> Result<Value, TokenEndpointError> {
        let parsed =
            text(|t| (t.ca_signer, t.ca_selector) = ("signer".into(), selector.into())).parse()?;
        match parsed.unwrap().ca {
            Some(CertificateSource::ClusterTrustBundle {
                signer_name,
                label_selector: Some(selector),
            }) => {
                assert_eq!(signer_name, "signer");
                Ok(selector)
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    fn taken_as_it_is(text: &str) {
        assert_eq!(selector(text), Ok(serde_json::from_str(text).unwrap()));
    }

    #[test]
    fn cfg_4_a_selector_by_labels() {
        taken_as_it_is(r#"{"matchLabels":{"app":"web","tier":"front"}}"#);
    }

    #[test]
    fn cfg_5_a_selector_by_expressions() {
        taken_as_it_is(
            r#"{"matchExpressions":[{"key":"env","operator":"In","values":["a","b"]}]}"#,
        );
    }

    #[test]
    fn cfg_6_a_selector_by_both() {
        taken_as_it_is(
            r#"{"matchLabels":{"role":"api"},"matchExpressions":[{"key":"env","operator":"NotIn",
                "values":["dev"]}]}"#,
        );
    }

    #[test]
    fn cfg_7_a_selector_that_is_no_json_names_variable_and_place() {
        assert_eq!(
            selector("no-json").unwrap_err().to_string(),
            "AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR is not a LabelSelector in JSON: expected ident \
             at line 1 column 2"
        );
        for other in ["[]", r#"{"labels":{}}"#] {
            assert_eq!(
                selector(other).unwrap_err().to_string(),
                "AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR is not a LabelSelector in JSON: an object \
                 with matchLabels or matchExpressions is expected"
            );
        }
    }

    #[test]
    fn cfg_8_an_operator_without_values_is_the_api_servers_to_judge() {
        taken_as_it_is(r#"{"matchExpressions":[{"key":"env","operator":"In"}]}"#);
    }

    #[test]
    fn a_proxy_that_no_sdk_takes_is_refused_by_its_variable() {
        for (proxy, sni, expected) in [
            ("http://kubernetes.default.svc", "", "not an https URL"),
            ("https://user:pw@k", "", "a user"),
            ("https://k?x", "", "a query"),
            ("https://k", "a b", "not a host name"),
        ] {
            let text = text(|t| (t.proxy, t.sni_name) = (proxy.into(), sni.into()));
            let error = text.parse().unwrap_err().to_string();
            assert!(error.starts_with("AZURE_KUBERNETES_TOKEN_PROXY"), "{error}");
            assert!(error.contains(expected) && !error.contains("pw"), "{error}");
        }
    }

    #[test]
    fn cfg_9_data_and_config_map_exclude_each_other() {
        refused(|t| (t.ca_data, t.ca_config_map) = ("x".into(), "y".into()), &E::SeveralSources);
    }

    #[test]
    fn cfg_10_data_and_signer_exclude_each_other() {
        refused(|t| (t.ca_data, t.ca_signer) = ("x".into(), "y".into()), &E::SeveralSources);
    }

    #[test]
    fn cfg_11_config_map_and_signer_exclude_each_other() {
        refused(|t| (t.ca_config_map, t.ca_signer) = ("x".into(), "y".into()), &E::SeveralSources);
        assert!(
            E::SeveralSources
                .to_string()
                .ends_with("AZURE_KUBERNETES_CA_CTB_SIGNER_NAME are mutually exclusive")
        );
    }

    #[test]
    fn cfg_12_a_selector_needs_a_signer() {
        refused(
            |t| t.ca_selector = r#"{"matchLabels":{"app":"web"}}"#.into(),
            &E::SelectorWithoutSigner,
        );
    }
}
