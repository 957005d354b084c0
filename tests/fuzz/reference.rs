//! JSON read once more, slowly and plainly, for what the targets compare with: RFC 8259 by recursion, every
//! value with its place in the text.

/// Levels that are followed, as the gateway promises it.
const MAX_DEPTH: usize = 128;

/// Why a text is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is no JSON.
    Syntax,
    /// It is nested too deep.
    TooDeep,
}

/// A value and where it stands.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub(crate) enum Kind {
    Object(Vec<Member>),
    Array(Vec<Value>),
    /// A string, a number or a word, which are what they are written as.
    Plain,
}

/// A member of an object.
#[derive(Debug)]
pub(crate) struct Member {
    /// The name as it is written, with its quotes.
    pub(crate) key: (usize, usize),
    /// The name that is meant; `None` where it is no text (a lone surrogate).
    pub(crate) name: Option<String>,
    pub(crate) value: Value,
}

/// Reads a text that is one JSON value.
pub(crate) fn read(text: &[u8]) -> Result<Value, Unread> {
    if std::str::from_utf8(text).is_err() {
        return Err(Unread::Syntax);
    }
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.space();
    if reader.at == text.len() {
        Ok(value)
    } else {
        Err(Unread::Syntax)
    }
}

/// The text of a JSON string without quotes and escapes, if it is one and is text.
pub(crate) fn text_of(json: &[u8]) -> Option<String> {
    serde_json::from_slice(json).ok()
}

impl Value {
    /// How it is written.
    pub(crate) fn written<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        &text[self.start..self.end]
    }

    /// Its members; none where it is no object.
    pub(crate) fn members(&self) -> &[Member] {
        match &self.kind {
            Kind::Object(members) => members,
            Kind::Array(_) | Kind::Plain => &[],
        }
    }

    /// The values that are directly inside.
    pub(crate) fn parts(&self) -> Vec<&Value> {
        match &self.kind {
            Kind::Object(members) => members.iter().map(|member| &member.value).collect(),
            Kind::Array(elements) => elements.iter().collect(),
            Kind::Plain => Vec::new(),
        }
    }

    /// It is an object.
    pub(crate) fn is_object(&self) -> bool {
        matches!(self.kind, Kind::Object(_))
    }

    /// The last member of this name.
    pub(crate) fn member(&self, name: &str) -> Option<&Value> {
        let mut found = self.members().iter().rev();
        let found = found.find(|member| member.name.as_deref() == Some(name));
        found.map(|member| &member.value)
    }

    /// How many members have this name.
    pub(crate) fn count(&self, name: &str) -> usize {
        let names = self.members().iter();
        names.filter(|m| m.name.as_deref() == Some(name)).count()
    }

    /// The same without white space around its parts; names and plain values as they are written.
    pub(crate) fn minified(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        self.minify(text, &mut out);
        out
    }

    fn minify(&self, text: &[u8], out: &mut Vec<u8>) {
        match &self.kind {
            Kind::Plain => out.extend_from_slice(self.written(text)),
            Kind::Array(elements) => {
                out.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    out.extend_from_slice(if index == 0 { b"" } else { b"," });
                    element.minify(text, out);
                }
                out.push(b']');
            }
            Kind::Object(members) => {
                out.push(b'{');
                for (index, member) in members.iter().enumerate() {
                    out.extend_from_slice(if index == 0 { b"" } else { b"," });
                    out.extend_from_slice(&text[member.key.0..member.key.1]);
                    out.push(b':');
                    member.value.minify(text, out);
                }
                out.push(b'}');
            }
        }
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn next(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.next(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Result<(), Unread> {
        self.space();
        if self.next() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        Err(Unread::Syntax)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Unread> {
        self.space();
        let start = self.at;
        let kind = match self.next() {
            Some(b'{') => {
                self.open(depth)?;
                Kind::Object(self.list(b'}', |reader| reader.member(depth + 1))?)
            }
            Some(b'[') => {
                self.open(depth)?;
                Kind::Array(self.list(b']', |reader| reader.value(depth + 1))?)
            }
            Some(b'"') => {
                self.string()?;
                Kind::Plain
            }
            _ => {
                self.word()?;
                Kind::Plain
            }
        };
        let end = self.at;
        Ok(Value { start, end, kind })
    }

    fn open(&mut self, depth: usize) -> Result<(), Unread> {
        self.at += 1;
        if depth == MAX_DEPTH {
            return Err(Unread::TooDeep);
        }
        Ok(())
    }

    fn list<T>(
        &mut self,
        close: u8,
        mut one: impl FnMut(&mut Self) -> Result<T, Unread>,
    ) -> Result<Vec<T>, Unread> {
        let mut all = Vec::new();
        if self.take(close).is_ok() {
            return Ok(all);
        }
        loop {
            all.push(one(self)?);
            if self.take(close).is_ok() {
                return Ok(all);
            }
            self.take(b',')?;
        }
    }

    fn member(&mut self, depth: usize) -> Result<Member, Unread> {
        self.space();
        let start = self.at;
        if self.next() != Some(b'"') {
            return Err(Unread::Syntax);
        }
        self.string()?;
        let key = (start, self.at);
        self.take(b':')?;
        Ok(Member {
            key,
            name: text_of(&self.text[key.0..key.1]),
            value: self.value(depth)?,
        })
    }

    fn string(&mut self) -> Result<(), Unread> {
        self.at += 1;
        loop {
            let byte = self.next().ok_or(Unread::Syntax)?;
            self.at += 1;
            match byte {
                b'"' => return Ok(()),
                b'\\' => {
                    let escape = self.next().ok_or(Unread::Syntax)?;
                    self.at += 1;
                    if escape == b'u' {
                        for _ in 0..4 {
                            let digit = self.next().filter(u8::is_ascii_hexdigit);
                            digit.ok_or(Unread::Syntax)?;
                            self.at += 1;
                        }
                    } else if !b"\"\\/bfnrt".contains(&escape) {
                        return Err(Unread::Syntax);
                    }
                }
                0..0x20 => return Err(Unread::Syntax),
                _ => {}
            }
        }
    }

    /// A number, `true`, `false` or `null`: as much as can belong to one, which then has to be one.
    fn word(&mut self) -> Result<(), Unread> {
        let start = self.at;
        let belongs = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        while self.next().is_some_and(belongs) {
            self.at += 1;
        }
        match &self.text[start..self.at] {
            b"true" | b"false" | b"null" => Ok(()),
            other if is_number(other) => Ok(()),
            _ => Err(Unread::Syntax),
        }
    }
}

/// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
fn is_number(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let (mantissa, exponent) = match text.iter().position(|byte| b"eE".contains(byte)) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let (whole, fraction) = match mantissa.iter().position(|byte| *byte == b'.') {
        Some(at) => (&mantissa[..at], Some(&mantissa[at + 1..])),
        None => (mantissa, None),
    };
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let unsigned = |text: &[u8]| {
        digits(
            text.strip_prefix(b"+")
                .or(text.strip_prefix(b"-"))
                .unwrap_or(text),
        )
    };
    digits(whole)
        && (whole.len() == 1 || whole[0] != b'0')
        && fraction.is_none_or(digits)
        && exponent.is_none_or(unsigned)
}
