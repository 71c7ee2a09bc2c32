//! Requests of web pages: questions before them, headers on their answers, forms.

use super::*;

const PAGE: &str = "https://page.example";

fn bare(request: Request<Bytes>) -> Request<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    Request::from_parts(parts, Full::new(body))
}

fn question(uri: &str, headers: &[(&str, &str)]) -> Request<Full<Bytes>> {
    bare(request("OPTIONS", uri, headers, b""))
}

fn origin(response: &Response<Body>) -> Option<String> {
    let value = response.headers().get("access-control-allow-origin");
    value.map(|value| value.to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_question_is_answered_and_recorded_once() {
    let method = ("access-control-request-method", "PUT");
    for (uri, headers, status) in [
        ("/b--d/k", &[("origin", PAGE), method][..], 200),
        ("/b--d", &[("origin", PAGE), method], 200),
        ("/other--d/k", &[("origin", PAGE), method], 403),
        (
            "/b--d/k",
            &[("origin", "https://evil.example"), method],
            403,
        ),
        ("/b--d/k", &[("origin", PAGE)], 400),
        ("/b--d/k", &[method], 400),
        ("/", &[("origin", PAGE), method], 403),
    ] {
        let (edge, log) = edge();
        let response = edge.serve(question(uri, headers)).await;
        assert_eq!(response.status().as_u16(), status, "{uri} {headers:?}");
        let told = (status == 200).then(|| PAGE.to_owned());
        assert_eq!(origin(&response), told, "{uri} {headers:?}");
        let records = log.records.lock().unwrap();
        let [record] = records.as_slice() else {
            panic!("{records:?}");
        };
        assert_eq!(record.operation, "OptionsPreflight");
        assert_eq!(
            (record.principal.as_deref(), record.access_key),
            (None, false)
        );
    }
}

#[tokio::test]
async fn without_a_log_no_question_is_answered() {
    let (edge, log) = edge();
    log.broken.store(true, Ordering::Relaxed);
    let method = ("access-control-request-method", "PUT");
    let asked = question("/b--d/k", &[("origin", PAGE), method]);
    let response = edge.serve(asked).await;
    assert_eq!(response.status(), 503);
    assert_eq!(origin(&response), None);
}

#[tokio::test]
async fn a_page_reads_the_answers_that_are_for_it() {
    for (from, told) in [(PAGE, Some(PAGE)), ("https://evil.example", None)] {
        let (edge, _log) = edge();
        // Unsigned, and refused: its owner is to see why.
        let get = bare(request("GET", "/b--d/k", &[("origin", from)], b""));
        let response = edge.serve(get).await;
        assert_eq!(response.status(), 403);
        assert_eq!(origin(&response).as_deref(), told);
    }
}

#[tokio::test]
async fn a_form_has_a_length_and_a_signature() {
    let form = ("content-type", "multipart/form-data; boundary=x");
    let (edge, log) = edge();
    let endless = bare(request("POST", "/b--d", &[form], b""));
    let (status, body) = read(edge.serve(endless).await).await;
    assert_eq!(status, 411, "{body}");
    assert_eq!(log.records.lock().unwrap().len(), 1);
    let body = b"--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk\r\n--x\r\n\
        Content-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--x--\r\n";
    let (edge, log) = super::edge();
    let unsigned = bare(request("POST", "/b--d", &[form], body));
    let (status, body) = read(edge.serve(unsigned).await).await;
    assert_eq!(status, 403, "{body}");
    let records = log.records.lock().unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].principal, None);
}
