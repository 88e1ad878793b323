//! Files that say nothing about themselves, and projections on their way out.

use super::{Folder, adding, bytes, data, expected};
use crate::export::{self, BlockZero};
use crate::file::VectorFile;
use crate::file::card::{Operation, Param};
use crate::import::{self, Effect, ImportOptions, Imported, Origin};
use crate::{Direction, Error};
use trimtab_runtime::site::Site;

fn read(name: &str, options: ImportOptions) -> Result<Imported, Error> {
    import::read(&data(name), &options)
}

fn adds() -> ImportOptions {
    ImportOptions { effect: Some(Effect::Add), ..ImportOptions::default() }
}

fn rows(shape: [usize; 2], site: &str) -> ImportOptions {
    ImportOptions {
        effect: Some(Effect::Project),
        site: Some(site.to_owned()),
        shape: Some(shape),
        ..ImportOptions::default()
    }
}

fn sites(imported: &Imported) -> Vec<Site> {
    imported.mapping.iter().map(|mapped| mapped.site).collect()
}

#[test]
fn a_bare_file_is_placed_by_its_names() {
    let imported = read("bare.safetensors", adds()).unwrap();
    assert_eq!(imported.origin, Origin::Tensors);
    assert_eq!(sites(&imported), [Site::ResidPost(1), Site::ResidPost(2), Site::MlpOut(3)]);
    assert_eq!(imported.mapping[2].tensor, "blocks.3.hook_mlp_out");
    let card = imported.file.card();
    assert_eq!((card.operation, card.name.as_str()), (Operation::Add, "bare"));
    assert_eq!(card.extra["made_by"], "someone");
    // Torch reads the same numbers from all three types.
    for (direction, mapped) in imported.file.directions().iter().zip(&imported.mapping) {
        let theirs = expected()["bare.safetensors"][direction.site().to_string()].clone();
        let theirs = theirs.as_array().unwrap().iter().map(|v| v.as_f64().unwrap());
        for (theirs, ours) in theirs.zip(direction.values()) {
            let ours = f64::from(ours * mapped.norm);
            assert!((theirs - ours).abs() < 2e-6, "{theirs} {ours}");
        }
    }
}

#[test]
fn a_bare_file_is_placed_by_a_pattern() {
    let placed = |site: &str, layer_shift| {
        let site = Some(site.to_owned());
        read("bare.safetensors", ImportOptions { site, layer_shift, ..adds() })
    };
    let imported = placed("resid_mid.{n}", None).unwrap();
    assert_eq!(imported.origin, Origin::Placed);
    assert_eq!(sites(&imported), [1, 2, 3].map(Site::ResidMid));
    let shifted = placed("resid_mid.{n}", Some(-1)).unwrap();
    assert_eq!(sites(&shifted), [0, 1, 2].map(Site::ResidMid));
    assert_eq!(shifted.file.card().method.params["layer_shift"], Param::Integer(-1));
    let code = |result: Result<Imported, Error>| result.unwrap_err().code();
    assert_eq!(code(placed("resid_mid.{n}", Some(-2))), "layer_out_of_range");
    assert_eq!(code(placed("resid_post.{n}=resid_mid.{n}", None)), "tensor_mismatch");
    assert_eq!(code(placed("resid_pre.{n}", None)), "site_unknown");
    assert_eq!(code(placed("final", None)), "operation_refused");
    assert_eq!(code(placed("resid_mid.{n}", Some(i64::MAX))), "operation_refused");
}

#[test]
fn what_a_bare_file_does_not_say_the_caller_must() {
    let code = |result: Result<Imported, Error>| result.unwrap_err().code();
    let silent = read("bare.safetensors", ImportOptions::default()).unwrap_err();
    assert_eq!(silent.code(), "operation_refused");
    assert!(silent.to_string().contains("--op add or --op project"), "{silent}");
    let shift = ImportOptions { layer_shift: Some(1), ..adds() };
    assert_eq!(code(read("bare.safetensors", shift)), "operation_refused");
    let shallow = ImportOptions { n_layers: Some(3), ..adds() };
    assert_eq!(code(read("bare.safetensors", shallow)), "layer_out_of_range");
    assert_eq!(code(read("native.safetensors", adds())), "not_a_vector_file");
    // A file that says what it does is not turned around.
    let turned = ImportOptions { effect: Some(Effect::Project), ..ImportOptions::default() };
    assert_eq!(code(read("repeng.gguf", turned.clone())), "operation_refused");
    assert_eq!(code(read("ibm.svec", turned)), "operation_refused");
    assert!(read("repeng.gguf", adds()).is_ok());
    let placed = ImportOptions { site: Some("mlp_out.{n}".to_owned()), ..adds() };
    assert_eq!(code(read("repeng.gguf", placed)), "operation_refused");
}

