//! What a pod wants done after files have changed, as its annotations say.

use crate::provider_class::RefreshInterval;
use keysluice_plan::{ReactionSignal, RelativePath, is_loopback_url};
use std::fmt;
use std::time::Duration;

/// `keysluice.dev/on-change` and what belongs to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OnChange {
    /// What is done.
    pub action: Option<OnChangeAction>,
    /// `keysluice.dev/on-change-of`: only if one of these files changed.
    pub of: Vec<RelativePath>,
    /// `keysluice.dev/on-change-spread`: the time within which the replicas react.
    pub spread: Option<Duration>,
}

/// The value of `keysluice.dev/on-change`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnChangeAction {
    /// `signal:HUP`, `signal:HUP@container`.
    Signal {
        /// Which.
        signal: ReactionSignal,
        /// Of one container, or of all.
        container: Option<String>,
    },
    /// `restart`, `restart@container`.
    Restart {
        /// Of one container, or of all.
        container: Option<String>,
    },
    /// A URL on the loopback.
    Http {
        /// The URL.
        url: String,
    },
    /// The pod evicts itself.
    Evict,
    /// The pod's workload is rolled out.
    Rollout,
    /// `evict@container`: a container cannot be evicted alone.
    OfWholePod(&'static str),
}

impl OnChangeAction {
    /// The container that it names.
    pub(super) fn container(&self) -> Option<&str> {
        match self {
            Self::Signal { container, .. } | Self::Restart { container } => container.as_deref(),
            Self::Http { .. } | Self::Evict | Self::Rollout | Self::OfWholePod(_) => None,
        }
    }
}

/// As in the annotation, without the container.
impl fmt::Display for OnChangeAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signal { signal, .. } => write!(f, "signal:{}", signal.as_str()),
            Self::Restart { .. } => f.write_str("restart"),
            Self::Http { url } => f.write_str(url),
            Self::Evict => f.write_str("evict"),
            Self::Rollout => f.write_str("rollout"),
            Self::OfWholePod(word) => f.write_str(word),
        }
    }
}

pub(super) fn action(value: &str) -> Option<OnChangeAction> {
    match value {
        "evict" => return Some(OnChangeAction::Evict),
        "rollout" => return Some(OnChangeAction::Rollout),
        _ => {}
    }
    if is_loopback_url(value) {
        return Some(OnChangeAction::Http { url: value.to_owned() });
    }
    let (action, container) = match value.split_once('@') {
        Some((_, "")) => return None,
        Some((action, container)) => (action, Some(container.to_owned())),
        None => (value, None),
    };
    if let Some(word) = ["evict", "rollout"].into_iter().find(|word| *word == action) {
        return Some(OnChangeAction::OfWholePod(word));
    }
    if action == "restart" {
        return Some(OnChangeAction::Restart { container });
    }
    let name = action.strip_prefix("signal:")?;
    let signal = ReactionSignal::ALL.into_iter().find(|signal| signal.as_str() == name)?;
    Some(OnChangeAction::Signal { signal, container })
}

/// Each is compared with all files of the pod.
const MAX_FILES: usize = 100;

/// `db, tls/key`
pub(super) fn files(value: &str) -> Option<Vec<RelativePath>> {
    if value.split(',').count() > MAX_FILES {
        return None;
    }
    value.split(',').map(|path| path.trim().parse().ok()).collect()
}

pub(super) fn spread(value: &str) -> Option<Duration> {
    if ["0", "0s"].contains(&value) {
        return Some(Duration::ZERO);
    }
    value.parse::<RefreshInterval>().ok().map(RefreshInterval::duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_signals_restarts_and_urls_on_the_loopback() {
        let container = Some("app".to_owned());
        for signal in ReactionSignal::ALL {
            let text = format!("signal:{}", signal.as_str());
            assert_eq!(action(&text), Some(OnChangeAction::Signal { signal, container: None }));
            let one = OnChangeAction::Signal { signal, container: container.clone() };
            assert_eq!(one.to_string(), text);
            assert_eq!(action(&format!("{text}@app")), Some(one));
        }
        assert_eq!(action("restart"), Some(OnChangeAction::Restart { container: None }));
        assert_eq!(action("restart@app"), Some(OnChangeAction::Restart { container }));
        for url in ["http://127.0.0.1:8080/-/reload", "http://[::1]:80/"] {
            assert_eq!(action(url), Some(OnChangeAction::Http { url: url.to_owned() }));
        }
        assert_eq!(action("evict"), Some(OnChangeAction::Evict));
        assert_eq!(action("rollout"), Some(OnChangeAction::Rollout));
        assert_eq!(action("evict@app"), Some(OnChangeAction::OfWholePod("evict")));
        for text in [
            "",
            "HUP",
            "signal",
            "signal:",
            "signal:SIGHUP",
            "signal:hup",
            "signal:KILL",
            "signal:HUP@",
            "restart@",
            "evict@",
            "Evict",
            "rollout:web",
            "http://localhost:80/",
            "http://127.0.0.1:80/@evil b",
            "https://127.0.0.1:80/",
            "http://10.0.0.1:80/",
        ] {
            assert_eq!(action(text), None, "{text}");
        }
    }

    #[test]
    fn a_spread_may_be_nothing() {
        assert_eq!(spread("0s"), Some(Duration::ZERO));
        assert_eq!(spread("90s"), Some(Duration::from_secs(90)));
        assert_eq!((spread("25h"), spread("x"), spread("-1s")), (None, None, None));
    }
}
