//! Tools that ask the client's side. Each is written once; [`Call::ask`] knows how its era asks.

use serde_json::{Value, json};

use super::said;
use crate::call::{Call, Halt};
use crate::question::Question;

fn text_field() -> Value {
    json!({"type": "string"})
}

fn name_form(message: &str) -> Question {
    Question::form(message, &json!({"name": text_field()}), &["name"])
}

/// A field of an answered form, or what the person did instead.
fn field<'a>(answer: &'a Value, name: &str) -> &'a str {
    let filled = answer.get("content").and_then(|content| content.get(name));
    let action = answer.get("action").and_then(Value::as_str);
    let text = filled.and_then(Value::as_str).or(action);
    text.unwrap_or_default()
}

/// The text that a model answered.
fn sampled(answer: &Value) -> &str {
    let text = answer.pointer("/content/text").and_then(Value::as_str);
    text.unwrap_or_default()
}

fn root_count(answer: &Value) -> usize {
    let roots = answer.get("roots").and_then(Value::as_array);
    roots.map(Vec::len).unwrap_or_default()
}

pub(super) fn missing_capability(call: &mut Call) -> Result<Value, Halt> {
    call.need(["sampling"])?;
    Ok(said("this client has sampling"))
}

pub(super) fn sampling(call: &mut Call) -> Result<Value, Halt> {
    let question = Question::prompt(call.text("prompt"), 100);
    let answer = call.ask("answer", question)?;
    Ok(said(format!("LLM response: {}", sampled(&answer))))
}

pub(super) fn elicitation(call: &mut Call) -> Result<Value, Halt> {
    let fields = json!({
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    });
    let question = Question::form(call.text("message"), &fields, &["username", "email"]);
    let answer = call.ask("user", question)?;
    Ok(said(format!("User response: {answer}")))
}

fn completed(answer: &Value) -> Value {
    let action = answer.get("action").and_then(Value::as_str);
    let content = answer.get("content").unwrap_or(&Value::Null);
    let action = action.unwrap_or_default();
    said(format!(
        "Elicitation completed: action={action}, content={content}"
    ))
}

pub(super) fn defaults(call: &mut Call) -> Result<Value, Halt> {
    let fields = json!({
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {
            "type": "string",
            "enum": ["active", "inactive", "pending"],
            "default": "active",
        },
        "verified": {"type": "boolean", "default": true},
    });
    let question = Question::form("Please check these values", &fields, &[]);
    Ok(completed(&call.ask("values", question)?))
}

/// Choices with a title each.
fn titled(names: [(&str, &str); 3]) -> Value {
    let choice = |(value, title)| json!({"const": value, "title": title});
    names.map(choice).to_vec().into()
}

pub(super) fn enums(call: &mut Call) -> Result<Value, Halt> {
    let plain = json!(["option1", "option2", "option3"]);
    let options = titled([
        ("value1", "First Option"),
        ("value2", "Second Option"),
        ("value3", "Third Option"),
    ]);
    let choices = titled([
        ("value1", "First Choice"),
        ("value2", "Second Choice"),
        ("value3", "Third Choice"),
    ]);
    let fields = json!({
        "untitledSingle": {"type": "string", "enum": plain},
        "titledSingle": {"type": "string", "oneOf": options},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": plain}},
        "titledMulti": {"type": "array", "items": {"anyOf": choices}},
    });
    let question = Question::form("Please choose", &fields, &[]);
    Ok(completed(&call.ask("choices", question)?))
}

pub(super) fn streaming(call: &mut Call) -> Result<Value, Halt> {
    call.progress(1, 2);
    let answer = call.ask("viewer", name_form("Who is watching?"))?;
    call.progress(2, 2);
    Ok(said(format!("watched by {}", field(&answer, "name"))))
}

pub(super) fn name(call: &mut Call) -> Result<Value, Halt> {
    let answer = call.ask("user_name", name_form("What is your name?"))?;
    Ok(said(format!("Hello, {}!", field(&answer, "name"))))
}

pub(super) fn capital(call: &mut Call) -> Result<Value, Halt> {
    let question = Question::prompt("What is the capital of France?", 100);
    let answer = call.ask("capital_question", question)?;
    Ok(said(sampled(&answer)))
}

pub(super) fn roots(call: &mut Call) -> Result<Value, Halt> {
    let answer = call.ask("client_roots", Question::roots())?;
    let roots = answer.get("roots").unwrap_or(&Value::Null);
    Ok(said(format!("roots: {roots}")))
}

pub(super) fn request_state(call: &mut Call) -> Result<Value, Halt> {
    call.want_state();
    let fields = json!({"ok": {"type": "boolean"}});
    let question = Question::form("Please confirm", &fields, &["ok"]);
    let answer = call.ask("confirm", question)?;
    let ok = answer.pointer("/content/ok").unwrap_or(&Value::Null);
    Ok(said(format!("state-ok, answer: {ok}")))
}

pub(super) fn multiple(call: &mut Call) -> Result<Value, Halt> {
    call.want_state();
    let answers = call.ask_all(&[
        ("user_name", name_form("What is your name?")),
        ("greeting", Question::prompt("Generate a greeting", 50)),
        ("client_roots", Question::roots()),
    ])?;
    let answer = |key: &str| answers.get(key).unwrap_or(&Value::Null);
    Ok(said(format!(
        "{}, {}: {} roots",
        sampled(answer("greeting")),
        field(answer("user_name"), "name"),
        root_count(answer("client_roots")),
    )))
}

pub(super) fn multi_round(call: &mut Call) -> Result<Value, Halt> {
    call.want_state();
    let name = call.ask("step1", name_form("Step 1: What is your name?"))?;
    let color = json!({"color": text_field()});
    let question = Question::form("Step 2: What is your favorite color?", &color, &["color"]);
    let color = call.ask("step2", question)?;
    Ok(said(format!(
        "{} likes {}",
        field(&name, "name"),
        field(&color, "color")
    )))
}

/// Asks only what this client can answer.
pub(super) fn capabilities(call: &mut Call) -> Result<Value, Halt> {
    let declared = call.capabilities();
    let mut questions = vec![
        ("user_name", name_form("What is your name?")),
        ("greeting", Question::prompt("Generate a greeting", 50)),
        ("client_roots", Question::roots()),
    ];
    questions.retain(|(_, question)| declared.get(question.capability()).is_some());
    let answers = call.ask_all(&questions)?;
    Ok(said(format!("{} answers", answers.len())))
}
