//! Go's regular expression syntax (RE2, Perl flags) translated to the syntax tree of `regex-syntax`, with Go's error
//! texts. Source: Go 1.26, `regexp/syntax/parse.go`.

use std::collections::HashSet;

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition};

use super::go_class::{self, fold};
use super::go_error::{SyntaxError, error, upto};

/// Flags that `(?ims-U)` switches.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flags {
    pub(super) fold: bool,
    multi_line: bool,
    dot_newline: bool,
    lazy: bool,
}

/// Instructions that Go's compiled form may have: 128 MiB of 40 bytes.
const SIZE_MAX: u64 = (128 << 20) / 40;
/// How deeply Go lets expressions nest.
const HEIGHT_MAX: u32 = 1000;

/// Ranges in all classes of an expression. Go allows more than anybody writes: 128 MiB of them.
const RANGES_MAX: usize = 2 << 20;

/// An expression, and what compiling it costs.
pub(super) struct Parsed {
    pub(super) hir: Hir,
    /// Instructions of Go's compiled form, repetitions written out.
    pub(super) size: u64,
    /// About how many bytes an automaton over UTF-8 takes.
    pub(super) automaton_bytes: u64,
}

/// Parses a pattern as Prometheus does for matchers: `.` matches newlines. Groups are not kept.
pub(super) fn parse(pattern: &str) -> Result<Parsed, SyntaxError> {
    Parser::new(pattern, false).run()
}

/// The same with groups kept, as captures.
pub(super) fn parse_captures(pattern: &str) -> Result<Parsed, SyntaxError> {
    Parser::new(pattern, true).run()
}

struct Parser<'p> {
    whole: &'p str,
    rest: &'p str,
    flags: Flags,
    stack: Vec<Item>,
    keep_groups: bool,
    /// Groups opened so far.
    groups: u32,
    /// Their names; of groups named alike the first keeps the name.
    names: HashSet<&'p str>,
    /// Literals and classes read so far, and the ranges of the latter.
    items: u64,
    ranges: usize,
}

/// What lies on the stack: parts not yet joined, and marks.
enum Item {
    Part(Part),
    Bar,
    /// Flags at the time; the group that it opens, if it captures.
    Paren(Flags, Option<Group>),
}

/// A capturing group.
struct Group {
    index: u32,
    name: Option<Box<str>>,
}

/// A parsed part with what Go's limits are about.
struct Part {
    hir: Hir,
    height: u32,
    size: u64,
    automaton_bytes: u64,
    counted: Vec<Counted>,
}

/// About how many bytes a literal takes in an automaton, and a range of a class.
const LITERAL_BYTES: u64 = 24;
const RANGE_BYTES: u64 = 96;

/// A counted repetition (`{n,m}`) and those inside it.
struct Counted {
    times: u32,
    inside: Vec<Counted>,
}

