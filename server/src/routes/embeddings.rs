//! The mean of one site over a text, of length 1.

use super::body::Incoming;
use crate::app::App;
use crate::chat::{self, ClientRequest, Ignored, prompt_of, served};
use crate::error::ApiError;
use crate::wire::embedding::{
    Embedding, EmbeddingRequest, EmbeddingResponse, EmbeddingUsage, Values,
};
use crate::wire::responses::GenerationErrors;
use crate::wire::rest::is_nothing;
use crate::wire::union::{Inputs, Prompt};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use tokio::sync::mpsc::unbounded_channel;
use trimtab_runtime::engine::{Places, SubmitOptions};
use trimtab_runtime::plan::Plan;
use trimtab_runtime::read::Mean;
use trimtab_runtime::text::Special;

/// Inputs of one request, as many as OpenAI takes.
const MOST_INPUTS: usize = 2048;

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Float,
    Base64,
}

/// What is to be embedded.
struct Asked {
    model: String,
    inputs: Vec<Vec<u32>>,
    encoding: Encoding,
    ignored: Ignored,
}

/// Turns texts into vectors
#[utoipa::path(
    post, path = "/v1/embeddings", tag = "generation", request_body = EmbeddingRequest,
    responses((status = 200, description = "The vectors", body = EmbeddingResponse), GenerationErrors),
)]
pub(crate) async fn embeddings(
    State(app): State<Arc<App>>,
    asker: ClientRequest,
    body: Incoming,
) -> Result<Response, ApiError> {
    let visit = asker.visit.clone();
    let work = move |app: &App, body: EmbeddingRequest| {
        body.user.iter().for_each(|user| visit.user(user));
        understood(app, &body)
    };
    let asked = body.json(work).await?;
    let tokens = asked.inputs.iter().map(Vec::len).sum();
    asker.visit.prompt(tokens);
    let mut data = Vec::with_capacity(asked.inputs.len());
    // A few at a time: many texts of one request would take all places in the queue.
    for inputs in asked.inputs.chunks(app.engine.options().parallel) {
        let terms = asker.submit_options(&app);
        let places = match data.is_empty() {
            true => app.engine.places(inputs.len()).map_err(|e| chat::turned_away(&app, e))?,
            // What was done for the earlier texts of the request is not thrown away.
            false => chat::places(&app, inputs.len(), terms.deadline).await?,
        };
        for mean in means(&app, inputs, (places, terms)).await? {
            let embedding = written(&unit(&mean), asked.encoding);
            data.push(Embedding { object: "embedding", index: data.len(), embedding });
        }
    }
    let usage = EmbeddingUsage { prompt_tokens: tokens, total_tokens: tokens };
    let body = EmbeddingResponse { object: "list", model: asked.model, data, usage };
    Ok((asked.ignored, Json(body)).into_response())
}

fn understood(app: &App, body: &EmbeddingRequest) -> Result<Asked, ApiError> {
    let width = app.model.decoder().spec().d_model as u64;
    let asks = |name: &str| body.rest.get(name).is_some_and(|value| !is_nothing(value));
    if asks("dimensions") && body.rest.get("dimensions") != Some(&width.into()) {
        let why = format!("vectors have the {width} numbers of the model's stream");
        return Err(ApiError::unsupported("dimensions", why));
    }
    if asks("steering") {
        let why = "embeddings are those of the model as it is";
        return Err(ApiError::unsupported("steering", why));
    }
    if served(app, &body.model)?.is_some() {
        return Err(ApiError::unsupported("model", "embeddings take no preset"));
    }
    let encoding = match body.encoding_format.as_deref() {
        None | Some("float") => Encoding::Float,
        Some("base64") => Encoding::Base64,
        Some(other) => {
            let problem = format!("is {other:?}, not float or base64");
            return Err(ApiError::invalid("encoding_format", problem));
        }
    };
    let inputs = match &body.input {
        Inputs::One(prompt) => vec![prompt_of(app, prompt, ("input", Special::Plain))?],
        Inputs::Many(prompts) => all(app, prompts)?,
    };
    let mut ignored = Ignored::default();
    ignored.note("", &body.rest);
    Ok(Asked { model: body.model.clone(), inputs, encoding, ignored })
}

/// The tokens of all prompts of a list.
fn all(app: &App, prompts: &[Prompt]) -> Result<Vec<Vec<u32>>, ApiError> {
    if prompts.is_empty() || prompts.len() > MOST_INPUTS {
        let problem = format!("has {} texts, not 1 to {MOST_INPUTS}", prompts.len());
        return Err(ApiError::invalid("input", problem));
    }
    let numbered = prompts.iter().enumerate();
    let tokens =
        |(index, prompt)| prompt_of(app, prompt, (&format!("input[{index}]"), Special::Plain));
    numbered.map(tokens).collect()
}

/// The means of some texts, in order.
// -> [inputs][d_model]
async fn means(
    app: &App,
    inputs: &[Vec<u32>],
    (places, terms): (Places, SubmitOptions),
) -> Result<Vec<Vec<f32>>, ApiError> {
    let read = |tokens: &Vec<u32>| {
        let mut session = app.model.session(Plan::empty())?;
        session.push_prompt(tokens)?;
        Mean::of(vec![session], app.settings.embedding_site)
    };
    let reads = inputs.iter().map(read).collect::<trimtab_runtime::Result<Vec<_>>>()?;
    let (tell, mut told) = unbounded_channel();
    let report = move |index, result| {
        // A request that has gone hears nothing.
        tell.send((index, result)).ok();
    };
    let _ticket = app.engine.read_at(places, reads, terms, report)?;
    let mut means = vec![Vec::new(); inputs.len()];
    for _ in inputs {
        let Some((index, result)) = told.recv().await else {
            return Err(ApiError::failed(&"the engine has gone"));
        };
        if let (Some(place), Some(mean)) = (means.get_mut(index), result?.pop()) {
            *place = mean;
        }
    }
    Ok(means)
}

/// The same direction with length 1.
fn unit(mean: &[f32]) -> Vec<f32> {
    let squares: f64 = mean.iter().map(|x| f64::from(*x).powi(2)).sum();
    let length = squares.sqrt().max(f64::MIN_POSITIVE);
    mean.iter().map(|x| (f64::from(*x) / length) as f32).collect()
}

fn written(values: &[f32], encoding: Encoding) -> Values {
    match encoding {
        Encoding::Float => Values::Float(values.to_vec()),
        Encoding::Base64 => {
            let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
            Values::Base64(STANDARD.encode(bytes))
        }
    }
}
