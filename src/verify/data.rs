//! The data files that are built in.

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "matchers/"]
struct Files;

/// The table `name` of `matchers/tables`; empty where there is none.
pub fn table(name: &str) -> String {
    text(&format!("tables/{name}"))
}

/// The problem-matcher files by name, sorted.
pub fn matchers() -> Vec<(String, String)> {
    let mut names: Vec<String> =
        Files::iter().filter(|name| !name.contains('/')).map(|name| name.into_owned()).collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), text(&name))).collect()
}

fn text(name: &str) -> String {
    Files::get(name).map(|file| String::from_utf8_lossy(&file.data).into_owned()).unwrap_or_default()
}
