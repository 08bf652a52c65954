//! The HTML report, in a browser: what people do with a page, and what a tree cannot.

use std::time::{Duration, Instant};

use klto::judge::diff::rules::rules as rules_of_two;
use klto::judge::diff::{Compared, Difference, Sizes};
use klto::judge::runs::{Named, compare};
use klto::model::cell::LtoMode;
use klto::model::stored::RunHead;
use klto::report::diff::trees;
use klto::report::{Format, Options, comparison};
use serde_json::{Value, json};

use crate::support::page::{HOSTILE, Pages, hostile, large, sample};
use crate::support::run_record::{inspection, rules};

/// How many cells, places of the heat map and findings are not hidden.
const VISIBLE: &str = "[
    [...document.querySelectorAll('.cell')].filter(e => !e.hidden).length,
    document.querySelectorAll('.map a:not(.dim)').length,
    [...document.querySelectorAll('#broken ~ .rule')].filter(e => !e.hidden).length,
    document.getElementById('count').textContent]";
/// How much wider than the window the page is.
const OVERFLOW: &str = "document.documentElement.scrollWidth - innerWidth";
const FOCUS: &str = "document.activeElement.id || document.activeElement.closest('td').cellIndex";

fn eval(expression: impl AsRef<str>) -> Value {
    json!({ "eval": expression.as_ref() })
}

/// The value after what the page does later.
fn later(expression: &str) -> Value {
    eval(format!(
        "new Promise(done => setTimeout(() => done({expression}), 200))"
    ))
}

fn click(selector: &str) -> Value {
    eval(format!("document.querySelector(\"{selector}\").click()"))
}

/// The values that are not those of clicks and the like.
fn values(shown: &[Value]) -> Vec<&Value> {
    shown.iter().filter(|value| !value.is_null()).collect()
}

#[test]
fn filters_show_the_cells_that_match() {
    let Some(pages) = Pages::new() else { return };
    let url = pages.write("run.html", &sample().page());
    let choose = |id: &str, value: &str| {
        eval(format!(
            "{{ const e = document.getElementById('{id}'); e.value = '{value}';
            e.dispatchEvent(new Event('input', {{bubbles: true}})); null }}"
        ))
    };

    let shown = pages.run(&[
        json!({ "open": url }),
        eval(VISIBLE),
        click("input[value=pass]"),
        eval(VISIBLE),
        choose("arch", "x86_64"),
        choose("mode", "thin"),
        eval(VISIBLE),
        click("#reset"),
        json!({ "key": "/" }),
        eval(FOCUS),
        json!({ "type": "symbols.lost" }),
        eval(VISIBLE),
        json!({ "key": "Escape" }),
        eval(VISIBLE),
        json!({ "type": "INIT/22.O" }),
        eval(VISIBLE),
        json!({ "type": "nothing" }),
        eval("document.getElementById('nothing').hidden"),
    ]);

    assert_eq!(shown.complaints, [""; 0]);
    let all = json!([13, 13, 7, "13 of 13 cells"]);
    assert_eq!(
        values(&shown.values),
        [
            &all,
            &json!([10, 10, 7, "10 of 13 cells"]),
            &json!([4, 4, 2, "4 of 13 cells"]),
            &json!("text"),
            &json!([1, 1, 1, "1 of 13 cells"]),
            &all,
            &json!([1, 1, 1, "1 of 13 cells"]),
            &json!(false),
        ]
    );
}

#[test]
fn a_link_leads_to_a_cell_that_the_filter_hides() {
    let Some(pages) = Pages::new() else { return };
    let url = pages.write("run.html", &sample().page());

    let shown = pages.run(&[
        json!({ "open": url }),
        click("input[value=pass]"),
        click(".map a.pass"),
        later("document.querySelector('.cell').open"),
        eval(VISIBLE),
        eval("document.activeElement.textContent.slice(0, 14)"),
    ]);

    assert_eq!(shown.complaints, [""; 0]);
    assert_eq!(
        values(&shown.values),
        [
            &json!(true),
            &json!([13, 13, 7, "13 of 13 cells"]),
            &json!("passarm64/tiny")
        ]
    );
}

