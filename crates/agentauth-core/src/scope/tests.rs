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
        ("files.read:/100%/a%20b/%2/a%2eb/%25", "files.read:/100%/a%20b/%2/a%2eb/%25"),
        ("files.read:/.../a..b/..c", "files.read:/.../a..b/..c"),
        ("web.fetch:url=https://x/a%2fb/v1..v2", "web.fetch:url=https://x/a%2fb/v1..v2"),
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
        "files.read:/a%2fb",
        "files.read:/a%2Fb",
        "files.read:/..%2f..%2fetc",
        "files.read:/a/%2e%2E/b",
        "files.read:/a/%2e/b",
        "files.read:/a/%252e%252e/b",
        "files.read:/a/%2%65%2%65/b",
        "files.read:/a/%%32e%%32e/b",
        "files.read:/a/%c0%ae%c0%ae/b",
        "files.read:/a%0ab",
        "files.read:/a%7f",
        "files.read:/a%5cb",
        "files.read:/a%00",
        "files.read:url=https://x/a/../b",
        "files.read:url=https://x/..",
        "files.read:url=https://x/..*",
        "files.read:url=https://x/%2e%2E/b",
        "files.read:url=https://x/.%2e/b",
        "files.read:path=a\\..\\b",
        "files.read:x=..",
        "files.read:x=a/..%2f../b",
        "files.read:x=a/%252e%252e/b",
        "files.read:x=a%2f..%5cb*",
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

/// Every two of these name two resources for somebody; none may stand for another, nor cover it.
#[test]
fn no_two_resources_are_equated() {
    let distinct = [
        "/a/b",
        "/A/b",
        "/a/B",
        "/a b",
        "/a%20b",
        "/a+b",
        "/a/b ",
        "/a /b",
        "/a/b.",
        "/a/\u{430}",
        "/\u{430}/b",
        "/caf\u{e9}",
        "/cafe\u{301}",
        "/\u{ff41}/b",
        "/a\u{2215}b",
        "/a\u{2044}b",
        "/a\u{a0}b",
        "/a;b",
        "/a?b",
        "/a#b",
        "/a/b~",
        "/~a/b",
        "/a:b",
        "/a,b",
        "/a/b=c",
        "/\u{130}",
        "/\u{131}",
        "/i",
        "/I",
        "/ss",
        "/\u{df}",
        "/\u{1e9e}",
        "/fi",
        "/\u{fb01}",
    ];
    let scopes: Vec<_> = distinct.iter().map(|path| scope(&format!("files.read:{path}"))).collect();
    for (one, first) in scopes.iter().enumerate() {
        for (other, second) in scopes.iter().enumerate() {
            assert_eq!(first == second, one == other, "{first} {second}");
            assert_eq!(first.covers(second), one == other, "{first} {second}");
        }
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
    for long in [MAX_SCOPE_BYTES, 64 * 1024, 1024 * 1024] {
        for context in ["/a", "k=v,", "%2e", "..", "\u{e9}"] {
            let text = format!("files.read:/{}", context.repeat(long / context.len()));
            assert!(matches!(text.parse::<Scope>(), Err(ScopeFault::TooLong(_))), "{long} {context}");
        }
    }
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

/// What a careless program makes of percent escapes.
fn decode(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        match after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[2..];
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out + rest
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

    #[test]
    fn meeting_narrows_both_and_loses_nothing_of_what_they_share(
        one in any_scope(), two in any_scope(), three in any_scope(),
    ) {
        let meet = one.meet(&two);
        prop_assert_eq!(&meet, &two.meet(&one));
        prop_assert_eq!(meet.is_some(), one.overlaps(&two));
        if let Some(meet) = &meet {
            prop_assert!(one.covers(meet) && two.covers(meet), "{one} ∩ {two} = {meet}");
            prop_assert_eq!(meet.as_str().parse::<Scope>().unwrap(), meet.clone());
        }
        if one.covers(&three) && two.covers(&three) {
            prop_assert!(meet.is_some_and(|meet| meet.covers(&three)));
        }
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

    /// Two texts are one scope only if they differ in `.` segments and in the order of parameters.
    #[test]
    fn different_texts_are_different_scopes(one in "(/[aA.%2eéб ]{1,4}){1,4}", two in "(/[aA.%2eéб ]{1,4}){1,4}") {
        let read = |path: &str| format!("files.read:{path}").parse::<Scope>();
        if let (Ok(first), Ok(second)) = (read(&one), read(&two)) {
            let plain = |path: &str| path.split('/').filter(|name| *name != ".").map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(first == second, plain(&one) == plain(&two));
            let (above, below) = (plain(&one), plain(&two));
            prop_assert_eq!(first.covers(&second), below.starts_with(&above));
        }
    }

    /// What decoders and resolvers of paths make of an accepted path lies where the path says: below what covers it.
    #[test]
    fn no_decoding_leads_out_of_what_covers(path in "(/(a|b|\\.|%|2|3|6|e|E|f|F|5|c|0){1,8}){1,4}", twice in any::<bool>()) {
        if let Ok(inner) = format!("files.read:/top{path}").parse::<Scope>() {
            prop_assert!(scope("files.read:/top").covers(&inner));
            let mut decoded = decode(inner.context_text());
            if twice {
                decoded = decode(&decoded);
            }
            let mut depth = 0_i32;
            for segment in decoded.split(['/', '\\']).skip(2) {
                depth += match segment { "" | "." => 0, ".." => -1, _ => 1 };
                prop_assert!(depth >= 0, "{inner} becomes {decoded}");
            }
            prop_assert!(!decoded.contains('\0'), "{inner} becomes {decoded}");
        }
    }

    #[test]
    fn no_context_makes_the_parser_panic(text in "[a-z./\\\\*=,: ]{0,24}") {
        let _ = format!("files.read:{text}").parse::<Scope>();
    }
}
