//! Which vault: by its name, or by a URL that must be one of the chosen cloud's.

use super::Allowlist;
use super::error::{ClassCause, ClassError};
use super::parameters::filled;
use crate::cloud::Cloud;
use keysluice_plan::VaultUrl;

/// What a class, an object or a selection says about its vault; both empty means nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct VaultChoice {
    /// `keyvaultName`.
    pub(super) name: String,
    /// `vaultUrl`.
    pub(super) url: String,
}

impl VaultChoice {
    /// The vault, `None` if nothing is said; the provider's rules for its name first, then the
    /// operator's.
    pub(super) fn resolve(
        &self,
        cloud: &Cloud,
        limits: &Allowlist,
    ) -> Result<Option<VaultUrl>, ClassError> {
        let (name, url) = (filled("keyvaultName", &self.name)?, filled("vaultUrl", &self.url)?);
        if name.is_empty() && url.is_empty() {
            return Ok(None);
        }
        let (field, value) = if url.is_empty() {
            ("keyvaultName", name.to_owned())
        } else {
            ("vaultUrl", of_url(url, cloud)?)
        };
        if !url.is_empty() && !name.is_empty() && !name.eq_ignore_ascii_case(&value) {
            return Err(
                ClassCause::VaultTwice { name: name.to_owned(), url: url.to_owned() }.into()
            );
        }
        if !(3..=24).contains(&value.len()) {
            return Err(ClassCause::VaultLength { value }.into());
        }
        if !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(ClassCause::VaultCharacters { value }.into());
        }
        if !limits.allows_vault(&value) {
            return Err(ClassCause::VaultForbidden { field, value }.into());
        }
        cloud.vault_url(&value).map(Some).map_err(|error| ClassCause::VaultUrl(error).into())
    }
}

/// The vault that a name or a host means, if there is one.
pub(crate) fn vault_of(
    vault: &str,
    cloud: &Cloud,
    limits: &Allowlist,
) -> Result<Option<VaultUrl>, ClassError> {
    let choice = if vault.contains('.') {
        VaultChoice { url: format!("https://{vault}/"), ..VaultChoice::default() }
    } else {
        VaultChoice { name: vault.to_owned(), ..VaultChoice::default() }
    };
    choice.resolve(cloud, limits)
}

/// The vault's name in a URL. Endpoints never come from a manifest: the domain must be the cloud's.
fn of_url(url: &str, cloud: &Cloud) -> Result<String, ClassError> {
    let parsed: VaultUrl = url.parse().map_err(ClassCause::VaultUrlForm)?;
    let authority = parsed.as_str().trim_start_matches("https://").trim_end_matches('/');
    let suffix = &cloud.key_vault_suffix;
    // 443 is where https goes anyway.
    let name = name_below(suffix, authority)
        .or_else(|| name_below(suffix, authority.strip_suffix(":443")?));
    name.filter(|name| !name.is_empty()).map(str::to_owned).ok_or_else(|| {
        ClassCause::VaultForeign {
            url: url.to_owned(),
            suffix: suffix.clone(),
            cloud: cloud.name.clone(),
        }
        .into()
    })
}

fn name_below<'a>(suffix: &str, authority: &'a str) -> Option<&'a str> {
    authority.strip_suffix(suffix)?.strip_suffix('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(name: &str, url: &str) -> Result<Option<String>, String> {
        let choice = VaultChoice { name: name.to_owned(), url: url.to_owned() };
        let limits = Allowlist { vaults: vec!["kv-*".to_owned()], tenants: vec![] };
        let vault = choice.resolve(&Cloud::well_known("").unwrap(), &limits);
        vault.map(|vault| vault.map(|vault| vault.to_string())).map_err(|error| error.to_string())
    }

    #[test]
    fn a_vault_is_named_or_given_by_a_url_of_the_cloud() {
        let vault = Ok(Some("https://kv-1.vault.azure.net/".to_owned()));
        for (name, url) in [
            ("kv-1", ""),
            ("KV-1", ""),
            ("", "https://kv-1.vault.azure.net/"),
            ("", "https://KV-1.vault.azure.net"),
            ("", "https://kv-1.vault.azure.net:443/"),
            ("KV-1", "https://kv-1.vault.azure.net/"),
        ] {
            assert_eq!(resolve(name, url), vault, "{name:?} {url:?}");
        }
        assert_eq!(resolve("", ""), Ok(None));
    }

    #[test]
    fn a_url_of_another_domain_is_never_a_vault() {
        for (name, url, expected) in [
            (
                "",
                "https://kv-1.evil.org/",
                "KS139 vaultUrl \"https://kv-1.evil.org/\" is not below vault.azure.net, the \
                 vaults' domain of AzurePublicCloud; hint: ",
            ),
            ("", "https://kv-1.vault.azure.net.evil.org/", "KS139"),
            ("", "https://kv-1-vault.azure.net/", "KS139"),
            ("", "https://vault.azure.net/", "KS139"),
            ("", "https://kv-1.vault.azure.cn/", "KS139"),
            ("", "https://kv-1.vault.azure.net:8443/", "KS139"),
            (
                "",
                "https://a.kv-1.vault.azure.net/",
                "KS117 failed to get vault: Invalid vault name: \"a.kv-1\"",
            ),
            (
                "",
                "http://kv-1.vault.azure.net/",
                "KS139 vaultUrl: vault URL \"http://kv-1.vault.azure.net/\" must start with \
                 https://",
            ),
            ("", "https://kv-1.vault.azure.net/secrets/db", "KS139 vaultUrl: vault URL"),
            ("", "https://evil.org@kv-1.vault.azure.net/", "KS139"),
            ("", "kv-1", "KS139"),
            ("", "<VAULT_URL>", "KS108 vaultUrl still holds a placeholder"),
            (
                "kv-2",
                "https://kv-1.vault.azure.net/",
                "KS139 keyvaultName \"kv-2\" and vaultUrl \"https://kv-1.vault.azure.net/\" name \
                 different vaults",
            ),
            (
                "",
                "https://other.vault.azure.net/",
                "KS118 vaultUrl \"other\" is not among the vaults that the operator allows",
            ),
        ] {
            let error = resolve(name, url).unwrap_err();
            assert!(error.starts_with(expected), "{name:?} {url:?}: {error}");
        }
    }
}
