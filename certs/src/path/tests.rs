use super::*;
use crate::{CertificateAuthority, EntryPath, ResourceVersion};
use proptest::prelude::*;
use std::sync::LazyLock;

const PROPAGATION: Duration = Duration::from_secs(60);
static BUNDLE: LazyLock<String> =
    LazyLock::new(|| CertificateAuthority::generate().unwrap().pem().to_owned());

/// One replica that decides, its Secret, and the paths that the configuration names.
struct Replica {
    stored: StoredPaths,
    named: Vec<(String, bool)>,
    has_bundle: bool,
    /// The configuration as it was last, and its version.
    last: (Vec<(String, bool)>, u64),
    sightings: PathSightings,
    seconds: u64,
}

impl Replica {
    /// A configuration of two entries that leads here, already trusted.
    fn called_at(path: &str, is_replaceable: bool) -> Self {
        let named = vec![(path.to_owned(), is_replaceable); 2];
        Self {
            stored: StoredPaths::default(),
            named,
            has_bundle: true,
            last: (Vec::new(), 0),
            sightings: PathSightings::default(),
            seconds: 0,
        }
    }

    fn with_stored(self, path: &ServicePath) -> Self {
        Self {
            stored: StoredPaths { current: Some(path.clone()), ..StoredPaths::default() },
            ..self
        }
    }

    fn lead(&mut self, path: &str) {
        for (named, _) in &mut self.named {
            path.clone_into(named);
        }
    }

    fn decide(&mut self) -> PathDecision {
        let bundle = if self.has_bundle { BUNDLE.as_bytes() } else { b"" };
        if self.last.0 != self.named {
            self.last = (self.named.clone(), self.last.1 + 1);
        }
        let version = ResourceVersion::from(&*self.last.1.to_string());
        let published = Published::read(self.named.iter().map(|_| bundle), version);
        let published =
            published.naming(self.named.iter().map(|(path, may)| EntryPath::new(path, *may)));
        let uptime = Duration::from_secs(self.seconds);
        self.sightings.note(Some(&published), Some(&self.stored), uptime);
        step(Some(&published), &self.stored, &self.sightings, uptime, PROPAGATION).unwrap()
    }

    /// Does what is decided until nothing is; whether anything was published.
    fn at(&mut self, seconds: u64) -> bool {
        self.seconds = seconds;
        let mut was_published = false;
        for _ in 0..5 {
            let decision = self.decide();
            assert!(
                decision.publish.is_none() || decision.write.is_none(),
                "stored first, then published"
            );
            if let Some(path) = &decision.publish {
                was_published = true;
                for (named, _) in self.named.iter_mut().filter(|(_, may)| *may) {
                    path.as_str().clone_into(named);
                }
            } else if let Some(stored) = decision.write {
                let mut data = Data::default();
                stored.put(&mut data);
                self.stored = StoredPaths::parse(&data);
                assert_eq!(self.stored, stored, "it survives the Secret");
            } else {
                return was_published;
            }
        }
        panic!("never settles");
    }

    fn current(&self) -> &str {
        self.stored.current.as_ref().unwrap().as_str()
    }

    fn answered(&self) -> Vec<String> {
        self.sightings.answered(Duration::from_secs(self.seconds), PROPAGATION)
    }

    fn answers(&self, path: &str) -> bool {
        self.answered().iter().any(|one| one == path)
    }
}

#[test]
fn a_path_is_a_word_and_32_letters_or_digits() {
    let [a, b] = [(); 2].map(|()| ServicePath::random().unwrap());
    assert!(a != b && a.as_str().len() == 40, "{}", a.as_str());
    assert_eq!(a.as_str().parse(), Ok(a.clone()));
    let good = a.as_str();
    for bad in [
        "",
        "/",
        "/mutate",
        "/mutate/",
        &good[1..],
        &good[..39],
        &format!("{good}a"),
        &good.to_uppercase(),
        &format!("{good}\n"),
        &format!("{}/", &good[..39]),
        &format!("/x{}", &good[2..]),
    ] {
        assert_eq!(bad.parse::<ServicePath>(), Err(ServicePathError), "{bad}");
    }
    assert!(
        !format!(
            "{a:?} {:?}",
            StoredPaths { current: Some(a.clone()), former: vec![b.0], changes: 0 }
        )
        .contains("/mutate/")
    );
}

#[test]
fn a_fresh_configuration_gets_its_path_with_its_first_bundle() {
    let mut replica = Replica { has_bundle: false, ..Replica::called_at("/", true) };
    assert!(replica.at(0), "no API server can call yet, so nothing is waited for");
    replica.has_bundle = true;
    assert!(!replica.at(0));
    assert_eq!(replica.answered(), [replica.current()], "the root was never called");
}

#[test]
fn a_path_is_published_once_everybody_has_had_time_to_read_it() {
    let mut replica = Replica::called_at("/", true);
    assert!(!replica.at(0) && !replica.at(59), "others serve, and may not have looked yet");
    assert!(replica.answers("/") && replica.answers(replica.current()));
    let due = replica.decide().next_check;
    assert_eq!(due, Some(Duration::from_secs(1)), "and looks when it is due");
    assert!(replica.at(60));
    assert_eq!(replica.stored.former, ["/"], "replicas that start now answer it too");
    assert!(!replica.at(119) && replica.answers("/"));
    assert!(!replica.at(121));
    assert_eq!(replica.stored.former, [""; 0]);
    assert!(!replica.at(182));
    assert_eq!(replica.answered(), [replica.current()]);
}

