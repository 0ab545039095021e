//! What the vendors publish of their APIs, as far as Regreen calls them: facts of GitHub's OpenAPI description (api.github.com, 2022-11-28)
//! and of GitLab's REST API v4, written down by us. A request that is not so is one that the real server would refuse.

use serde_json::Value;

/// A field of a body: its name, its type, whether it has to be there.
pub struct Field(pub &'static str, pub Kind, pub bool);

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    Text,
    Flag,
    Names,
    Object,
    /// One of these.
    One(&'static [&'static str]),
    /// At most so many characters.
    Short(usize),
}

/// A call: method, path (`*` for one part), the query's names that it knows, the body's fields.
pub struct Call(pub &'static str, pub &'static str, pub &'static [&'static str], pub &'static [Field]);

use Kind::{Flag, Names, Object, One, Short, Text};

const PAGES: &[&str] = &["per_page", "page"];

pub const GITHUB: &[Call] = &[
    Call("GET", "/repos/*/*", &[], &[]),
    Call("GET", "/repos/*/*/installation", &[], &[]),
    Call(
        "POST",
        "/app/installations/*/access_tokens",
        &[],
        &[
            Field("repositories", Names, false),
            Field("repository_ids", Names, false),
            Field("permissions", Object, false),
        ],
    ),
    Call("GET", "/repos/*/*/branches/*", &[], &[]),
    Call("GET", "/repos/*/*/pulls", &["state", "head", "base", "sort", "direction", "per_page", "page"], &[]),
    Call(
        "POST",
        "/repos/*/*/pulls",
        &[],
        &[
            Field("title", Text, false),
            Field("head", Text, true),
            Field("head_repo", Text, false),
            Field("base", Text, true),
            Field("body", Text, false),
            Field("maintainer_can_modify", Flag, false),
            Field("draft", Flag, false),
            Field("issue", Text, false),
        ],
    ),
    Call("GET", "/repos/*/*/pulls/*", &[], &[]),
    Call(
        "PATCH",
        "/repos/*/*/pulls/*",
        &[],
        &[
            Field("title", Text, false),
            Field("body", Text, false),
            Field("state", One(&["open", "closed"]), false),
            Field("base", Text, false),
            Field("maintainer_can_modify", Flag, false),
        ],
    ),
    Call(
        "POST",
        "/repos/*/*/statuses/*",
        &[],
        &[
            Field("state", One(&["error", "failure", "pending", "success"]), true),
            Field("target_url", Text, false),
            Field("description", Short(140), false),
            Field("context", Text, false),
        ],
    ),
    Call("GET", "/repos/*/*/issues/*", &[], &[]),
    Call("GET", "/repos/*/*/issues/*/comments", &["since", "per_page", "page"], &[]),
    Call("POST", "/repos/*/*/issues/*/comments", &[], &[Field("body", Text, true)]),
    Call("PATCH", "/repos/*/*/issues/comments/*", &[], &[Field("body", Text, true)]),
    Call("GET", "/repos/*/*/collaborators/*/permission", &[], &[]),
    Call("GET", "/repos/*/*/actions/runs/*", &["exclude_pull_requests"], &[]),
    Call("GET", "/repos/*/*/actions/runs/*/jobs", &["filter", "per_page", "page"], &[]),
    Call("GET", "/repos/*/*/actions/jobs/*/logs", &[], &[]),
    Call("POST", "/graphql", &[], &[Field("query", Text, true), Field("variables", Object, false)]),
];

