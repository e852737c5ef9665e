//! Where the webhook's certificate comes from.

use super::Failure;
use super::tightening_options::TighteningOptions;
use crate::cluster::api::{
    BundleConfiguration, CertificateSecret, Client, ConfigurationKind, Pace, SecretName,
    WorkloadConfiguration, watch_configuration,
};
use crate::metrics::Metrics;
use crate::reason::KS708;
use crate::server::own_authority::{WakingClock, rotate};
use crate::server::{CertificateSlot, Paths, paths, tls};
use crate::settings::Authorities;
use anyhow::Context as _;
use clap::Args;
use keysluice_certs::{AnsweredPaths, Policy, Rotator};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Given files, our own CA in the cluster, or a certificate that lives as long as the process.
#[derive(Debug, Clone, Args)]
pub(super) struct CertificateOptions {
    /// Directory with tls.crt and tls.key: files that you provide, or a mounted Secret of
    /// cert-manager.
    #[arg(long, env = "KEYSLUICE_TLS_DIR", value_name = "DIR", conflicts_with = "tls_secret")]
    tls_dir: Option<PathBuf>,
    /// Seconds between two checks of the files in --tls-dir.
    #[arg(long, env = "KEYSLUICE_TLS_POLL_SECONDS", default_value_t = 10,
        value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    tls_poll_seconds: u64,
    /// Secret in which the webhook stores and rotates its own CA and certificate for all replicas;
    /// created if it is missing.
    #[arg(long, env = "KEYSLUICE_TLS_SECRET", value_name = "NAMESPACE/NAME",
        requires = "webhook_configuration", conflicts_with_all = ["objects", "ca_out"])]
    tls_secret: Option<SecretName>,
    /// MutatingWebhookConfiguration whose `failurePolicy` the webhook tightens; with --tls-secret
    /// it also keeps `caBundle` and path up to date.
    #[arg(
        long,
        env = "KEYSLUICE_WEBHOOK_CONFIGURATION",
        value_name = "NAME",
        conflicts_with = "objects"
    )]
    webhook_configuration: Option<String>,
    /// ValidatingWebhookConfiguration for reviews of workloads; its `caBundle` and path are kept as
    /// those of --webhook-configuration.
    #[arg(
        long,
        env = "KEYSLUICE_WORKLOAD_CONFIGURATION",
        value_name = "NAME",
        requires = "tls_secret"
    )]
    workload_configuration: Option<String>,
    /// Name in the webhook's own certificate (repeatable); in a cluster SERVICE.NAMESPACE.svc.
    #[arg(long = "tls-name", env = "KEYSLUICE_TLS_NAME", value_delimiter = ',',
        default_values = ["localhost", "127.0.0.1"], value_name = "NAME",
        conflicts_with = "tls_dir")]
    tls_names: Vec<String>,
    /// Lifetime of the webhook's own certificate; it is renewed when a third is left.
    #[arg(long, env = "KEYSLUICE_CERTIFICATE_LIFETIME", default_value = "30d",
        value_parser = lifetime, value_name = "DURATION")]
    certificate_lifetime: Duration,
    /// Lifetime of the webhook's own CA; its successor signs when a third is left.
    #[arg(long, env = "KEYSLUICE_AUTHORITY_LIFETIME", default_value = "365d",
        value_parser = lifetime, value_name = "DURATION")]
    authority_lifetime: Duration,
    /// How long API servers may use the previous `caBundle` or path after a change.
    #[arg(long, env = "KEYSLUICE_BUNDLE_PROPAGATION", default_value = "1m", value_parser = lifetime,
        value_name = "DURATION")]
    bundle_propagation: Duration,
    /// Maximum difference between the clocks of two nodes.
    #[arg(long, env = "KEYSLUICE_CLOCK_TOLERANCE", default_value = "1h", value_parser = lifetime,
        value_name = "DURATION")]
    clock_tolerance: Duration,
    /// File for the PEM of a CA that is valid while the process runs, for use as `caBundle`.
    #[arg(long, env = "KEYSLUICE_CA_OUT", value_name = "FILE", conflicts_with = "tls_dir")]
    ca_out: Option<PathBuf>,
}

/// What keeps certificate, path and configuration as they should be; never ends.
pub(super) type Keeper = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What the server serves with, and what keeps it.
pub(super) struct Started {
    pub(super) slot: Arc<CertificateSlot>,
    pub(super) paths: Arc<Paths>,
    /// What the certificate is checked with, as far as that is known.
    pub(super) authorities: Authorities,
    pub(super) keeper: Keeper,
}

impl CertificateOptions {
    /// The certificate as far as there is one already, the paths of reviews, and what keeps them.
    pub(super) fn start(
        &self,
        tightening: &TighteningOptions,
        client: Option<&Client>,
        metrics: &Arc<Metrics>,
    ) -> Result<Started, Failure> {
        let authorities = Authorities::default();
        let Some((client, name)) = client.zip(self.webhook_configuration.as_deref()) else {
            let (slot, keeper) = self.given_or_made(&authorities, metrics)?;
            return Ok(Started { slot, paths: Arc::default(), authorities, keeper });
        };
        let (rotating, tighten) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let follow = Arc::new(Notify::new());
        let changed = [&rotating, &tighten, &follow].map(Arc::clone).to_vec();
        let of_pods = (ConfigurationKind::Mutating, name);
        let watch = watch_configuration(client, of_pods, changed, Pace::default());
        let follow = self.follow(client, name, follow);
        let (slot, paths, keeper) = if let Some(secret) = &self.tls_secret {
            self.own((secret, name), client, rotating, &authorities, metrics)?
        } else {
            let (slot, keeper) = self.given_or_made(&authorities, metrics)?;
            (slot, Arc::default(), keeper)
        };
        let tighten = tightening.of(client, name).run(paths.reviewed(), tighten);
        let keeper = async {
            tokio::join!(watch, tighten, follow, keeper);
        };
        Ok(Started { slot, paths, authorities, keeper: Box::pin(keeper) })
    }

