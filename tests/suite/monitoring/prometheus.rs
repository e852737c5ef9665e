//! The real Prometheus: what it scrapes and evaluates, its process, its answers.

use crate::suite::chart::helm::root;
use keysluice_demo::Process;
use keysluice_emulator::free_port;
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Where it is, if `make test-alerts` built it.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let script = root().join("scripts/prometheus");
    let output = Command::new(script).args(["--path", name]).output().unwrap();
    if !output.status.success() {
        assert!(std::env::var_os("KEYSLUICE_NEED_PROMETHEUS").is_none(), "{name} is not built");
        eprintln!("SKIPPED {name}: it is not built; `make test-alerts` builds it");
        return None;
    }
    Some(String::from_utf8(output.stdout).unwrap().trim().into())
}

/// A container of a pod, as the discovery of pods describes it.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) name: &'static str,
    /// The address of the pod, with the port if the container declares one.
    pub(crate) address: String,
    pub(crate) metrics_port: Option<u16>,
}

impl Container {
    fn target(&self) -> Value {
        let mut labels = json!({
            "__meta_kubernetes_namespace": self.namespace,
            "__meta_kubernetes_pod_name": self.pod,
            "__meta_kubernetes_pod_container_name": self.name,
            "__meta_kubernetes_pod_ip": "127.0.0.1",
        });
        if let Some(port) = self.metrics_port {
            labels["__meta_kubernetes_pod_annotation_keysluice_dev_metrics_port"] =
                json!(port.to_string());
        }
        json!({"targets": [self.address], "labels": labels})
    }
}

/// A scrape job as an operator makes it of a `PodMonitor`.
pub(crate) fn job(name: &str, monitor: &Value, containers: &[Container]) -> Value {
    let spec = &monitor["spec"];
    let [endpoint] = spec["podMetricsEndpoints"].as_array().unwrap().as_slice() else {
        panic!("not one endpoint: {spec}")
    };
    let mut relabel = vec![
        renamed("namespace", "namespace"),
        renamed("pod_container_name", "container"),
        renamed("pod_name", "pod"),
    ];
    relabel.extend(endpoint["relabelings"].as_array().into_iter().flatten().map(snake_case));
    let mut job = json!({"job_name": name, "metrics_path": endpoint["path"],
        "relabel_configs": relabel,
        "static_configs": containers.iter().map(Container::target).collect::<Vec<_>>()});
    for (field, value) in snake_case(spec).as_object().unwrap() {
        if field.ends_with("_limit") {
            job[field] = value.clone();
        }
    }
    job
}

/// A label of what the discovery says.
fn renamed(source: &str, target: &str) -> Value {
    json!({"source_labels": [format!("__meta_kubernetes_{source}")], "target_label": target})
}

/// A job of a page, with its discovery replaced, and without what it scrapes.
pub(crate) fn job_of_page(job: &Value, containers: &[Container]) -> Value {
    let mut job = job.clone();
    assert!(job["kubernetes_sd_configs"].is_array(), "{job}");
    job.as_object_mut().unwrap().remove("kubernetes_sd_configs");
    job["static_configs"] = containers.iter().map(Container::target).collect();
    job["metric_relabel_configs"] =
        json!([{"action": "drop", "source_labels": ["__name__"], "regex": "keysluice_.*"}]);
    job
}

/// The same fields with the names that Prometheus itself has for them.
fn snake_case(object: &Value) -> Value {
    let fields = object.as_object().unwrap().iter();
    let renamed = fields.map(|(name, value)| {
        let mut field = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() {
                field.push('_');
            }
            field.push(letter.to_ascii_lowercase());
        }
        (field, value.clone())
    });
    Value::Object(renamed.collect())
}

/// One series of an answer, with its value.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub(crate) labels: Value,
    pub(crate) value: f64,
}

/// A running Prometheus.
pub(crate) struct Prometheus {
    process: Process,
    address: String,
}

