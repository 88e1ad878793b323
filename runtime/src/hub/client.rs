//! The requests that a hub answers: which commit, which files, a file's name in the cache, its bytes.
//!
//! Plain HTTP with the token and the address of the Hugging Face variables. What does not come at once is asked for again,
//! and a transfer goes on where it broke off.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body};

use super::dirs::Account;
use super::error::{Error, RequestError};
use super::locator::is_relative;
use super::progress::Stage;

/// Retries after a failed connection, the first after this pause and each later one after twice the last.
const RETRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(300);
const CONNECT: Duration = Duration::from_secs(20);
const ANSWER: Duration = Duration::from_secs(60);
/// The most bytes of a listing's page.
const PAGE_BYTES: u64 = 64 << 20;
/// The most pages of a listing: a thousand files each.
const PAGES: usize = 1000;
/// Redirects on the hub itself, as for a repository that was renamed.
const HOPS: usize = 5;
const CHUNK_BYTES: usize = 1 << 18;

/// One repository on a hub.
pub(super) struct Client<'a> {
    agent: Agent,
    account: &'a Account,
    repo: &'a str,
}

/// A file as the hub lists it.
pub(super) struct Listed {
    pub name: String,
    pub bytes: u64,
    pub sha256: Option<String>,
}

#[derive(Deserialize)]
struct Revision {
    sha: Option<String>,
}

#[derive(Deserialize)]
struct TreeEntry {
    #[serde(rename = "type")]
    kind: String,
    path: String,
    #[serde(default)]
    size: u64,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    #[serde(alias = "oid")]
    sha256: Option<String>,
}

