//! The tasks of a server that all clients share, by their owners: a task is known to the principal that has created it, and
//! to nobody else (MCP 2025-11-25, basic/utilities/tasks, security: bound to the authorization context).
//!
//! Both eras create a task in the result of a request and name it by `params.taskId` of the methods `tasks/…`. A principal
//! keeps its tasks over a change of session, which is what tasks are for.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::Span;
use crate::protocol::envelope::Params;
use crate::protocol::members::{self, Object};
use crate::protocol::message::string;
use crate::types::PrincipalId;

/// Tasks of one server that are known at the same time, with ids of at most [`MAX_ID`] bytes: 2 MiB.
const MAX_TASKS: usize = 4096;
/// Those of them that one principal may have; its oldest gives way.
const MAX_TASKS_OF_ONE: usize = 1024;
/// The longest id of a task in bytes; a task with a longer one is unknown to everybody.
const MAX_ID: usize = 512;
/// How long after its last use a task is known, if it does not say less itself.
const MAX_LIFE: Duration = Duration::from_hours(24);

/// Who has created which task at one server.
#[derive(Debug, Default)]
pub(super) struct TaskOwners(Mutex<HashMap<Box<str>, Task>>);

#[derive(Debug)]
struct Task {
    owner: PrincipalId,
    /// From its last use to its end.
    life: Duration,
    until: Instant,
}

impl TaskOwners {
    fn tasks(&self) -> MutexGuard<'_, HashMap<Box<str>, Task>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the owner of a task. A server that gives an id out again gives it to the new owner.
    pub(super) fn insert(&self, created: CreatedTask, owner: PrincipalId) {
        let CreatedTask { id, life } = created;
        if id.len() > MAX_ID {
            return;
        }
        let now = Instant::now();
        let mut tasks = self.tasks();
        tasks.remove(&*id);
        let own = |task: &Task| task.owner == owner;
        let count_own = |tasks: &HashMap<_, _>| tasks.values().filter(|task| own(task)).count();
        if tasks.len() >= MAX_TASKS || count_own(&tasks) >= MAX_TASKS_OF_ONE {
            tasks.retain(|_, task| now < task.until);
        }
        let own_count = count_own(&tasks);
        if tasks.len() >= MAX_TASKS || own_count >= MAX_TASKS_OF_ONE {
            // One of its own, where it has any.
            let candidates = tasks.iter().filter(|(_, task)| own_count == 0 || own(task));
            let oldest = candidates.min_by_key(|(_, task)| task.until);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                tasks.remove(&oldest);
            }
        }
        let until = now + life;
        tasks.insert(id, Task { owner, life, until });
    }

    /// Fails where a message with these params names a task that this principal has not created: as the subject of a method
    /// of tasks, or as the task that the message belongs to. Says why.
    pub(super) fn check(
        &self,
        text: &[u8],
        params: &Params,
        is_about_tasks: bool,
        principal: PrincipalId,
    ) -> Result<(), &'static str> {
        let related = params.meta.and_then(|meta| meta.related_task);
        let subject = is_about_tasks.then_some(params.span);
        for named in [subject, related].into_iter().flatten() {
            match NamedTask::read(text, named) {
                NamedTask::One(id) if !self.is_of(&id, principal) => {
                    return Err("unknown task: taskId is not the id of a task of this token");
                }
                NamedTask::None | NamedTask::One(_) => {}
                NamedTask::Ambiguous => return Err("taskId is not one string"),
            }
        }
        Ok(())
    }

    /// Whether a principal has created the task with this id, which is used now.
    fn is_of(&self, id: &str, principal: PrincipalId) -> bool {
        let now = Instant::now();
        let mut tasks = self.tasks();
        let Some(task) = tasks.get_mut(id) else {
            return false;
        };
        if now >= task.until {
            tasks.remove(id);
            return false;
        }
        if task.owner != principal {
            return false;
        }
        task.until = now + task.life;
        true
    }
}

/// A task that a server has created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CreatedTask {
    id: Box<str>,
    life: Duration,
}

