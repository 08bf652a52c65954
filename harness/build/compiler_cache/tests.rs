//! What is read of ccache's output.

use rstest::rstest;

use super::*;

#[rstest]
#[case::debian_12("ccache version 4.7.5\nFeatures: file-storage\n", Ok("4.7.5"))]
#[case::two_numbers("ccache version 4.13\n", Ok("4.13"))]
#[case::next_major("ccache version 5.0.1+2_gabc\n", Ok("5.0.1+2_gabc"))]
#[case::ubuntu_22_04(
    "ccache version 4.5.1\n",
    Err("ccache 4.5.1 can give wrong objects; klto uses 4.7 and later")
)]
#[case::old(
    "ccache version 3.7.7\n",
    Err("ccache 3.7.7 can give wrong objects; klto uses 4.7 and later")
)]
#[case::nothing("", Err("'ccache --version' names no version"))]
#[case::something("ccache version unknown\n", Err("'ccache --version' names no version"))]
fn only_a_version_whose_objects_are_right_is_used(
    #[case] said: &str,
    #[case] expected: Result<&str, &str>,
) {
    let found = usable_version(said);
    assert_eq!(found.as_deref().map_err(String::as_str), expected);
}

#[test]
fn place_and_size_are_the_users_and_nothing_else() {
    let config = "(default) absolute_paths_in_stderr = false\n\
                  (/etc/ccache.conf) base_dir = /srv\n\
                  (default) cache_dir = /var/cache/ccache\n\
                  (/etc/ccache.conf) hard_link = true\n\
                  (default) max_files = 0\n\
                  (environment) max_size = 20.0G\n\
                  (environment) read_only = true\n\
                  (/etc/ccache.conf) remote_only = false\n\
                  (/etc/ccache.conf) remote_storage = http://host/a|read-only http://b = c\n\
                  (environment) sloppiness = time_macros\n\
                  (default) umask = \n";
    let pairs = [
        ("DIR", "/var/cache/ccache"),
        ("MAXSIZE", "20.0G"),
        ("READONLY", "true"),
        ("NOREMOTE_ONLY", "true"),
        ("REMOTE_STORAGE", "http://host/a|read-only http://b = c"),
    ];
    let expected = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(places(config).unwrap(), expected);
    assert_eq!(
        places("(/etc/ccache.conf) disable = true\n"),
        Err("it is turned off (/etc/ccache.conf)".to_owned())
    );
    assert_eq!(places("(default) disable = false\n"), Ok(Vec::new()));
}

#[rstest]
#[case::nothing("", [0, 0, 0])]
#[case::miss("# a.c\ncache_miss\nlocal_storage_miss\npreprocessed_cache_miss\n", [0, 1, 0])]
#[case::hits(
    "# a.c\nlocal_storage_hit\npreprocessed_cache_hit\n# b.c\ndirect_cache_hit\nlocal_storage_hit\n",
    [2, 0, 0]
)]
#[case::remote("# a.c\nlocal_storage_miss\npreprocessed_cache_hit\nremote_storage_hit\n", [1, 0, 0])]
#[case::back_end("# a.o\nunsupported_source_language\n# \nno_input_file\n", [0, 0, 2])]
#[case::cut_off("# a.c\ncache_miss\n# b", [0, 1, 1])]
fn each_call_counts_once(#[case] notes: &str, #[case] expected: [u64; 3]) {
    assert_eq!(count(notes), expected);
}

#[rstest]
#[case::seed("CONFIG_A=y\nCONFIG_RANDSTRUCT=y\n", true)]
#[case::none("# CONFIG_RANDSTRUCT is not set\nCONFIG_RANDSTRUCT_NONE=y\n", false)]
#[case::profile("CONFIG_PROPELLER_CLANG=y\n", true)]
#[case::can("CONFIG_CC_HAS_RANDSTRUCT=y\n", false)]
#[case::plugin("CONFIG_GCC_PLUGINS=y\nCONFIG_GCC_PLUGIN_LATENT_ENTROPY=y\n", true)]
#[case::no_plugin(
    "CONFIG_GCC_PLUGINS=y\n# CONFIG_GCC_PLUGIN_STACKLEAK is not set\n",
    false
)]
fn some_configurations_are_not_for_ccache(#[case] config: &str, #[case] expected: bool) {
    assert_eq!(reads_unseen(config), expected);
}