impl<'a> Client<'a> {
    pub(super) fn new(account: &'a Account, repo: &'a str) -> Self {
        // The system's certificates, so that a company's own are known.
        let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Files lie on other hosts, and the token is for the hub alone.
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .tls_config(tls)
            .user_agent(concat!("trimtab/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into(), account, repo }
    }

    /// The commit that a branch or tag stands for, as the hub writes it.
    pub(super) fn commit(&self, revision: &str) -> Result<Option<String>, Error> {
        let revision = encoded(revision).replace('/', "%2F");
        let url = self.url(&format!("/api/models/{}/revision/{revision}", self.repo));
        let (found, _): (Revision, _) = self.json(&url)?;
        Ok(found.sha)
    }

    /// Every file of a commit.
    pub(super) fn list(&self, commit: &str) -> Result<Vec<Listed>, Error> {
        let mut next =
            Some(self.url(&format!("/api/models/{}/tree/{commit}?recursive=true", self.repo)));
        let mut listed = Vec::new();
        for _ in 0..PAGES {
            let Some(url) = next.take() else { break };
            let (page, after): (Vec<TreeEntry>, _) = self.json(&url)?;
            let files = page.into_iter().filter(|entry| entry.kind == "file");
            listed.extend(files.map(|entry| Listed {
                name: entry.path,
                bytes: entry.size,
                sha256: entry.lfs.and_then(|lfs| lfs.sha256),
            }));
            // A page's address is followed on this hub only: it is asked with the token.
            next = after.filter(|url| url.starts_with(&format!("{}/", self.account.endpoint)));
        }
        Ok(listed)
    }

    /// The name that the ordinary cache gives to a file's bytes: the hub's tag of it.
    pub(super) fn blob_name(&self, commit: &str, file: &str) -> Result<String, Error> {
        let mut url = self.file_url(commit, file);
        for _ in 0..HOPS {
            let head = self.patiently(&url, || {
                let request = self.agent.head(&url).config().max_redirects(0);
                self.authorised(request.max_redirects_will_error(false).build()).call()
            })?;
            let tag = ["x-linked-etag", "etag"].iter().find_map(|name| header(&head, name));
            // Another host's tag is not the hub's; only the hub's own redirects are followed.
            match header(&head, "location").filter(|to| to.starts_with('/')) {
                Some(to) if head.status().is_redirection() && tag.is_none() => url = self.url(to),
                _ => return self.safe_tag(&url, tag),
            }
        }
        self.safe_tag(&url, None)
    }

    fn safe_tag(&self, url: &str, tag: Option<&str>) -> Result<String, Error> {
        let tag = tag.map(|tag| tag.trim_start_matches("W/").trim_matches('"'));
        // The tag becomes a file's name.
        match tag.filter(|tag| is_relative(tag) && !tag.contains('/')) {
            Some(tag) => Ok(tag.to_owned()),
            None => {
                let problem = "without a usable tag of the file".to_owned();
                Err(self.failed(RequestError::Malformed { url: url.to_owned(), problem }))
            }
        }
    }

    /// Brings a file to its full length, going on behind the bytes that are there.
    pub(super) fn transfer(
        &self,
        commit: &str,
        file: &Listed,
        to: &Path,
        stage: &mut Stage<'_>,
    ) -> Result<(), Error> {
        let mut retries = 0;
        loop {
            match self.transfer_once(commit, file, to, stage) {
                Err(error) if error.is_outage() && retries < RETRIES => {
                    pause(retries);
                    retries += 1;
                }
                result => return result,
            }
        }
    }

    fn transfer_once(
        &self,
        commit: &str,
        file: &Listed,
        to: &Path,
        stage: &mut Stage<'_>,
    ) -> Result<(), Error> {
        let url = self.file_url(commit, &file.name);
        let there = fs::metadata(to).map_or(0, |meta| meta.len());
        let there = if there < file.bytes { there } else { 0 };
        let mut request = self.authorised(self.agent.get(&url));
        if there > 0 {
            request = request.header("range", format!("bytes={there}-"));
        }
        let response = request.call().map_err(|error| self.unreachable(&url, error))?;
        let response = self.accepted(&url, response)?;
        let resumed = there > 0 && response.status() == 206;
        let offset = if resumed { there } else { 0 };
        if let Some(length) = response.body().content_length() {
            check_length(file, offset + length)?;
        }
        let opened = match resumed {
            true => OpenOptions::new().append(true).open(to),
            false => File::create(to),
        };
        let mut out = opened.map_err(Error::io("opening", to))?;
        // One byte more than announced is enough to see that it is another file.
        let mut body = response.into_body().into_reader().take(file.bytes - offset + 1);
        let total = self.copy((&url, &mut body), (to, &mut out), offset, stage)?;
        out.sync_all().map_err(Error::io("writing", to))?;
        check_length(file, total)
    }

    fn copy(
        &self,
        (url, body): (&str, &mut dyn Read),
        (to, out): (&Path, &mut File),
        offset: u64,
        stage: &mut Stage<'_>,
    ) -> Result<u64, Error> {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut total = offset;
        loop {
            stage.reach(total);
            let count = match body.read(&mut buffer) {
                Ok(0) => return Ok(total),
                Ok(count) => count,
                Err(error) => return Err(self.unreachable(url, ureq::Error::Io(error))),
            };
            let chunk = buffer.get(..count).unwrap_or_default();
            out.write_all(chunk).map_err(Error::io("writing", to))?;
            total += count as u64;
        }
    }

    /// A JSON document, and the address of the next page where there is one.
    fn json<T: DeserializeOwned>(&self, url: &str) -> Result<(T, Option<String>), Error> {
        let response = self.patiently(url, || self.authorised(self.agent.get(url)).call())?;
        let next = header(&response, "link").and_then(next_page);
        let text = response.into_body().into_with_config().limit(PAGE_BYTES).read_to_string();
        let text = text.map_err(|error| self.unreachable(url, error))?;
        let parsed = serde_json::from_str(&text).map_err(|error| {
            let problem = format!("with JSON that cannot be read: {error}");
            self.failed(RequestError::Malformed { url: url.to_owned(), problem })
        })?;
        Ok((parsed, next))
    }

    /// The first answer that is none of an outage.
    fn patiently(
        &self,
        url: &str,
        send: impl Fn() -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Error> {
        let mut retries = 0;
        loop {
            let sent = send().map_err(|error| self.unreachable(url, error));
            match sent.and_then(|response| self.accepted(url, response)) {
                Err(error) if error.is_outage() && retries < RETRIES => {
                    pause(retries);
                    retries += 1;
                }
                result => return result,
            }
        }
    }

    fn accepted(&self, url: &str, response: Response<Body>) -> Result<Response<Body>, Error> {
        let status = response.status();
        if status.is_success() || status.is_redirection() {
            return Ok(response);
        }
        let message = header(&response, "x-error-message").map(str::to_owned);
        let url = url.to_owned();
        Err(self.failed(RequestError::Status { url, status: status.as_u16(), message }))
    }

    fn authorised<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.account.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.account.endpoint)
    }

    fn file_url(&self, commit: &str, file: &str) -> String {
        self.url(&format!("/{}/resolve/{commit}/{}", self.repo, encoded(file)))
    }

    fn unreachable(&self, url: &str, source: ureq::Error) -> Error {
        self.failed(RequestError::Transport { url: url.to_owned(), source: Box::new(source) })
    }

    fn failed(&self, source: RequestError) -> Error {
        Error::Hub { repo: self.repo.to_owned(), source: Box::new(source) }
    }
}

fn pause(retries: u32) {
    std::thread::sleep(PAUSE * 2u32.saturating_pow(retries));
}

fn check_length(file: &Listed, found: u64) -> Result<(), Error> {
    match found == file.bytes {
        true => Ok(()),
        false => Err(Error::WrongSize { what: file.name.clone(), expected: file.bytes, found }),
    }
}

fn header<'r>(response: &'r Response<Body>, name: &str) -> Option<&'r str> {
    response.headers().get(name).and_then(|value| value.to_str().ok())
}

/// The address behind `rel="next"` of a `Link` header.
fn next_page(link: &str) -> Option<String> {
    let next = link.split(',').find(|part| part.contains("rel=\"next\""))?;
    let (_, rest) = next.split_once('<')?;
    rest.split_once('>').map(|(url, _)| url.to_owned())
}

/// A path as part of an address: all but unreserved characters (RFC 3986, 2.3) and slashes in percent form.
fn encoded(path: &str) -> String {
    let byte = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            char::from(b).to_string()
        }
        _ => format!("%{b:02X}"),
    };
    path.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_escaped_and_pages_followed() {
        assert_eq!(encoded("q/a b#ü.gguf"), "q/a%20b%23%C3%BC.gguf");
        let link = r#"<https://h/x?cursor=1>; rel="prev", <https://h/x?cursor=2>; rel="next""#;
        assert_eq!(next_page(link).as_deref(), Some("https://h/x?cursor=2"));
        assert_eq!(next_page(r#"<https://h/x>; rel="prev""#), None);
    }
}
