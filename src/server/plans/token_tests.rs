use super::{KeySet, TokenError};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const NOW: i64 = 1_800_000_000;

struct Cluster {
    key: EncodingKey,
    keys: KeySet,
    public: Vec<u8>,
}

fn cluster() -> Cluster {
    let pair = rcgen::KeyPair::generate().unwrap();
    let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    jwk.common.key_id = Some("a".to_owned());
    let public = pair.public_key_pem().into_bytes();
    let keys = KeySet::new("https://issuer".to_owned(), &JwkSet { keys: vec![jwk] });
    Cluster { key, keys, public }
}

fn claims(changes: &Value) -> Value {
    let mut claims = json!({"iss": "https://issuer", "aud": ["keysluice.dev"], "exp": NOW + 60,
        "nbf": NOW, "sub": "system:serviceaccount:shop:app", "kubernetes.io": {
            "namespace": "shop", "pod": {"name": "app-0", "uid": "u"},
            "serviceaccount": {"name": "app", "uid": "v"}}});
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}

fn header(algorithm: Algorithm, kid: &str) -> Header {
    let mut header = Header::new(algorithm);
    header.kid = Some(kid.to_owned());
    header
}

fn signed(cluster: &Cluster, changes: &Value) -> String {
    let header = header(Algorithm::ES256, "a");
    jsonwebtoken::encode(&header, &claims(changes), &cluster.key).unwrap()
}

#[test]
fn a_token_of_a_pod_says_whose_it_is() {
    let cluster = cluster();
    let one = json!({"aud": "keysluice.dev"});
    for changes in [json!({}), one, json!({"nbf": NOW + 59})] {
        let caller = cluster.keys.verify(&signed(&cluster, &changes), NOW).unwrap();
        assert_eq!((&*caller.namespace, &*caller.service_account), ("shop", "app"));
        assert_eq!((&*caller.pod, caller.expires), ("app-0", NOW + 60));
    }
}

#[test]
fn a_token_for_somebody_else_or_another_time_is_refused_in_words() {
    let cluster = cluster();
    let without_pod = json!({"kubernetes.io": {"namespace": "shop", "pod": null,
        "serviceaccount": {"name": "app"}}});
    let other_account = json!({"kubernetes.io": {"namespace": "shop", "pod": {"name": "p"},
        "serviceaccount": {"name": "other"}}});
    let other_namespace = json!({"sub": "system:serviceaccount:shop:app",
        "kubernetes.io": {"namespace": "vault", "pod": {"name": "p"},
        "serviceaccount": {"name": "app"}}});
    for (changes, expected) in [
        (json!({"iss": "https://other"}), "the token's issuer is \"https://other\""),
        (json!({"iss": "https://issuer/"}), "the token's issuer"),
        (json!({"aud": ["api://AzureADTokenExchange"]}), "audience is not keysluice.dev"),
        (json!({"aud": []}), "audience"),
        (json!({"exp": NOW}), "expired 0 s ago"),
        (json!({"exp": NOW - 100}), "expired 100 s ago"),
        (json!({"nbf": NOW + 100}), "valid in 100 s"),
        (without_pod, "not bound to a pod"),
        (json!({"kubernetes.io": null}), "not bound to a pod"),
        (other_account, "subject"),
        (other_namespace, "subject"),
    ] {
        let error = cluster.keys.verify(&signed(&cluster, &changes), NOW).unwrap_err();
        assert!(error.to_string().contains(expected), "{changes}: {error}");
        assert_eq!(error.reason().code, "KS512");
    }
}

#[test]
fn only_a_key_of_the_cluster_signs_and_only_in_its_own_way() {
    let (cluster, stranger) = (cluster(), cluster_of_a_stranger());
    let good = signed(&cluster, &json!({}));
    let forged = signed(&stranger, &json!({}));
    assert!(matches!(cluster.keys.verify(&forged, NOW), Err(TokenError::Signature)));
    let unknown =
        jsonwebtoken::encode(&header(Algorithm::ES256, "b"), &claims(&json!({})), &cluster.key);
    let unknown = cluster.keys.verify(&unknown.unwrap(), NOW);
    assert!(matches!(unknown, Err(TokenError::UnknownKey { .. })), "{unknown:?}");
    // The public key as a shared secret.
    let secret = EncodingKey::from_secret(&cluster.public);
    let shared = jsonwebtoken::encode(&header(Algorithm::HS256, "a"), &claims(&json!({})), &secret);
    let shared = cluster.keys.verify(&shared.unwrap(), NOW);
    assert!(matches!(shared, Err(TokenError::Algorithm { .. })), "{shared:?}");
    let payload = encoded(&claims(&json!({})));
    for algorithm in ["none", "None", "HS256", "RS256", "PS256"] {
        let head = encoded(&json!({"alg": algorithm, "kid": "a"}));
        for signature in ["", good.rsplit('.').next().unwrap()] {
            assert!(cluster.keys.verify(&format!("{head}.{payload}.{signature}"), NOW).is_err());
        }
    }
    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let other = encoded(&claims(&json!({"sub": "system:serviceaccount:shop:other"})));
    let moved = cluster.keys.verify(&format!("{head}.{other}.{signature}"), NOW);
    assert!(matches!(moved, Err(TokenError::Signature)), "{moved:?}");
    for text in ["", ".", "..", "a.b.c", "Bearer x", &"x".repeat(10_000)] {
        assert!(matches!(cluster.keys.verify(text, NOW), Err(TokenError::Missing)));
    }
}

/// A header or the claims as they are in a token.
fn encoded(value: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(value.to_string())
}

fn cluster_of_a_stranger() -> Cluster {
    cluster()
}

#[test]
fn a_set_with_keys_that_do_not_sign_leaves_them_out() {
    let set = json!({"keys": [
        {"kty": "oct", "kid": "shared", "k": "AAAA"},
        {"kty": "RSA", "kid": "encryption", "use": "enc", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"}]});
    let keys = KeySet::new(String::new(), &serde_json::from_value(set).unwrap());
    assert!(!keys.has("encryption") && !keys.has(""));
    let secret = EncodingKey::from_secret(&[0, 0, 0]);
    let token = jsonwebtoken::encode(
        &header(Algorithm::HS256, "shared"),
        &claims(&json!({"iss": ""})),
        &secret,
    );
    assert!(matches!(keys.verify(&token.unwrap(), NOW), Err(TokenError::Algorithm { .. })));
}
