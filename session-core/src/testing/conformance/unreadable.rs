use super::StoreUnderTest;
use super::fixture::set;
use crate::store::Created;

/// Another version or another program may have written it. An error would be an outage for this one visitor,
/// and an overwrite would destroy foreign data. A store whose records nobody else can write need not
/// [plant](StoreUnderTest::junk) one.
pub async fn a_record_that_cannot_be_read_is_absent_and_left_alone(store: &StoreUnderTest) {
    let clause = store.advised(
        "if a record cannot be read, a load must answer None, an update Gone, a create Refused \
         and a delete Done; do not repair, overwrite or remove it",
    );
    for plant in &store.junk {
        let session = clause.no_session();
        plant(session.key).await;
        session.is_absent().await;
        session.gone(&session.changing([("a", set("1"))])).await;
        session.gone(&session.touch()).await;
        session.end().await;
        session.delete().await;
        let created = session.create(&[("a", "1")]).await;
        session.require(
            created == Created::Refused,
            format_args!("a create over it answers {created:?}"),
        );
        session.is_absent().await;
    }
}
