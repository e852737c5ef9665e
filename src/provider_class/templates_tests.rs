use super::super::tests::{bare, with};
use super::*;

fn templates(text: &str) -> Result<Vec<TemplatePlan>, String> {
    let objects = "array: ['{objectName: db-password, objectType: secret}', '{objectName: tls, \
        objectType: secret, objectAlias: dir/tls}']";
    let parameters = [
        ("objects", objects),
        ("select", "{namePrefix: a, directory: all}"),
        ("writeCertAndKeyInSeparateFiles", "true"),
        ("templates", text),
    ];
    bare(&with(&parameters)).map(|plan| plan.templates).map_err(|error| error.to_string())
}

#[test]
fn a_template_is_a_file_with_its_text_as_it_is_written() {
    let text = "- path: conf/app.env\n  filePermission: 0440\n  fileGroup: 3000\n  template: |\n\
        \x20   A={{ files[\"db-password\"] | dotenv }}\n\n    B={{ files[\"dir/tls.crt\"] }}\n\
        - {path: all.txt, template: \"{{ files['all/app-1'] }}\"}\n";
    let read = templates(text).unwrap();
    let paths: Vec<_> = read.iter().map(|plan| plan.path.as_str()).collect();
    assert_eq!(paths, ["conf/app.env", "all.txt"]);
    assert_eq!((read[0].mode.to_string().as_str(), read[0].group), ("0440", Some(3000)));
    assert_eq!(
        read[0].template.as_str(),
        "A={{ files[\"db-password\"] | dotenv }}\n\nB={{ files[\"dir/tls.crt\"] }}\n"
    );
    assert_eq!(templates("").unwrap(), []);
    assert_eq!(templates("{path: a, template: ''}").unwrap()[0].template.as_str(), "");
}

#[test]
fn an_error_names_the_template_the_line_and_what_to_write() {
    let many = "- {path: a, template: b}\n".repeat(17);
    for (text, expected) in [
        ("- path", "KS160 templates[0]: yaml"),
        ("{path: a}", "KS160 templates: template is not set; hint: write a list of maps"),
        ("- {template: a}", "KS160 templates[0]: path is not set"),
        (
            "{path: a, templatex: b}",
            "KS160 templates: field \"templatex\" is unknown; hint: did you \
            mean template?",
        ),
        (many.as_str(), "KS160 templates: there are more than 16 templates"),
        ("{path: /a, template: b}", "KS125 templates: path: "),
        ("{path: a, template: b, filePermission: rw}", "KS107 templates: filePermission \"rw\""),
        ("{path: a, template: b, fileGroup: x}", "KS137 templates: fileGroup \"x\""),
        (
            "- {path: a, template: \"b\\n{{ files.x\"}",
            "KS161 templates[0]: template: line 2: {{ has no }}",
        ),
        (
            "{path: a, template: \"{{ files['db-passwords'] }}\"}",
            "KS162 templates: template: line 1: \
            file \"db-passwords\" is not a file of the volume; hint: did you mean \"db-password\"?",
        ),
        (
            "- {path: a, template: a}\n---\n- {path: b, template: b}",
            "KS160 templates: line 3: a second YAML document begins",
        ),
        ("- {path: ../a, template: a}", "KS125 templates[0]: path: file name must not contain"),
        (
            "{path: a, template: \"{{ files['b'] }}\"}",
            "KS162 templates: template: line 1: file \
            \"b\" is not a file of the volume; hint: write the path of a file of this class",
        ),
        (
            "{path: db-password, template: a}",
            "KS128 templates[0]: path db-password collides with \
            db-password of objects[0]",
        ),
        (
            "{path: dir, template: a}",
            "KS128 templates[0]: path dir collides with dir/tls of objects[1]",
        ),
        (
            "{path: dir/tls.crt, template: a}",
            "KS128 templates[0]: path dir/tls.crt collides with \
            dir/tls",
        ),
        (
            "[{path: a, template: a}, {path: a/b, template: a}]",
            "KS128 templates[1]: path a/b collides with a of templates[0]; hint: give the template",
        ),
        ("{path: all, template: a}", "KS128 select: directory all is a file of templates[0]"),
    ] {
        let error = templates(text).unwrap_err();
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

/// What template languages of others have been used for: another object, DNS, the environment, a
/// file.
#[test]
fn a_template_reaches_nothing_but_the_files_of_its_class() {
    for expression in [
        "{{ getSecretKey('other', 'key') }}",
        "{{ lookup('v1', 'Secret', 'other', 'key') }}",
        "{{ getHostByName('value.example.com') }}",
        "{{ env('HOME') }}",
        "{{ files['db-password'] | getHostByName }}",
        "{{ files.__class__ }}",
        "{{ files['db-password'].__class__ }}",
        "{% include '/etc/passwd' %}",
        "{% import 'x' as y %}",
    ] {
        let error = templates(&format!("- path: a\n  template: |\n    {expression}\n"));
        let error = error.expect_err(expression);
        assert!(error.starts_with("KS161 ") || error.starts_with("KS162 "), "{error}");
    }
}

#[test]
fn a_secret_is_made_of_a_template_too() {
    use super::super::{SecretObject, SecretObjectData, check_secret_objects};
    let parameters = [("templates", "{path: dsn, template: 'a'}")];
    let plan = bare(&with(&parameters)).unwrap();
    for (object_name, is_a_file) in [("dsn", true), ("other", false)] {
        let secret = SecretObject {
            secret_name: "s".into(),
            secret_type: "Opaque".into(),
            data: vec![SecretObjectData { object_name: object_name.into(), key: "k".into() }],
            ..SecretObject::default()
        };
        assert_eq!(check_secret_objects(&[secret], &plan).is_ok(), is_a_file, "{object_name}");
    }
}
