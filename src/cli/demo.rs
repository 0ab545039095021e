//! `regreen demo`: heals a handful of small broken projects live, without any key, and plays one ticket by recorded answers.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::demo_content::{self, DemoProject, PROJECTS, TICKET};
use super::page::Page;
use super::paint::{BAD, CARE, DIM, GOOD, NAME, STRONG, paint, say, table};
use crate::clock::human;
use crate::fault::{Exit, Fault};
use crate::process::{Invocation, foreground, run};

/// Heal a handful of small broken projects, without any key.
#[derive(Debug, clap::Args)]
pub(super) struct Demo {
    /// Where the projects go (a folder that is not there yet)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Only these projects, or `ticket`
    #[arg(value_name = "NAME")]
    only: Vec<String>,
}

/// How one part of the demo went.
enum Part {
    Healed,
    Failed(i32),
    LeftOut(String),
}

impl Demo {
    pub(super) async fn run(self) -> Result<Exit> {
        let known: Vec<&str> = PROJECTS.iter().map(|project| project.name).chain(["ticket"]).collect();
        if let Some(unknown) = self.only.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(Fault::usage(format!("the demo has no {unknown:?}"))
                .hint(format!("it has {}", known.join(", ")))
                .into());
        }
        let wanted = |name: &str| self.only.is_empty() || self.only.iter().any(|only| only == name);
        let folder = place(self.dir.clone())?;
        let me = std::env::current_exe().context("cannot tell where regreen itself is")?;
        let page = Page::of_stderr();
        let shown = shell_words::quote(&folder.to_string_lossy()).into_owned();
        let intro = format!(
            "Small broken projects are healed here, one after the other, by what the compilers and interpreters say: no key, no model. \
             Everything is really built and tested, in {shown}."
        );
        for part in page.wrap(&intro, 0, 0) {
            say(&part);
        }
        let start = Instant::now();
        let mut rows = vec![["PROJECT", "LANGUAGE", "RESULT", "FAULT"].map(String::from).to_vec()];
        let mut all_good = true;
        for project in PROJECTS.iter().filter(|project| wanted(project.name)) {
            let began = Instant::now();
            let root = folder.join(project.name);
            let part = heal(&me, project, &root).await?;
            all_good &= !matches!(part, Part::Failed(_));
            rows.push(vec![
                project.name.to_owned(),
                project.language.to_owned(),
                told(&part, began.elapsed()),
                project.fault.to_owned(),
            ]);
        }
        if wanted("ticket") {
            let began = Instant::now();
            let part = ticket(&me, &folder).await?;
            all_good &= !matches!(part, Part::Failed(_));
            rows.push(vec![
                "ticket".to_owned(),
                "Python".to_owned(),
                told(&part, began.elapsed()),
                "a feature, from recorded answers".to_owned(),
            ]);
        }
        say(&format!("\n{}", table(&rows, page)));
        say(&paint(DIM, format!("{} in all", human(start.elapsed()))));
        // What is to be typed must work as it stands, on the path or not.
        let found =
            which::which("regreen").is_ok_and(|found| found.canonicalize().ok() == me.canonicalize().ok());
        let name =
            if found { "regreen".to_owned() } else { shell_words::quote(&me.to_string_lossy()).into_owned() };
        let of = |part: &str| shell_words::quote(&folder.join(part).to_string_lossy()).into_owned();
        let last = PROJECTS.iter().rev().find(|project| folder.join(project.name).exists());
        say("\nThe repositories are yours to look into:");
        if let Some(project) = last {
            say(&format!("  cd {}", paint(NAME, of(project.name))));
            let width = name.len() + " rollback last".len();
            for (command, what) in [
                ("git diff".to_owned(), "what was changed"),
                (format!("{name} show"), "what was tried, and how it was proven"),
                (format!("{name} rollback last"), "take it back"),
            ] {
                say(&format!("  {command:width$}  {}", paint(DIM, format!("# {what}"))));
            }
        }
        if folder.join("ticket-notes").exists() {
            say(&format!("  git -C {} log -p --branches", of("ticket-notes")));
        }
        say(&format!("And in a project of your own:\n  {name} heal -- CMD"));
        Ok(if all_good { Exit::Green } else { Exit::Red })
    }
}

/// The folder of the demo: the one that was asked for, or the first free `regreen-demo` here.
fn place(asked: Option<PathBuf>) -> Result<PathBuf> {
    let folder = match asked {
        Some(folder) if folder.exists() => {
            return Err(Fault::usage(format!("{} is there already", folder.display()))
                .hint("name a folder that is not")
                .into());
        }
        Some(folder) => folder,
        None => {
            let names =
                std::iter::once("regreen-demo".to_owned()).chain((2..).map(|n| format!("regreen-demo-{n}")));
            let mut free = names.map(PathBuf::from).filter(|folder| !folder.exists());
            free.next().context("there is no free name for the demo")?
        }
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.canonicalize()?)
}

