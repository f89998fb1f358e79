//! Reading a request's body within its bounds: of time, of size as sent, and of size unpacked.

use super::memory::Held;
use crate::problem::Problem;
use async_compression::tokio::bufread::GzipDecoder;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// What is unpacked at a time, in bytes.
const CHUNK_BYTES: usize = 16 * 1024;

/// The body of a request with `headers`, at most `max` bytes as sent and unpacked, within `timeout`. `held` has what it takes.
///
/// # Errors
/// 408, 413, 415, 503, or 400 when it breaks off or does not unpack.
pub(super) async fn read(
    headers: &HeaderMap,
    body: Incoming,
    max: usize,
    timeout: Duration,
    held: &mut Held<'_>,
) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > max as u64 {
        return Err(over(max));
    }
    let sent = tokio::time::timeout(timeout, collect(body, max, held)).await.map_err(|_| {
        Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow-body",
            "The body came too slowly",
            format!("the body was not complete after {} ms", timeout.as_millis()),
        )
    })??;
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).iter();
    let encoding = encodings.next().map(|v| v.to_str().unwrap_or_default().trim().to_ascii_lowercase());
    match (encoding.as_deref(), encodings.next()) {
        (None | Some("identity" | ""), None) => Ok(sent),
        (Some("gzip" | "x-gzip"), None) => {
            let whole = unpack(&sent, max, held).await?;
            held.give_back(sent.len());
            Ok(whole)
        }
        (other, _) => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "encoding",
            "The content encoding is not spoken",
            format!("{:?} is not spoken; send gzip or no encoding", other.unwrap_or_default()),
        )),
    }
}

fn over(max: usize) -> Problem {
    Problem::too_large(format!("the body is larger than {max} bytes, the bound of ingest.max_body"))
}

async fn collect(mut body: Incoming, max: usize, held: &mut Held<'_>) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Problem::bad_request("body", format!("the body broke off ({e})")))?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + whole.len() + data.len() > max {
            return Err(over(max));
        }
        held.take(data.len())?;
        // Nearly every body is one frame, and is then not copied.
        if first.is_empty() && whole.is_empty() {
            first = data;
            continue;
        }
        whole.extend_from_slice(&std::mem::take(&mut first));
        whole.extend_from_slice(&data);
    }
    Ok(if whole.is_empty() { first } else { whole.freeze() })
}

/// Unpacks twice: once to learn the size, holding nothing, and then into exactly that much memory. A bomb costs
/// the time to unpack up to the bound, and no memory at all.
async fn unpack(sent: &[u8], max: usize, held: &mut Held<'_>) -> Result<Bytes, Problem> {
    let mut size = 0;
    inflate(sent, |chunk| {
        size += chunk.len();
        size <= max
    })
    .await?;
    if size > max {
        return Err(over(max));
    }
    held.take(size)?;
    let mut whole = BytesMut::with_capacity(size);
    inflate(sent, |chunk| {
        whole.extend_from_slice(chunk);
        true
    })
    .await?;
    Ok(whole.freeze())
}

/// Feeds `take` the unpacked chunks until it has enough.
async fn inflate(sent: &[u8], mut take: impl FnMut(&[u8]) -> bool) -> Result<(), Problem> {
    let mut decoder = GzipDecoder::new(sent);
    decoder.multiple_members(true);
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let n = decoder
            .read(&mut chunk)
            .await
            .map_err(|e| Problem::bad_request("gzip", format!("the body is not valid gzip ({e})")))?;
        if n == 0 || !take(&chunk[..n]) {
            return Ok(());
        }
        // Unpacking never waits, so that it must make room for others by itself.
        tokio::task::consume_budget().await;
    }
}
