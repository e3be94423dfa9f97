//! The stages of the request path that are the proxy's own, one by one, on a head as browsers and Front Door send it.

use std::{hint::black_box, path::Path};

use criterion::{BatchSize, Criterion};
use http::{HeaderMap, HeaderName, HeaderValue, Request, request::Parts};
use synaxis_proxy::{
    body::Upload,
    pipeline::{normalize, route, tenant},
    upstream::framing::{self, Length},
};

const SETTINGS: &str = include_str!("../../config/examples/minimal.toml");

/// A request's head.
fn head() -> Parts {
    let request = Request::get("/api/v1/orders?page=2")
        .header("host", "shop.example.com")
        .header("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0")
        .header("accept", "application/json")
        .header("accept-encoding", "gzip, deflate, br")
        .header("authorization", "Bearer 0123456789abcdef0123456789abcdef")
        .header("x-tenant-id", "contoso-000042")
        .header("x-azure-ref", "20261121T080000Z-1234567890abcdef")
        .header("x-azure-socketip", "203.0.113.9")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("connection", "keep-alive")
        .body(())
        .unwrap();
    request.into_parts().0
}

/// An answer's head.
fn answer() -> HeaderMap {
    [
        ("content-type", "application/json"),
        ("content-length", "1024"),
        ("date", "Sat, 21 Nov 2026 08:00:00 GMT"),
        ("server", "app"),
        ("connection", "keep-alive"),
        ("cache-control", "no-store"),
    ]
    .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
    .into_iter()
    .collect()
}

pub(crate) fn measure(criterion: &mut Criterion) {
    let (settings, _) = synaxis_config::load(SETTINGS, Path::new("minimal.toml")).unwrap();
    let field = &settings.tenant.header;
    let client = HeaderValue::from_static("203.0.113.9");
    let mut checked = head();
    let survey = normalize::check(&mut checked, &settings.limits, field).unwrap();
    let id = tenant::identify(&survey.tenant, None).unwrap();

    let mut group = criterion.benchmark_group("stage");
    group.bench_function("normalize", |bencher| {
        bencher.iter_batched_ref(
            head,
            |parts| normalize::check(parts, &settings.limits, field).is_ok(),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("tenant", |bencher| {
        bencher.iter(|| tenant::identify(black_box(&survey.tenant), None).is_ok());
    });
    group.bench_function("route", |bencher| {
        bencher.iter(|| {
            let (path, method, headers) = (checked.uri.path(), &checked.method, &checked.headers);
            let asked = route::Asked { host: black_box(survey.host()), path, method, headers };
            route::choose(&settings.routes, &asked).is_ok()
        });
    });
    group.bench_function("dress the request", |bencher| {
        bencher.iter_batched_ref(
            || checked.clone(),
            |parts| normalize::dress(parts, &survey, &Upload::default(), (field, &id), &client).is_ok(),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("framing of the request alone", |bencher| {
        bencher.iter_batched_ref(
            || checked.headers.clone(),
            |headers| framing::egress(headers, Length::None, field).is_ok(),
            BatchSize::SmallInput,
        );
    });
    group.bench_function("framing of the answer", |bencher| {
        bencher.iter_batched_ref(answer, framing::answer, BatchSize::SmallInput);
    });
    group.finish();
}
