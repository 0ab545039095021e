//! Answers that come as server-sent events, put together to what the vendor would have sent in one piece.
//!
//! Streams are asked for so that silence means a fault and not a model that thinks; nothing is shown before an answer is whole.

use serde_json::{Value, json};

/// The data of each event of a stream, in order; what is no JSON object (`[DONE]`, comments) is left out.
fn events(body: &str) -> impl Iterator<Item = Value> {
    let mut lines = body.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).chain([""]);
    std::iter::from_fn(move || {
        let mut data = String::new();
        loop {
            let line = lines.next()?;
            if let Some(rest) = line.strip_prefix("data:") {
                data.push_str(rest.strip_prefix(' ').unwrap_or(rest));
                data.push('\n');
            } else if line.is_empty() && !data.is_empty() {
                return Some(std::mem::take(&mut data));
            }
        }
    })
    .filter_map(|data| serde_json::from_str::<Value>(&data).ok().filter(Value::is_object))
}

/// The answer that a stream of Anthropic's makes, or the error in it; `None` where it has no end.
pub(super) fn anthropic(body: &str) -> Option<Value> {
    let mut message = json!({});
    let mut texts: Vec<(u64, String)> = Vec::new();
    for event in events(body) {
        match event["type"].as_str()? {
            "message_start" => message = event["message"].clone(),
            "content_block_start" if event["content_block"]["type"] == "text" => {
                let text = event["content_block"]["text"].as_str().unwrap_or_default();
                texts.push((event["index"].as_u64()?, text.to_owned()));
            }
            "content_block_delta" if event["delta"]["type"] == "text_delta" => {
                let index = event["index"].as_u64()?;
                let (_, text) = texts.iter_mut().rev().find(|(at, _)| *at == index)?;
                text.push_str(event["delta"]["text"].as_str()?);
            }
            "message_delta" => {
                if let Some(stop) = event["delta"].get("stop_reason") {
                    message["stop_reason"] = stop.clone();
                }
                // Counts are of the whole message so far: the last ones hold.
                for (name, count) in event["usage"].as_object().into_iter().flatten() {
                    if message["usage"].is_object() && count.is_u64() {
                        message["usage"][name] = count.clone();
                    }
                }
            }
            "message_stop" => {
                let blocks = texts.into_iter().map(|(_, text)| json!({"type": "text", "text": text}));
                message["content"] = blocks.collect();
                return Some(message);
            }
            "error" => return Some(event),
            _ => {}
        }
    }
    None
}

/// The answer at the end of a stream of the Responses API, or the error in it; `None` where it has no end.
pub(super) fn responses(body: &str) -> Option<Value> {
    events(body).find_map(|event| match event["type"].as_str()? {
        "response.completed" | "response.incomplete" | "response.failed" => Some(event["response"].clone()),
        "error" => {
            let error = event.get("error").cloned();
            let error = error.unwrap_or_else(|| json!({"code": event["code"], "message": event["message"]}));
            Some(json!({"status": "failed", "error": error}))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_written() {
        let body = ": hello\r\nevent: a\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\ndata:{\"b\":2}\n\ndata: [DONE]\n\ndata: {\"c\":3}";
        let read: Vec<Value> = events(body).collect();
        assert_eq!(read, vec![json!({"a": 1}), json!({"b": 2}), json!({"c": 3})]);
    }

    #[test]
    fn a_stream_without_its_end_is_no_answer() {
        let start =
            "data: {\"type\": \"message_start\", \"message\": {\"usage\": {\"input_tokens\": 1}}}\n\n";
        assert_eq!(anthropic(start), None);
        assert_eq!(anthropic("data: {\"type\": 1}\n\n"), None);
        assert_eq!(responses("data: {\"type\": \"response.created\", \"response\": {}}\n\n"), None);
    }

    proptest::proptest! {
        #[test]
        fn any_stream_is_survived(parts in proptest::collection::vec("(data: |\\{|\\}|\"type\":|\"message_delta\"|\"message_stop\"|,|\n|1|x)", 0..40)) {
            let body = parts.concat();
            anthropic(&body);
            responses(&body);
        }
    }
}