#[test]
fn a_page_is_used_with_the_keyboard() {
    let Some(pages) = Pages::new() else { return };
    let url = pages.write("run.html", &sample().page());
    let key = |key: &str| json!({ "key": key });

    let shown = pages.run(&[
        json!({ "open": url }),
        key("Tab"),
        eval("document.activeElement.textContent"),
        eval("document.activeElement.getBoundingClientRect().left >= 0"),
        // The cell with 25 findings, beside one with a finding.
        eval("{ [...document.querySelectorAll('.map a')].find(a => / 25$/.test(a.textContent)).focus(); null }"),
        key("ArrowLeft"),
        eval("document.activeElement.textContent"),
        key("ArrowDown"),
        eval("document.activeElement.closest('tr').textContent"),
        eval("getComputedStyle(document.activeElement).outlineStyle"),
        key("Enter"),
        later("document.activeElement.textContent"),
        eval("document.activeElement.parentElement.open"),
    ]);

    assert_eq!(shown.complaints, [""; 0]);
    let shown = values(&shown.values);
    assert_eq!(shown[0], "Skip to the content");
    assert_eq!(shown[1], true);
    assert_eq!(shown[2], "F 1");
    assert_eq!(shown[3], "boot llvm-22F 1");
    assert_eq!(shown[4], "solid");
    assert_eq!(
        shown[5],
        "failx86_64/boot/thin/llvm-221 finding · 4 min 20 s"
    );
    assert_eq!(shown[6], true);
}

#[test]
fn commands_are_copied() {
    let Some(pages) = Pages::new() else { return };
    let url = pages.write("run.html", &sample().page());

    let shown = pages.run(&[
        json!({ "open": url }),
        // A headless browser has no clipboard: what would be in it is kept.
        eval("{ navigator.clipboard.writeText = async text => { window.copied = text }; null }"),
        click(".cell[open] .copied button"),
        later("window.copied"),
        eval("document.querySelector('.cell[open] .copied button').textContent"),
    ]);

    assert_eq!(shown.complaints, [""; 0]);
    let shown = values(&shown.values);
    let copied = shown[0].as_str().unwrap();
    assert!(
        copied.starts_with("KERNEL='/src/linux stable'\nO=/srv/klto/"),
        "{copied}"
    );
    assert!(copied.ends_with("\nklto check \"$O\"\n"), "{copied}");
    assert_eq!(shown[1], "Copied");
}

#[test]
fn nothing_of_a_tree_runs() {
    let Some(pages) = Pages::new() else { return };
    let page = hostile().page();
    assert!(page.matches("window.pwned=1").count() > 300);
    let url = pages.write("run.html", &page);

    let shown = pages.run(&[
        json!({ "open": url }),
        eval("{ for (const e of document.querySelectorAll('details')) e.open = true; null }"),
        json!({ "key": "/" }),
        json!({ "type": "pwned" }),
        later("String(window.pwned)"),
        eval("document.querySelectorAll('img, iframe, object, b b, [onerror], [src]').length"),
        eval("document.scripts.length + document.querySelectorAll('style').length"),
        eval("document.title"),
        eval("document.body.textContent.includes('\\u202e')"),
    ]);

    assert_eq!(shown.complaints, [""; 0]);
    let shown = values(&shown.values);
    assert_eq!(shown[0], "undefined");
    assert_eq!(shown[1], 0);
    assert_eq!(shown[2], 2);
    let title = HOSTILE.replace('\u{202e}', "\\u{202e}");
    assert_eq!(
        shown[3],
        format!("klto: full{title} of Linux 7.2.13{title}").as_str()
    );
    assert_eq!(shown[4], false);
}

