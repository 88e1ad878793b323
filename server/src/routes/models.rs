//! What is served.

use crate::app::App;
use crate::chat::served;
use crate::error::ApiError;
use crate::wire::error::Code;
use crate::wire::model::{ModelFacts, ModelList, ModelObject};
use crate::wire::responses::{ModelErrors, UserErrors};
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use std::sync::Arc;

/// The model, and the model with each preset
#[utoipa::path(
    get, path = "/v1/models", tag = "models",
    responses((status = 200, description = "What is served", body = ModelList), UserErrors),
)]
pub(crate) async fn list(State(app): State<Arc<App>>) -> Json<ModelList> {
    let name = app.name().to_owned();
    let presets = app.steering.presets().into_iter();
    let names = std::iter::once(name.clone()).chain(presets.map(|p| format!("{name}@{p}")));
    Json(ModelList { object: "list", data: names.map(|id| described(&app, id)).collect() })
}

#[utoipa::path(
    get, path = "/v1/models/{id}", tag = "models",
    params(("id" = String, Path, description = "Its id, an alias, or `model@preset`")),
    responses((status = 200, description = "The model", body = ModelObject), ModelErrors),
)]
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelObject>, ApiError> {
    let Ok(Path(id)) = id else {
        return Err(ApiError::new(Code::ModelNotFound, "model's id is not UTF-8").at("model"));
    };
    served(&app, &id)?;
    Ok(Json(described(&app, id)))
}

fn described(app: &App, id: String) -> ModelObject {
    let spec = app.model.decoder().spec();
    ModelObject {
        id,
        object: "model",
        created: app.since,
        owned_by: "trimtab",
        max_model_len: app.model.room(),
        context_length: app.model.room(),
        trimtab: ModelFacts {
            arch: spec.arch.name,
            n_layers: spec.n_layers(),
            d_model: spec.d_model,
            context: app.model.decoder().context(),
            quantization: app.model.identity().quantization.clone(),
            weights_sha256: app.model.identity().weights_sha256.clone(),
            template_sha256: app.model.template().ok().map(|t| t.sha256().to_owned()),
        },
    }
}
