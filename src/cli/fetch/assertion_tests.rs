use super::*;

fn choose(choice: &str, variables: &[(&str, &str)]) -> Result<Source, String> {
    choose_with(choice, variables, None)
}

/// As `--assertion` and `--service-connection-id` choose.
fn choose_with(
    choice: &str,
    variables: &[(&str, &str)],
    service_connection: Option<&str>,
) -> Result<Source, String> {
    let around = Surroundings {
        variable: &|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        },
        audience: "api://AzureADTokenExchange",
        service_connection,
    };
    Source::choose(&choice.parse().unwrap(), &around).map_err(|error| error.to_string())
}

const GITHUB: [(&str, &str); 2] =
    [(GITHUB_URL, "https://token.example/x?api-version=2.0"), (GITHUB_TOKEN, "canary")];
const AZURE: [(&str, &str); 3] = [
    (AZURE_URL, "https://dev.example/o/_apis/oidctoken"),
    (AZURE_TOKEN, "canary"),
    (AZURE_CONNECTION, "c&1"),
];

fn url(source: &Source) -> String {
    match source {
        Source::Service(service) => service.url.to_string(),
        other => other.describe(),
    }
}

#[test]
fn auto_takes_the_first_source_whose_variables_are_there() {
    let github =
        "https://token.example/x?api-version=2.0&audience=api%3A%2F%2FAzureADTokenExchange";
    let azure = "https://dev.example/o/_apis/oidctoken?api-version=7.1&serviceConnectionId=c%261";
    let variable = [(TOKEN_VARIABLE, "a.b.c")];
    let file = [(FILE_VARIABLE, "/token")];
    for (variables, expected) in [
        ([&file[..], &variable, &AZURE, &GITHUB].concat(), github),
        ([&file[..], &variable, &AZURE].concat(), azure),
        ([file, variable].concat(), "variable KEYSLUICE_ID_TOKEN"),
        (file.to_vec(), "file /token"),
        // A job without the permission has neither of the two.
        ([[GITHUB[0]], file].concat(), "file /token"),
    ] {
        assert_eq!(url(&choose("auto", &variables).unwrap()), expected, "{variables:?}");
    }
}

#[test]
fn what_is_missing_is_said_for_the_system_that_runs_the_job() {
    for (choice, variables, expected) in [
        ("auto", &[][..], "KS791 no source is there"),
        ("auto", &[("GITHUB_ACTIONS", "true")], "id-token: write"),
        ("auto", &[("TF_BUILD", "True")], "SYSTEM_ACCESSTOKEN is not set"),
        ("auto", &[("GITLAB_CI", "true")], "KEYSLUICE_ID_TOKEN is not set"),
        ("github", &[GITHUB[0]], "variable ACTIONS_ID_TOKEN_REQUEST_TOKEN is not set"),
        ("azure-pipelines", &AZURE[..2], "--service-connection-id"),
        ("env:X", &[], "variable X is not set"),
        ("env:X", &[("X", "")], "variable X is not set"),
        ("env:X", &[("X", "canary")], "variable X is not a JSON web token"),
        ("github", &[(GITHUB_URL, "http://token.example/"), GITHUB[1]], "is not an https URL"),
        ("github", &[(GITHUB_URL, "canary url"), GITHUB[1]], "is not an https URL"),
    ] {
        let error = choose(choice, variables).unwrap_err();
        assert!(error.starts_with("KS791 ") && error.contains(expected), "{error}");
        assert!(!error.contains("canary"), "{error}");
    }
    assert!(choose("github", &[(GITHUB_URL, "http://a.localhost:1/"), GITHUB[1]]).is_ok());
}

#[test]
fn an_unknown_source_is_named_with_the_known_ones() {
    for bad in ["", "gitlab", "file:", "env:", "github:x"] {
        assert!(bad.parse::<Choice>().unwrap_err().contains("azure-pipelines"), "{bad}");
    }
}

#[test]
fn the_token_is_read_from_the_answer_and_no_error_shows_the_answer() {
    let Source::Service(service) = choose("github", &GITHUB).unwrap() else { panic!() };
    let token = service.token(br#"{"count":1,"value":"a.b.c"}"#).unwrap();
    assert_eq!(token.expose_secret(), "a.b.c");
    for (answer, expected) in [
        (&b"<html>canary"[..], "is not JSON"),
        (br#"{"canary":1}"#, "has no field value"),
        (br#"{"value":"canary"}"#, "field value is not a JSON web token"),
    ] {
        let problem = service.token(answer).unwrap_err();
        assert!(problem.contains(expected) && !problem.contains("canary"), "{problem}");
    }
    assert!(!format!("{service:?}").contains("canary"));
}

#[test]
fn an_assertion_is_asked_for_anew_at_half_of_its_time() {
    let now = Duration::from_secs(1000);
    for (claims, expected) in [
        (r#"{"exp":1300}"#, Some(Duration::from_secs(150))),
        (r#"{"exp":900}"#, Some(SHORTEST_RENEWAL)),
        ("{}", None),
    ] {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        assert_eq!(renewal(&token, now), expected, "{claims}");
    }
    assert_eq!(renewal("a.b.c", now), None);
}

#[test]
fn an_empty_service_connection_is_one_that_is_not_given() {
    for (given, expected) in [(None, "c%261"), (Some(""), "c%261"), (Some("own"), "own")] {
        let source = choose_with("azure-pipelines", &AZURE, given).unwrap();
        assert!(url(&source).ends_with(&format!("serviceConnectionId={expected}")), "{given:?}");
    }
}
