//! The dashboard: pages made here, usable without a script, and kept up to date by one that follows the events.
//!
//! Every text that a template shows goes through [`crate::plain`] and is escaped, whoever wrote it; templates cannot forget it.

mod approvals;
mod assets;
mod incidents;
mod listed;
mod login;
mod overview;
mod postmortems;
mod proposal;
mod proposals;
mod repos;
mod run;
mod runs;
mod settings;
mod shown;

use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use minijinja::{AutoEscape, Environment, Error, UndefinedBehavior, Value, context};
use serde::de::DeserializeOwned;
use subtle::ConstantTimeEq;

use super::Shared;
use super::access::{Caller, Scope};
use super::door::BODY;
use super::problem::Problem;
use crate::store;

/// The pages, for who has a session.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(runs::page))
        .route("/overview", get(overview::page))
        .route("/alerts/{alert}/acknowledge", post(overview::acknowledge))
        .route("/postmortems", get(postmortems::list))
        .route("/runs/{run}/postmortem", get(postmortems::one))
        .route("/approvals", get(approvals::page))
        .route("/settings", get(settings::page))
        .route("/settings/halt", post(settings::halt))
        .route("/settings/unhalt", post(settings::unhalt))
        .route("/proposals", get(proposals::page))
        .route("/proposals/{proposal}", get(proposal::page))
        .route("/proposals/{proposal}/repair", get(proposal::progress))
        .route("/proposals/{proposal}/auto-fix", post(proposal::auto_fix))
        .route("/proposals/{proposal}/test", post(proposal::test))
        .route("/proposals/{proposal}/approve", post(proposal::approve))
        .route("/proposals/{proposal}/reject", post(proposal::reject))
        .route("/proposals/{proposal}/apply", post(proposal::apply))
        .route("/proposals/{proposal}/rollback", post(proposal::roll_back))
        .route("/proposals/{proposal}/cancel", post(proposal::cancel))
        .route("/incidents", get(incidents::page))
        .route("/incidents/{incident}", get(incidents::one))
        .route("/incidents/{incident}/heal", post(incidents::heal))
        .route("/incidents/{incident}/ignore", post(incidents::ignore))
        .route("/incidents/{incident}/open", post(incidents::open))
        .route("/repos", get(repos::list).post(repos::add))
        .route("/repos/{repo}", get(repos::one))
        .route("/repos/{repo}/pause", post(repos::pause))
        .route("/repos/{repo}/unpause", post(repos::unpause))
        .route("/repos/{repo}/concurrency", post(repos::limit))
        .route("/repos/{repo}/remove", post(repos::remove))
        .route("/runs/{run}", get(run::page))
        .route("/runs/{run}/logs/{seq}", get(run::log))
        .route("/runs/{run}/approve", post(run::approve))
        .route("/runs/{run}/reject", post(run::reject))
        .route("/runs/{run}/rollback", post(run::roll_back))
        .route("/runs/{run}/cancel", post(run::cancel))
        .route("/runs/{run}/retry", post(run::retry))
        .route("/logout", post(login::leave))
}

/// What is there for everybody.
pub(super) fn open_routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/login", get(login::page).post(login::enter))
        .route("/assets/{name}", get(assets::file))
        .route("/favicon.ico", get(assets::icon))
}

/// A path that is none.
pub(super) async fn nowhere(uri: Uri) -> Broken {
    Broken(Problem::not_found(format!("there is no page {}", uri.path())))
}

const TEMPLATES: &[(&str, &str)] = &[
    ("base.html", include_str!("../../../assets/web/base.html")),
    ("parts.html", include_str!("../../../assets/web/parts.html")),
    ("runs.html", include_str!("../../../assets/web/runs.html")),
    ("run_base.html", include_str!("../../../assets/web/run_base.html")),
    ("run.html", include_str!("../../../assets/web/run.html")),
    ("proposals.html", include_str!("../../../assets/web/proposals.html")),
    ("proposal.html", include_str!("../../../assets/web/proposal.html")),
    ("incidents.html", include_str!("../../../assets/web/incidents.html")),
    ("incident.html", include_str!("../../../assets/web/incident.html")),
    ("repair.html", include_str!("../../../assets/web/repair.html")),
    ("queued.html", include_str!("../../../assets/web/queued.html")),
    ("log.html", include_str!("../../../assets/web/log.html")),
    ("postmortems.html", include_str!("../../../assets/web/postmortems.html")),
    ("postmortem.html", include_str!("../../../assets/web/postmortem.html")),
    ("overview.html", include_str!("../../../assets/web/overview.html")),
    ("approvals.html", include_str!("../../../assets/web/approvals.html")),
    ("repos.html", include_str!("../../../assets/web/repos.html")),
    ("repo.html", include_str!("../../../assets/web/repo.html")),
    ("settings.html", include_str!("../../../assets/web/settings.html")),
    ("login.html", include_str!("../../../assets/web/login.html")),
    ("error.html", include_str!("../../../assets/web/error.html")),
];

