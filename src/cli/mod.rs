//! The command line: one file per command.

mod alerts;
mod approve;
mod backup;
mod bench;
mod bench_fairness;
mod bench_memory;
mod bench_queue;
mod cancel;
mod demo;
mod demo_content;
mod doctor;
mod exec;
mod halt;
mod heal;
mod incident_spec;
mod incidents;
mod init;
mod keys;
mod live;
mod logs;
mod manual;
mod markdown;
mod mcp;
mod memory;
mod observe;
mod page;
pub(crate) mod paint;
mod plan;
mod postmortem;
mod proposal;
mod proposal_spec;
mod proposing;
mod repo;
mod resume;
mod rollback;
mod run;
mod runs;
mod serve;
mod service_check;
mod session;
mod show;
mod stats;
mod submit;
mod summary;
mod token;
mod tracker;
mod vacuum;
mod verify;
mod worker;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::fault::{Exit, Fault};

/// Regreen turns red into green and proves it.
#[derive(Debug, Parser)]
#[command(name = "regreen", version, arg_required_else_help = true, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  regreen heal -- cargo test       repair what keeps it from passing, in the working tree
  regreen heal --land commit -- npm test
  regreen run ticket.md            implement a ticket, on a branch of its own
  regreen demo                     see it work, without a key

Exit codes: 0 green, 1 still red, 2 usage, 3 waits for approval or refused, 4 a limit,
5 cannot judge (flaky or infrastructure), 70 a bug in regreen, 130 interrupted";

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a failing command green, and prove it
    Heal(heal::Heal),
    /// Implement a ticket: each sub-task verified, one commit each, on one branch
    Run(run::RunTicket),
    /// Run a program; if it crashes in its own code: heal, restart
    Exec(exec::Exec),
    /// Plan a ticket: stories and sub-tasks with acceptance criteria
    Plan(plan::PlanTicket),
    /// Go on with runs that were cut off
    Resume(resume::Resume),
    /// Put a command or a ticket into the queue
    Submit(submit::Submit),
    /// Do what is in the queue
    Worker(worker::Worker),
    /// End a run of the queue
    Cancel(cancel::Cancel),
    /// Put a run into the queue again
    Retry(cancel::Retry),
    /// List runs
    Runs(runs::Runs),
    /// Show a run: its attempts, patches, proof and cost
    Show(show::Show),
    /// Print what happened in a run, and follow it
    Logs(logs::Logs),
    /// Land a proven patch that waits for a person
    Approve(approve::Approve),
    /// Drop a proven patch that waits for a person
    Reject(approve::Reject),
    /// Stop everything at once, or one repo
    Halt(halt::Halt),
    /// Lift a halt
    Unhalt(halt::Unhalt),
    /// Proposals: changes that are tested, repaired, approved and applied
    Proposal(proposal::Proposal),
    /// Take a landing back
    Rollback(rollback::Rollback),
    /// Replay the proof of a commit
    Verify(verify::Verify),
    /// Serve the API and the dashboard
    Serve(serve::Serve),
    /// The repos that Regreen looks after
    Repo(repo::RepoCommand),
    /// Tokens of the service: who may call it, and for what
    Token(token::Token),
    /// Success, cost and time over all runs
    Stats(stats::Stats),
    /// What is to be learnt from runs for which nothing that was tried helped
    Postmortem(postmortem::PostMortems),
    /// What is wrong with the service as a whole
    Alerts(alerts::Alerts),
    /// What went wrong where programs really run
    Incidents(incidents::Incidents),
    /// Copy the store, its logs and its snapshots into a new folder, while others work
    Backup(backup::Backup),
    /// Put a backup back
    Restore(backup::Restore),
    /// Remove what is older than the configuration keeps
    Vacuum(vacuum::Vacuum),
    /// What was learnt from fixes that worked
    Memory(memory::Memory),
    /// Detect the checks of a repo and write regreen.toml
    Init(init::Init),
    /// Say what this machine can do, and what to change
    Doctor(doctor::Doctor),
    /// Heal a handful of small broken projects, without any key
    Demo(demo::Demo),
    /// How well parts of Regreen do, measured
    Bench(bench::Bench),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Serve verify, heal, explain and history to another agent (MCP)
    Mcp(mcp::Mcp),
    /// Write the manual's pages
    Man(manual::Manual),
}

/// What several commands share.
#[derive(Debug, Clone, clap::Args)]
struct Place {
    /// The repo, or a folder inside it
    #[arg(long, value_name = "DIR", default_value = ".")]
    repo: PathBuf,
}

/// The stack of a thread that drives a run, in bytes: as much as the main thread has.
const STACK: usize = 8 << 20;

