//! Reads a request's body within its limits, without copying where it came in one piece.
use crate::refusal::Refusal;
use axum::body::{Body, HttpBody as _};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// What a refused sender may still send before the answer, as a multiple of the limit: a connection that is closed on
/// unread bytes is reset, and the sender never sees why.
const DRAINED_LIMITS: usize = 8;
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The exact bytes of the body.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    limit: usize,
    time: Duration,
) -> Result<Bytes, Refusal> {
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok())
        .unwrap_or_default();
    let result = if headers.contains_key(CONTENT_ENCODING) {
        Err(Refusal::ContentEncoding)
    } else if declared > limit {
        Err(Refusal::BodyTooLarge(limit))
    } else {
        let mut collected = pin!(collect(&mut body, declared, limit));
        // Most bodies come with the head: no timer for them.
        match futures::poll!(&mut collected) {
            Poll::Ready(result) => result,
            Poll::Pending => match tokio::time::timeout(time, collected).await {
                Ok(result) => result,
                Err(_) => return Err(Refusal::BodyTimeout),
            },
        }
    };
    // A sender that asked first (Expect: 100-continue) has sent nothing yet, and will not after the answer.
    if result.is_err() && !headers.contains_key(EXPECT) {
        Box::pin(drain(&mut body, limit.saturating_mul(DRAINED_LIMITS))).await;
    }
    result
}

async fn collect(body: &mut Body, declared: usize, limit: usize) -> Result<Bytes, Refusal> {
    let Some(first) = next(body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > limit {
        return Err(Refusal::BodyTooLarge(limit));
    }
    if body.is_end_stream() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(declared.max(first.len()));
    whole.extend_from_slice(&first);
    while let Some(chunk) = next(body).await? {
        if whole.len() + chunk.len() > limit {
            return Err(Refusal::BodyTooLarge(limit));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}

/// The next data; trailers are passed over.
async fn next(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    loop {
        match body.frame().await {
            None => return Ok(None),
            Some(Err(_)) => return Err(Refusal::BodyBroken),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
        }
    }
}

async fn drain(body: &mut Body, most: usize) {
    let mut left = most;
    let drained = async {
        while let Ok(Some(chunk)) = next(body).await {
            left = left.saturating_sub(chunk.len());
            if left == 0 {
                break;
            }
        }
    };
    if tokio::time::timeout(DRAIN_TIME, drained).await.is_err() {
        tracing::debug!("refused body not drained");
    }
}