    /// Keeps the configuration for workloads, if there is one, as the one `followed`.
    fn follow(
        &self,
        client: &Client,
        followed: &str,
        changed: Arc<Notify>,
    ) -> impl Future<Output = ()> + Send + 'static {
        let name = self.workload_configuration.as_deref();
        let tasks = name.map(|name| {
            let configuration = (ConfigurationKind::Validating, name);
            let listeners = vec![Arc::clone(&changed)];
            let watch = watch_configuration(client, configuration, listeners, Pace::default());
            (watch, WorkloadConfiguration::new(client, name, followed).run(changed))
        });
        async {
            if let Some((watch, follow)) = tasks {
                tokio::join!(watch, follow);
            }
        }
    }

    /// Our own CA in the cluster, and a path of our own; `changed` wakes the rotation.
    fn own(
        &self,
        (secret, configuration): (&SecretName, &str),
        client: &Client,
        changed: Arc<Notify>,
        authorities: &Authorities,
        metrics: &Arc<Metrics>,
    ) -> Result<(Arc<CertificateSlot>, Arc<Paths>, Keeper), Failure> {
        let policy = self.policy().map_err(Failure::usage)?;
        let secret = CertificateSecret::new(client.clone(), secret.clone());
        let bundle = BundleConfiguration::new(client.clone(), configuration);
        let slot = Arc::<CertificateSlot>::default();
        let rotator = Rotator::new(secret, bundle, WakingClock::new(Arc::clone(&changed)), policy);
        let (send, answered) = watch::channel(AnsweredPaths::default());
        let unknown = Arc::new(Notify::new());
        let own_paths = Arc::new(Paths::followed(answered, Arc::clone(&unknown)));
        let rotate =
            rotate(rotator, Arc::clone(&slot), authorities.clone(), send, Arc::clone(metrics));
        let keeper = async {
            tokio::join!(rotate, paths::look_again(unknown, changed));
        };
        Ok((slot, own_paths, Box::pin(keeper)))
    }

    /// Files, or a certificate that lives as long as the process.
    fn given_or_made(
        &self,
        authorities: &Authorities,
        metrics: &Arc<Metrics>,
    ) -> Result<(Arc<CertificateSlot>, Keeper), Failure> {
        if let Some(directory) = &self.tls_dir {
            let slot = Arc::new(tls::from_directory(directory)?);
            report(&slot, metrics);
            authorities.store(tls::authorities_of(directory));
            let interval = Duration::from_secs(self.tls_poll_seconds);
            let keeper = tls::follow(
                directory.clone(),
                interval,
                Arc::clone(&slot),
                authorities.clone(),
                Arc::clone(metrics),
            );
            return Ok((slot, Box::pin(keeper)));
        }
        let (slot, ca) = tls::own(&self.tls_names)?;
        authorities.store(ca.clone());
        if let Some(path) = &self.ca_out {
            write_new(path, &ca).with_context(|| format!("--ca-out {}", path.display()))?;
        }
        report(&slot, metrics);
        Ok((Arc::new(slot), Box::pin(std::future::pending())))
    }

    fn policy(&self) -> anyhow::Result<Policy> {
        let default = Policy::new(self.tls_names.clone());
        let policy = Policy {
            ca_lifetime: self.authority_lifetime,
            leaf_lifetime: self.certificate_lifetime,
            propagation: self.bundle_propagation,
            clock_tolerance: self.clock_tolerance,
            // Within the propagation every replica has looked at the Secret, so that it answers a
            // path before it is called.
            poll: default.poll.min((self.bundle_propagation / 2).max(Duration::from_millis(100))),
            ..default
        };
        policy.check().with_context(|| format!("{KS708}; hint: {}", KS708.fix))?;
        Ok(policy)
    }
}

/// Says when the certificate expires, also where it has and where nobody renews it.
fn report(slot: &CertificateSlot, metrics: &Metrics) {
    if let Some(not_after) = slot.not_after() {
        metrics.set_certificate_expiry(not_after);
    }
}

/// A number with one of the units ms, s, m, h and d.
fn lifetime(text: &str) -> Result<Duration, String> {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 24 * 3_600_000)];
    let found = UNITS.into_iter().find_map(|(unit, millis)| {
        let number = text.strip_suffix(unit)?.parse::<u32>().ok()?;
        Some((number, millis))
    });
    let Some((number, millis)) = found else {
        return Err(format!("{text:?} is not a number with a unit such as 90s, 10m, 12h or 30d"));
    };
    let duration = Duration::from_millis(u64::from(number) * millis);
    if duration.is_zero() || duration > CENTURY {
        return Err(format!("{text:?} is not between a millisecond and a hundred years"));
    }
    Ok(duration)
}

/// Writes beside the target and renames, so that a reader never sees half a file.
fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    std::fs::File::create(&partial)?.write_all(text.as_bytes())?;
    std::fs::rename(&partial, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_a_unit() {
        for (text, millis) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("10m", 600_000),
            ("12h", 43_200_000),
            ("30d", 2_592_000_000),
        ] {
            assert_eq!(lifetime(text), Ok(Duration::from_millis(millis)));
        }
        for bad in ["", "d", "30", "0s", "-1d", "1.5h", "1w", "30 d", "4294967295d", "ä"] {
            assert!(lifetime(bad).unwrap_err().contains("is not"), "{bad}");
        }
    }
}
