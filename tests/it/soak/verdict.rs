//! What an answer is worth: the right one, an error that has its place, or a finding.

use std::time::Duration;

use serde_json::Value;

use super::book::{Book, Finding};
use super::deeds::{Deed, is_foreign};
use super::exchange::{Heard, Silence};
use super::scene::LATEST;

/// Errors that a request may meet while servers fail: by name on the plain endpoints, by number in-band.
const HONEST: [(&str, i64); 8] = [
    ("server_starting", -31001),
    ("server_failed", -31002),
    ("server_stopped", -31003),
    ("server_busy", -31004),
    ("server_lost", -31005),
    ("server_timeout", -31006),
    ("reply_too_large", -31007),
    ("bad_reply", -31008),
];

/// Enters how a request ended, and gives the name of that.
pub(super) fn enter(
    book: &Book,
    caller: usize,
    deed: &Deed,
    id: &Value,
    heard: Result<Heard, Silence>,
    took: Duration,
) -> String {
    let outcome = judge(book, caller, deed, id, heard, took);
    book.ended(&outcome, took);
    outcome
}

fn judge(
    book: &Book,
    caller: usize,
    deed: &Deed,
    id: &Value,
    heard: Result<Heard, Silence>,
    took: Duration,
) -> String {
    let told = |text: &str| format!("{} {}: {text}", deed.mark, deed.arguments["do"]);
    if took > LATEST {
        book.find(Finding::Hung, told(&format!("took {took:?}")));
    }
    let heard = match heard {
        Ok(heard) => heard,
        Err(Silence::Late) => {
            book.find(Finding::Hung, told("no answer"));
            return "nothing".to_owned();
        }
        Err(Silence::Cut(fault)) => {
            book.find(Finding::Lost, told(&fault));
            return "nothing".to_owned();
        }
    };
    if is_foreign(&heard.text, caller) {
        book.find(Finding::Crossed, told(&heard.text));
    }
    outcome(deed, id, &heard).unwrap_or_else(|fault| {
        let text: String = heard.text.chars().take(500).collect();
        let text = format!("{fault}: {} {text}", heard.status);
        book.find(Finding::Strange, told(&text));
        "strange".to_owned()
    })
}

fn outcome(deed: &Deed, id: &Value, heard: &Heard) -> Result<String, &'static str> {
    let envelope = heard
        .messages
        .first()
        .map(|one| &one["error"]["error_code"]);
    if let Some(code) = envelope.and_then(Value::as_str) {
        return honest(|name, _| name == code);
    }
    // `POST /rpc` wraps the answer as it takes the request.
    let bare = heard.messages.iter();
    let mut answers = bare
        .map(|one| one.get("payload").unwrap_or(one))
        .filter(|one| one.get("method").is_none());
    let (Some(answer), None) = (answers.next(), answers.next()) else {
        return Err("not exactly one answer");
    };
    if answer["id"] != *id {
        return Err("an answer with another id");
    }
    if let Some(code) = answer["error"]["code"].as_i64() {
        return honest(|_, number| number == code);
    }
    let text = answer["result"]["content"][0]["text"].as_str();
    match (&deed.says, text) {
        (Some(says), Some(text)) if says == text => Ok("answered".to_owned()),
        (None, Some(_)) => Ok("answered".to_owned()),
        _ => Err("not the answer to this request"),
    }
}

/// The name of the error that is meant, where it is one that a request may meet.
fn honest(is_meant: impl Fn(&str, i64) -> bool) -> Result<String, &'static str> {
    let mut known = HONEST.iter();
    let meant = known.find(|(name, number)| is_meant(name, *number));
    meant
        .map(|(name, _)| (*name).to_owned())
        .ok_or("an error without a place here")
}