#[test]
fn bare_tensors_of_other_shapes_and_types_are_refused() {
    let folder = Folder::new();
    let refused = |header: &str, bytes: &[u8]| {
        let file = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), bytes].concat();
        import::read(&folder.file("a.safetensors", &file), &adds()).unwrap_err().code()
    };
    let entry = |name: &str, dtype: &str, shape: &str, end: usize| {
        format!(r#"{{"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{end}]}}}}"#)
    };
    let row = 1.0_f32.to_le_bytes();
    let two = [row, row].concat();
    assert_eq!(refused(&entry("resid_post.1", "F32", "[2,1]", 8), &two), "tensor_mismatch");
    assert_eq!(refused(&entry("resid_post.1", "F32", "[]", 4), &row), "tensor_mismatch");
    assert_eq!(refused(&entry("resid_post.1", "F32", "[0]", 0), &[]), "tensor_mismatch");
    assert_eq!(refused(&entry("resid_post.1", "F8", "[1]", 1), &[0]), "tensor_mismatch");
    let wide = 1e39_f64.to_le_bytes();
    assert_eq!(refused(&entry("resid_post.1", "F64", "[1]", 8), &wide), "not_finite");
    assert_eq!(refused(&entry("resid_post.1", "F32", "[1]", 4), &two), "not_a_vector_file");
    assert_eq!(refused(&entry("steer", "F32", "[1]", 4), &row), "site_unknown");
    assert_eq!(refused("{}", &[]), "header_invalid");
    assert_eq!(refused(r#"{"a":1}"#, &[]), "header_invalid");
    let nan = f32::NAN.to_le_bytes();
    assert_eq!(refused(&entry("resid_post.1", "F32", "[1]", 4), &nan), "not_finite");
    assert_eq!(refused(&entry("resid_post.1", "F32", "[1]", 4), &[0; 4]), "tensor_mismatch");
    // 123 bytes of header: the first byte of the file is a brace.
    let padded = format!("{:123}", entry("resid_post.1", "F32", "[1]", 4));
    let file = [&123_u64.to_le_bytes()[..], padded.as_bytes(), &row].concat();
    let path = folder.file("c.safetensors", &file);
    assert_eq!(file[0], b'{');
    assert_eq!(import::read(&path, &adds()).unwrap().origin, Origin::Tensors);
    assert!(!import::is_foreign(&path).unwrap() && import::is_foreign(&data("ibm.svec")).unwrap());
    // A header of two gigabytes is refused by its length, before it is looked for.
    let huge = [&(2_u64 << 30).to_le_bytes()[..], b"{}"].concat();
    let refused = import::read(&folder.file("b.safetensors", &huge), &adds()).unwrap_err();
    assert_eq!(refused.code(), "file_too_large");
}

#[test]
fn bare_values_are_rows_that_are_removed() {
    let imported = read("rows.f32", rows([3, 8], "mlp_out")).unwrap();
    assert_eq!(imported.origin, Origin::Values);
    assert_eq!(sites(&imported), [0, 1, 2].map(Site::MlpOut));
    assert_eq!(imported.file.card().operation, Operation::Project);
    let first: Vec<f32> = bytes("rows.f32")
        .chunks(4)
        .take(8)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    let (direction, _) = Direction::normalised(Site::MlpOut(0), &first).unwrap();
    assert_eq!(imported.file.directions()[0], direction);
    assert!(read("rows.f32", rows([3, 8], "attn_out")).is_ok());
}

#[test]
fn bare_values_need_every_word() {
    let code = |options| read("rows.f32", options).unwrap_err().code();
    assert_eq!(code(ImportOptions::default()), "not_a_vector_file");
    for shape in [[3, 9], [4, 8], [0, 8], [3, 0], [usize::MAX, usize::MAX], [1, 1 << 40]] {
        assert!(read("rows.f32", rows(shape, "mlp_out")).is_err(), "{shape:?}");
    }
    for site in ["resid_post", "mlp_out.3", ""] {
        assert_eq!(code(rows([3, 8], site)), "operation_refused", "{site}");
    }
    let whole = || rows([3, 8], "mlp_out");
    assert_eq!(code(ImportOptions { site: None, ..whole() }), "operation_refused");
    assert_eq!(code(ImportOptions { effect: None, ..whole() }), "operation_refused");
    let added = read("rows.f32", ImportOptions { effect: Some(Effect::Add), ..whole() });
    assert!(added.unwrap_err().to_string().contains("--op add is refused"));
    assert_eq!(code(ImportOptions { layer_shift: Some(1), ..whole() }), "operation_refused");
    assert_eq!(code(ImportOptions { n_layers: Some(2), ..whole() }), "layer_out_of_range");
    assert!(read("repeng.gguf", whole()).is_err());
}

#[test]
fn a_projection_is_exported_byte_for_byte_as_by_the_writer_of_gguf() {
    let native = VectorFile::open(&data("removed.safetensors")).unwrap();
    let exported = export::glp::project(&native, BlockZero::Refuse).unwrap();
    assert_eq!(exported.bytes, bytes("removed.gguf"));
    assert_eq!((exported.scale, exported.dropped.len()), (1.5, 0));
    let back = read("removed.gguf", ImportOptions::default()).unwrap();
    assert_eq!(back.file, native);
    assert_eq!(sites(&back), [2, 3].map(Site::MlpOut));
}

#[test]
fn a_direction_that_reads_is_never_exported() {
    use crate::file::card::{Operation, Role};
    let directions = vec![super::one_hot(Site::ResidPost(1), 8, 3)];
    for operation in [Operation::Add, Operation::Project] {
        let mut card = super::card(operation, &directions);
        card.role = Role::Read;
        card.sites.values_mut().for_each(|entry| entry.anchor = Some(0.0));
        let file = VectorFile::new(card, directions.clone()).unwrap();
        for refused in [export::gguf, export::glp::project].map(|to| to(&file, BlockZero::Refuse)) {
            assert_eq!(refused.unwrap_err().code(), "role_read");
        }
    }
}

#[test]
fn a_projection_is_never_exported_as_an_addition() {
    let native = VectorFile::open(&data("removed.safetensors")).unwrap();
    let refused = export::gguf(&native, BlockZero::Refuse).unwrap_err();
    assert!(refused.to_string().contains("--glp"), "{refused}");
    let added = adding(&[Site::ResidPost(1)], 4).unwrap();
    assert_eq!(
        export::glp::project(&added, BlockZero::Refuse).unwrap_err().code(),
        "operation_refused"
    );
}

#[test]
fn a_glp_file_has_one_hook_point_and_no_block_zero() {
    let made = |sites: &[Site]| {
        let directions: Vec<Direction> =
            sites.iter().map(|site| Direction::new(*site, 1, vec![0.0, 1.0]).unwrap()).collect();
        let mut card = super::card(Operation::Project, &directions);
        card.sites.values_mut().for_each(|entry| entry.magnitude = None);
        VectorFile::new(card, directions).unwrap()
    };
    let refused = |sites: &[Site], zero| export::glp::project(&made(sites), zero).is_err();
    let (zero, one) = (Site::AttnOut(0), Site::AttnOut(1));
    assert!(refused(&[zero, one], BlockZero::Refuse) && refused(&[zero, one], BlockZero::Keep));
    let dropped = export::glp::project(&made(&[zero, one]), BlockZero::Drop).unwrap();
    assert_eq!((dropped.sites, dropped.dropped), (vec![one], vec![zero]));
    assert!(refused(&[zero], BlockZero::Drop));
    assert!(refused(&[one, Site::MlpOut(1)], BlockZero::Refuse));
    assert!(refused(&[Site::ResidMid(1)], BlockZero::Refuse));
}
