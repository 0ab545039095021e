//! Files that say what a project is made of: manifests, lock files and the settings of package managers.

/// Files that decide what a setup installs, by name.
const NAMES: &[&str] = &[
    ".node-version",
    ".npmrc",
    ".nvmrc",
    ".python-version",
    ".tool-versions",
    ".yarnrc",
    ".yarnrc.yml",
    "Cargo.lock",
    "Cargo.toml",
    "Gemfile",
    "Gemfile.lock",
    "Pipfile",
    "Pipfile.lock",
    "bun.lock",
    "bun.lockb",
    "composer.json",
    "composer.lock",
    "go.mod",
    "go.sum",
    "npm-shrinkwrap.json",
    "package-lock.json",
    "package.json",
    "pnpm-lock.yaml",
    "pnpm-workspace.yaml",
    "poetry.lock",
    "pyproject.toml",
    "rust-toolchain",
    "rust-toolchain.toml",
    "setup.cfg",
    "setup.py",
    "uv.lock",
    "uv.toml",
    "yarn.lock",
];

/// Whether a file of this name decides what a setup installs.
pub fn decides(name: &str) -> bool {
    let list =
        (name.starts_with("requirements") || name.starts_with("constraints")) && name.ends_with(".txt");
    // A package's script may make code of it while it is installed.
    NAMES.contains(&name) || list || name.ends_with(".prisma")
}
