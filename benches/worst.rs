//! Searches for the reviews that cost most: many shapes of pods at the size of the largest body,
//! each timed.
//!
//! `cargo bench --bench worst` prints the ten worst: bytes, CPU, peak memory, answer. `-- --all`
//! prints every one. It ends with 1 where one takes more than 20 ms, or an answer is larger than
//! etcd could store in base64.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures time")]

use keysluice::admission;
use keysluice::cloud::Cloud;
use keysluice::mutate::{ClassFact, Facts, ServiceAccount};
use keysluice::provider_class::ProviderClass;
use keysluice::settings::Settings;
use serde_json::json;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The largest body, less the review around the pod.
const BODY_BYTES: usize = (7 << 20) - 1024;
/// What an API server reads of a request.
const REQUEST_BYTES: usize = (3 << 20) - 1024;
const BOUND: Duration = Duration::from_millis(20);

struct Shape {
    name: String,
    body: Vec<u8>,
}

struct Cost {
    name: String,
    body_bytes: usize,
    time: Duration,
    peak_kib: u64,
    answer_bytes: usize,
    outcome: String,
}

fn repeated(piece: &str, bytes: usize) -> String {
    piece.repeat(bytes / piece.len().max(1))
}

/// `first` and as many of `piece` as fit, separated by commas.
fn list(piece: impl Fn(usize) -> String, bytes: usize, most: usize) -> String {
    let mut text = String::new();
    for index in 0..most {
        let next = piece(index);
        if text.len() + next.len() + 1 > bytes {
            break;
        }
        if index > 0 {
            text.push(',');
        }
        text += &next;
    }
    text
}

fn review(uid: &str, namespace: &str, metadata: &str, spec: &str) -> Vec<u8> {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"{uid}",
            "operation":"CREATE","namespace":"{namespace}","object":{{"kind":"Pod",
            "metadata":{{"name":"p","labels":{{"azure.workload.identity/use":"true"}}{metadata}}},
            "spec":{{{spec}}}}}}}}}"#
    )
    .into_bytes()
}

#[allow(clippy::too_many_lines, reason = "a table of cases")]
fn shapes(bytes: usize) -> Vec<Shape> {
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
            r#""affinity":{{"nodeAffinity":{{"requiredDuringSchedulingIgnoredDuringExecution":{{"nodeSelectorTerms":[{terms}]}}}}}}"#
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

fn facts(id_bytes: usize) -> Facts {
    let id = if id_bytes == 0 {
        "8c1d7a52-66b0-4f3e-8a11-90d3c7e2b4a8".to_owned()
    } else {
        "x".repeat(id_bytes)
    };
    let mut objects = "array:\n".to_owned();
    for index in 0..400 {
        objects += &format!(
            "  - |\n    objectName: o{index}\n    objectType: secret\n    filePermission: \
             \"0440\"\n    fileGroup: {}\n",
            200_000 + index
        );
    }
    let secrets: Vec<_> = (0..500)
        .map(|index| {
            json!({"secretName": format!("s{}", index + 18_000),
        "type": "Opaque", "data": [{"objectName": "o1", "key": "k"}]})
        })
        .collect();
    let class = json!({"kind": "SecretProviderClass", "metadata": {"name": "kv", "namespace": "ns"},
        "spec": {"provider": "azure",
        "parameters": {"keyvaultName": "vault-1", "tenantId": "t", "objects": objects},
        "secretObjects": secrets}});
    let mut facts = Facts {
        service_account: Some(ServiceAccount::from_annotations([(
            "azure.workload.identity/client-id",
            id.as_str(),
        )])),
        ..Facts::default()
    };
    facts.classes.insert(
        "kv".to_owned(),
        ClassFact::Found(Arc::new(ProviderClass::from_value(&class).expect("a class"))),
    );
    facts
}

/// Of this process, since it was last reset.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}

fn cost(shape: &Shape, settings: &Settings, facts: &Facts) -> Cost {
    let decide = || match admission::read(&shape.body) {
        Ok(incoming) => {
            let _ = incoming.needs(settings);
            let answer = incoming.answer(settings, facts);
            let code = answer.reason.map(|reason| format!(" {reason}")).unwrap_or_default();
            (answer.body.len(), format!("{}{code}", answer.outcome.as_str()))
        }
        Err(error) => (error.to_string().len(), format!("{error:.60}")),
    };
    // Resets the peak.
    if let Ok(mut file) = std::fs::File::options().write(true).open("/proc/self/clear_refs") {
        let _ = file.write_all(b"5");
    }
    let before = peak_kib();
    let (answer_bytes, outcome) = decide();
    let peak_kib = peak_kib().saturating_sub(before);
    let time = (0..5).map(|_| {
        let begun = Instant::now();
        std::hint::black_box(decide());
        begun.elapsed()
    });
    let time = time.min().unwrap_or_default();
    Cost {
        name: shape.name.clone(),
        body_bytes: shape.body.len(),
        time,
        peak_kib,
        answer_bytes,
        outcome,
    }
}

fn main() -> ExitCode {
    let mut settings =
        Settings::new(Cloud::well_known("AzurePublicCloud").expect("a name of Azure's"));
    settings.tenant_id = Some("4b7e2f2a-5c35-4b2a-9c60-0f7a1c2d3e4f".to_owned());
    let (facts, fat) = (facts(0), facts(200_000));
    let mut costs = Vec::new();
    for bytes in [REQUEST_BYTES, BODY_BYTES] {
        costs.extend(shapes(bytes).iter().map(|shape| cost(shape, &settings, &facts)));
    }
    let containers = list(|index| format!(r#"{{"name":"c{index}"}}"#), 1 << 20, 900);
    let body = review("u", "ns", "", &format!(r#""containers":[{containers}]"#));
    costs.push(cost(
        &Shape { name: "900 containers, a client id of 200 kB".to_owned(), body },
        &settings,
        &fat,
    ));
    costs.sort_by_key(|cost| std::cmp::Reverse(cost.time));
    let shown = if std::env::args().any(|argument| argument == "--all") { costs.len() } else { 10 };
    println!(
        "{:<60} {:>9} {:>9} {:>9} {:>9}  answer",
        "shape", "bytes", "µs", "peak KiB", "answer B"
    );
    for cost in &costs[..shown] {
        let Cost { name, body_bytes, time, peak_kib, answer_bytes, outcome } = cost;
        println!(
            "{name:<60} {body_bytes:>9} {:>9} {peak_kib:>9} {answer_bytes:>9}  {outcome}",
            time.as_micros()
        );
    }
    let is_bounded = costs.iter().all(|cost| cost.time <= BOUND && cost.answer_bytes <= 3 << 20);
    if is_bounded { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
