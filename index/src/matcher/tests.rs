//! Matchers against a plain regular expression, and Go's error texts.

use proptest::prelude::*;

use super::*;

fn regex(pattern: &str) -> Matcher {
    Matcher::new(MatchOp::Regex, "a", pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"))
}

fn check(pattern: &str, yes: &[&str], no: &[&str]) {
    let matcher = regex(pattern);
    for text in yes {
        assert!(matcher.matches(text.as_bytes()), "{pattern} should match {text:?}");
    }
    for text in no {
        assert!(!matcher.matches(text.as_bytes()), "{pattern} should not match {text:?}");
    }
}

fn check_error(pattern: &str, expected: &str) {
    let error = Matcher::new(MatchOp::Regex, "a", pattern).expect_err(pattern);
    assert_eq!(error.to_string(), format!("error parsing regexp: {expected}"), "{pattern}");
}

#[test]
fn forms_without_an_automaton() {
    check("", &[""], &["a"]);
    check("foo", &["foo"], &["", "fo", "fooo", "FOO"]);
    check("^foo$", &["foo"], &["^foo$"]);
    check("foo|bar|", &["foo", "bar", ""], &["foobar", "ba"]);
    check("fo{2}[0-9]?", &["foo", "foo1"], &["fo", "foo12"]);
    check(".*", &["", "a\nb", "\u{fffd}"], &[]);
    check(".+", &["a", "\n"], &[""]);
    check("foo.*", &["foo", "foo\n1"], &["fo", "afoo"]);
    check("foo.+", &["foo1"], &["foo"]);
    check(".*foo", &["foo", "1foo"], &["foo1"]);
    check(".+foo", &["1foo"], &["foo"]);
    check("aba.*aba", &["abaaba", "aba1aba"], &["aba", "ababa"]);
    check(".*foo.*bar.*", &["foobar", "1foo2bar3"], &["barfoo", "foo"]);
    check(".*-(00|01|12)-.*", &["-00-", "a-01-b-12-c"], &["-02-", "00-", "-0-", ""]);
    check("x.*(abcd|bc).*d", &["xabcd", "xbcd", "xabcdd"], &["xabd", "xbc", "abcd"]);
    check(".*(a|).*b", &["b", "ab", "cab"], &["a", ""]);
    check(".*(ab|abc|c).*[cd].*", &["abc", "abd", "cc", "ccd"], &["ab", "c", "dab"]);
    check("(?i)foo|b-1", &["foo", "FoO", "B-1"], &["fo", "b_1"]);
    check("(?i)ks", &["KS", "ks", "\u{212a}\u{17f}"], &["k"]);
    check("(?i:a)b", &["ab", "Ab"], &["AB"]);
}

#[test]
fn go_syntax() {
    check(r"\d+", &["019"], &["", "\u{661}"]);
    check(r"\w\W\s\S", &["a- a"], &["\u{e9}- a", "a-\u{b}a"]);
    check(r"[[:alpha:]][[:^digit:]]", &["ab"], &["a1", "1a"]);
    check(r"[^a]", &["b", "\n", "\u{1f600}"], &["a", ""]);
    check(r"[]a]+[-b-]", &["]a-", "ab"], &["]"]);
    check(r"\pN\p{Greek}\P{Lu}\p{^Lu}\p{letter}", &["1\u{3b1}aab"], &["1aaaa", "1\u{3b1}Aaa"]);
    check(r"\Qa.b\E.", &["a.bc"], &["axbc"]);
    check(r"a\Q.*", &["a.*"], &["ab"]);
    check(r"(?-s).*", &["a"], &["a\n"]);
    check(r"(?s-i:a)(?i)b(?P<n>c)(?<m>d)", &["aBCD", "abcd"], &["ABCD"]);
    check(r"(?m)a$\n^b", &["a\nb"], &["ab"]);
    check(r"\x41\x{1F600}\101\07\t\_", &["A\u{1f600}A\u{7}\t_"], &["A"]);
    check(r"a{,2}", &["a{,2}"], &["a", "aa"]);
    check(r"(a|b)*?c{2,}", &["cc", "abccc"], &["abc"]);
    check(r"\ba\b.\Bb?", &["a.", "a-"], &["a.b", "aa"]);
    check("(?i)[k-m]", &["K", "\u{212a}", "M"], &["j"]);
}

#[test]
fn bytes_that_are_no_text_read_as_replacement_characters() {
    assert!(regex("[^a].").matches(b"\xff\xfe"));
    assert!(regex("a.").matches(b"a\xff"));
    assert!(!regex("a.").matches(b"a\xe2\x82"));
    assert!(regex("a..").matches(b"a\xe2\x82"));
    assert!(regex("[\u{fffd}x].").matches(b"\xffa"));
}

#[test]
fn errors_are_those_of_go() {
    check_error("a(i", "missing closing ): `a(i`");
    check_error("a)b", "unexpected ): `a)b`");
    check_error("*", "missing argument to repetition operator: `*`");
    check_error("a|*?", "missing argument to repetition operator: `*?`");
    check_error("(+)", "missing argument to repetition operator: `+`");
    check_error("a**", "invalid nested repetition operator: `**`");
    check_error("a+?{2}b", "invalid nested repetition operator: `+?{2}`");
    check_error("x{1001}", "invalid repeat count: `{1001}`");
    check_error("x{3,2}y", "invalid repeat count: `{3,2}`");
    check_error("(x{10}){101}", "invalid repeat count: `{101}`");
    check_error("((x{100}){2}y){6}", "invalid repeat count: `{6}`");
    check_error("[a", "missing closing ]: `[a`");
    check_error("x[z-a]", "invalid character class range: `z-a`");
    check_error("[[:foo:]]", "invalid character class range: `[:foo:]`");
    check_error(r"\p{Foo}", r"invalid character class range: `\p{Foo}`");
    check_error(r"\pX", r"invalid character class range: `\pX`");
    check_error(r"a\8", r"invalid escape sequence: `\8`");
    check_error(r"\C", r"invalid escape sequence: `\C`");
    check_error(r"\Z", r"invalid escape sequence: `\Z`");
    check_error(r"\x{110000}", r"invalid escape sequence: `\x{110000`");
    check_error(r"a\", "trailing backslash at end of expression: ``");
    check_error("(?P<n", "invalid named capture: `(?P<n`");
    check_error("(?P<n-1>x)", "invalid named capture: `(?P<n-1>`");
    check_error("(?=a)", "invalid or unsupported Perl syntax: `(?=`");
    check_error("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`");
    check_error(&"(".repeat(2000), &format!("missing closing ): `{}`", "(".repeat(2000)));
    let deep = format!("{}x{}", "(".repeat(1001), ")".repeat(1001));
    check_error(&deep, &format!("expression nests too deeply: `{deep}`"));
    let large = format!("({}){{1000}}", "x".repeat(4000));
    check_error(&large, &format!("expression too large: `{large}`"));
    let error = Matcher::new(MatchOp::Regex, "a", b"a\xffb").expect_err("no text");
    assert_eq!(error.to_string(), "error parsing regexp: invalid UTF-8: `\u{fffd}b`");
}

#[test]
fn groups_are_captured_for_replacement() {
    let regex = anchored_regex(r"(\w+)-(?P<zone>[a-z]+(?:x|(y)))?(?i:(z))?").unwrap();
    let mut captures = regex.create_captures();
    regex.captures("é-ay", &mut captures);
    assert!(!captures.is_match(), "\\w is ASCII");
    regex.captures("ab-ayZ", &mut captures);
    let group = |i: usize| captures.get_group(i).map(|span| (span.start, span.end));
    assert_eq!(
        [group(0), group(1), group(2), group(3), group(4)],
        [(0, 6), (0, 2), (3, 5), (4, 5), (5, 6)].map(Some)
    );
    assert_eq!(captures.get_group_by_name("zone").map(|span| span.start), Some(3));
    assert!(anchored_regex("(?P<n>a)(?P<n>b)").is_ok());
    assert!(anchored_regex("(").is_err());
}

/// Patterns whose meaning Go and the `regex-syntax` parser agree on.
fn patterns() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[abAk]{1,3}",
        Just(".".to_owned()),
        Just(".*".to_owned()),
        Just(".+".to_owned()),
        Just("[ab]".to_owned()),
        Just("[^a]".to_owned()),
        Just(String::new()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            proptest::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("({})", parts.join("|"))),
            inner.clone().prop_map(|part| format!("(?:{part})*")),
            inner.clone().prop_map(|part| format!("(?:{part}){{0,2}}")),
            inner.prop_map(|part| format!("(?i:{part})")),
        ]
    })
}

