//! Microsoft's SDKs, unmodified, in the environment that the webhook gives to a container, beside
//! the real sidecar. `make test-sdk` makes the clients and the namespaces.

mod cases;
mod enclosure;
mod page;

use cases::{CASES, Case, Environment, Language, Outcome};
use enclosure::{Enclosure, Ended};
use std::time::{Duration, Instant};

#[tokio::test]
#[ignore = "needs the clients and the namespaces of `make test-sdk`"]
async fn rust() {
    check(&cases::RUST).await;
}

#[tokio::test]
#[ignore = "needs the clients and the namespaces of `make test-sdk`"]
async fn python() {
    check(&cases::PYTHON).await;
}

#[tokio::test]
#[ignore = "needs the clients and the namespaces of `make test-sdk`"]
async fn node() {
    check(&cases::NODE).await;
}

#[tokio::test]
#[ignore = "needs the clients and the namespaces of `make test-sdk`"]
async fn go() {
    check(&cases::GO).await;
}

#[tokio::test]
#[ignore = "needs the clients and the namespaces of `make test-sdk`"]
async fn java() {
    check(&cases::JAVA).await;
}

/// Runs all cases of a language, prints them as a table, and compares them with what is expected.
async fn check(language: &Language) {
    let mut enclosure = Enclosure::open().await;
    let mut wrong = Vec::new();
    for (case, expected) in CASES.iter().zip(&language.outcomes) {
        if case.environment == Environment::Intercepted {
            enclosure.intercept().await;
        }
        let started = Instant::now();
        let found = outcome(&enclosure, language, case, expected.limit()).await;
        let seconds = started.elapsed().as_secs_f32();
        let Case { credential, environment, .. } = case;
        println!(
            "sdk | {:<6} | {credential:<26} | {:<45} | {:<50} | {seconds:>4.1} s",
            language.name,
            environment.describe(),
            describe(&found),
        );
        if !expected.is(&found) {
            wrong.push(format!("{credential}, {environment:?}: {found:?}, not {expected:?}"));
        }
    }
    enclosure.close().await;
    assert!(wrong.is_empty(), "{}:\n{}", language.name, wrong.join("\n"));
}

/// What a client got, and from where.
#[derive(Debug)]
enum Found {
    /// The secret, with a token of Entra.
    Entra,
    /// The secret, with a token of the sidecar.
    Sidecar,
    /// What it printed, and no secret.
    Failure(String),
    /// It was still trying when its time was over.
    Tries,
}

async fn outcome(
    enclosure: &Enclosure,
    language: &Language,
    case: &Case,
    limit: Duration,
) -> Found {
    enclosure.emulator.reset_counts();
    match enclosure.run(language.name, case, limit).await {
        Ended::Printed(value) => {
            assert_eq!(value, enclosure::SECRET, "{} printed something else", language.name);
            let counts = enclosure.emulator.counts();
            assert!(counts.secret_gets > 0, "the value is not from the vault: {counts:?}");
            if counts.tokens > 0 { Found::Entra } else { Found::Sidecar }
        }
        Ended::Failed(text) => Found::Failure(text),
        Ended::TimedOut => Found::Tries,
    }
}

impl Outcome {
    /// An SDK that asks where nothing answers tries longer than this.
    fn limit(&self) -> Duration {
        Duration::from_secs(if matches!(self, Self::Ignored) { 4 } else { 60 })
    }

    fn is(&self, found: &Found) -> bool {
        match (self, found) {
            (Self::Entra, Found::Entra)
            | (Self::Sidecar, Found::Sidecar)
            | (Self::Ignored, Found::Tries) => true,
            (Self::Refused(text), Found::Failure(found)) => found.contains(text),
            (Self::Ignored, Found::Failure(found)) => found.contains("169.254.169.254"),
            _ => false,
        }
    }
}

fn describe(found: &Found) -> String {
    match found {
        Found::Entra => "secret, token of Entra".to_owned(),
        Found::Sidecar => "secret, token of the sidecar".to_owned(),
        Found::Tries => "still tries another address".to_owned(),
        Found::Failure(text) => cases::SHOWN
            .into_iter()
            .find(|shown| text.contains(shown))
            .map_or_else(|| "FAILED".to_owned(), |shown| format!("refused: {shown}")),
    }
}
