//! What `regreen demo` plays: small broken projects, and one ticket with recorded answers.
//!
//! The files lie under `assets/demo` and are embedded in the program. Two names are changed there so that neither cargo nor git takes
//! the projects for parts of this one; [`unpack`] changes them back.

use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::patch::RelPath;

/// A small project that is red, with a fault of the kind that happens, which the deterministic tier can repair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoProject {
    /// Its folder in the demo, and its name on the command line.
    pub name: &'static str,
    /// What it is written in.
    pub language: &'static str,
    /// What is wrong with it, for people.
    pub fault: &'static str,
    /// The command that should be green: program and arguments.
    pub goal: &'static [&'static str],
    /// Programs that must be there.
    pub needs: &'static [&'static str],
    /// What must run once before, with the registries in reach.
    pub setup: Option<&'static [&'static str]>,
}

/// The broken projects, the quickest first.
pub const PROJECTS: &[DemoProject] = &[
    DemoProject {
        name: "python-stats",
        language: "Python",
        fault: "a misspelt variable and a forgotten import",
        goal: &["python3", "-m", "unittest"],
        needs: &["python3"],
        setup: None,
    },
    DemoProject {
        name: "python-agenda",
        language: "Python",
        fault: "the import of a function under a wrong name",
        goal: &["python3", "-m", "unittest"],
        needs: &["python3"],
        setup: None,
    },
    DemoProject {
        name: "rust-library",
        language: "Rust",
        fault: "a lost import, and a call by a method's old name",
        goal: &["cargo", "test"],
        needs: &["cargo", "rustc"],
        setup: None,
    },
    DemoProject {
        name: "rust-timetable",
        language: "Rust",
        fault: "two forgotten `mut`s, and a borrowed text where an owned one is wanted",
        goal: &["cargo", "test"],
        needs: &["cargo", "rustc"],
        setup: None,
    },
    DemoProject {
        name: "typescript-cart",
        language: "TypeScript",
        fault: "a misspelt property and a dropped import",
        goal: &["npm", "test"],
        needs: &["node", "npm"],
        setup: Some(&["npm", "ci"]),
    },
];

/// A green project, a ticket for it, and what a model answered to it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DemoTicket {
    /// The project's folder in the demo; its checks are in its `regreen.toml`.
    pub project: &'static str,
    /// The ticket's file in the demo.
    pub ticket: &'static str,
    /// The folder of the recorded answers: the plan, one answer to the first sub-task, two to the second, of which the first fails
    /// tests.
    pub answers: &'static str,
    /// Programs that must be there.
    pub needs: &'static [&'static str],
}

/// The recorded ticket.
pub const TICKET: DemoTicket = DemoTicket {
    project: "ticket-notes/project",
    ticket: "ticket-notes/ticket.md",
    answers: "ticket-notes/answers",
    needs: &["python3"],
};

#[derive(rust_embed::Embed)]
#[folder = "assets/demo"]
struct Files;

/// The names that differ between the embedded files and the unpacked ones.
const RENAMED: &[(&str, &str)] = &[("Cargo.toml.in", "Cargo.toml"), ("gitignore", ".gitignore")];

/// Writes a folder of the demo (a project's name, [`DemoTicket::answers`], …) to `into`, which is made if it is not there.
///
/// # Errors
/// Where there is no such folder in the demo, or a file cannot be written. Files that are there are not overwritten: that is an error
/// too.
pub fn unpack(folder: &str, into: &Path) -> Result<()> {
    let mut some = false;
    for path in Files::iter() {
        let Some(inner) = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')) else { continue };
        let file = Files::get(&path).with_context(|| format!("the demo has no {path}"))?;
        let inner = RelPath::new(inner)?;
        let name = RENAMED.iter().find(|(packed, _)| *packed == inner.file_name()).map(|(_, name)| *name);
        let folder = inner.parent().map_or_else(|| into.to_owned(), |parent| parent.under(into));
        let target = folder.join(name.unwrap_or(inner.file_name()));
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let write = std::fs::File::create_new(&target)
            .and_then(|mut out| std::io::Write::write_all(&mut out, &file.data));
        write.with_context(|| format!("cannot write {}", target.display()))?;
        some = true;
    }
    if !some {
        bail!("the demo has no {folder:?}");
    }
    Ok(())
}

/// A single file of the demo as text, such as [`DemoTicket::ticket`].
///
/// # Errors
/// Where there is no such file in the demo.
pub fn text(path: &str) -> Result<String> {
    let file = Files::get(path).with_context(|| format!("the demo has no {path:?}"))?;
    Ok(String::from_utf8_lossy(&file.data).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edits;
    use crate::patch::{Patch, Tree};
    use crate::plan::{Plan, Ticket};

    #[test]
    fn every_project_unpacks_under_its_own_names() {
        let dir = tempfile::tempdir().unwrap();
        for project in PROJECTS {
            let into = dir.path().join(project.name);
            unpack(project.name, &into).unwrap();
            assert!(
                into.join(".gitignore").is_file() && !into.join("gitignore").exists(),
                "{}",
                project.name
            );
            let manifest = match project.language {
                "Rust" => "Cargo.toml",
                "TypeScript" => "package.json",
                _ => "tests/__init__.py",
            };
            assert!(into.join(manifest).is_file(), "{}", project.name);
            assert!(unpack(project.name, &into).is_err(), "nothing is overwritten");
        }
        assert!(unpack("python", dir.path()).is_err(), "a folder's whole name");
    }

    #[test]
    fn the_ticket_and_its_recorded_plan_belong_together() {
        let ticket = Ticket::parse(text(TICKET.ticket).unwrap(), TICKET.ticket).unwrap();
        assert_eq!(ticket.acceptance.len(), 5);
        let dir = tempfile::tempdir().unwrap();
        unpack(TICKET.answers, dir.path()).unwrap();
        let answer = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        let recorded = answer("01-plan.md");
        let plan = Plan::from_json(recorded.rsplit("---\n").next().unwrap()).unwrap();
        assert!(plan.blocking().is_empty());
        let ids: Vec<&str> = plan.subtasks().map(|(_, task)| task.id.as_str()).collect();
        assert_eq!(ids, ["1.1", "1.2"]);
        for (id, file) in [("1.1", "02-add-slugify.md"), ("1.2", "03-unique-slug.md")] {
            let when = format!("Sub-task {id}");
            assert!(answer(file).contains(&format!("when: {when}\n")), "{file}");
            assert!(plan.subtask(id).unwrap().task_text(&plan, &ticket).contains(&when));
        }
    }

    #[test]
    fn the_recorded_edits_apply_to_the_project_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let (project, answers) = (dir.path().join("project"), dir.path().join("answers"));
        unpack(TICKET.project, &project).unwrap();
        unpack(TICKET.answers, &answers).unwrap();
        let apply = |base: &Patch, name: &str| {
            let text = std::fs::read_to_string(answers.join(name)).unwrap();
            let parsed = edits::parse(&text).unwrap();
            base.then(&edits::apply(&parsed.edits, &Tree { root: &project, patch: base }).unwrap())
        };
        let first = apply(&Patch::new(), "02-add-slugify.md");
        let failing = apply(&first, "03-unique-slug.md");
        // Whether the failing try is kept or dropped, the second one leads to the same tree.
        let repaired = apply(&failing, "04-unique-slug-again.md");
        assert_eq!(repaired, apply(&first, "04-unique-slug-again.md"));
        assert_eq!(repaired.len(), 4);
        assert_ne!(repaired, failing);
    }
}
