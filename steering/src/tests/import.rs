//! Other programs' files: who wrote them, and at which block each direction lands.

use super::{Folder, adding, bytes, data, expected};
use crate::error::Error;
use crate::export::writer::{self, Value};
use crate::export::{self, BlockZero};
use crate::file::card::{Operation, Param};
use crate::import::{self, ImportOptions, Imported, Origin};
use trimtab_runtime::site::Site;

fn read(name: &str, layer_shift: Option<i64>) -> Result<Imported, Error> {
    import::read(&data(name), &ImportOptions { layer_shift, ..ImportOptions::default() })
}

fn sites(imported: &Imported) -> Vec<Site> {
    imported.mapping.iter().map(|mapped| mapped.site).collect()
}

/// Every tensor as another reader sees it, against magnitude times row here.
fn same_numbers(name: &str, imported: &Imported) {
    let expected = &expected()[name];
    assert_eq!(expected.as_object().unwrap().len(), imported.mapping.len(), "{name}");
    for mapped in &imported.mapping {
        let directions = imported.file.directions();
        let direction = directions.iter().find(|d| d.site() == mapped.site).unwrap();
        let theirs = expected[&mapped.tensor].as_array().unwrap();
        assert_eq!(theirs.len(), direction.width());
        for (theirs, ours) in theirs.iter().zip(direction.values()) {
            let (theirs, ours) = (theirs.as_f64().unwrap(), f64::from(ours * mapped.norm));
            assert!((theirs - ours).abs() < 2e-6, "{name} {}: {theirs} {ours}", mapped.tensor);
        }
    }
}

#[test]
fn repeng_numbers_the_output_of_a_block() {
    let imported = read("repeng.gguf", None).unwrap();
    assert_eq!(imported.origin, Origin::Repeng);
    assert_eq!(sites(&imported), [1, 2, 3].map(Site::ResidPost));
    assert_eq!(imported.warnings.len(), 1, "that this was guessed is said");
    same_numbers("repeng.gguf", &imported);
    assert_eq!(imported.file.card().extra["controlvector.model_hint"], "llama");
    let shifted = read("repeng.gguf", Some(-1)).unwrap();
    assert_eq!(sites(&shifted), [0, 1, 2].map(Site::ResidPost));
    assert!(shifted.warnings.is_empty());
    assert_eq!(shifted.file.card().method.params["layer_shift"], Param::Integer(-1));
}

#[test]
fn easysteer_counts_from_zero() {
    let imported = read("easysteer.gguf", None).unwrap();
    assert_eq!(imported.origin, Origin::EasySteer);
    assert_eq!(sites(&imported), [0, 1, 2].map(Site::ResidPost));
    same_numbers("easysteer.gguf", &imported);
    assert_eq!(imported.file.card().extra["controlvector.token_pos"], "-1");
}

#[test]
fn files_of_two_readings_need_a_shift() {
    for (name, origin) in
        [("cvector.gguf", Origin::CvectorGenerator), ("differences.gguf", Origin::Differences)]
    {
        let refused = read(name, None).unwrap_err();
        assert_eq!(refused.code(), "layer_base_ambiguous");
        let text = refused.to_string();
        assert!(text.contains("--layer-shift -1") && text.contains("--layer-shift 0"), "{text}");
        let measured = read(name, Some(-1)).unwrap();
        assert_eq!(measured.origin, origin);
        assert_eq!(sites(&measured), [0, 1, 2].map(Site::ResidPost));
        assert_eq!(sites(&read(name, Some(0)).unwrap()), [1, 2, 3].map(Site::ResidPost));
        same_numbers(name, &measured);
    }
}

#[test]
fn half_precision_is_read() {
    let imported = read("half.gguf", None).unwrap();
    assert_eq!(sites(&imported), [4, 5].map(Site::ResidPost));
    same_numbers("half.gguf", &imported);
}

#[test]
fn a_glp_file_says_operation_site_and_scale() {
    let imported = read("project.gguf", None).unwrap();
    assert_eq!(imported.origin, Origin::Glp);
    let card = imported.file.card();
    assert_eq!((card.operation, card.scale.default), (Operation::Project, 0.5));
    assert_eq!(sites(&imported), [2, 3].map(Site::MlpOut));
    assert_eq!(card.sites[&Site::MlpOut(2)].derived_at, Site::ResidPost(2));
    assert_eq!(card.sites[&Site::MlpOut(2)].magnitude, None);
    same_numbers("project.gguf", &imported);
    // What removes must never be added.
    assert_eq!(imported.file.offsets().unwrap_err().code(), "operation_refused");
    assert_eq!(read("project.gguf", Some(1)).unwrap_err().code(), "operation_refused");
    assert!(export::gguf(&imported.file, BlockZero::Refuse).is_err());
}

