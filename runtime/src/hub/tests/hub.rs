//! Repositories: fetched once, then found without a request.

use std::fs;

use super::kit::{Folder, Log, MILLION_A, entry, million_a};
use super::server::{COMMIT, Server, Site};
use crate::hub::{
    CATALOGUE, DEFAULT, Dirs, Error, ErrorKind, Local, ModelRef, Provenance, Reach, Resolver,
    Source, State,
};

const SAFETENSORS: &[(&str, &[u8])] = &[
    ("README.md", b"# a model"),
    ("config.json", b"{}"),
    ("model.safetensors", &[7; 300]),
    ("onnx/model.onnx", &[8; 300]),
    ("tokenizer.json", b"{ }"),
    ("tokenizer_config.json", b"{  }"),
];

/// An address where nothing listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn ask(folder: &Folder, endpoint: &str, text: &str) -> Result<Local, Error> {
    folder.resolver().with_endpoint(endpoint).resolve(&ModelRef::parse(text)?)
}

fn offline(folder: &Folder, text: &str) -> Result<Local, Error> {
    let dirs = Dirs { reach: Reach::Offline, ..folder.dirs() };
    Resolver::with_dirs(dirs).resolve(&ModelRef::parse(text)?)
}

fn file_name(local: &Local) -> String {
    local.path.file_name().unwrap().to_string_lossy().into_owned()
}

fn gets(server: &Server) -> usize {
    server.requests().iter().filter(|r| r.starts_with("GET /o/r/resolve")).count()
}

#[test]
fn a_safetensors_repository_becomes_a_folder() {
    let folder = Folder::new();
    let server = Site::new(SAFETENSORS).serve();
    let log = Log::default();
    let resolver = folder.resolver().with_endpoint(server.address()).with_progress(&log);
    let local = resolver.resolve(&ModelRef::parse("hf:o/r").unwrap()).unwrap();
    assert_eq!(local.name, "r");
    assert_eq!(local.revision.as_deref(), Some(COMMIT));
    assert_eq!(local.source, Provenance::Hub);
    for name in ["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"] {
        let expected = SAFETENSORS.iter().find(|(n, _)| *n == name).unwrap().1;
        assert_eq!(fs::read(local.path.join(name)).unwrap(), expected, "{name}");
    }
    assert!(!local.path.join("README.md").exists() && !local.path.join("onnx").exists());
    assert_eq!(log.bytes_of("fetching model.safetensors"), [300]);

    let before = server.requests().len();
    assert_eq!(resolver.resolve(&ModelRef::parse("hf:o/r").unwrap()).unwrap(), local);
    assert_eq!(server.requests().len(), before, "a cached model needs no request");
    drop(server);
    assert_eq!(offline(&folder, "hf:o/r").unwrap(), local);
    assert_eq!(offline(&folder, &format!("hf:o/r@{COMMIT}")).unwrap(), local);
}

#[test]
fn offline_without_a_cache_is_missing_and_says_what() {
    let folder = Folder::new();
    let error = offline(&folder, "hf:o/r@v2:Q8_0").unwrap_err();
    assert!(matches!(&error, Error::NotCached { what } if what == "hf:o/r@v2:Q8_0"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert!(error.hint().unwrap().contains("--offline"));
}

#[test]
fn an_interrupted_fetch_is_not_taken_for_a_model() {
    let folder = Folder::new();
    let index = br#"{"weight_map": {"a": "model-00001-of-00002.safetensors",
        "b": "model-00002-of-00002.safetensors"}}"#;
    let snapshot = format!("hub/models--o--r/snapshots/{COMMIT}");
    folder.write("hub/models--o--r/refs/main", COMMIT.as_bytes());
    folder.write(&format!("{snapshot}/config.json"), b"{}");
    folder.write(&format!("{snapshot}/model.safetensors.index.json"), index);
    folder.write(&format!("{snapshot}/model-00001-of-00002.safetensors"), b"1");
    assert!(matches!(offline(&folder, "hf:o/r").unwrap_err(), Error::NotCached { .. }));
    folder.write(&format!("{snapshot}/model-00002-of-00002.safetensors"), b"2");
    assert_eq!(offline(&folder, "hf:o/r").unwrap().path, folder.path().join(snapshot));
}

