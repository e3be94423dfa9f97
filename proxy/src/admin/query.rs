//! The query of an admin request: names that are known, each at most once, as written.

use super::access::Refusal;

/// Longest query in bytes.
const QUERY_MAX: usize = 4 << 10;

/// A query without repetitions. Nothing is decoded: what may be asked for needs no encoding, and a path is meant as it is
/// received.
#[derive(Debug)]
pub(super) struct Query<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Query<'a> {
    /// # Errors
    /// [`Refusal::QueryInvalid`] for a query that is too long, names something twice or something unknown.
    pub(super) fn parse(query: &'a str, known: &[&str]) -> Result<Self, Refusal> {
        if query.len() > QUERY_MAX {
            return Err(Refusal::QueryInvalid("the query has more than 4096 bytes"));
        }
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            if !known.contains(&name) {
                return Err(Refusal::QueryInvalid("it names something unknown; GET / lists what may be asked for"));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Refusal::QueryInvalid("it names something twice"));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    /// The value of a name; empty when it stands alone.
    pub(super) fn value(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_says_each_thing_once_and_nothing_else() {
        let known = ["tenant", "path"];
        let query = Query::parse("tenant=acme&path=/a=b%2Fc&", &known).unwrap();
        assert_eq!((query.value("tenant"), query.value("path")), (Some("acme"), Some("/a=b%2Fc")));
        assert_eq!(Query::parse("", &known).unwrap().value("tenant"), None);
        let long = format!("tenant={}", "a".repeat(10 << 10));
        for bad in ["tenant=a&tenant=a", "tenent=a", "tenant=a&x", "%74enant=a", "TENANT=a", long.as_str()] {
            assert!(matches!(Query::parse(bad, &known), Err(Refusal::QueryInvalid(_))), "{bad}");
        }
    }
}
