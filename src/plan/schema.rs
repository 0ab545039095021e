//! The JSON schema of a [`Plan`](super::Plan), strict as the vendors' structured output wants it: every object is closed, every property
//! is required, no recursion, no bounds. The bounds are checked after parsing.

use serde_json::{Value, json};

/// The schema that a model's plan must follow.
pub fn schema() -> Value {
    let subtask = object(json!({
        "id": text("Number of the story and of the step in it, both from 1, such as \"1.1\"."),
        "title": text("One line in the imperative, fit for a commit's subject."),
        "description": text("What to change, and how it fits what is there."),
        "acceptance": list("What the tests of this step must show; each entry becomes at least one test.", string()),
        "files": list("Paths, relative to the repo, of files to change, create or read.", string()),
        "changes_tests": list("Paths of files with existing tests that the ticket names and asks to change; else empty.", string()),
    }));
    let story = object(json!({
        "title": text("One line."),
        "description": text("What it brings, and why."),
        "acceptance": list("What must be true when the story is done.", string()),
        "subtasks": list("Its steps, in order; each leaves every check green.", subtask),
    }));
    let question = object(json!({
        "question": text("A question that only a person can answer."),
        "why": text("Why it matters, or what is assumed as long as nobody answers."),
        "blocking": {"type": "boolean", "description": "True only if work must not start before it is answered."},
    }));
    object(json!({
        "overview": text("What will be built and how, in a paragraph or two."),
        "assumptions": list("What the ticket leaves open and the plan takes for granted.", string()),
        "questions": list("What the ticket leaves open and the plan cannot know.", question),
        "stories": list("The work, in order.", story),
    }))
}

fn string() -> Value {
    json!({"type": "string"})
}

fn text(description: &str) -> Value {
    json!({"type": "string", "description": description})
}

fn list(description: &str, items: Value) -> Value {
    json!({"type": "array", "description": description, "items": items})
}

fn object(properties: Value) -> Value {
    let required: Vec<&String> = properties.as_object().into_iter().flat_map(|all| all.keys()).collect();
    json!({"type": "object", "required": required, "additionalProperties": false, "properties": properties})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::example;

    /// Every object closed and every property required, at every depth.
    fn strict(schema: &Value) {
        if schema["type"] == "object" {
            assert_eq!(schema["additionalProperties"], false);
            let names: Vec<&str> =
                schema["properties"].as_object().unwrap().keys().map(String::as_str).collect();
            let required: Vec<&str> =
                schema["required"].as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
            assert_eq!(names, required);
            schema["properties"].as_object().unwrap().values().for_each(strict);
        } else if schema["type"] == "array" {
            strict(&schema["items"]);
        } else {
            assert!(matches!(schema["type"].as_str(), Some("string" | "boolean")), "{schema}");
        }
    }

    /// Whether `value` has the shape that `schema` describes (only the parts of JSON schema used here).
    fn follows(value: &Value, schema: &Value) -> bool {
        match schema["type"].as_str().unwrap() {
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "array" => {
                value.as_array().is_some_and(|all| all.iter().all(|one| follows(one, &schema["items"])))
            }
            _ => value.as_object().is_some_and(|object| {
                let properties = schema["properties"].as_object().unwrap();
                object.keys().all(|key| properties.contains_key(key))
                    && properties
                        .iter()
                        .all(|(key, schema)| object.get(key).is_some_and(|value| follows(value, schema)))
            }),
        }
    }

    #[test]
    fn it_is_strict_and_a_plan_follows_it() {
        let schema = schema();
        strict(&schema);
        let mut plan = serde_json::to_value(example()).unwrap();
        assert!(follows(&plan, &schema));
        plan["stories"][0]["subtasks"][0]["extra"] = json!(1);
        assert!(!follows(&plan, &schema));
    }
}
