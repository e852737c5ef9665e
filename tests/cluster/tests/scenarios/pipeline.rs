//! The injector's image as a step of a pipeline: an OIDC token in, files out, with runc and nothing
//! of Kubernetes.

use crate::scene::Scene;
use crate::world::{TENANT, run, source};
use anyhow::Context as _;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tokio::process::Command;

crate::scenarios!(
    the_injectors_image_fetches_secrets_as_a_pipeline_step,
    the_image_with_a_shell_serves_runners_that_need_one,
);

async fn the_injectors_image_fetches_secrets_as_a_pipeline_step(
    scene: &Scene,
) -> anyhow::Result<()> {
    let step = Step::prepare(scene, "injector").await?;
    anyhow::ensure!(step.config["User"] == "65532:65532", "{}", step.config);
    let files: Vec<_> = std::fs::read_dir(step.bundle.join("rootfs"))?
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    anyhow::ensure!(files == ["keysluice-injector"], "{files:?}");
    step.run(&["/keysluice-injector", "once", "--plan", "/job/plan.json"]).await?;
    step.holds("class/db", "first")
}

async fn the_image_with_a_shell_serves_runners_that_need_one(scene: &Scene) -> anyhow::Result<()> {
    let step = Step::prepare(scene, "injector-ci").await?;
    let script = "keysluice-injector once --plan /job/plan.json && cp /job/out/class/db \
        /job/out/copy && id -u";
    let output = step.run(&["/bin/sh", "-c", script]).await?;
    anyhow::ensure!(output.trim().ends_with("65532"), "{output}");
    step.holds("copy", "first")?;
    // GitHub's runner has `container:` do nothing for the length of the job, and runs each step in
    // it by `exec`.
    std::fs::remove_file(step.job.join("out/copy"))?;
    step.start(&["tail", "-f", "/dev/null"]).await?;
    let output = step.runc(&["exec", &step.id, "sh", "-e", "-c", script]).await;
    step.runc(&["delete", "--force", &step.id]).await?;
    anyhow::ensure!(output?.trim().ends_with("65532"));
    step.holds("copy", "first")
}

/// A bundle that runc runs: the image unpacked, and a directory of the job mounted at `/job`.
struct Step {
    bundle: PathBuf,
    job: PathBuf,
    config: Value,
    cgroup: String,
    id: String,
}

impl Step {
    async fn prepare(scene: &Scene, image: &str) -> anyhow::Result<Self> {
        let bundle = scene.world.layout.path(&format!("pipeline-{image}"));
        let job = bundle.join("job");
        std::fs::create_dir_all(job.join("out"))?;
        let config = unpack(image, &bundle).await?;
        let request = json!({"spec": {"audiences": ["api://AzureADTokenExchange"],
            "expirationSeconds": 3600}});
        let token = scene
            .world
            .api
            .create(&format!("{}/app/token", scene.path("serviceaccounts")), &request)
            .await?;
        std::fs::write(job.join("token"), token["status"]["token"].as_str().context("no token")?)?;
        let class = scene.get("secretproviderclasses", "class").await?;
        let account = scene.get("serviceaccounts", "app").await?;
        for (name, kind, object) in [
            ("class.json", "SecretProviderClass", class),
            ("account.json", "ServiceAccount", account),
        ] {
            let mut object = object;
            object["kind"] = json!(kind);
            std::fs::write(bundle.join(name), object.to_string())?;
        }
        let values: Value =
            serde_json::from_slice(&std::fs::read(scene.world.layout.path("values.json"))?)?;
        std::fs::write(
            bundle.join("cloud.json"),
            values["azureEnvironmentDefinition"].as_str().context("no cloud")?,
        )?;
        let binary = std::env::var("KEYSLUICE_BINARY").context("KEYSLUICE_BINARY is not set")?;
        let mut plan = Command::new(binary);
        plan.current_dir(&bundle).args([
            "plan",
            "-f",
            "class.json",
            "--service-account-file",
            "account.json",
        ]);
        plan.args([
            "--root",
            "/job/out",
            "--token-file",
            "/job/token",
            "--cloud",
            "cloud.json",
            "--tenant-id",
            TENANT,
        ]);
        std::fs::write(job.join("plan.json"), run(plan, None).await?)?;
        run(
            {
                let mut chown = Command::new("chown");
                chown.arg("-R").arg("65532:65532").arg(&job);
                chown
            },
            None,
        )
        .await?;
        Ok(Self {
            bundle,
            job,
            config,
            cgroup: scene.world.layout.cgroup(),
            id: format!("pipeline-{image}"),
        })
    }

