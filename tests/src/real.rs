//! The default model, fetched once by the program's own catalogue.

use std::sync::{Arc, OnceLock};
use trimtab_runtime::hub::{DEFAULT, Installer, Local, ModelRef, Resolver};
use trimtab_runtime::model::{DecoderOptions, WeightForm};
use trimtab_runtime::{Model, OpenOptions};

/// Set to `1`, it turns the tests with real weights off.
const OFFLINE: &str = "TRIMTAB_TEST_OFFLINE";

/// Whether tests with real weights run; says so where they do not.
#[allow(clippy::disallowed_methods)] // the one switch of the test suite
pub fn wanted() -> bool {
    let off = std::env::var(OFFLINE).is_ok_and(|v| v == "1");
    if off {
        eprintln!("{OFFLINE}=1: a test with real weights did not run");
    }
    !off
}

/// Where the default model is on this machine; fetched if it is not there yet.
///
/// # Panics
/// If it cannot be had: a test with real weights fails then, it does not skip.
#[allow(clippy::expect_used)] // test support: without the model these tests must fail
pub fn local() -> &'static Local {
    static LOCAL: OnceLock<Local> = OnceLock::new();
    LOCAL.get_or_init(|| {
        let default = ModelRef::parse(DEFAULT).expect("a catalogue name");
        Resolver::new()
            .with_installer(Installer::default())
            .resolve(&default)
            .expect("the default model")
    })
}

/// The default model as it is served.
///
/// # Panics
/// If it cannot be had.
pub fn model() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    MODEL.get_or_init(|| open(WeightForm::AsStored)).clone()
}

/// The default model with its weights in f32.
///
/// # Panics
/// If it cannot be had.
pub fn dequantised() -> Arc<Model> {
    static MODEL: OnceLock<Arc<Model>> = OnceLock::new();
    MODEL.get_or_init(|| open(WeightForm::Dequantised)).clone()
}

#[allow(clippy::expect_used)] // test support: without the model these tests must fail
fn open(form: WeightForm) -> Arc<Model> {
    let decoder = DecoderOptions { form, context: Some(1024), ..DecoderOptions::default() };
    let options = OpenOptions { decoder, ..OpenOptions::default() };
    Arc::new(Model::from_local(local(), &options).expect("the default model opens"))
}
