//! The lifetime of the token.

use crate::mutate::context::Context;
use crate::mutate::names::EXPIRATION_ANNOTATION;
use crate::mutate::refusal::{Cause, Refusal, cut};
use crate::pod::Pod;
use std::num::IntErrorKind;
use std::ops::RangeInclusive;

const SECONDS: RangeInclusive<i64> = 3600..=86400;

/// Pod annotation over ServiceAccount annotation over 3600; whichever wins must be valid.
pub(super) fn seconds(pod: &Pod<'_>, context: Context<'_>) -> Result<i64, Refusal> {
    let of_account = context
        .facts
        .service_account
        .as_ref()
        .and_then(|account| account.token_expiration.as_deref());
    let of_pod =
        pod.metadata.annotations.find(EXPIRATION_ANNOTATION).filter(|value| !value.is_empty());
    let Some(text) = of_pod.or(of_account) else { return Ok(*SECONDS.start()) };
    let key = EXPIRATION_ANNOTATION;
    match text.parse::<i64>() {
        Ok(value) if SECONDS.contains(&value) => Ok(value),
        Ok(value) => {
            let owner = owner(pod, of_pod.is_some());
            Err(Cause::ExpirationRange { key, owner, value }.into())
        }
        Err(error) => {
            let problem = match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                _ => "invalid syntax",
            };
            let (owner, value) = (owner(pod, of_pod.is_some()), cut(text));
            Err(Cause::ExpirationSyntax { key, owner, value, problem }.into())
        }
    }
}

/// Whose annotation it is.
fn owner(pod: &Pod<'_>, is_of_pod: bool) -> String {
    if is_of_pod {
        format!("pod {:?}", pod.display_name())
    } else {
        format!("ServiceAccount {:?}", pod.service_account())
    }
}
