//! A strict reader of KTAP (`Documentation/dev-tools/ktap.rst`): panics where a stream
//! is not well-formed.

/// One test of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    pub ok: bool,
    pub name: String,
    /// What stands after ` # `, such as `SKIP reason`.
    pub directive: Option<String>,
    pub subtests: Vec<Test>,
}

/// Reads a whole stream.
pub fn parse(text: &str) -> Vec<Test> {
    let mut lines = text.lines().peekable();
    let tests = level(&mut lines, "");
    assert_eq!(lines.next(), None, "nothing follows the last test");
    tests
}

type Lines<'a> = std::iter::Peekable<std::str::Lines<'a>>;

/// Reads the version line, the plan and as many tests as it says.
fn level(lines: &mut Lines, indent: &str) -> Vec<Test> {
    let own = |line: Option<&str>| line.and_then(|l| l.strip_prefix(indent)).map(str::to_owned);
    assert_eq!(own(lines.next()).as_deref(), Some("KTAP version 1"));
    let plan = own(lines.next()).expect("a plan");
    let planned: usize = plan.strip_prefix("1..").expect(&plan).parse().unwrap();
    let deeper = format!("{indent}  ");
    let mut tests = Vec::new();
    while tests.len() < planned {
        let mut subtests = Vec::new();
        while let Some(line) = lines.peek() {
            if line.starts_with(&format!("{deeper}KTAP version")) {
                subtests = level(lines, &deeper);
            } else if line.trim_start().starts_with("# ") {
                lines.next();
            } else {
                break;
            }
        }
        let line = own(lines.next()).expect("a test");
        tests.push(result(&line, tests.len() + 1, subtests));
    }
    tests
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
    Test {
        ok,
        name: name.to_owned(),
        directive,
        subtests,
    }
}