#[test]
fn a_reset_is_healed_at_once_and_what_it_names_is_answered_meanwhile() {
    for reset in
        ["/", "/mutate", "/mutate-v1-pod", "/other", "/mutate/abcdefghijklmnopqrstuvwxyz012345"]
    {
        let path = ServicePath::random().unwrap();
        let mut replica = Replica::called_at(path.as_str(), true).with_stored(&path);
        replica.at(0);
        replica.lead(reset);
        let decision = replica.decide();
        assert!(
            replica.answers(reset) && decision.publish.is_none(),
            "{reset}: before anything is written"
        );
        assert_eq!(decision.write.unwrap().former, [reset], "known to those that start later");
        assert!(replica.at(1), "{reset}: it was in force before");
        assert_eq!(replica.current(), path.as_str());
        for seconds in [1, 30, 60] {
            replica.at(seconds);
            assert!(replica.answers(reset), "{reset}: by API servers that are behind");
        }
        replica.at(62);
        replica.at(123);
        assert_eq!(replica.answered(), [path.as_str()], "{reset}");
    }
}

#[test]
fn entries_that_may_not_be_changed_keep_their_path_and_are_answered() {
    let mut replica = Replica::called_at("/mutate-v1-pod", false);
    for seconds in [0, 61, 5000] {
        assert!(!replica.at(seconds), "replicas of an earlier version may be running");
        assert!(replica.answers("/mutate-v1-pod"));
    }
    assert_eq!(
        replica.stored.former,
        ["/mutate-v1-pod"],
        "also by those that cannot read the configuration"
    );
    // The next upgrade.
    replica.named = vec![("/".to_owned(), true); 2];
    assert!(replica.at(5001), "the path has been stored for long");
}

#[test]
fn a_lost_path_is_taken_from_the_configuration() {
    let path = ServicePath::random().unwrap();
    let mut replica = Replica::called_at(path.as_str(), true);
    assert!(!replica.at(0));
    assert_eq!(replica.current(), path.as_str());
    // Two that differ: neither is known to be everybody's.
    let mut replica = Replica::called_at(path.as_str(), true);
    replica.named[1].0 = ServicePath::random().unwrap().0;
    assert!(
        !replica.at(0) && replica.current() != path.as_str() && replica.stored.former.len() == 2
    );
    assert!(replica.at(60) && !replica.at(61));
}

#[test]
fn another_stored_path_waits_until_everybody_knows_it() {
    let [old, new] = [(); 2].map(|()| ServicePath::random().unwrap());
    let mut replica = Replica::called_at(new.as_str(), true).with_stored(&new);
    replica.at(100);
    replica.stored = StoredPaths { current: Some(old.clone()), ..StoredPaths::default() };
    assert!(
        !replica.at(110) && !replica.at(169),
        "a Secret was put back: others answer only the new one"
    );
    assert!(replica.answers(new.as_str()) && replica.answers(old.as_str()));
    assert!(replica.at(170) && replica.named.iter().all(|(path, _)| path == old.as_str()));
    assert!(replica.answers(new.as_str()));
}

/// Else a replica that has read the configuration before could drop it in the same instant.
#[test]
fn what_is_overwritten_is_announced_also_where_it_is_known() {
    let path = ServicePath::random().unwrap();
    let mut replica = Replica::called_at(path.as_str(), true).with_stored(&path);
    replica.at(0);
    for (number, expected) in [(1, None), (2, Some(1)), (3, Some(2))] {
        replica.lead("/other");
        assert!(replica.at(number));
        assert_eq!(replica.stored.former, ["/other"]);
        assert_eq!(replica.stored.changes, expected.unwrap_or_default());
    }
}

#[test]
fn former_paths_are_few() {
    let path = ServicePath::random().unwrap();
    let mut replica = Replica::called_at(path.as_str(), true).with_stored(&path);
    for number in 0..40 {
        replica.at(number);
        replica.lead(&format!("/{number}"));
    }
    replica.at(40);
    assert_eq!(replica.stored.former.len(), MAX_FORMER);
    let long = format!("/{}", "a".repeat(MAX_PATH_BYTES));
    replica.lead(&long);
    assert!(replica.at(41), "what is too long to be kept is healed all the same");
    assert!(!replica.at(42) && replica.answers(&long));
}

#[test]
fn a_configuration_that_cannot_be_read_changes_nothing() {
    let decision =
        step(None, &StoredPaths::default(), &PathSightings::default(), Duration::ZERO, PROPAGATION)
            .unwrap();
    assert!(decision.publish.is_none() && decision.write.is_none());
}

proptest! {
    #[test]
    fn whatever_the_secret_holds_is_read(path in prop::collection::vec(any::<u8>(), 0..60),
        former in ".{0,80}") {
        let data = Data([("path".to_owned(), path),
            ("old-paths".to_owned(), former.into_bytes())].into());
        let read = StoredPaths::parse(&data);
        prop_assert!(read.former.len() <= MAX_FORMER);
        prop_assert!(read.former.iter().all(|path| path.starts_with('/')));
    }
}
