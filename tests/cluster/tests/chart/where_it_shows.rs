//! Where a refusal shows, per kind of workload, with real controllers: what docs/where-it-shows.md
//! says, by its own commands.

use super::helm::root;
use super::node::controllers;
use super::pods::pod;
use super::stage::{Stage, collection, environment};
use super::workloads::{KINDS, fault, reviewed, workload};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

/// A kind of workload, and the kind of the object whose events have the refusal of its pods. The
/// CronJob is last, because it waits for the next minute.
const SHOWN: [(&str, &str); 6] = [
    ("Deployment", "ReplicaSet"),
    ("StatefulSet", "StatefulSet"),
    ("DaemonSet", "DaemonSet"),
    ("ReplicaSet", "ReplicaSet"),
    ("Job", "Job"),
    ("CronJob", "Job"),
];

const EVENTS: &str = "/api/v1/namespaces/default/events";

/// The commands of the page, for the namespace of the test.
fn commands() -> Vec<String> {
    let page = std::fs::read_to_string(root().join("docs/where-it-shows.md")).unwrap();
    let blocks = page.split("```sh\n").skip(1);
    let commands = blocks.map(|after| after.split("\n```").next().unwrap());
    commands.map(|command| command.replace("--namespace shop", "--namespace default")).collect()
}

async fn run(stage: &Stage, command: &str) -> String {
    let bin = stage.directory.path().join("kubectl-bin");
    if !bin.exists() {
        std::fs::create_dir(&bin).unwrap();
        let components = environment("KEYSLUICE_COMPONENTS");
        std::os::unix::fs::symlink(components, bin.join("kubectl")).unwrap();
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("KUBECONFIG", stage.admin_kubeconfig().await);
    shell.env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()));
    let output = shell.output().await.unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

/// An event about a pod that was not created.
struct Refused {
    /// Kind and name of the object that the event is about.
    kind: String,
    object: String,
    message: String,
}

async fn refusals(stage: &Stage) -> Vec<Refused> {
    let events = stage.request(Method::GET, EVENTS, None).await.unwrap();
    let events = events["items"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    events
        .filter(|event| event["reason"] == "FailedCreate")
        .map(|event| Refused {
            kind: text(&event["involvedObject"]["kind"]),
            object: text(&event["involvedObject"]["name"]),
            message: text(&event["message"]),
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the control plane: make test-cluster"]
async fn a_refusal_shows_where_the_page_says() {
    let (stage, _webhook) = reviewed().await;
    let _controllers = controllers(&stage).await;
    // A DaemonSet makes pods for nodes.
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}});
    stage.create(&node).await.unwrap();
    let named = |kind: &str| format!("web-{}", kind.to_lowercase());
    for known in KINDS {
        let mut object = workload(known, &named(known.1), &fault());
        if known.1 == "CronJob" {
            object["spec"]["schedule"] = "* * * * *".into();
        }
        stage.create(&object).await.unwrap();
    }
    for (kind, in_events_of) in SHOWN {
        let name = named(kind);
        stage
            .until("the refusal is an event", async || {
                let mut refusals = refusals(&stage).await.into_iter();
                refusals.any(|refusal| {
                    refusal.kind == in_events_of
                        && refusal.object.starts_with(&name)
                        && refusal.message.contains("KS210 ")
                })
            })
            .await;
        let shown = run(&stage, &format!("kubectl get {kind} {name} -n default")).await;
        assert!(shown.contains(&name) && !shown.contains("KS210"), "{shown}");
        let described = run(&stage, &format!("kubectl describe {kind} {name} -n default")).await;
        let is_own = in_events_of == kind;
        assert_eq!(described.contains("KS210 "), is_own, "{kind}: {described}");
        assert!(is_own || !described.contains("keysluice.dev/gat is unknown"), "{described}");
        let events = "kubectl get events -n default --field-selector reason=FailedCreate";
        let events = run(&stage, &format!("{events},involvedObject.kind={in_events_of}")).await;
        let line = events.lines().find(|line| line.contains(&name) && line.contains("KS210 "));
        assert!(line.is_some(), "{kind}: {events}");
    }
    // The code, the cause and the fix are in the first 120 characters of the refusal.
    let message = refusals(&stage).await.remove(0).message;
    let refusal: String = message[message.find("KS210").unwrap()..].chars().take(120).collect();
    assert!(refusal.contains("is unknown; hint: did you mean keysluice.dev/gate?"), "{message}");
    let commands = commands();
    assert_eq!(commands.len(), 2);
    for command in commands {
        let command = command.replace("deployment web ", "deployment web-deployment ");
        let shown = run(&stage, &command).await;
        assert!(shown.contains("KS210 annotation keysluice.dev/gat is unknown"), "{shown}");
    }
    // A bare pod is refused in the answer itself.
    let mut bare = pod("bare", "default", true);
    bare["metadata"]["annotations"] = fault();
    let refused = stage.request(Method::POST, &collection(&bare), Some(&bare)).await.unwrap_err();
    assert!(refused.message.contains("KS210 "), "{refused:?}");
}
