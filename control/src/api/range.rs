//! Files over HTTP with byte ranges (RFC 9110 §14), as streaming installations need them.

use std::io::SeekFrom;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::extract::text;
use super::problem::ApiError;
use crate::app::{BundleFile, Error, Kind, Part, Refusal};

const CHUNK_BYTES: usize = 256 * 1024;

/// What part of a file a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Wanted {
    Whole,
    /// First byte and length.
    Part(u64, u64),
    NotThere,
}

/// One range of `size` bytes. Several ranges, other units and nonsense are answered with the whole
/// file, as the RFC allows.
pub fn wanted(range: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = range
        .and_then(|r| r.strip_prefix("bytes="))
        .and_then(|r| r.trim().split_once('-'))
    else {
        return Wanted::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| {
        let digits = text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u64>().ok()).flatten()
    };
    match (first, number(first), last, number(last)) {
        ("", _, _, Some(0)) => Wanted::NotThere,
        ("", _, _, Some(suffix)) if size > 0 => {
            let length = suffix.min(size);
            Wanted::Part(size - length, length)
        }
        (_, Some(first), "", _) if first < size => Wanted::Part(first, size - first),
        (_, Some(first), _, Some(last)) if first <= last && first < size => {
            Wanted::Part(first, last.min(size - 1) - first + 1)
        }
        (_, Some(first), _, Some(last)) if first > last => Wanted::Whole,
        ("", _, _, Some(_)) | (_, Some(_), "", _) | (_, Some(_), _, Some(_)) => Wanted::NotThere,
        _ => Wanted::Whole,
    }
}

/// What part of a file a body brings: `Content-Range: bytes FIRST-LAST/TOTAL`, or nothing for all.
///
/// # Errors
/// When it names no part of a file.
pub fn sent(content_range: Option<&str>) -> Result<Part, Error> {
    let Some(text) = content_range else {
        return Ok(Part::WHOLE);
    };
    let parsed = text.strip_prefix("bytes ").and_then(|rest| {
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let number = |text: &str| {
            let digits = text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse::<u64>().ok()).flatten()
        };
        let (first, last, total) = (number(first)?, number(last)?, number(total)?);
        (first <= last && last < total).then_some(Part {
            first,
            total: Some(total),
        })
    });
    parsed.ok_or_else(|| {
        Refusal::new(
            Kind::BadRequest,
            "BAD_CONTENT_RANGE",
            format!("Content-Range `{text}` names no part of a file"),
            "send `Content-Range: bytes FIRST-LAST/TOTAL`, or leave it out to send the whole",
        )
        .into()
    })
}

/// The file, or the part of it that is asked for. Answers HEAD too: the router leaves the body out.
pub(crate) async fn serve(
    mut bundle: BundleFile,
    content_type: &'static str,
    request: &HeaderMap,
) -> Result<Response, ApiError> {
    let size = bundle.size_bytes;
    let etag = format!("\"{}\"", bundle.sha256);
    let matches = |value: &str| {
        value
            .split(',')
            .any(|t| t.trim() == etag || t.trim() == "*")
    };
    if text(request, "if-none-match").is_some_and(matches) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    // If-Range takes one strong tag; anything else means that the client's part is of another file.
    let same = text(request, "if-range").is_none_or(|tag| tag.trim() == etag);
    let range = text(request, "range").filter(|_| same);
    let (status, first, length) = match wanted(range, size) {
        Wanted::Whole => (StatusCode::OK, 0, size),
        Wanted::Part(first, length) => (StatusCode::PARTIAL_CONTENT, first, length),
        Wanted::NotThere => return Ok(not_there(size)),
    };
    bundle
        .file
        .seek(SeekFrom::Start(first))
        .await
        .map_err(|e| unreadable(&e))?;
    bundle.file.set_max_buf_size(CHUNK_BYTES);
    let mut response = (status, body(bundle.file, length)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::ETAG, value(&etag));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, immutable, max-age=31536000"),
    );
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{size}", first + length - 1);
        headers.insert(header::CONTENT_RANGE, value(&range));
    }
    Ok(response)
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and punctuation make a header")
}

fn not_there(size: u64) -> Response {
    let refusal = Refusal::new(
        Kind::BadRequest,
        "RANGE_NOT_SATISFIABLE",
        format!("the file has {size} bytes, and none of the range"),
        "ask for a range within the file",
    );
    let error = ApiError::with_status(refusal, StatusCode::RANGE_NOT_SATISFIABLE);
    let mut response = error.into_response();
    let range = value(&format!("bytes */{size}"));
    response.headers_mut().insert(header::CONTENT_RANGE, range);
    response
}

fn unreadable(error: &std::io::Error) -> ApiError {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "a stored file can't be read"
    );
    let hint = "try again; if it stays, check the control plane's disk";
    let refusal = Refusal::new(Kind::BadRequest, "INTERNAL", "the file can't be read", hint);
    ApiError::with_status(refusal, StatusCode::INTERNAL_SERVER_ERROR)
}

/// Reads ahead one chunk at a time, into buffers that are handed on without copying.
fn body(file: tokio::fs::File, length: u64) -> Body {
    Body::from_stream(stream::try_unfold(
        (file, length),
        |(mut file, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
            let mut chunk = BytesMut::with_capacity(size);
            while chunk.len() < size {
                let rest = (size - chunk.len()) as u64;
                if (&mut file).take(rest).read_buf(&mut chunk).await? == 0 {
                    return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
                }
            }
            let left = left - chunk.len() as u64;
            Ok(Some((chunk.freeze(), (file, left))))
        },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_is_sent_names_its_place_in_the_whole() {
        let part = |first, total| Part {
            first,
            total: Some(total),
        };
        assert_eq!(sent(None).unwrap(), Part::WHOLE);
        assert_eq!(sent(Some("bytes 0-9/10")).unwrap(), part(0, 10));
        assert_eq!(sent(Some("bytes 5-9/10")).unwrap(), part(5, 10));
        for bad in [
            "bytes 5-10/10",
            "bytes 9-5/10",
            "bytes 5-9/*",
            "bytes */10",
            "bytes +5-9/10",
            "5-9/10",
            "bytes 0-99999999999999999999/1",
        ] {
            assert!(sent(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_is_read_as_the_rfc_says() {
        let check = |range: &str, expected: Wanted| {
            assert_eq!(wanted(Some(range), 100), expected, "{range}");
        };
        check("bytes=0-9", Wanted::Part(0, 10));
        check("bytes=90-", Wanted::Part(90, 10));
        check("bytes=-10", Wanted::Part(90, 10));
        check("bytes=-1000", Wanted::Part(0, 100));
        check("bytes=95-1000", Wanted::Part(95, 5));
        check("bytes=100-", Wanted::NotThere);
        check("bytes=100-200", Wanted::NotThere);
        check("bytes=-0", Wanted::NotThere);
        check("bytes=9-0", Wanted::Whole);
        check("bytes=0-1,5-6", Wanted::Whole);
        check("bytes=+1-2", Wanted::Whole);
        check("lines=0-1", Wanted::Whole);
        check("bytes=-", Wanted::Whole);
        assert_eq!(wanted(None, 100), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=-5"), 0), Wanted::NotThere);
    }
}