/// Runs the program and returns its exit code.
pub fn main() -> u8 {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            if let Some(hint) = hint(&error, std::env::args().skip(1).collect()) {
                paint::say(&format!("\n{} {hint}", paint::paint(paint::CARE, "hint:")));
            }
            return if error.use_stderr() { Exit::Usage.code() } else { Exit::Green.code() };
        }
    };
    report_panics();
    crate::process::hide_memory();
    trace();
    let resumable = arguments.command.works_on_a_run();
    // A worker and a service see to the first signal themselves.
    let signals = match arguments.command {
        Command::Worker(_) | Command::Serve(_) => 2,
        // What is sent to a program that is run goes on to it.
        Command::Exec(_) => u32::MAX,
        _ => 1,
    };
    // Runs that the service lands are driven on its own threads, which get what the main one has.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_stack_size(STACK)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            paint::say(&format!("error: the machine gives no threads: {error}"));
            return Exit::CannotJudge.code();
        }
    };
    let work = std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            tokio::select! {
                done = dispatch(arguments.command) => done,
                () = interrupted(signals) => Ok(INTERRUPTED),
            }
        })
    });
    let code = match std::panic::catch_unwind(work) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => complain(&error),
        Err(_panicked) => Exit::Bug.code(),
    };
    observe::end();
    // Whatever still runs in a sandbox dies with its handle; a blocking read of a terminal must not keep the program.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    session::remove_temporary();
    // Only now is the live view gone, and with it what would draw over this.
    if code == INTERRUPTED && resumable {
        paint::say(
            "stopped; nothing is left running. `regreen resume` goes on, `regreen runs` shows where it stands.",
        );
    }
    code
}

/// What to type instead, where that is known.
fn hint(error: &clap::Error, words: Vec<String>) -> Option<String> {
    match error.kind() {
        ErrorKind::UnknownArgument => behind_dashes(words),
        ErrorKind::MissingRequiredArgument if words.first().is_some_and(|first| first == "heal") => {
            Some("put the failing command behind `--`, such as: regreen heal -- cargo test".to_owned())
        }
        _ => None,
    }
}

/// What to type where the failing command was given without `--` before it.
fn behind_dashes(words: Vec<String>) -> Option<String> {
    let (first, rest) = words.split_first()?;
    let at = rest.iter().position(|word| !word.starts_with('-'))?;
    if first != "heal" || at > 0 || rest.iter().any(|word| word == "--") {
        return None;
    }
    Some(format!("put the failing command behind `--`: regreen heal -- {}", shell_words::join(rest)))
}

impl Command {
    /// Whether it works on a run, which `resume` can go on with.
    fn works_on_a_run(&self) -> bool {
        matches!(self, Command::Heal(_) | Command::Run(_) | Command::Resume(_) | Command::Approve(_))
    }
}

/// The exit code of a program that a person interrupted, by the shells' convention: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

async fn dispatch(command: Command) -> Result<u8> {
    let exit = match command {
        Command::Heal(command) => command.run().await?,
        Command::Run(command) => command.run().await?,
        // The exit code is the program's.
        Command::Exec(command) => return command.run().await,
        Command::Plan(command) => command.run().await?,
        Command::Resume(command) => command.run().await?,
        Command::Submit(command) => command.run().await?,
        Command::Worker(command) => command.run().await?,
        Command::Cancel(command) => command.run().await?,
        Command::Retry(command) => command.run().await?,
        Command::Runs(command) => command.run().await?,
        Command::Show(command) => command.run().await?,
        Command::Logs(command) => command.run().await?,
        Command::Approve(command) => command.run().await?,
        Command::Reject(command) => command.run().await?,
        Command::Halt(command) => command.run().await?,
        Command::Unhalt(command) => command.run().await?,
        Command::Proposal(command) => command.run().await?,
        Command::Rollback(command) => command.run().await?,
        Command::Verify(command) => command.run().await?,
        Command::Serve(command) => command.run().await?,
        Command::Repo(command) => command.run().await?,
        Command::Token(command) => command.run().await?,
        Command::Stats(command) => command.run().await?,
        Command::Postmortem(command) => command.run().await?,
        Command::Alerts(command) => command.run().await?,
        Command::Incidents(command) => command.run().await?,
        Command::Backup(command) => command.run().await?,
        Command::Restore(command) => command.run().await?,
        Command::Vacuum(command) => command.run().await?,
        Command::Memory(command) => command.run().await?,
        Command::Init(command) => command.run().await?,
        Command::Doctor(command) => command.run().await?,
        Command::Demo(command) => command.run().await?,
        Command::Bench(command) => command.run().await?,
        Command::Mcp(command) => command.run().await?,
        Command::Man(command) => command.run()?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "regreen", &mut script);
            paint::out(&String::from_utf8_lossy(&script))?;
            Exit::Green
        }
    };
    Ok(exit.code())
}