#[test]
fn svec_blocks_are_outputs() {
    let imported = read("ibm.svec", None).unwrap();
    assert_eq!(imported.origin, Origin::Svec);
    assert_eq!(sites(&imported), [12, 13].map(Site::ResidPost));
    let json: serde_json::Value = serde_json::from_slice(&bytes("ibm.svec")).unwrap();
    let theirs = json["directions"]["12"][0].as_f64().unwrap();
    let ours = imported.file.directions()[0].values()[0] * imported.mapping[0].norm;
    assert!((theirs - f64::from(ours)).abs() < 2e-6);
    assert_eq!(imported.file.card().extra["explained_variances"], r#"{"12":0.5,"13":0.25}"#);
}

#[test]
fn svec_shapes_that_are_no_row_are_refused() {
    let folder = Folder::new();
    let refused = |directions: &str, more: &str| {
        let text = format!(r#"{{"model_type":"llama","directions":{directions}{more}}}"#);
        let path = folder.file("a.svec", text.as_bytes());
        import::read(&path, &ImportOptions { n_layers: Some(16), ..Default::default() })
            .unwrap_err()
    };
    assert_eq!(refused(r#"{"1":[[1,0],[0,1]]}"#, "").code(), "header_invalid");
    assert_eq!(refused(r#"{"-1":[1,0]}"#, "").code(), "header_invalid");
    assert_eq!(refused(r#"{"01":[1,0]}"#, "").code(), "header_invalid");
    assert_eq!(refused(r#"{"1":[1,0]}"#, r#","num_heads":4"#).code(), "header_invalid");
    assert_eq!(refused(r#"{"1":[1,NaN]}"#, "").code(), "header_invalid");
    assert_eq!(refused(r#"{"1":[1,1e39]}"#, "").code(), "header_invalid");
    assert_eq!(refused(r#"{"1":[]}"#, "").code(), "header_invalid");
    assert_eq!(refused(r#"{"1":[0,0]}"#, "").code(), "tensor_mismatch");
    assert_eq!(refused(r#"{"1":[1],"2":[1,0]}"#, "").code(), "tensor_mismatch");
    assert_eq!(refused(r#"{"1":[1],"1":[1]}"#, "").code(), "header_invalid");
    assert_eq!(refused(r#"{"16":[1]}"#, "").code(), "layer_out_of_range");
    let text = refused(r#"{"1":[[1,0],[0,1]]}"#, "").to_string();
    assert!(text.contains("directions/1 has 2 rows, expected one"), "{text}");
}

#[test]
fn a_block_the_model_does_not_have_names_the_shift_that_fits() {
    let read = |layer_shift, n_layers| {
        let options = ImportOptions { layer_shift, n_layers, ..ImportOptions::default() };
        import::read(&data("cvector.gguf"), &options)
    };
    let deep = read(Some(0), Some(3)).unwrap_err();
    assert_eq!(deep.code(), "layer_out_of_range");
    let text = deep.to_string();
    assert!(text.contains("direction.3 is block 3 but the model has blocks 0..2"), "{text}");
    assert!(text.contains("with --layer-shift -1 every direction fits"), "{text}");
    assert!(read(Some(-1), Some(3)).is_ok());
    let negative = read(Some(-2), None).unwrap_err().to_string();
    assert!(negative.contains("with --layer-shift -1 every direction fits"), "{negative}");
    let hopeless = read(Some(0), Some(2)).unwrap_err().to_string();
    assert!(hopeless.contains("no shift fits"), "{hopeless}");
    assert_eq!(read(Some(i64::MIN), None).unwrap_err().code(), "operation_refused");
}

#[test]
fn damaged_gguf_files_are_refused() {
    let folder = Folder::new();
    let good = bytes("repeng.gguf");
    let refused = |bytes: &[u8]| {
        let path = folder.file("a.gguf", bytes);
        import::read(&path, &ImportOptions::default()).unwrap_err().code()
    };
    assert_eq!(refused(&good[..good.len() - 40]), "not_a_vector_file");
    let replaced = |from: &[u8], to: &[u8]| {
        let at = good.windows(from.len()).position(|window| window == from).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to);
        refused(&bytes)
    };
    assert_eq!(replaced(b"direction.3", b"direction.2"), "not_a_vector_file");
    assert_eq!(replaced(b"direction.3", b"direction.x"), "tensor_mismatch");
    assert_eq!(replaced(b"direction.3", b"directionn3"), "tensor_mismatch");
    assert_eq!(replaced(b"direction.3", b"direction03"), "tensor_mismatch");
    assert_eq!(replaced(b"controlvector", b"controlvectoR"), "not_a_vector_file");
    let mut nan = good.clone();
    let at = nan.len() - 4;
    nan[at..].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(refused(&nan), "not_finite");
    let mut zero = good.clone();
    let at = zero.len() - 32;
    zero[at..].fill(0);
    assert_eq!(refused(&zero), "tensor_mismatch");
}

#[test]
fn our_own_gguf_is_held_to_its_header() {
    let folder = Folder::new();
    let mut changed = bytes("native.gguf");
    let last = changed.len() - 5;
    changed[last] ^= 1;
    let path = folder.file("a.gguf", &changed);
    let refused = import::read(&path, &ImportOptions::default()).unwrap_err();
    assert_eq!(refused.code(), "content_hash_mismatch");
    let shift = ImportOptions { layer_shift: Some(1), ..ImportOptions::default() };
    let refused = import::read(&data("native.gguf"), &shift).unwrap_err();
    assert_eq!(refused.code(), "operation_refused");
}

#[test]
fn what_can_carry_code_is_refused_by_content() {
    let folder = Folder::new();
    for head in [
        &b"PK\x03\x04archive/data.pkl"[..],
        b"\x80\x02}q\x00X\x01\x00\x00\x00a",
        b"\x93NUMPY\x01\x00",
    ] {
        let path = folder.file("innocent.gguf", head);
        let refused = import::read(&path, &ImportOptions::default()).unwrap_err();
        assert_eq!(refused.code(), "pickle_refused");
        assert!(refused.to_string().contains("weights_only=True"));
        assert_eq!(crate::VectorFile::open(&path).unwrap_err().code(), "pickle_refused");
    }
    for other in [&b""[..], b"hello"] {
        let path = folder.file("a.bin", other);
        let refused = import::read(&path, &ImportOptions::default()).unwrap_err();
        assert_eq!(refused.code(), "not_a_vector_file");
    }
}

#[test]
fn many_damaged_copies_break_nothing() {
    let folder = Folder::new();
    let native = adding(&[Site::ResidPost(1), Site::ResidPost(2)], 8).unwrap().to_bytes().unwrap();
    let mut state = 7_u32;
    let mut draw = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize
    };
    for name in ["native.gguf", "easysteer.gguf", "ibm.svec", "native"] {
        let good = if name == "native" { native.clone() } else { bytes(name) };
        for _ in 0..300 {
            let mut bad = good.clone();
            bad.truncate(good.len() - draw() % 3 * (draw() % good.len()) / 3);
            for _ in 0..1 + draw() % 3 {
                let at = draw() % bad.len().max(1);
                if let Some(byte) = bad.get_mut(at) {
                    *byte = draw() as u8;
                }
            }
            let path = folder.file("a", &bad);
            // Either result is right; what counts is that there is one.
            drop(import::read(
                &path,
                &ImportOptions { layer_shift: Some(0), ..Default::default() },
            ));
            drop(crate::VectorFile::open(&path));
        }
    }
}

#[test]
fn a_name_is_the_callers_the_headers_or_the_files() {
    let named = |file: &str, name: Option<&str>| {
        let name = name.map(str::to_owned);
        let options = ImportOptions { name, ..ImportOptions::default() };
        import::read(&data(file), &options).unwrap().file.card().name.clone()
    };
    assert_eq!(named("repeng.gguf", None), "repeng");
    assert_eq!(named("native.gguf", None), "calm");
    for file in ["repeng.gguf", "native.gguf", "ibm.svec"] {
        assert_eq!(named(file, Some("mine")), "mine");
    }
}

#[test]
fn the_other_rows_of_the_table() {
    let zero = read("zero.gguf", None).unwrap();
    assert_eq!(
        (zero.origin, sites(&zero)),
        (Origin::ZeroBased, vec![Site::ResidPost(0), Site::ResidPost(1)])
    );
    let turbospark = read("turbospark.gguf", None).unwrap();
    assert_eq!(turbospark.origin, Origin::Turbospark { base: 0 });
    assert_eq!(sites(&turbospark), [0, 1].map(Site::ResidPost));
    assert_eq!(turbospark.file.card().operation, Operation::Project);
    same_numbers("turbospark.gguf", &turbospark);
    assert_eq!(read("turbospark.gguf", Some(1)).unwrap_err().code(), "operation_refused");
    assert_eq!(read("unknown.gguf", None).unwrap_err().code(), "layer_base_ambiguous");
    assert_eq!(sites(&read("unknown.gguf", Some(0)).unwrap()), [1, 2].map(Site::ResidPost));
}

#[test]
fn keys_that_are_not_understood_stop_the_import() {
    let folder = Folder::new();
    let replaced = |name: &str, from: &str, to: &str| {
        let mut bytes = bytes(name);
        let found = bytes.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        bytes[found..found + to.len()].copy_from_slice(to.as_bytes());
        import::read(&folder.file("a.gguf", &bytes), &ImportOptions::default()).unwrap_err().code()
    };
    assert_eq!(replaced("project.gguf", "project", "reflect"), "operation_unknown");
    assert_eq!(replaced("project.gguf", "ffn_out_pre", "ffn_in__pre"), "not_a_vector_file");
    assert_eq!(
        replaced("project.gguf", "residual_stream_post", "residual_stream_prae"),
        "not_a_vector_file"
    );
    assert_eq!(replaced("project.gguf", "2,3", "2,4"), "not_a_vector_file");
    assert_eq!(replaced("project.gguf", "direction.2", "direction.0"), "tensor_mismatch");
    assert_eq!(replaced("turbospark.gguf", "ablate", "blanch"), "operation_unknown");
    assert_eq!(
        replaced("native.gguf", "\"kind\":\"add\"", "\"kind\":\"odd\""),
        "operation_unknown"
    );
    // Its length is another one, so a fixture of our own writer is fine: nothing here is about layer numbers.
    let made = |key: &str, value: Value| {
        let row = [1.0_f32, 0.0];
        let bytes = writer::write(&[(key, value)], &[("direction.1".to_owned(), &row[..])]);
        let options = ImportOptions { layer_shift: Some(0), ..ImportOptions::default() };
        import::read(&folder.file("a.gguf", &bytes), &options).map(drop).map_err(|e| e.code())
    };
    assert_eq!(made("note", Value::Text("x".to_owned())), Ok(()));
    assert_eq!(made("note", Value::Text("x".repeat(65 << 10))), Err("file_too_large"));
    assert_eq!(made(&"k".repeat(257), Value::U32(1)), Err("file_too_large"));
    let base = |n| {
        writer::write(
            &[("turbospark.layer_base", Value::U32(n))],
            &[("direction.1".to_owned(), &[1.0])],
        )
    };
    let at = |n| import::read(&folder.file("a.gguf", &base(n)), &ImportOptions::default());
    assert_eq!(sites(&at(1).unwrap()), [Site::ResidPost(1)]);
    assert_eq!(at(2).unwrap_err().code(), "not_a_vector_file");
    for (key, value) in [
        ("glp.rank", Value::U32(2)),
        ("glp.spec_version", Value::U32(2)),
        ("glp.dir_scales", Value::U32(1)),
        ("glp.content_sha256", Value::U32(1)),
        ("glp.alpha_default", Value::Text("x".to_owned())),
    ] {
        let bytes = writer::write(&[(key, value)], &[("direction.1".to_owned(), &[1.0])]);
        let refused = import::read(&folder.file("a.gguf", &bytes), &ImportOptions::default());
        assert_eq!(refused.unwrap_err().code(), "not_a_vector_file", "{key}");
    }
}

#[test]
fn tensors_of_no_control_vector_are_refused() {
    let folder = Folder::new();
    let refused = |tensors: &[(String, &[f32])]| {
        let path = folder.file("a.gguf", &writer::write(&[], tensors));
        let options = ImportOptions { layer_shift: Some(0), ..ImportOptions::default() };
        import::read(&path, &options).unwrap_err().code()
    };
    let named = |name: &str| refused(&[(name.to_owned(), &[1.0, 0.0][..])]);
    for name in
        ["direction.1.0", "direction.70000", "direction.-1", "direction.", "token_embd.weight"]
    {
        assert_eq!(named(name), "tensor_mismatch", "{name}");
    }
    let widths: [(String, &[f32]); 2] =
        [("direction.1".to_owned(), &[1.0]), ("direction.2".to_owned(), &[1.0, 0.0])];
    assert_eq!(refused(&widths), "tensor_mismatch");
    assert_eq!(refused(&[]), "not_a_vector_file");
    let many: Vec<(String, &[f32])> =
        (0..4097).map(|n| (format!("direction.{n}"), &[1.0_f32][..])).collect();
    assert_eq!(refused(&many), "not_a_vector_file");
    let wide = vec![1.0_f32; 65_537];
    assert_eq!(refused(&[("direction.1".to_owned(), wide.as_slice())]), "tensor_mismatch");
}
