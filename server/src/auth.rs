//! The middleware that lets requests in: by a key, or by an administrator's.

use crate::app::App;
use crate::error::ApiError;
use crate::keys::{Caller, Hosts};
use crate::settings::Role;
use crate::wire::error::Code;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;

/// Finds out whose key a request has, and notes it for the route.
fn caller(app: &App, request: &mut Request) -> Result<Caller, ApiError> {
    let hosts = if app.settings.insecure.is_on() { Hosts::Any } else { Hosts::Own };
    let caller = app.keys.caller(request.headers(), hosts)?;
    request.extensions_mut().insert(caller.clone());
    Ok(caller)
}

/// Lets those in who have a key, where there are any.
pub(crate) async fn user(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    caller(&app, &mut request)?;
    Ok(next.run(request).await)
}

/// Lets administrators in, if the server has routes for them.
pub(crate) async fn admin(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = caller(&app, &mut request)?;
    if !app.settings.admin.is_on() {
        return Err(ApiError::new(
            Code::AdminDisabled,
            "administration is off; start the server with --admin",
        ));
    }
    if caller.role != Role::Admin {
        return Err(ApiError::new(Code::AdminRequired, "key is none of an administrator"));
    }
    Ok(next.run(request).await)
}
