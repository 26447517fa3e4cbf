use std::hint::black_box;

use criterion::Criterion;
use session_core::token::Token;

pub(crate) fn bench(criterion: &mut Criterion) {
    let token = Token::generate().expect("randomness");
    let text = token.expose();
    let stored = token.digests();
    let mut group = criterion.benchmark_group("Token");
    group.bench_function("generate", |bencher| bencher.iter(Token::generate));
    group.bench_function("rotate", |bencher| bencher.iter(|| token.rotate()));
    group.bench_function("expose", |bencher| bencher.iter(|| token.expose()));
    group.bench_function("parse", |bencher| {
        bencher.iter(|| Token::parse(black_box(text.as_bytes())));
    });
    group.bench_function("digests and matches", |bencher| {
        bencher.iter(|| black_box(&token).digests().matches(&stored));
    });
    group.finish();
}
