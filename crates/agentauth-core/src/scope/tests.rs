//! The grammar by example, and the laws of covering by property.

use proptest::prelude::*;

use super::*;

fn scope(text: &str) -> Scope {
    text.parse().unwrap_or_else(|fault| panic!("{text}: {fault}"))
}

#[test]
fn scopes_have_one_text() {
    for (written, canonical) in [
        ("files.read", "files.read"),
        ("files.read:/", "files.read:/"),
        ("files.read:/.", "files.read:/"),
        ("files.read:/projects/./alpha", "files.read:/projects/alpha"),
        ("files.read:/with space/ünïcode", "files.read:/with space/ünïcode"),
        ("files.read:/a:b,c=d", "files.read:/a:b,c=d"),
        ("sheets.write:sheetId=1234", "sheets.write:sheetId=1234"),
        ("email.send:subject=x,domain=example.com", "email.send:domain=example.com,subject=x"),
        ("token.use:id=YWJj==", "token.use:id=YWJj=="),
        ("email.send:domain=*", "email.send:domain=*"),
        ("a1_b.c_2", "a1_b.c_2"),
    ] {
        assert_eq!(scope(written).to_string(), canonical);
        assert_eq!(scope(canonical), scope(written));
    }
    let parts = scope("sheets.write:sheetId=1234");
    assert_eq!((parts.resource(), parts.action()), ("sheets", "write"));
    assert_eq!((parts.action_name(), parts.context_text()), ("sheets.write", "sheetId=1234"));
    assert_eq!(scope("sheets.write").context_text(), "");
}

#[test]
fn what_is_not_a_scope_is_refused() {
    for text in [
        "",
        ".",
        "files",
        "files.",
        ".read",
        "files.read.all",
        "Files.read",
        "files.Read",
        "1files.read",
        "files.re-ad",
        "files.read:",
        "files.read:all",
        "files.read:projects/alpha",
        "files read",
        "files.read ",
        "*",
        "files.*",
        "*.read",
        "admin",
        "read:all",
        "files.read:/a//b",
        "files.read://",
        "files.read:/a/",
        "files.read:/a/..",
        "files.read:/../etc",
        "files.read:/..",
        "files.read:/a\\b",
        "files.read:C:\\a",
        "files.read:/a\0b",
        "files.read:/a\nb",
        "files.read:/a/*",
        "files.read:/**",
        "files.read:/a\u{202e}b",
        "files.read:/a\u{200b}b",
        "files.read:x=",
        "files.read:=x",
        "files.read:x",
        "files.read:x=1,",
        "files.read:,x=1",
        "files.read:x=1,x=2",
        "files.read:x=a*b",
        "files.read:x=**",
        "files.read:x= 1",
        "files.read:x=1 ",
        "files.read:1x=1",
        "files.read:x y=1",
        "fıles.read",
        "ﬁles.read",
    ] {
        assert!(text.parse::<Scope>().is_err(), "{text:?} was accepted");
    }
}

#[test]
fn lengths_are_capped() {
    assert!(format!("{}.read", "a".repeat(MAX_NAME_BYTES)).parse::<Scope>().is_ok());
    assert!(format!("{}.read", "a".repeat(MAX_NAME_BYTES + 1)).parse::<Scope>().is_err());
    assert!(format!("files.read:{}", "/a".repeat(MAX_SEGMENTS)).parse::<Scope>().is_ok());
    assert!(format!("files.read:{}", "/a".repeat(MAX_SEGMENTS + 1)).parse::<Scope>().is_err());
    let pairs = |count| (0..count).map(|key| format!("k{key}=v")).collect::<Vec<_>>().join(",");
    assert!(format!("files.read:{}", pairs(MAX_PAIRS)).parse::<Scope>().is_ok());
    assert!(format!("files.read:{}", pairs(MAX_PAIRS + 1)).parse::<Scope>().is_err());
    assert!(matches!(
        format!("files.read:/{}", "a".repeat(MAX_SCOPE_BYTES)).parse::<Scope>(),
        Err(ScopeFault::TooLong(_))
    ));
}

#[test]
fn faults_show_hostile_text_escaped_and_cut() {
    let fault =
        format!("files.read:/\u{1b}[31m{}", "x".repeat(3000)).parse::<Scope>().unwrap_err().to_string();
    assert!(fault.contains("\\u{1b}") && !fault.contains('\u{1b}') && fault.len() < 300, "{fault}");
}

#[test]
fn covering_by_example() {
    for (wide, narrow) in [
        ("files.read", "files.read:/projects"),
        ("files.read", "files.read:k=v"),
        ("files.read:/", "files.read:/projects"),
        ("files.read:/projects", "files.read:/projects/alpha/x"),
        ("email.send:domain=example.com", "email.send:domain=example.com,to=bob"),
        ("email.send:domain=ex*", "email.send:domain=example.com"),
        ("email.send:domain=ex*", "email.send:domain=exam*"),
        ("email.send:domain=*", "email.send:domain=x"),
    ] {
        assert!(scope(wide).covers(&scope(narrow)), "{wide} must cover {narrow}");
        assert!(!scope(narrow).covers(&scope(wide)), "{narrow} must not cover {wide}");
    }
    for (one, other) in [
        ("files.read:/projects", "files.read:/projects2"),
        ("files.read:/projects/alpha", "files.read:/projects/alphabet"),
        ("files.read:/projects", "files.write:/projects"),
        ("files.read:/", "files.read:k=v"),
        ("email.send:domain=example.com", "email.send:domain=example.com.evil.net"),
        ("email.send:domain=example.com", "email.send:to=bob"),
        ("email.send:domain=a*", "email.send:domain=b"),
        ("file.read", "files.read"),
    ] {
        assert!(!scope(one).covers(&scope(other)), "{one} must not cover {other}");
        assert!(!scope(other).covers(&scope(one)), "{other} must not cover {one}");
    }
}

