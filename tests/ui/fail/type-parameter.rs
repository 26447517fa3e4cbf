use rocket_typed_session::session;

#[session]
struct Visit<T, const N: usize> {
    views: [T; N],
}

fn main() {
    let _ = Visit::<u64, 2>::fairing();
}
