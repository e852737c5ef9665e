//! What to do next with the shared certificates: a function of what is stored, published and
//! served. No I/O, no clock; the only thing it takes from outside are new keys.
//!
//! The promise: **whoever trusts a `caBundle` that was published at any time within the last
//! `propagation` verifies the leaf that any replica serves now.** What keeps it, with replicas that
//! crash and stall anywhere and whose clocks differ by the tolerance:
//!
//! - A CA signs only after the deciding replica has itself seen it in every entry for
//!   `propagation`, on its monotonic clock.
//! - In an ordinary rotation its leaf is served only once a *second* publication has been out for
//!   `propagation`, so that whoever knows the last but one `caBundle` verifies it too, however old
//!   that is.
//! - A CA leaves the bundle only when the last leaf it signed has expired: a replica cut off from
//!   the API may serve that leaf to the end.
//! - The bundle is computed from what is stored, never from what is about to be, and read before it
//!   (see [`crate::BundleStore`]).
//! - After a loss of the Secret, or when an old one is put back, the published CAs are kept, and
//!   the new or restored one is only *next*: whoever has a leaf goes on serving it.

mod times;

pub(crate) use times::SHORTEST_CHECK;

use crate::bundle::{Published, Sightings};
use crate::certificate::{Certificate, canonical};
use crate::material::{Active, MAX_RETIRED, Material, MaterialError};
use crate::policy::later;
use crate::{CertificateAuthority, CertsError, Moment, Pair, Policy};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use times::{last_leaf_ends, leaf_end, next_check, prolongs, ripe};

/// What a step looks at.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The Secret.
    pub stored: Result<&'a Material, &'a MaterialError>,
    /// The webhook configuration, read before the Secret; `None` if it cannot be read.
    pub published: Option<&'a Published>,
    /// Since when each CA has been published.
    pub sightings: &'a Sightings,
    /// What this replica serves.
    pub serving: Option<&'a Serving>,
    /// Now, taken after reading.
    pub now: Moment,
}

/// A leaf and the CA that signed it.
#[derive(Debug, Clone)]
pub struct Serving {
    /// The leaf.
    pub pair: Arc<Pair>,
    /// The CA.
    pub authority: Certificate,
}

/// What to do: publish, serve and write, each on its own, then look again; at once if something was
/// changed.
#[derive(Debug)]
pub struct Decision {
    /// `caBundle` for every entry, if it is not that already.
    pub publish: Option<String>,
    /// What to serve from now on.
    pub serve: Option<Serving>,
    /// What to store, and why.
    pub write: Option<(Material, Reason)>,
    /// When to look again at the latest, if nothing was changed.
    pub next_check: Duration,
}

/// Why the Secret is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// There was nothing usable, and no client that trusts our authorities.
    #[error("new CA and leaf: {0}")]
    Bootstrap(MaterialError),
    /// There was nothing usable, but there are API servers that trust a CA and perhaps replicas
    /// that serve its leaf.
    #[error("new CA beside those published: {0}")]
    Heal(MaterialError),
    /// Less than a third of the leaf's life was left.
    #[error("leaf renewed before its end")]
    RenewLeaf,
    /// The leaf was not for every name.
    #[error("leaf renewed for other names")]
    RenameLeaf,
    /// Less than two thirds of the CA's life were left: a new one is there, and signs nothing yet.
    #[error("next CA staged")]
    StageAuthority,
    /// Less than a third of the CA's life was left, and the next one has been published long
    /// enough: it signs from now on.
    #[error("next CA signs from now on")]
    PromoteAuthority,
    /// The Secret does not know the CA of a leaf that is being served, or one that is published, as
    /// after a restore.
    #[error("CA kept that is in use")]
    KeepAuthority,
    /// No leaf of a retired CA is valid any more.
    #[error("retired CA dropped")]
    DropAuthority,
}

