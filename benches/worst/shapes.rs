//! The shapes of pods that are timed.

use crate::json::{list, repeated, review};

pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) body: Vec<u8>,
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
pub(crate) fn shapes(bytes: usize) -> Vec<Shape> {
    let mut shapes = Vec::new();
    let mut add = |name: &str, body: Vec<u8>| {
        shapes.push(Shape { name: format!("{name}, {} MiB", bytes >> 20), body });
    };
    let pod = |spec: &str| review("u", "ns", "", spec);
    let containers = |inner: &str| format!(r#""containers":[{inner}]"#);
    let one = |inner: &str| containers(&format!(r#"{{"name":"app",{inner}}}"#));
    let volume = r#""volumes":[{"name":"secrets","csi":{"driver":"secrets-store.csi.k8s.io",
        "readOnly":true,"volumeAttributes":{"secretProviderClass":"kv"}}}]"#;
    let with_volume = |spec: &str| pod(&format!("{spec},{volume}"));
    let most = 19_000;
    add("a namespace of all bytes", review("u", &repeated("n", bytes), "", ""));
    add("a uid of all bytes", review(&repeated("u", bytes), "ns", "", ""));
    add(
        "a pod's name",
        review("u", "ns", &format!(r#","generateName":"{}""#, repeated("n", bytes)), ""),
    );
    for (what, piece) in [
        ("letters", "a"),
        ("escapes", r"\u0061"),
        ("short escapes", r"\n"),
        ("surrogates", r"\ud83d\ude00"),
        ("two-byte letters", "ü"),
    ] {
        add(
            &format!("a container's name of {what}"),
            pod(&containers(&format!(r#"{{"name":"{}"}}"#, repeated(piece, bytes)))),
        );
        add(
            &format!("an annotation of {what}"),
            review(
                "u",
                "ns",
                &format!(r#","annotations":{{"x":"{}"}}"#, repeated(piece, bytes)),
                "",
            ),
        );
        add(
            &format!("a value of env of {what}"),
            pod(&one(&format!(r#""env":[{{"name":"A","value":"{}"}}]"#, repeated(piece, bytes)))),
        );
        add(
            &format!("a skipped value of {what}"),
            pod(&format!(r#""x":"{}""#, repeated(piece, bytes))),
        );
    }
    for key in [
        "keysluice.dev/client-ids",
        "keysluice.dev/after",
        "keysluice.dev/gate",
        "azure.workload.identity/skip-containers",
        "azure.workload.identity/inject-proxy-sidecar",
        "azure.workload.identity/service-account-token-expiration",
    ] {
        for piece in ["a", "a=b;", r"\u0061"] {
            add(
                &format!("annotation {key} of {piece}"),
                review(
                    "u",
                    "ns",
                    &format!(r#","annotations":{{"{key}":"{}"}}"#, repeated(piece, bytes)),
                    &containers(r#"{"name":"app"}"#),
                ),
            );
        }
    }
    add(
        "many annotations",
        review(
            "u",
            "ns",
            &format!(
                r#","annotations":{{{}}}"#,
                list(
                    |index| format!(r#""keysluice.de/{index}":"{}""#, "v".repeat(300)),
                    bytes,
                    most
                )
            ),
            "",
        ),
    );
    add(
        "unknown annotation of all bytes",
        review(
            "u",
            "ns",
            &format!(r#","annotations":{{"keysluice.dev/{}":""}}"#, repeated("a", bytes)),
            "",
        ),
    );
    for (what, piece) in [
        ("nothing", "{}".to_owned()),
        ("a name", r#"{"name":"a"}"#.to_owned()),
        ("null", "null".to_owned()),
    ] {
        add(
            &format!("containers of {what}"),
            pod(&containers(&list(|_| piece.clone(), bytes, most))),
        );
        add(
            &format!("init containers of {what}"),
            pod(&format!(r#""initContainers":[{}]"#, list(|_| piece.clone(), bytes, most))),
        );
    }
    let env = |value: &str| {
        one(&format!(
            r#""env":[{}]"#,
            list(|index| format!(r#"{{"name":"A{index}","value":"{value}"}}"#), bytes, most)
        ))
    };
    for (what, value) in [
        ("short values", "x".to_owned()),
        ("references", "$(AZURE_CLIENT_ID".repeat(10)),
        ("dollars", "$(".repeat(100)),
        ("dollar runs", "$".repeat(200)),
        ("long values", "x".repeat(300)),
    ] {
        add(&format!("env with {what}"), pod(&env(&value)));
        add(&format!("env with {what} and a class"), with_volume(&env(&value)));
    }
    add(
        "one value of references",
        pod(&one(&format!(r#""env":[{{"name":"A","value":"{}"}}]"#, repeated("$(AZURE_", bytes)))),
    );
    let mounts = one(&format!(
        r#""volumeMounts":[{}]"#,
        list(|index| format!(r#"{{"name":"secrets","mountPath":"/{index}"}}"#), bytes, most)
    ));
    add("mounts of one volume", with_volume(&mounts));
    add(
        "long mount paths",
        with_volume(&one(&format!(
            r#""volumeMounts":[{}]"#,
            list(
                |_| format!(r#"{{"name":"secrets","mountPath":"{}"}}"#, "/".repeat(300)),
                bytes,
                most
            )
        ))),
    );
    add(
        "a mount path of slashes",
        pod(&one(&format!(
            r#""volumeMounts":[{{"name":"secrets","mountPath":"{}"}}]"#,
            repeated("/", bytes)
        ))),
    );
    add(
        "envFrom",
        pod(&one(&format!(
            r#""envFrom":[{}]"#,
            list(
                |index| format!(
                    r#"{{"configMapRef":{{"name":"azurf-{index}-{}"}}}}"#,
                    "x".repeat(240)
                ),
                bytes,
                most
            )
        ))),
    );
    let reserved = |name: String| {
        format!(r#""volumes":[{{"name":"azure-workload-identity-reserved-{name}"}}]"#)
    };
    add("a reserved volume of all bytes", pod(&reserved(repeated("x", bytes))));
    for count in [100, 900, 1001] {
        let many = list(|index| format!(r#"{{"name":"c{index}"}}"#), bytes, count);
        add(
            &format!("a reserved volume beside {count} containers"),
            pod(&format!("{},{}", containers(&many), reserved(repeated("x", bytes / 2)))),
        );
        add(
            &format!("a reserved label beside {count} containers"),
            pod(&format!("{},{}", containers(&many), reserved("x".repeat(30)))),
        );
        let mounting = list(
            |index| {
                format!(
                    r#"{{"name":"c{index}","securityContext":{{"runAsUser":{}}},
                        "volumeMounts":[{{"name":"secrets","mountPath":"/s"}}]}}"#,
                    1000 + index % 60
                )
            },
            bytes,
            count,
        );
        let groups = list(|index| (100_000 + index).to_string(), bytes / 2, most);
        let security = format!(r#""securityContext":{{"supplementalGroups":[{groups}]}}"#);
        add(
            &format!("{count} containers of 60 users in many groups"),
            with_volume(&format!("{},{security}", containers(&mounting))),
        );
        let escaped = list(
            |_| format!(r#"{{"name":"app","command":["{}"]}}"#, "x".repeat(bytes / count / 2)),
            bytes,
            count,
        );
        add(&format!("{count} large containers"), pod(&containers(&escaped)));
    }
    add(
        "Secrets that are referred to",
        with_volume(&one(&format!(
            r#""env":[{}]"#,
            list(
                |index| format!(
                    r#"{{"name":"A","valueFrom":{{"secretKeyRef":{{"name":"s{index}",
                        "key":"k"}}}}}}"#
                ),
                bytes,
                most
            )
        ))),
    );
    add(
        "pull secrets",
        with_volume(&format!(
            r#""imagePullSecrets":[{}],{}"#,
            list(|index| format!(r#"{{"name":"s{index}"}}"#), bytes, most),
            one(r#""image":"x""#)
        )),
    );
    let csi = list(
        |index| {
            format!(
                r#"{{"name":"v{index}","csi":{{"driver":"secrets-store.csi.k8s.io","readOnly":true,
                    "volumeAttributes":{{"secretProviderClass":"kv"}}}}}}"#
            )
        },
        bytes,
        6000,
    );
    add("CSI volumes", pod(&format!(r#""volumes":[{csi}]"#)));
    let attributes = list(|index| format!(r#""a{index}":"{}""#, "v".repeat(100)), bytes, most);
    add(
        "volume attributes",
        pod(&format!(
            r#""volumes":[{{"name":"v","csi":{{"driver":"secrets-store.csi.k8s.io","readOnly":true,
                "volumeAttributes":{{"secretProviderClass":"kv",{attributes}}}}}}}]"#
        )),
    );
    let terms = list(
        |_| {
            r#"{"matchExpressions":[{"key":"kubernetes.io/os","operator":"In",
                "values":["windows"]}]}"#
                .to_owned()
        },
        bytes,
        6000,
    );
    add(
        "affinity terms",
        with_volume(&format!(
            r#""affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{
                "nodeSelectorTerms":[{terms}]}}}}}}"#
        )),
    );
    let plan = repeated(r#"{\"a\":[{}]},"#, bytes);
    add(
        "a Plan of all bytes",
        pod(&format!(
            r#""initContainers":[{{"name":"keysluice","env":[{{"name":"KEYSLUICE_PLAN",
                "value":"[{plan}]"}}]}}]"#
        )),
    );
    for (what, piece) in [
        ("lists", "["),
        ("objects", r#"{"a":"#),
        ("numbers", "1,"),
        ("members", r#""a":1,"#),
        ("blanks", " "),
        ("known members", r#""namf":1,"#),
    ] {
        let text = repeated(piece, bytes);
        add(&format!("skipped {what}"), pod(&format!(r#""x":[{text}1]"#)));
        add(&format!("{what} in spec"), pod(&format!(r#"{text}"x":1"#)));
        add(&format!("{what} in a container"), pod(&containers(&format!(r#"{{{text}"x":1}}"#))));
    }
    let old = list(|index| format!(r#"{{"name":"e{index}"}}"#), bytes / 2, 9_000);
    let new = list(|index| format!(r#"{{"name":"f{index}","env":[]}}"#), bytes / 2, 9_000);
    let token = r#""volumes":[{"name":"azure-workload-identity-reserved-1",
        "projected":{"sources":[{"serviceAccountToken":{"path":"token/azure-identity-token",
        "audience":"api://AzureADTokenExchange","expirationSeconds":3600}}]}}]"#;
    let object = |ephemeral: &str| {
        format!(
            r#"{{"kind":"Pod","metadata":{{"labels":{{"azure.workload.identity/use":"true"}}}},
                "spec":{{{token},"ephemeralContainers":[{ephemeral}]}}}}"#
        )
    };
    let update = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"u",
            "operation":"UPDATE","subResource":"ephemeralcontainers","namespace":"ns","object":{},
            "oldObject":{}}}}}"#,
        object(&new),
        object(&old)
    );
    add("ephemeral containers", update.into_bytes());
    shapes
}
