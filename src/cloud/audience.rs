//! The audience of federated tokens.

use super::Cloud;

/// In every cloud, where the operator configures none: Azure Workload Identity and the Azure
/// provider request it, and a federated credential can have any.
pub const DEFAULT_AUDIENCE: &str = "api://AzureADTokenExchange";

/// Configured in place of an audience.
const OF_CLOUD: &str = "cloud";

/// What the portals of clouds enter into federated credentials, where it is not the default.
const PORTALS: [(&str, &str); 2] = [
    ("AzureUSGovernmentCloud", "api://AzureADTokenExchangeUSGov"),
    ("AzureChinaCloud", "api://AzureADTokenExchangeChina"),
];

impl Cloud {
    /// The audience that the operator configured; `cloud` stands for that of this cloud's portal.
    pub fn federation_audience<'a>(&self, configured: &'a str) -> &'a str {
        if !configured.eq_ignore_ascii_case(OF_CLOUD) {
            return configured;
        }
        let own = PORTALS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&self.name));
        own.map_or(DEFAULT_AUDIENCE, |(_, audience)| audience)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_audience_is_the_configured_one_or_that_of_the_cloud() {
        for (name, own) in [
            ("", DEFAULT_AUDIENCE),
            ("azureusgovernment", "api://AzureADTokenExchangeUSGov"),
            ("AZURECHINACLOUD", "api://AzureADTokenExchangeChina"),
            ("AzureGermanCloud", DEFAULT_AUDIENCE),
        ] {
            let cloud = Cloud::well_known(name).unwrap();
            for (configured, expected) in [
                ("cloud", own),
                ("Cloud", own),
                (DEFAULT_AUDIENCE, DEFAULT_AUDIENCE),
                ("my.example", "my.example"),
            ] {
                assert_eq!(cloud.federation_audience(configured), expected, "{name} {configured}");
            }
        }
    }
}
