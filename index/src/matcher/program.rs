//! An expression as a list of instructions over characters, for expressions whose byte automaton would take too much
//! memory: `[\pL]{1,900}` is some 40 MB as an automaton, and 2,000 instructions here. Slower a character, never larger
//! than a few bytes for each character of the expression written out.
//!
//! All threads of the Pike machine step together, so that time is linear in the text. R. Cox, "Regular Expression
//! Matching: the Virtual Machine Approach"; as Go's `regexp` does.

use std::sync::{Mutex, PoisonError};

use regex_syntax::hir::{Class, ClassUnicode, Hir, HirKind, Look};

/// A compiled expression; matches whole texts.
#[derive(Debug)]
pub(super) struct Program {
    code: Vec<Op>,
    classes: Vec<CharClass>,
    /// Memory of matches that are over, for the next ones.
    scratch: Mutex<Vec<Scratch>>,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Char(char),
    Class(u32),
    /// Holds between two characters.
    Look(Look),
    /// Goes on at both.
    Split(u32, u32),
    Jump(u32),
    Match,
}

#[derive(Debug)]
struct CharClass {
    ascii: u128,
    ranges: Box<[(char, char)]>,
}

impl CharClass {
    fn new(class: &ClassUnicode) -> CharClass {
        let mut ascii = 0;
        for range in class.iter().filter(|range| range.start().is_ascii()) {
            let end = u32::from(range.end()).min(127);
            (u32::from(range.start())..=end).for_each(|c| ascii |= 1_u128 << c);
        }
        CharClass { ascii, ranges: class.iter().map(|range| (range.start(), range.end())).collect() }
    }

    fn holds(&self, c: char) -> bool {
        if c.is_ascii() {
            return self.ascii >> u32::from(c) & 1 == 1;
        }
        let next = self.ranges.partition_point(|(_, end)| *end < c);
        self.ranges.get(next).is_some_and(|(start, _)| *start <= c)
    }
}

impl Program {
    pub(super) fn new(hir: &Hir) -> Program {
        let mut program = Program { code: Vec::new(), classes: Vec::new(), scratch: Mutex::default() };
        program.put(hir);
        program.code.push(Op::Match);
        program
    }

    fn here(&self) -> u32 {
        // The parser bounds an expression to about a million instructions.
        self.code.len() as u32
    }

    fn put(&mut self, hir: &Hir) {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => {
                let text = String::from_utf8_lossy(&literal.0);
                self.code.extend(text.chars().map(Op::Char));
            }
            HirKind::Class(class) => self.put_class(class),
            HirKind::Look(look) => self.code.push(Op::Look(*look)),
            HirKind::Capture(capture) => self.put(&capture.sub),
            HirKind::Concat(parts) => parts.iter().for_each(|part| self.put(part)),
            HirKind::Alternation(parts) => self.put_alternation(parts),
            HirKind::Repetition(repetition) => {
                self.put_repetition(&repetition.sub, repetition.min, repetition.max);
            }
        }
    }

    fn put_class(&mut self, class: &Class) {
        let class = match class {
            Class::Unicode(class) => CharClass::new(class),
            Class::Bytes(class) => {
                CharClass::new(&class.to_unicode_class().unwrap_or_else(ClassUnicode::empty))
            }
        };
        self.code.push(Op::Class(self.classes.len() as u32));
        self.classes.push(class);
    }

    fn put_alternation(&mut self, parts: &[Hir]) {
        let mut jumps = Vec::with_capacity(parts.len());
        for (i, part) in parts.iter().enumerate() {
            let split = self.code.len();
            let is_last = i + 1 == parts.len();
            if !is_last {
                self.code.push(Op::Split(self.here() + 1, 0));
            }
            self.put(part);
            if !is_last {
                jumps.push(self.code.len());
                self.code.push(Op::Jump(0));
                self.code[split] = Op::Split(split as u32 + 1, self.here());
            }
        }
        let end = self.here();
        jumps.into_iter().for_each(|jump| self.code[jump] = Op::Jump(end));
    }

    fn put_repetition(&mut self, sub: &Hir, min: u32, max: Option<u32>) {
        for _ in 0..min {
            self.put_copy(sub);
        }
        let Some(max) = max else {
            let start = self.code.len();
            self.code.push(Op::Split(self.here() + 1, 0));
            self.put_copy(sub);
            self.code.push(Op::Jump(start as u32));
            self.code[start] = Op::Split(start as u32 + 1, self.here());
            return;
        };
        let mut splits = Vec::new();
        for _ in min..max {
            splits.push(self.code.len());
            self.code.push(Op::Split(self.here() + 1, 0));
            self.put_copy(sub);
        }
        let end = self.here();
        splits.into_iter().for_each(|split| self.code[split] = Op::Split(split as u32 + 1, end));
    }

    /// A class that is repeated is kept once.
    fn put_copy(&mut self, sub: &Hir) {
        match (sub.kind(), self.code.last()) {
            (HirKind::Class(Class::Unicode(class)), Some(Op::Split(..) | Op::Class(_)))
                if self.classes.last().is_some_and(|last| last.is(class)) =>
            {
                self.code.push(Op::Class(self.classes.len() as u32 - 1));
            }
            _ => self.put(sub),
        }
    }

    /// Whether the expression matches the whole text.
    pub(super) fn accepts(&self, text: &str) -> bool {
        let kept = self.scratch.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut scratch = kept.unwrap_or_else(|| Scratch::new(self.code.len()));
        let accepted = self.run(text, &mut scratch);
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner).push(scratch);
        accepted
    }

    fn run(&self, text: &str, scratch: &mut Scratch) -> bool {
        let mut chars = text.chars();
        let mut next = chars.next();
        scratch.now.clear();
        self.follow(0, (None, next), &mut scratch.now, &mut scratch.stack);
        while let Some(c) = next {
            next = chars.next();
            scratch.then.clear();
            for at in scratch.now.items.iter().copied() {
                let steps = match self.code[at as usize] {
                    Op::Char(wanted) => wanted == c,
                    Op::Class(class) => self.classes[class as usize].holds(c),
                    _ => false,
                };
                if steps {
                    self.follow(at + 1, (Some(c), next), &mut scratch.then, &mut scratch.stack);
                }
            }
            std::mem::swap(&mut scratch.now, &mut scratch.then);
            if scratch.now.items.is_empty() {
                return false;
            }
        }
        scratch.now.items.iter().any(|at| matches!(self.code[*at as usize], Op::Match))
    }

    /// Adds what is reached from an instruction without reading a character.
    fn follow(&self, at: u32, around: (Option<char>, Option<char>), threads: &mut Set, stack: &mut Vec<u32>) {
        stack.push(at);
        while let Some(at) = stack.pop() {
            if !threads.insert(at) {
                continue;
            }
            match self.code[at as usize] {
                Op::Split(one, other) => stack.extend([other, one]),
                Op::Jump(to) => stack.push(to),
                Op::Look(look) if holds(look, around) => stack.push(at + 1),
                _ => {}
            }
        }
    }
}

