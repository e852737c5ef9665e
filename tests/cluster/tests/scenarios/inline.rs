//! Inline annotations on a real kubelet: files, variables that the kubelet reads from a file, and
//! commands that the sidecar's program starts.

use crate::scene::{BUSYBOX, Scene, sidecar};
use crate::world::{PATIENCE, until};
use serde_json::{Value, json};

crate::scenarios!(
    a_variable_of_an_annotation_comes_from_a_file_and_a_restart_brings_its_new_value,
    a_command_starts_with_variables_that_no_file_of_variables_can_hold,
    a_variable_that_the_kubelet_cannot_read_is_named_and_the_pod_does_not_start,
    the_example_of_the_page_starts,
);

/// Values that every form takes.
const VALUES: [(&str, &str); 4] = [
    ("lines", "one\ntwo\n"),
    ("quotes", "a \"b\" = $HOME $(lines) # c \\n"),
    ("unicode", "ünï©ode 🔑"),
    ("plain", "x=y"),
];

fn pod(scene: &Scene, name: &str, script: &str, annotations: &[(&str, String)]) -> Value {
    let mut pod = scene.pod(name, script);
    pod["spec"]["volumes"] = json!([]);
    pod["spec"]["containers"] =
        json!([{"name": "app", "image": BUSYBOX, "command": ["sh", "-c", script]}]);
    for (key, value) in annotations {
        pod["metadata"]["annotations"][format!("keysluice.dev/{key}")] = json!(value);
    }
    pod
}

fn secret(scene: &Scene, name: &str) -> String {
    format!("kv://{}/secrets/{name}", scene.vault)
}

/// A restart needs to see the application's process.
fn restarts(pod: &mut Value) {
    pod["spec"]["shareProcessNamespace"] = true.into();
    pod["spec"]["securityContext"] = json!({"runAsUser": 1000, "runAsGroup": 1000});
    pod["metadata"]["annotations"]["keysluice.dev/on-change"] = "restart".into();
    pod["metadata"]["annotations"]["keysluice.dev/on-change-spread"] = "0s".into();
}

async fn a_variable_of_an_annotation_comes_from_a_file_and_a_restart_brings_its_new_value(
    scene: &Scene,
) -> anyhow::Result<()> {
    for (name, value) in VALUES {
        scene.world.emulator.set_secret(&scene.vault, name, value);
    }
    scene.class("all", &["plain"], &json!({})).await?;
    let mut annotations: Vec<_> = ["lines", "quotes", "unicode"]
        .map(|name| (format!("env.{}", name.to_uppercase()), secret(scene, name)))
        .into();
    annotations.extend([
        ("env.DB".to_owned(), secret(scene, "db")),
        ("env.MISSING".to_owned(), format!("{}?optional=true", secret(scene, "missing"))),
        ("env-from".to_owned(), "all".to_owned()),
        ("file.db".to_owned(), format!("{}?mode=0400", secret(scene, "db"))),
        ("mount-path".to_owned(), "/mnt/s".to_owned()),
    ]);
    let annotations: Vec<_> =
        annotations.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let script = "trap 'exit 0' TERM; printf '<%s>' \"$LINES\" \"$QUOTES\" \"$UNICODE\" \"$PLAIN\" \
        \"${MISSING-none}\" \"$URL\"; echo; echo \"db $DB\"; sleep infinity & wait";
    let mut pod = pod(scene, "vars", script, &annotations);
    pod["spec"]["containers"][0]["env"] = json!([{"name": "URL", "value": "db://$(DB)@host"}]);
    restarts(&mut pod);
    scene.create("pods", &pod).await?;
    let running = scene.running("vars").await?;
    sidecar(&running)?;
    let values = VALUES.map(|(_, value)| format!("<{value}>")).concat();
    let expected = "<one\ntwo\n><a \"b\" = $HOME $(lines) # c \\n><ünï©ode 🔑><x=y>";
    anyhow::ensure!(values == expected, "{values}");
    let log = scene.says("vars", "db first").await?;
    anyhow::ensure!(log.contains(&format!("{values}<none><db://first@host>")), "{log}");
    let mount = scene.sh("vars", "cat /mnt/s/db; ls /run/keysluice 2>&1 || true").await?;
    anyhow::ensure!(mount.starts_with("first") && mount.contains("No such file"), "{mount}");
    scene.rotate("vars", "second").await?;
    scene.says("vars", "db second").await?;
    Ok(())
}