/// Should a value ever reach the page as markup, the browser still runs nothing of it.
#[test]
fn the_policy_stops_what_is_not_the_pages_own() {
    let Some(pages) = Pages::new() else { return };
    let injected = "<script>window.pwned = 1</script><p id=\"styled\" style=\"color: red\" \
        onclick=\"window.pwned = 1\">x</p><img src=\"http://klto.invalid/x.png\" \
        onerror=\"window.pwned = 1\"><form action=\"http://klto.invalid/\"></form>\
        <style>p { color: red }</style><base href=\"http://klto.invalid/\">";
    let page = sample()
        .page()
        .replacen("<footer>", &format!("{injected}<footer>"), 1);
    let url = pages.write("run.html", &page);

    let shown = pages.run(&[
        json!({ "open": url }),
        click("#styled"),
        later("String(window.pwned)"),
        eval("getComputedStyle(document.getElementById('styled')).color === 'rgb(255, 0, 0)'"),
        eval("document.baseURI.startsWith('file:')"),
        eval("document.forms[0].submit()"),
        eval("new Promise(done => setTimeout(done, 200, null))"),
    ]);

    assert_eq!(
        values(&shown.values),
        [&json!("undefined"), &json!(false), &json!(true)]
    );
    let number = |what: &str| {
        let complaints = shown.complaints.iter();
        complaints.filter(|c| c.starts_with(what)).count()
    };
    assert_eq!(number("request: "), number("not sent: csp"));
    for directive in [
        "script-src",
        "style-src",
        "default-src",
        "form-action",
        "base-uri",
    ] {
        let is_named = |complaint: &String| complaint.contains(directive);
        assert!(
            shown.complaints.iter().any(is_named),
            "{directive}: {:?}",
            shown.complaints
        );
    }
}

#[test]
fn a_page_fits_each_screen_in_light_and_dark() {
    let Some(pages) = Pages::new() else { return };
    let open_all = "{ for (const e of document.querySelectorAll('details')) e.open = true; null }";
    let paper = "getComputedStyle(document.body).backgroundColor";
    let mut steps = Vec::new();
    for (name, page) in [
        ("run.html", sample().page()),
        ("hostile.html", hostile().page()),
    ] {
        let url = pages.write(name, &page);
        for width in [360, 1280] {
            for scheme in ["light", "dark"] {
                let size = if width == 360 { 60_000 } else { 800 };
                steps
                    .push(json!({ "open": url, "width": width, "height": size, "scheme": scheme }));
                steps.extend([eval(OVERFLOW), eval(open_all), eval(OVERFLOW), eval(paper)]);
                steps.push(json!({ "shot": pages.file("shot.png") }));
            }
        }
    }

    let shown = pages.run(&steps);

    assert_eq!(shown.complaints, [""; 0]);
    for (n, values) in values(&shown.values).chunks(3).enumerate() {
        let (light, dark) = (json!("rgb(252, 252, 251)"), json!("rgb(21, 24, 26)"));
        let paper = if n % 2 == 0 { &light } else { &dark };
        assert_eq!(values, [&json!(0), &json!(0), paper], "{n}");
    }
}

#[test]
fn a_page_is_printed_with_what_is_broken_open() {
    let Some(pages) = Pages::new() else { return };
    let mut run = sample();
    // More than are open from the start.
    let mut more = run.run.cells.clone();
    for (n, cell) in more.iter_mut().enumerate() {
        cell.cell = format!("more{n}/{}", &cell.cell[cell.cell.find('/').unwrap() + 1..]);
    }
    run.run.cells.extend(more);
    let url = pages.write("run.html", &run.page());
    let pdf = pages.file("run.pdf");
    let height = |what: &str| {
        eval(format!(
            "document.querySelector('.cell[data-o={what}]:not([open]) .body').checkVisibility()"
        ))
    };

    let shown = pages.run(&[
        json!({ "open": url }),
        height("fail"),
        json!({ "media": "print" }),
        height("fail"),
        height("pass"),
        eval("getComputedStyle(document.getElementById('filter')).display"),
        json!({ "pdf": pdf }),
    ]);

    assert_eq!(shown.complaints, [""; 0]);
    let expected = [json!(false), json!(true), json!(false), json!("none")];
    assert_eq!(shown.values, expected);
    let pdf = std::fs::read(pdf).unwrap();
    assert!(
        pdf.starts_with(b"%PDF-") && pdf.len() > 20_000,
        "{}",
        pdf.len()
    );
}

