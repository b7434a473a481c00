//! The CloudFront function of `docs/private-registries.md`, run.

use std::process::Command;

use serde_json::{Value, json};

use super::block;
use crate::support::archive::write;
use crate::support::clients::require_program;
use crate::support::{folder, run};

/// What the function gives for a request with these headers. CloudFront names headers in lower case.
fn answer(function: &str, headers: &Value) -> Value {
    let folder = folder();
    let request = json!({ "method": "GET", "uri": "/registry/acme/sample/versions", "headers": headers });
    let event = json!({ "version": "1.0", "context": { "eventType": "viewer-request" }, "request": request });
    // Its own scope: CloudFront gives the function nothing of Node's.
    let script = format!(
        "const handler = require('vm').runInNewContext({} + '; handler');\n\
         console.log(JSON.stringify(handler({event})));\n",
        serde_json::to_string(function).unwrap()
    );
    let script = write(folder.path(), "function.js", &script);
    serde_json::from_str(&run(Command::new("node").arg(script)).succeeds().stdout).unwrap()
}

#[test]
fn the_function_lets_pass_who_has_the_token() {
    let heading = "A token for the documents";
    let function = block("docs/private-registries.md", heading, "js", "handler");
    let configuration = block("docs/private-registries.md", heading, "hcl", "credentials");
    let token = configuration.split('"').nth(3).unwrap();
    assert!(
        function.contains(&format!("'{token}'")),
        "the token of the configuration is another one: {token}"
    );
    if !require_program("node") {
        return;
    }
    let with = |value: &str| json!({ "host": { "value": "registry.example.com" }, "authorization": { "value": value } });

    let good = answer(&function, &with(&format!("Bearer {token}")));
    assert_eq!(good["uri"], "/registry/acme/sample/versions", "{good}");
    // S3 would take it for a signature of its own.
    assert_eq!(good["headers"], json!({ "host": { "value": "registry.example.com" } }));

    let bad = [
        "Bearer wrong",
        &format!("bearer {token}x"),
        &format!("Bearer {token} "),
        token,
        "Bearer ",
        "Bearer undefined",
        "",
    ];
    for headers in
        bad.iter().map(|value| with(value)).chain([json!({ "host": { "value": "registry.example.com" } })])
    {
        let refused = answer(&function, &headers);
        assert_eq!(refused["statusCode"], 401, "{headers}: {refused}");
        assert_eq!(refused["headers"]["cache-control"]["value"], "no-store", "{headers}: {refused}");
        assert!(refused.get("uri").is_none(), "{headers}: {refused}");
    }

    // Two tokens at once, as the page says.
    let two = function.replace(&format!("['{token}']"), &format!("['{token}', 'second']"));
    assert_ne!(two, function);
    for token in [token, "second"] {
        assert_eq!(answer(&two, &with(&format!("Bearer {token}")))["method"], "GET", "{token}");
    }
}
