//! Which arguments of a tool's call are repeated in headers: the `x-mcp-header` annotations of its
//! schema (MCP 2026-07-28, server/tools and basic/transports/streamable-http, schema extension).

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde_json::value::RawValue;

/// The annotation in a schema.
const ANNOTATION: &str = "x-mcp-header";

/// What one tool wants repeated; it wants something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::relay) struct ToolHeaders(Vec<ToolHeader>);

/// One argument and its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ToolHeader {
    suffix: String,
    path: Vec<String>,
}

impl ToolHeader {
    /// What follows `Mcp-Param-` in the header's name, in lower case.
    pub(super) fn suffix(&self) -> &str {
        &self.suffix
    }

    /// The names that lead from `arguments` to the value.
    pub(super) fn path(&self) -> impl Iterator<Item = &str> {
        self.path.iter().map(String::as_str)
    }

    /// The same for a person.
    pub(super) fn argument(&self) -> String {
        self.path.join(".")
    }
}

impl ToolHeaders {
    /// Reads the result of `tools/list`, or one page of it: each tool that wants something, by its name.
    ///
    /// A tool with an annotation that breaks the rules is left out, and its calls are not checked:
    /// clients must not know it at all. Annotations that are not reached through `properties` alone are
    /// not looked for.
    pub(in crate::relay) fn from_list(result: &[u8]) -> HashMap<String, Self> {
        #[derive(Deserialize)]
        struct List<'a> {
            #[serde(borrow)]
            tools: Vec<&'a RawValue>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Tool<'a> {
            name: String,
            #[serde(borrow)]
            input_schema: &'a RawValue,
        }
        if !may_be_annotated(result) {
            return HashMap::new();
        }
        let Ok(List { tools }) = serde_json::from_slice(result) else {
            return HashMap::new();
        };
        let tools = tools
            .into_iter()
            .filter(|tool| may_be_annotated(tool.get().as_bytes()));
        let tools = tools.filter_map(|tool| {
            let Tool { name, input_schema } = serde_json::from_str(tool.get()).ok()?;
            Some((name, Self::of_schema(input_schema.get())?))
        });
        tools.collect()
    }

    /// Reads one schema; `None` where it wants nothing, or breaks the rules.
    fn of_schema(schema: &str) -> Option<Self> {
        let mut headers = Vec::new();
        collect(schema, &mut Vec::new(), &mut headers).ok()?;
        let mut seen = HashSet::new();
        let unique = headers.iter().all(|header| seen.insert(&header.suffix));
        (unique && !headers.is_empty()).then_some(Self(headers))
    }

    pub(super) fn headers(&self) -> &[ToolHeader] {
        &self.0
    }
}

/// An annotation breaks the rules.
struct Invalid;

/// One level of a schema. As deep as it is nested, which a scan has bounded.
fn collect(
    schema: &str,
    path: &mut Vec<String>,
    into: &mut Vec<ToolHeader>,
) -> Result<(), Invalid> {
    #[derive(Deserialize)]
    struct Schema<'a> {
        #[serde(borrow, rename = "x-mcp-header")]
        header: Option<&'a RawValue>,
        #[serde(borrow, rename = "type")]
        kind: Option<&'a RawValue>,
        // Their order is that of their names: nothing depends on it.
        #[serde(borrow)]
        properties: Option<BTreeMap<Cow<'a, str>, &'a RawValue>>,
    }
    // `true` is a schema, too, and what is none has no annotations.
    let Ok(Schema {
        header,
        kind,
        properties,
    }) = serde_json::from_str(schema)
    else {
        return Ok(());
    };
    if let Some(header) = header {
        let name: String = serde_json::from_str(header.get()).map_err(|_no_text| Invalid)?;
        if path.is_empty() || !is_token(&name) || !is_primitive(kind) {
            return Err(Invalid);
        }
        into.push(ToolHeader {
            suffix: name.to_ascii_lowercase(),
            path: path.clone(),
        });
    }
    for (name, schema) in properties.unwrap_or_default() {
        if may_be_annotated(schema.get().as_bytes()) {
            path.push(name.into_owned());
            collect(schema.get(), path, into)?;
            path.pop();
        }
    }
    Ok(())
}

/// Whether the annotation can stand in this text: as it is, or with an escape in it.
fn may_be_annotated(json: &[u8]) -> bool {
    memchr::memmem::find(json, ANNOTATION.as_bytes()).is_some()
        || memchr::memmem::find(json, br"\u").is_some()
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_tchar)
}

/// Strings, integers and booleans can be repeated, `number` cannot. A schema that does not say, or
/// allows several types, is given the benefit of the doubt: the argument itself is looked at.
fn is_primitive(kind: Option<&RawValue>) -> bool {
    let kind = kind.map(|kind| serde_json::from_str::<Cow<'_, str>>(kind.get()));
    match kind {
        Some(Ok(kind)) => matches!(&*kind, "string" | "integer" | "boolean"),
        None | Some(Err(_)) => true,
    }
}
