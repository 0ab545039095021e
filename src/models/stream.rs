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

/// What a stream brought, as far as it came.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Streamed {
    /// The answer, or the error in its place; `None` where the stream has no end.
    pub(super) answer: Option<Value>,
    /// The tokens that the vendor told of, in its own form; those that are not final are left out.
    pub(super) usage: Value,
    /// What the model wrote, thinking included, in bytes.
    pub(super) written: usize,
}

/// For APIs that are asked for an answer in one piece.
pub(super) fn none(_: &str) -> Streamed {
    Streamed::default()
}

/// A stream of Anthropic's.
pub(super) fn anthropic(body: &str) -> Streamed {
    let (mut streamed, mut message) = (Streamed::default(), json!({}));
    let mut texts: Vec<(u64, String)> = Vec::new();
    for event in events(body) {
        // What breaks the format makes no answer, but what was told before it stays.
        if take(&event, &mut streamed, &mut message, &mut texts).is_none() || streamed.answer.is_some() {
            break;
        }
    }
    streamed
}

/// Takes one event of Anthropic's into account; `None` where it is not of the published form.
fn take(
    event: &Value,
    streamed: &mut Streamed,
    message: &mut Value,
    texts: &mut Vec<(u64, String)>,
) -> Option<()> {
    match event["type"].as_str()? {
        "message_start" => {
            *message = event.get("message").filter(|message| message.is_object())?.clone();
            streamed.usage = message["usage"].clone();
            if let Some(usage) = streamed.usage.as_object_mut() {
                usage.remove("output_tokens");
            }
        }
        "content_block_start" if event["content_block"]["type"] == "text" => {
            let text = event["content_block"]["text"].as_str().unwrap_or_default();
            texts.push((event["index"].as_u64()?, text.to_owned()));
        }
        "content_block_delta" => {
            let delta = &event["delta"];
            let written = ["text", "thinking"].iter().find_map(|field| delta[*field].as_str());
            streamed.written += written.map_or(0, str::len);
            if delta["type"] == "text_delta" {
                let index = event["index"].as_u64()?;
                let (_, text) = texts.iter_mut().rev().find(|(at, _)| *at == index)?;
                text.push_str(delta["text"].as_str()?);
            }
        }
        "message_delta" => {
            if let Some(stop) = event["delta"].get("stop_reason") {
                message["stop_reason"] = stop.clone();
            }
            // Counts are of the whole message so far: the last ones hold.
            for (name, count) in event["usage"].as_object().into_iter().flatten() {
                if count.is_u64() && (streamed.usage.is_object() || streamed.usage.is_null()) {
                    streamed.usage[name] = count.clone();
                }
            }
        }
        "message_stop" => {
            let blocks = texts.drain(..).map(|(_, text)| json!({"type": "text", "text": text}));
            message["content"] = blocks.collect();
            streamed.answer = Some(message.take());
        }
        "error" => streamed.answer = Some(event.clone()),
        _ => {}
    }
    Some(())
}

/// A stream of the Responses API.
pub(super) fn responses(body: &str) -> Streamed {
    let mut streamed = Streamed::default();
    for event in events(body) {
        match event["type"].as_str() {
            Some("response.completed" | "response.incomplete" | "response.failed") => {
                streamed.usage = event["response"]["usage"].clone();
                streamed.answer = Some(event["response"].clone());
            }
            Some("error") => {
                let error = event.get("error").cloned();
                let error =
                    error.unwrap_or_else(|| json!({"code": event["code"], "message": event["message"]}));
                streamed.answer = Some(json!({"status": "failed", "error": error}));
            }
            Some(kind) if kind.ends_with(".delta") => {
                streamed.written += event["delta"].as_str().map_or(0, str::len);
            }
            _ => {}
        }
        if streamed.answer.is_some() {
            break;
        }
    }
    streamed
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
    fn a_stream_without_its_end_is_no_answer_but_tells_what_it_used() {
        let start = "data: {\"type\": \"message_start\", \"message\": {\"usage\": {\"input_tokens\": 7, \"output_tokens\": 1}}}\n\n";
        let streamed = anthropic(start);
        // The count of output at the start is not the final one.
        assert_eq!(
            (streamed.answer, streamed.usage, streamed.written),
            (None, json!({"input_tokens": 7}), 0)
        );
        let begun = "data: {\"type\": \"content_block_start\", \"index\": 0, \"content_block\": {\"type\": \"text\", \"text\": \"\"}}\n\n\
                     data: {\"type\": \"content_block_delta\", \"index\": 0, \"delta\": {\"type\": \"text_delta\", \"text\": \"half\"}}\n\n";
        let streamed = anthropic(&format!("{start}{begun}"));
        assert_eq!((streamed.answer, streamed.written), (None, 4));
        assert_eq!(anthropic("data: {\"type\": 1}\n\n"), Streamed::default());
        let streamed = responses(
            "data: {\"type\": \"response.created\", \"response\": {}}\n\n\
             data: {\"type\": \"response.output_text.delta\", \"delta\": \"half\"}\n\n",
        );
        assert_eq!((streamed.answer, streamed.usage, streamed.written), (None, Value::Null, 4));
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