async fn a_command_starts_with_variables_that_no_file_of_variables_can_hold(
    scene: &Scene,
) -> anyhow::Result<()> {
    for (name, value) in VALUES {
        scene.world.emulator.set_secret(&scene.vault, name, value);
    }
    let hostile = [("single", "it's"), ("empty", ""), ("crlf", "a\r\nb"), ("binary", "//79Cg==")];
    for (name, value) in hostile {
        scene.world.emulator.set_secret(&scene.vault, name, value);
    }
    let mut annotations: Vec<_> = VALUES
        .iter()
        .chain(&hostile[..3])
        .map(|(name, _)| (format!("env.{}", name.to_uppercase()), secret(scene, name)))
        .collect();
    annotations.extend([
        ("env.BINARY".to_owned(), format!("{}?encoding=base64", secret(scene, "binary"))),
        ("env.MISSING".to_owned(), format!("{}?optional=true", secret(scene, "missing"))),
        ("env.OWN".to_owned(), secret(scene, "db")),
        ("env.DB".to_owned(), secret(scene, "db")),
        ("file.db".to_owned(), secret(scene, "db")),
        ("mount-path".to_owned(), "/mnt/s".to_owned()),
        ("env-mode".to_owned(), "exec".to_owned()),
    ]);
    let annotations: Vec<_> =
        annotations.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let script = "trap 'exit 0' TERM; printf '<%s>' \"$LINES\" \"$QUOTES\" \"$UNICODE\" \"$PLAIN\" \
        \"$SINGLE\" \"${EMPTY-none}\" \"${MISSING-none}\" \"$OWN\" \"$0\"; echo; \
        printf '%s' \"$CRLF$BINARY\" | od -An -tx1; echo \"db $DB\"; sleep infinity & wait";
    let mut pod = pod(scene, "exec", script, &annotations);
    pod["spec"]["containers"][0]["args"] = json!(["argument"]);
    pod["spec"]["containers"][0]["env"] = json!([{"name": "OWN", "value": "mine"}]);
    restarts(&mut pod);
    scene.create("pods", &pod).await?;
    let running = scene.running("exec").await?;
    let command = &running["spec"]["containers"][0]["command"];
    anyhow::ensure!(command[0] == "/run/keysluice/exec/keysluice-injector", "{command}");
    let log = scene.says("exec", "db first").await?;
    let values = VALUES.map(|(_, value)| format!("<{value}>")).concat();
    anyhow::ensure!(log.contains(&format!("{values}<it's><><none><mine><argument>")), "{log}");
    anyhow::ensure!(log.contains("61 0d 0a 62 ff fe fd 0a"), "{log}");
    // Process 1 of a container would be the pause process here: the command is what was asked for.
    let limits = scene.sh("exec", "ulimit -Hc").await?;
    anyhow::ensure!(!limits.is_empty());
    scene.rotate("exec", "second").await?;
    scene.says("exec", "db second").await?;
    Ok(())
}

async fn a_variable_that_the_kubelet_cannot_read_is_named_and_the_pod_does_not_start(
    scene: &Scene,
) -> anyhow::Result<()> {
    scene.world.emulator.set_secret(&scene.vault, "single", "it's a canary");
    let annotations = [("env.SINGLE", secret(scene, "single"))];
    scene.create("pods", &pod(scene, "quote", "sleep infinity", &annotations)).await?;
    let arguments = ["describe", "pod", "quote", "--namespace", &scene.namespace];
    let told = until("describe tells the reason", PATIENCE, async || {
        let text = scene.world.kubectl(&arguments).await?;
        Ok(text.contains("KS671").then_some(text))
    })
    .await?;
    anyhow::ensure!(told.contains("variable SINGLE") && told.contains("env-mode: exec"), "{told}");
    anyhow::ensure!(!told.contains("canary"), "{told}");
    Ok(())
}

/// The manifest of docs/inline.md, with this scene's vault and image.
async fn the_example_of_the_page_starts(scene: &Scene) -> anyhow::Result<()> {
    scene.world.emulator.set_secret(&scene.vault, "db-password", "s3cret");
    scene.world.emulator.set_secret(&scene.vault, "api-key", "k3y");
    let page = std::fs::read_to_string(crate::world::source("docs/inline.md"))?;
    let manifest = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let manifest = manifest.unwrap_or_default().replace("my-vault", &scene.vault);
    let mut deployment: Value = serde_saphyr::from_str(&manifest)?;
    let container = &mut deployment["spec"]["template"]["spec"]["containers"][0];
    container["image"] = BUSYBOX.into();
    let script = "cat /mnt/secrets-store/conf/db-password; echo \" $DB_PASSWORD $API_KEY\"; \
        sleep infinity";
    container["command"] = json!(["sh", "-c", script]);
    scene.create("deployments", &deployment).await?;
    let pods = scene.all_running("shop", 1, PATIENCE).await?;
    let name = pods[0]["metadata"]["name"].as_str().unwrap_or_default();
    scene.says(name, "s3cret s3cret k3y").await?;
    Ok(())
}
