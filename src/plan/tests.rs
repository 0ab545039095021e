use super::*;

/// A plan with everything a plan can have.
pub(super) fn example() -> Plan {
    Plan {
        overview: "Count words.".into(),
        assumptions: vec!["Words are split at white space.".into()],
        questions: vec![Question {
            question: "Which languages?".into(),
            why: "English for now.".into(),
            blocking: false,
        }],
        stories: vec![Story {
            title: "Counting".into(),
            description: "A function and a command.".into(),
            acceptance: vec!["`count` exists".into()],
            subtasks: vec![
                SubTask {
                    id: "1.1".into(),
                    title: "Add count".into(),
                    description: "Add `count(text)`.".into(),
                    acceptance: vec!["an empty text has 0 words".into()],
                    files: vec!["src/count.py".into()],
                    changes_tests: vec![],
                },
                SubTask {
                    id: "1.2".into(),
                    title: "Add the command".into(),
                    description: "Print the count.".into(),
                    acceptance: vec![],
                    files: vec![],
                    changes_tests: vec![],
                },
            ],
        }],
    }
}

#[test]
fn a_plan_survives_json() {
    let plan = example().checked().unwrap();
    assert_eq!(Plan::from_json(&serde_json::to_string(&plan).unwrap()).unwrap(), plan);
}

#[test]
fn what_cannot_be_worked_on_is_refused_with_a_reason() {
    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut plan = example();
        change(&mut plan);
        plan.checked().unwrap_err()
    };
    assert!(refused(&|plan| plan.stories.clear()).contains("no sub-task"));
    assert!(refused(&|plan| plan.overview = " \u{7}".into()).contains("overview"));
    assert!(
        refused(&|plan| plan.stories[0].subtasks[1].id = "1.1".into())
            .contains("two sub-tasks have the id \"1.1\"")
    );
    assert!(refused(&|plan| plan.stories[0].subtasks[1].id = "../x".into()).contains("no sub-task id"));
    assert!(refused(&|plan| plan.stories[0].subtasks[0].title.clear()).contains("title"));
    assert!(
        refused(&|plan| plan.stories = vec![plan.stories[0].clone(); 21]).contains("the most is 20 stories")
    );
    assert!(Plan::from_json("{}").unwrap_err().contains("overview"));
    assert!(
        Plan::from_json(r#"{"overview":"x","stories":[],"storeys":[]}"#).unwrap_err().contains("storeys")
    );
}

#[test]
fn a_plan_of_blocking_questions_alone_is_a_plan() {
    let mut plan = example();
    plan.stories.clear();
    plan.questions[0].blocking = true;
    let plan = plan.checked().unwrap();
    assert_eq!(
        plan.blocking().iter().map(|one| one.question.as_str()).collect::<Vec<_>>(),
        ["Which languages?"]
    );
    assert!(example().blocking().is_empty());
}

#[test]
fn texts_are_cleaned_and_cut_and_paths_outside_dropped() {
    let mut plan = example();
    let task = &mut plan.stories[0].subtasks[0];
    task.title = "Do\u{1b}[2J\u{202e} it\nnow".into();
    task.description = "x".repeat(MOST_TEXT + 1);
    task.files =
        vec!["../../etc/passwd".into(), "/etc/passwd".into(), "./src/a.rs".into(), "a\u{202e}b".into()];
    let plan = plan.checked().unwrap();
    let task = plan.subtask("1.1").unwrap();
    assert_eq!(task.title, "Do[2J it now");
    assert_eq!(task.description.chars().count(), MOST_TEXT);
    assert_eq!(task.files, ["src/a.rs"]);
}

#[test]
fn people_read_markdown() {
    insta::assert_snapshot!(example().to_markdown());
}

#[test]
fn a_sub_task_is_told_what_it_is_part_of() {
    let ticket = Ticket::parse("# Count words\nWe want a count.", "t.md").unwrap();
    let plan = example();
    insta::assert_snapshot!(plan.subtask("1.2").unwrap().task_text(&plan, &ticket));
}

#[test]
fn tests_change_only_where_plan_and_ticket_both_say_so() {
    let ticket = Ticket::parse("# Count\nChange `test_count.py`: two words are 2.", "t.md").unwrap();
    let mut plan = example();
    let names = ["tests/test_count.py", "tests/test_other.py", "../test_count.py"];
    plan.stories[0].subtasks[0].changes_tests = names.map(str::to_owned).to_vec();
    let plan = plan.checked().unwrap();
    let allowed = |id: &str| plan.subtask(id).unwrap().test_changes(&ticket);
    assert_eq!(allowed("1.1"), [RelPath::new("tests/test_count.py").unwrap()]);
    assert_eq!(allowed("1.2"), [], "the ticket names it, and the plan does not");
    assert!(
        plan.to_markdown().contains("Changes tests that exist: `tests/test_count.py`, `tests/test_other.py`")
    );
    let told = plan.subtask("1.1").unwrap().task_text(&plan, &ticket);
    assert!(told.contains("may change, as the ticket asks for it:\n- tests/test_count.py\n"), "{told}");
}
