//! Bytes and numbers of files that others wrote.

use super::{Folder, adding, bytes, data, expected};
use crate::export::{self, BlockZero};
use crate::file::VectorFile;
use crate::file::card::{Param, Status};
use crate::import::{self, ImportOptions, Origin};
use trimtab_runtime::site::Site;

fn native() -> VectorFile {
    VectorFile::open(&data("native.safetensors")).unwrap()
}

#[test]
fn a_native_file_of_other_writers_is_read_field_by_field() {
    let file = native();
    let card = file.card();
    assert_eq!((card.name.as_str(), card.status), ("calm", Status::Measured));
    assert_eq!(card.scale.safe, Some([-1.0, 2.0]));
    assert_eq!(card.method.params["alpha"], Param::Number(0.125));
    assert_eq!(card.method.params["blocks"], Param::Integer(3));
    assert_eq!(card.method.params["rule"], Param::Text("heldout_auroc".to_owned()));
    assert_eq!(card.evaluation.as_ref().unwrap().response[1].concept, 0.25);
    assert_eq!(card.model.as_ref().unwrap().n_layers, 12);
    let entry = &card.sites[&Site::ResidPost(2)];
    assert_eq!((entry.magnitude, entry.auc), (Some(9.25), Some(0.9375)));
    let sites: Vec<Site> = file.directions().iter().map(|d| d.site()).collect();
    assert_eq!(sites, [1, 2, 10].map(Site::ResidPost));
    assert_eq!(file.directions()[0].values(), [0.6, 0.0, 0.0, 0.8, 0.0, 0.0, 0.0, 0.0]);
    assert_eq!(file.content_sha256(), expected()["content_sha256"]);
}

#[test]
fn a_native_file_is_written_byte_for_byte_as_by_other_writers() {
    assert_eq!(native().to_bytes().unwrap(), bytes("native.safetensors"));
}

#[test]
fn an_export_is_byte_for_byte_what_the_writer_of_gguf_makes() {
    let exported = export::gguf(&native(), BlockZero::Refuse).unwrap();
    assert_eq!(exported.bytes, bytes("native.gguf"));
    assert_eq!(exported.sites, [1, 2, 10].map(Site::ResidPost));
    assert_eq!((exported.scale, exported.dropped.len()), (0.5, 0));
}

#[test]
fn an_export_comes_back_with_its_card() {
    let imported = import::read(&data("native.gguf"), &ImportOptions::default()).unwrap();
    assert_eq!(imported.origin, Origin::Trimtab);
    assert_eq!(imported.file.card(), native().card());
    for (a, b) in imported.file.directions().iter().zip(native().directions()) {
        let far = a.values().iter().zip(b.values()).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(a.site() == b.site() && far < 1e-6, "{}: {far}", a.site());
    }
}

#[test]
fn writing_twice_gives_the_same_bytes_and_leaves_nothing_beside() {
    let folder = Folder::new();
    let path = folder.0.join("calm.safetensors");
    native().save(&path).unwrap();
    let once = std::fs::read(&path).unwrap();
    native().save(&path).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), once);
    assert_eq!(folder.names(), ["calm.safetensors"]);
    assert_eq!(VectorFile::open(&path).unwrap(), native());
}

#[test]
fn a_failed_write_leaves_the_old_file_and_nothing_beside() {
    let folder = Folder::new();
    let path = folder.0.join("calm.safetensors");
    // A folder cannot be replaced by a file, so the last step fails.
    std::fs::create_dir_all(path.join("inside")).unwrap();
    assert_eq!(native().save(&path).unwrap_err().code(), "io");
    assert_eq!(folder.names(), ["calm.safetensors"]);
    assert!(path.join("inside").is_dir());
    let nowhere = folder.0.join("none").join("a.safetensors");
    assert_eq!(native().save(&nowhere).unwrap_err().code(), "io");
}

#[test]
fn block_zero_is_refused_dropped_or_kept() {
    let file = adding(&[Site::ResidPost(0), Site::ResidPost(3)], 8).unwrap();
    let refused = export::gguf(&file, BlockZero::Refuse).unwrap_err();
    assert_eq!(refused.code(), "operation_refused");
    let dropped = export::gguf(&file, BlockZero::Drop).unwrap();
    assert_eq!(dropped.dropped, [Site::ResidPost(0)]);
    assert_eq!(dropped.sites, [Site::ResidPost(3)]);
    let kept = export::gguf(&file, BlockZero::Keep).unwrap();
    assert_eq!(kept.sites, [0, 3].map(Site::ResidPost));

    let folder = Folder::new();
    let path = folder.0.join("dropped.gguf");
    dropped.save(&path).unwrap();
    let back = import::read(&path, &ImportOptions::default()).unwrap();
    assert_eq!(back.file.directions().len(), 1);
    assert_eq!(back.warnings, ["resid_post.0 was left out when the file was exported"]);

    let only = adding(&[Site::ResidPost(0)], 8).unwrap();
    assert!(export::gguf(&only, BlockZero::Drop).is_err());
    let elsewhere = adding(&[Site::MlpOut(2)], 8).unwrap();
    assert!(export::gguf(&elsewhere, BlockZero::Keep).is_err());
}
