//! The values of the annotations for the managed-identity endpoint.

use crate::provider_class::is_guid;
use keysluice_plan::{LOWEST_ENDPOINT_PORT, MOST_ENDPOINT_IDENTITIES};
use std::collections::BTreeSet;

/// Bytes of a resource id: Azure's have fewer.
const MAX_RESOURCE_ID_BYTES: usize = 1024;
/// Values that mean yes in Go (`strconv.ParseBool`), in any case.
const YES: [&str; 3] = ["true", "1", "t"];
const NO: [&str; 4] = ["false", "0", "f", ""];

/// What a pod says about the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointChoice {
    /// None.
    Off,
    /// On this port, if one is said.
    On(Option<u16>),
    /// And on the address of IMDS.
    Intercept,
}

/// An identity beside the ServiceAccount's, with its other names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MappedIdentity {
    /// Its client id.
    pub client_id: String,
    /// Its object ids.
    pub object_ids: Vec<String>,
    /// Its resource ids.
    pub resource_ids: Vec<String>,
}

/// `true`, `false`, `intercept` or a port.
pub(super) fn endpoint(value: &str) -> Option<EndpointChoice> {
    match value {
        "true" => Some(EndpointChoice::On(None)),
        "false" => Some(EndpointChoice::Off),
        "intercept" => Some(EndpointChoice::Intercept),
        port => self::port(port).map(|port| EndpointChoice::On(Some(port))),
    }
}

/// A port that the sidecar can bind.
pub(super) fn port(value: &str) -> Option<u16> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|port| is_number && *port >= LOWEST_ENDPOINT_PORT)
}

/// Azure Workload Identity's own spelling of yes and no.
pub(super) fn truth(value: &str) -> Option<bool> {
    if is_one_of(&YES, value) { Some(true) } else { is_one_of(&NO, value).then_some(false) }
}

fn is_one_of(known: &[&str], value: &str) -> bool {
    known.iter().any(|one| value.eq_ignore_ascii_case(one))
}

/// `CLIENT-ID; CLIENT-ID=OBJECT-ID; CLIENT-ID=/subscriptions/…`; each name once.
pub(super) fn identities(value: &str) -> Option<Vec<MappedIdentity>> {
    let mut found: Vec<MappedIdentity> = Vec::new();
    let mut names = BTreeSet::new();
    for part in value.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (client_id, name) = part
            .split_once('=')
            .map_or((part, None), |(client_id, name)| (client_id.trim(), Some(name.trim())));
        if !is_guid(client_id) {
            return None;
        }
        if found.len() > MOST_ENDPOINT_IDENTITIES {
            return None;
        }
        let known = found.iter().position(|one| one.client_id.eq_ignore_ascii_case(client_id));
        let index = known.unwrap_or(found.len());
        if known.is_none() {
            let (object_ids, resource_ids) = (Vec::new(), Vec::new());
            let client_id = client_id.to_owned();
            found.push(MappedIdentity { client_id, object_ids, resource_ids });
        }
        let Some(name) = name else { continue };
        if !names.insert(name.to_ascii_lowercase()) {
            return None;
        }
        if is_guid(name) {
            found[index].object_ids.push(name.to_owned());
        } else if is_resource_id(name) {
            found[index].resource_ids.push(name.to_owned());
        } else {
            return None;
        }
    }
    // What names an identity names one.
    let is_unique = found.iter().all(|one| !names.contains(&one.client_id.to_ascii_lowercase()));
    (is_unique && !found.is_empty() && found.len() <= MOST_ENDPOINT_IDENTITIES).then_some(found)
}

fn is_resource_id(name: &str) -> bool {
    const START: &str = "/subscriptions/";
    name.get(..START.len()).is_some_and(|start| start.eq_ignore_ascii_case(START))
        && name.len() <= MAX_RESOURCE_ID_BYTES
        && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "11111111-1111-1111-1111-111111111111";
    const TWO: &str = "22222222-2222-2222-2222-222222222222";
    const OBJECT: &str = "33333333-3333-3333-3333-333333333333";
    const RESOURCE: &str = "/subscriptions/s/resourceGroups/g/providers/\
        Microsoft.ManagedIdentity/userAssignedIdentities/a";

    #[test]
    fn a_port_is_one_that_needs_no_right() {
        for (value, expected) in [
            ("1024", Some(1024)),
            ("8000", Some(8000)),
            ("65535", Some(65535)),
            ("1023", None),
            ("80", None),
            ("0", None),
            ("65536", None),
            ("-1", None),
            ("+8000", None),
            (" 8000", None),
            ("", None),
            ("invalid", None),
        ] {
            assert_eq!(port(value), expected, "{value}");
            let choice = expected.map(|port| EndpointChoice::On(Some(port)));
            assert_eq!(endpoint(value), choice, "{value}");
        }
        assert_eq!(endpoint("true"), Some(EndpointChoice::On(None)));
        assert_eq!(endpoint("false"), Some(EndpointChoice::Off));
        assert_eq!(endpoint("intercept"), Some(EndpointChoice::Intercept));
        assert_eq!(endpoint("Intercept"), None);
    }

    #[test]
    fn yes_and_no_are_spelt_as_go_does_in_any_case() {
        for value in ["true", "True", "1", "t", "T"] {
            assert_eq!(truth(value), Some(true), "{value}");
        }
        for value in ["false", "FALSE", "0", "f", ""] {
            assert_eq!(truth(value), Some(false), "{value}");
        }
        for value in ["yes", "on", " true", "2"] {
            assert_eq!(truth(value), None, "{value}");
        }
    }

    #[test]
    fn an_identity_has_a_client_id_and_any_number_of_other_names() {
        let mut one = MappedIdentity {
            client_id: ONE.to_owned(),
            object_ids: Vec::new(),
            resource_ids: Vec::new(),
        };
        assert_eq!(identities(ONE), Some(vec![one.clone()]));
        one.object_ids.push(OBJECT.to_owned());
        assert_eq!(identities(&format!(" {ONE} = {OBJECT} ;")), Some(vec![one.clone()]));
        one.resource_ids.push(RESOURCE.to_owned());
        let both = identities(&format!("{ONE}={OBJECT}; {ONE}={RESOURCE}; {TWO}")).unwrap();
        assert_eq!((both.len(), &both[0]), (2, &one));
        for value in [
            String::new(),
            ";".to_owned(),
            "name".to_owned(),
            format!("{ONE}="),
            format!("{ONE}=name"),
            format!("{ONE}=/resource"),
            format!("{ONE}={RESOURCE} b"),
            format!("{ONE}={OBJECT}; {TWO}={OBJECT}"),
            format!("{ONE}={TWO}; {TWO}"),
            format!("={OBJECT}"),
            format!("{ONE},{TWO}"),
        ] {
            assert_eq!(identities(&value), None, "{value}");
        }
    }
}