/// Ctrl-C and polite kills.
struct Signals(Vec<tokio::signal::unix::Signal>);

impl Signals {
    /// Hears of those that come from now on.
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        kinds.into_iter().map(signal).collect::<std::io::Result<_>>().map(Self)
    }

    /// Returns when the next one comes.
    async fn next(&mut self) {
        std::future::poll_fn(|context| {
            let came = self.0.iter_mut().any(|signal| signal.poll_recv(context).is_ready());
            if came { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }
}

/// Waits for Ctrl-C or a polite kill, the `nth`. What runs in sandboxes dies with the future that is dropped then; the run itself stays as
/// its last event left it. A landing or a rollback under way is finished first, and the call of a model is booked.
async fn interrupted(nth: u32) {
    let Ok(mut signals) = Signals::new() else { return std::future::pending().await };
    for _ in 0..nth {
        signals.next().await;
    }
    crate::process::leave().await;
}

/// Tells the person what is wrong and what to do, and returns the exit code.
fn complain(error: &anyhow::Error) -> u8 {
    let halted = crate::store::halt_in(error).map(crate::store::Halt::fault);
    let fault = halted.as_ref().or_else(|| error.chain().find_map(|cause| cause.downcast_ref::<Fault>()));
    let chain: Vec<String> = error.chain().map(|cause| paint::plain(&cause.to_string())).collect();
    paint::say(&format!("{} {}", paint::paint(paint::BAD, "error:"), chain.join(": ")));
    if let Some(hint) = fault.and_then(|fault| fault.hint.as_ref()) {
        paint::say(&format!("{} {}", paint::paint(paint::CARE, "hint:"), paint::plain(hint)));
    }
    fault.map_or(Exit::CannotJudge, |fault| fault.exit).code()
}

/// A panic is a bug in Regreen: say so, with what a report needs.
fn report_panics() {
    std::panic::set_hook(Box::new(|info| paint::say(&bug_report(info, &Backtrace::capture()))));
}

/// What a person is asked to report: it goes to strangers, so it is written like everything else, without secrets.
fn bug_report(what: &dyn std::fmt::Display, trace: &Backtrace) -> String {
    let thread = std::thread::current();
    let trace = match trace.status() {
        BacktraceStatus::Captured => format!("{trace}"),
        _ => "RUST_BACKTRACE=1 shows where it came from".to_owned(),
    };
    format!(
        "\nthread '{}' {}\n{trace}\n\nThis is a bug in regreen {}. Please report it with the lines above and the command you ran.\n\
         Your files were not touched by this failure; `regreen resume` tries the run again.",
        thread.name().unwrap_or("unnamed"),
        paint::plain(&what.to_string()),
        env!("CARGO_PKG_VERSION")
    )
}

/// Shows what Regreen logs about itself as `REGREEN_LOG` says; without it, warnings for people. With `REGREEN_LOG_FORMAT=json` each line of it, and all
/// that is said to people on standard error, is one JSON object.
fn trace() {
    use tracing_subscriber::EnvFilter;
    let environment = crate::config::Environment::from_process();
    if environment.get("REGREEN_LOG_FORMAT") == Some("json") {
        let filter = environment.get("REGREEN_LOG").unwrap_or("regreen=warn");
        paint::speak_json();
        return tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_env_filter(EnvFilter::new(format!("{filter},{}=info", paint::SAID)))
            .with_writer(|| Traces)
            .init();
    }
    match environment.get("REGREEN_LOG") {
        Some(filter) => tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new(filter))
            .with_ansi(std::io::stderr().is_terminal())
            .with_writer(|| Traces)
            .init(),
        None => tracing_subscriber::fmt()
            .with_env_filter(EnvFilter::new("regreen=warn"))
            .without_time()
            .with_target(false)
            .with_level(false)
            .with_ansi(false)
            .with_writer(|| Warnings)
            .init(),
    }
}

/// Takes each line that Regreen logs about itself.
struct Traces;

impl std::io::Write for Traces {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        let line_said = String::from_utf8_lossy(line);
        paint::hand_over(&paint::redacted(line_said.trim_end_matches('\n')));
        Ok(line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Takes each warning as a line for people, beside whatever else is on the screen.
struct Warnings;

impl std::io::Write for Warnings {
    fn write(&mut self, warning: &[u8]) -> std::io::Result<usize> {
        let said = paint::line(String::from_utf8_lossy(warning).trim(), 400);
        live::beside(&format!("{} {said}", paint::paint(paint::CARE, "warning:")));
        Ok(warning.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands that a page tells its readers to type: lines of code blocks, and what stands in backquotes.
    fn told(page: &str) -> Vec<String> {
        let quoted = page
            .lines()
            .filter(|line| !line.starts_with("    "))
            .flat_map(|line| line.split('`').skip(1).step_by(2));
        let blocks = page.lines().map(|line| line.trim_start().trim_start_matches("$ "));
        let commands = blocks.chain(quoted).filter(|text| text.starts_with("regreen "));
        let bare = commands
            .map(|text| text.split(['#', '|', '>', '…']).next().unwrap_or_default().trim().to_owned());
        bare.collect()
    }

    #[test]
    fn every_command_of_the_documentation_exists_with_its_options() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut pages = vec![root.join("README.md"), root.join("ARCHITECTURE.md")];
        pages.extend(std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path()));
        let program = Arguments::command();
        let mut seen = 0;
        for page in pages {
            for command in told(&std::fs::read_to_string(&page).unwrap()) {
                let words = command.split(' ').skip(1).take_while(|word| *word != "--");
                let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
                let Some(name) = words.first() else { continue };
                let at = format!("{}: {command}", page.display());
                let mut sub =
                    program.find_subcommand(name.trim_end_matches(',')).unwrap_or_else(|| panic!("{at}"));
                for name in &words[1..] {
                    sub = sub.find_subcommand(name).unwrap_or(sub);
                }
                for flag in words.iter().filter(|word| word.starts_with('-') && word.len() > 1) {
                    let flag = flag.split('=').next().unwrap_or_default();
                    let known = sub.get_arguments().any(|argument| {
                        let long = argument.get_long().is_some_and(|long| flag == format!("--{long}"));
                        long || argument.get_short().is_some_and(|short| flag == format!("-{short}"))
                    });
                    assert!(known, "{at}: there is no {flag}");
                }
                seen += 1;
            }
        }
        assert!(seen > 30, "only {seen} commands were found");
    }

    #[test]
    fn every_event_is_documented() {
        let page = include_str!("../../docs/events.md");
        let kinds = include_str!("../run/events.rs")
            .lines()
            .filter_map(|line| line.trim().strip_prefix("Event::")?.split_once("=> \""));
        let kinds: Vec<&str> = kinds.map(|(_, name)| name.trim_end_matches("\",")).collect();
        assert!(kinds.len() > 20, "{kinds:?}");
        for kind in kinds {
            assert!(page.contains(&format!("| `{kind}` |")), "docs/events.md lacks {kind}");
        }
    }

    #[test]
    #[ignore = "panics: for the test below, in a process of its own"]
    fn a_bug() {
        report_panics();
        let token = crate::config::Environment::from_process().get("DEPLOY_TOKEN").map(str::to_owned);
        panic!("it knows {}", token.unwrap_or_default());
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a panic needs a process of its own")]
    fn the_report_of_a_bug_has_no_secrets() {
        let me = std::env::current_exe().unwrap();
        let mut bug = std::process::Command::new(me);
        bug.args(["cli::tests::a_bug", "--exact", "--ignored", "--nocapture"]);
        let output = bug.env("DEPLOY_TOKEN", "tame-words-of-a-panic").output().unwrap();
        let said =
            [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        for words in ["it knows [redacted]", "src/cli/mod.rs:", "This is a bug in regreen"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert!(!said.contains("tame-words-of-a-panic"), "{said}");
    }

    #[test]
    fn the_help_of_every_command_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_command_without_its_dashes_is_told_where_they_belong() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let hint = behind_dashes(words("heal cargo test -q"));
        assert_eq!(
            hint.as_deref(),
            Some("put the failing command behind `--`: regreen heal -- cargo test -q")
        );
        assert_eq!(behind_dashes(words("heal --no-modle -- cargo test")), None);
        assert_eq!(behind_dashes(words("show a b")), None);
    }

    #[test]
    fn who_gives_no_command_is_told_where_it_belongs() {
        for (line, told) in [
            ("heal", true),
            ("heal --dry-run", true),
            ("heal --", true),
            ("heal cargo test", true),
            ("heal --no-modle -- cargo test", false),
            ("plan", false),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let all = std::iter::once("regreen".to_owned()).chain(words.clone());
            let error = Arguments::try_parse_from(all).expect_err("no right line");
            let hint = hint(&error, words).filter(|hint| hint.ends_with("regreen heal -- cargo test"));
            assert_eq!(hint.is_some(), told, "{line}");
        }
    }
}
