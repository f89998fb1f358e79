//! The dashboard: a page whose built files are part of the binary.
//!
//! The sources stand in `dashboard/` beside this crate's manifest and are built by Node into
//! `dashboard/dist/`, which is committed. So a plain `cargo build` needs no Node, and the binary
//! needs no directory at run time, in debug builds as in release builds.
//!
//! The files hold no data and are served without a token: a browser cannot send one with a page's address. The
//! page asks for it when the admin API does, and sends it with each call.
//!
//! File names are fixed, without a hash of their content: an answer carries the entity tag of its
//! bytes and is to be revalidated on each load ([`CACHE_CONTROL`]), so a new binary is seen at the
//! next load and an old page never asks for a file that is gone.

use std::borrow::Cow;
use std::fmt::Write as _;

use rust_embed::RustEmbed;

/// The policy that every page of the dashboard is served with: its own files and its own server,
/// nothing inline, nothing from elsewhere, in no frame. A test of the page in a browser fails on
/// any violation.
pub const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// How an answer may be kept: always, but asked about each time with its entity tag.
pub const CACHE_CONTROL: &str = "no-cache";

#[derive(RustEmbed)]
#[folder = "dashboard/dist"]
struct Dist;

/// One file of the dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asset {
    /// The value of `Content-Type`.
    pub mime: &'static str,
    /// The content.
    pub bytes: Cow<'static, [u8]>,
    /// A strong entity tag with its quotes, as in `ETag` and `If-None-Match` (RFC 9110, 8.8.3).
    pub etag: String,
}

/// The file at `path` below the admin address; `""` and `"/"` mean the page itself. None when
/// there is no such file, or when its kind is none that the page is made of.
pub fn asset(path: &str) -> Option<Asset> {
    let name = match path.strip_prefix('/').unwrap_or(path) {
        "" => "index.html",
        name => name,
    };
    let mime = mime(name)?;
    let file = Dist::get(name)?;
    Some(Asset { mime, etag: etag(&file.metadata.sha256_hash()), bytes: file.data })
}

/// The paths of all files, for a router that names each.
pub fn paths() -> impl Iterator<Item = Cow<'static, str>> {
    Dist::iter()
}

fn mime(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "txt" => Some("text/plain; charset=utf-8"),
        "woff2" => Some("font/woff2"),
        _ => None,
    }
}

/// Sixteen bytes of the content's SHA-256 tell versions of a file apart.
fn etag(sha256: &[u8; 32]) -> String {
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in &sha256[..16] {
        // Writing to a String cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_stands_at_the_root() {
        let page = asset("/").expect("index.html is embedded");
        assert_eq!(page.mime, "text/html; charset=utf-8");
        assert_eq!(asset("").as_ref(), Some(&page));
        assert_eq!(asset("/index.html").as_ref(), Some(&page));
    }

    #[test]
    fn every_embedded_file_can_be_served_and_has_its_own_tag() {
        let mut tags: Vec<String> = paths()
            .map(|path| asset(&path).unwrap_or_else(|| panic!("no mime type for {path}")).etag)
            .collect();
        let files = tags.len();
        assert!(files >= 3, "page, script and style are expected, found {files} files");
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), files, "two files share an entity tag");
        assert!(
            tags.iter().all(|tag| tag.len() == 34 && tag.starts_with('"') && tag.ends_with('"')),
            "{tags:?}"
        );
    }

    #[test]
    fn the_page_names_only_files_that_are_embedded() {
        let page = asset("/").expect("index.html is embedded");
        let text = String::from_utf8(page.bytes.into_owned()).expect("the page is UTF-8");
        let mut named = 0;
        for path in text.split(['"', '\'']).filter_map(|part| part.strip_prefix("./")) {
            assert!(asset(path).is_some(), "the page names {path}, which is not embedded");
            named += 1;
        }
        assert!(named >= 2, "the page names its script and its style, found {named}");
        assert!(!text.contains("<style") && !text.contains(" style="), "inline style breaks the policy");
    }

    #[test]
    fn what_is_not_there_is_none() {
        for path in ["/nothing.js", "/../Cargo.toml", "/assets", "/assets/", "//index.html", "/package.json"]
        {
            assert_eq!(asset(path), None, "{path}");
        }
    }
}