proptest! {
    #[test]
    fn as_the_plain_regex(pattern in patterns(), texts in proptest::collection::vec("[abAkK\\n]{0,6}", 1..12)) {
        let plain = regex_automata::meta::Regex::new(&format!("^(?s:{pattern})$")).unwrap();
        let (matches, not) = (regex(&pattern), Matcher::new(MatchOp::NotRegex, "a", &pattern).unwrap());
        for text in &texts {
            prop_assert_eq!(matches.matches(text.as_bytes()), plain.is_match(text.as_bytes()), "{} on {:?}", pattern, text);
            prop_assert_eq!(not.matches(text.as_bytes()), !plain.is_match(text.as_bytes()));
        }
    }

    #[test]
    fn any_pattern_is_taken_or_refused(pattern in "[a-c0-3|(){}*+?.,:<>PimsU^$\\[\\]\\\\dpxQE-]{0,24}") {
        drop(Matcher::new(MatchOp::Regex, "a", &pattern).map(|m| m.matches(b"abc")));
    }
}

#[test]
fn large_repetitions_are_cheap_and_match() {
    for i in 0..60 {
        let matcher = regex(&format!(r"(?i)[\pL_0-9.:-]{{1,{}}}", 900 - i));
        assert!(matcher.matches("Ä_1.b:c-".as_bytes()) && !matcher.matches(b"a b") && !matcher.matches(b""));
        assert!(matcher.pattern_bytes() < 100_000, "{}", matcher.pattern_bytes());
    }
    check(r"(\pL{1,30}\.){2,30}x|y", &["ab.cä.x", "y"], &["ab.x", "ab.cd."]);
}

