//! `Config`: reads and changes the session's configuration.
//!
//! The first request of a client sets everything that was given to its builder, with `silent`: then a key that cannot
//! be set is a warning of the answer, never an error.
use millstream_spark::{conf::RuntimeConf, error::SparkError};
use spark_connect_proto::{
    ConfigRequest, ConfigResponse, KeyValue, config_request::operation::OpType,
};
use tonic::Status;

use super::{ConnectService, key, without_session};
use crate::error;

pub(super) fn serve(
    service: &ConnectService,
    request: ConfigRequest,
) -> Result<ConfigResponse, Status> {
    let key = key(&request.session_id, request.user_context.as_ref());
    let observed = request.client_observed_server_side_session_id.as_deref();
    let session = service
        .sessions
        .get_or_create(key, observed)
        .map_err(without_session)?;
    let operation = request.operation.and_then(|operation| operation.op_type);
    let answer = operation
        .ok_or_else(|| error::one_of_not_set("spark.connect.ConfigRequest.Operation", "op_type"))
        .and_then(|operation| answer(session.spark().conf(), operation))
        .map_err(|error| session.status(error))?;
    Ok(ConfigResponse {
        session_id: request.session_id,
        server_side_session_id: session.server_side_session_id().to_string(),
        pairs: answer.pairs,
        warnings: answer.warnings,
    })
}

#[derive(Default)]
struct Answer {
    pairs: Vec<KeyValue>,
    warnings: Vec<String>,
}

impl Answer {
    fn add(&mut self, key: impl Into<String>, value: Option<String>) {
        self.pairs.push(KeyValue {
            key: key.into(),
            value,
        });
    }
}

fn answer(conf: &RuntimeConf, operation: OpType) -> Result<Answer, SparkError> {
    let mut answer = Answer::default();
    match operation {
        OpType::Set(set) => {
            let silent = set.silent.unwrap_or(false);
            for pair in set.pairs {
                match conf.set(&pair.key, pair.value.as_deref().unwrap_or_default()) {
                    Err(refusal) if silent => answer.warnings.push(refusal.message.clone()),
                    done => done?,
                }
            }
        }
        OpType::Get(get) => {
            for key in get.keys {
                let value = value_of(conf, &key)?;
                answer.add(key, Some(value));
            }
        }
        OpType::GetWithDefault(get) => {
            for pair in get.pairs {
                let value = conf.get_with_default(&pair.key, pair.value.as_deref());
                answer.add(pair.key, value);
            }
        }
        OpType::GetOption(get) => {
            for key in get.keys {
                let value = conf.get_option(&key);
                answer.add(key, value);
            }
        }
        OpType::GetAll(get) => {
            // The client gets the keys without the prefix, as from Spark.
            let prefix = get.prefix.unwrap_or_default();
            for (key, value) in conf.get_all(Some(&prefix)) {
                answer.add(key.strip_prefix(&prefix).unwrap_or(&key), Some(value));
            }
        }
        OpType::Unset(unset) => {
            for key in unset.keys {
                conf.unset(&key)?;
            }
        }
        OpType::IsModifiable(is_modifiable) => {
            for key in is_modifiable.keys {
                let modifiable = conf.is_modifiable(&key);
                answer.add(key, Some(modifiable.to_string()));
            }
        }
    }
    Ok(answer)
}

/// The session's time zone always has a value: that of the machine, unless it was set.
fn value_of(conf: &RuntimeConf, key: &str) -> Result<String, SparkError> {
    match key {
        "spark.sql.session.timeZone" => Ok(conf.time_zone()),
        _ => conf.get(key),
    }
}

#[cfg(test)]
mod tests {
    use spark_connect_proto::config_request::{Get, GetAll, GetWithDefault, Set};

    use super::*;

    fn pair(key: &str, value: Option<&str>) -> KeyValue {
        KeyValue {
            key: key.to_string(),
            value: value.map(str::to_string),
        }
    }

    #[test]
    fn a_silent_set_warns_of_what_it_cannot_set_and_sets_the_rest() {
        let conf = RuntimeConf::default();
        let pairs = vec![
            pair("spark.sql.warehouse.dir", Some("/x")),
            pair("spark.app.name", Some("words")),
        ];
        let answer_ = answer(
            &conf,
            OpType::Set(Set {
                pairs: pairs.clone(),
                silent: Some(true),
            }),
        )
        .unwrap();
        assert_eq!(answer_.warnings.len(), 1);
        assert_eq!(conf.get("spark.app.name").unwrap(), "words");
        let refusal = answer(
            &conf,
            OpType::Set(Set {
                pairs,
                silent: None,
            }),
        )
        .err()
        .unwrap();
        assert_eq!(refusal.class, "CANNOT_MODIFY_STATIC_CONFIG");
    }

    #[test]
    fn an_unknown_key_is_an_error_unless_the_client_has_a_default() {
        let conf = RuntimeConf::default();
        let missing = answer(
            &conf,
            OpType::Get(Get {
                keys: vec!["spark.nope".to_string()],
            }),
        )
        .err()
        .unwrap();
        assert_eq!(missing.class, "SQL_CONF_NOT_FOUND");
        let pairs = vec![pair("spark.nope", None), pair("spark.nope", Some("x"))];
        let defaults = answer(
            &conf,
            OpType::GetWithDefault(GetWithDefault {
                pairs: pairs.clone(),
            }),
        )
        .unwrap();
        assert_eq!(defaults.pairs, pairs);
    }

    #[test]
    fn all_keys_of_a_prefix_come_without_it() {
        let conf = RuntimeConf::default();
        conf.set("spark.mine.a", "1").unwrap();
        let prefix = Some("spark.mine.".to_string());
        assert_eq!(
            answer(&conf, OpType::GetAll(GetAll { prefix }))
                .unwrap()
                .pairs,
            [pair("a", Some("1"))]
        );
    }
}
