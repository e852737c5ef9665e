//! Which paths reviews are answered at, and whether one came by the path that the configuration
//! names.

use keysluice_certs::AnsweredPaths;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// What is answered where the webhook does not write its configuration.
const WELL_KNOWN: [&str; 2] = ["/mutate", "/mutate-v1-pod"];
/// Requests that wait for a look at the configuration; one more is told 404 at once.
const MAX_WAITING: u32 = 256;
/// Less than what the API server gives a webhook.
const PATIENCE: Duration = Duration::from_millis(2500);
/// Shortest time between two reads of the configuration because of unknown paths.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// The paths of one server.
#[derive(Debug)]
pub struct Paths {
    source: Source,
    reviewed: watch::Sender<bool>,
    /// The same, for a look at each review.
    is_reviewed: AtomicBool,
}

#[derive(Debug)]
enum Source {
    WellKnown,
    Followed { answered: watch::Receiver<AnsweredPaths>, unknown: Arc<Notify>, waiting: AtomicU32 },
}

impl Default for Paths {
    fn default() -> Self {
        Self::new(Source::WellKnown)
    }
}

impl Paths {
    /// Those that the rotation of our own configuration says; `unknown` is told when another one is
    /// called.
    pub fn followed(answered: watch::Receiver<AnsweredPaths>, unknown: Arc<Notify>) -> Self {
        Self::new(Source::Followed { answered, unknown, waiting: AtomicU32::new(0) })
    }

    fn new(source: Source) -> Self {
        Self { source, reviewed: watch::Sender::new(false), is_reviewed: AtomicBool::new(false) }
    }

    /// Becomes true with the first review that was allowed and came by a path that the
    /// configuration names.
    pub fn reviewed(&self) -> watch::Receiver<bool> {
        self.reviewed.subscribe()
    }

    /// Whether reviews at this path are answered. A path that is not known is looked for in the
    /// configuration once more: the API server may have heard of a change a moment before the
    /// webhook.
    pub(super) async fn accepts(&self, path: &str) -> bool {
        let Source::Followed { answered, unknown, waiting } = &self.source else {
            return WELL_KNOWN.contains(&path);
        };
        let path = plain(path);
        if contains(&answered.borrow().paths, path) {
            return true;
        }
        let waiter = Waiter::enter(waiting);
        if waiter.others >= MAX_WAITING {
            return false;
        }
        let mut answered = answered.clone();
        let look_again = async {
            // A look that has begun by now may have read what was there before.
            let enough = answered.borrow_and_update().looks + 2;
            loop {
                unknown.notify_one();
                if answered.changed().await.is_err() {
                    return false;
                }
                let seen = answered.borrow_and_update();
                if contains(&seen.paths, path) || seen.looks >= enough {
                    return contains(&seen.paths, path);
                }
            }
        };
        tokio::time::timeout(PATIENCE, look_again).await.unwrap_or(false)
    }

    /// Whether reviews of workloads at this path are answered: where those of pods are answered at
    /// `/mutate…`, they are at `/validate…`. An unknown one is not looked for: nothing depends on
    /// its answer.
    pub(super) fn accepts_workloads(&self, path: &str) -> bool {
        let Some(rest) = plain(path).strip_prefix(keysluice_certs::WORKLOADS) else { return false };
        let of_pods = format!("{}{rest}", keysluice_certs::PODS);
        match &self.source {
            Source::WellKnown => WELL_KNOWN.contains(&&*of_pods),
            Source::Followed { answered, .. } => contains(&answered.borrow().paths, &of_pods),
        }
    }

    /// Notes that a review at this path was allowed.
    pub(super) fn allowed(&self, path: &str) {
        if self.is_reviewed.load(Ordering::Relaxed) {
            return;
        }
        let is_named = match &self.source {
            Source::WellKnown => true,
            Source::Followed { answered, .. } => contains(&answered.borrow().named, plain(path)),
        };
        if is_named {
            self.is_reviewed.store(true, Ordering::Relaxed);
            self.reviewed.send_replace(true);
        }
    }
}