#[test]
fn overlap_is_wider_than_covering() {
    let overlaps =
        |one: &str, other: &str| scope(one).overlaps(&scope(other)) && scope(other).overlaps(&scope(one));
    assert!(overlaps("email.send:domain=a", "email.send:to=bob"));
    assert!(overlaps("email.send:domain=a*", "email.send:domain=ab,to=bob"));
    assert!(!overlaps("email.send:domain=a,to=x", "email.send:domain=b,to=x"));
    assert!(!overlaps("files.read:/a", "files.read:/b"));
    assert!(!overlaps("files.read:/a", "files.write:/a"));
}

#[test]
fn broad_scopes_are_found() {
    for (text, expected) in [
        ("admin", Some(Broad::Wildcard)),
        ("read:all", Some(Broad::Wildcard)),
        ("*", Some(Broad::Wildcard)),
        ("files.*", Some(Broad::Wildcard)),
        ("files.read", Some(Broad::NoContext)),
        ("files.read:/", Some(Broad::EveryPath)),
        ("email.send:domain=*", Some(Broad::EveryValue)),
        ("files.read:/projects", None),
        ("email.send:domain=*,to=bob", None),
        ("nonsense", None),
    ] {
        assert_eq!(Broad::of(text), expected, "{text}");
    }
}

#[test]
fn paths_above() {
    assert_eq!(path_and_above("/").collect::<Vec<_>>(), ["/"]);
    assert_eq!(path_and_above("/a/b").collect::<Vec<_>>(), ["/", "/a", "/a/b"]);
}

/// Scopes from a small alphabet, so that covering happens often.
fn any_scope() -> impl Strategy<Value = Scope> {
    let name = prop_oneof![Just("files.read"), Just("files.write")];
    let path = proptest::collection::vec(prop_oneof![Just("a"), Just("ab"), Just("b")], 0..4)
        .prop_map(|segments| format!(":/{}", segments.join("/")));
    let pairs = proptest::collection::btree_map(
        prop_oneof![Just("k"), Just("l"), Just("m")],
        prop_oneof![Just("*"), Just("a*"), Just("ab*"), Just("a"), Just("ab"), Just("b")],
        1..4,
    )
    .prop_map(|pairs| {
        let written: Vec<_> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!(":{}", written.join(","))
    });
    let context = prop_oneof![1 => Just(String::new()), 3 => path, 3 => pairs];
    (name, context).prop_map(|(name, context)| scope(&format!("{name}{context}")))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn covering_is_reflexive(one in any_scope()) {
        prop_assert!(one.covers(&one));
    }

    #[test]
    fn covering_is_transitive(one in any_scope(), two in any_scope(), three in any_scope()) {
        if one.covers(&two) && two.covers(&three) {
            prop_assert!(one.covers(&three), "{one} ⊇ {two} ⊇ {three}");
        }
    }

    #[test]
    fn covering_both_ways_is_equality(one in any_scope(), two in any_scope()) {
        prop_assert_eq!(one.covers(&two) && two.covers(&one), one == two);
    }

    #[test]
    fn covering_means_overlapping_and_overlap_is_mutual(one in any_scope(), two in any_scope()) {
        prop_assert!(!one.covers(&two) || one.overlaps(&two));
        prop_assert_eq!(one.overlaps(&two), two.overlaps(&one));
    }

    /// What overlaps a narrower scope overlaps the wider one: a refusal cannot be escaped by asking for more.
    #[test]
    fn overlap_grows_with_covering(one in any_scope(), two in any_scope(), three in any_scope()) {
        if one.covers(&two) && two.overlaps(&three) {
            prop_assert!(one.overlaps(&three));
        }
    }

    #[test]
    fn attenuation_never_widens(wide in any_scope(), narrow in any_scope(), asked in any_scope()) {
        if wide.covers(&narrow) && narrow.covers(&asked) {
            prop_assert!(wide.covers(&asked));
        }
    }

    #[test]
    fn the_canonical_text_reads_back(one in any_scope()) {
        prop_assert_eq!(&scope(one.as_str()), &one);
        let json = serde_json::to_string(&one).unwrap();
        prop_assert_eq!(serde_json::from_str::<Scope>(&json).unwrap(), one);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,64}") {
        if let Ok(one) = text.parse::<Scope>() {
            prop_assert_eq!(scope(one.as_str()), one);
        }
    }

    #[test]
    fn no_context_makes_the_parser_panic(text in "[a-z./\\\\*=,: ]{0,24}") {
        let _ = format!("files.read:{text}").parse::<Scope>();
    }
}
