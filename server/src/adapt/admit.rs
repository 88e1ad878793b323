//! Finding or making a request's adapter, and pinning its version.

use super::Adapted;
use super::setting::{Setting, frozen};
use crate::app::App;
use crate::error::ApiError;
use crate::learning::Learning;
use crate::steer::LayerSource;
use crate::wire::adapt::{Adapt, Create};
use crate::wire::error::Code;
use trimtab_adapters::Error as Learn;
use trimtab_adapters::host::{
    AdapterConfig, AdapterKey, DuelArm, DuelRequest, PinRequest, PinnedAdapter, TurnPlan,
};

/// Where the object stands in a body.
const ADAPT: &str = "steering.adapt";

/// The adapter of a request that wants an answer, at the version that it will hold.
pub(crate) async fn admit(app: &App, owner: &str, adapt: &Adapt) -> Result<Adapted, ApiError> {
    let (learning, pinned) = pinned(app, owner, adapt).await?;
    let turn = match learning.host.serving(&pinned)? {
        // Two answers are for requests that have asked to be asked.
        TurnPlan::Settings(_) => TurnPlan::Plain,
        turn @ (TurnPlan::Plain
        | TurnPlan::Samples(_)
        | TurnPlan::Setting(_)
        | TurnPlan::Tokens) => turn,
    };
    // A setting stands in the receipt as what it does; everything else is had again by its version.
    let again = match turn {
        TurnPlan::Setting(_) => None,
        _ => Some(Adapt {
            adapter: adapt.adapter.clone(),
            version: Some(pinned.version()),
            create: None,
            learn: Some(false),
        }),
    };
    Adapted::of(learning, pinned, (turn, None, again)).await
}

/// The adapter of a duel.
pub(crate) async fn ask(
    app: &App,
    owner: &str,
    adapt: &Adapt,
    request: &DuelRequest,
) -> Result<Adapted, ApiError> {
    if adapt.request() != PinRequest::Newest {
        let name = if adapt.version.is_some() { "version" } else { "learn" };
        let problem = "keeps a duel from teaching anything; leave it out";
        return Err(ApiError::invalid(format!("{ADAPT}.{name}"), problem));
    }
    let (learning, pinned) = pinned(app, owner, adapt).await?;
    let turn =
        learning.host.asking(&pinned, request).map_err(|e| ApiError::from(e).about(ADAPT))?;
    Adapted::of(learning, pinned, (turn, Some(*request), None)).await
}

/// The pinned adapter, made if that is asked for.
async fn pinned(
    app: &App,
    owner: &str,
    adapt: &Adapt,
) -> Result<(Learning, PinnedAdapter), ApiError> {
    let field = |fault: trimtab_steering::spec::FieldError| ApiError::from(fault.under(ADAPT));
    adapt.check().map_err(field)?;
    let key = adapt.key(owner).map_err(field)?;
    let learning = app.learning().await?;
    let at = |error: Learn| ApiError::from(error).about("steering.adapt.adapter");
    let found = match learning.host.pin(&key, &adapt.request()).await {
        Err(Learn::NoAdapter { .. }) if adapt.create.is_some() => None,
        found => Some(found.map_err(at)?),
    };
    let pinned = match (found, &adapt.create) {
        (Some(pinned), Some(Create::Method(method))) if pinned.config().method() != method => {
            let message = format!(
                "adapter {} learns by {}, and create says {method}",
                adapt.adapter,
                pinned.config().method()
            );
            return Err(ApiError::new(Code::IdInUse, message).at("steering.adapt.create"));
        }
        (Some(pinned), Some(Create::Method(_)) | None) => pinned,
        (_, Some(create)) => {
            make(app, learning, &key, create).await?;
            learning.host.pin(&key, &adapt.request()).await.map_err(at)?
        }
        // Without `create` its absence is an error above.
        (None, None) => return Err(at(Learn::NoAdapter { id: adapt.adapter.clone() })),
    };
    Ok((learning.clone(), pinned))
}

/// Makes an adapter, unless there is one that learns alike.
async fn make(
    app: &App,
    learning: &Learning,
    key: &AdapterKey,
    create: &Create,
) -> Result<(), ApiError> {
    let config = create.config().map_err(|fault| ApiError::from(fault.under(ADAPT)))?;
    for (at, arm) in create.arms() {
        let voice = LayerSource::Body(format!("{ADAPT}.create.arms[{at}].steering"));
        let (setting, _) = Setting::of(arm, voice)?;
        setting.check(&app.steering.now())?;
    }
    let made = learning.host.create(key, &config).await;
    made.map_err(|error| ApiError::from(error).about("steering.adapt.create"))?;
    Ok(())
}

impl Adapted {
    async fn of(
        learning: Learning,
        pinned: PinnedAdapter,
        (turn, duel, again): (TurnPlan, Option<DuelRequest>, Option<Adapt>),
    ) -> Result<Adapted, ApiError> {
        let chosen = match &turn {
            TurnPlan::Setting(one) => vec![*one],
            TurnPlan::Settings(two) => two.to_vec(),
            TurnPlan::Plain | TurnPlan::Samples(_) | TurnPlan::Tokens => Vec::new(),
        };
        let mut settings = Vec::with_capacity(chosen.len());
        for index in chosen {
            settings.push(setting(&learning, &pinned, index).await?);
        }
        Ok(Adapted { learning, pinned, turn, again, duel, settings })
    }
}

/// A setting of an adapter, with the version of another adapter that it may name.
async fn setting(
    learning: &Learning,
    pinned: &PinnedAdapter,
    index: usize,
) -> Result<Setting, ApiError> {
    let arm = arm(pinned.config(), index)
        .ok_or_else(|| ApiError::failed(&"an adapter chose a setting that it does not have"))?;
    let name = format!("setting {} of adapter {}", arm.name, pinned.key().id());
    let (mut setting, adapt) = Setting::of(arm, LayerSource::Server(name, ADAPT))?;
    if let Some(adapt) = adapt {
        let key = adapt.key(pinned.key().owner()).map_err(ApiError::from)?;
        let other = learning.host.pin(&key, &frozen(&adapt)).await;
        setting.pinned = Some(other.map_err(|error| ApiError::from(error).about(ADAPT))?);
    }
    Ok(setting)
}

fn arm(config: &AdapterConfig, index: usize) -> Option<&DuelArm> {
    match config {
        AdapterConfig::Rosa { .. } => None,
        AdapterConfig::Tpop(taste) => taste.arms.get(index),
    }
}
