use super::filter::Filter;
use super::*;
use proptest::prelude::*;

const FILES: &[(&str, &str)] = &[
    ("db-password", "p'a\"s$s\\w=o`r d\n;é"),
    ("empty", ""),
    ("host", "db.example"),
    ("tls/ca.crt", "CERT\n"),
];

fn filled(text: &str) -> Result<String, String> {
    let template: Template = text.parse().map_err(|error: TemplateError| error.to_string())?;
    let paths: Vec<_> = FILES.iter().map(|(path, _)| *path).collect();
    let text = template.render(&paths, &mut |path: &str| {
        let file = FILES.iter().find(|(known, _)| *known == path);
        file.map(|(_, content)| Zeroizing::new(content.as_bytes().to_vec()))
    });
    let text = text.map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(text.as_bytes()).into_owned())
}

#[test]
fn places_are_filled_and_everything_else_stays_as_it_is() {
    for (text, expected) in [
        ("", ""),
        ("plain { text } %} }} # {\n", "plain { text } %} }} # {\n"),
        ("a {{ files[\"host\"] }} b\n", "a db.example b\n"),
        ("{{files.host}}{{ files['tls/ca.crt'] }}", "db.exampleCERT\n"),
        ("{{ \"{{\" }} {{ 'a\\n\\'' }}", "{{ a\n'"),
        ("a {#- no {{ place }} -#}  b", "ab"),
        ("a\n {{- files.host -}} \n b", "adb.exampleb"),
        ("{% if files.empty %}x{% else %}y{% endif %}", "y"),
        ("{% if files.gone is defined %}x{% elif files.host %}y{% endif %}", "y"),
        ("{% if not files.gone and (files.host == 'db.example' or files.gone) %}x{% endif %}", "x"),
        (
            "{% if files.host != 'a' %}x{% endif %}{% if files.gone is not defined %}y{% endif %}",
            "xy",
        ),
        ("{{ files.gone | default('none') | upper }}", "NONE"),
        (
            "{{ files.host or files['gone'] == 'x' }}{{ files.empty and files['gone'] == 'x' }}",
            "truefalse",
        ),
        (
            "{% for path in files %}{{ path }}{% if not loop.last %},{% endif %}{% endfor %}",
            "db-password,empty,host,tls/ca.crt",
        ),
        (
            "{% for p, v in files.items() -%}\n {% if loop.first %}{{ p }}={{ v | json }}{% \
            endif %}\
            {%- endfor %}",
            "db-password=\"p'a\\\"s$s\\\\w=o`r d\\n;é\"",
        ),
        (
            "{% for p in files %}{% if p == 'host' %}{{ files[p] }}{% endif %}{% endfor %}",
            "db.example",
        ),
    ] {
        assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn a_value_is_escaped_for_where_it_goes() {
    for (filter, expected) in [
        ("dotenv", "\"p'a\\\"s\\$s\\\\w=o\\`r d\n;é\""),
        ("shell", "'p'\\''a\"s$s\\w=o`r d\n;é'"),
        ("libpq", "'p\\'a\"s$s\\\\w=o`r d\n;é'"),
        ("adonet", "\"p'a\"\"s$s\\w=o`r d\n;é\""),
        ("properties", "p'a\"s$s\\\\w\\=o`r d\\n;\\u00E9"),
        ("urlencode", "p%27a%22s%24s%5Cw%3Do%60r%20d%0A%3B%C3%A9"),
        ("xml", "p&#39;a&quot;s$s\\w=o`r d&#10;;é"),
        ("base64", "cCdhInMkc1x3PW9gciBkCjvDqQ=="),
        ("base64 | base64decode | json", "\"p'a\\\"s$s\\\\w=o`r d\\n;é\""),
        ("replace('s', '') | upper | trim", "P'A\"$\\W=O`R D\n;É"),
        ("indent(2)", "p'a\"s$s\\w=o`r d\n  ;é"),
        ("lower | default('x')", "p'a\"s$s\\w=o`r d\n;é"),
    ] {
        let place = format!("{{{{ files['db-password'] | {filter} }}}}");
        assert_eq!(filled(&place).as_deref(), Ok(expected), "{filter}");
    }
    for (text, expected) in [
        ("{{ files.host | dotenv }} {{ files.host | adonet }}", "'db.example' db.example"),
        ("{{ 'abc+/==' | adonet }} {{ '=a' | adonet }}", "abc+/== \"=a\""),
        ("{{ 'db-pass.word' | env }} {{ '1a' | env }}", "DB_PASS_WORD _1A"),
        ("{{ '' | adonet }} {{ ' a' | properties }}", "\"\" \\ a"),
    ] {
        assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn a_value_of_a_dotenv_file_is_in_the_quotes_that_most_readers_take() {
    for (value, expected) in [
        ("", "''"),
        ("a\\b \"x\" $y", "'a\\b \"x\" $y'"),
        ("it's", "\"it's\""),
        ("it's $x `y`\\", "\"it's \\$x \\`y\\`\\\\\""),
        // Compose takes `\'` for a quote of the value, python-dotenv `\\\\` for one backslash.
        ("ends\\", "\"ends\\\\\""),
        ("C:\\\\srv", "\"C:\\\\\\\\srv\""),
        ("$x\\\\y", "'$x\\\\y'"),
    ] {
        let text = Filter::named("dotenv").unwrap().apply(value.as_bytes(), &[]).unwrap();
        assert_eq!(String::from_utf8(text.as_bytes().to_vec()).unwrap(), expected, "{value}");
    }
}

#[test]
fn xml_has_no_other_control_characters_than_tab_and_line_ends() {
    let xml = Filter::named("xml").unwrap();
    let text = xml.apply(b"a\t\r\n\x7f", &[]).unwrap();
    assert_eq!(text.as_bytes(), b"a&#9;&#13;&#10;\x7f");
    for value in ["a\0", "\u{1b}[0m", "\u{ffff}"] {
        let error = xml.apply(value.as_bytes(), &[]).unwrap_err().to_string();
        assert!(error.starts_with("the filter xml needs text of characters that XML has"));
    }
}

#[test]
fn an_error_names_the_line_and_what_is_wrong() {
    for (text, expected) in [
        ("\n{{ files.host", "line 2: {{ has no }}"),
        ("{{ files.host }", "line 1: }} or a filter is expected, found \"}\""),
        ("{# a", "line 1: {# has no #}"),
        ("{#}}", "line 1: {# has no #}"),
        ("{% if files.a %}\n", "line 1: {% if %} has no {% endif %}"),
        ("\n{% for a in files %}\n", "line 2: {% for %} has no {% endfor %}"),
        ("a\n{% endif %}", "line 2: endif is not inside if"),
        (
            "{% if files.a %}{% else %}{% else %}{% endif %}",
            "line 1: else is not inside if before its else",
        ),
        ("{% include 'a' %}", "line 1: there is no tag \"include\""),
        ("{{ db_password }}", "line 1: there is no variable \"db_password\""),
        ("{{ files.db-password }}", "files[\"PATH\"] for a path with other characters is expected"),
        ("{{ files }}", "files[\"PATH\"] is expected"),
        ("{{ files.a | jsn }}", "line 1: there is no filter \"jsn\"; the filters are adonet,"),
        ("{{ files.a | replace('x') }}", "the filter replace takes two strings"),
        ("{{ files.a | indent(65) }}", "the filter indent takes one number, at most 64"),
        ("{{ files.a | json('x') }}", "the filter json takes no arguments"),
        ("{% for a in secrets %}{% endfor %}", "a loop runs over files or files.items() only"),
        ("{{ 'a }}", "a string has no end"),
        ("{{ files[\"host\" }}", "] is expected, found \"}}\""),
        ("{{ loop.last }}", "there is no variable \"loop\""),
        ("a\n\n{{ files['gone'] }}", "line 3: there is no file \"gone\""),
        ("{{ files.host | base64decode }}", "the filter base64decode needs base64"),
        ("{{ 'gA==' | base64decode | json }}", "the filter json needs UTF-8 text"),
    ] {
        let error = filled(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn output_work_and_nesting_are_bounded() {
    for (depth, problem) in
        [(3, None), (12, Some("more than 100000 steps")), (40, Some("more than 24 deep"))]
    {
        let loops = "{% for a in files %}".repeat(depth) + &"{% endfor %}".repeat(depth);
        let error = filled(&loops).err().unwrap_or_default();
        assert!(error.contains(problem.unwrap_or_default()), "{depth}: {error}");
        assert_eq!(error.is_empty(), problem.is_none(), "{depth}: {error}");
    }
    let parentheses = format!("{{{{ {}files.host{} }}}}", "(".repeat(9000), ")".repeat(9000));
    assert!(filled(&parentheses).unwrap_err().contains("more than 24 deep"));
    let not = format!("{{% if {}files.host %}}{{% endif %}}", "not ".repeat(5000));
    assert!(filled(&not).unwrap_err().contains("more than 24 deep"));
    // On the stack of a test's thread.
    assert_eq!(filled(&format!("{{{{ ''{} }}}}", "or''".repeat(8100))).as_deref(), Ok("false"));
    assert_eq!(filled(&format!("{{{{ 'a'{} }}}}", "and'a'".repeat(5400))).as_deref(), Ok("true"));
    assert!(filled(&"x".repeat(MAX_TEMPLATE_BYTES + 1)).unwrap_err().contains("larger than 32768"));
    let large = "{% for a in files %}{% for b in files %}{% for c in files %}{% for d in files %}\
        {% for e in files %}"
        .to_owned()
        + &"x".repeat(2000)
        + &"{% endfor %}".repeat(5);
    assert!(filled(&large).unwrap_err().contains("larger than 1048576 bytes"));
    let doubled =
        format!("{{{{ '{}'{} }}}}", "a".repeat(1000), " | replace('a', 'aaaaaaaa')".repeat(20));
    assert!(filled(&doubled).unwrap_err().contains("larger than 1048576 bytes"));
}

#[test]
fn a_template_says_which_files_it_names() {
    let text = "{{ files['a'] }}\n{% if files.b %}{{ files[\"c/d\"] | json }}{% endif %}";
    let template: Template = text.parse().unwrap();
    assert_eq!(template.files().collect::<Vec<_>>(), [("a", 1), ("b", 2), ("c/d", 2)]);
    assert!(!template.has_loop());
    let text = "{% if files.a %}{% else %}{% for p in files %}{% endfor %}{% endif %}";
    assert!(text.parse::<Template>().unwrap().has_loop());
    let json = serde_json::to_string(&template).unwrap();
    assert_eq!(serde_json::from_str::<Template>(&json).unwrap(), template);
    assert!(serde_json::from_str::<Template>("\"{{\"").is_err());
}

proptest! {
    #[test]
    fn no_text_panics(text in
            "(\\{\\{|\\{%|\\{#|-|\\}\\}|%\\}|#\\}|files|for|if|in|\\.|\\[|\\]|'|\"|\\||[a-z]| \
            |\n|é){0,40}") {
        let _ = filled(&text);
    }

    #[test]
    fn json_is_read_back_as_the_value(value in "\\PC*|[\\x00-\\x1f\"\\\\]*") {
        let json = Filter::named("json").unwrap().apply(value.as_bytes(), &[]).unwrap();
        prop_assert_eq!(serde_json::from_slice::<String>(json.as_bytes()).unwrap(), value);
    }
}