pub const GITLAB: &[Call] = &[
    Call("GET", "/projects/*", &["license", "statistics"], &[]),
    Call("GET", "/projects/*/repository/branches/*", &[], &[]),
    Call(
        "GET",
        "/projects/*/merge_requests",
        &["state", "source_branch", "target_branch", "per_page", "page"],
        &[],
    ),
    Call(
        "POST",
        "/projects/*/merge_requests",
        &[],
        &[
            Field("source_branch", Text, true),
            Field("target_branch", Text, true),
            Field("title", Text, true),
            Field("description", Text, false),
            Field("remove_source_branch", Flag, false),
            Field("squash", Flag, false),
            Field("labels", Text, false),
            Field("allow_collaboration", Flag, false),
        ],
    ),
    Call("GET", "/projects/*/merge_requests/*", &[], &[]),
    Call(
        "PUT",
        "/projects/*/merge_requests/*",
        &[],
        &[
            Field("title", Text, false),
            Field("description", Text, false),
            Field("target_branch", Text, false),
            Field("state_event", One(&["close", "reopen"]), false),
        ],
    ),
    Call(
        "POST",
        "/projects/*/statuses/*",
        &[],
        &[
            Field("state", One(&["pending", "running", "success", "failed", "canceled", "skipped"]), true),
            Field("ref", Text, false),
            Field("name", Text, false),
            Field("context", Text, false),
            Field("target_url", Text, false),
            Field("description", Short(255), false),
        ],
    ),
    Call("GET", "/projects/*/issues/*", &[], &[]),
    Call("GET", "/projects/*/issues/*/notes", &["sort", "order_by", "per_page", "page"], &[]),
    Call(
        "POST",
        "/projects/*/issues/*/notes",
        &[],
        &[Field("body", Text, true), Field("internal", Flag, false)],
    ),
    Call("PUT", "/projects/*/issues/*/notes/*", &[], &[Field("body", Text, true)]),
    Call("GET", "/projects/*/merge_requests/*/notes", &["sort", "order_by", "per_page", "page"], &[]),
    Call(
        "POST",
        "/projects/*/merge_requests/*/notes",
        &[],
        &[Field("body", Text, true), Field("internal", Flag, false)],
    ),
    Call("PUT", "/projects/*/merge_requests/*/notes/*", &[], &[Field("body", Text, true)]),
    Call("GET", "/users", &["username", "per_page", "page"], &[]),
    Call("GET", "/projects/*/members/all/*", &[], &[]),
    Call("GET", "/projects/*/pipelines/*", &[], &[]),
    Call("GET", "/projects/*/pipelines/*/jobs", &["scope[]", "include_retried", "per_page", "page"], &[]),
    Call("GET", "/projects/*/jobs/*/trace", &[], &[]),
];

/// The parts of a path that stand for a `*` of the call that it is; else what is wrong with the request.
pub fn check(
    calls: &[Call],
    method: &str,
    path: &str,
    query: &[(String, String)],
    body: &Value,
) -> Result<(&'static str, Vec<String>), String> {
    let parts: Vec<&str> = path.split('/').collect();
    let fits = |call: &&Call| {
        let pattern: Vec<&str> = call.1.split('/').collect();
        call.0 == method
            && pattern.len() == parts.len()
            && pattern.iter().zip(&parts).all(|(want, is)| want == is || (*want == "*" && !is.is_empty()))
    };
    let call = calls.iter().filter(fits).min_by_key(|call| call.1.matches('*').count());
    let call = call.ok_or_else(|| format!("there is no {method} {path}"))?;
    let _ = PAGES;
    for (name, _) in query {
        if !call.2.contains(&name.as_str()) {
            return Err(format!("{method} {} knows no parameter {name}", call.1));
        }
    }
    let fields = body.as_object();
    if method != "GET" && fields.is_none() {
        return Err(format!("{method} {} needs an object", call.1));
    }
    for (name, value) in fields.into_iter().flatten() {
        let Some(Field(_, kind, _)) = call.3.iter().find(|field| field.0 == name) else {
            return Err(format!("{method} {} knows no field {name}", call.1));
        };
        let good = match kind {
            Text => value.is_string(),
            Flag => value.is_boolean(),
            Names => value.as_array().is_some_and(|all| all.iter().all(Value::is_string)),
            Object => value.is_object(),
            One(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Short(most) => value.as_str().is_some_and(|text| text.chars().count() <= *most),
        };
        if !good {
            return Err(format!("{method} {}: {name} is {value}", call.1));
        }
    }
    for Field(name, _, needed) in call.3 {
        if *needed && body.get(name).is_none() {
            return Err(format!("{method} {} lacks {name}", call.1));
        }
    }
    let stars = call.1.split('/').zip(&parts).filter(|(want, _)| *want == "*").map(|(_, is)| decoded(is));
    Ok((call.1, stars.collect()))
}

/// A part of a path without its escapes.
pub fn decoded(part: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = part.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        match (first, more.get(..2).and_then(|two| std::str::from_utf8(two).ok())) {
            (b'%', Some(two)) => {
                bytes.push(u8::from_str_radix(two, 16).expect("two digits"));
                rest = &more[2..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
