//! When a step is due, when a certificate ends, and when to look again.

use super::View;
use crate::certificate::Certificate;
use crate::material::Material;
use crate::policy::later;
use crate::{CertificateAuthority, Moment, Pair, Policy};
use std::time::Duration;
use time::OffsetDateTime;

/// No look comes sooner than this after another that changed nothing.
pub(crate) const SHORTEST_CHECK: Duration = Duration::from_millis(100);

/// Whether every API server has known this CA for long enough.
pub(super) fn ripe(view: &View<'_>, policy: &Policy, certificate: &Certificate) -> bool {
    ripe_at(view, policy, certificate).is_some_and(|ripe| ripe <= view.now.uptime)
}

fn ripe_at(view: &View<'_>, policy: &Policy, certificate: &Certificate) -> Option<Duration> {
    view.sightings.since(certificate).map(|since| since + policy.propagation)
}

/// When no leaf of this CA is valid any more, by anybody's clock: `serving` is the one known,
/// others were made until now.
pub(super) fn last_leaf_ends(
    policy: &Policy,
    wall: OffsetDateTime,
    authority: &Certificate,
    serving: Option<&Pair>,
) -> OffsetDateTime {
    let known = serving.map_or(wall, |pair| pair.certificate().not_after());
    let last = later(wall, policy.clock_tolerance + policy.leaf_lifetime).max(known);
    later(last.min(authority.not_after()), policy.clock_tolerance)
}

/// No leaf outlives its CA: it could not be verified.
pub(super) fn leaf_end(
    policy: &Policy,
    wall: OffsetDateTime,
    authority: &CertificateAuthority,
) -> OffsetDateTime {
    later(wall, policy.leaf_lifetime).min(authority.certificate().not_after())
}

/// Whether a new leaf would be valid longer, by the second that certificates count; else renewing
/// would never end.
pub(super) fn prolongs(
    policy: &Policy,
    wall: OffsetDateTime,
    authority: &CertificateAuthority,
    pair: &Pair,
) -> bool {
    let end = leaf_end(policy, wall, authority);
    end > wall && end.unix_timestamp() > pair.certificate().not_after().unix_timestamp()
}

pub(super) fn next_check(view: &View<'_>, policy: &Policy, material: &Material) -> Duration {
    let Moment { wall, uptime } = view.now;
    let leaf = material.active.iter().map(|active| policy.due(active.pair.certificate()));
    let signing = material.active.iter().map(|active| &active.authority).chain(&material.next);
    let signing = signing.map(|authority| authority.certificate()).collect::<Vec<_>>();
    let due = leaf.chain(signing.iter().map(|certificate| policy.due(certificate)));
    let due = due.chain(
        material.active.iter().map(|active| policy.successor_due(active.authority.certificate())),
    );
    let retired = material.retired.iter().map(|retired| retired.until);
    let ripe = signing
        .iter()
        .filter_map(|certificate| ripe_at(view, policy, certificate)?.checked_sub(uptime));
    let ahead = due.chain(retired).filter_map(|due| Duration::try_from(due - wall).ok());
    let ahead = ahead.chain(ripe).filter(|ahead| !ahead.is_zero());
    ahead.min().unwrap_or(policy.poll).clamp(SHORTEST_CHECK.min(policy.poll), policy.poll)
}