impl<'p> Parser<'p> {
    fn new(pattern: &'p str, keep_groups: bool) -> Parser<'p> {
        let flags = Flags { fold: false, multi_line: false, dot_newline: true, lazy: false };
        Parser {
            whole: pattern,
            rest: pattern,
            flags,
            stack: vec![],
            keep_groups,
            groups: 0,
            names: HashSet::new(),
            items: 0,
            ranges: 0,
        }
    }

    fn open_group(&mut self, name: Option<&'p str>) {
        self.groups += 1;
        let name = name.filter(|name| self.names.insert(name));
        let group = Group { index: self.groups, name: name.map(Into::into) };
        self.stack.push(Item::Paren(self.flags, Some(group)));
    }

    fn run(&mut self) -> Result<Parsed, SyntaxError> {
        // Where the last token began if it was a repetition: two in a row are refused.
        let mut repeat: Option<&'p str> = None;
        while let Some(c) = self.rest.chars().next() {
            let before = self.rest;
            let is_repeat = match c {
                '*' | '+' | '?' => {
                    self.rest = &before[1..];
                    let (min, max) = match c {
                        '*' => (0, None),
                        '+' => (1, None),
                        _ => (0, Some(1)),
                    };
                    self.repeat(min, max, false, before, repeat)?;
                    true
                }
                '{' => self.braces(repeat)?,
                _ => {
                    self.token(c)?;
                    false
                }
            };
            repeat = is_repeat.then_some(before);
            if self.items > SIZE_MAX || self.ranges > RANGES_MAX {
                return Err(error("expression too large", self.whole));
            }
        }
        self.join_alternatives();
        match (self.stack.pop(), self.stack.is_empty()) {
            (Some(Item::Part(part)), true) => {
                let Part { hir, size, automaton_bytes, .. } = self.check(part)?;
                Ok(Parsed { hir, size, automaton_bytes })
            }
            _ => Err(error("missing closing )", self.whole)),
        }
    }

    /// Any token but a repetition.
    fn token(&mut self, c: char) -> Result<(), SyntaxError> {
        match c {
            '(' if self.rest.starts_with("(?") => return self.perl_flags(),
            '(' => {
                self.open_group(None);
                self.rest = &self.rest[1..];
            }
            ')' => {
                self.close_paren()?;
                self.rest = &self.rest[1..];
            }
            '|' => {
                self.join_concat();
                self.stack.push(Item::Bar);
                self.rest = &self.rest[1..];
            }
            '^' => self.look(if self.flags.multi_line { Look::StartLF } else { Look::Start }, 1),
            '$' => self.look(if self.flags.multi_line { Look::EndLF } else { Look::End }, 1),
            '.' => {
                let newline = (!self.flags.dot_newline).then_some('\n');
                self.class(go_class::any_but(newline));
                self.rest = &self.rest[1..];
            }
            '[' => {
                let (class, rest) = go_class::brackets(self.rest, self.flags.fold)?;
                self.class(class);
                self.rest = rest;
            }
            '\\' => return self.escape(),
            c => {
                self.literal(Some(c));
                self.rest = &self.rest[c.len_utf8()..];
            }
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), SyntaxError> {
        match self.rest.as_bytes().get(1) {
            Some(b'A') => self.look(Look::Start, 2),
            Some(b'z') => self.look(Look::End, 2),
            Some(b'b') => self.look(Look::WordAscii, 2),
            Some(b'B') => self.look(Look::WordAsciiNegate, 2),
            Some(b'C') => return Err(error("invalid escape sequence", &self.rest[..2])),
            Some(b'Q') => {
                let text = &self.rest[2..];
                let (quoted, rest) = text.split_once(r"\E").unwrap_or((text, ""));
                quoted.chars().for_each(|c| self.literal(Some(c)));
                self.rest = rest;
            }
            _ => {
                if let Some((class, rest)) = go_class::class_escape(self.rest, self.flags.fold)? {
                    self.class(class);
                    self.rest = rest;
                } else {
                    let (code, rest) = go_class::char_escape(self.rest)?;
                    self.literal(char::from_u32(code));
                    self.rest = rest;
                }
            }
        }
        Ok(())
    }

    /// A literal; `None` is a surrogate, which no text holds.
    fn literal(&mut self, c: Option<char>) {
        let Some(c) = c else { return self.push(Hir::fail()) };
        if self.flags.fold {
            let class = fold(ClassUnicode::new([ClassUnicodeRange::new(c, c)]));
            return self.class(class);
        }
        self.push(Hir::literal(c.encode_utf8(&mut [0; 4]).as_bytes()));
    }

    fn class(&mut self, class: ClassUnicode) {
        self.ranges += class.ranges().len();
        let bytes = RANGE_BYTES * class.ranges().len() as u64;
        self.push_of(Hir::class(Class::Unicode(class)), bytes);
    }

    fn look(&mut self, look: Look, len: usize) {
        self.push(Hir::look(look));
        self.rest = &self.rest[len..];
    }

    fn push(&mut self, hir: Hir) {
        self.push_of(hir, LITERAL_BYTES);
    }

    fn push_of(&mut self, hir: Hir, automaton_bytes: u64) {
        self.items += 1;
        self.stack.push(Item::Part(Part { hir, height: 1, size: 1, automaton_bytes, counted: vec![] }));
    }

    /// `{n}`, `{n,}`, `{n,m}`, or else a literal brace.
    fn braces(&mut self, last: Option<&'p str>) -> Result<bool, SyntaxError> {
        let before = self.rest;
        let Some((min, max, rest)) = counts(before) else {
            self.literal(Some('{'));
            self.rest = &before[1..];
            return Ok(false);
        };
        self.rest = rest;
        let in_range = |n: i64| u32::try_from(n).ok().filter(|n| *n <= 1000);
        let refused = || error("invalid repeat count", upto(before, rest));
        let min = in_range(min).ok_or_else(refused)?;
        let max = max.map(|max| in_range(max).filter(|max| *max >= min).ok_or_else(refused)).transpose()?;
        self.repeat(min, max, true, before, last)?;
        Ok(true)
    }

    fn repeat(
        &mut self,
        min: u32,
        max: Option<u32>,
        counted: bool,
        before: &'p str,
        last: Option<&'p str>,
    ) -> Result<(), SyntaxError> {
        let mut greedy = !self.flags.lazy;
        if let Some(rest) = self.rest.strip_prefix('?') {
            (self.rest, greedy) = (rest, !greedy);
        }
        if let Some(last) = last {
            return Err(error("invalid nested repetition operator", upto(last, self.rest)));
        }
        let Some(Item::Part(_)) = self.stack.last() else {
            return Err(error("missing argument to repetition operator", upto(before, self.rest)));
        };
        let Some(Item::Part(sub)) = self.stack.pop() else { return Ok(()) };
        let size = match max {
            Some(max) => u64::from(max) * sub.size + u64::from(max - min),
            None if min == 0 => 2 + sub.size,
            None => 1 + u64::from(min) * sub.size,
        };
        let copies = u64::from(max.unwrap_or(min).max(1));
        let automaton_bytes = sub.automaton_bytes.saturating_mul(copies);
        let hir = Hir::repetition(Repetition { min, max, greedy, sub: Box::new(sub.hir) });
        let inner = sub.counted;
        let counted =
            if counted { vec![Counted { times: max.unwrap_or(min), inside: inner }] } else { inner };
        let part = self.check(Part { hir, height: sub.height + 1, size, automaton_bytes, counted })?;
        if (min >= 2 || max.is_some_and(|max| max >= 2)) && !part.counted.iter().all(|c| c.fits(1000)) {
            return Err(error("invalid repeat count", upto(before, self.rest)));
        }
        self.stack.push(Item::Part(part));
        Ok(())
    }

    fn check(&self, part: Part) -> Result<Part, SyntaxError> {
        if part.height > HEIGHT_MAX {
            return Err(error("expression nests too deeply", self.whole));
        }
        if part.size > SIZE_MAX {
            return Err(error("expression too large", self.whole));
        }
        Ok(part)
    }

    /// `(?flags)`, `(?flags:`, `(?P<name>`, `(?<name>`.
    fn perl_flags(&mut self) -> Result<(), SyntaxError> {
        let start = self.rest;
        let name_at = if start.len() > 4 && start.starts_with("(?P<") {
            Some(4)
        } else if start.len() > 3 && start.starts_with("(?<") {
            Some(3)
        } else {
            None
        };
        if let Some(name_at) = name_at {
            let invalid = |at| error("invalid named capture", at);
            let end = start.find('>').ok_or_else(|| invalid(start))?;
            let name = start.get(name_at..end).unwrap_or_default();
            if name.is_empty() || !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
                return Err(invalid(&start[..=end]));
            }
            self.open_group(Some(name));
            self.rest = &start[end + 1..];
            return Ok(());
        }
        let (mut flags, mut set, mut saw_flag) = (self.flags, true, false);
        let mut chars = start[2..].char_indices();
        for (at, c) in chars.by_ref() {
            let flag = match c {
                'i' => &mut flags.fold,
                'm' => &mut flags.multi_line,
                's' => &mut flags.dot_newline,
                'U' => &mut flags.lazy,
                '-' if set => {
                    (set, saw_flag) = (false, false);
                    continue;
                }
                ':' | ')' if set || saw_flag => {
                    if c == ':' {
                        self.stack.push(Item::Paren(self.flags, None));
                    }
                    self.flags = flags;
                    self.rest = &start[2 + at + 1..];
                    return Ok(());
                }
                _ => break,
            };
            (*flag, saw_flag) = (set, true);
        }
        Err(error("invalid or unsupported Perl syntax", upto(start, chars.as_str())))
    }

    fn close_paren(&mut self) -> Result<(), SyntaxError> {
        self.join_alternatives();
        let inner = self.stack.pop();
        let (Some(Item::Part(mut part)), Some(Item::Paren(flags, group))) = (inner, self.stack.pop()) else {
            return Err(error("unexpected )", self.whole));
        };
        self.flags = flags;
        if let Some(Group { index, name }) = group {
            part.height += 1;
            if self.keep_groups {
                part.hir = Hir::capture(Capture { index, name, sub: Box::new(part.hir) });
            }
        }
        let part = self.check(part)?;
        self.stack.push(Item::Part(part));
        Ok(())
    }

    /// Joins the parts behind the last mark into one.
    fn join_concat(&mut self) {
        let start = self.stack.iter().rposition(|item| !matches!(item, Item::Part(_))).map_or(0, |i| i + 1);
        let parts = self.stack.drain(start..).filter_map(Item::part).collect();
        let part = join(parts, Hir::concat);
        self.stack.push(Item::Part(part));
    }

    /// Joins all alternatives behind the last parenthesis into one.
    fn join_alternatives(&mut self) {
        self.join_concat();
        let start = self.stack.iter().rposition(|item| matches!(item, Item::Paren(..))).map_or(0, |i| i + 1);
        let parts = self.stack.drain(start..).filter_map(Item::part).collect();
        let part = join(parts, Hir::alternation);
        self.stack.push(Item::Part(part));
    }
}

impl Item {
    fn part(self) -> Option<Part> {
        match self {
            Item::Part(part) => Some(part),
            Item::Bar | Item::Paren(..) => None,
        }
    }
}

impl Counted {
    /// Whether the repetitions multiply to at most `n`.
    fn fits(&self, n: u32) -> bool {
        match self.times {
            0 => true,
            times if times > n => false,
            times => self.inside.iter().all(|inner| inner.fits(n / times)),
        }
    }
}

fn join(mut parts: Vec<Part>, with: impl Fn(Vec<Hir>) -> Hir) -> Part {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let height = 1 + parts.iter().map(|part| part.height).max().unwrap_or(0);
    let size = 1 + parts.iter().map(|part| part.size).sum::<u64>();
    let automaton_bytes =
        parts.iter().map(|part| part.automaton_bytes).fold(LITERAL_BYTES, u64::saturating_add);
    let (mut hirs, mut counted) = (Vec::with_capacity(parts.len()), vec![]);
    for part in parts {
        hirs.push(part.hir);
        counted.extend(part.counted);
    }
    Part { hir: with(hirs), height, size, automaton_bytes, counted }
}

/// The numbers in braces and what follows; -1 stands for a number too big.
fn counts(text: &str) -> Option<(i64, Option<i64>, &str)> {
    let (min, rest) = number(text.strip_prefix('{')?)?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, Some(min), rest));
    }
    let rest = rest.strip_prefix(',')?;
    if let Some(rest) = rest.strip_prefix('}') {
        return Some((min, None, rest));
    }
    let (max, rest) = number(rest)?;
    Some((min, Some(max), rest.strip_prefix('}')?))
}

/// Digits without leading zeros.
fn number(text: &str) -> Option<(i64, &str)> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(len);
    if len == 0 || (len > 1 && digits.starts_with('0')) {
        return None;
    }
    Some((if len > 8 { -1 } else { digits.parse().ok()? }, rest))
}