static PAGES: LazyLock<std::result::Result<Environment<'static>, Error>> = LazyLock::new(|| {
    let mut pages = Environment::new();
    pages.set_auto_escape_callback(|_| AutoEscape::Html);
    pages.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    pages.set_trim_blocks(true);
    pages.set_lstrip_blocks(true);
    pages.set_formatter(|out, state, value| match value.as_str() {
        Some(text) if !value.is_safe() => {
            minijinja::escape_formatter(out, state, &Value::from(crate::plain::plain(text)))
        }
        _ => minijinja::escape_formatter(out, state, value),
    });
    shown::filters(&mut pages);
    pages.add_global("assets", assets::addresses());
    pages.add_global("version", env!("CARGO_PKG_VERSION"));
    for (name, text) in TEMPLATES {
        pages.add_template(name, text)?;
    }
    Ok(pages)
});

/// Renders a template.
fn render(name: &str, values: Value) -> Result<String, Problem> {
    let pages = PAGES.as_ref().map_err(|error| anyhow::anyhow!("the pages do not compile: {error:#}"))?;
    let page = pages.get_template(name).and_then(|page| page.render(values));
    Ok(page.map_err(|error| anyhow::anyhow!("the page {name} cannot be rendered: {error:#}"))?)
}

fn html(status: StatusCode, text: String) -> Response {
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    (status, [(header::CONTENT_TYPE, kind)], text).into_response()
}

/// A page for who has a session.
async fn page(shared: &Shared, caller: &Caller, name: &str, values: Value) -> Result<Response, Broken> {
    caller.needs(Scope::Read)?;
    let waiting = shared.store.approvals(None).await?.len();
    let halt = |halt: store::Halt| {
        context! { repo => halt.repo, at => halt.at.to_string(), by => halt.person, reason => halt.reason }
    };
    let halts: Vec<Value> = shared.store.halts().await?.into_iter().map(halt).collect();
    let common = context! {
        here => name, caller => caller.name, seal => caller.seal, waiting, now => shared.clock.now().to_string(),
        halts, may_halt => caller.may(Scope::Admin),
    };
    Ok(html(StatusCode::OK, render(name, context! { ..values, ..common })?))
}

/// What went wrong, as a page.
pub(super) struct Broken(Problem);

impl<T: Into<Problem>> From<T> for Broken {
    fn from(problem: T) -> Self {
        Broken(problem.into())
    }
}

impl IntoResponse for Broken {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let (detail, hint) = self.0.detail();
        match render("error.html", context! { status => status.as_u16(), detail, hint }) {
            Ok(text) => {
                let mut response = html(status, text);
                if let Some(after) = self.0.into_response().headers().get(header::RETRY_AFTER) {
                    response.headers_mut().insert(header::RETRY_AFTER, after.clone());
                }
                response
            }
            Err(problem) => problem.into_response(),
        }
    }
}

/// A form that says nothing but what it is for.
#[derive(serde::Deserialize)]
struct Nothing {}

/// A form of one of our own pages: it has the seal of the session that sends it.
struct Sealed<T> {
    caller: Caller,
    form: T,
}

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Sealed<T> {
    type Rejection = Broken;

    async fn from_request(request: Request, _: &Arc<Shared>) -> Result<Self, Broken> {
        let Some(caller) = request.extensions().get::<Caller>().cloned() else {
            return Err(Problem::unauthorized("the request has no session").into());
        };
        let body = to_bytes(request.into_body(), BODY).await.map_err(|_| Problem::too_large(BODY))?;
        let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(&body)
            .map_err(|error| Problem::bad_request(format!("the form cannot be read: {error}")))?;
        let sent = fields.iter().find(|(name, _)| name == "seal").map_or("", |(_, seal)| seal.as_str());
        let own = caller.seal.as_deref().unwrap_or_default();
        if own.is_empty() || !bool::from(own.as_bytes().ct_eq(sent.as_bytes())) {
            let problem = Problem::forbidden("the form is not one of this session's pages");
            return Err(problem.hint("go back, load the page again, and send it once more").into());
        }
        let form = serde_urlencoded::from_bytes(&body)
            .map_err(|error| Problem::bad_request(format!("the form cannot be read: {error}")))?;
        Ok(Self { caller, form })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_compiles() {
        assert!(PAGES.is_ok(), "{:?}", PAGES.as_ref().err());
    }

    #[test]
    fn whatever_a_template_shows_is_text() {
        let mut pages = PAGES.as_ref().expect("they compile").clone();
        pages.add_template("try.html", "<a title=\"{{ text }}\">{{ text }}</a>").unwrap();
        let text = "</a><script>alert(1)</script>\" onload='x'\u{1b}[31mred\u{202e}gpj.exe\u{0}";
        let shown = pages.get_template("try.html").unwrap().render(context! { text }).unwrap();
        let inner = shown.replace("<a title=\"", "").replace("</a>", "");
        assert!(!inner.contains(['\u{1b}', '\u{202e}', '\u{0}']), "{shown}");
        assert_eq!(shown.matches('<').count(), 2, "{shown}");
        assert_eq!(shown.matches('"').count(), 2, "{shown}");
    }
}
