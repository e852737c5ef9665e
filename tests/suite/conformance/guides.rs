//! The guides' manifests, unchanged, from pod to refreshed file.

use crate::suite::support::Theatre;
use keysluice_demo::GUIDES;
use std::time::Duration;

#[tokio::test]
async fn every_guide_gets_its_files_with_the_fewest_calls_and_its_rotation_without_a_restart() {
    let theatre = Theatre::open().await;
    for guide in GUIDES {
        let reviewed = theatre.review(guide.directory).await;
        theatre.emulator.reset_counts();
        let mut pod = theatre.start(guide.directory, &reviewed);
        pod.wait_until_ready().await.unwrap();
        for (path, expected) in guide.promises {
            let content = pod.read(path).unwrap();
            assert_eq!(content.lines().next(), Some(*expected), "{path}");
            assert!(
                path.ends_with("my-key") || content == *expected,
                "{path} has no newline that the vault has not"
            );
        }
        let counts = theatre.emulator.counts();
        assert_eq!(
            (counts.tokens, counts.imds, counts.secret_gets, counts.key_gets),
            guide.calls,
            "{}",
            guide.directory
        );
        assert_eq!(counts.status_401, 0);
        let (secret, path, value) = guide.rotation;
        let id = pod.sidecar.id();
        theatre.emulator.set_secret(guide.vault, secret, value);
        pod.wait_for(path, value, Duration::from_secs(5)).await.unwrap();
        assert_eq!(pod.sidecar.id(), id);
        assert!(pod.sidecar.terminate(Duration::from_secs(2)).await.unwrap().success());
    }
}

#[tokio::test]
async fn the_volume_holds_the_promised_files_and_nothing_else() {
    let theatre = Theatre::open().await;
    let reviewed = theatre.review("secret-sync").await;
    let mut pod = theatre.start("secret-sync", &reviewed);
    pod.wait_until_ready().await.unwrap();
    let names = |path: &str| {
        let entries = std::fs::read_dir(pod.locate(path).unwrap()).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with(".."));
        names.sort();
        names
    };
    assert_eq!(names("/mnt/secrets-store"), ["connections", "demo-secret"]);
    assert_eq!(names("/mnt/secrets-store/connections"), ["orders"]);
    let mode = |path: &str| {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(pod.locate(path).unwrap()).unwrap().permissions().mode() & 0o7777
    };
    assert_eq!(mode("/mnt/secrets-store/demo-secret"), 0o644);
    assert_eq!(mode("/mnt/secrets-store/connections/orders"), 0o440);
}

#[tokio::test]
async fn a_foreign_subject_is_told_apart_at_the_gate_and_in_the_termination_message() {
    let theatre = Theatre::open().await;
    let mut reviewed = theatre.review("workload-identity").await;
    reviewed.pod["spec"]["serviceAccountName"] = "somebody-else".into();
    let mut pod = theatre.start("workload-identity", &reviewed);
    let waiting = pod.execute(&["ready", "--timeout", "2"]).await.unwrap();
    assert!(!waiting.status.success());
    let said = String::from_utf8(waiting.stderr).unwrap();
    assert!(said.contains("KS3") && said.contains("700213"), "{said}");
    let _ = pod.sidecar.signal(rustix::process::Signal::TERM);
    let _ = pod.sidecar.wait(Duration::from_secs(5)).await.unwrap();
    let message =
        std::fs::read_to_string(theatre.stage.path().join("workload-identity.termination"))
            .unwrap();
    assert!(message.contains("KS3") && message.contains("subject"), "{message}");
}