#[test]
fn a_page_is_read_without_scripts() {
    let Some(pages) = Pages::new() else { return };
    let url = pages.write("run.html", &sample().page());

    let shown = pages.run(&[
        json!({ "scripts": false }),
        json!({ "open": url }),
        eval("getComputedStyle(document.getElementById('filter')).display"),
        eval("document.querySelectorAll('.cell, .rule').length"),
    ]);

    assert_eq!(shown.complaints, [""; 0]);
    assert_eq!(values(&shown.values), [&json!("none"), &json!(22)]);
}

#[test]
fn headings_tables_and_regions_have_names() {
    let Some(pages) = Pages::new() else { return };
    let url = pages.write("run.html", &sample().page());
    let count = |what: &str| eval(format!("document.querySelectorAll(\"{what}\").length"));

    let shown = pages.run(&[
        json!({ "open": url }),
        count("header, main, nav[aria-label], search[aria-label], footer"),
        count("th:not([scope]), table.map:not(:has(caption)), [role=region]:not([aria-label])"),
        count("#count[aria-live=polite]"),
        count(".map a:not([aria-label])"),
        eval("[...document.querySelectorAll('section[aria-labelledby]')]
            .filter(s => !document.getElementById(s.getAttribute('aria-labelledby'))).length"),
        eval("{ const ids = [...document.querySelectorAll('[id]')].map(e => e.id); ids.length - new Set(ids).size }"),
        eval("[...document.querySelectorAll('a[href^=\"#\"]')].filter(a => !document.getElementById(a.hash.slice(1))).length"),
    ]);

    let expected = [5, 0, 1, 0, 0, 0, 0].map(|n| json!(n));
    assert_eq!(shown.values, expected);
}

#[test]
fn a_finding_of_many_cells_is_shown_once_with_the_cells() {
    let page = large(400).page();

    let found = page.split("id=\"cells\"").next().unwrap();

    let shown = found
        .matches("<code class=\"object\">init/7.o</code>")
        .count();
    assert_eq!(shown, 1);
    let rule = &found[found.find("flags.saved-missing").unwrap()..];
    let group = &rule[..rule.find("</ul>").unwrap()];
    assert_eq!(group.matches("href=\"#c").count(), 40);
    assert!(group.contains("<summary>40 cells</summary>"), "{group}");
}

/// As the page of a run is used: with 2,000 cells.
#[test]
fn a_run_of_thousands_of_cells_is_a_small_page() {
    let sample = large(2000);
    let start = Instant::now();
    let page = sample.page();
    let took = start.elapsed();

    assert!(
        took < Duration::from_secs(20),
        "{took:?}, without optimisation"
    );
    assert!(page.len() < 7_000_000, "{} bytes", page.len());
    assert_eq!(page.matches("<details class=\"cell\"").count(), 2000);
    let elements = page.matches('<').count() - page.matches("</").count();
    assert!(elements < 130_000, "{elements}");
    let Some(pages) = Pages::new() else { return };
    let url = pages.write("run.html", &page);
    let shown = pages.run(&[
        json!({ "time": url }),
        json!({ "key": "/" }),
        json!({ "type": "retired.rule" }),
        eval("document.getElementById('count').textContent"),
    ]);
    eprintln!(
        "{took:?}, {} bytes, {elements} elements: {:?}",
        page.len(),
        shown.values[0]
    );
    assert_eq!(shown.values[1], "200 of 2000 cells");
    assert!(
        shown.values[0]["painted"].as_f64().unwrap() < 10_000.0,
        "{:?}",
        shown.values
    );
}

#[test]
fn the_page_of_a_tree_and_of_two_trees_has_no_filter() {
    let Some(pages) = Pages::new() else { return };
    let tree = inspection("x86_64", LtoMode::ThinDist, Vec::new());
    let identities = [&tree, &tree].map(|tree| tree.identity.clone());
    let reporter = Format::Html.reporter(Options::default());
    let tree = reporter.inspection(HOSTILE, &tree, &rules());
    let differences = rules_of_two().take(2).map(|rule| Difference {
        rule,
        item: HOSTILE.to_owned(),
        how: HOSTILE.to_owned(),
        cause: None,
    });
    let compared = Compared {
        identities,
        optimised_alike: true,
        config: Vec::new(),
        differences: differences.collect(),
        not_compared: Vec::new(),
        sizes: Sizes::default(),
    };
    let names = [HOSTILE, HOSTILE].map(str::to_owned);
    let two = trees(&names, &compared, Format::Html, false);
    let tree = pages.write("tree.html", &tree);
    let two = pages.write("two.html", &two);

    for (url, verdict, broken) in [(tree, "ok", 0), (two, "2 differences", 2)] {
        let shown = pages.run(&[
            json!({ "open": url, "width": 360 }),
            eval("document.querySelector('.verdict').textContent"),
            eval("document.querySelectorAll('.filter, .map').length"),
            eval("document.querySelectorAll('.rule').length"),
            eval(OVERFLOW),
            eval("String(window.pwned)"),
        ]);

        assert_eq!(shown.complaints, [""; 0]);
        assert!(shown.values[0].as_str().unwrap().starts_with(verdict));
        assert_eq!(
            shown.values[1..],
            [json!(0), json!(broken), json!(0), json!("undefined")]
        );
    }
}

/// Pages to look at: `KLTO_PAGES=DIR cargo test --test it html::pages`.
#[test]
fn the_page_of_two_runs_has_what_changed_and_runs_nothing_of_a_tree() {
    let Some(pages) = Pages::new() else { return };
    let mut after = hostile().run;
    for cell in &mut after.cells {
        cell.cell = format!("{}{HOSTILE}", cell.cell);
        "after".clone_into(&mut cell.job);
    }
    let mut before = after.clone();
    for cell in &mut before.cells {
        "before".clone_into(&mut cell.job);
        if let Some(inspection) = &mut cell.inspection {
            inspection.findings.clear();
        }
    }
    let head = RunHead {
        run: HOSTILE.to_owned(),
        recorded: HOSTILE.to_owned(),
        matrix: HOSTILE.to_owned(),
        kernel: HOSTILE.to_owned(),
        revision: HOSTILE.to_owned(),
        mutations: vec![HOSTILE.to_owned()],
        shard: None,
        replaces: Vec::new(),
        cells: after.cells.len(),
    };
    let named = |run| Named { head: &head, run };
    let compared = compare(named(&before), named(&after));
    let page = comparison::write(&compared, Format::Html, false).unwrap();
    let of_each = format!(", {} cells, with ", after.cells.len());
    assert_eq!(page.matches(&of_each).count(), 2, "{page}");
    let url = pages.write("two-runs.html", &page);

    let shown = pages.run(&[
        json!({ "open": url, "width": 360 }),
        eval("document.querySelector('.verdict').className"),
        eval("[...document.querySelectorAll('h2')].map(e => e.id)"),
        eval("document.querySelectorAll('.found > li').length > 10"),
        eval("[...document.querySelectorAll('pre.commands')].every(e => e.textContent.trim().includes('\\n') && !e.textContent.includes('\\\\n'))"),
        eval(OVERFLOW),
        eval("String(window.pwned)"),
    ]);

    assert_eq!(shown.complaints, [""; 0]);
    let ids = json!(["new", "known", "commands", "unjudged"]);
    let expected = [
        json!("verdict fail"),
        ids,
        json!(true),
        json!(true),
        json!(0),
        json!("undefined"),
    ];
    assert_eq!(shown.values, expected);
}

#[test]
fn pages_are_kept_where_one_asks_for_them() {
    let Some(folder) = std::env::var_os("KLTO_PAGES") else {
        return;
    };
    let folder = std::path::Path::new(&folder);
    for (name, sample) in [
        ("sample", sample()),
        ("hostile", hostile()),
        ("large", large(2000)),
    ] {
        std::fs::write(folder.join(name).with_extension("html"), sample.page()).unwrap();
    }
}
