//! Which items are of one certificate.
//!
//! Its leaf comes from one GET, its key and chain from another: a renewal between the two, or one
//! of them failing, must not put a new leaf beside the old key. So their files change together,
//! once they tell the same version.

use crate::vault::Object;
use keysluice_plan::{File, ObjectType, Volume};
use std::collections::BTreeMap;

/// Of each certificate with several items their indices. A vault has one secret for each
/// certificate, of its name and version; its key has them too, but is there before the certificate
/// while one is being renewed.
pub(super) fn groups(volume: &Volume) -> Vec<Vec<usize>> {
    let mut groups = BTreeMap::<_, Vec<usize>>::new();
    for (index, file) in volume.files.iter().enumerate() {
        let object = Object::of(file);
        if file.history.is_none() && object.kind() != ObjectType::Key {
            let name = object.name().as_str().to_ascii_lowercase();
            groups
                .entry((object.vault().clone(), name, object.version().cloned()))
                .or_default()
                .push(index);
        }
    }
    groups.retain(|_, items| {
        items.len() > 1 && items.iter().any(|&item| is_of_certificate(&volume.files[item]))
    });
    groups.into_values().collect()
}

fn is_of_certificate(file: &File) -> bool {
    file.object_type == ObjectType::Cert || file.part.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn leaf_and_key_of_one_certificate_are_one_group() {
        let files = [
            json!({}),
            json!({"part": "key", "name": "WEB"}),
            json!({"type": "key"}),
            json!({"type": "secret", "identity": "b"}),
            json!({"version": "1"}),
            json!({"history": 2}),
            json!({"name": "other"}),
            json!({"vault": "https://other/"}),
            json!({"type": "secret", "name": "s"}),
            json!({"type": "secret", "name": "s", "jsonKey": "a"}),
        ]
        .map(|extra| {
            let mut file = json!({"path": "p", "mode": "0640", "identity": "a",
                "vault": "https://kv/", "type": "cert", "name": "web"});
            file.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            file
        });
        let volume =
            json!({"name": "v", "directory": "/v", "refreshIntervalSeconds": 60, "files": files});
        assert_eq!(groups(&serde_json::from_value(volume).unwrap()), [[0, 1, 3]]);
    }
}
