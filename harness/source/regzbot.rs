//! Whether a commit is in a tree that regzbot, the kernel's tracker of regressions, tracks: mainline,
//! stable or linux-next. A report names it for regzbot only then.

use std::collections::BTreeMap;

use super::git::Git;
use crate::model::error::Error;

/// The last two parts of the URLs of the trees, without `.git`; mirrors have them, too.
const TREES: [&str; 3] = ["torvalds/linux", "stable/linux", "next/linux-next"];

/// The tag, or branch of a remote repository, by which a commit of the user's is in such a tree.
///
/// # Errors
/// If git is missing, killed or interrupted.
pub fn tracked_as(user: &Git, commit: &str) -> Result<Option<String>, Error> {
    let refs = user.ask([
        "for-each-ref",
        "--format=%(refname)",
        "--contains",
        commit,
        "refs/tags/v[0-9]*",
        "refs/tags/next-*",
        "refs/remotes",
    ])?;
    let remotes = user.ask(["config", "--get-regexp", r"^remote\..*\.url$"])?;
    // A repository that is not there any more says nothing, and nothing is offered.
    let (refs, remotes) = (refs.text(), remotes.text());
    let remotes = remotes.lines().filter_map(|line| {
        let (name, url) = line.split_once(' ')?;
        Some((name.strip_prefix("remote.")?.strip_suffix(".url")?, url))
    });
    let remotes: BTreeMap<&str, &str> = remotes.collect();
    Ok(refs
        .lines()
        .find_map(|name| name_in_tree(name, &remotes))
        .map(str::to_owned))
}

/// The short name of a reference, if it is one of a tracked tree; `remotes` has the URLs by name.
fn name_in_tree<'a>(reference: &'a str, remotes: &BTreeMap<&str, &str>) -> Option<&'a str> {
    if let Some(tag) = reference.strip_prefix("refs/tags/") {
        return (is_release(tag) || is_next(tag)).then_some(tag);
    }
    let branch = reference.strip_prefix("refs/remotes/")?;
    let of = remotes.iter().filter(|(name, _)| {
        let rest = branch.strip_prefix(**name);
        rest.is_some_and(|rest| rest.starts_with('/'))
    });
    // The name of a remote repository can have a slash.
    let (_, url) = of.max_by_key(|(name, _)| name.len())?;
    is_tracked(url).then_some(branch)
}

/// `vX.Y`, `vX.Y-rcN`, `vX.Y.Z`.
fn is_release(tag: &str) -> bool {
    let Some(version) = tag.strip_prefix('v') else {
        return false;
    };
    let (version, is_candidate) = match version.split_once("-rc") {
        Some((version, number)) => (version, is_number(number)),
        None => (version, true),
    };
    is_candidate && version.contains('.') && version.split('.').all(is_number)
}

/// `next-YYYYMMDD`.
fn is_next(tag: &str) -> bool {
    let date = tag.strip_prefix("next-");
    date.is_some_and(|date| date.len() == 8 && is_number(date))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_tracked(url: &str) -> bool {
    // As `git://HOST/PATH`, or as ssh has it: `HOST:PATH`.
    let of_ssh = url.split_once(':').filter(|(host, _)| !host.contains('/'));
    let Some((_, place)) = url.split_once("://").or(of_ssh) else {
        return false;
    };
    let place = place.trim_end_matches('/');
    let place = place.strip_suffix(".git").unwrap_or(place);
    let mut parts = place.rsplit('/');
    let (Some(last), Some(folder)) = (parts.next(), parts.next()) else {
        return false;
    };
    // What comes before is the host, at least.
    parts.next().is_some() && TREES.contains(&format!("{folder}/{last}").as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case::release("refs/tags/v7.2", Some("v7.2"))]
    #[case::candidate("refs/tags/v7.3-rc1", Some("v7.3-rc1"))]
    #[case::stable("refs/tags/v7.2.13", Some("v7.2.13"))]
    #[case::next("refs/tags/next-20261127", Some("next-20261127"))]
    #[case::of_mainline("refs/remotes/origin/master", Some("origin/master"))]
    #[case::of_a_mirror("refs/remotes/my/mirror/for-7", Some("my/mirror/for-7"))]
    #[case::version_of_a_series("refs/tags/v3", None)]
    #[case::vendor("refs/tags/v7.2-vendor1", None)]
    #[case::candidate_of_none("refs/tags/v7.2-rc", None)]
    #[case::no_date("refs/tags/next-2026", None)]
    #[case::of_a_subsystem("refs/remotes/my/tree", None)]
    #[case::of_no_remote("refs/remotes/gone/master", None)]
    #[case::own_branch("refs/heads/master", None)]
    fn a_reference_is_of_a_tracked_tree_or_not(
        #[case] reference: &str,
        #[case] expected: Option<&str>,
    ) {
        let remotes = BTreeMap::from([
            (
                "origin",
                "git://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git",
            ),
            ("my", "https://example.org/subsystem/linux.git"),
            ("my/mirror", "https://mirror.example.org/stable/linux"),
        ]);
        assert_eq!(name_in_tree(reference, &remotes), expected);
    }

    #[rstest]
    #[case::git("git://git.kernel.org/pub/scm/linux/kernel/git/stable/linux.git", true)]
    #[case::https(
        "https://kernel.googlesource.com/pub/scm/linux/kernel/git/next/linux-next.git",
        true
    )]
    #[case::without_git("https://github.com/torvalds/linux/", true)]
    #[case::fork("https://github.com/somebody/linux.git", false)]
    #[case::other_project("https://example.org/torvalds/subsurface.git", false)]
    #[case::folder("/srv/torvalds/linux.git", false)]
    #[case::nothing("https://", false)]
    fn a_tree_is_known_by_the_end_of_its_url(#[case] url: &str, #[case] expected: bool) {
        assert_eq!(is_tracked(url), expected);
    }
}
