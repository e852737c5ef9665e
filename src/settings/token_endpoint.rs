//! The custom token endpoint of AKS identity bindings: another audience, and where the SDKs find the proxy.

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

/// Why the settings of the token endpoint do not go together; the texts are the peer's.
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
        "custom token endpoint annotation key {0:?} is not valid: at most 63 letters, digits, '-', '_' and '.', beginning and ending with a letter or digit"
    )]
    Annotation(String),
    /// More than one source of the authority.
    #[error(
        "AZURE_KUBERNETES_CA_DATA, AZURE_KUBERNETES_CA_CONFIGMAP_NAME and AZURE_KUBERNETES_CA_CTB_SIGNER_NAME are mutually exclusive"
    )]
    SeveralSources,
    /// A selector without a signer.
    #[error("AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR requires AZURE_KUBERNETES_CA_CTB_SIGNER_NAME")]
    SelectorWithoutSigner,
    /// A selector that is none.
    #[error("AZURE_KUBERNETES_CA_CTB_LABEL_SELECTOR is no LabelSelector in JSON: {0}")]
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
        let some = |text: String| Some(text).filter(|text| !text.is_empty());
        let ca = match (some(self.ca_data), some(self.ca_config_map), some(self.ca_signer)) {
            (None, None, None) if !self.ca_selector.is_empty() => {
                return Err(TokenEndpointError::SelectorWithoutSigner);
            }
            (None, None, None) => None,
            (Some(data), None, None) => Some(CertificateSource::Data(data)),
            (None, Some(name), None) => Some(CertificateSource::ConfigMap(name)),
            (None, None, Some(signer_name)) => {
                let label_selector = some(self.ca_selector).map(|text| parse_selector(&text)).transpose()?;
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
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.len() > 63 || !name.bytes().all(inner) || !name.ends_with(|end: char| end.is_ascii_alphanumeric()) {
            return Err(TokenEndpointError::Annotation(annotation));
        }
        let (proxy, sni_name) = (some(self.proxy), some(self.sni_name));
        Ok(Some(TokenEndpoint { annotation, audience: self.audience, proxy, sni_name, ca }))
    }
}

fn parse_selector(text: &str) -> Result<Value, TokenEndpointError> {
    let selector: Value =
        serde_json::from_str(text).map_err(|error| TokenEndpointError::Selector(error.to_string()))?;
    let known = |key: &String| key == "matchLabels" || key == "matchExpressions";
    match selector.as_object() {
        Some(map) if map.keys().all(known) => Ok(selector),
        _ => Err(TokenEndpointError::Selector("an object with matchLabels or matchExpressions is expected".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(change: impl FnOnce(&mut TokenEndpointText)) -> TokenEndpointText {
        let mut text = TokenEndpointText {
            suffix: "identity-binding".into(),
            audience: "api://AKSIdentityBinding".into(),
            ..Default::default()
        };
        change(&mut text);
        text
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused() {
        use TokenEndpointError as E;
        let cases: &[(TokenEndpointText, E)] = &[
            (text(|t| t.suffix.clear()), E::NoSuffix),
            (text(|t| t.audience.clear()), E::NoAudience),
            (
                text(|t| t.audience = "API://azureadtokenexchange".into()),
                E::DefaultAudience("api://AzureADTokenExchange"),
            ),
            (text(|t| t.suffix = "a b".into()), E::Annotation("azure.workload.identity/use-a b".into())),
            // CFG-9, CFG-10, CFG-11, CFG-12
            (text(|t| (t.ca_data, t.ca_config_map) = ("x".into(), "y".into())), E::SeveralSources),
            (text(|t| (t.ca_data, t.ca_signer) = ("x".into(), "y".into())), E::SeveralSources),
            (text(|t| (t.ca_config_map, t.ca_signer) = ("x".into(), "y".into())), E::SeveralSources),
            (text(|t| t.ca_selector = "{}".into()), E::SelectorWithoutSigner),
        ];
        for (text, error) in cases {
            assert_eq!(
                text.clone().parse(),
                Err(match error {
                    E::NoSuffix => E::NoSuffix,
                    E::NoAudience => E::NoAudience,
                    E::DefaultAudience(a) => E::DefaultAudience(a),
                    E::Annotation(a) => E::Annotation(a.clone()),
                    E::SeveralSources => E::SeveralSources,
                    E::SelectorWithoutSigner => E::SelectorWithoutSigner,
                    E::Selector(a) => E::Selector(a.clone()),
                })
            );
        }
        assert_eq!(TokenEndpointText::default().parse(), Ok(None));
    }

    #[test]
    fn label_selectors_are_read_and_bad_ones_refused() {
        // CFG-4 to CFG-8
        for selector in [
            r#"{"matchLabels":{"a":"b"}}"#,
            r#"{"matchExpressions":[{"key":"a","operator":"In","values":[]}]}"#,
            r#"{"matchLabels":{"a":"b"},"matchExpressions":[]}"#,
        ] {
            let parsed =
                text(|t| (t.ca_signer, t.ca_selector) = ("s".into(), selector.into())).parse().unwrap().unwrap();
            let Some(CertificateSource::ClusterTrustBundle { label_selector, .. }) = parsed.ca else { panic!() };
            assert_eq!(label_selector.unwrap(), serde_json::from_str::<Value>(selector).unwrap());
        }
        for bad in ["{", "[]", r#"{"labels":{}}"#] {
            let error = text(|t| (t.ca_signer, t.ca_selector) = ("s".into(), bad.into())).parse().unwrap_err();
            assert!(matches!(error, TokenEndpointError::Selector(_)), "{bad}");
        }
    }
}