impl Prometheus {
    /// Scrapes these jobs and evaluates these groups of rules, each `seconds`.
    pub(crate) async fn start(
        program: &Path,
        scratch: &Path,
        seconds: u64,
        jobs: &[Value],
        groups: &Value,
    ) -> Self {
        let (interval, directory) = (format!("{seconds}s"), scratch.join("prometheus"));
        std::fs::create_dir_all(&directory).unwrap();
        let (rules, configured) = (directory.join("rules.yaml"), directory.join("prometheus.yaml"));
        write(&rules, &json!({"groups": groups}));
        let configuration = json!({
            "global": {"scrape_interval": interval, "evaluation_interval": interval,
                "scrape_timeout": interval},
            "rule_files": [rules], "scrape_configs": jobs});
        write(&configured, &configuration);
        let address = format!("127.0.0.1:{}", free_port().unwrap());
        let mut command = tokio::process::Command::new(program);
        command.arg("--config.file").arg(configured);
        command.arg("--storage.tsdb.path").arg(directory.join("data"));
        command.args(["--log.level", "warn", "--web.listen-address", &address]);
        let log = directory.join("log");
        let process = Process::start(command, "prometheus", &log).unwrap();
        let mut prometheus = Self { process, address };
        let begun = Instant::now();
        while prometheus.ask("/-/ready").await.is_none_or(|(status, _)| status != 200) {
            prometheus.process.ensure_running().unwrap();
            assert!(begun.elapsed() < Duration::from_secs(60), "{}", prometheus.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        prometheus
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Its address, for other programs.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Status and body of a GET; `None` if there is no connection.
    async fn ask(&self, path: &str) -> Option<(u16, String)> {
        let mut stream = TcpStream::connect(&self.address).await.ok()?;
        // An answer of HTTP/1.0 has no chunks.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.ok()?;
        let answer = String::from_utf8(answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    }

    /// `data` of an answer of the API, or its error.
    pub(crate) async fn api(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<Value, String> {
        let mut query = String::new();
        for (name, value) in parameters {
            query +=
                &format!("{}{name}={}", if query.is_empty() { '?' } else { '&' }, escape(value));
        }
        let answer = self.ask(&format!("/api/v1/{path}{query}")).await;
        let (status, body) = answer.ok_or_else(|| format!("no answer; {}", self.log()))?;
        let body: Value = serde_json::from_str(&body).map_err(|error| error.to_string())?;
        if status == 200 && body["status"] == "success" {
            return Ok(body["data"].clone());
        }
        Err(format!("{status}: {}", body["error"]))
    }

    /// What an expression gives now.
    pub(crate) async fn query(&self, expression: &str) -> Result<Vec<Series>, String> {
        let data = self.api("query", &[("query", expression)]).await?;
        let result = data["result"].as_array().ok_or("no series")?;
        let series = |one: &Value| Series {
            labels: one["metric"].clone(),
            value: one["value"][1].as_str().unwrap().parse().unwrap(),
        };
        Ok(result.iter().map(series).collect())
    }

    /// The values of a label, of all series or of those that match.
    pub(crate) async fn values(&self, label: &str, selector: Option<&str>) -> Vec<String> {
        let parameters: Vec<_> = selector.map(|one| ("match[]", one)).into_iter().collect();
        let values = self.api(&format!("label/{label}/values"), &parameters).await.unwrap();
        let values = values.as_array().unwrap().iter();
        values.map(|value| value.as_str().unwrap().to_owned()).collect()
    }

    /// Waits until an expression gives a series.
    pub(crate) async fn until(&self, expression: &str, limit: Duration) -> Vec<Series> {
        let begun = Instant::now();
        loop {
            let found = self.query(expression).await.unwrap();
            if !found.is_empty() {
                return found;
            }
            assert!(begun.elapsed() < limit, "{expression} is empty after {limit:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// JSON is YAML.
fn write(path: &Path, value: &Value) {
    std::fs::File::create(path).unwrap().write_all(value.to_string().as_bytes()).unwrap();
}

/// A value of a query string.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(byte.into());
        } else {
            escaped += &format!("%{byte:02X}");
        }
    }
    escaped
}
