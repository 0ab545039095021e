//! Module specifiers: how one file names another.

use crate::patch::RelPath;

/// The specifier of `to` in `from`, written as `like` is: with or without an extension, `index` named or not.
pub(in crate::fixers::codefix) fn specifier(from: &RelPath, to: &RelPath, like: &str) -> String {
    let target = to.as_str();
    let (stem, extension) = target.rsplit_once('.').unwrap_or((target, ""));
    let has_extension =
        [".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".mts"].iter().find(|end| like.ends_with(**end));
    let path = match has_extension {
        Some(end) if end.ends_with("ts") || end.ends_with("tsx") => target.to_owned(),
        Some(_) => {
            let script = match extension {
                "ts" => "js",
                "tsx" => {
                    if like.ends_with(".jsx") {
                        "jsx"
                    } else {
                        "js"
                    }
                }
                "mts" => "mjs",
                "cts" => "cjs",
                other => other,
            };
            format!("{stem}.{script}")
        }
        None if matches!(extension, "ts" | "tsx" | "js" | "jsx" | "mts" | "cts" | "mjs" | "cjs") => {
            let stem = stem.strip_suffix(".d").unwrap_or(stem);
            stem.strip_suffix("/index").unwrap_or(stem).to_owned()
        }
        None => target.to_owned(),
    };
    relative(from, &path)
}

fn relative(from: &RelPath, to: &str) -> String {
    let folder: Vec<&str> = from.as_str().split('/').collect();
    let folder = &folder[..folder.len() - 1];
    let parts: Vec<&str> = to.split('/').collect();
    let common =
        folder.iter().zip(&parts).take_while(|(a, b)| a == b).count().min(parts.len().saturating_sub(1));
    let ups = folder.len() - common;
    let up = if ups == 0 { "./".to_owned() } else { "../".repeat(ups) };
    format!("{up}{}", parts[common..].join("/"))
}

/// Whether a path is a script that can be imported.
pub(in crate::fixers::codefix) fn is_script(path: &RelPath) -> bool {
    matches!(
        path.extension(),
        Some(
            "ts" | "tsx"
                | "mts"
                | "cts"
                | "js"
                | "jsx"
                | "mjs"
                | "cjs"
                | "json"
                | "css"
                | "scss"
                | "vue"
                | "svelte"
                | "svg"
        )
    )
}

/// The last part of a specifier without its extension.
pub(in crate::fixers::codefix) fn stem(specifier: &str) -> &str {
    let last = specifier.rsplit('/').next().unwrap_or(specifier);
    last.split('.').next().unwrap_or(last)
}

/// Node's own modules.
pub(in crate::fixers::codefix) const BUILTIN: &[&str] = &[
    "assert",
    "assert/strict",
    "async_hooks",
    "buffer",
    "child_process",
    "cluster",
    "console",
    "crypto",
    "dns",
    "events",
    "fs",
    "fs/promises",
    "http",
    "http2",
    "https",
    "module",
    "net",
    "os",
    "path",
    "perf_hooks",
    "process",
    "querystring",
    "readline",
    "stream",
    "stream/promises",
    "string_decoder",
    "timers",
    "timers/promises",
    "tls",
    "tty",
    "url",
    "util",
    "v8",
    "vm",
    "worker_threads",
    "zlib",
    "test",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_are_written_as_their_neighbours() {
        let path = |text: &str| RelPath::new(text).unwrap();
        let from = path("src/app/main.ts");
        assert_eq!(specifier(&from, &path("src/app/tools.ts"), "./tols"), "./tools");
        assert_eq!(specifier(&from, &path("src/app/tools.ts"), "./tols.js"), "./tools.js");
        assert_eq!(specifier(&from, &path("src/lib/index.ts"), "../lb"), "../lib");
        assert_eq!(specifier(&from, &path("src/view.tsx"), "./view.js"), "../view.js");
        assert_eq!(specifier(&path("a.ts"), &path("b/c.json"), "./c"), "./b/c.json");
    }
}
