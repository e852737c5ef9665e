//! Neither a secret's value nor a token occurs anywhere but in its file.

use crate::suite::support::Theatre;
use keysluice_demo::{GUIDES, Process};
use std::time::Duration;

fn assert_clean(place: &str, text: &str, canaries: &[String]) {
    for canary in canaries {
        // The first characters of the canary are enough to find it, and safe to print.
        assert!(!text.contains(canary.as_str()), "{place} contains the canary {}…", &canary[..8]);
    }
}

fn assert_process_clean(place: &str, process: &Process, canaries: &[String]) {
    assert_clean(place, &process.log(), canaries);
    for file in ["environ", "cmdline"] {
        let bytes = process.proc_file(file).unwrap();
        assert!(!bytes.is_empty());
        assert_clean(&format!("{place}: {file}"), &String::from_utf8_lossy(&bytes), canaries);
    }
}

#[tokio::test]
async fn no_log_error_plan_environment_or_argument_holds_a_value_or_a_token() {
    let theatre = Theatre::open().await;
    for guide in GUIDES {
        let reviewed = theatre.review(guide.directory).await;
        let mut pod = theatre.start(guide.directory, &reviewed);
        pod.wait_until_ready().await.unwrap();
        let (secret, path, value) = guide.rotation;
        theatre.emulator.set_secret(guide.vault, secret, value);
        pod.wait_for(path, value, Duration::from_secs(5)).await.unwrap();

        let mut canaries: Vec<String> = guide
            .promises
            .iter()
            .map(|(_, value)| *value)
            .filter(|value| !value.starts_with("-----"))
            .map(str::to_owned)
            .collect();
        canaries.push(value.to_owned());
        if let Some(file) = pod.token_file() {
            let token = std::fs::read_to_string(file).unwrap();
            canaries.push(token.rsplit('.').next().unwrap().to_owned());
        }
        // Every JWT, the access token among them, begins so.
        canaries.push("eyJ0eXAiOiJKV1Qi".to_owned());
        canaries.push("eyJhbGciOiJSUzI1NiIs".to_owned());

        // A failing refresh writes errors: they must be clean too.
        theatre.emulator.inject(keysluice_emulator::Fault::status(500));
        let refresh = pod.execute(&["refresh"]).await.unwrap();
        theatre.emulator.clear_faults();
        let status = pod.execute(&["status"]).await.unwrap();
        let json = pod.execute(&["status", "--output", "json"]).await.unwrap();
        for output in [refresh, status, json] {
            assert_clean("refresh and status", &String::from_utf8_lossy(&output.stdout), &canaries);
            assert_clean("refresh and status", &String::from_utf8_lossy(&output.stderr), &canaries);
        }
        assert_clean("the response", &reviewed.response.to_string(), &canaries);
        assert_clean("the patch", &String::from_utf8_lossy(&reviewed.patch), &canaries);
        assert_process_clean("the sidecar", &pod.sidecar, &canaries);
        assert_process_clean("the webhook", &theatre.webhook.process, &canaries);
    }
}
