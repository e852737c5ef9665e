//! The warnings of an answer: what kubectl prints before the result.

use super::Stage;
use reqwest::Method;
use serde_json::Value;

impl Stage {
    /// The warnings of the answer to a request of the administrator's, which must succeed.
    pub(crate) async fn warned(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Vec<String> {
        let response = self.sent(method, path, body, &[]).await;
        let headers = response.headers().get_all("warning").iter();
        // 299 - "text"
        let text = |value: &str| {
            let quoted = value.strip_prefix("299 - ").unwrap_or(value);
            quoted.trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\")
        };
        let warnings = headers.map(|value| text(&String::from_utf8_lossy(value.as_bytes())));
        let warnings: Vec<String> = warnings.collect();
        let status = response.status();
        assert!(status.is_success(), "{status}: {}", response.text().await.unwrap());
        warnings
    }
}
