//! A strict reader of KTAP (`Documentation/dev-tools/ktap.rst`): panics where a stream
//! is not well-formed.

/// One test of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    pub ok: bool,
    pub name: String,
    /// The text after ` # `, such as `SKIP reason`.
    pub directive: Option<String>,
    pub subtests: Vec<Test>,
}

impl Test {
    /// The tests that have no subtests: itself, or those below it.
    pub fn leaves(&self) -> Vec<&Test> {
        if self.subtests.is_empty() {
            return vec![self];
        }
        self.subtests.iter().flat_map(Test::leaves).collect()
    }

    /// The first word of the directive.
    pub fn word(&self) -> Option<&str> {
        self.directive.as_deref()?.split(' ').next()
    }
}

/// Reads a whole stream.
pub fn parse(text: &str) -> Vec<Test> {
    let mut lines = text.lines().peekable();
    let (name, tests) = level(&mut lines, "");
    assert_eq!(name, None, "the stream itself has no name");
    assert_eq!(lines.next(), None, "nothing follows the last test");
    tests
}

type Lines<'a> = std::iter::Peekable<std::str::Lines<'a>>;

/// Reads the version line, the parent's name if it is given, the plan and as many tests as
/// it says.
fn level(lines: &mut Lines, indent: &str) -> (Option<String>, Vec<Test>) {
    let own = |line: Option<&str>| line.and_then(|l| l.strip_prefix(indent)).map(str::to_owned);
    assert_eq!(own(lines.next()).as_deref(), Some("KTAP version 1"));
    let header = format!("{indent}# Subtest: ");
    let name = lines.peek().and_then(|line| line.strip_prefix(&header));
    let name = name.map(str::to_owned);
    if name.is_some() {
        lines.next();
    }
    let plan = own(lines.next()).expect("a plan");
    let planned: usize = plan.strip_prefix("1..").expect(&plan).parse().unwrap();
    let deeper = format!("{indent}  ");
    let mut tests = Vec::new();
    while tests.len() < planned {
        let mut subtests = Vec::new();
        let mut parent = None;
        while let Some(line) = lines.peek() {
            if line.starts_with(&format!("{deeper}KTAP version")) {
                assert_eq!(subtests, [], "one list of subtests to a test");
                (parent, subtests) = level(lines, &deeper);
            } else if line.trim_start().starts_with("# ") {
                assert!(
                    !line.contains("# Subtest: "),
                    "a header out of place: {line}"
                );
                lines.next();
            } else {
                break;
            }
        }
        let line = own(lines.next()).expect("a test");
        let test = result(&line, tests.len() + 1, subtests);
        assert_eq!(parent.as_ref().unwrap_or(&test.name), &test.name);
        tests.push(test);
    }
    (name, tests)
}

/// `ok 1 name # SKIP reason`, `not ok 2 name`.
fn result(line: &str, number: usize, subtests: Vec<Test>) -> Test {
    let (ok, rest) = match line.strip_prefix("not ") {
        Some(rest) => (false, rest),
        None => (true, line),
    };
    let rest = rest.strip_prefix("ok ").expect(line);
    let rest = rest.strip_prefix(&format!("{number} ")).expect(line);
    let (name, directive) = match rest.split_once(" # ") {
        Some((name, directive)) => (name, Some(directive.to_owned())),
        None => (rest, None),
    };
    assert!(!name.is_empty(), "{line}");
    assert!(!name.contains('#'), "a name ends at a hash sign: {line}");
    assert!(
        !ok || subtests.iter().all(|test| test.ok),
        "a test fails with its subtests: {line}"
    );
    let test = Test {
        ok,
        name: name.to_owned(),
        directive,
        subtests,
    };
    let words_ok: &[&str] = if ok {
        &["SKIP", "XFAIL"]
    } else {
        &["ERROR", "TIMEOUT"]
    };
    assert!(
        test.word().is_none_or(|word| words_ok.contains(&word)),
        "{line}"
    );
    test
}