#[test]
fn a_gguf_is_picked_by_name_and_by_quant() {
    let folder = Folder::new();
    let files: &[(&str, &[u8])] = &[
        ("m-Q4_K_M.gguf", b"four"),
        ("m-Q8_0-00001-of-00002.gguf", b"eight"),
        ("m-Q8_0-00002-of-00002.gguf", b"more"),
        ("sub/m-F16.gguf", b"sixteen"),
    ];
    let server = Site::new(files).serve();
    let at = server.address();
    assert_eq!(file_name(&ask(&folder, &at, "hf:o/r").unwrap()), "m-Q4_K_M.gguf");
    assert_eq!(gets(&server), 1);
    let split = ask(&folder, &at, "hf:o/r:q8_0").unwrap();
    assert_eq!(file_name(&split), "m-Q8_0-00001-of-00002.gguf");
    assert_eq!(fs::read(split.path.with_file_name("m-Q8_0-00002-of-00002.gguf")).unwrap(), b"more");
    let named = ask(&folder, &at, "hf:o/r:sub/m-F16.gguf").unwrap();
    assert_eq!(fs::read(&named.path).unwrap(), b"sixteen");
    let error = ask(&folder, &at, "hf:o/r:Q2_K").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("m-Q4_K_M.gguf"), "{error}");
    drop(server);
    assert_eq!(ask(&folder, &nowhere(), "hf:o/r:Q8_0").unwrap(), split);
}

#[test]
fn an_error_page_does_not_become_a_model() {
    let folder = Folder::new();
    let mut site = Site::new(&[("m-Q4_K_M.gguf", b"four")]);
    site.broken = Some(404);
    let server = site.clone().serve();
    let error = ask(&folder, &server.address(), "hf:o/r").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    assert!(error.to_string().contains("status 404"), "{error}");
    drop(server);
    site.broken = Some(200);
    let server = site.clone().serve();
    let error = ask(&folder, &server.address(), "hf:o/r").unwrap_err();
    assert!(matches!(error, Error::WrongSize { expected: 4, found: 20, .. }), "{error}");
    drop(server);
    site.broken = None;
    let server = site.serve();
    let local = ask(&folder, &server.address(), "hf:o/r").unwrap();
    assert_eq!(fs::read(local.path).unwrap(), b"four");
}

#[test]
fn a_transfer_goes_on_where_it_broke_off_and_lies_where_other_programs_look() {
    let folder = Folder::new();
    let server = Site::new(&[("sub/m-Q8_0.gguf", b"eight bytes")]).serve();
    let part = folder.write("hub/models--o--r/blobs/sub-m-Q8_0.gguf.incomplete", b"EIGHT");
    let local = ask(&folder, &server.address(), "hf:o/r").unwrap();
    // The first bytes were taken as they lay there, so only the others were asked for.
    assert_eq!(fs::read(&local.path).unwrap(), b"EIGHT bytes");
    assert!(!part.exists());
    let blob = folder.path().join("hub/models--o--r/blobs/sub-m-Q8_0.gguf");
    assert_eq!(fs::canonicalize(&local.path).unwrap(), fs::canonicalize(blob).unwrap());
    #[cfg(unix)]
    assert!(fs::read_link(&local.path).unwrap().is_relative());
}

#[test]
fn a_wheel_is_not_fetched_unless_the_resolver_is_given_an_installer() {
    let folder = Folder::new();
    let resolver = folder.resolver().with_endpoint(nowhere());
    let Error::NoSource { tried, .. } =
        resolver.resolve(&ModelRef::parse(DEFAULT).unwrap()).unwrap_err()
    else {
        panic!("another error");
    };
    assert!(tried.iter().any(|attempt| matches!(attempt.reason, Error::WheelsOff)), "{tried:?}");
}

