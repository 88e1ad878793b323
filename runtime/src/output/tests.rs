//! What is written where, and what is refused.

use super::*;
use std::fs;

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("trimtab-output-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn out(path: impl Into<PathBuf>) -> Named {
    Named::new("--out", path)
}

fn problem(reads: &[Named], writes: &[Named]) -> String {
    plan(reads, writes).unwrap_err().problem.to_string()
}

#[test]
fn a_result_is_whole_and_alone_in_its_folder() {
    let folder = Folder::new("whole");
    let path = folder.0.join("a");
    assert_eq!(plan(&[], &[out(&path)]).unwrap(), Stdout::Free);
    assert!(!path.exists());
    write(&path, b"one").unwrap();
    write(&path, b"2").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"2");
    // As long as a name can be.
    let long = folder.0.join("n".repeat(255));
    plan(&[], &[out(&long)]).unwrap();
    write(&long, b"x").unwrap();
    drop(Draft::create(&path).unwrap());
    assert_eq!(folder.names(), ["a".to_owned(), "n".repeat(255)]);
}

#[test]
fn what_cannot_be_written_is_said_before_the_work() {
    let folder = Folder::new("refused");
    assert_eq!(problem(&[], &[out(&folder.0)]), "is a folder, expected a file");
    assert_eq!(problem(&[], &[out(folder.0.join("new/"))]), "is a folder, expected a file");
    let nowhere = problem(&[], &[out(folder.0.join("no/a"))]);
    assert!(nowhere.contains("folder") && nowhere.contains("No such file"), "{nowhere}");
    let inside = folder.file("a", "").join("b");
    assert!(plan(&[], &[out(&inside)]).is_err() && plan(&[], &[out("")]).is_err());
    let locked = folder.file("locked", "x");
    let mut permissions = fs::metadata(&locked).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&locked, permissions).unwrap();
    assert_eq!(problem(&[], &[out(&locked)]), "is read-only");
    assert!(write(&locked, b"y").is_err() && write(&folder.0, b"y").is_err());
    assert_eq!(fs::read(&locked).unwrap(), b"x");
    assert_eq!(folder.names(), ["a", "locked"]);
}

#[test]
fn an_input_or_another_output_is_not_overwritten() {
    let folder = Folder::new("same");
    let data = folder.file("data", "x");
    let read = [Named::new("--data", &data)];
    let spelled = folder.0.join(".").join("data");
    let refused = plan(&read, &[out(spelled)]).unwrap_err();
    assert_eq!(refused.flag, "--out");
    let expected = format!("is --data {} too, and would be overwritten", data.display());
    assert!(refused.to_string().contains(&expected), "{refused}");
    // Two outputs that are not there yet.
    let new = folder.0.join("new");
    let again = Named::new("--plot", folder.0.join("./new"));
    assert!(problem(&[], &[out(&new), again]).contains("--out"));
    // One flag may name a file to be changed.
    assert_eq!(plan(&[out(&data)], &[out(&data)]).unwrap(), Stdout::Free);
    assert_eq!(plan(&read, &[out(&new)]).unwrap(), Stdout::Free);
    assert_eq!(fs::read(&data).unwrap(), b"x");
}

#[cfg(unix)]
mod unix {
    use super::*;
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};

    #[test]
    fn links_stay_links_and_permissions_stay() {
        let folder = Folder::new("links");
        let real = folder.file("real", "old");
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        let (link, chain) = (folder.0.join("link"), folder.0.join("chain"));
        symlink("real", &link).unwrap();
        symlink("link", &chain).unwrap();
        write(&chain, b"new").unwrap();
        assert_eq!(fs::read(&real).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        // A link to a file that is to be made.
        let ahead = folder.0.join("ahead");
        symlink("later", &ahead).unwrap();
        let twice = [out(&ahead), Named::new("--plot", folder.0.join("later"))];
        assert!(problem(&[], &twice).contains("--out"));
        write(&ahead, b"x").unwrap();
        assert_eq!(folder.names(), ["ahead", "chain", "later", "link", "real"]);
        // Links and hard links are the same file as what they lead to.
        let hard = folder.0.join("hard");
        fs::hard_link(&real, &hard).unwrap();
        for other in [&link, &hard] {
            let read = Named::new("--data", other);
            assert!(problem(&[read], &[out(&real)]).contains("--data"));
        }
        symlink("round", folder.0.join("round")).unwrap();
        assert!(plan(&[], &[out(folder.0.join("round"))]).is_err());
    }

    #[test]
    fn a_pipe_is_written_through() {
        let folder = Folder::new("pipe");
        let pipe = folder.0.join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        let link = folder.0.join("link");
        symlink("pipe", &link).unwrap();
        assert_eq!(plan(&[], &[out(&link), Named::new("--plot", &pipe)]).unwrap(), Stdout::Free);
        assert!(matches!(Draft::create(&link), Err(Problem::NoSeeking)) && !is_file(&pipe));
        let reader = {
            let pipe = pipe.clone();
            std::thread::spawn(move || fs::read(pipe).unwrap())
        };
        write(&link, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::metadata(&pipe).unwrap().file_type().is_fifo());
        assert_eq!(folder.names(), ["link", "pipe"]);
    }

    #[test]
    fn sockets_are_refused() {
        let folder = Folder::new("socket");
        let path = folder.0.join("s");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(problem(&[], &[out(&path)]), "is a socket, which is not written to");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_descriptor_is_written_through() {
        use std::os::fd::AsRawFd;
        let folder = Folder::new("descriptor");
        let file = File::create(folder.0.join("a")).unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        plan(&[], &[out(&path)]).unwrap();
        write(&path, b"x").unwrap();
        assert_eq!(fs::read(folder.0.join("a")).unwrap(), b"x");
        assert_eq!(file.metadata().unwrap().len(), 1);
        let read = Named::new("--data", folder.0.join("a"));
        assert!(problem(&[read], &[out(&path)]).contains("--data"));
    }
}