impl CharClass {
    fn is(&self, class: &ClassUnicode) -> bool {
        let same = |(ours, theirs): (&(char, char), &regex_syntax::hir::ClassUnicodeRange)| {
            *ours == (theirs.start(), theirs.end())
        };
        self.ranges.len() == class.ranges().len() && self.ranges.iter().zip(class.ranges()).all(same)
    }
}

/// Whether an assertion holds between two characters.
fn holds(look: Look, (before, after): (Option<char>, Option<char>)) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    match look {
        Look::Start => before.is_none(),
        Look::End => after.is_none(),
        Look::StartLF => before.is_none_or(|c| c == '\n'),
        Look::EndLF => after.is_none_or(|c| c == '\n'),
        Look::WordAscii => is_word(before) != is_word(after),
        Look::WordAsciiNegate => is_word(before) == is_word(after),
        // The parser makes no others.
        _ => false,
    }
}

#[derive(Debug)]
struct Scratch {
    now: Set,
    then: Set,
    stack: Vec<u32>,
}

impl Scratch {
    fn new(size: usize) -> Scratch {
        let set = || Set { items: Vec::new(), places: vec![0; size] };
        Scratch { now: set(), then: set(), stack: Vec::new() }
    }
}

/// A set of instructions that is emptied at no cost. P. Briggs and L. Torczon, "An efficient representation for sparse
/// sets".
#[derive(Debug)]
struct Set {
    items: Vec<u32>,
    /// For each member its place among the items; anything for others.
    places: Vec<u32>,
}

impl Set {
    fn clear(&mut self) {
        self.items.clear();
    }

    /// Whether it was not there yet.
    fn insert(&mut self, item: u32) -> bool {
        let place = &mut self.places[item as usize];
        if self.items.get(*place as usize) == Some(&item) {
            return false;
        }
        *place = self.items.len() as u32;
        self.items.push(item);
        true
    }
}

#[cfg(test)]
mod tests {
    use regex_automata::{Anchored, Input};

    use super::super::go_syntax;
    use super::super::text::anchored;
    use super::*;

    #[test]
    fn accepts_what_the_automaton_accepts() {
        let patterns = [
            "",
            "a",
            "ab*",
            "a+b?",
            "(a|b|cd)*e",
            "a{2}",
            "a{2,4}b",
            "(ab){0,2}",
            "a{3,}",
            "[^a]+",
            r"\pL{1,9}",
            r"(?i)[\pL_0-9.:-]{1,9}",
            r"\bab\b.*",
            r"a\B.",
            "(?m)^a$\n^b$",
            "(|a)+b",
            "(a*)*b",
            "ä+|k",
            "(?i)straße",
            "[[:alpha:]]{2}(x|y{2,3}){1,2}",
        ];
        let texts = [
            "",
            "a",
            "b",
            "ab",
            "abb",
            "aa",
            "aab",
            "aaaab",
            "aaaaab",
            "cde",
            "abcdabe",
            "abab",
            "ababab",
            "äää",
            "k",
            "K",
            "\u{212a}",
            "STRASSE",
            "straße",
            "a\nb",
            "ab cd",
            "abc",
            "xy",
            "bcx",
            "bcyyx",
            "bcyyyyy",
            "日本語",
            "a_b.c:d-9",
        ];
        for pattern in patterns {
            let program = Program::new(&go_syntax::parse(pattern).unwrap().hir);
            let automaton = anchored(pattern.as_bytes()).unwrap();
            for text in texts {
                let expected = automaton.is_match(Input::new(text).anchored(Anchored::Yes));
                assert_eq!(program.accepts(text), expected, "{pattern:?} on {text:?}");
            }
        }
    }

    #[test]
    fn a_repeated_class_is_kept_once() {
        let program = Program::new(&go_syntax::parse(r"(?i)[\pL_0-9.:-]{1,900}").unwrap().hir);
        assert!(program.code.len() < 2_000 && program.classes.len() <= 2);
        assert!(program.accepts(&"ä".repeat(900)));
        assert!(!program.accepts(&"ä".repeat(901)));
    }
}