impl CreatedTask {
    /// The task in a server's response line; `None` where its result creates none.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let [result] = Object::read(line, Span::whole(line), ["result"])?.values;
        let names = ["task", "resultType", "taskId", "ttlMs"];
        let [task, kind, id, ttl_ms] = Object::read(line, result?, names)?.values;
        let legacy = task.and_then(|task| Object::read(line, task, ["taskId", "ttl"]));
        let kind = kind.and_then(|kind| string(kind.of(line)));
        let (id, ttl) = match legacy {
            Some(Object {
                values: [id, ttl], ..
            }) => (id?, ttl),
            None if kind.as_deref() == Some("task") => (id?, ttl_ms),
            None => return None,
        };
        let ttl = ttl.and_then(|ttl| std::str::from_utf8(ttl.of(line)).ok()?.parse().ok());
        Some(Self {
            id: string(id.of(line))?.into(),
            // `null` and what cannot be read mean no end.
            life: ttl.map_or(MAX_LIFE, |ttl| Duration::from_millis(ttl).min(MAX_LIFE)),
        })
    }
}

/// The task that an object names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum NamedTask {
    /// None: the server says what is missing.
    None,
    /// One.
    One(String),
    /// More than one, or one that another reader would not take for one.
    Ambiguous,
}

impl NamedTask {
    /// Reads the object at `span`.
    fn read(text: &[u8], span: Span) -> Self {
        let Some(entries) = members::entries(text, span) else {
            return Self::None;
        };
        // A reader that folds case would see `TASKID` as well.
        let folded = |name: &str| name.to_uppercase().to_lowercase() == "taskid";
        let mut named = entries.into_iter().filter(|(name, _)| folded(name));
        match (named.next(), named.next()) {
            (None, _) => Self::None,
            (Some((name, id)), None) if name == "taskId" => match string(id.of(text)) {
                Some(id) => Self::One(id.into_owned()),
                None => Self::Ambiguous,
            },
            (Some(_), _) => Self::Ambiguous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::envelope;

    const ALICE: PrincipalId = PrincipalId(1);
    const BOB: PrincipalId = PrincipalId(2);

    fn created(id: impl Into<Box<str>>, life: Duration) -> CreatedTask {
        CreatedTask {
            id: id.into(),
            life,
        }
    }

    #[test]
    fn the_tasks_of_both_eras_are_read_and_nothing_else_is_one() {
        let read = |result: &str| {
            let line = format!(r#"{{"jsonrpc":"2.0","result":{result},"id":1}}"#);
            CreatedTask::read(line.as_bytes())
        };
        let second = Duration::from_secs(1);
        for (result, life) in [
            (
                r#"{"task":{"taskId":"a\u0062","status":"working","ttl":1000}}"#,
                second,
            ),
            (r#"{"task":{"ttl":null,"taskId":"ab"}}"#, MAX_LIFE),
            (r#"{"task":{"taskId":"ab"},"_meta":{}}"#, MAX_LIFE),
            (
                r#"{"resultType":"task","taskId":"ab","ttlMs":1000}"#,
                second,
            ),
            (
                r#"{"taskId":"ab","resultType":"task","ttlMs":1e99}"#,
                MAX_LIFE,
            ),
        ] {
            assert_eq!(read(result), Some(created("ab", life)), "{result}");
        }
        for result in [
            "{}",
            "[]",
            r#"{"task":"ab"}"#,
            r#"{"task":{}}"#,
            r#"{"task":{"taskId":7}}"#,
            r#"{"taskId":"ab","status":"working","resultType":"complete"}"#,
            r#"{"content":[{"task":{"taskId":"ab"}}]}"#,
        ] {
            assert_eq!(read(result), None, "{result}");
        }
    }

    #[test]
    fn what_another_reader_may_take_for_another_task_is_ambiguous() {
        let read = |text: &str| NamedTask::read(text.as_bytes(), Span::whole(text.as_bytes()));
        for (text, expected) in [
            (
                r#"{"taskId":"a","x":{"taskId":"b"}}"#,
                NamedTask::One("a".to_owned()),
            ),
            (r#"{"task\u0049d":"a"}"#, NamedTask::One("a".to_owned())),
            ("{}", NamedTask::None),
            ("[]", NamedTask::None),
            (r#"{"taskId":"a","taskId":"b"}"#, NamedTask::Ambiguous),
            (r#"{"taskId":"a","TASKID":"b"}"#, NamedTask::Ambiguous),
            (
                "{\"taskId\":\"a\",\"ta\u{17f}kId\":\"b\"}",
                NamedTask::Ambiguous,
            ),
            (r#"{"taskid":"a"}"#, NamedTask::Ambiguous),
            (r#"{"taskId":7}"#, NamedTask::Ambiguous),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    /// RE01: a task is named by the methods about tasks, and by what belongs to it.
    #[tokio::test(start_paused = true)]
    async fn a_message_names_tasks_of_its_own_principal_only() {
        let owners = TaskOwners::default();
        owners.insert(created("a", MAX_LIFE), ALICE);
        let check = |params: &str, is_about_tasks, principal| {
            let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"m","params":{params}}}"#);
            let envelope = envelope::scan(text.as_bytes()).unwrap();
            let params = envelope.params.unwrap();
            owners.check(text.as_bytes(), &params, is_about_tasks, principal)
        };
        let subject = r#"{"taskId":"a"}"#;
        let related = r#"{"_meta":{"io.modelcontextprotocol\/related-task":{"taskId":"\u0061"}}}"#;
        for params in [subject, related] {
            assert!(check(params, true, ALICE).is_ok(), "{params}");
            assert!(check(params, true, BOB).is_err(), "{params}");
        }
        assert!(check(subject, false, BOB).is_ok(), "not about tasks");
        assert!(check(related, false, BOB).is_err());
        let both =
            r#"{"taskId":"a","_meta":{"io.modelcontextprotocol/related-task":{"taskId":"b"}}}"#;
        assert!(check(both, true, ALICE).is_err());
        for params in [
            "{}",
            "[]",
            r#"{"_meta":{}}"#,
            r#"{"_meta":{"io.modelcontextprotocol/related-task":7}}"#,
        ] {
            assert!(check(params, true, BOB).is_ok(), "{params}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_is_its_owners_until_it_was_unused_for_its_life() {
        let owners = TaskOwners::default();
        owners.insert(created("a", Duration::from_secs(10)), ALICE);
        for _ in 0..3 {
            tokio::time::advance(Duration::from_secs(9)).await;
            assert!(!owners.is_of("a", BOB));
            assert!(owners.is_of("a", ALICE));
        }
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(!owners.is_of("a", ALICE));
        assert!(owners.tasks().is_empty());
        owners.insert(created("a", MAX_LIFE), ALICE);
        owners.insert(created("a", MAX_LIFE), BOB);
        assert!(owners.is_of("a", BOB) && !owners.is_of("a", ALICE));
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_are_bounded_and_a_flood_takes_no_task_of_others() {
        let owners = TaskOwners::default();
        owners.insert(created("bob", MAX_LIFE), BOB);
        owners.insert(created("x".repeat(MAX_ID + 1), MAX_LIFE), BOB);
        assert_eq!(owners.tasks().len(), 1);
        for number in 0..=MAX_TASKS_OF_ONE {
            tokio::time::advance(Duration::from_millis(1)).await;
            owners.insert(created(number.to_string(), MAX_LIFE), ALICE);
        }
        assert!(!owners.is_of("0", ALICE) && owners.is_of("1", ALICE));
        assert!(owners.is_of("bob", BOB));
        for principal in 10..20 {
            for number in 0..MAX_TASKS_OF_ONE {
                let id = format!("{principal} {number}");
                owners.insert(created(id, MAX_LIFE), PrincipalId(principal));
            }
        }
        assert_eq!(owners.tasks().len(), MAX_TASKS);
    }
}