#[test]
fn literals_between_gaps_are_bounded() {
    for (part, text) in [("[0-9]{4}", "0123"), ("[a-d]{3}x", "abcx"), ("[ab]{6}", "ababab")] {
        let few = regex(&format!(".*{part}.*"));
        assert!(few.matches(text.as_bytes()) && !few.matches(b"x") && few.pattern_bytes() < 1 << 20);
        let many = regex(&format!("{}.*", format!(".*{part}").repeat(2000)));
        assert!(many.matches(text.repeat(2000).as_bytes()) && !many.matches(text.repeat(1999).as_bytes()));
        assert!(many.pattern_bytes() < 4 << 20, "{part}: {}", many.pattern_bytes());
    }
}

#[test]
fn escaped_patterns_match_their_text_alone() {
    for text in ["", "a.b", r"\d+", "(x|y)*", "[a]{2}^$?", "é-#&~ "] {
        let matcher = regex(&escaped_pattern(text.as_bytes()));
        assert!(
            matcher.matches(text.as_bytes()) && !matcher.matches(format!("{text}x").as_bytes()),
            "{text}"
        );
    }
    assert!(!regex(&escaped_pattern(b"a.b")).matches(b"axb"));
}

#[test]
fn sizes_have_limits_that_errors_name() {
    let error = Matcher::new(MatchOp::Regex, "a", "([ab]{10}x?){90}|".repeat(1500)).expect_err("too large");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(
        error.to_string().contains("([ab]{10}x?){90}|") && error.to_string().contains("1200000"),
        "{error}"
    );
    let many: Vec<Matcher> =
        (1..100).map(|i| regex(&format!("({i}[ab]{{10}}x?){{100}}|").repeat(40))).collect();
    let count = |matchers: &[Matcher]| {
        let mut budget = PatternBudget::default();
        matchers.iter().try_for_each(|matcher| budget.add(matcher))
    };
    let error = count(&many).expect_err("too many");
    assert_eq!(error.kind(), ErrorKind::LimitExceeded);
    assert!(count(&many[..20]).is_ok());
    assert!(count(&vec![many[0].clone(); 10_000]).is_ok());
    // What many classes take is refused before they are all made.
    assert!(Matcher::new(MatchOp::Regex, "a", r"\pL".repeat(200_000)).is_err());
}
