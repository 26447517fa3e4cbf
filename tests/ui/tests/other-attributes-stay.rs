use rocket_typed_session::{SessionData, session};
use serde::{Deserialize, Serialize};

/// Documented.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[session]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
struct Visit {
    /// Documented too.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[session(identity)]
    user_name: Option<String>,
    #[session(counter)]
    #[serde(rename = "count")]
    page_views: u64,
}

#[test]
fn other_attributes_stay() {
    let visit = Visit::default();
    assert_eq!(serde_json::to_string(&visit).unwrap(), r#"{"count":0}"#);
    let names = format!("{:?}", Visit::SCHEMA.wanted());
    assert_eq!(names, r#"Fields(["page_views", "user_name"])"#);
}