    /// Runs a command as the image's user.
    async fn run(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.configure(arguments).await?;
        self.runc(&["run", &self.id]).await
    }

    /// The same, and leaves it running.
    async fn start(&self, arguments: &[&str]) -> anyhow::Result<()> {
        self.configure(arguments).await?;
        // What is detached keeps our pipes open for as long as it lives.
        let script = "runc --root state run --detach \"$0\" </dev/null >/dev/null 2>start.log || \
            { cat start.log >&2; exit 1; }";
        let mut shell = Command::new("sh");
        shell.args(["-c", script, &self.id]).current_dir(&self.bundle);
        run(shell, None).await.map(drop)
    }

    async fn runc(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new("runc");
        command.current_dir(&self.bundle).args(["--root", "state"]).args(arguments);
        run(command, None).await
    }

    async fn configure(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let file = self.bundle.join("config.json");
        if !file.exists() {
            self.runc(&["spec"]).await?;
        }
        let mut spec: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        let (user, group) = self.config["User"]
            .as_str()
            .and_then(|user| user.split_once(':'))
            .context("no user")?;
        spec["process"]["terminal"] = json!(false);
        spec["process"]["args"] = json!(arguments);
        spec["process"]["user"] =
            json!({"uid": user.parse::<u32>()?, "gid": group.parse::<u32>()?});
        spec["process"]["env"] = json!(["PATH=/bin"]);
        // A runner's network is the machine's.
        let namespaces = spec["linux"]["namespaces"].as_array_mut().context("no namespaces")?;
        namespaces.retain(|namespace| namespace["type"] != "network");
        spec["linux"]["cgroupsPath"] = json!(format!("/{}/{}", self.cgroup, self.id));
        let bind = |from: &Path, to: &str| {
            json!({"destination": to, "source": from, "type": "bind",
        "options": ["rbind", "rw"]})
        };
        let resolver = self.bundle.with_file_name("resolv.conf");
        let mounts = spec["mounts"].as_array_mut().context("no mounts")?;
        mounts.retain(|mount| mount["type"] != "bind");
        mounts.push(bind(&self.job, "/job"));
        mounts.push(bind(&resolver, "/etc/resolv.conf"));
        spec["root"]["readonly"] = json!(false);
        std::fs::write(&file, spec.to_string())?;
        Ok(())
    }

    fn holds(&self, path: &str, content: &str) -> anyhow::Result<()> {
        let path = self.job.join("out").join(path);
        let found = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        anyhow::ensure!(found == content, "{} has {found:?}", path.display());
        Ok(())
    }
}

/// Unpacks the image's layers; gives its configuration.
async fn unpack(image: &str, bundle: &Path) -> anyhow::Result<Value> {
    let images = std::env::var("KEYSLUICE_IMAGES").unwrap_or_else(|_| source("target/images"));
    let archive = Path::new(&images).join(format!("{image}-{}.oci.tar", std::env::consts::ARCH));
    let (layout, rootfs) = (bundle.join("image"), bundle.join("rootfs"));
    std::fs::create_dir_all(&layout)?;
    std::fs::create_dir_all(&rootfs)?;
    let tar = async |from: &Path, to: &Path| {
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--file").arg(from).arg("--directory").arg(to);
        run(tar, None).await
    };
    tar(&archive, &layout).await?;
    let blob = |digest: &Value| {
        let hash = digest.as_str().unwrap_or_default().trim_start_matches("sha256:");
        layout.join("blobs/sha256").join(hash)
    };
    let read = |path: PathBuf| anyhow::Ok(serde_json::from_slice::<Value>(&std::fs::read(path)?)?);
    let index = read(layout.join("index.json"))?;
    let manifest = read(blob(&index["manifests"][0]["digest"]))?;
    for layer in manifest["layers"].as_array().context("no layers")? {
        tar(&blob(&layer["digest"]), &rootfs).await?;
    }
    Ok(read(blob(&manifest["config"]["digest"]))?["config"].clone())
}