fn title(text: &str) {
    say("");
    for (number, part) in Page::of_stderr().wrap(text, 3, 3).into_iter().enumerate() {
        say(&paint(STRONG, format!("{} {part}", if number == 0 { "━━" } else { "  " })));
    }
}

async fn heal(me: &Path, project: &DemoProject, root: &Path) -> Result<Part> {
    title(&format!("{} ({}): {}", project.name, project.language, project.fault));
    if let Some(missing) = missing(project.needs) {
        return Ok(Part::LeftOut(missing));
    }
    demo_content::unpack(project.name, root)?;
    commit(root).await?;
    if let Some(setup) = project.setup {
        say(&paint(DIM, format!("$ {}", setup.join(" "))));
        let output = quietly(root, setup, Duration::from_secs(600)).await?;
        if output.status != Some(0) {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Ok(Part::LeftOut(format!(
                "{} failed: {}",
                setup.join(" "),
                super::paint::line(&said, 120)
            )));
        }
    }
    let mut argv = vec!["heal", "--no-model", "--"];
    argv.extend(project.goal);
    regreen(me, root, &argv, &[]).await
}

async fn ticket(me: &Path, folder: &Path) -> Result<Part> {
    title("ticket (Python): a note gets an address");
    let label = "The model's answers in this part are recorded ones, played back. Everything is really built and tested.";
    for part in Page::of_stderr().wrap(label, 0, 0) {
        say(&paint(CARE, part));
    }
    if let Some(missing) = missing(TICKET.needs) {
        return Ok(Part::LeftOut(missing));
    }
    let root = folder.join("ticket-notes");
    demo_content::unpack(TICKET.project, &root)?;
    commit(&root).await?;
    let answers = folder.join("ticket-answers");
    demo_content::unpack(TICKET.answers, &answers)?;
    let ticket = folder.join("ticket.md");
    std::fs::write(&ticket, demo_content::text(TICKET.ticket)?)?;
    let config = folder.join("ticket-config.toml");
    let recording = toml::Value::String(answers.to_string_lossy().into_owned());
    std::fs::write(
        &config,
        format!(
            "# Plays recorded answers instead of asking a model.\n[providers.recorded]\nkind = \"replay\"\nrecording = {recording}\n\n\
             [[ladder]]\nfixer = \"model\"\nprovider = \"recorded\"\nmodel = \"recorded\"\nattempts = 3\n"
        ),
    )?;
    let ticket = ticket.to_string_lossy().into_owned();
    let config = config.to_string_lossy().into_owned();
    regreen(me, &root, &["run", &ticket], &[("REGREEN_CONFIG".to_owned(), config)]).await
}

/// Runs this program as a person would, and shows the command.
async fn regreen(me: &Path, root: &Path, arguments: &[&str], env: &[(String, String)]) -> Result<Part> {
    let names: String =
        env.iter().map(|(name, value)| format!("{name}={} ", shell_words::quote(value))).collect();
    say(&paint(DIM, format!("$ {names}regreen {}", shell_words::join(arguments))));
    let argv = std::iter::once(me.to_string_lossy().into_owned())
        .chain(arguments.iter().map(|one| (*one).to_owned()));
    let code = foreground(argv.collect(), root, env).await?;
    Ok(match code {
        Some(0) => Part::Healed,
        code => Part::Failed(code.unwrap_or(-1)),
    })
}

/// Makes a repository of a folder, with everything committed.
async fn commit(root: &Path) -> Result<()> {
    let identity =
        ["-c", "user.name=Demo", "-c", "user.email=demo@example.org", "-c", "commit.gpgsign=false"];
    for arguments in [&["init", "-q", "-b", "main"][..], &["add", "-A"], &["commit", "-q", "-m", "Begin"]] {
        let argv: Vec<&str> =
            std::iter::once("git").chain(identity).chain(arguments.iter().copied()).collect();
        let output = quietly(root, &argv, Duration::from_secs(60)).await?;
        anyhow::ensure!(
            output.status == Some(0),
            "git {}: {}",
            arguments[0],
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

async fn quietly(root: &Path, argv: &[&str], timeout: Duration) -> Result<crate::process::Output> {
    Ok(run(Invocation {
        argv: argv.iter().map(|one| (*one).to_owned()).collect(),
        dir: Some(root.to_owned()),
        env: Vec::new(),
        clear_env: false,
        stdin: None,
        timeout,
        most_output: 64 << 10,
    })
    .await?)
}

fn missing(needs: &[&str]) -> Option<String> {
    let none: Vec<&str> = needs.iter().copied().filter(|program| which::which(program).is_err()).collect();
    (!none.is_empty()).then(|| format!("{} not found", none.join(" and ")))
}

fn told(part: &Part, time: Duration) -> String {
    match part {
        Part::Healed => paint(GOOD, format!("green in {}", human(time))),
        Part::Failed(code) => paint(BAD, format!("not healed (exit {code})")),
        Part::LeftOut(why) => paint(CARE, format!("left out: {why}")),
    }
}