/// Decides.
///
/// # Errors
/// A policy with a name that is none, or a failure of the random source.
pub fn step(view: &View<'_>, policy: &Policy) -> Result<Decision, CertsError> {
    let wall = view.now.wall;
    let usable = view
        .stored
        .map_err(Clone::clone)
        .and_then(|material| material.timely(wall, policy.clock_tolerance).map(|()| material));
    let material = match usable {
        Ok(material) => material,
        Err(defect) => {
            let write = view
                .published
                .map(|published| heal(view, policy, published, defect))
                .transpose()?;
            return Ok(Decision {
                publish: None,
                serve: view.serving.cloned(),
                write,
                next_check: policy.poll,
            });
        }
    };
    let write = change(view, policy, material)?;
    let trusted = material.trusted(wall);
    // Not before a CA in use is known again: the bundle of what is stored now is without it.
    let incomplete = matches!(write, Some((_, Reason::KeepAuthority)));
    let publish = view.published.filter(|published| !incomplete && !published.is(&trusted));
    Ok(Decision {
        publish: publish.map(|_| trusted.iter().map(Certificate::pem).collect()),
        serve: serve(view, policy, material),
        write,
        next_check: next_check(view, policy, material),
    })
}

/// New material for a Secret that cannot be used.
fn heal(
    view: &View<'_>,
    policy: &Policy,
    published: &Published,
    defect: MaterialError,
) -> Result<(Material, Reason), CertsError> {
    let wall = view.now.wall;
    let authority = Arc::new(new_authority(policy, wall)?);
    let mut material = Material { active: None, next: None, retired: Vec::new() };
    for certificate in
        published.certificates().into_iter().rev().filter(|one| !policy.is_past(one, wall))
    {
        let until = last_leaf_ends(policy, wall, &certificate, None);
        material.retire(certificate, until);
    }
    if let Some(serving) =
        view.serving.filter(|serving| !policy.is_past(serving.pair.certificate(), wall))
    {
        let until = last_leaf_ends(policy, wall, &serving.authority, Some(&serving.pair));
        material.retire(serving.authority.clone(), until);
    }
    if material.retired.is_empty() {
        let pair = new_leaf(policy, wall, &authority, &policy.names)?;
        material.active = Some(Active { authority, pair });
        return Ok((material, Reason::Bootstrap(defect)));
    }
    material.next = Some(authority);
    Ok((material, Reason::Heal(defect)))
}

/// The one change that is due, the most pressing first.
fn change(
    view: &View<'_>,
    policy: &Policy,
    material: &Material,
) -> Result<Option<(Material, Reason)>, CertsError> {
    let wall = view.now.wall;
    if let Some(kept) = keep(view, policy, material) {
        return Ok(Some((kept, Reason::KeepAuthority)));
    }
    let mut changed = material.clone();
    if let Some(next) = &material.next {
        if policy.due(next.certificate()) <= wall {
            // It may be published, and what is must be known (see `keep`).
            changed.retire(
                next.certificate().clone(),
                last_leaf_ends(policy, wall, next.certificate(), None),
            );
            changed.next = Some(Arc::new(new_authority(policy, wall)?));
            return Ok(Some((changed, Reason::StageAuthority)));
        }
        let is_wanted = material
            .active
            .as_ref()
            .is_none_or(|active| policy.due(active.authority.certificate()) <= wall);
        if is_wanted && ripe(view, policy, next.certificate()) {
            changed.next = None;
            if let Some(Active { authority, pair }) = &material.active {
                let until = last_leaf_ends(policy, wall, authority.certificate(), Some(pair));
                changed.retire(authority.certificate().clone(), until);
                // In the same write: nobody serves the new CA's leaf before a publication that came
                // after the one which made it known (see `serve`), so even who is one publication
                // behind verifies it.
                changed.next = Some(Arc::new(new_authority(policy, wall)?));
            }
            let pair = new_leaf(policy, wall, next, &policy.names)?;
            changed.active = Some(Active { authority: Arc::clone(next), pair });
            return Ok(Some((changed, Reason::PromoteAuthority)));
        }
    }
    if let Some(Active { authority, pair }) = &material.active {
        if policy.due(pair.certificate()) <= wall && prolongs(policy, wall, authority, pair) {
            let pair = new_leaf(policy, wall, authority, &policy.names)?;
            changed.active = Some(Active { authority: Arc::clone(authority), pair });
            return Ok(Some((changed, Reason::RenewLeaf)));
        }
        if !pair.certificate().covers(&policy.names) && authority.certificate().not_after() > wall {
            // Both the old names and the new: two versions side by side in an update would else
            // renew in turns.
            let kept = pair
                .certificate()
                .names()
                .iter()
                .filter(|kept| !policy.names.iter().any(|n| canonical(n) == **kept));
            let names: Vec<_> = policy.names.iter().chain(kept).cloned().collect();
            let pair = new_leaf(policy, wall, authority, &names)?;
            changed.active = Some(Active { authority: Arc::clone(authority), pair });
            return Ok(Some((changed, Reason::RenameLeaf)));
        }
        if material.next.is_none() && policy.successor_due(authority.certificate()) <= wall {
            changed.next = Some(Arc::new(new_authority(policy, wall)?));
            return Ok(Some((changed, Reason::StageAuthority)));
        }
    }
    // Published first, then forgotten: what the Secret does not know is never still in the bundle.
    let Some(published) = view.published else { return Ok(None) };
    changed
        .retired
        .retain(|retired| retired.until > wall || published.mentions(&retired.certificate));
    Ok((changed.retired.len() < material.retired.len()).then_some((changed, Reason::DropAuthority)))
}