/// Passes on that an unknown path was called, but not too often; never ends.
pub async fn look_again(unknown: Arc<Notify>, look: Arc<Notify>) {
    loop {
        unknown.notified().await;
        look.notify_one();
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// As [`AnsweredPaths`] has it: without a slash at the end.
fn plain(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

fn contains(paths: &[String], path: &str) -> bool {
    paths.iter().any(|one| one == path)
}

/// One of those that wait, until it is dropped.
struct Waiter<'a> {
    waiting: &'a AtomicU32,
    others: u32,
}

impl<'a> Waiter<'a> {
    fn enter(waiting: &'a AtomicU32) -> Self {
        Self { waiting, others: waiting.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "/mutate/abcdefghijklmnopqrstuvwxyz012345";

    fn answering(looks: u64, paths: &[&str], named: &[&str]) -> AnsweredPaths {
        let [paths, named] =
            [paths, named].map(|list| list.iter().map(|path| (*path).to_owned()).collect());
        AnsweredPaths { looks, paths, named }
    }

    fn followed(first: AnsweredPaths) -> (watch::Sender<AnsweredPaths>, Arc<Notify>, Arc<Paths>) {
        let (send, answered) = watch::channel(first);
        let unknown = Arc::new(Notify::new());
        (send, Arc::clone(&unknown), Arc::new(Paths::followed(answered, unknown)))
    }

    #[tokio::test]
    async fn without_an_own_configuration_two_paths_are_known() {
        let paths = Paths::default();
        for (path, expected) in [
            ("/mutate", true),
            ("/mutate-v1-pod", true),
            ("/", false),
            (OURS, false),
            ("/mutate/", false),
        ] {
            assert_eq!(paths.accepts(path).await, expected, "{path}");
        }
        assert!(!*paths.reviewed().borrow());
        paths.allowed("/mutate");
        assert!(*paths.reviewed().borrow());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_path_is_looked_for_once_more() {
        let (send, unknown, paths) = followed(answering(5, &[OURS], &[OURS]));
        assert!(paths.accepts(OURS).await && paths.accepts(&format!("{OURS}/")).await);
        for (next, expected) in [
            (vec![answering(6, &["/", OURS], &["/"])], true),
            // The look that had begun before says nothing, the one after it does.
            (vec![answering(6, &[OURS], &[OURS]), answering(7, &["/", OURS], &["/"])], true),
            (vec![answering(6, &[OURS], &[OURS]), answering(7, &[OURS], &[OURS])], false),
        ] {
            send.send_replace(answering(5, &[OURS], &[OURS]));
            let asking = tokio::spawn({
                let paths = Arc::clone(&paths);
                async move { paths.accepts("/").await }
            });
            for answer in next {
                unknown.notified().await;
                send.send_replace(answer);
            }
            assert_eq!(asking.await.unwrap(), expected);
        }
        // No look at the configuration: a 404 in time.
        send.send_replace(answering(5, &[OURS], &[OURS]));
        let begun = tokio::time::Instant::now();
        assert!(!paths.accepts("/").await && begun.elapsed() < Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_cost_one_look_a_second_and_a_bounded_crowd() {
        let (_send, unknown, paths) = followed(answering(5, &[OURS], &[OURS]));
        let look = Arc::new(Notify::new());
        let passing = tokio::spawn(look_again(unknown, Arc::clone(&look)));
        let looks = tokio::spawn(async move {
            let mut count = 0;
            while tokio::time::timeout(Duration::from_secs(5), look.notified()).await.is_ok() {
                count += 1;
            }
            count
        });
        let crowd: Vec<_> = (0..2 * MAX_WAITING)
            .map(|number| {
                let paths = Arc::clone(&paths);
                tokio::spawn(async move { paths.accepts(&format!("/mutate/{number}")).await })
            })
            .collect();
        for one in crowd {
            assert!(!one.await.unwrap());
        }
        assert!(looks.await.unwrap() <= 4);
        passing.abort();
    }

    #[tokio::test]
    async fn workloads_are_reviewed_beside_the_path_of_pods() {
        let (_send, _unknown, followed) = followed(answering(5, &[OURS, "/mutate-v1-pod"], &[]));
        let own = "/validate/abcdefghijklmnopqrstuvwxyz012345";
        for (path, by_known, by_followed) in [
            ("/validate", true, false),
            ("/validate-v1-pod", true, true),
            (own, false, true),
            (&*format!("{own}/"), false, true),
            ("/validate/abcdefghijklmnopqrstuvwxyz012346", false, false),
            ("/mutate", false, false),
            (OURS, false, false),
            ("/", false, false),
            ("", false, false),
        ] {
            assert_eq!(Paths::default().accepts_workloads(path), by_known, "{path}");
            assert_eq!(followed.accepts_workloads(path), by_followed, "{path}");
        }
    }

    #[tokio::test]
    async fn only_a_review_by_the_path_that_is_named_counts() {
        let (send, _unknown, paths) = followed(answering(5, &["/", OURS], &[OURS]));
        paths.allowed("/");
        assert!(!*paths.reviewed().borrow(), "that path is public");
        paths.allowed(OURS);
        assert!(*paths.reviewed().borrow());
        drop(send);
    }
}
