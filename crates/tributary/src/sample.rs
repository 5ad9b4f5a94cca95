//! The sample traffic: a readable file of requests without signatures, played through the process's own HTTP port.
use anyhow::{Context as _, bail};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The file that `scripts/sample` sends too.
pub(crate) const SAMPLE: &str = include_str!("../../../demo/sample.http");
/// How long the gateway may take to learn what was just provisioned.
const KNOWN_LIMIT: Duration = Duration::from_secs(20);
const KNOWN_PAUSE: Duration = Duration::from_millis(50);
/// For one request, its outcome included.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);
/// How long a request is repeated that the log does not acknowledge.
const AGAIN_LIMIT: Duration = Duration::from_secs(30);

/// One request of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SampleRequest<'file> {
    pub(crate) title: &'file str,
    pub(crate) method: &'file str,
    pub(crate) path: &'file str,
    pub(crate) headers: Vec<(&'file str, &'file str)>,
    /// As it is sent: without the line breaks at its end.
    pub(crate) body: &'file str,
}

/// Parses the file: blocks that start with `### title`; then `METHOD path`, headers, an empty line, the body.
pub(crate) fn parse(file: &str) -> anyhow::Result<Vec<SampleRequest<'_>>> {
    let mut requests = Vec::new();
    for block in file.split("\n### ").skip(1) {
        let (head, body) = block.split_once("\n\n").context("a block without an empty line")?;
        let mut lines = head.lines();
        let title = lines.next().unwrap_or_default();
        let request_line = lines.next().with_context(|| format!("{title}: no request line"))?;
        let (method, path) = request_line.split_once(' ').with_context(|| format!("{title}: no path"))?;
        let headers = lines
            .map(|line| line.split_once(": ").with_context(|| format!("{title}: not a header: {line}")))
            .collect::<anyhow::Result<_>>()?;
        requests.push(SampleRequest { title, method, path, headers, body: body.trim_end_matches('\n') });
    }
    Ok(requests)
}

/// Waits until the gateway knows the demo's key and endpoints, by asking it as a caller would: what it does not know it
/// answers with 401 and 404, what it knows with 400 and 401.
///
/// # Errors
/// When it does not learn them in time.
pub(crate) async fn wait_until_known(base_url: &str, key: &str, programs: &[&str]) -> anyhow::Result<()> {
    let client = reqwest::Client::builder().no_proxy().timeout(REQUEST_LIMIT).build()?;
    let mut probes =
        vec![(client.post(format!("{base_url}/api/referral")).header("x-api-key", key).body("{}"), 400)];
    for program in programs {
        for provider in crate::demo::PROVIDERS {
            let url = format!("{base_url}/webhooks/{provider}?program_id={program}");
            probes.push((client.post(url).body("{}"), 401));
        }
    }
    let deadline = tokio::time::Instant::now() + KNOWN_LIMIT;
    for (probe, known) in probes {
        loop {
            let request = probe.try_clone().context("a request with a text body")?;
            let status = request.send().await?.status().as_u16();
            if status == known {
                break;
            }
            if tokio::time::Instant::now() > deadline {
                bail!("the gateway does not learn the demo's configuration: it answers {status}");
            }
            tokio::time::sleep(KNOWN_PAUSE).await;
        }
    }
    Ok(())
}

/// Sends every request of the file in order; `secret` signs webhooks at that moment.
///
/// # Errors
/// When one is refused or not answered.
pub(crate) async fn play(base_url: &str, secret: &str) -> anyhow::Result<usize> {
    let requests = parse(SAMPLE)?;
    // No proxy: this talks to itself, whatever the environment says.
    let client = reqwest::Client::builder().no_proxy().timeout(REQUEST_LIMIT).build()?;
    for request in &requests {
        let deadline = tokio::time::Instant::now() + AGAIN_LIMIT;
        let answer = loop {
            let answer = prepared(&client, base_url, secret, request)?.send().await?;
            // Not acknowledged in time: the gateway asks to come back, and a repetition counts once.
            let later = answer.status() == reqwest::StatusCode::SERVICE_UNAVAILABLE;
            if !later || tokio::time::Instant::now() > deadline {
                break answer;
            }
            let after =
                answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
            tokio::time::sleep(Duration::from_secs(after.unwrap_or(1).min(5))).await;
        };
        let status = answer.status();
        if !status.is_success() {
            let text = answer.text().await.unwrap_or_default();
            bail!("sample request refused: {}: {status}: {text}", request.title);
        }
        tracing::info!(title = request.title, status = status.as_u16(), "sample request answered");
    }
    Ok(requests.len())
}

/// The request, signed at this moment where it is a webhook.
fn prepared(
    client: &reqwest::Client,
    base_url: &str,
    secret: &str,
    request: &SampleRequest<'_>,
) -> anyhow::Result<reqwest::RequestBuilder> {
    let method = reqwest::Method::from_bytes(request.method.as_bytes())?;
    let mut builder = client.request(method, format!("{base_url}{}", request.path));
    for (name, value) in &request.headers {
        builder = builder.header(*name, *value);
    }
    if request.path.starts_with("/webhooks/paddle") {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let signature =
            sources::signature::sign_paddle(secret.as_bytes(), seconds as i64, request.body.as_bytes());
        builder = builder.header("paddle-signature", signature);
    }
    Ok(builder.body(request.body.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_request_of_the_sample_is_json_without_a_signature() {
        let requests = parse(SAMPLE).unwrap();
        assert_eq!(requests.len(), 9);
        for request in &requests {
            serde_json::from_str::<serde_json::Value>(request.body).unwrap();
            assert!(request.headers.iter().all(|(name, _)| !name.contains("signature")), "{}", request.title);
            assert!(request.path.starts_with('/'), "{}", request.title);
        }
        assert_eq!(requests[0].headers[1], ("x-api-key", "sk_demo_tributary"));
    }
}