/// An old Secret was put back: it does not know what is served, or CAs of ours that are published
/// and whose leaf others may serve. As after a loss all of them are kept, and the restored CA signs
/// again once everybody knows it again.
fn keep(view: &View<'_>, policy: &Policy, material: &Material) -> Option<Material> {
    let wall = view.now.wall;
    let published = view.published?;
    let lost = view.serving.filter(|serving| {
        !policy.is_past(serving.pair.certificate(), wall) && !material.knows(&serving.authority)
    });
    // Foreign certificates in `caBundle` are not kept.
    let unknown = published.certificates().into_iter().filter(|one| {
        !policy.is_past(one, wall) && !material.knows(one) && material.has_name_of(one)
    });
    let room = MAX_RETIRED.saturating_sub(material.retired.len() + 1);
    let unknown: Vec<_> = unknown.take(room).collect();
    if lost.is_none() && unknown.is_empty() {
        return None;
    }
    let mut kept = material.clone();
    if let Some(active) =
        kept.active.take_if(|active| !ripe(view, policy, active.authority.certificate()))
    {
        kept.next = Some(active.authority);
    }
    for certificate in unknown.into_iter().rev() {
        let until = last_leaf_ends(policy, wall, &certificate, None);
        kept.retire(certificate, until);
    }
    if let Some(serving) = lost {
        let until = last_leaf_ends(policy, wall, &serving.authority, Some(&serving.pair));
        kept.retire(serving.authority.clone(), until);
    }
    Some(kept)
}

/// The stored leaf as soon as everybody can verify it, what is served already until then.
fn serve(view: &View<'_>, policy: &Policy, material: &Material) -> Option<Serving> {
    let Some(active) = &material.active else { return view.serving.cloned() };
    let stored = Serving {
        pair: Arc::clone(&active.pair),
        authority: active.authority.certificate().clone(),
    };
    let trusted = material.trusted(view.now.wall);
    let Some(serving) = view.serving else {
        // Not ready before API servers can verify it. In a fresh cluster that is one look later;
        // after a loss, other replicas may still serve with a published CA that is not this one.
        // Who cannot see the bundle trusts a CA that is old enough.
        let settled =
            later(stored.authority.not_before(), 2 * policy.clock_tolerance + policy.propagation);
        let ready = match view.published.filter(|published| published.has_entries()) {
            Some(published) => {
                trusted.iter().chain([&stored.authority]).all(|one| published.trusts(one))
            }
            None => settled <= view.now.wall,
        };
        return ready.then_some(stored);
    };
    if serving.pair.certificate() == stored.pair.certificate() {
        return Some(serving.clone());
    }
    let replaceable = serving.authority == stored.authority
        || policy.is_past(serving.pair.certificate(), view.now.wall)
        || view.published.is_some_and(|published| {
            published.trusts(&stored.authority) && !published.trusts(&serving.authority)
        })
        || trusted.iter().all(|one| ripe(view, policy, one));
    Some(if replaceable { stored } else { serving.clone() })
}

fn new_authority(
    policy: &Policy,
    wall: OffsetDateTime,
) -> Result<CertificateAuthority, CertsError> {
    CertificateAuthority::generate_between(
        wall - policy.clock_tolerance,
        later(wall, policy.ca_lifetime),
    )
}

fn new_leaf(
    policy: &Policy,
    wall: OffsetDateTime,
    authority: &CertificateAuthority,
    names: &[String],
) -> Result<Arc<Pair>, CertsError> {
    let leaf = authority.issue_between(
        names,
        wall - policy.clock_tolerance,
        leaf_end(policy, wall, authority),
    )?;
    Ok(Arc::new(Pair::new(leaf)?))
}

#[cfg(test)]
mod tests;
