//! From when until when an object may be used, by its attributes `nbf` and `exp`. Key Vault gives
//! secrets, keys and certificates at any time.

use super::list::Listed;
use crate::clock::{Time, Utc};
use crate::fault::{Class, Fault};
use keysluice_plan::reason::{KS419, KS420};

/// One end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    /// Seconds since 1970.
    at: u64,
    /// The object of several that it belongs to.
    object: Option<String>,
}

/// Both ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lifetime {
    begin: Option<Bound>,
    end: Option<Bound>,
    /// When the vault said so, by its clock; seconds since 1970.
    date: Option<i64>,
}

impl Lifetime {
    /// Of an object with these attributes, in an answer of this date.
    pub(crate) fn of(nbf: Option<i64>, exp: Option<i64>, date: Option<i64>) -> Self {
        let [begin, end] = [nbf, exp].map(|at| {
            let at = u64::try_from(at?).ok()?;
            Some(Bound { at, object: None })
        });
        Self { begin, end, date }
    }

    /// Of what a list tells of an object.
    pub(crate) fn of_listed(listed: &Listed) -> Self {
        let [begin, end] =
            [listed.starts, listed.expires].map(|at| Some(Bound { at: at?, object: None }));
        Self { begin, end, date: listed.updated.map(|seen| seen.date) }
    }

    /// Of several objects: the last one to become active, and the first one to expire.
    pub(crate) fn of_all(listed: &[Listed], named: impl Fn(&Listed) -> String) -> Self {
        let begins = listed.iter().filter_map(|one| Some((one.starts?, one)));
        let ends = listed.iter().filter_map(|one| Some((one.expires?, one)));
        let last_begin = begins.max_by_key(|(at, _)| *at);
        let first_end = ends.min_by_key(|(at, _)| *at);
        let [begin, end] = [last_begin, first_end]
            .map(|bound| bound.map(|(at, one)| Bound { at, object: Some(named(one)) }));
        Self {
            begin,
            end,
            date: listed.iter().filter_map(|one| one.updated).map(|seen| seen.date).max(),
        }
    }

    /// When it begins; seconds since 1970.
    pub(crate) fn begins(&self) -> Option<u64> {
        self.begin.as_ref().map(|bound| bound.at)
    }

    /// When it ends; seconds since 1970.
    pub(crate) fn ends(&self) -> Option<u64> {
        self.end.as_ref().map(|bound| bound.at)
    }

    /// What the vault's clock shows at boot, seconds since 1970, if its answer came at `now`.
    pub(crate) fn boot(&self, now: Time) -> Option<i64> {
        self.date?.checked_sub_unsigned(now.as_secs())
    }

    /// What is wrong with it at this time of the vault's clock. `object` is what it belongs to.
    pub(crate) fn fault(&self, object: &str, unix: u64) -> Option<Fault> {
        let is_over = self.end.as_ref().filter(|end| end.at <= unix);
        let (reason, bound, what) = if let Some(end) = is_over {
            (KS419, end, "expired at")
        } else {
            let begin = self.begin.as_ref().filter(|begin| begin.at > unix)?;
            (KS420, begin, "not active until")
        };
        let object = bound.object.as_deref().unwrap_or(object);
        let at = Utc::of_unix(bound.at).to_the_second();
        Some(Fault::new(reason, Class::Slow, format_args!("{object}: {what} {at}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::Seen;
    use std::time::Duration;

    fn told(lifetime: &Lifetime, unix: u64) -> Option<(&'static str, String)> {
        lifetime.fault("secret \"db\"", unix).map(|fault| (fault.reason.code, fault.message))
    }

    #[test]
    fn an_object_is_active_from_nbf_on_and_expired_from_exp_on() {
        let lifetime = Lifetime::of(Some(100), Some(200), Some(150));
        assert_eq!((lifetime.begins(), lifetime.ends()), (Some(100), Some(200)));
        let early = "secret \"db\": not active until 1970-01-01T00:01:40Z".to_owned();
        let late = "secret \"db\": expired at 1970-01-01T00:03:20Z".to_owned();
        assert_eq!(told(&lifetime, 99), Some(("KS420", early)));
        assert_eq!(told(&lifetime, 100), None);
        assert_eq!(told(&lifetime, 199), None);
        assert_eq!(told(&lifetime, 200), Some(("KS419", late)));
        assert_eq!(told(&Lifetime::of(None, None, Some(1)), 5), None);
        // Of attributes that exclude each other, the one that does not pass is told.
        assert_eq!(told(&Lifetime::of(Some(9), Some(5), None), 7).unwrap().0, "KS419");
    }

    #[test]
    fn attributes_of_any_size_are_read() {
        let least = Lifetime::of(Some(i64::MIN), Some(-1), Some(i64::MIN));
        assert_eq!((told(&least, 0), least.boot(Duration::MAX)), (None, None));
        let most = Lifetime::of(Some(i64::MAX), Some(i64::MAX), Some(i64::MAX));
        let (code, message) = told(&most, 0).unwrap();
        assert_eq!(code, "KS420");
        assert!(message.ends_with("until 9999-12-31T23:59:59Z"), "{message}");
    }

    #[test]
    fn of_several_objects_the_first_to_expire_and_the_last_to_become_active_are_named() {
        let all = [("a", None, Some(60)), ("b", Some(40), Some(50)), ("c", None, None)];
        let all = all.map(|(name, starts, expires)| Listed {
            name: name.to_owned(),
            enabled: Some(true),
            created: 0,
            starts,
            expires,
            updated: Some(Seen { updated: 1, date: 1000 }),
        });
        let lifetime = Lifetime::of_all(&all, |listed| format!("secret {}", listed.name));
        let early = "secret b: not active until 1970-01-01T00:00:40Z";
        assert_eq!(told(&lifetime, 30).unwrap().1, early);
        assert_eq!(told(&lifetime, 70).unwrap().1, "secret b: expired at 1970-01-01T00:00:50Z");
        assert_eq!(lifetime.boot(Duration::from_secs(10)), Some(990));
        assert_eq!(Lifetime::of_all(&[], |_| String::new()), Lifetime::default());
    }
}
