//! The middleware that lets requests in: by a key, or by an administrator's.

use crate::app::App;
use crate::keys::{Caller, Hosts};
use crate::refusal::Refusal;
use crate::settings::Role;
use crate::wire::error::Code;
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;

fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let hosts = if app.settings.insecure.is_on() { Hosts::Any } else { Hosts::Own };
    app.keys.caller(headers, hosts)
}

/// Lets those in who have a key, where there are any.
pub(crate) async fn user(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let caller = caller(&app, request.headers())?;
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Lets administrators in, if the server has routes for them.
pub(crate) async fn admin(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let caller = caller(&app, request.headers())?;
    if !app.settings.admin.is_on() {
        return Err(Refusal::new(
            Code::AdminDisabled,
            "administration is off; start the server with --admin",
        ));
    }
    if caller.role != Role::Admin {
        return Err(Refusal::new(Code::AdminRequired, "key is none of an administrator"));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}
