//! What `service.cjs` answers. Offsets are UTF-8 bytes, paths relative to the repo's root.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
pub(super) struct Failed {
    pub error: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Opened {
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub version: String,
    #[serde(default)]
    pub projects: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Judged {
    pub diagnostics: Vec<Told>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Told {
    pub code: u32,
    pub message: String,
    pub file: Option<String>,
    pub start: usize,
    pub end: usize,
    pub line: u32,
    #[serde(default)]
    pub related: Vec<Related>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Related {
    pub file: String,
    pub start: usize,
    pub end: usize,
    pub message: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Fixes {
    /// One for each of the first diagnostics, in their order.
    pub fixes: Vec<Help>,
}

/// What may help with one diagnostic.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Help {
    /// The service's own quick fixes.
    pub fixes: Vec<Fix>,
    /// Names that exist where the diagnostic's name does not.
    pub names: Vec<Named>,
    /// Files that declare the name which an import asks for.
    pub exporters: Vec<Exporter>,
    /// The node at the diagnostic.
    #[serde(default)]
    pub at: Option<Node>,
    /// The module that the import or export at hand names.
    #[serde(default)]
    pub specifier: Option<Node>,
    /// The file which that is.
    #[serde(default)]
    pub module: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Fix {
    pub name: String,
    pub title: String,
    pub late: bool,
    pub edits: Vec<TextEdit>,
}

#[derive(Debug, Deserialize)]
pub(super) struct TextEdit {
    pub file: String,
    pub start: usize,
    pub end: usize,
    pub text: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Named {
    pub text: String,
    pub declared: Option<Span>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Span {
    pub file: String,
    pub start: usize,
    pub end: usize,
}

#[derive(Debug, Deserialize)]
pub(super) struct Node {
    pub start: usize,
    pub end: usize,
    pub text: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Exporter {
    pub file: String,
    pub exported: bool,
    /// Where the declaration's statement starts, if it is not exported.
    #[serde(default)]
    pub at: usize,
}
