//! The API under `/api/v1`. Its description is made of the handlers themselves, so that it cannot say something else.

mod alerts;
pub(super) mod approvals;
mod auto_fix;
mod events;
pub(super) mod halts;
pub(super) mod incidents;
mod overview;
pub(super) mod postmortems;
pub(super) mod proposals;
mod queue;
pub(super) mod repos;
pub(super) mod runs;
mod service;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequest, FromRequestParts, Request, State};
use axum::http::header;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Shared;
use super::access::{Caller, Scope};
use super::problem::Problem;

/// The API of the service.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Regreen",
        description = "Runs that turn red into green, and what people decide about them. Errors are problem details (RFC 9457)."
    ),
    components(schemas(
        Problem,
        runs::Standing,
        queue::Priority,
        proposals::ProposalState,
        proposals::Part,
        incidents::IncidentState,
    )),
    tags(
        (name = "runs", description = "What was run, and what can be done with it"),
        (name = "repos", description = "The repos that are looked after"),
        (name = "events", description = "What happens, as it happens"),
        (name = "proposals", description = "Changes that are suggested, tested, repaired, approved and applied"),
        (name = "incidents", description = "What went wrong where programs really run"),
        (name = "approvals", description = "What waits for a person"),
        (name = "service", description = "The service itself"),
    )
)]
struct Description;

/// Query parameters that name what is wrong with them.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(crate) struct Query<T>(pub(crate) T);

/// Parts of the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(crate) struct Path<T>(pub(crate) T);

/// A body of JSON.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Problem))]
pub(crate) struct Body<T>(pub(crate) T);

/// A form of a page.
#[derive(FromRequest)]
#[from_request(via(axum::Form), rejection(Problem))]
pub(crate) struct Form<T>(pub(crate) T);

/// The routes that need a token, and the description of all.
pub(super) fn routes() -> (Router<Arc<Shared>>, utoipa::openapi::OpenApi) {
    let read = OpenApiRouter::new()
        .routes(routes!(runs::list))
        .routes(routes!(runs::show))
        .routes(routes!(runs::patch))
        .routes(routes!(runs::log))
        .routes(routes!(runs::calls))
        .routes(routes!(events::of_run))
        .routes(routes!(events::of_all))
        .routes(routes!(approvals::list))
        .routes(routes!(proposals::list))
        .routes(routes!(proposals::show))
        .routes(routes!(proposals::patch))
        .routes(routes!(incidents::list))
        .routes(routes!(incidents::show))
        .routes(routes!(auto_fix::status))
        .routes(routes!(auto_fix::older_status))
        .routes(routes!(queue::list))
        .routes(routes!(halts::list))
        .routes(routes!(repos::list))
        .routes(routes!(repos::show))
        .routes(routes!(overview::stats))
        .routes(routes!(postmortems::list))
        .routes(routes!(postmortems::show))
        .routes(routes!(alerts::list))
        .routes(routes!(service::settings))
        .routes(routes!(service::me))
        .route_layer(from_fn_with_state(Scope::Read, scoped));
    let submit = OpenApiRouter::new()
        .routes(routes!(queue::submit))
        .routes(routes!(queue::cancel))
        .routes(routes!(queue::retry))
        .routes(routes!(proposals::create))
        .routes(routes!(proposals::test))
        .routes(routes!(incidents::report))
        .routes(routes!(incidents::heal))
        .routes(routes!(auto_fix::post))
        .routes(routes!(auto_fix::older_post))
        .route_layer(from_fn_with_state(Scope::Submit, scoped));
    let approve = OpenApiRouter::new()
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::reject))
        .routes(routes!(approvals::roll_back))
        .routes(routes!(proposals::approve))
        .routes(routes!(proposals::reject))
        .routes(routes!(proposals::apply))
        .routes(routes!(proposals::roll_back))
        .routes(routes!(incidents::ignore))
        .routes(routes!(incidents::open))
        .routes(routes!(alerts::acknowledge))
        .route_layer(from_fn_with_state(Scope::Approve, scoped));
    let admin = OpenApiRouter::new()
        .routes(routes!(repos::add))
        .routes(routes!(repos::change, repos::remove))
        .routes(routes!(halts::halt))
        .routes(routes!(halts::unhalt))
        .routes(routes!(service::tokens))
        .routes(routes!(service::audit))
        .route_layer(from_fn_with_state(Scope::Admin, scoped));
    let all = OpenApiRouter::with_openapi(Description::openapi())
        .nest("/api/v1", read.merge(submit).merge(approve).merge(admin));
    let (router, mut document) = all.split_for_parts();
    complete(&mut document);
    (router, document)
}

/// What every operation has: an answer for whatever goes wrong, and the way to show a token.
fn complete(document: &mut utoipa::openapi::OpenApi) {
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    let components = document.components.get_or_insert_with(Default::default);
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("A token that `regreen token create` made"))
        .build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    let wrong = ResponseBuilder::new()
        .description("Whatever goes wrong")
        .content("application/problem+json", problem)
        .build();
    for item in document.paths.paths.values_mut() {
        for operation in
            [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete].into_iter().flatten()
        {
            let responses = &mut operation.responses.responses;
            responses.insert("default".to_owned(), RefOr::T(wrong.clone()));
        }
    }
}

async fn scoped(
    State(scope): State<Scope>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    caller.needs(scope)?;
    Ok(next.run(request).await)
}

/// The routes that need none.
pub(super) fn open_routes() -> Router<Arc<Shared>> {
    Router::new().route("/api/v1/openapi.json", get(description))
}

async fn description(State(shared): super::App) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], shared.document.clone()).into_response()
}

/// A path of the API that is none.
pub(super) fn nowhere() -> Problem {
    Problem::not_found("the API has no such path").hint("/api/v1/openapi.json lists them")
}

/// How many were asked for.
fn limit(asked: Option<u32>, usual: u32, most: u32) -> Result<u32, Problem> {
    match asked.unwrap_or(usual) {
        number if (1..=most).contains(&number) => Ok(number),
        _ => Err(Problem::bad_request(format!("the number is not between 1 and {most}"))),
    }
}
