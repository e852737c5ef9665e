//! An object of akv2k8s as an inline reference.

use super::text;
use serde_json::Value;

/// `kv://VAULT/secrets/NAME?…` for `NAME@azurekeyvault?query`, or why there is none.
pub(super) fn reference(spec: &Value, query: &str) -> Result<String, String> {
    let (vault, object) = (text(&spec["vault"], "name"), &spec["vault"]["object"]);
    let name = text(object, "name");
    if vault.is_empty() || name.is_empty() {
        return Err("it names no vault or no object".to_owned());
    }
    let version = match text(object, "version") {
        "" => String::new(),
        version => format!("/{version}"),
    };
    let encoding = encoding(spec)?;
    let (collection, selected) = match (text(object, "type"), query) {
        ("secret", "") => ("secrets", String::new()),
        ("key", "") => ("keys", String::new()),
        ("certificate", "tls.crt") => ("certificates", "part=chain".to_owned()),
        ("certificate", "tls.key") => ("certificates", "part=key".to_owned()),
        ("multi-key-value-secret", key) if is_json(object) && is_simple(key) => {
            ("secrets", format!("json-key={key}"))
        }
        ("multi-key-value-secret", "") => {
            return Err("it takes a whole document of keys and values; name the key".to_owned());
        }
        ("multi-key-value-secret", _) if !is_json(object) => {
            return Err(
                "its content is not application/x-json; Keysluice reads fields of JSON".to_owned()
            );
        }
        (kind, query) => {
            return Err(format!("type {kind} with the query {query:?} has no counterpart"));
        }
    };
    let words = [&*selected, encoding.unwrap_or_default()];
    let words: Vec<&str> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let query = if words.is_empty() { String::new() } else { format!("?{}", words.join("&")) };
    Ok(format!("kv://{vault}/{collection}/{name}{version}{query}"))
}

fn is_json(object: &Value) -> bool {
    text(object, "contentType") == "application/x-json"
}

/// A key that is one step of a path.
fn is_simple(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// How its value is decoded. The other transformations have no counterpart.
pub(super) fn encoding(spec: &Value) -> Result<Option<&'static str>, String> {
    let output = &spec["output"];
    let listed = ["transform", "transforms"].map(|field| output[field].as_array());
    let mut encoding = None;
    for transformation in listed.into_iter().flatten().flatten() {
        match transformation.as_str().unwrap_or_default() {
            "base64decode" => encoding = Some("encoding=base64"),
            other => return Err(format!("the transformation {other:?} has no counterpart")),
        }
    }
    Ok(encoding)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_type_becomes_a_reference_or_is_told() {
        let json_type = json!({"contentType": "application/x-json"});
        for (kind, more, query, expected) in [
            ("secret", json!({}), "", Ok("kv://v/secrets/o")),
            ("secret", json!({"version": "abc"}), "", Ok("kv://v/secrets/o/abc")),
            (
                "secret",
                json!({"transform": ["base64decode"]}),
                "",
                Ok("kv://v/secrets/o?encoding=base64"),
            ),
            ("secret", json!({"transform": ["trim"]}), "", Err("\"trim\"")),
            ("key", json!({}), "", Ok("kv://v/keys/o")),
            ("certificate", json!({}), "tls.key", Ok("kv://v/certificates/o?part=key")),
            ("certificate", json!({}), "", Err("type certificate with the query \"\"")),
            ("multi-key-value-secret", json_type.clone(), "a", Ok("kv://v/secrets/o?json-key=a")),
            ("multi-key-value-secret", json_type, "", Err("name the key")),
            ("multi-key-value-secret", json!({}), "a", Err("application/x-json")),
        ] {
            let mut spec = json!({"vault": {"name": "v", "object": {"name": "o", "type": kind}}});
            for (key, value) in more.as_object().unwrap() {
                match key.as_str() {
                    "transform" => spec["output"]["transform"] = value.clone(),
                    key => spec["vault"]["object"][key] = value.clone(),
                }
            }
            let found = reference(&spec, query);
            match expected {
                Ok(expected) => assert_eq!(found.as_deref(), Ok(expected)),
                Err(part) => assert!(found.unwrap_err().contains(part), "{kind} {query}"),
            }
        }
    }
}
