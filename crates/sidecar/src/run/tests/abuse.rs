use super::*;

const TOKEN: &str = "canary-0123456789abcdef";

#[test]
fn every_route_is_in_the_openapi_document_and_nothing_else_is() {
    let document: Value = serde_json::from_str(include_str!("../../admin/openapi.json")).expect("json");
    let mut documented: Vec<String> = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        documented
            .extend(methods.as_object().expect("methods").keys().map(|method| format!("{method} {path}")));
    }
    let mut served: Vec<String> = crate::admin::routes()
        .iter()
        .flat_map(|route| route.methods.iter().map(|method| format!("{method} {}", route.path)))
        .collect();
    documented.sort();
    served.sort();
    assert_eq!(documented, served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_has_the_fields_of_the_openapi_document_and_no_others() {
    let process = Process::start().await;
    let document = process.get("/openapi.json").await.json();
    let schema = &document["components"]["schemas"]["Pipeline"];
    let named =
        |value: &Value| -> Vec<String> { value.as_object().expect("an object").keys().cloned().collect() };
    let mut required: Vec<&str> =
        schema["required"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    required.sort_unstable();
    let shown = process.pipeline();
    assert_eq!(named(&shown), named(&schema["properties"]));
    assert_eq!(named(&shown), required);
    assert_eq!(
        (&shown["source"], &shown["member"], &shown["stalls"]),
        (&json!("log"), &json!(null), &json!([]))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_route_answers() {
    let process = Process::start().await;
    let document = process.get("/openapi.json").await.json();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let path = path.replace("{name}", "orders").replace("{partition}", "0").replace("{offset}", "0");
        for method in methods.as_object().expect("methods").keys().filter(|_| path != "/v1/events") {
            let reply = process.admin(&method.to_uppercase(), &path, &json!({})).await;
            assert!(!matches!(reply.status, 405 | 500..), "{method} {path}: {reply:?}");
            let lost = reply.status == 404 && reply.text().contains("problem:path");
            assert!(!lost, "{method} {path}: {reply:?}");
        }
        let wrong = process.admin("DELETE", &path, &json!({})).await;
        assert_eq!(
            (wrong.status, wrong.header("content-type")),
            (405, Some("application/problem+json")),
            "{path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_get_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).expect("written");
    let mut process = Process::with(&format!("token_file = {file:?}")).await;
    let addr = process.sidecar.admin_addr();
    let json_type = ("content-type", "application/json");
    let bearer = ("authorization", "Bearer canary-0123456789abcdef");
    let paths = [
        "/v1/overview",
        "/v1/events",
        "/metrics",
        "/v1/pipelines",
        "/v1/pipelines/orders/dead-letters",
        "/openapi.json",
    ];
    for path in paths {
        for headers in [
            vec![],
            vec![("authorization", "Bearer wrong-0123456789abcde")],
            vec![("authorization", "Basic canary-0123456789abcdef")],
        ] {
            let reply = call(addr, "GET", path, &headers, b"").await;
            assert_eq!(
                (reply.status, reply.header("www-authenticate")),
                (401, Some("Bearer")),
                "{path} {headers:?}"
            );
        }
        let foreign = call(addr, "GET", path, &[bearer, ("host", "evil.example")], b"").await;
        assert_eq!(foreign.status, 403, "{path}");
        let foreign = call(addr, "GET", path, &[bearer, ("origin", "http://evil.example")], b"").await;
        assert_eq!(foreign.status, 403, "{path}");
    }
    let pause = "/v1/pipelines/orders/pause";
    assert_eq!(call(addr, "POST", pause, &[json_type], b"{}").await.status, 401);
    for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        assert_eq!(
            call(addr, "POST", pause, &[bearer, ("content-type", form)], b"{}").await.status,
            415,
            "{form}"
        );
    }
    assert_eq!(call(addr, "POST", pause, &[bearer], b"").await.status, 415);
    assert_eq!(process.pipeline()["state"], "running");
    assert_eq!(call(addr, "POST", pause, &[bearer, ("x-seawall-request", "1")], b"").await.status, 200);
    for open in ["/healthz", "/readyz", "/"] {
        assert_eq!(call(addr, "GET", open, &[], b"").await.status, 200, "{open}");
    }
    process.token = Some(TOKEN);
    for path in ["/v1/overview", "/metrics", "/v1/pipelines/orders/limits", "/openapi.json"] {
        assert!(!process.get(path).await.text().contains("canary"), "{path}");
    }
    let config = config::load(&process.file()).expect("valid");
    assert!(!serde_json::to_string(&config).expect("json").contains("canary-"));
    assert!(!format!("{config:?} {:?}", process.sidecar).contains("canary-"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_named_and_answers_hardened() {
    let process = Process::start().await;
    let unknown = process.get("/v1/pipelines/odrers").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("did you mean \\\"orders\\\""), "{}", unknown.text());
    let lost = process.get("/v1/nothing").await;
    assert_eq!((lost.status, lost.header("content-type")), (404, Some("application/problem+json")));
    let not_json = call(
        process.sidecar.admin_addr(),
        "PATCH",
        "/v1/pipelines/orders/limits",
        &[("content-type", "application/json")],
        b"{",
    )
    .await;
    assert_eq!(not_json.status, 400);
    let large = vec![b' '; 2 << 20];
    let large = call(
        process.sidecar.admin_addr(),
        "PATCH",
        "/v1/pipelines/orders/limits",
        &[("content-type", "application/json")],
        &large,
    )
    .await;
    assert_eq!(large.status, 413);
    for path in ["/", "/v1/overview", "/v1/nothing", "/metrics"] {
        let reply = process.get(path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", crate::dashboard::CONTENT_SECURITY_POLICY),
        ] {
            assert_eq!(reply.header(name), Some(value), "{path} {name}");
        }
        assert_eq!(reply.header("access-control-allow-origin"), None, "{path}");
    }
    let page = process.get("/").await;
    assert!(
        page.header("content-type").is_some_and(|t| t.starts_with("text/html"))
            && page.text().contains("<html")
    );
    for path in ["/../Cargo.toml", "/%2e%2e/Cargo.toml", "/..%2fCargo.toml", "/assets/../../Cargo.toml"] {
        assert!(!process.get(path).await.text().contains("[package]"), "{path}");
    }
}

/// Test 24, through the admin API: 422, and no connection to the canary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_inside_is_refused() {
    let process = Process::start().await;
    let canary = Service::start().await;
    let port = canary.addr.port();
    let targets = [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "169.254.169.254",
        "10.0.0.1",
        "[fd00:ec2::254]",
        "[fe80::1]",
    ];
    let before = process.pipeline()["target"].clone();
    for host in targets {
        let url = json!({ "url": format!("http://{host}:{port}/") });
        let reply = process.admin("PUT", "/v1/pipelines/orders/target", &url).await;
        assert_eq!((reply.status, &reply.json()["field"]), (422, &json!("url")), "{host}: {reply:?}");
    }
    for url in ["ftp://example.com/", "http://user:pw@example.com/", "orders", "http://example.com/\r\nx: y"]
    {
        let reply = process.admin("PUT", "/v1/pipelines/orders/target", &json!({ "url": url })).await;
        assert_eq!(reply.status, 422, "{url}");
    }
    assert_eq!(process.pipeline()["target"], before, "the old target stays in force");
    assert_eq!(process.post("c7", "x").await.status, 201);
    process.eventually("acknowledged", |p| p["totals"]["acked"] == 1).await;
    assert_eq!((canary.seen(), process.service.seen()), (0, 1));
}