#[test]
fn a_hub_out_of_reach_is_missing_and_a_hub_that_says_no_refuses() {
    let folder = Folder::new();
    let error = ask(&folder, &nowhere(), "hf:o/r").unwrap_err();
    assert!(matches!(&error, Error::Hub { repo, .. } if repo == "o/r"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Missing);
    let server = Site::new(&[]).serve();
    let error = ask(&folder, &server.address(), "hf:o/other").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
}

#[test]
fn the_best_of_the_cache_serves_while_the_hub_is_away() {
    let folder = Folder::new();
    folder.write("hub/models--o--r/refs/main", COMMIT.as_bytes());
    folder.write(&format!("hub/models--o--r/snapshots/{COMMIT}/m-Q2_K.gguf"), b"two");
    let local = ask(&folder, &nowhere(), "hf:o/r").unwrap();
    assert_eq!(file_name(&local), "m-Q2_K.gguf");
    let server = Site::new(&[("m-Q4_K_M.gguf", b"four"), ("m-Q2_K.gguf", b"two")]).serve();
    let local = ask(&folder, &server.address(), "hf:o/r").unwrap();
    assert_eq!(file_name(&local), "m-Q4_K_M.gguf");
}

#[test]
fn a_hub_cannot_write_outside_its_folder() {
    let folder = Folder::new();
    let server = Site::new(&[("../../../x.gguf", b"x")]).serve();
    let error = ask(&folder, &server.address(), "hf:o/r").unwrap_err();
    assert!(matches!(error, Error::UnsafePath { .. }), "{error}");
    assert_eq!(gets(&server), 0);
    let mut site = Site::new(&[("m.gguf", b"x")]);
    site.sha = "../../../../evil".to_owned();
    let server = site.serve();
    let error = ask(&folder, &server.address(), "hf:o/r").unwrap_err();
    assert!(matches!(error, Error::NoCommit { .. }), "{error}");
}

fn on_hub(repo: &'static str) -> Source {
    Source::Hub { repo, file: "letters.gguf", revision: COMMIT }
}

#[test]
fn a_pinned_file_comes_from_the_hub_and_is_refused_by_its_listing() {
    let folder = Folder::new();
    let letters = ModelRef::Catalogue(entry(vec![on_hub("o/r")]));
    let mut site = Site::new(&[("letters.gguf", &million_a())]);
    site.listed_sha256 = Some("0".repeat(64));
    let server = site.clone().serve();
    let resolve = |at: String| folder.resolver().with_endpoint(at).resolve(&letters);
    let error = resolve(server.address()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    assert!(error.to_string().contains(&format!("hub o/r@{COMMIT}:letters.gguf")), "{error}");
    assert_eq!(gets(&server), 0, "a file known to be wrong is not downloaded");

    site.listed_sha256 = Some(MILLION_A.to_owned());
    let server = site.clone().serve();
    assert_eq!(resolve(server.address()).unwrap().source, Provenance::Hub);
    assert_eq!(resolve(nowhere()).unwrap().source, Provenance::HubCache);
}

#[test]
fn a_lying_hub_is_caught_by_the_hash() {
    let folder = Folder::new();
    let letters = ModelRef::Catalogue(entry(vec![on_hub("o/r")]));
    let mut wrong = million_a();
    wrong[999_999] = b'b';
    let mut site = Site::new(&[("letters.gguf", &wrong)]);
    site.listed_sha256 = Some(MILLION_A.to_owned());
    let server = site.serve();
    let resolver = folder.resolver().with_endpoint(server.address());
    let Error::NoSource { tried, .. } = resolver.resolve(&letters).unwrap_err() else {
        panic!("another error");
    };
    assert!(matches!(tried.last().unwrap().reason, Error::WrongHash { .. }));
}

#[test]
fn what_other_programs_cached_is_found_at_any_commit() {
    let folder = Folder::new();
    let letters = ModelRef::Catalogue(entry(vec![on_hub("o/r")]));
    let mut wrong = million_a();
    wrong[0] = b'b';
    folder.write("hub/models--o--r/snapshots/a1/letters.gguf", &wrong);
    let good = folder.write("hub/models--o--r/snapshots/b2/letters.gguf", &million_a());
    let log = Log::default();
    let dirs = Dirs { reach: Reach::Offline, ..folder.dirs() };
    let resolver = Resolver::with_dirs(dirs).with_progress(&log);
    let local = resolver.resolve(&letters).unwrap();
    assert_eq!((local.path, local.source), (good, Provenance::HubCache));
    assert_eq!(local.revision.as_deref(), Some("b2"));
}

#[test]
fn the_list_tells_what_is_here() {
    let folder = Folder::new();
    let state = || folder.resolver().cached().swap_remove(0).state;
    assert_eq!(state(), State::Absent);
    let entry = &CATALOGUE[0];
    assert_eq!(entry.name, DEFAULT);
    let place = format!("models/{}/{}", entry.sha256, entry.file_name);
    let path = folder.write(&place, b"short");
    assert_eq!(state(), State::Damaged(path.clone()));
    fs::File::create(&path).unwrap().set_len(entry.bytes).unwrap();
    assert_eq!(state(), State::Ready(path));
}

#[test]
fn paths_are_taken_as_given() {
    let folder = Folder::new();
    let file = folder.write("some/tiny.gguf", b"x");
    let local = offline(&folder, file.to_str().unwrap()).unwrap();
    assert_eq!((local.path.clone(), local.name.as_str()), (file.clone(), "tiny"));
    assert_eq!(local.source, Provenance::Path);
    let of_folder = || offline(&folder, folder.path().join("some").to_str().unwrap()).unwrap();
    assert_eq!((of_folder().path, of_folder().name.as_str()), (file.clone(), "tiny"));
    folder.write("some/model.safetensors", b"x");
    assert_eq!(of_folder().name, "some");
    fs::remove_file(&file).unwrap();
    let gone = folder.resolver().resolve(&ModelRef::Gguf(file)).unwrap_err();
    assert!(matches!(gone, Error::PathMissing { .. }));
}
